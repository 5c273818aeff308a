"""The model arguments of `varlen_dlm`: checked once, before anything is loaded, so that a typing
error costs no minute.

lm-eval hands over strings, numbers or None, as its command line parsed them; each argument is
brought to its type here or refused with a message that names it, what came and what is expected.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from eosbench import embedded
from eosbench.bounds import GROUPINGS, ROUNDINGS, Promise
from eosbench.decoding import OVERFLOWS, DecodeConfig
from eosbench.errors import ConfigurationError
from eosbench.predictors import local_folder, refuse_promise, row_of
from eosbench.strategies import ALL_METHODS, STRATEGIES, load_strategy
from model_adapters.varlen_dlm.conversion import Kind, convert_all, kinds_of

DECODING = (
    "steps",
    "tokens_per_step",
    "block_length",
    "remasking",
    "schedule",
    "cfg_scale",
    "threshold",
    "cache",
)  # a request may say, too
DECIDE_ANSWERS = (
    "dtype",
    "method",
    "alpha",
    "rounding",
    "max_gen_toks",
    *DECODING,
    "overflow",
    "reference",
    "mc_num",
    "seed",
)
OTHER_PROMISES = ("shortfall", "groups")  # decide answers, too, where they are given
OF_BOUNDS = (
    "predictor",
    "alpha",
    *OTHER_PROMISES,
    "rounding",
    "overflow",
    "reference",
)  # what only methods that predict a bound look at
REFERENCES = ("task", "self")
AUTO_BATCH_SIZE = 32  # answers do not depend on it


@dataclass(frozen=True)
class Arguments:
    """Everything that can stand in `--model_args` (and what lm-eval adds from its own flags).

    Attributes: pretrained: folder or hub id of the DLM; "embedded" is the model that comes with the
        package. revision, dtype, trust_remote_code, attn_implementation, device_map: as in
        transformers; see model_adapters.load_backbone. parallelize: as in lm-eval's hf:
        device_map=auto, which spreads the layers over all GPUs. logits_shifted: whether raw row i
        scores token i + 1, where the checkpoint does not say it right. mask_token, mask_token_id:
        name or id of the mask token, where the checkpoint does not say it. method: how the length is
        found: predicted, or decided while decoding; by default as the embedded model does, and
        `fixed`
            for any other.
        predictor: folder or hub id of the fitted predictor (`eosbench fit`); the embedded model
            brings its own.
        alpha: share of answers that a calibrated bound may miss; "none" leaves predictions
            uncalibrated.
        shortfall: promise a mean shortfall of at most so many tokens (conformal risk control)
            instead of a coverage.
        groups: keep the promise within groups of documents of like "prompt" or "prediction" length
            (Mondrian), not only over all.
        rounding: pow2, block or none.
        max_gen_toks: C, the canvas in tokens, for requests that do not say.
        steps, tokens_per_step: denoising steps of a whole canvas, or tokens unmasked per step (1).
        block_length: tokens denoised together; 0 is the whole window.
        remasking, schedule, cfg_scale, threshold, cache: see eosbench.decoding.DecodeConfig.
        stop_at_eos: leave out the passes that only fill in what stands behind the EOS or a stop
            string; no text changes.
        overflow: accept or retry a window without EOS.
        reference: whose answer a bound is compared with (and whose length `oracle` is told): the
            task's, or with "self" what the model itself says on the whole canvas
            (model_adapters/varlen_dlm/own_answers.py).
        mc_num: up to how many passes a likelihood enumerates all masks; where there are more, fewer
            are drawn.
        seed: of sampling and of masks.
        telemetry: JSONL file for the cost of every request.
        batch_size, max_batch_size, device: lm-eval's own flags; auto is a batch of 32, and no batch
            size changes an answer.
        options: every other argument, which is an option of the method: a keyword of its class in
            eosbench/predictors or eosbench/strategies.
    """

    pretrained: str = embedded.NAME
    revision: str | None = None
    dtype: str = "float32"
    trust_remote_code: bool = False
    attn_implementation: str | None = None
    device_map: str | None = None
    parallelize: bool = False
    logits_shifted: bool | None = None
    mask_token: str | None = None
    mask_token_id: int | None = None
    method: str = ""
    predictor: str | None = None
    alpha: float | None = 0.05
    shortfall: float | None = None
    groups: str | None = None
    rounding: str = "pow2"
    max_gen_toks: int = embedded.CANVAS
    steps: int | None = None
    tokens_per_step: int | None = None
    block_length: int = embedded.BLOCK_LENGTH
    remasking: str = "low_confidence"
    schedule: str = "even"
    cfg_scale: float = 0.0
    threshold: float | None = None
    cache: str | None = None
    stop_at_eos: bool = True
    overflow: str = "accept"
    reference: str = "task"
    mc_num: int = 128
    seed: int = 0
    telemetry: Path | None = None
    batch_size: int = 16
    max_batch_size: int | None = None
    device: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.method:
            object.__setattr__(self, "method", default_method(self.pretrained))
        choices = {
            "method": ALL_METHODS,
            "rounding": ROUNDINGS,
            "overflow": OVERFLOWS,
            "reference": REFERENCES,
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ConfigurationError(
                    f"unknown {name} {getattr(self, name)!r}: expected one of {', '.join(known)}"
                )
        for name in ("max_gen_toks", "mc_num", "batch_size", "tokens_per_step"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"{name}={value}: expected at least 1")
        if self.block_length < 0:
            raise ConfigurationError(
                f"block_length={self.block_length}: expected a number of tokens, or 0 for the whole window"
            )
        if self.alpha is not None and not 0 < self.alpha < 1:
            raise ConfigurationError(f"alpha={self.alpha}: expected above 0 and below 1, or none")
        if self.groups is not None and self.groups not in GROUPINGS:
            raise ConfigurationError(
                f"unknown groups {self.groups!r}: expected one of {', '.join(GROUPINGS)}, or none"
            )
        promise = self.promise
        if self.steps is not None and self.tokens_per_step is not None:
            raise ConfigurationError(
                "steps and tokens_per_step say the same thing: give one of them"
            )
        settings = self.decode_config(self.max_gen_toks)
        if self.decides_while_decoding:
            self._check_strategy(settings)
            return
        if self.groups is not None and promise is None:
            raise ConfigurationError(
                f"groups={self.groups} keeps a promise in each group, and alpha=none promises nothing"
            )
        if self.predictor is None and self.predictor_folder() is None:
            refuse_promise(self.method, promise)

    @property
    def is_embedded(self) -> bool:
        return self.pretrained == embedded.NAME

    def loading(self) -> dict[str, Any]:
        """What `load_backbone` is told, but for the device."""
        return {
            "path_or_hub_id": str(embedded.MODEL) if self.is_embedded else self.pretrained,
            "dtype": self.dtype,
            "revision": self.revision,
            "trust_remote_code": self.trust_remote_code,
            "attn_implementation": self.attn_implementation,
            "device_map": self.device_map or ("auto" if self.parallelize else None),
            "logits_shifted": self.logits_shifted,
            "mask_token": self.mask_token,
            "mask_token_id": self.mask_token_id,
        }

    @property
    def decides_while_decoding(self) -> bool:
        """True where the method predicts no bound."""
        return self.method in STRATEGIES

    def _check_strategy(self, settings: DecodeConfig) -> None:
        load_strategy(self.method, self.options).check(settings)
        defaults = {one.name: one.default for one in fields(self)}
        for name in OF_BOUNDS:
            if getattr(self, name) != defaults[name]:
                raise ConfigurationError(
                    f"method {self.method!r} decides the length while decoding and predicts no bound: "
                    f"{name}={getattr(self, name)!r} has no meaning for it, leave it out"
                )

    def predictor_folder(self) -> Path | None:
        if self.decides_while_decoding:
            return None
        if self.predictor is not None:
            return local_folder(self.predictor)
        # A rule that is given is not the one that the folder was calibrated for.
        zero_shot = self.options and row_of(self.method).fitting == "calibration"
        return (
            embedded.predictor_folder(self.method) if self.is_embedded and not zero_shot else None
        )

    @property
    def promise(self) -> Promise | None:
        """What bounds are to keep; None where they are not calibrated."""
        return Promise.of(alpha=self.alpha, shortfall=self.shortfall, groups=self.groups)

    def settings(self) -> dict[str, Any]:
        """What an answer depends on, beside backbone, predictor and options: for the fingerprint
        and the results file.
        """
        given = [name for name in OTHER_PROMISES if getattr(self, name) is not None]
        return {name: getattr(self, name) for name in (*DECIDE_ANSWERS, *given)}

    def for_request(self, canvas: int, given: Mapping[str, Any]) -> Arguments:
        """These arguments for a canvas of this many tokens, with what the request itself says of
        decoding.

        Raises:
            ConfigurationError: a value of a wrong type or outside its range.
        """
        own = {name: given[name] for name in DECODING if name in given}
        pace = (
            {"steps": None, "tokens_per_step": None}
            if own.keys() & {"steps", "tokens_per_step"}
            else {}
        )
        return replace(
            self, max_gen_toks=canvas, **{**pace, **convert_all(own, kinds_of(Arguments))}
        )

    def decode_config(self, canvas: int, temperature: float = 0.0) -> DecodeConfig:
        """How a whole canvas of this many tokens is denoised; a canvas shorter than `steps` takes a
        step per token.
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
            temperature=temperature,
            cfg_scale=self.cfg_scale,
            threshold=self.threshold,
            cache=self.cache,
            stop_at_eos=self.stop_at_eos,
        )


