"""The model arguments of `varlen_dlm`: checked once, before anything is loaded, so that a typing error costs no minute.

lm-eval hands over strings, numbers or None, as its command line parsed them; each argument is brought to its type here or
refused with a message that names it, what came and what is expected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from eosbench import embedded
from eosbench.bounds import ROUNDINGS
from eosbench.errors import ConfigurationError
from eosbench.generation import OVERFLOWS
from eosbench.predictors import METHODS

METHOD_OPTIONS = ("variant", "quantile", "tau")  # of methods that work without a fitted folder
AUTO_BATCH_SIZE = 32  # answers do not depend on it
NOT_GENERATION = {
    "predictor",
    "telemetry",
    "batch_size",
    "max_batch_size",
    "device",
    "trust_remote_code",
    "revision",
    "pretrained",
}


@dataclass(frozen=True)
class Arguments:
    """Everything that can stand in `--model_args` (and what lm-eval adds from its own flags).

    Attributes:
        pretrained: folder or hub id of the DLM; "embedded" is the model that comes with the package.
        revision, dtype, trust_remote_code: as in transformers.
        method: length-prediction method; by default the embedded model's, and `fixed` for any other.
        predictor: folder of the fitted predictor (`eosbench fit`); the embedded model brings its own.
        alpha: share of answers that a calibrated bound may miss; "none" leaves predictions uncalibrated.
        rounding: pow2, block or none.
        max_gen_toks: C, the canvas in tokens, for requests that do not say.
        steps, tokens_per_step: denoising steps of a whole canvas, or tokens unmasked per step (1).
        block_length: tokens denoised together; 0 is the whole window.
        remasking, cfg_scale, threshold, cache: see eosbench.decoding.DecodeConfig.
        overflow: accept or retry a window without EOS.
        mc_num: masks per likelihood that is not enumerated.
        seed: of sampling and of masks.
        telemetry: JSONL file for the cost of every request.
    """

    pretrained: str = embedded.NAME
    revision: str | None = None
    dtype: str = "float32"
    trust_remote_code: bool = False
    method: str = ""
    predictor: str | None = None
    alpha: float | None = 0.05
    rounding: str = "pow2"
    max_gen_toks: int = embedded.CANVAS
    steps: int | None = None
    tokens_per_step: int | None = None
    block_length: int = embedded.BLOCK_LENGTH
    remasking: str = "low_confidence"
    cfg_scale: float = 0.0
    threshold: float | None = None
    cache: str | None = None
    overflow: str = "accept"
    mc_num: int = 128
    seed: int = 0
    telemetry: Path | None = None
    batch_size: int = 16
    max_batch_size: int | None = None
    device: str | None = None
    variant: str | None = None
    quantile: float | None = None
    tau: float | None = None
    options: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        if not self.method:
            object.__setattr__(self, "method", embedded.METHOD if self.is_embedded else "fixed")
        options = {name: getattr(self, name) for name in METHOD_OPTIONS if getattr(self, name) is not None}
        object.__setattr__(self, "options", options)
        _one_of("method", self.method, METHODS)
        _one_of("rounding", self.rounding, ROUNDINGS)
        _one_of("overflow", self.overflow, OVERFLOWS)
        for name in ("max_gen_toks", "mc_num", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name}={getattr(self, name)}: expected at least 1")
        if self.block_length < 0:
            raise ConfigurationError(f"block_length={self.block_length}: expected a number of tokens, or 0 for the whole window")
        if self.alpha is not None and not 0 < self.alpha < 1:
            raise ConfigurationError(f"alpha={self.alpha}: expected above 0 and below 1, or none")
        if self.steps is not None and self.tokens_per_step is not None:
            raise ConfigurationError("steps and tokens_per_step say the same thing: give one of them")
        if self.tokens_per_step is not None and self.tokens_per_step < 1:
            raise ConfigurationError(f"tokens_per_step={self.tokens_per_step}: expected at least 1")

    @property
    def is_embedded(self) -> bool:
        return self.pretrained == embedded.NAME

    def predictor_folder(self) -> Path | None:
        if self.predictor is not None:
            return Path(self.predictor).expanduser()
        return embedded.predictor_folder(self.method) if self.is_embedded else None

    def settings(self) -> dict[str, Any]:
        """What an answer depends on, beside backbone and predictor: goes into the fingerprint and the results file."""
        return {name: value for name, value in asdict(self).items() if name not in NOT_GENERATION and name not in METHOD_OPTIONS}


def parse_arguments(given: Mapping[str, Any]) -> Arguments:
    """Checks names, converts values.

    Raises:
        ConfigurationError: an unknown argument (all known ones are listed), or a value of a wrong type or outside its range.
    """
    known = {f.name: f for f in fields(Arguments) if f.init}
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ConfigurationError(f"varlen_dlm has no argument {', '.join(unknown)}; it knows {', '.join(known)}")
    values: dict[str, Any] = {}
    for name, value in given.items():
        if value is None or (isinstance(value, str) and value.lower() == "none" and "None" in str(known[name].type)):
            if "None" in str(known[name].type):
                values[name] = None
            continue
        values[name] = _convert(name, value, str(known[name].type))
    return Arguments(**values)


def _convert(name: str, value: Any, type_name: str) -> Any:
    kind = type_name.split(" | ")[0]
    if name == "batch_size" and str(value).startswith("auto"):
        return AUTO_BATCH_SIZE
    converters: dict[str, tuple[Callable[[Any], Any], str]] = {
        "int": (_whole, "a whole number"),
        "float": (float, "a number"),
        "bool": (_truth, "True or False"),
        "str": (str, "text"),
        "Path": (Path, "a path"),
    }
    convert, expected = converters[kind]
    try:
        return convert(value)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{name}={value!r}: expected {expected}") from error


def _whole(value: Any) -> int:
    if isinstance(value, bool) or float(value) != int(float(value)):
        raise ValueError
    return int(float(value))


def _truth(value: Any) -> bool:
    if str(value).lower() not in ("true", "false", "1", "0"):
        raise ValueError
    return str(value).lower() in ("true", "1")


def _one_of(name: str, value: str, known: Any) -> None:
    if value not in known:
        raise ConfigurationError(f"unknown {name} {value!r}: expected one of {', '.join(known)}")
