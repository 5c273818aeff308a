"""lm-eval's flags `--batch_size`, `--max_batch_size` and `--device`, beside `--model_args`.

lm-eval hands flags and model arguments to the constructor of a model as keywords, where a name that
stands among both is a TypeError. Its command line also says a `--batch_size` of 1 and a `--device`
of cuda:0 where no flag was typed. Here the model argument counts, and a flag that was typed and
contradicts it is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eosbench.errors import ConfigurationError

# The values that lm-eval's command line gives flags that were not typed; it is None for the others.
UNTYPED = {"batch_size": 1, "device": "cuda:0"}


def with_flags(model_args: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    """Model arguments and flags as one mapping.

    Raises:
        ConfigurationError: a flag and a model argument of one name that say different things.

    >>> with_flags({"batch_size": 8}, {"batch_size": 1, "device": "cpu", "max_batch_size": None})
    {'batch_size': 8, 'device': 'cpu'}
    """
    given = {name: value for name, value in flags.items() if value is not None}
    told = {name: value for name, value in given.items() if value != UNTYPED.get(name)}
    for name in told.keys() & model_args.keys():
        if str(told[name]) != str(model_args[name]):
            raise ConfigurationError(
                f"{name}={model_args[name]} stands in --model_args and --{name} says "
                f"{told[name]}: give one of them"
            )
    return {**given, **model_args}
