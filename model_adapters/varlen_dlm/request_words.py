"""From the generation arguments of a request to values, in the one way of all arguments.

They come from a task's YAML file and from `--gen_kwargs`, as numbers or as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eosbench.errors import ConfigurationError
from model_adapters.varlen_dlm.arguments import DECODING, WHERE_GIVEN
from model_adapters.varlen_dlm.conversion import convert
from model_adapters.varlen_dlm.names import CANVAS, OF_DECODING
from model_adapters.varlen_dlm.sampling_arguments import SAMPLING

KNOWN = {
    "until",
    *CANVAS,
    "max_length",
    "do_sample",
    "seed",
    *SAMPLING,
    "eos_upper_bound",
    "reference",
    "suffix",
    *DECODING,
    *WHERE_GIVEN,
    *OF_DECODING,
}
TYPES = {"do_sample": bool, "temperature": float, "seed": int, "max_length": int}


@dataclass(frozen=True)
class RequestWords:
    """The generation arguments that are not about decoding, as values.

    Attributes:
        canvases: every name of the canvas's length that was given -> tokens; the first counts.
        max_length: tokens of prompt and answer together, as for transformers.
        do_sample: whether tokens are drawn; None says nothing.
        temperature: of the draws; None says nothing.
        seed: of sampling; None is the model's.
        until: stop strings.
        suffix: the text behind the answer, which fills a gap then; empty where there is none.
        given: the arguments as they came, with numbers where text said numbers.
    """

    canvases: Mapping[str, int]
    max_length: int | None
    do_sample: bool | None
    temperature: float | None
    seed: int | None
    until: tuple[str, ...]
    suffix: str
    given: Mapping[str, Any]

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> RequestWords:
        """The values of a request's generation arguments.

        Raises:
            ConfigurationError: one of another type.

        >>> RequestWords.of({"max_gen_toks": "16", "temperature": "0.5"}).temperature
        0.5
        """
        said = {name: value for name, value in given.items() if value is not None}
        values = {
            name: convert(name, said[name], python, "true or false" if python is bool else None)
            for name, python in TYPES.items()
            if name in said
        }
        canvases = {
            name: convert(name, said[name], int, "a whole number of tokens")
            for name in CANVAS
            if name in said
        }
        converted = {
            name: value
            for name, value in {**values, **canvases}.items()
            if isinstance(given[name], str)
        }
        return cls(
            canvases=canvases,
            max_length=values.get("max_length"),
            do_sample=values.get("do_sample"),
            temperature=values.get("temperature"),
            seed=values.get("seed"),
            until=_until(given.get("until")),
            suffix=_suffix(given.get("suffix")),
            given={**given, **converted},
        )

    @property
    def lengths(self) -> dict[str, int]:
        """Every length that was given, the one that counts first."""
        total = {} if self.max_length is None else {"max_length": self.max_length}
        return {**total, **self.canvases}

    def canvas(self, default: int, prompt_length: int, max_length: int) -> int:
        """C, which leaves room for a prompt in the model's positions.

        Args:
            default: where the request says nothing.
            prompt_length: of the request, in tokens.
            max_length: the model's positions.

        Raises:
            ConfigurationError: it leaves no room, or `max_length` of the request leaves none
                behind the prompt.
        """
        name, value = next(iter(self.canvases.items()), ("max_gen_toks", default))
        if self.max_length is not None:  # counts before the others, as for hf
            name, value = "max_length", self.max_length - prompt_length
            if value < 1:
                raise ConfigurationError(
                    f"max_length={self.max_length}: leaves no room behind a prompt of "
                    f"{prompt_length} tokens: say max_gen_toks instead"
                )
        if not 1 <= value < max_length:
            raise ConfigurationError(
                f"{name}={self.max_length if name == 'max_length' else value}: expected a whole "
                f"number of tokens from 1 to {max_length - 1}, which leaves room for a prompt in "
                f"the model's {max_length} positions"
            )
        return value


def _until(value: Any) -> tuple[str, ...]:
    strings = value if isinstance(value, list | tuple) else [value or ""]
    if not all(isinstance(string, str) for string in strings):
        raise ConfigurationError(f"until={value!r}: expected a string or a list of strings")
    return tuple(string for string in strings if string)


def _suffix(value: Any) -> str:
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"suffix={value!r}: expected the text behind the answer")
    return value or ""
