"""Strings and numbers of a command line, in the types that a dataclass or a method declares."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from os import PathLike
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from eosbench.errors import ConfigurationError, shown


@dataclass(frozen=True)
class ArgumentType:
    """The type of an argument, and whether None is one of its values."""

    python: Any
    optional: bool

    @classmethod
    def of(cls, annotation: Any) -> ArgumentType:
        """The type that an annotation declares.

        >>> ArgumentType.of(int | None)
        ArgumentType(python=<class 'int'>, optional=True)
        """
        if get_origin(annotation) not in (Union, UnionType):
            return cls(annotation, optional=False)
        *others, first = (one for one in get_args(annotation) if one is not NoneType)
        return cls(Any if others else first, NoneType in get_args(annotation))


@cache
def types_of(declared: type) -> Mapping[str, ArgumentType]:
    """The type of every field of a dataclass."""
    hints = get_type_hints(declared)
    return {field.name: ArgumentType.of(hints[field.name]) for field in fields(declared)}


def convert_all(given: Mapping[str, Any], types: Mapping[str, ArgumentType]) -> dict[str, Any]:
    """Every value in the type of its argument.

    None, and the word none, is a value of an argument that may be None. For any other argument None
    stands for the default, and the argument is left out.

    Raises:
        ConfigurationError: a value that its argument cannot take.
    """
    values: dict[str, Any] = {}
    for name, value in given.items():
        one = types[name]
        if value is None or (one.optional and str(value).lower() == "none"):
            if one.optional:
                values[name] = None
        else:
            values[name] = convert(name, value, one.python)
    return values


def convert(name: str, value: Any, python: Any, expected: str | None = None) -> Any:
    """The value of an argument in its type, or as it is where CONVERTERS lacks the type.

    Args:
        name: of the argument, for the message.
        value: as it came.
        python: the type.
        expected: the values in words, where those of CONVERTERS are not the right ones.

    Raises:
        ConfigurationError: a value of another type. The message names the argument, the value and
            what is expected.

    >>> convert("steps", "64", int), convert("parallelize", "false", bool)
    (64, False)
    """
    if python not in CONVERTERS:
        return value
    as_type, in_words = CONVERTERS[python]
    try:
        return as_type(value)
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise ConfigurationError(
            f"{name}={shown(value)}: expected {expected or in_words}"
        ) from error


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


def is_short(value: Any) -> bool:
    """Whether a value is a text or has a short one: a number, a path, a dtype or device of torch.

    >>> is_short("float32"), is_short(None)
    (True, False)
    """
    return isinstance(value, str | int | float | PathLike) or type(value).__module__ == "torch"


def _text(value: Any) -> str:
    if not is_short(value):
        raise TypeError
    return str(value)


def _json_object(value: Any) -> dict[str, Any]:
    found = json.loads(value) if isinstance(value, str) else value
    if not isinstance(found, Mapping):
        raise TypeError
    return dict(found)


CONVERTERS: dict[Any, tuple[Callable[[Any], Any], str]] = {
    int: (_whole, "a whole number"),
    float: (_number, "a number"),
    bool: (_truth, "True or False"),
    str: (_text, "text"),
    Path: (lambda value: Path(value).expanduser(), "a path"),
    Mapping[str, Any]: (_json_object, "a JSON object"),
}
