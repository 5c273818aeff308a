"""DecodeConfig: the settings by which a canvas is decoded.

    DecodeConfig(gen_length=64, block_length=16)    # import it from eosbench.decoding

A canvas is decoded block by block from the left; the settings say how many tokens stay after each
pass, which of them, and what may change the output.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from eosbench.decoding.sampler import OF_DRAWN, SCHEDULES
from eosbench.errors import ConfigurationError
from eosbench.forward import CACHES

RANDOM = ("random", "origin")  # no confidence counts
REMASKING = ("low_confidence", "random", *OF_DRAWN, "origin")
SAMPLING = (
    "temperature",
    "top_p",
    "top_k",
    "repetition_penalty",
    "logits_eos_inf",
    "confidence_eos_eot_inf",
)
PROBABILITIES = ("low_confidence", "maskgit_plus")  # a threshold can be held against these


@dataclass(frozen=True)
class DecodeConfig:
    """The settings by which a canvas is decoded.

    Args:
        gen_length: C, the tokens of the canvas; the most that it may grow to where it grows.
        steps: the forward passes for the whole canvas, shared out over the blocks; None is one per
            token.
        block_length: how many tokens are decoded together; None is the whole canvas. The last block
            may be shorter, and on a block model a block may be longer than the canvas.
        remasking: which tokens of a pass stay: "low_confidence" those that the model is most
            confident of, "maskgit_plus" the likeliest of those that were drawn, "entropy" those of
            the least entropy, "topk_margin" those furthest ahead of the second, "random" any,
            "origin" any, and how many is drawn too. "low_confidence" and "random" are LLaDA's, the
            others Dream's (eosbench/decoding/sampling.py says where they differ).
        schedule: how many tokens of a pass stay: "even" shares them out, "time" is Dream's
            (eosbench/decoding/dream_rules.py).
        temperature: 0 takes the most likely tokens; above it they are drawn.
        top_p: tokens are drawn from the likeliest, up to the one by which their share exceeds this;
            None or 1 draws from all.
        top_k: tokens are drawn from so many of the likeliest; None or 0 draws from all, 1 is the
            same as temperature 0.
        repetition_penalty: makes every token less likely that stands in the prompt or on the
            canvas, ends of text among them, once however often it stands; 1 changes nothing.
        logits_eos_inf: the EOS is never chosen; other ends of a text are (LLaDA's end of turn).
        confidence_eos_eot_inf: positions whose token ends a text stay last, and ends have no share
            in the confidence of the others.
        cfg_scale: the weight of classifier-free guidance, whose passes run every sequence twice,
            once with its prompt masked.
        threshold: every token of at least this confidence stays, and always one, instead of a
            scheduled number.
        cache: "prefix" or "dual" (eosbench/forward/block_cache.py), which change the output.
        steps_per_block: the forward passes for a block, instead of `steps`.
        editing_threshold: LLaDA2.1: a token that stands is replaced where another one is likelier
            than this.
        max_post_steps: LLaDA2.1: the most passes over a block that has no masks any more.
        sub_block_length: Fast-dLLM v2: how many tokens of a block are decoded together.
        suppress_tokens: ids that are never placed; like the mask token's, their share of the
            probability stays, so that a position that says one of them is unsure.
        stop_after_block: a block model enters no block behind one that holds an EOS, as it ends by
            itself.
        stop_at_eos: ends a sequence as soon as no masked position stands before its first EOS, or
            before it would enter a block behind a stop string. The text up to there is that of the
            whole run (docs/engine.md says why); what stands behind it may still be masked.

    Raises:
        ConfigurationError: a value or a combination that cannot work.
    """

    gen_length: int = 128
    steps: int | None = None
    block_length: int | None = None
    remasking: str = "low_confidence"
    schedule: str = "even"
    temperature: float = 0.0
    top_p: float | None = None
    top_k: int | None = None
    repetition_penalty: float = 1.0
    logits_eos_inf: bool = False
    confidence_eos_eot_inf: bool = False
    cfg_scale: float = 0.0
    threshold: float | None = None
    cache: str | None = None
    stop_at_eos: bool = False
    steps_per_block: int | None = None
    editing_threshold: float | None = None
    max_post_steps: int = 16
    sub_block_length: int | None = None
    stop_after_block: bool = False
    suppress_tokens: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        require(self.gen_length >= 1, f"gen_length={self.gen_length}: expected at least 1")
        block = self.block_length
        require(block is None or block >= 1, f"block_length={block}: expected at least 1")
        blocks, most = -(-self.gen_length // (block or self.gen_length)), self.gen_length
        require(
            self.steps is None or blocks <= self.steps <= most,
            f"steps={self.steps}: expected {blocks} (one per block) to {most} (one per token of "
            "the canvas)",
        )
        require(
            self.steps_per_block is None or self.steps is None,
            "steps and steps_per_block say the same thing: give one of them",
        )
        for name in ("steps_per_block", "max_post_steps", "sub_block_length"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"{name}={value}: expected at least 1")
        require(
            self.editing_threshold is None or 0 <= self.editing_threshold <= 1,
            f"editing_threshold={self.editing_threshold}: expected 0 to 1",
        )
        require(
            self.editing_threshold is not None or self.max_post_steps == type(self).max_post_steps,
            f"max_post_steps={self.max_post_steps}: it limits passes that edit, and without "
            "editing_threshold= none does: give both, or leave it out",
        )
        require(
            self.remasking in REMASKING,
            f"remasking={self.remasking!r}: expected one of {', '.join(REMASKING)}",
        )
        require(
            self.schedule in SCHEDULES,
            f"schedule={self.schedule!r}: expected one of {', '.join(SCHEDULES)}",
        )
        require(self.cfg_scale >= 0, f"cfg_scale={self.cfg_scale}: expected 0 or more")
        require(
            self.threshold is None or 0 < self.threshold <= 1,
            f"threshold={self.threshold}: expected above 0 and up to 1",
        )
        require(
            self.threshold is None or self.remasking in PROBABILITIES,
            f"threshold={self.threshold} with remasking={self.remasking!r}: a threshold needs "
            "remasking='low_confidence' or 'maskgit_plus'",
        )
        require(
            self.cache is None or self.cache in CACHES,
            f"cache={self.cache!r}: expected None or one of {', '.join(CACHES)}",
        )
        self._check_sampling()
        for name, no_limit in (("top_p", 1), ("top_k", 0)):
            if getattr(self, name) == no_limit:
                object.__setattr__(self, name, None)

    def _check_sampling(self) -> None:
        require(self.temperature >= 0, f"temperature={self.temperature}: expected 0 or more")
        require(
            self.top_p is None or 0 <= self.top_p <= 1,
            f"top_p={self.top_p}: expected 0 to 1, a share of the probability",
        )
        require(
            self.top_k is None or self.top_k >= 0,
            f"top_k={self.top_k}: expected a number of tokens, or 0 for all of them",
        )
        require(
            0 < self.repetition_penalty < math.inf,
            f"repetition_penalty={self.repetition_penalty}: expected above 0; 1 changes nothing",
        )
        require(
            self.remasking != "origin" or self.schedule == "time",
            f"remasking='origin' with schedule={self.schedule!r}: it draws how many tokens stay by "
            "Dream's schedule='time'",
        )
        require(
            not self.confidence_eos_eot_inf or self.remasking not in RANDOM,
            f"confidence_eos_eot_inf=True with remasking={self.remasking!r}: no confidence counts "
            "there, leave one of them out",
        )

    @property
    def draws_tokens(self) -> bool:
        """Whether tokens are drawn, and not the likeliest."""
        return self.temperature > 0 and self.top_k != 1

    @property
    def draws_positions(self) -> bool:
        """Whether it is drawn which positions stay."""
        return self.remasking in RANDOM

    @property
    def is_random(self) -> bool:
        """Whether two seeds may give two canvases."""
        return self.draws_tokens or self.draws_positions

    def blocks(self) -> Iterator[tuple[int, int, int]]:
        """Yields (start, end, steps) of every block, steps in proportion to its length.

        Example:
            >>> list(DecodeConfig(gen_length=40, steps=20, block_length=16).blocks())
            [(0, 16, 8), (16, 32, 8), (32, 40, 4)]
        """
        length, steps = self.gen_length, self.gen_length if self.steps is None else self.steps
        for start in range(0, length, self.block_length or length):
            end = min(start + (self.block_length or length), length)
            if self.steps_per_block is not None:
                yield start, end, min(self.steps_per_block, end - start)
            else:
                yield start, end, steps * end // length - steps * start // length


def require(condition: bool, message: str) -> None:
    """Raises ConfigurationError unless the condition holds."""
    if not condition:
        raise ConfigurationError(message)
