"""The share that each masked position has in the loss.

The mean over all masked positions is one over fillers and long answers: a one-word answer has no
say. So positions weigh by their kind, rows by what they hold, and by the share t that is masked:

    weight = kind weight  x  1 / t (where asked)  /  row norm

`1 / t` makes the loss a bound on the log-likelihood (LLaDA, 2502.09992, equation 3); weight t would
favour the rows that say least.

Legend: B rows, T tokens.
"""

from __future__ import annotations

import torch

from eosbench.training.layout import END, FILLER, TEXT

ROW_NORMS = ("none", "sqrt", "mean")


def loss_weights(
    kind_BT: torch.Tensor,
    masked_BT: torch.Tensor,
    share_B: torch.Tensor,
    *,
    text: float = 1.0,
    eos: float = 1.0,
    filler: float = 1.0,
    inverse_share: bool = False,
    row_norm: str = "none",
) -> torch.Tensor:
    """[B, T] float32, zero where nothing is masked.

    Args:
        kind_BT: kinds of layout.py.
        masked_BT: what the model does not see.
        share_B: the share of masked positions that was drawn, t.
        text, eos, filler: weights of the kinds.
        inverse_share: divide by t.
        row_norm: what a row's weights are divided by: `none`, the root of their sum (`sqrt`), or
            their sum (`mean`: every row counts the same).

    Example:
        >>> kind_BT = torch.tensor([[TEXT, END, FILLER, FILLER]])
        >>> loss_weights(kind_BT, kind_BT > 0, torch.ones(1), eos=16, filler=0.1).tolist()[0][:3]
        [1.0, 16.0, 0.10000000149011612]
    """
    kind_weight = torch.zeros(5)
    kind_weight[TEXT], kind_weight[END], kind_weight[FILLER] = text, eos, filler
    weight_BT = masked_BT * kind_weight[kind_BT]
    if inverse_share:
        weight_BT = weight_BT / share_B[:, None]
    if row_norm == "none":
        return weight_BT
    sum_B1 = weight_BT.sum(dim=1, keepdim=True).clamp_min(0.1)
    return weight_BT / (sum_B1.sqrt() if row_norm == "sqrt" else sum_B1)
