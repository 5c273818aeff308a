"""From token ids to the logits that are needed: padding, guidance, the output layer in pieces.

Legend: B rows, T columns, N chosen positions, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from eosbench.backbone import Backbone

_LOGITS_AT_ONCE = 2**25  # elements of one [N, V] piece: 256 MiB in float64


def left_pad(rows: Sequence[torch.Tensor], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """[B, T] ids and attention mask, with padding on the left.

    The ends of all rows share their columns then.

    Example:
        >>> ids, mask = left_pad([torch.tensor([5]), torch.tensor([6, 7])], pad_id=0)
        >>> ids.tolist(), mask.tolist()
        ([[0, 5], [6, 7]], [[0, 1], [1, 1]])
    """
    width = max(len(row) for row in rows)
    ids_BT = torch.full((len(rows), width), pad_id, dtype=torch.long)
    mask_BT = torch.zeros_like(ids_BT)
    for index, row in enumerate(rows):
        ids_BT[index, width - len(row) :] = row
        mask_BT[index, width - len(row) :] = 1
    return ids_BT, mask_BT


def without_prompt(ids_BT: torch.Tensor, response_B: torch.Tensor, mask_id: int) -> torch.Tensor:
    """[B, T] ids, with all columns of row b but the last response_B[b] masked.

    Guidance compares a pass over these with a pass over the rows as they are.
    """
    columns_T = torch.arange(ids_BT.shape[1], device=ids_BT.device)
    return ids_BT.masked_fill(columns_T < ids_BT.shape[1] - response_B[:, None], mask_id)


def logits_in_pieces(
    backbone: Backbone, hidden: Sequence[torch.Tensor], cfg_scale: float
) -> Iterator[torch.Tensor]:
    """Logits of N positions as pieces [n, V] that fit into memory, in order.

    With guidance they are u + (1 + s) (c - u): c with the prompt, u without, s the weight
    (LLaDA's generate.py, after arXiv 2207.12598).

    Args:
        backbone: the model whose output layer it is.
        hidden: [N, D] of the rows and, for guidance, [N, D] of the same rows without their prompt.
        cfg_scale: weight of the guidance.
    """
    at_once = max(1, _LOGITS_AT_ONCE // backbone.spec.vocab_size)
    pieces = [hidden_ND.split(at_once) for hidden_ND in hidden]
    for with_prompt, *without in zip(*pieces, strict=True):
        logits_NV = backbone.unembed(with_prompt)
        for blind_ND in without:
            blind_NV = backbone.unembed(blind_ND)
            logits_NV = blind_NV + (cfg_scale + 1) * (logits_NV - blind_NV)
        yield logits_NV
