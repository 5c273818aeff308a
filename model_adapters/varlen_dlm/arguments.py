"""The model arguments of `varlen_dlm`, checked before anything is loaded.

So a typing error costs no minute. parsing.py makes an `Arguments` of what lm-eval hands over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from eosbench import embedded
from eosbench.bounds import Promise
from eosbench.decoding import DecodeConfig
from eosbench.errors import ConfigurationError
from eosbench.predictors import (
    STEP_ZERO,
    Method,
    check_step_zero,
    local_folder,
    refuse_promise,
    row_of,
)
from eosbench.strategies import ALL_METHODS, STRATEGIES, load_strategy
from model_adapters.varlen_dlm.bound_arguments import (
    CHOICES_OF_BOUNDS,
    OTHER_PROMISES,
    BoundArguments,
)
from model_adapters.varlen_dlm.conversion import convert_all, types_of
from model_adapters.varlen_dlm.model_arguments import ModelArguments
from model_adapters.varlen_dlm.names import OF_DECODING, refuse_alg
from model_adapters.varlen_dlm.sampling_arguments import SAMPLING, SamplingArguments

CHOICES = {"method": ALL_METHODS, **CHOICES_OF_BOUNDS}

# A request may say these, too.
PACE = ("steps", "tokens_per_step")
DECODING = (*PACE, "block_length", "remasking", "schedule", "cfg_scale", "threshold", "cache")

OF_BLOCKS = ("editing_threshold", "max_post_steps", "sub_block_length")
PACES = (*PACE, "steps_per_block")
WHERE_GIVEN = ("steps_per_block", *OF_BLOCKS)  # an answer depends on them, where they are given

# An answer depends on these.
BEFORE_DECODING = ("dtype", "method", "alpha", "rounding", "max_gen_toks")
AFTER_DECODING = ("overflow", "reference", "mc_num", "seed")
DECIDE_ANSWERS = (*BEFORE_DECODING, *DECODING, *AFTER_DECODING)
# Only methods that predict a bound look at these.
OF_BOUNDS = ("predictor", *(one.name for one in fields(BoundArguments)))

WHOLE = (STEP_ZERO, "full")  # an option that asks for nothing but what is done anyway


class Unsaid(int):
    """A default that nobody typed: a model may have a value of its own."""


@dataclass(frozen=True)
class Arguments(SamplingArguments, BoundArguments, ModelArguments):
    """Everything that can stand in `--model_args`, and lm-eval's own flags.

    The arguments of the model itself are in model_arguments.py, those that say what a bound is to
    keep in bound_arguments.py, and those that say how tokens are drawn in sampling_arguments.py.

    Attributes:
        method: finds the length. By default it is the embedded model's own method, and `fixed` for
            any other model.
        predictor: folder or hub id of the fitted predictor (`eosbench fit`); the embedded model
            brings its own.
        max_gen_toks: C, the canvas in tokens, for requests that do not say.
        steps: denoising steps of a whole canvas.
        tokens_per_step: the same as tokens that are unmasked per step, 1 by default.
        block_length: tokens that are denoised together; 0 is the whole window. A model that
            attends causally between blocks has a length of its own.
        remasking, schedule, cfg_scale, threshold, cache: see eosbench.decoding.DecodeConfig.
        stop_at_eos: leaves out the passes that only fill in what stands behind the EOS or behind a
            stop string; no text changes.
        steps_per_block: denoising steps of a block, instead of `steps`.
        editing_threshold, max_post_steps: of LLaDA2.1, which replaces tokens that stand.
        sub_block_length: of Fast-dLLM v2, tokens of a block that are denoised together.
        mc_num: up to so many passes a likelihood enumerates all masks; where there are more, fewer
            are drawn.
        seed: of sampling and of masks.
        telemetry: JSONL file for the cost of every request.
        batch_size, max_batch_size, device: lm-eval's own flags; no batch size changes an answer,
            and none is above the largest.
        options: every other argument. It is an option of the method, a keyword of its class in
            eosbench/predictors or eosbench/strategies.

    Raises:
        ConfigurationError: a value outside its range, or values that cannot stand together.
    """

    method: str = ""
    predictor: str | None = None
    max_gen_toks: int = embedded.CANVAS
    steps: int | None = None
    tokens_per_step: int | None = None
    block_length: int = Unsaid(embedded.BLOCK_LENGTH)
    remasking: str = "low_confidence"
    schedule: str = "even"
    cfg_scale: float = 0.0
    threshold: float | None = None
    cache: str | None = None
    stop_at_eos: bool = True
    steps_per_block: int | None = None
    editing_threshold: float | None = None
    max_post_steps: int | None = None
    sub_block_length: int | None = None
    mc_num: int = 128
    seed: int = 0
    telemetry: Path | None = None
    batch_size: int = 16
    max_batch_size: int | None = None
    device: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_batch_size is not None:
            object.__setattr__(self, "batch_size", min(self.batch_size, self.max_batch_size))
        if not self.method:
            object.__setattr__(self, "method", default_method(self.pretrained))
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ConfigurationError(
                    f"unknown {name} {getattr(self, name)!r}: expected one of {', '.join(known)}"
                )
        self._check_numbers()
        settings = self.decode_config(self.max_gen_toks)
        promise = self.promise_for(settings)
        if self.decides_while_decoding:
            load_strategy(self.method, self.options).check(settings)
            self._refuse_bounds()
            return
        check_step_zero(self.method, self.options, has_folder=self.predictor is not None)
        if self.groups is not None and promise is None:
            raise ConfigurationError(
                f"groups={self.groups} keeps a promise in each group, and alpha=none promises "
                "nothing"
            )
        elif self.predictor is None and self.predictor_folder() is None:
            refuse_promise(self.method, promise)

    def _check_numbers(self) -> None:
        for name in ("max_gen_toks", "mc_num", "max_batch_size", "batch_size", "tokens_per_step"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"{name}={value}: expected at least 1")
        if self.block_length < 0:
            raise ConfigurationError(
                f"block_length={self.block_length}: expected a number of tokens, or 0 for the "
                "whole window"
            )
        self.check_promise()
        if self.steps is not None and self.tokens_per_step is not None:
            raise ConfigurationError(
                "steps and tokens_per_step say the same thing: give one of them"
            )

    def _refuse_bounds(self) -> None:
        defaults = {one.name: one.default for one in fields(self)}
        for name in OF_BOUNDS:
            value = getattr(self, name)
            if value != defaults[name]:
                raise ConfigurationError(
                    f"method {self.method!r} decides the length while decoding and predicts no "
                    f"bound: {name}={value!r} has no meaning for it, leave it out"
                )

    @property
    def row(self) -> Method:
        """The row of the method in the table that it stands in."""
        return row_of(self.method, ALL_METHODS)

    @property
    def decides_while_decoding(self) -> bool:
        """Whether the method predicts no bound."""
        return self.method in STRATEGIES

    @property
    def usual_promise(self) -> Promise | None:
        """The promise of requests that say nothing of their own."""
        return self.promise_for(self.decode_config(self.max_gen_toks))

    @property
    def first_positions(self) -> int:
        """The positions of a window that its first pass scores, if step zero may stand for it."""
        if self.cache is not None or self.cfg_scale:
            return 0
        settings = self.decode_config(self.max_gen_toks)
        return settings.block_length or settings.gen_length

    def predictor_folder(self) -> Path | None:
        """The folder of the fitted predictor, None for a method that works without one."""
        if self.decides_while_decoding:
            return None
        if self.predictor is not None:
            return local_folder(self.predictor)
        # A rule of the user's own is not the one that the embedded folder was calibrated for.
        own = {name: value for name, value in self.options.items() if (name, value) != WHOLE}
        own_rule = own and self.row.fitting == "calibration"
        if own_rule or not self.is_embedded:
            return None
        return embedded.predictor_folder(self.method)

    def settings(self) -> dict[str, Any]:
        """The arguments that an answer depends on, for the fingerprint and the results file.

        Backbone, predictor and options stand beside them there.
        """
        given = [name for name in OTHER_PROMISES if getattr(self, name) is not None]
        given += [name for name in WHERE_GIVEN if getattr(self, name) is not None]
        always = {name: getattr(self, name) for name in (*DECIDE_ANSWERS, *given)}
        always["block_length"] = int(self.block_length)  # a plain number, whoever said it
        return always | self.given_sampling() | self.given_settings()

    def for_request(self, canvas: int, given: Mapping[str, Any]) -> Arguments:
        """The arguments of one request.

        Args:
            canvas: C of the request.
            given: its generation arguments, of which some are about decoding.

        Raises:
            ConfigurationError: a value of a wrong type or outside its range.
        """
        refuse_alg(given)
        own = {OF_DECODING.get(name, name): value for name, value in given.items()}
        known = (*DECODING, *WHERE_GIVEN, *SAMPLING)
        said = {name: own[name] for name in known if name in own and name != "temperature"}
        values = convert_all(said, types_of(Arguments))
        if said.keys() & set(PACES):  # the pace of the model's own arguments does not hold, then
            values = {**dict.fromkeys(PACES), **values}
        return replace(self, max_gen_toks=canvas, **values)

    def decode_config(self, canvas: int, temperature: float | None = None) -> DecodeConfig:
        """The settings with which a whole canvas is denoised.

        Args:
            canvas: C. One that is shorter than `steps` takes a step per token.
            temperature: of the request; by default the model's.
        """
        block = min(self.block_length or canvas, canvas)
        steps = None if self.steps is None else min(self.steps, canvas)
        if self.tokens_per_step is not None:
            steps = max(-(-canvas // self.tokens_per_step), -(-canvas // block))
        return DecodeConfig(
            gen_length=canvas,
            steps=steps,
            block_length=block,
            remasking=self.remasking,
            schedule=self.schedule,
            **self.sampling(temperature),
            cfg_scale=self.cfg_scale,
            threshold=self.threshold,
            cache=self.cache,
            stop_at_eos=self.stop_at_eos,
            steps_per_block=self.steps_per_block,
            **self.of_blocks(),
        )

    def of_blocks(self) -> dict[str, Any]:
        """The settings of block models that are given."""
        given = {name: getattr(self, name) for name in OF_BLOCKS}
        return {name: value for name, value in given.items() if value is not None}


def default_method(pretrained: str) -> str:
    """The method where none is given: the embedded model's own, or the whole canvas."""
    return embedded.METHOD if pretrained == embedded.NAME else "fixed"
