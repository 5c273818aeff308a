"""The settings of block models as one sequence is decoded by them, and which of them have a place.

A block model attends causally between blocks of its own length, counted from the start of the
prompt. What a DecodeConfig leaves open is the model's.
"""

from __future__ import annotations

from dataclasses import dataclass

from eosbench.backbone import BackboneSpec
from eosbench.decoding.config import SAMPLING, DecodeConfig, require

# Settings that only some rules have, and what they are called there.
SUB_BLOCKS, EDITING = "fast_dllm_v2", "llada2"


@dataclass(frozen=True)
class BlockSettings:
    """The settings by which the blocks of one sequence are decoded.

    Attributes:
        length: tokens of a block.
        steps: passes that a block of masks takes at most.
        sub_length: tokens of a sub-block, where the rule has those.
    """

    length: int
    steps: int
    sub_length: int

    @classmethod
    def of(cls, spec: BackboneSpec, config: DecodeConfig) -> BlockSettings:
        """The settings that a config means for a model.

        Raises:
            ConfigurationError: one that block models, or this one, have no place for.
        """
        length = config.block_length or spec.block_length or config.gen_length
        steps = config.steps_per_block or length
        if config.steps is not None:
            steps = max(1, config.steps // max(1, config.gen_length // length))
        sub_length = config.sub_block_length or min(8, length)
        require(
            length % sub_length == 0,
            f"sub_block_length={sub_length}: expected a divisor of the block length {length}",
        )
        return cls(length, min(steps, length), sub_length)


def check_settings(spec: BackboneSpec, config: DecodeConfig) -> None:
    """Refuses settings that a model has no place for.

    Raises:
        ConfigurationError: one of them, why, and what to write instead.
    """
    if spec.mask_id < 0:
        check_noise(spec, config)
        return
    for name, rule in (("editing_threshold", EDITING), ("sub_block_length", SUB_BLOCKS)):
        value = getattr(config, name)
        require(
            value is None or spec.block_rule == rule,
            f"{name}={value}: only {rule} has that, and this model is {spec.family!r}: "
            "leave it out",
        )
    if spec.attention == "full":
        require(
            not config.stop_after_block,
            f"stop_after_block=True: {spec.family!r} decodes a whole canvas: take stop_at_eos=True",
        )
        require(
            (config.block_length or 1) <= config.gen_length,
            f"block_length={config.block_length}: expected 1 to gen_length={config.gen_length}",
        )
        return
    reasons = {
        "cfg_scale": (
            config.cfg_scale or None,
            "guidance is not published for block models: leave it out",
        ),
        "schedule": (
            config.schedule if config.schedule != "even" else None,
            "blocks have an even schedule: leave it out",
        ),
        "cache": (
            None if config.cache == "dual" and spec.block_rule == SUB_BLOCKS else config.cache,
            "committed blocks are kept exactly anyway: leave it out",
        ),
    }
    if spec.block_rule == SUB_BLOCKS:
        for name in ("steps", "steps_per_block"):
            reasons[name] = (
                getattr(config, name),
                "it has no schedule, in steps or in tokens_per_step: threshold= says which tokens "
                "of a pass stay",
            )
    for name, (value, reason) in reasons.items():
        require(value is None, f"{name}={value!r} on {spec.family!r}: {reason}")


def check_noise(spec: BackboneSpec, config: DecodeConfig) -> None:
    """Refuses settings that a model with rules of its own has no place for.

    Raises:
        ConfigurationError: one of them, and what to write instead.
    """
    plain = DecodeConfig()
    without_place = ("remasking", "schedule", *SAMPLING, "cfg_scale", "threshold", "cache")
    of_blocks = ("editing_threshold", "sub_block_length")
    for name in (*without_place, *of_blocks, "suppress_tokens"):
        value = getattr(config, name)
        require(
            value == getattr(plain, name),
            f"{name}={value!r}: {spec.family!r} denoises its canvas by rules of its own "
            "(generation_config.json): leave it out, steps= is the most passes over a canvas",
        )
