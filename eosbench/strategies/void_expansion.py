"""`void_expansion`: VoidExpansion, a canvas that grows until its tail is all padding.

VoidPadding, arXiv 2606.17999, and its published code for LLaDA (github.com/Haru-LCY/VoidPadding,
commit f9aaba3). The model has been fine-tuned to put one EOS behind an answer and then a token of
padding, VOID, up to the end of the canvas (`eosbench train eospad`). A VOID that it expects at the
end of a canvas is evidence that the canvas is long enough.

1. Canvas lengths are tried from the shortest on: multiples of the block from `initial_gen_length`,
   rounded up, to `max_gen_length`, rounded down. Each takes one pass over the prompt and masks
   alone. Over the last `window` positions, with q the probability of VOID and t that of the
   likeliest other token (the mask and the EOS count), a canvas is long enough where the mean of t
   is at most `tau_nonvoid` and that of q - t at least `tau_gap`. If none is, it is the longest.
2. The canvas is denoised from masks, block after block, as the decode settings say. VOID is never
   placed, but keeps its share of the probability: a position that says VOID is unsure, and last.

The defaults are those of the published script for LLaDA; its script for Dream has `tau_nonvoid`
0.15 and `tau_gap` 0.55. `gen_length` and `max_length` of the script are `initial_gen_length` and
`max_gen_length` here, as for DAEDAL; its `cut` is `stop_at_eos`, its `steps`, `block_length`,
`threshold` and `temperature` are those of the decode settings.

Ours: steps keep their rate where they do not fit the canvas (the published code fails an assertion
there): those of the canvas are rounded up, and shared out over its blocks. Where a request allows
less than the first canvas, its canvas is as long as it allows, and no length is tried. Every
sequence has its own canvas in any batch (the published code gives a batch one length). Guidance,
where it is asked for, holds in both parts. On Dream's family VOID keeps its share of the
probability as well, where the published code for Dream takes it out before the softmax.

Legend: n positions of the tail in one piece, V vocabulary.
"""

from __future__ import annotations

from collections import abc
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch

from eosbench import embedded
from eosbench.backbone import Backbone
from eosbench.command_lines import command_line
from eosbench.decoding import (
    DecodeConfig,
    Job,
    Scores,
    Sequence,
    Step,
    Steps,
    fill_window,
)
from eosbench.errors import ConfigurationError
from eosbench.strategies.protocol import Prepared
from eosbench.strategies.rules import at_least, shares

# Its names in the published checkpoints of LLaDA and of Dream, and in those of `eosbench train`.
VOID_TOKENS = ("<|pad_0|>", "<pad_0>", "<|pad|>")

__all__ = ["VOID_TOKENS", "VoidExpansion"]


