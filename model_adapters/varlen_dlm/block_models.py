"""Model arguments and methods on models that attend causally between blocks.

Such a model decodes block after block and has no step zero that shows its whole canvas. Its own way
to end is method=blocks; method=fixed fills all blocks; a bound that comes from the prompt alone is
a cap, at which a text that does not end by itself is cut.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from eosbench.backbone import BackboneSpec
from eosbench.decoding import DecodeConfig, check_settings
from eosbench.errors import ConfigurationError
from eosbench.predictors import FittedPredictor, needs_whole_canvas, refuse_whole_canvas
from eosbench.strategies import STRATEGIES, Strategy
from model_adapters.varlen_dlm.arguments import Arguments, Unsaid


class BlockArguments(Arguments):
    """The arguments on a block model; a block length that nobody typed is the model's own."""

    def decode_config(self, canvas: int, temperature: float | None = None) -> DecodeConfig:
        """The settings with which a canvas is decoded, block after block.

        Args:
            canvas: C, the most tokens of an answer.
            temperature: of the request; by default the model's.
        """
        own = isinstance(self.block_length, Unsaid)
        length = int(self.block_length) or canvas
        steps_per_block = self.steps_per_block
        if self.tokens_per_step is not None:
            steps_per_block = -(-length // self.tokens_per_step)
        fills_all = self.method == "fixed"
        return DecodeConfig(
            gen_length=canvas,
            steps=None if self.steps is None else min(self.steps, canvas),
            block_length=None if own else length,
            remasking=self.remasking,
            schedule=self.schedule,
            **self.sampling(temperature),
            cfg_scale=self.cfg_scale,
            threshold=self.threshold,
            cache=self.cache,
            stop_at_eos=self.stop_at_eos and not fills_all and self.editing_threshold is None,
            stop_after_block=not fills_all,
            steps_per_block=steps_per_block,
            **self.of_blocks(),
        )


class NoiseArguments(BlockArguments):
    """The arguments on a model whose canvas starts as noise: its steps are passes over a canvas.

    They may be more than the canvas has tokens, since a pass may keep none.
    """

    def decode_config(self, canvas: int, temperature: float | None = None) -> DecodeConfig:
        """The settings with which an answer is denoised, canvas after canvas.

        Args:
            canvas: the most tokens of an answer.
            temperature: of the request; by default the model's.
        """
        if self.steps is None:
            return super().decode_config(canvas, temperature)
        by_canvas = replace(self, steps=None, steps_per_block=self.steps)
        return by_canvas.decode_config(canvas, temperature)


def on_model(arguments: Arguments, spec: BackboneSpec) -> Arguments:
    """The arguments as they hold for a model.

    Args:
        arguments: as they were given.
        spec: of the model.

    Raises:
        ConfigurationError: a setting that the model has no place for.
    """
    if spec.attention == "block" and not isinstance(arguments, BlockArguments):
        values: dict[str, Any] = {**vars(arguments)}
        if isinstance(arguments.block_length, Unsaid):
            values["block_length"] = Unsaid(spec.block_length or 0)
        kind = BlockArguments if spec.mask_id >= 0 else NoiseArguments
        arguments = kind(**values)
    check_settings(spec, arguments.decode_config(arguments.max_gen_toks))
    if arguments.promise is not None and (spec.attention == "block" or spec.mask_id < 0):
        raise ConfigurationError(
            f"promise={arguments.promise} counts passes over whole windows of masks, and "
            f"{spec.family!r} is decoded in another way: leave it out"
        )
    return arguments


def check_method(
    arguments: Arguments, spec: BackboneSpec, method: FittedPredictor | Strategy | None = None
) -> None:
    """Refuses a method that looks at a whole canvas, on a model that has none.

    Args:
        arguments: of the run.
        spec: of the model.
        method: its predictor or strategy; None where it has none yet.

    Raises:
        ConfigurationError: the method, why, and what to take.
    """
    if spec.attention == "block" and not fits_blocks(arguments.method, method):
        refuse_whole_canvas(arguments.method, spec)


def fits_blocks(name: str, method: FittedPredictor | Strategy | None) -> bool:
    """Whether a method needs no more than the prompt, or ends as block models do.

    Args:
        name: of the method.
        method: its predictor or strategy, if it has one.
    """
    if name in STRATEGIES:
        return name == "blocks"
    options = method.predictor.options if isinstance(method, FittedPredictor) else {}
    return not needs_whole_canvas(name, options)
