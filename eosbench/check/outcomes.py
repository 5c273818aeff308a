"""What `eosbench check` found, for those who read it: a terminal table, JUnit XML for CI, a summary
for a GitHub job.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from rich.console import Console

FINE, FELL, UNCOMPARABLE = "fine", "fell", "cannot compare"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Comparison:
    """One line of the outcome: a metric of a run's task, or a whole run or task that cannot be
    compared (then metric is "").
    """

    run: str
    task: str
    metric: str
    status: str
    message: str
    expected: float = math.nan
    found: float = math.nan


@dataclass(frozen=True)
class CheckOutcome:
    """What `check_results` found; `message` says it in one line."""

    comparisons: list[Comparison]
    message: str
    exit_code: int

    def having(self, status: str) -> list[Comparison]:
        return [comparison for comparison in self.comparisons if comparison.status == status]


def print_outcome(outcome: CheckOutcome, console: Console | None = None) -> None:
    """A table of what fell, a line for each thing that cannot be compared, and the count of
    everything.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = console or Console()
    fell = [line for line in outcome.comparisons if line.status == FELL]
    if fell:
        table = Table("run", "task", "metric", "baseline", "found", "what")
        for line in fell:
            table.add_row(
                *(
                    Text(cell)
                    for cell in (line.run, line.task, line.metric, *_numbers(line), line.message)
                )
            )
        console.print(table)
    for line in outcome.comparisons:
        if line.status not in (FINE, FELL):
            where = " ".join(part for part in (line.run, line.task, line.metric) if part)
            console.print(Text(f"{line.status}: {where}: {line.message}"), soft_wrap=True)
    console.print(Text(outcome.message))


def write_junit(outcome: CheckOutcome, path: Path) -> None:
    """One test case a comparison: a fall is a failure, what cannot be compared an error."""
    suite = ElementTree.Element(
        "testsuite", name="eosbench check", tests=str(len(outcome.comparisons))
    )
    counts = {"failure": 0, "error": 0}
    for line in outcome.comparisons:
        name = ".".join(part for part in (line.task, line.metric) if part) or "run"
        case = ElementTree.SubElement(
            suite, "testcase", classname=_clean(line.run), name=_clean(name)
        )
        if line.status != FINE:
            kind = "failure" if line.status == FELL else "error"
            counts[kind] += 1
            baseline, found = _numbers(line)
            numbers = f" (baseline {baseline}, found {found})" if line.metric else ""
            ElementTree.SubElement(case, kind, message=_clean(line.message)).text = _clean(
                f"{line.message}{numbers}"
            )
    suite.set("failures", str(counts["failure"]))
    suite.set("errors", str(counts["error"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def write_step_summary(outcome: CheckOutcome) -> None:
    """Appends a Markdown table to the file that GITHUB_STEP_SUMMARY names; nothing where it names
    none.
    """
    target = os.environ.get("GITHUB_STEP_SUMMARY")
    if not target:
        return
    lines = [line for line in outcome.comparisons if line.status != FINE]
    text = ["## eosbench check", "", _escaped(outcome.message), ""]
    if lines:
        text += [
            "| run | task | metric | baseline | found | what |",
            "| --- | --- | --- | ---: | ---: | --- |",
        ]
        for line in lines:
            cells = (
                line.run,
                line.task,
                line.metric,
                *_numbers(line),
                f"{line.status}: {line.message}",
            )
            text.append(f"| {' | '.join(_escaped(cell) for cell in cells)} |")
    with Path(target).open("a", encoding="utf-8") as summary:
        summary.write("\n".join(text) + "\n")


def _numbers(line: Comparison) -> tuple[str, str]:
    if not line.metric:
        return "", ""
    baseline, found = (
        f"{value:.4g}" if value == value else "–" for value in (line.expected, line.found)
    )
    return baseline, found


def _clean(text: str) -> str:
    """Without the characters that XML 1.0 cannot hold."""
    return _NOT_XML.sub("?", text)


def _escaped(text: str) -> str:
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;").split())
