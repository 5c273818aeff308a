"""One sentence of the answers, and the parts that sentences share: names, numbers, intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from eosbench.report.columns import Column
from eosbench.report.tables import interval
from eosbench.results import Score

NAMES_SHOWN = 5  # of a list of runs


@dataclass(frozen=True)
class Sentence:
    """A whole sentence as plain text, and the command that it tells to type, if it does.

    The text then ends in a colon. Whoever shows it escapes both.
    """

    text: str
    command: str | None = None


def listed(names: Sequence[str], shown: int = NAMES_SHOWN) -> str:
    """The names as they stand in a sentence.

    >>> listed(["logit"]), listed(["logit", "mean", "max"])
    ('logit', 'logit, mean and max')
    >>> listed(["a", "b", "c", "d"], shown=2)
    'a, b and 2 others'
    """
    names = list(names)
    if len(names) > shown + 1:
        names = [*names[:shown], f"{len(names) - shown} others"]
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def are(names: Sequence[str]) -> str:
    """The verb that follows `listed(names)`."""
    return "is" if len(names) == 1 else "are"


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "answer"), counted(40, "answer")
    ('1 answer', '40 answers')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def share(value: float) -> str:
    """A share of one in per cent, without a decimal that says nothing.

    >>> share(0.95), share(0.995), share(1.0)
    ('95 %', '99.5 %', '100 %')
    """
    return f"{100 * value:.4g} %"


def known(score: Score | None) -> bool:
    """Whether a cell holds a number that can be told."""
    return score is not None and math.isfinite(score.value)


def measured(score: Score, column: Column, unit: str = "") -> str:
    """A value with its unit and interval: "17.6 tokens (12.6 to 23.1)".

    A mean over one document has no interval, nor has one of which no error is known.
    """
    low, high = (math.nan, math.nan) if score.count == 1 else interval(score, column)
    value = f"{column.printed(score.value)} {unit}".rstrip()
    return value + between(low, high, column)


def between(low: float, high: float, column: Column, lead: str = "") -> str:
    """The ends of an interval in brackets, after a blank; empty where they are not known."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f" ({lead}{column.printed(low)} to {column.printed(high)})"


def plain_number(value: float) -> str:
    """A positive number with three digits and no exponent.

    >>> [plain_number(value) for value in (1234.5, 14.21, 1.316, 0.0704, 0.0001)]
    ['1234', '14.2', '1.32', '0.0704', '0.0001']
    """
    if value <= 0 or not math.isfinite(value):
        return f"{value:.1f}"
    digits = max(0, 2 - math.floor(math.log10(value)))
    text = f"{value:.{min(digits, 12)}f}"
    return text.rstrip("0").rstrip(".") if "." in text and digits > 4 else text