def default_method(pretrained: str) -> str:
    """The method where none is given: that of the embedded model, or the whole canvas."""
    return embedded.METHOD if pretrained == embedded.NAME else "fixed"


def parse_arguments(given: Mapping[str, Any]) -> Arguments:
    """Checks names and converts values; what is no argument of the adapter goes to the method.

    Raises:
        ConfigurationError: a name that neither the adapter nor the method knows (the message lists
            what both know, and the nearest name), or a value of a wrong type or outside its range.
    """
    kinds = {name: kind for name, kind in kinds_of(Arguments).items() if name != "options"}
    own = {name: _spelled_out(name, value) for name, value in given.items() if name in kinds}
    values = convert_all(own, kinds)
    method = values.get("method") or default_method(values.get("pretrained", embedded.NAME))
    others = {name: value for name, value in given.items() if name not in kinds}
    return Arguments(**values, options=_options(method, others, kinds))


def _spelled_out(name: str, value: Any) -> Any:
    """The value of an argument that has a word of its own for it."""
    if name == "rounding" and value is None:  # lm-eval's command line reads the word none as None
        return "none"
    if name == "batch_size" and str(value).startswith("auto"):
        return AUTO_BATCH_SIZE
    return value


def _options(method: str, given: Mapping[str, Any], arguments: Iterable[str]) -> dict[str, Any]:
    """Options of the method, converted by the signature of its class."""
    if not given:
        return {}
    options = row_of(method, ALL_METHODS).options()
    unknown = sorted(set(given) - set(options))
    if unknown:
        message = (
            f"varlen_dlm has no argument {', '.join(unknown)}; it knows {', '.join(arguments)}, "
            f"and method {method!r} has no option {', '.join(unknown)}: "
            f"expected {', '.join(options) or 'none'}."
        )
        raise ConfigurationError(message + _nearest(unknown, [*arguments, *options]))
    return convert_all(given, {name: Kind.of(one.annotation) for name, one in options.items()})


def _nearest(unknown: Iterable[str], known: Sequence[str]) -> str:
    """The question whether a known name was meant, where one looks alike.

    >>> _nearest(["step"], ["seed", "steps"])
    ' Did you mean steps?'
    """
    alike = [name for one in unknown for name in get_close_matches(one, known, n=1)]
    return f" Did you mean {', '.join(alike)}?" if alike else ""
