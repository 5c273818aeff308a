"""Every table of a report, made from its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eosbench.report.comparison import compare, families
from eosbench.report.evidence import Evidence
from eosbench.report.generation import generation_table
from eosbench.report.repeats import SeedGroup, seed_groups
from eosbench.report.seeds import across_seeds
from eosbench.report.significance import Pair, compare_pairs, rank_table
from eosbench.report.tables import Table


@dataclass(frozen=True)
class Tables:
    """The tables of a report.

    Attributes:
        comparison: every run, benchmark and fraction.
        families: the name of a benchmark -> bounds by data family, where there are families.
        generation: quality and cost per answer; empty where nothing was generated.
        ranks: empty where no two runs logged a task.
        pairs: every pair of runs, metric by metric.
        seeds: repeats of a method joined; empty where no method has several seeds.
        seed_groups: the runs behind each row of `seeds`.
    """

    comparison: Table
    families: dict[str, Table]
    generation: Table
    ranks: Table
    pairs: Sequence[Pair]
    seeds: Table
    seed_groups: Sequence[SeedGroup]


def make_tables(evidence: Evidence) -> Tables:
    """Every table of a report."""
    comparison = compare(evidence)
    by_family: dict[str, Table] = {}
    for benchmark in comparison.benchmarks:
        table = families(evidence, benchmark, comparison.fractions(benchmark)[0])
        if table.rows:
            by_family[benchmark] = table
    pairs = compare_pairs(evidence)
    groups = seed_groups(evidence.runs)
    return Tables(
        comparison=comparison,
        families=by_family,
        generation=generation_table(evidence),
        ranks=rank_table(evidence, pairs),
        pairs=pairs,
        seeds=across_seeds(groups, comparison, evidence.logged),
        seed_groups=groups,
    )
