"""The answers of a report: a short list of sentences for every benchmark, or one without any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eosbench.report.answers.bounds import bound_sentences
from eosbench.report.answers.joined import seeds_sentences, with_seeds_joined
from eosbench.report.answers.next_steps import all_censored, alone, only_limits, too_few
from eosbench.report.answers.other_tasks import other_sentences
from eosbench.report.answers.sentence import Sentence, known
from eosbench.report.contents import Tables
from eosbench.report.evidence import LIMITS, Evidence
from eosbench.report.tables import Row

FEWEST = 2  # answers of a run that anything is said of


@dataclass(frozen=True)
class Answers:
    """The sentences of one benchmark, which stand above its tables.

    Attributes:
        benchmark: None where no bound was measured.
        fraction: the share of each answer that was shown before the prediction.
    """

    sentences: Sequence[Sentence]
    benchmark: str | None = None
    fraction: float | None = None

    @property
    def title(self) -> str:
        """The benchmark and its fraction in words; empty where no bound was measured."""
        if self.benchmark is None:
            return ""
        if not self.fraction:
            return f"{self.benchmark}, nothing of the answer shown"
        return f"{self.benchmark}, {self.fraction:.0%} of the answer shown"


def make_answers(evidence: Evidence, tables: Tables, folder: str | Path) -> list[Answers]:
    """The answers of every benchmark, in the order of the tables; one without bounds elsewise.

    Runs that are seeds of one method are told of as one.

    Args:
        evidence: the runs and documents.
        tables: made from them.
        folder: where the results lie, for the commands that add to them.
    """
    evidence, tables = with_seeds_joined(evidence, tables)
    comparison = tables.comparison
    made: list[Answers] = []
    for benchmark in comparison.benchmarks:
        least = comparison.fractions(benchmark)[0]
        rows = [row for row in comparison.rows if row.benchmark == benchmark]
        sentences = _of_benchmark(evidence, tables, rows, least, folder)
        made.append(Answers(sentences, benchmark, least))
    if not made:
        made.append(Answers(other_sentences(evidence, tables.generation, tables.pairs, folder)))
    return made


def _of_benchmark(
    evidence: Evidence, tables: Tables, every: Sequence[Row], least: float, folder: str | Path
) -> list[Sentence]:
    """The sentences of one benchmark; `every` row of it, at all fractions."""
    rows = [row for row in every if row.fraction == least]
    if not any(_answers(row) for row in rows):
        return all_censored(evidence, rows)
    predicting = [row for row in rows if row.run.method not in LIMITS]
    tasks = _tasks(every)
    if not predicting:
        return only_limits(folder, rows, tasks)
    enough = [row for row in predicting if _answers(row) >= FEWEST]
    if not enough:
        return too_few(predicting)
    sentences = bound_sentences(evidence, enough, tables.pairs) + seeds_sentences(enough)
    if len(predicting) == 1:
        sentences.append(alone(folder, predicting[0], tasks))
    return sentences


def _answers(row: Row) -> int:
    """The number of answers that a run measured: those that fit its canvas."""
    coverage = row.cells.get("coverage")
    return coverage.count if coverage is not None and known(coverage) else 0


def _tasks(rows: Sequence[Row]) -> list[str]:
    """The tasks of a benchmark, in the order of their fractions."""
    found: dict[str, None] = {}
    for row in rows:
        for name, task in row.run.tasks.items():
            if task.benchmark == row.benchmark:
                found[name] = None
    return sorted(found)
