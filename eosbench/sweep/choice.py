"""The methods of a sweep, and the tasks that each of them can run. No torch."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from eosbench.errors import ConfigurationError
from eosbench.predictors import THE_FIVE
from eosbench.strategies import ALL_METHODS, STRATEGIES

logger = logging.getLogger(__name__)

# Tasks that ask for a bound before decoding, which a strategy does not predict.
BOUND_TASKS = ("eos_upper_bound",)
# Tasks whose requests hold the reference answer.
CARRY_REFERENCE = ("eos_upper_bound", "varlen_instruct")


def chosen_methods(names: str, known: Iterable[str] = tuple(ALL_METHODS)) -> list[str]:
    """The methods that a list names: names with commas, and `all` or `five` in place of a name.

    Raises:
        ConfigurationError: an unknown method, or none.

    Example:
        >>> chosen_methods("fixed, logit,fixed")
        ['fixed', 'logit']
        >>> chosen_methods("five,prompt_length")[-2:]
        ['distilbert', 'prompt_length']
    """
    groups = {"all": list(known), "five": list(THE_FIVE)}
    said = [name.strip() for name in names.split(",") if name.strip()]
    methods = [method for name in said for method in groups.get(name, [name])]
    unknown = [name for name in methods if name not in known]
    if unknown or not methods:
        raise ConfigurationError(
            f"unknown method {', '.join(unknown) or names!r}: expected all, five, or some of "
            f"{', '.join(known)}"
        )
    return list(dict.fromkeys(methods))


def tasks_for(method: str, tasks: Sequence[str]) -> list[str]:
    """The tasks that a method can run, with a warning about the others.

    >>> tasks_for("blocks", ["eos_upper_bound_u00", "gsm8k"])
    ['gsm8k']
    """
    if method == "oracle":
        chosen = [task for task in tasks if task.startswith(CARRY_REFERENCE)]
        reason = "no reference answer is sent there"
    elif method in STRATEGIES:
        chosen = [task for task in tasks if not task.startswith(BOUND_TASKS)]
        reason = "they ask for a bound before decoding"
    else:
        return list(tasks)
    left_out = [task for task in tasks if task not in chosen]
    if left_out:
        logger.warning("method %s is left out of %s: %s", method, ", ".join(left_out), reason)
    return chosen
