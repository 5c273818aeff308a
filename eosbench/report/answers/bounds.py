"""The answers of one benchmark: its tightest bounds, what they cost, and who breaks a promise.

Runs are compared at the benchmark's least unmasked fraction, and only with runs on the same ground:
the same weights and canvas, asked alike. A run that measured fewer than two answers is left out,
since nothing can be said of its chance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from eosbench.report.answers.costs import cost_sentences
from eosbench.report.answers.promises import promise_sentence
from eosbench.report.answers.sentence import (
    Sentence,
    are,
    between,
    counted,
    known,
    listed,
    measured,
    share,
)
from eosbench.report.columns import BOUND_COLUMNS
from eosbench.report.costs import ground
from eosbench.report.evidence import Evidence
from eosbench.report.significance import Pair
from eosbench.report.tables import Row, below_promise, interval

COLUMNS = {column.key: column for column in BOUND_COLUMNS}
COVERAGE, OVERSHOOT, AREA = (COLUMNS[key] for key in ("coverage", "overshoot", "area"))


@dataclass(frozen=True)
class Field:
    """The runs among which the best is named, and what they are compared by.

    Attributes:
        rows: at least one; all have a value of the metric.
        metric: `overshoot` at a common promise, else `area`.
        promise: the share that all of them promise; None where they promise different ones or none.
        of: how many runs make this promise, those among them that break it.
        why: a sentence for a field that is not compared at a promise.
    """

    rows: Sequence[Row]
    metric: str
    promise: float | None = None
    of: int = 0
    why: str = ""


def task_of(row: Row) -> str:
    """The name of the task that a row of the comparison is about."""
    for name, task in row.run.tasks.items():
        if (task.benchmark, task.fraction) == (row.benchmark, row.fraction):
            return name
    raise AssertionError(f"{row.run.name} has no task for {row.benchmark} at {row.fraction}")


def bound_sentences(
    evidence: Evidence, rows: Sequence[Row], pairs: Sequence[Pair]
) -> list[Sentence]:
    """Three to five sentences.

    Args:
        evidence: the runs and documents.
        rows: runs that predict, at one benchmark and fraction, with two answers or more each.
        pairs: every pair of runs.
    """
    sentences: list[Sentence] = []
    shared = _on_common_ground(rows)
    field = _field(shared)
    if field is None:
        sentences.append(Sentence(_not_comparable(shared)))
    else:
        best = _best(field)
        sentences.append(Sentence(_first(field, best, elsewhere=len(rows) - len(shared))))
        told = _told_apart(field, best, pairs, logged=_logged(evidence, best))
        sentences += [Sentence(told)] if told else []
        sentences += cost_sentences(best, evidence.logged.get((best.run.name, task_of(best))))
    return [*sentences, promise_sentence(evidence, rows)]


def _on_common_ground(rows: Sequence[Row]) -> list[Row]:
    """The rows on the ground that most of them share; of several such grounds on the first."""
    grounds = [ground(row.run, task_of(row)) for row in rows]
    (common, _), *_ = Counter(grounds).most_common(1)
    return [row for row, its in zip(rows, grounds, strict=True) if its == common]


def _field(rows: Sequence[Row]) -> Field | None:
    """The runs to compare; None where no run has a value to be compared by."""
    promised = Counter(row.run.promise for row in rows if row.run.promise is not None)
    why = "No run here promises a coverage, so that none can be the tightest at one"
    if promised:
        promise = max(promised, key=lambda level: (promised[level], level))
        level = [row for row in rows if row.run.promise == promise]
        kept = [row for row in level if not below_promise(row, COVERAGE)]
        tight = [row for row in kept if known(row.cells.get("overshoot"))]
        if tight:
            return Field(tight, "overshoot", promise, len(level))
        why = f"No run that promises a coverage of {share(promise)} keeps it"
    ranked = [row for row in rows if known(row.cells.get("area"))]
    return Field(ranked, "area", why=why) if ranked else None


def _not_comparable(rows: Sequence[Row]) -> str:
    """Says why no run is named: neither a kept promise nor a logged document."""
    names = [row.run.name for row in rows]
    return (
        f"{listed(names)} cannot be compared: {'it makes' if len(names) == 1 else 'they make'} no "
        "promise of a coverage that is kept, and without logged documents (--log_samples) there is "
        "no other measure."
    )


def _best(field: Field) -> Row:
    """The first of the runs with the least overshoot, or with the greatest area."""
    sign = 1 if field.metric == "overshoot" else -1
    return min(field.rows, key=lambda row: sign * row.cells[field.metric].value)


def _first(field: Field, best: Row, elsewhere: int) -> str:
    """The first sentence: which run is best, by which numbers."""
    name, coverage = best.run.name, best.cells["coverage"]
    answers = counted(coverage.count, "answer")
    covers = f"{COVERAGE.printed(coverage.value)} % of {answers}"
    covers += between(*interval(coverage, COVERAGE), COVERAGE, lead="95 % interval ")
    where = ""
    if elsewhere:
        model = f"recipe {best.run.recipe}" if best.run.recipe else best.run.backbone
        where = f" on {model} with a canvas of {(best.run.settings or {})['canvas']}"
    if field.promise is None:
        area = measured(best.cells["area"], AREA)
        best_of = ", which is the only run" if len(field.rows) == 1 else " reaches the most"
        return (
            f"{field.why}; by the area under coverage against compute {name}{where}{best_of}: "
            f"{area}, at a coverage of {covers}."
        )
    beyond = measured(best.cells["overshoot"], OVERSHOOT, "tokens")
    promised = share(field.promise)
    if field.of == 1:
        start = f"Only {name}{where} promises a coverage of {promised}: its bounds"
    elif len(field.rows) == 1:
        start = (
            f"Of {field.of} runs that promise {promised}{where} only {name} keeps it: its bounds"
        )
    else:
        group = f"{field.of} runs"
        if len(field.rows) < field.of:
            group = f"the {len(field.rows)} runs, of {field.of}, that are not shown to break it"
        start = f"At a promised coverage of {promised}{where} {name} is on average the tightest of "
        start += f"{group}: its bounds"
    return f"{start} cover {covers} and go {beyond} beyond the answers that they cover."


def _logged(evidence: Evidence, row: Row) -> bool:
    return (row.run.name, task_of(row)) in evidence.logged


def _told_apart(field: Field, best: Row, pairs: Sequence[Pair], *, logged: bool) -> str:
    """The paired tests of the best run against the others; empty where there are no others."""
    others = [row.run.name for row in field.rows if row is not best]
    if not others:
        return ""
    if not logged:
        return (
            f"Whether {best.run.name} differs from {listed(others)} by more than chance cannot be "
            "tested, since its documents were not logged (--log_samples)."
        )
    groups = _by_outcome(best, others, field.metric, pairs)
    better = "tighter" if field.metric == "overshoot" else "better"
    worse = "looser" if field.metric == "overshoot" else "worse"
    clauses = []
    for outcome, words in (
        ("same", "not told apart from it"),
        ("worse", worse),
        ("better", f"{better} on the answers that both have"),
        ("untested", "not to be tested, for lack of answers that both have"),
    ):
        names = groups[outcome]
        if names:
            clauses.append(f"{listed(names)} {are(names)} {words}")
    if not set(others) - set(groups["untested"]):
        return f"{clauses[0]}."
    return f"By paired tests on the same answers (Holm-corrected, 5 %) {'; '.join(clauses)}."


def _by_outcome(
    best: Row, others: Sequence[str], metric: str, pairs: Sequence[Pair]
) -> dict[str, list[str]]:
    """The other runs by the outcome of their test against the best one."""
    outcomes: dict[str, str] = {}
    name = best.run.name
    for pair in pairs:
        if (pair.task, pair.metric) != (task_of(best), metric):
            continue
        if name not in (pair.first, pair.second) or pair.p_holm != pair.p_holm:
            continue
        other = pair.second if pair.first == name else pair.first
        outcomes[other] = "same"
        if pair.winner is not None:
            outcomes[other] = "worse" if pair.winner == name else "better"
    groups: dict[str, list[str]] = {"same": [], "worse": [], "better": [], "untested": []}
    for other in others:
        groups[outcomes.get(other, "untested")].append(other)
    return groups
