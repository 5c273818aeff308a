"""Strings and numbers of a command line, in the types that a dataclass or a method declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from eosbench.errors import ConfigurationError


@dataclass(frozen=True)
class Kind:
    """The type of an argument, and whether None is one of its values."""

    type: Any
    optional: bool

    @classmethod
    def of(cls, annotation: Any) -> Kind:
        """The kind that a type annotation declares.

        >>> Kind.of(int | None) == Kind(int, optional=True)
        True
        """
        if get_origin(annotation) not in (Union, UnionType):
            return cls(annotation, optional=False)
        types = [one for one in get_args(annotation) if one is not NoneType]
        return cls(types[0] if len(types) == 1 else Any, NoneType in get_args(annotation))


@cache
def kinds_of(declared: type) -> Mapping[str, Kind]:
    """The kind of every field of a dataclass."""
    hints = get_type_hints(declared)
    return {field.name: Kind.of(hints[field.name]) for field in fields(declared)}


def convert_all(given: Mapping[str, Any], kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """Every value in the type of its argument.

    None, and the word for an argument that may be None, is a value where it has a meaning. Elsewhere
    it stands for the default, and the argument is left out.

    Raises:
        ConfigurationError: a value that its argument cannot take.
    """
    values: dict[str, Any] = {}
    for name, value in given.items():
        kind = kinds[name]
        if value is None or (kind.optional and str(value).lower() == "none"):
            if kind.optional:
                values[name] = None
        else:
            values[name] = convert(name, value, kind.type)
    return values


def convert(name: str, value: Any, kind: Any) -> Any:
    """`value` of the argument `name` in the type `kind`; of other types than CONVERTERS, as it is.

    Raises:
        ConfigurationError: the value cannot be read as that type. The message names the argument,
            the value and what is expected.

    >>> convert("steps", "64", int), convert("parallelize", "false", bool)
    (64, False)
    """
    if kind not in CONVERTERS:
        return value
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


CONVERTERS: dict[Any, tuple[Callable[[Any], Any], str]] = {
    int: (_whole, "a whole number"),
    float: (_number, "a number"),
    bool: (_truth, "True or False"),
    str: (str, "text"),
    Path: (lambda value: Path(value).expanduser(), "a path"),
}
