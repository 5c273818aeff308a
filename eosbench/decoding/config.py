"""DecodeConfig: the settings by which a canvas is decoded.

    DecodeConfig(gen_length=64, block_length=16)    # import it from eosbench.decoding

A canvas is decoded block by block from the left; the settings say how many tokens stay after each
pass, which of them, and what may change the output.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from eosbench.decoding.sampler import CONFIDENCES, SCHEDULES
from eosbench.errors import ConfigurationError
from eosbench.forward import CACHES

REMASKING = ("low_confidence", "random", *CONFIDENCES)


@dataclass(frozen=True)
class DecodeConfig:
    """The settings by which a canvas is decoded.

    Args:
        gen_length: C, the tokens of the canvas; the most that it may grow to where it grows.
        steps: the forward passes for the whole canvas, shared out over the blocks; None is one per
            token.
        block_length: how many tokens are decoded together; None is the whole canvas. The last block
            may be shorter.
        remasking: which tokens of a pass stay: "low_confidence" the most confident, "entropy" those
            of the least entropy, "topk_margin" those furthest ahead of the second, "random" any.
            Dream's maskgit_plus is low_confidence.
        schedule: how many tokens of a pass stay: "even" shares them out, "time" is Dream's
            (eosbench/decoding/dream_rules.py).
        temperature: 0 takes the most likely tokens; above it they are drawn.
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
        require(
            block is None or 1 <= block <= self.gen_length,
            f"block_length={block}: expected 1 to gen_length={self.gen_length}",
        )
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
            self.remasking in REMASKING,
            f"remasking={self.remasking!r}: expected one of {', '.join(REMASKING)}",
        )
        require(
            self.schedule in SCHEDULES,
            f"schedule={self.schedule!r}: expected one of {', '.join(SCHEDULES)}",
        )
        require(self.temperature >= 0, f"temperature={self.temperature}: expected 0 or more")
        require(self.cfg_scale >= 0, f"cfg_scale={self.cfg_scale}: expected 0 or more")
        require(
            self.threshold is None or 0 < self.threshold <= 1,
            f"threshold={self.threshold}: expected above 0 and up to 1",
        )
        require(
            self.threshold is None or self.remasking == "low_confidence",
            f"threshold={self.threshold} with remasking={self.remasking!r}: a threshold needs "
            "remasking='low_confidence'",
        )
        require(
            self.cache is None or self.cache in CACHES,
            f"cache={self.cache!r}: expected None or one of {', '.join(CACHES)}",
        )

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
