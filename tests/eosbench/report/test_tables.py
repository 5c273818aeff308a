"""The numbers of the report, against numbers worked out by hand for fixtures/hand."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from benchmarks.made_runs import BACKBONE, ERROR, make_baseline, make_run, make_runs
from eosbench.report.columns import BOUND_COLUMNS, Column
from eosbench.report.comparison import compare, families
from eosbench.report.contents import make_tables
from eosbench.report.evidence import Evidence, in_order
from eosbench.report.exports import markdown, write_tables
from eosbench.report.generation import generation_table
from eosbench.report.tables import BELOW, Row, Table, heads, interval, text, texts
from eosbench.results.run import Run, Score
from eosbench.results.runs import read_runs
from eosbench.results.table import read_documents

HAND = Path(__file__).parents[2] / "fixtures" / "hand"
COVERAGE = BOUND_COLUMNS[0]


@pytest.fixture(scope="module")
def comparison() -> Table:
    runs = read_runs(HAND)
    return compare(Evidence.of(runs, read_documents(runs)[0]))


def test_reported_values_stand_and_gaps_are_filled_from_documents(comparison: Table) -> None:
    (row,) = comparison.rows
    assert (row.benchmark, row.fraction, row.documents, row.censored) == (
        "eos_upper_bound",
        0.0,
        4,
        1,
    )
    coverage, overshoot, shortfall = (
        row.cells[key] for key in ("coverage", "overshoot", "shortfall")
    )
    assert (coverage.value, coverage.stderr, coverage.count) == (
        pytest.approx(2 / 3),
        pytest.approx(1 / 3),
        3,
    )
    assert (overshoot.value, overshoot.stderr, overshoot.count) == (1.5, 1.5, 2)
    # Two documents: a resample may hold one of them alone.
    assert (overshoot.low, overshoot.high) == (0.0, 3.0)
    assert shortfall.value == 4.0 and shortfall.count == 1 and math.isnan(shortfall.stderr)
    # rmse: errors 9, 0, 16; their standard error is sqrt(var / 3), and d sqrt(m) = dm / (2 sqrt(m))
    stderr = math.sqrt((9**2 + 16**2 - 3 * (25 / 3) ** 2) / 2 / 3)
    assert row.cells["rmse"].value == pytest.approx(math.sqrt(25 / 3))
    assert row.cells["rmse"].stderr == pytest.approx(stderr / (2 * math.sqrt(25 / 3)))
    assert row.cells["quality:gsm8k"].value == 0.5  # flexible-extract goes before strict-match
    assert row.cells["seconds"].value == 0.5


def evidence(folder: Path) -> Evidence:
    runs = read_runs(folder)
    return Evidence.of(runs, read_documents(runs)[0])


def test_costs_are_per_answer() -> None:
    (row,) = generation_table(evidence(HAND)).rows
    assert row.task == "gsm8k"
    found = {key: score.value for key, score in row.cells.items()}
    assert found == {
        "quality": 0.5,
        "mean_window": 16,
        "forward_passes": 16,
        "token_positions": 512,
        "flops": 2.0,
        "seconds": 0.5,
        "truncated": 1,
        "retries": 0,
    }


def test_without_samples_the_reported_aggregates_remain() -> None:
    runs = read_runs(HAND)
    (row,) = compare(Evidence.of(runs, read_documents([])[0])).rows
    assert row.cells["coverage"].value == pytest.approx(2 / 3)
    assert "shortfall" not in row.cells and text(row, BOUND_COLUMNS[2]) == "–"


def test_a_cell_in_words() -> None:
    run = Run("x", "", "x", None, {})
    cells = {
        "a": Score(0.9531, 0.0066, 10),
        "b": Score(math.nan, math.nan, 0),
        "c": Score(1.5),
        "e": Score(2.0, low=1.5, high=3.0),
    }
    row = Row(run, cells, documents=12)
    assert text(row, Column("a", "", "", percent=True)) == "95.3 [94.0, 96.6]"
    assert text(row, Column("b", "", "")) == "– (0/12)"
    assert text(row, Column("c", "", "")) == "1.5"
    assert text(row, Column("d", "", "")) == "–"
    assert text(row, Column("e", "", "")) == "2.0 [1.5, 3.0]"


@pytest.mark.parametrize(
    ("share", "count", "calibration", "marked"),
    [
        (0.80, 100, {"kind": "split_conformal", "alpha": 0.05}, True),  # at most 0.867
        (0.90, 100, {"kind": "split_conformal", "alpha": 0.05}, True),  # 0.826 to 0.945
        (0.92, 100, {"kind": "split_conformal", "alpha": 0.05}, False),
        (0.80, 100, {"kind": "split_conformal", "alpha": 0.2}, False),
        (0.10, 100, None, False),
    ],
)
def test_a_coverage_under_its_promise_is_marked(
    share: float, count: int, calibration: object, marked: bool
) -> None:
    run = Run("x", "", "x", {"method": "x", "calibration": calibration}, {})
    cell = text(Row(run, {"coverage": Score(share, 0.04, count)}), COVERAGE)
    assert (BELOW in cell) == marked


def test_intervals() -> None:
    # Wilson, all of ten: published as 0.722 to 1.
    low, high = interval(Score(1.0, 0.0, 10), COVERAGE)
    assert low == pytest.approx(0.722, abs=5e-4) and high == pytest.approx(1.0)
    low, high = interval(Score(0.5, 0.05, 100), COVERAGE)  # and half of a hundred: 0.404 to 0.596
    assert (low, high) == (pytest.approx(0.404, abs=5e-4), pytest.approx(0.596, abs=5e-4))
    assert interval(Score(10.0, 1.0, 5), Column("rmse", "", "")) == (
        pytest.approx(8.04),
        pytest.approx(11.96),
    )


def test_methods_stand_in_the_order_of_the_design_and_baselines_last() -> None:
    def run(method: str | None) -> Run:
        return Run(method or "gpt", "", "gpt", None if method is None else {"method": method}, {})

    runs = [run(method) for method in (None, "zeta", "oracle", "distilbert", "alpha", "logit")]
    assert [item.name for item in in_order(runs)] == [
        "logit",
        "distilbert",
        "oracle",
        "alpha",
        "zeta",
        "gpt",
    ]


def test_files_agree_and_hold_every_number(tmp_path: Path) -> None:
    files = write_tables(tmp_path, make_tables(evidence(HAND)))
    assert [file.name for file in files] == [
        "comparison.md",
        "comparison.csv",
        "comparison.tex",
        "families.csv",
        "generation.csv",
    ]
    with files[1].open(encoding="utf-8") as stream:
        (line,) = csv.DictReader(stream)
    assert (
        float(line["coverage"]) == pytest.approx(2 / 3)
        and line["coverage_n"] == "3"
        and line["censored"] == "1"
    )
    assert float(line["gsm8k"]) == 0.5
    assert float(line["coverage_low"]) == pytest.approx(0.208, abs=1e-3)  # Wilson, two of three
    assert r"66.7 \[20.8, 93.9\]" in files[0].read_text(encoding="utf-8")
    latex = files[2].read_text(encoding="utf-8")
    assert "66.7 {[}20.8, 93.9]" in latex and r"\toprule" in latex and "–" not in latex


def test_markdown_shows_hostile_names_as_text() -> None:
    run = Run("a|b<script>_x_\n", "", "", None, {})
    lines = markdown(Table((COVERAGE,), [Row(run, {})])).splitlines()
    assert len(lines) == 3 and lines[2].count("|") == 5 and "<script>" not in lines[2]


def test_families_stand_beside_each_other(tmp_path: Path) -> None:
    made = evidence(make_runs(tmp_path, 20, ("logit", "distilbert")))
    table, frame = families(made, "eos_upper_bound", 0.0), made.documents
    names = sorted(frame["family"].dropna().unique())
    assert [(row.family, row.run.name) for row in table.rows[:2]] == [
        (names[0], "logit"),
        (names[0], "distilbert"),
    ]
    assert len(table.rows) == 2 * len(names)
    own = frame[
        (frame["run"] == "logit") & (frame["fraction"] == 0.0) & (frame["family"] == names[0])
    ]
    assert table.rows[0].documents == len(own)
    assert table.rows[0].cells["overshoot"].value == pytest.approx(own["overshoot"].mean())


def test_costs_are_compared_with_the_fixed_canvas_and_the_oracle(tmp_path: Path) -> None:
    for method, positions, seconds in (
        ("fixed", 4000, 8.0),
        ("logit", 1000, 4.0),
        ("oracle", 500, 1.0),
    ):
        cost = {
            "requests": 10,
            "token_positions": positions,
            "seconds": seconds,
            "forward_passes": 20,
            "flops": 2e10,
        }
        make_run(
            tmp_path / method, method, size=10, fractions=(0.0,), costs={"varlen_instruct": cost}
        )
    make_run(
        tmp_path / "other",
        "logit",
        size=10,
        canvas=128,
        fingerprint="f" * 16,
        costs={"varlen_instruct": cost},
    )
    make_baseline(tmp_path / "hf", size=10)
    rows = {row.run.name: row.cells for row in generation_table(evidence(tmp_path)).rows}
    logit, other = rows["logit canvas=256"], rows["logit canvas=128"]
    assert (logit["speedup"].value, logit["time_speedup"].value, logit["from_oracle"].value) == (
        4.0,
        2.0,
        2.0,
    )
    assert rows["fixed"]["speedup"].value == 1.0 and rows["fixed"]["area"].value == 0.0
    # Another canvas: nothing to compare with.
    assert not {"speedup", "from_oracle", "area"} & set(other)
    assert set(rows["tiny/gpt"]) == {"quality"}
    quality = {name: cells["quality"].value for name, cells in rows.items()}
    penalty = math.exp(
        -3
        * (
            1
            - quality["logit canvas=256"]
            / max(quality["fixed"], quality["oracle"], quality["logit canvas=256"])
        )
    )
    assert logit["area"].value == pytest.approx(0.2 * quality["logit canvas=256"] * penalty)
    assert logit["area"].low <= logit["area"].value <= logit["area"].high


def test_a_column_says_the_attention_where_some_model_attends_by_blocks(tmp_path: Path) -> None:
    make_run(tmp_path / "old", "logit", size=4, fractions=(0.0,))
    make_baseline(tmp_path / "hf", size=4)
    full = make_tables(evidence(tmp_path))
    assert "attention" not in heads(full.comparison)  # all of them attend alike
    block = {**BACKBONE, "name": "sdar", "fingerprint": "b" * 16, "attention": "block"}
    make_run(
        tmp_path / "new", "distilbert", size=4, fractions=(0.0,), fingerprint="b", backbone=block
    )
    tables = make_tables(evidence(tmp_path))
    for table in (tables.comparison, tables.generation):
        at = heads(table).index("attention")
        assert [(line[0], line[at]) for line in texts(table)] == [
            ("logit", "full"),  # a file without the field is of a version without block models
            ("distilbert", "block"),
            ("tiny/gpt", "–"),
        ]
    write_tables(tmp_path, tables)
    with (tmp_path / "comparison.csv").open(encoding="utf-8") as stream:
        assert [line["attention"] for line in csv.DictReader(stream)] == ["full", "block", ""]


def test_repeats_of_an_old_version_are_repeats_of_a_new_one(tmp_path: Path) -> None:
    make_run(tmp_path / "0", "logit", size=4, fractions=(0.0,), seed=0)
    backbone = {**BACKBONE, "attention": "full"}
    make_run(tmp_path / "1", "logit", size=4, fractions=(0.0,), seed=1, backbone=backbone)
    tables = make_tables(evidence(tmp_path))
    assert [group.run.name for group in tables.seed_groups] == ["logit"]
    assert [run.name for run in tables.seed_groups[0].members] == ["logit seed=0", "logit seed=1"]


def test_pairs_and_ranks(tmp_path: Path) -> None:
    tables = make_tables(evidence(make_runs(tmp_path, 120, (*ERROR, "fixed", "oracle"))))
    pairs = {
        (pair.metric, pair.first, pair.second): pair
        for pair in tables.pairs
        if pair.task == "eos_upper_bound_u00"
    }
    assert len(pairs) == 5 * 21
    wasteful = pairs["overshoot", "fixed", "oracle"]
    assert wasteful.winner == "oracle" and wasteful.difference > 100 and wasteful.documents == 120
    covered = pairs["coverage", "fixed", "oracle"]
    assert (covered.test, covered.p, covered.winner) == ("McNemar, exact", 1.0, None)
    rank = {
        row.run.name: row.cells for row in tables.ranks.rows if row.task == "eos_upper_bound_u00"
    }
    assert rank["oracle"]["overshoot"].value == 1.0 and rank["fixed"]["overshoot"].value == 7.0


def test_no_rank_where_nothing_differs(tmp_path: Path) -> None:
    for name in "ab":
        make_run(
            tmp_path / name,
            "logit",
            size=12,
            fractions=(0.0,),
            fingerprint=name * 16,
            rounding=name,
        )
    tables = make_tables(evidence(tmp_path))
    assert tables.pairs and all(pair.winner is None and pair.p_holm == 1.0 for pair in tables.pairs)
    assert all(not row.cells for row in tables.ranks.rows)