@dataclass(frozen=True, kw_only=True)
class VoidExpansion:
    """VoidExpansion with the settings of its published script for LLaDA.

    Args:
        initial_gen_length: masks of the first canvas.
        max_gen_length: longest canvas, where the request does not allow less.
        expansion_factor: masks by which a canvas that is too short grows, and of which every canvas
            is a multiple; None is the block length of the decode settings.
        window: positions of the tail; None is a quarter of the block, at least 8. A canvas that is
            shorter is all tail.
        tau_nonvoid: the largest mean probability of the likeliest token that is not VOID.
        tau_gap: the least mean of VOID's probability less that.
        ban_void: whether VOID is never placed.
        void_token: the name or the id of VOID; None takes the first of VOID_TOKENS that the
            tokenizer knows.

    Raises:
        ConfigurationError: a length below 1, or tau_nonvoid outside [0, 1].
    """

    initial_gen_length: int = 64
    max_gen_length: int = 512
    expansion_factor: int | None = None
    window: int | None = 16
    tau_nonvoid: float = 0.09
    tau_gap: float = -0.45
    ban_void: bool = True
    void_token: str | int | None = None

    options = property(asdict)

    def __post_init__(self) -> None:
        at_least(self, 1, "initial_gen_length", "max_gen_length", "expansion_factor", "window")
        shares(self, "tau_nonvoid")

    def check(self, settings: DecodeConfig) -> None:
        """Refuses a block without a multiple between the first canvas and the longest.

        Raises:
            ConfigurationError: the lengths, and what to write.
        """
        if not self.canvases(settings, limit=self.max_gen_length):
            raise ConfigurationError(
                "method 'void_expansion' has no canvas to try: no multiple of "
                f"{self._step(settings)} lies between "
                f"initial_gen_length={self.initial_gen_length} and "
                f"max_gen_length={self.max_gen_length}: give a larger max_gen_length, or a smaller "
                "expansion_factor or block_length"
            )

    def void_id(self, backbone: Backbone) -> int:
        """The id of VOID in a model's vocabulary.

        Raises:
            ConfigurationError: the model has no such token, or the token has another meaning there.
        """
        spec, tokenizer = backbone.spec, backbone.tokenizer
        name = embedded.NAME if spec.name == str(embedded.MODEL) else spec.name or spec.family
        asked = VOID_TOKENS if self.void_token is None else (self.void_token,)
        void_id = next(
            (one for one in map(partial(_id_of, tokenizer), asked) if one is not None), None
        )
        if void_id is None:
            train = command_line("eosbench", "train", "eospad", "--pretrained", name)
            raise ConfigurationError(
                "method 'void_expansion' needs a model that was taught to put a padding token of "
                f"its own behind the EOS, and {name} knows no {' or '.join(map(str, asked))}: "
                f"train one with {train} --output FOLDER, or name its token with void_token=NAME"
            )
        if not 0 <= void_id < spec.vocab_size:
            raise ConfigurationError(
                f"void_token={self.void_token!r}: expected an id from 0 to {spec.vocab_size - 1}, "
                f"a row of the output layer of {name}"
            )
        if void_id == spec.mask_id or not spec.eos_ids - {void_id}:
            meaning = "masks a position" if void_id == spec.mask_id else "ends a text"
            raise ConfigurationError(
                f"void_token={self.void_token!r} is the token that {meaning} in {name}: expected a "
                "padding token of its own, as eosbench train eospad teaches it"
            )
        return void_id

    def prepare(self, backbone: Backbone, jobs: abc.Sequence[Job]) -> Prepared:
        """Finds the model's VOID, which no job may place where it is banned."""
        void_id = self.void_id(backbone)
        banned = (void_id,) if self.ban_void else ()
        ours = [
            replace(job, settings=replace(job.settings, suppress_tokens=banned)) for job in jobs
        ]
        return _GrownByVoid(self, void_id), ours

    def canvases(self, settings: DecodeConfig, limit: int | None = None) -> range:
        """The lengths that are tried, from the shortest on; none where too few are allowed.

        Args:
            settings: of decoding; `gen_length` is the longest canvas that a request allows.
            limit: the longest canvas instead.

        Example:
            >>> strategy = VoidExpansion(initial_gen_length=12)
            >>> list(strategy.canvases(DecodeConfig(gen_length=50, block_length=8)))
            [16, 24, 32, 40, 48]
        """
        step = self._step(settings)
        first = -(-self.initial_gen_length // step) * step
        most = min(self.max_gen_length, settings.gen_length) if limit is None else limit
        return range(first, most + 1, step)

    def is_enough(self, scores: Scores, canvas: int, void_id: int, settings: DecodeConfig) -> bool:
        """Whether the tail of a canvas of masks says VOID surely enough.

        Args:
            scores: of a pass over the canvas.
            canvas: its length.
            void_id: the id of VOID.
            settings: of decoding.
        """
        block = settings.block_length or settings.gen_length
        window = min(canvas, self.window or max(8, block // 4))
        others, gaps = [], []
        for logits_nV in scores.logits(torch.arange(canvas - window, canvas)):
            probability_nV = logits_nV.float().softmax(dim=-1)
            void_n = probability_nV[:, void_id].clone()
            probability_nV[:, void_id] = 0
            other_n = probability_nV.amax(dim=-1)
            others.append(other_n)
            gaps.append(void_n - other_n)
        other, gap = torch.cat(others).mean().item(), torch.cat(gaps).mean().item()
        return other <= self.tau_nonvoid and gap >= self.tau_gap

    def _step(self, settings: DecodeConfig) -> int:
        return self.expansion_factor or settings.block_length or self.initial_gen_length


@dataclass(frozen=True)
class _GrownByVoid:
    """The policy of VoidExpansion on a model whose VOID is known."""

    strategy: VoidExpansion
    void_id: int

    def decode(self, sequence: Sequence) -> Steps:
        """Tries canvases until one is long enough, then denoises it."""
        strategy, config = self.strategy, sequence.config
        strategy.check(config)
        lengths = strategy.canvases(config)
        if not lengths:
            sequence.resize(sequence.masks(min(strategy.max_gen_length, config.gen_length)))
        nowhere = torch.empty(0, dtype=torch.long)
        for length in lengths:
            sequence.resize(sequence.masks(length))
            scores = yield Step(nowhere, whole_canvas=True)
            if strategy.is_enough(scores, length, self.void_id, config):
                break
        yield from fill_window(sequence)


def _id_of(tokenizer: Any, token: str | int) -> int | None:
    """The id of a token by its name or its id; None where the tokenizer does not know the name."""
    if str(token).isdigit():
        return int(token)
    found: int | None = None if tokenizer is None else tokenizer.get_vocab().get(token)
    return found
