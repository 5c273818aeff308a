"""The numbers of the report, against numbers worked out by hand for fixtures/hand."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from eosbench.report.columns import BOUND_COLUMNS, Column
from eosbench.report.exports import markdown, write_tables
from eosbench.report.tables import Row, Table, compare, costs, in_order, interval, text
from eosbench.results import Run, Score, read_documents, read_runs

HAND = Path(__file__).parents[2] / "fixtures" / "hand"
COVERAGE = BOUND_COLUMNS[0]


@pytest.fixture(scope="module")
def comparison() -> Table:
    runs = read_runs(HAND)
    return compare(runs, read_documents(runs)[0])


def test_reported_values_stand_and_gaps_are_filled_from_documents(comparison: Table) -> None:
    (row,) = comparison.rows
    assert (row.benchmark, row.fraction, row.documents, row.censored) == ("eos_upper_bound", 0.0, 4, 1)
    assert row.cells["coverage"] == Score(pytest.approx(2 / 3), pytest.approx(1 / 3), 3)
    assert row.cells["overshoot"] == Score(1.5, 1.5, 2)
    assert row.cells["shortfall"].value == 4.0 and row.cells["shortfall"].count == 1 and math.isnan(row.cells["shortfall"].stderr)
    # rmse: errors 9, 0, 16; their standard error is sqrt(var / 3), and d sqrt(m) = dm / (2 sqrt(m))
    stderr = math.sqrt((9**2 + 16**2 - 3 * (25 / 3) ** 2) / 2 / 3)
    assert row.cells["rmse"].value == pytest.approx(math.sqrt(25 / 3))
    assert row.cells["rmse"].stderr == pytest.approx(stderr / (2 * math.sqrt(25 / 3)))
    assert row.cells["quality:gsm8k"].value == 0.5  # flexible-extract goes before strict-match
    assert row.cells["seconds"].value == 0.5


def test_costs_are_per_answer() -> None:
    (row,) = costs(read_runs(HAND)).rows
    assert row.task == "gsm8k"
    found = {key: score.value for key, score in row.cells.items()}
    assert found == {
        "quality": 0.5, "mean_window": 16, "forward_passes": 16, "token_positions": 512, "flops": 2.0, "seconds": 0.5,
        "truncated": 1, "retries": 0,
    }  # fmt: skip


def test_without_samples_the_reported_aggregates_remain() -> None:
    runs = read_runs(HAND)
    (row,) = compare(runs, read_documents([])[0]).rows
    assert row.cells["coverage"].value == pytest.approx(2 / 3)
    assert "shortfall" not in row.cells and text(row, BOUND_COLUMNS[2]) == "–"


def test_a_cell_in_words() -> None:
    run = Run("x", "", "x", None, {})
    cells = {"a": Score(0.9531, 0.0066, 10), "b": Score(math.nan, math.nan, 0), "c": Score(1.5)}
    row = Row(run, cells, documents=12)
    assert text(row, Column("a", "", "", percent=True)) == "95.3 ± 0.7"
    assert text(row, Column("b", "", "")) == "– (0/12)"
    assert text(row, Column("c", "", "")) == "1.5"
    assert text(row, Column("d", "", "")) == "–"


def test_intervals() -> None:
    low, high = interval(Score(1.0, 0.0, 10), COVERAGE)  # Wilson, all of ten: published as 0.722 to 1
    assert low == pytest.approx(0.722, abs=5e-4) and high == pytest.approx(1.0)
    low, high = interval(Score(0.5, 0.05, 100), COVERAGE)  # and half of a hundred: 0.404 to 0.596
    assert (low, high) == (pytest.approx(0.404, abs=5e-4), pytest.approx(0.596, abs=5e-4))
    assert interval(Score(10.0, 1.0, 5), Column("rmse", "", "")) == (pytest.approx(8.04), pytest.approx(11.96))


def test_methods_stand_in_the_order_of_the_design_and_baselines_last() -> None:
    def run(method: str | None) -> Run:
        return Run(method or "gpt", "", "gpt", None if method is None else {"method": method}, {})

    runs = [run(method) for method in (None, "zeta", "oracle", "distilbert", "alpha", "logit")]
    assert [item.name for item in in_order(runs)] == ["logit", "distilbert", "oracle", "alpha", "zeta", "gpt"]


def test_files_agree_and_hold_every_number(comparison: Table, tmp_path: Path) -> None:
    files = write_tables(tmp_path, comparison, costs(read_runs(HAND)))
    assert [file.name for file in files] == ["comparison.md", "comparison.csv", "comparison.tex", "generation.csv"]
    with files[1].open(encoding="utf-8") as stream:
        (line,) = csv.DictReader(stream)
    assert float(line["coverage"]) == pytest.approx(2 / 3) and line["coverage_n"] == "3" and line["censored"] == "1"
    assert float(line["gsm8k"]) == 0.5
    assert "66.7 ± 33.3" in files[0].read_text(encoding="utf-8")
    latex = files[2].read_text(encoding="utf-8")
    assert r"66.7 $\pm$ 33.3" in latex and r"\toprule" in latex and "±" not in latex


def test_markdown_shows_hostile_names_as_text() -> None:
    run = Run("a|b<script>_x_\n", "", "", None, {})
    lines = markdown(Table((COVERAGE,), [Row(run, {})])).splitlines()
    assert len(lines) == 3 and lines[2].count("|") == 5 and "<script>" not in lines[2]
