"""The Backbone protocol: all that decoding, likelihood and the predictors know of a model.

A family (model_adapters/) wraps one of transformers' own model classes behind these members.
Nothing else in eosbench knows how a checkpoint names its weights, masks its attention or shifts its
logits.

There are two orders of rows. A *raw* row is as the model returns it; where logits are shifted, raw
row i scores token i + 1. `scoring_rows` and `raw_rows` translate.

Legend: B batch, T tokens, N chosen positions, V vocabulary, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


@dataclass(frozen=True)
class BackboneSpec:
    """Facts of one checkpoint, resolved from its config and tokenizer.

    Attributes:
        family: name of the family's file in model_adapters/families, such as "llada".
        mask_id: id of the mask token; -1 in a family that has none (`NoiseCanvas`).
        eos_ids: every id that ends a text (LLaDA's end-of-turn token too).
        pad_id: id used for padding; no position attends to a padded one.
        max_length: longest sequence, prompt and canvas together, that the positions allow.
        vocab_size: number of logits per position, V.
        width: number of features of a hidden state, D.
        logits_shifted: whether raw row i scores token i + 1 (Dream, DiffuGPT).
        fingerprint: short digest of config and weights, which predictors and caches are bound to.
        name: the path or hub id that the checkpoint was loaded from.
        layers: number of transformer blocks.
        block_parameters: number of weights in the matrices of all blocks that a token runs through
            (of a mixture of experts the active ones), for estimating FLOPs.
        last_parameters: those of them that run only at the rows that a pass needs (`needed` of
            `Backbone.hidden`).
        attention: "full" where every position sees every position, "block" where a position sees
            its own block and those before it, "causal" where it sees itself and those before it (an
            autoregressive model, which is no Backbone but has such facts).
        block_length: tokens of such a block, counted from the start of the prompt; None where
            attention is full.
        block_rule: name of the published way to decode blocks, a row of RULES in
            eosbench/decoding/block_policies.py.
        attention_width: heads times the width of a head, where that is not D; 0 stands for D.
        declared_eos: the one of `eos_ids` that the checkpoint calls its EOS; None where it says
            nothing.
        takes_positions: whether the backbone is a `PositionedBackbone`.
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
    attention: Literal["full", "block", "causal"] = "full"
    block_length: int | None = None
    block_rule: str = ""
    attention_width: int = 0
    declared_eos: int | None = None
    takes_positions: bool = False

    @property
    def eos_id(self) -> int:
        """The end of a text that is called EOS, and not the end of a turn."""
        declared = self.declared_eos
        return min(self.eos_ids) if declared not in self.eos_ids else int(declared)


class Backbone(Protocol):
    """A model that scores every position of a sequence in one pass."""

    spec: BackboneSpec
    tokenizer: Any  # a transformers tokenizer, or None where the checkpoint has none

    @property
    def device(self) -> torch.device:
        """The device of the hidden states and logits that it returns."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of its weights, and so of its hidden states."""
        ...

    def hidden(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        *,
        needed: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """[B, T] ids -> [B, T, D]: the last hidden states after the final norm, in raw rows.

        Args:
            input_ids: [B, T].
            attention_mask: [B, T], 1 = token, 0 = padding; None when there is no padding.
            needed: the raw rows that the caller needs, as [B, T] bool or as their places [n] in
                [B, T] flattened (`raw_rows`); the values of the others are left to the backbone.
                None: all.
        """
        ...

    def unembed(self, hidden: torch.Tensor) -> torch.Tensor:
        """[..., D] -> [..., V]: the output layer, row for row, without a shift."""
        ...

    def logits(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """[B, T] ids -> [B, T, V]: row i scores token i, whatever the family's raw order."""
        ...


class PositionedBackbone(Backbone, Protocol):
    """A backbone whose tokens may stand anywhere, so that a pass can leave positions out.

    Its spec says so (`takes_positions`); eosbench/forward/canvas_part.py makes use of it.
    """

    def hidden(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        *,
        needed: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """[B, T] ids -> [B, T, D]: as `Backbone.hidden`.

        Args:
            input_ids: [B, T].
            attention_mask: [B, T], as for `Backbone.hidden`.
            needed: as for `Backbone.hidden`.
            position_ids: [B, T], the position of every token in its sequence, the first one 0;
                None: each sequence counts its own tokens.
        """
        ...


@dataclass(frozen=True)
class Denoised:
    """An answer of a `NoiseCanvas`.

    Attributes:
        tokens: [N], of all its canvases; behind an end of text, padding.
        passes_by_canvas: forward passes over each of its canvases.
    """

    tokens: torch.Tensor
    passes_by_canvas: tuple[int, ...]


@runtime_checkable
class NoiseCanvas(Backbone, Protocol):
    """A backbone without a mask token, whose canvas starts as noise (DiffusionGemma).

    It denoises an answer by itself; its `mask_id` is -1.
    """

    def denoise_noise(
        self,
        prompt: Sequence[int] | torch.Tensor,
        *,
        canvas_length: int,
        max_new_tokens: int,
        seed: int,
        **settings: Any,
    ) -> Denoised:
        """The answer to a prompt, canvas after canvas until one holds an end of text.

        Args:
            prompt: its ids.
            canvas_length: tokens of every canvas.
            max_new_tokens: of the answer, rounded up to whole canvases.
            seed: of its random numbers.
            settings: of the family's rules; None is the checkpoint's value.
        """
        ...


def scoring_rows(hidden_BTD: torch.Tensor, logits_shifted: bool) -> torch.Tensor:
    """[B, T, D] raw rows -> [B, T, D], reordered so that row i is the one that scores token i.

    Where logits are shifted nothing scores token 0, and raw row 0 stands in for it.
    """
    if not logits_shifted:
        return hidden_BTD
    import torch

    return torch.cat([hidden_BTD[:, :1], hidden_BTD[:, :-1]], dim=1)


def raw_rows(
    row_N: torch.Tensor, column_N: torch.Tensor, width: int, shifted: bool
) -> torch.Tensor:
    """[N] places, in [B, T] flattened, of the raw rows that score the tokens at N positions.

    It is `scoring_rows` the other way round.

    Args:
        row_N: their rows.
        column_N: their columns.
        width: T.
        shifted: whether raw row i scores token i + 1; nothing scores column 0 then, and its own raw
            row stands in.

    Example:
        >>> import torch
        >>> raw_rows(torch.tensor([0, 1]), torch.tensor([2, 3]), width=4, shifted=True).tolist()
        [1, 6]
    """
    place_N = row_N * width + column_N
    return place_N - (column_N > 0).long() if shifted else place_N
