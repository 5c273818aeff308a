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
import sys
from types import TracebackType


class EosbenchError(Exception):
    """Base of all errors raised on purpose.

    The message says what was got, what was expected and what to type.
    """


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
