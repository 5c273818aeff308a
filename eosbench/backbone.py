"""The Backbone protocol: all that decoding, likelihood and the predictors know of a model.

A family (model_adapters/) wraps one of transformers' own model classes behind these five members.
Nothing else in eosbench knows how a checkpoint names its weights, masks its attention or shifts its
logits.

Legend: B batch, T tokens, V vocabulary, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class BackboneSpec:
    """Facts of one checkpoint, resolved from its config and tokenizer.

    Attributes: family: name of the family file in model_adapters/, e.g. "llada". mask_id: id of the
        mask token. eos_ids: every id that ends a text (LLaDA's end-of-turn token too). pad_id: id
        used for padding; what stands there is never attended to. max_length: longest sequence
        (prompt + canvas) the positions allow. vocab_size: number of logits per position, V. width:
        D. logits_shifted: True where the raw row i scores token i + 1 (Dream, DiffuGPT). layers,
        block_parameters: number of transformer blocks and of weights in their matrices, for
        estimating FLOPs. last_parameters: those of them that run only where a pass is read (`read`
        of `Backbone.hidden`). fingerprint: short hash of config and weights: what predictors and
        caches are bound to. name: the path or hub id it was loaded from.
    """

    family: str
    mask_id: int
    eos_ids: frozenset[int]
    pad_id: int
    max_length: int
    vocab_size: int
    width: int
    logits_shifted: bool
    fingerprint: str
    name: str = ""
    layers: int = 0
    block_parameters: int = 0
    last_parameters: int = 0


class Backbone(Protocol):
    spec: BackboneSpec
    tokenizer: Any  # a transformers tokenizer, or None where the checkpoint has none

    @property
    def device(self) -> torch.device: ...

    @property
    def dtype(self) -> torch.dtype: ...

    def hidden(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        *,
        needed: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """[B, T] ids -> [B, T, D]: last hidden state after the final norm, raw rows.

        Args: input_ids: [B, T]. attention_mask: [B, T], 1 = token. read: [B, T] bool, the raw rows
            that the caller reads; what the others hold is left to the backbone. None: all.
        """
        ...

    def unembed(self, hidden: torch.Tensor) -> torch.Tensor:
        """[..., D] -> [..., V]: the output layer, row for row, no shift."""
        ...

    def logits(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """[B, T] ids -> [B, T, V]: row i scores token i, whatever the family's raw order."""
        ...


def scoring_rows(hidden_BTD: torch.Tensor, logits_shifted: bool) -> torch.Tensor:
    """Reorders hidden states so that row i is the one that scores token i (row 0 stays for token 0
    where logits are shifted).
    """
    if not logits_shifted:
        return hidden_BTD
    import torch

    return torch.cat([hidden_BTD[:, :1], hidden_BTD[:, :-1]], dim=1)


def states_of(
    backbone: Backbone,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    where_BT: torch.Tensor,
    **kept: Any,
) -> torch.Tensor:
    """[N, D]: the hidden states that score the tokens at the N chosen positions, row after row, and
    no others.

    Args: backbone: the model. input_ids, attention_mask: as for `Backbone.hidden`, and with a
        cache (eosbench/forward/block_cache.py) `kept`. where_BT: the chosen positions.
    """
    shifted = backbone.spec.logits_shifted
    hidden_BTD = backbone.hidden(
        input_ids, attention_mask, needed=raw_rows(where_BT, shifted), **kept
    )
    return scoring_rows(hidden_BTD, shifted)[where_BT]


def raw_rows(where_BT: torch.Tensor, logits_shifted: bool) -> torch.Tensor:
    """Which raw rows score the chosen tokens: `scoring_rows` the other way round.

    Example:
        >>> import torch
        >>> raw_rows(torch.tensor([[False, False, True, True]]), logits_shifted=True).tolist()
        [[False, True, True, False]]
    """
    if not logits_shifted:
        return where_BT
    needed_BT = where_BT.roll(-1, dims=1)
    needed_BT[:, -1] = False
    needed_BT[:, 0] |= where_BT[:, 0]
    return needed_BT
