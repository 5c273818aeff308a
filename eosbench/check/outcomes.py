"""The outcome of `eosbench check`, for those who read it.

A terminal gets a table, CI a JUnit XML file, and a GitHub job a summary.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from eosbench.places import writing
from eosbench.xml_text import xml_text

if TYPE_CHECKING:
    from rich.console import Console

FINE, FELL, UNCOMPARABLE = "fine", "fell", "cannot compare"


@dataclass(frozen=True)
class Comparison:
    """One line of the outcome: a metric of a run's task.

    For a whole run or task that cannot be compared `metric` is "". `expected` is the baseline's
    value and `found` that of the results; NaN where one is not defined or not known.
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
    """All comparisons of one check; `message` counts them in one line."""

    comparisons: list[Comparison]
    message: str
    exit_code: int

    def having(self, status: str) -> list[Comparison]:
        """The comparisons with one status: FINE, FELL or UNCOMPARABLE."""
        return [comparison for comparison in self.comparisons if comparison.status == status]


def print_outcome(outcome: CheckOutcome, console: Console | None = None) -> None:
    """Prints a table of what fell, a line for each thing that cannot be compared, and the counts.

    Args:
        console: where to print; standard output by default.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = console or Console()
    fell = outcome.having(FELL)
    if fell:
        table = Table("run", "task", "metric", "baseline", "found", "what")
        for line in fell:
            cells = (line.run, line.task, line.metric, *_numbers(line), line.message)
            table.add_row(*map(Text, cells))
        console.print(table)
    for line in outcome.having(UNCOMPARABLE):
        if line.message in outcome.message:
            continue  # it is all that there is to say, and follows
        where = " ".join(filter(None, (line.run, line.task, line.metric)))
        console.print(Text(f"{line.status}: {where}: {line.message}"), soft_wrap=True)
    console.print(Text(outcome.message), soft_wrap=True)


def write_junit(outcome: CheckOutcome, path: Path) -> None:
    """Writes JUnit XML with a test case per comparison.

    A metric that fell is a failure, and what cannot be compared is an error.
    """
    suite = ElementTree.Element(
        "testsuite", name="eosbench check", tests=str(len(outcome.comparisons))
    )
    counts = {"failure": 0, "error": 0}
    for line in outcome.comparisons:
        name = ".".join(filter(None, (line.task, line.metric))) or "run"
        case = ElementTree.SubElement(
            suite, "testcase", classname=xml_text(line.run), name=xml_text(name)
        )
        if line.status != FINE:
            kind = "failure" if line.status == FELL else "error"
            counts[kind] += 1
            baseline, found = _numbers(line)
            numbers = f" (baseline {baseline}, found {found})" if line.metric else ""
            ElementTree.SubElement(case, kind, message=xml_text(line.message)).text = xml_text(
                f"{line.message}{numbers}"
            )
    suite.set("failures", str(counts["failure"]))
    suite.set("errors", str(counts["error"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def write_step_summary(outcome: CheckOutcome) -> None:
    """Appends a Markdown table to the file that GITHUB_STEP_SUMMARY names, if it names one."""
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
    said = f"GITHUB_STEP_SUMMARY={target}"
    with writing(said, "a file"), Path(target).open("a", encoding="utf-8") as summary:
        summary.write("\n".join(text) + "\n")


def _numbers(line: Comparison) -> tuple[str, str]:
    """Baseline and found value as printed; empty where no metric is compared."""
    if not line.metric:
        return "", ""
    return _number(line.expected), _number(line.found)


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4g}"


def _escaped(text: str) -> str:
    """As a cell of a Markdown table, shown and not interpreted."""
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;").split())
