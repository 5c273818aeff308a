"""The sampling options of the published scripts: which tokens may be drawn, and from which logits.

They act in this order, on the logits that guidance left:

1. `logits_eos_inf` (LLaDA's generate.py): the logit of the EOS becomes -inf.
2. `repetition_penalty` (Keskar et al., arXiv 1909.05858, section 4.1, as transformers'
   RepetitionPenaltyLogitsProcessor): the logits of all tokens that stand, in the prompt and on the
   canvas, are divided by it where they are positive and multiplied where they are negative.
3. The temperature, then `top_p`, then `top_k` (`sample_tokens` of Dream's generation_utils.py):
   what they leave out is not drawn.
4. `confidence_eos_eot_inf` (LLaDA's generate.py, at the temperature 0 of its evaluation): once a
   token is chosen, the logits of all ends of a text become -inf, so that confidences are shares of
   what is left, and positions whose token is an end come last.

The model's own confidences ("low_confidence") are those of the logits after steps 1, 2 and 4;
Dream's ("maskgit_plus", "entropy", "topk_margin") are those of what is drawn from, after step 3
too.

Legend: N positions, V vocabulary, n ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from eosbench.backbone import BackboneSpec

if TYPE_CHECKING:
    from eosbench.decoding.config import DecodeConfig


@dataclass(frozen=True)
class Sampling:
    """The sampling options of one DecodeConfig on one model.

    Attributes:
        top_p: the share of probability of the tokens that may be drawn; None does not limit it.
        top_k: how many tokens may be drawn; None does not limit it.
        repetition_penalty: 1 changes nothing.
        never: ids that are never chosen.
        last: ids whose positions come last.
    """

    top_p: float | None = None
    top_k: int | None = None
    repetition_penalty: float = 1.0
    never: tuple[int, ...] = ()
    last: tuple[int, ...] = ()

    @classmethod
    def of(cls, config: DecodeConfig, spec: BackboneSpec) -> Sampling | None:
        """The options that a config sets, or None where all of them are off."""
        sampling = cls(
            top_p=config.top_p,
            top_k=config.top_k,
            repetition_penalty=config.repetition_penalty,
            never=(spec.eos_id,) if config.logits_eos_inf else (),
            last=tuple(sorted(spec.eos_ids)) if config.confidence_eos_eot_inf else (),
        )
        return None if sampling == NOTHING_SET else sampling

    @property
    def narrows(self) -> bool:
        """Whether some tokens are left out by their probability."""
        return self.top_p is not None or self.top_k is not None

    @property
    def penalises(self) -> bool:
        """Whether the tokens that stand count."""
        return self.repetition_penalty != 1

    @property
    def moves_likeliest(self) -> bool:
        """Whether the likeliest token may be another than the model's own."""
        return self.penalises or bool(self.never)

    def says_last(self, tokens_N: torch.Tensor) -> torch.Tensor:
        """[N] mask of the tokens whose positions come last."""
        says_N = torch.zeros_like(tokens_N, dtype=torch.bool)
        for last in self.last:
            says_N |= tokens_N == last
        return says_N

    def change(self, logits_NV: torch.Tensor, seen_n: torch.Tensor | None) -> None:
        """Changes logits in place: steps 1 and 2.

        Args:
            logits_NV: of N positions of one sequence where tokens that stand count.
            seen_n: the ids of those, each once.
        """
        for never in self.never:
            logits_NV[:, never] = -torch.inf
        if self.penalises and seen_n is not None:
            logits_NV[:, seen_n] = penalised(logits_NV[:, seen_n], self.repetition_penalty)

    def narrowed(
        self, logits_NV: torch.Tensor, temperature: float, never_placed: Sequence[int]
    ) -> torch.Tensor:
        """[N, V] logits in which -inf stands for what top_p and top_k leave out.

        The likeliest token that may be placed always stays.

        Args:
            logits_NV: not yet divided by the temperature.
            temperature: above 0.
            never_placed: ids that are never chosen, but keep their share: the mask's among them.
        """
        out_NV = left_out(logits_NV / temperature, self.top_p, self.top_k)
        placeable_NV = without(logits_NV, never_placed)
        out_NV.scatter_(-1, placeable_NV.argmax(dim=-1, keepdim=True), False)
        return logits_NV.masked_fill(out_NV, -torch.inf)


NOTHING_SET = Sampling()


def without(logits_NV: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
    """[N, V] logits in which these ids have -inf; no ids are copied to a device.

    Example:
        >>> without(torch.tensor([[1.0, 2.0, 3.0]]), [0, 2]).tolist()
        [[-inf, 2.0, -inf]]
    """
    left_NV = logits_NV.clone()
    for token in ids:
        left_NV[:, token] = -torch.inf
    return left_NV


def penalised(logits_Nn: torch.Tensor, penalty: float) -> torch.Tensor:
    """Logits [N, n] of tokens that stand already, less likely for a penalty above 1.

    Example:
        >>> penalised(torch.tensor([[3.0, -1.0]]), 2.0)
        tensor([[ 1.5000, -2.0000]])
    """
    return torch.where(logits_Nn < 0, logits_Nn * penalty, logits_Nn / penalty)


def left_out(logits_NV: torch.Tensor, top_p: float | None, top_k: int | None) -> torch.Tensor:
    """[N, V] mask of the tokens that top_p and top_k leave out.

    `top_p` keeps the likeliest tokens up to the one by which their share exceeds it, `top_k` the
    likeliest k and whatever equals the k-th; either always keeps one.

    Args:
        logits_NV: divided by the temperature.
        top_p: a share of the probability, or None.
        top_k: a number of tokens, or None.

    Example:
        >>> left_out(torch.tensor([[0.5, 0.3, 0.2]]).log(), top_p=0.7, top_k=None).tolist()
        [[False, False, True]]
        >>> left_out(torch.tensor([[0.5, 0.3, 0.2]]).log(), top_p=0.7, top_k=1).tolist()
        [[False, True, True]]
    """
    out_NV = torch.zeros_like(logits_NV, dtype=torch.bool)
    if top_p is not None:
        sorted_NV, order_NV = logits_NV.sort(dim=-1, descending=True, stable=True)
        share_NV = sorted_NV.softmax(dim=-1).cumsum(dim=-1)
        behind_NV = torch.zeros_like(out_NV)
        behind_NV[:, 1:] = share_NV[:, :-1] > top_p
        out_NV.scatter_(-1, order_NV, behind_NV)
    if top_k is not None:
        kept = min(top_k, logits_NV.shape[-1])
        out_NV |= logits_NV < logits_NV.topk(kept, dim=-1).values[:, -1:]
    return out_NV
