"""Errors raised on purpose end a command line with their message, not with a page of traceback through lm-eval."""

from __future__ import annotations

import os
import sys
from types import TracebackType

from eosbench.errors import EosbenchError


def report_errors_plainly() -> None:
    """Has an uncaught EosbenchError print one line; everything else, and all under EOSBENCH_TRACEBACK=1, keeps its traceback."""
    previous = sys.excepthook
    if getattr(previous, "eosbench", False) or os.environ.get("EOSBENCH_TRACEBACK") == "1":
        return

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if isinstance(error, EosbenchError):
            sys.stderr.write(f"eosbench: {error}\n(EOSBENCH_TRACEBACK=1 shows where)\n")
        else:
            previous(kind, error, traceback)

    hook.eosbench = True  # type: ignore[attr-defined]
    sys.excepthook = hook
