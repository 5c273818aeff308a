"""lm-eval's flags beside `--model_args`: `--batch_size`, `--max_batch_size` and `--device` arrive
as model arguments, too.

lm-eval hands both to a model's constructor as keywords, where a name that stands in both is a
TypeError; and its command line says a `--batch_size` of 1 and a `--device` of cuda:0 where none
was typed. Here a model argument counts, and a flag that was typed and contradicts it is an
error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eosbench.errors import ConfigurationError

UNTYPED = {
    "batch_size": 1,
    "device": "cuda:0",
}  # what lm-eval's command line says of a flag that was not typed, None for the others


def with_flags(model_args: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    """Model arguments and flags as one mapping.

    Raises:
        ConfigurationError: a flag and a model argument of one name that say different things.

    >>> with_flags({"batch_size": 8, "device": "cpu"}, {"batch_size": 1, "device": "cuda:0", "max_batch_size": None})
    {'batch_size': 8, 'device': 'cpu'}
    """
    told = {
        name: value
        for name, value in flags.items()
        if value is not None and value != UNTYPED.get(name)
    }
    for name in told.keys() & model_args.keys():
        if str(told[name]) != str(model_args[name]):
            raise ConfigurationError(
                f"{name}={model_args[name]} stands in --model_args and --{name} says {told[name]}: give one of them"
            )
    return {**{name: value for name, value in flags.items() if value is not None}, **model_args}
