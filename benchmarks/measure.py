"""Ratios of two times, with their spread.

Both sides run in turn, so that other load on the machine falls on both.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from rich.progress import Progress, TaskID

_T = TypeVar("_T")


@dataclass(frozen=True)
class Row:
    """One line of the table: the time of one side over the time of the other, a ratio per round.

    Attributes:
        name: of the benchmark.
        slow: the side whose time stands above.
        fast: the side whose time stands below.
        shapes: the sizes that both ran on.
        ratios: one per round.
        found: whatever else was found, in words.
    """

    name: str
    slow: str
    fast: str
    shapes: str
    ratios: tuple[float, ...]
    found: str = ""

    @property
    def median(self) -> float:
        """The median of the ratios."""
        return statistics.median(self.ratios)

    @property
    def spread(self) -> str:
        """The smallest and the largest ratio, in words."""
        return f"{min(self.ratios):.2f} to {max(self.ratios):.2f}"


@dataclass
class Setup:
    """The settings that every benchmark is given.

    Attributes:
        pretrained: the small trained model: "embedded", a folder or a hub id.
        predictors: a folder with a fitted predictor per method; the embedded model brings its own.
        canvas: C, which the predictors were fitted for.
        method: the length predictor that stands for all where one is enough.
        runs: rounds; each round runs both sides.
        quick: small shapes, to see that everything works; its ratios mean nothing.
        documents: of each family of `varlen_instruct` with one right answer, in every round (eight
            families).
    """

    pretrained: str = "embedded"
    predictors: Path | None = None
    canvas: int = 256
    method: str = "classification"
    runs: int = 5
    quick: bool = False
    documents: int = 1
    progress: Progress | None = field(default=None, repr=False)
    task: TaskID | None = None

    def watched_by(self, progress: Progress, task: TaskID) -> Setup:
        """The same settings with a progress bar that every finished round pushes on."""
        return replace(self, progress=progress, task=task)

    def advance(self) -> None:
        """Pushes the progress bar on by a round."""
        if self.progress is not None and self.task is not None:
            self.progress.advance(self.task)

    def alternate(
        self, slow: Callable[[], object], fast: Callable[[], object]
    ) -> tuple[float, ...]:
        """The ratio of each round, both sides in turn: A B A B. Warm both sides up before."""
        ratios = []
        for _ in range(self.runs):
            slow_seconds, fast_seconds = timed(slow)[0], timed(fast)[0]
            ratios.append(slow_seconds / fast_seconds)
            self.advance()
        return tuple(ratios)


def timed(call: Callable[..., _T], *arguments: Any) -> tuple[float, _T]:
    """The seconds that a call took, and its result."""
    started = time.perf_counter()
    result = call(*arguments)
    return time.perf_counter() - started, result


def peak_memory() -> int:
    """Peak resident memory of this process so far, in bytes.

    On Linux it is VmHWM, since a parent's ru_maxrss is handed on to its children.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
