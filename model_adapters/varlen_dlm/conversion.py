"""A command line's strings and numbers in the types that a dataclass declares for its fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

from eosbench.errors import ConfigurationError


@cache
def kinds_of(declared: type) -> Mapping[str, tuple[type, bool]]:
    """Field of a dataclass -> its type, and whether it may be None."""
    hints = get_type_hints(declared)
    unions = {
        field.name: set(get_args(hints[field.name])) or {hints[field.name]}
        for field in fields(declared)
    }
    return {
        name: (next(iter(union - {NoneType})), NoneType in union) for name, union in unions.items()
    }


def convert(name: str, value: Any, kind: type) -> Any:
    """`value` of the argument `name` as a `kind` of CONVERTERS.

    Raises:
        ConfigurationError: it is none (name, value and what is expected are in the message).

    >>> convert("steps", "64", int), convert("parallelize", "false", bool)
    (64, False)
    """
    as_kind, expected = CONVERTERS[kind]
    try:
        return as_kind(value)
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise ConfigurationError(f"{name}={value!r}: expected {expected}") from error


def _whole(value: Any) -> int:
    if isinstance(value, bool) or float(value) != int(float(value)):
        raise ValueError
    return int(float(value))


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError
    return float(value)


def _truth(value: Any) -> bool:
    return {"true": True, "1": True, "false": False, "0": False}[str(value).lower()]


CONVERTERS: dict[type, tuple[Callable[[Any], Any], str]] = {
    int: (_whole, "a whole number"),
    float: (_number, "a number"),
    bool: (_truth, "True or False"),
    str: (str, "text"),
    Path: (lambda value: Path(value).expanduser(), "a path"),
}
