"""The errors of eosbench as one tree; `EosbenchError` catches all of them.

EosbenchError
├── ConfigurationError      an argument, option or combination that cannot work (also a ValueError)
├── CheckpointError         a checkpoint that is missing, unreadable, or of no supported family
├── PredictorError          a length predictor that is missing, broken, or fitted for something else
├── CalibrationError        too few or unusable calibration scores
├── CacheError              a response or prediction cache made under other settings
└── ResultsError            a results file or folder that cannot be read or compared
"""

from __future__ import annotations

import os
import re
import sys
from types import TracebackType

_PLAIN = (str, bytes, int, float, complex, list, tuple, set, dict, type(None))
# No name of a file, no name of a model and no number has as many characters.
_TOO_LONG = re.compile(r"[^\s/,=]{256,}")


def _shortened(word: re.Match[str]) -> str:
    return f"{word[0][:60]} ... ({len(word[0])} characters)"


def shown(value: object) -> str:
    """A value as a message shows it: on one line, and not the whole of something large.

    >>> shown("0.5"), shown(object())
    ("'0.5'", '<object>')
    """
    if not isinstance(value, _PLAIN):
        return f"<{type(value).__name__}>"
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 200 else f"{text[:60]} ... ({len(text)} characters)"


class EosbenchError(Exception):
    """Base of all errors raised on purpose.

    The message says what was got, what was expected and what to type. A word in it that is longer
    than any name of a file can be is cut short.
    """

    def __str__(self) -> str:
        return _TOO_LONG.sub(_shortened, super().__str__())


class ConfigurationError(EosbenchError, ValueError):
    """An argument, option or combination of them that cannot work."""


class CheckpointError(EosbenchError):
    """A checkpoint that is missing, unreadable, or of no supported family."""


class PredictorError(EosbenchError):
    """A length predictor that is missing, broken, or fitted for another backbone."""


class CalibrationError(EosbenchError):
    """Too few or unusable calibration scores."""


class CacheError(EosbenchError):
    """A response or prediction cache that was made under other settings."""


class ResultsError(EosbenchError):
    """A results file or folder that cannot be read or compared."""


def report_errors_plainly() -> None:
    """Makes an uncaught EosbenchError end the command line with its message alone.

    All other errors keep their traceback, and all of them do under EOSBENCH_TRACEBACK=1.
    """
    previous = sys.excepthook
    if getattr(previous, "eosbench", False) or os.environ.get("EOSBENCH_TRACEBACK") == "1":
        return

    def hook(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, EosbenchError):
            sys.stderr.write(f"eosbench: {error}\n(EOSBENCH_TRACEBACK=1 shows where)\n")
        else:
            previous(kind, error, traceback)

    hook.eosbench = True  # type: ignore[attr-defined]
    sys.excepthook = hook
