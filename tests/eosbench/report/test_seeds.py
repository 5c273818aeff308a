"""Runs that are joined across seeds: what counts as a repeat, and the numbers of one.

The numbers are held against hand computation and simulation.
"""

from __future__ import annotations

import csv
import logging
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.made_runs import make_baseline, make_run
from eosbench.metrics.statistics import bootstrap, over_seeds, percentiles, wilson
from eosbench.report import write_report, writing
from eosbench.report.comparison import compare
from eosbench.report.contents import Tables, make_tables
from eosbench.report.evidence import Evidence
from eosbench.report.exports import flat_seeds, write_tables
from eosbench.report.page import page
from eosbench.report.repeats import seed_groups
from eosbench.report.seeds import _estimates, across_seeds
from eosbench.report.tables import Table, text
from eosbench.results.run import Run, Score, TaskResult
from eosbench.results.runs import read_runs
from eosbench.results.table import read_documents

TASK = "eos_upper_bound_u00"


def hand(
    seed: int | None, scores: dict[str, float], values: dict[str, list[float]]
) -> tuple[Run, pd.DataFrame]:
    """A run of one task, what lm-eval reports of it, and two documents or more."""
    size = len(values["coverage"])
    task = TaskResult(
        TASK,
        Path("x"),
        0.0,
        size,
        {name: Score(v, count=size) for name, v in scores.items()},
        {},
        {},
        None,
    )
    fit = {"seed": seed, "train": "afc9"}
    settings: dict[str, Any] = {
        "method": "m",
        "backbone": {"name": "b"},
        "canvas": 64,
        "predictor_fit": fit,
    }
    run = Run(f"m seed={seed}", f"print {seed}", "model", settings, {TASK: task})
    about = {
        "run": run.name,
        "task": TASK,
        "benchmark": "eos_upper_bound",
        "fraction": 0.0,
        "censored": 0,
    }
    return run, pd.DataFrame(
        {**values, "document": [f"doc-{index}" for index in range(size)]}
    ).assign(**about)


def joined(*hands: tuple[Run, pd.DataFrame]) -> Table:
    runs, documents = (
        [run for run, _ in hands],
        pd.concat([frame for _, frame in hands], ignore_index=True),
    )
    evidence = Evidence.of(runs, documents)
    return across_seeds(seed_groups(runs), compare(evidence), evidence.logged)


def tables_of(folder: Path) -> Tables:
    runs = read_runs(folder)
    return make_tables(Evidence.of(runs, read_documents(runs)[0]))


THREE = [  # documents agree within each seed: all that varies is the seed
    hand(
        seed,
        {"coverage": coverage, "overshoot": overshoot, "rmse": error},
        {"coverage": covered, "overshoot": [overshoot] * 2, "squared_error": [error**2] * 2},
    )
    for seed, coverage, covered, overshoot, error in (
        (0, 1.0, [1, 1], 10.0, 3.0),
        (1, 1.0, [1, 1], 20.0, 4.0),
        (2, 0.5, [1, 0], 60.0, 5.0),
    )
]


def test_mean_deviation_and_range_by_hand() -> None:
    """10, 20 and 60: mean 30, deviations 20, 10 and 30, variance 1400 / 2.

    Each extreme fills 1 / 27 of the resamples: the interval is the range.
    """
    (row,) = joined(*THREE).rows
    overshoot, rmse, coverage = (row.cells[key] for key in ("overshoot", "rmse", "coverage"))
    assert (overshoot.value, overshoot.spread) == (pytest.approx(30), pytest.approx(math.sqrt(700)))
    assert (overshoot.low, overshoot.high) == (pytest.approx(10), pytest.approx(60))
    assert (rmse.value, rmse.spread, rmse.low, rmse.high) == tuple(map(pytest.approx, (4, 1, 3, 5)))
    assert (coverage.value, coverage.spread) == (
        pytest.approx(5 / 6),
        pytest.approx(math.sqrt(1 / 12)),
    )
    assert coverage.low <= wilson(5 / 6, 2)[0] and coverage.high == 1.0
    assert (row.run.name, row.cells["seeds"].value, row.documents) == ("m", 3, 2)


def test_a_metric_that_a_seed_does_not_define_is_over_the_others() -> None:
    values: dict[str, list[float]] = {
        "coverage": [1, 1],
        "overshoot": [4, 4],
        "squared_error": [1, 1],
    }
    one = hand(
        0,
        {"coverage": 1.0, "overshoot": 4.0, "shortfall": math.nan},
        {**values, "shortfall": [math.nan] * 2},
    )
    two = hand(
        1,
        {"coverage": 0.5, "overshoot": 4.0, "shortfall": 6.0},
        {**values, "shortfall": [math.nan, 6.0]},
    )
    (row,) = joined(one, two).rows
    assert row.cells["shortfall"].value == 6.0 and math.isnan(row.cells["shortfall"].spread)


def test_documents_are_drawn_for_all_seeds_at_once() -> None:
    """Of two seeds one has 0 and 10, the other 10 and 0: together they have 5 on any draw.

    Half of the resamples hold both seeds; the others hold one twice, and it has 0, 5 or 10 with
    chances 1/4, 1/2 and 1/4.
    """
    frames = [
        pd.DataFrame({"document": ["a", "b"], "value": values})
        for values in ([0.0, 10.0], [10.0, 0.0])
    ]
    means, counts = np.unique(_estimates(frames, {"value": "value"}), return_counts=True)
    assert means.tolist() == [0.0, 5.0, 10.0]
    assert counts / counts.sum() == pytest.approx([1 / 8, 3 / 4, 1 / 8], abs=0.04)


def covered(seeds: int, documents: float, interval: str) -> float:
    """The share of intervals that hold the true mean, 0.

    Seeds deviate by 1, documents and what is left by `documents` each.
    """
    rng, size, times = np.random.default_rng(5), 60, 300
    hits = 0
    for _ in range(times):
        values_NS = rng.normal(size=seeds) + documents * (
            rng.normal(size=(size, 1)) + rng.normal(size=(size, seeds))
        )
        both = over_seeds(bootstrap(values_NS)[:, :, None])
        estimates = both if interval == "both" else bootstrap(values_NS.mean(axis=1, keepdims=True))
        low, high = percentiles(estimates)
        hits += int(low[0] <= 0 <= high[0])
    return hits / times


def test_the_interval_holds_the_mean_about_as_often_as_it_says() -> None:
    """One over documents alone forgets that another twelve seeds would have come out elsewhere."""
    assert 0.89 <= covered(12, 2.0, "both") <= 0.99
    assert covered(12, 2.0, "documents") < 0.89


def test_three_seeds_alone_hold_it_in_three_of_four_cases() -> None:
    """The range of three misses the middle when all three lie on one side: 2 / 2 ** 3."""
    assert covered(3, 0.0, "both") == pytest.approx(0.75, abs=4 * math.sqrt(0.75 * 0.25 / 300))


def test_equal_repeats_have_no_spread_and_the_interval_of_one(tmp_path: Path) -> None:
    """Folders that carry a seed although their method trains nothing."""
    values = {
        "coverage": [1.0, 1, 0, 1],
        "overshoot": [3.0, 9, math.nan, 1],
        "squared_error": [9.0, 81, 4, 1],
    }
    hands = [hand(seed, {"coverage": 0.75, "overshoot": 13 / 3}, values) for seed in (0, 1, 2)]
    (row,) = joined(*hands).rows
    (alone, *_) = compare(Evidence.of([hands[0][0]], hands[0][1])).rows
    for key in ("overshoot", "rmse"):
        assert row.cells[key].spread == 0.0
        assert (row.cells[key].low, row.cells[key].high) == pytest.approx(
            (alone.cells[key].low, alone.cells[key].high)
        )


def make_seeds(
    folder: Path, names: Sequence[str] = "abc", method: str = "classification", **settings: Any
) -> Path:
    for seed, name in enumerate(names):
        make_run(folder / name, method, size=12, fractions=(0.0, 0.5), seed=seed, **settings)
    return folder


def test_the_order_of_folders_does_not_matter(tmp_path: Path) -> None:
    found = [
        flat_seeds(tables_of(make_seeds(tmp_path / "".join(names), names)).seeds)
        for names in permutations("abc")
    ]
    assert len(found[0]) == 2 and found[0][0]["seeds"] == 3 and found[0][0]["overshoot_sd"] > 0
    for other in found[1:]:
        pd.testing.assert_frame_equal(pd.DataFrame(found[0]), pd.DataFrame(other), check_exact=True)


def test_the_values_are_those_of_the_comparison(tmp_path: Path) -> None:
    make_baseline(make_seeds(tmp_path) / "hf", size=12)
    make_run(tmp_path / "mean", "mean", size=12, fractions=(0.0, 0.5))
    tables = tables_of(tmp_path)
    assert [row.run.name for row in tables.seeds.rows] == ["classification"] * 2 + ["mean"] * 2
    assert {row.run.name for row in tables.comparison.rows} == {
        "classification seed=0",
        "classification seed=1",
        "classification seed=2",
        "mean",
        "tiny/gpt",
    }
    for row in tables.seeds.rows:
        own = [
            one.cells
            for one in tables.comparison.rows
            if one.run.method == row.run.method
            and one.fraction == row.fraction
            and one.run.settings
        ]
        assert row.cells["seeds"].value == len(own)
        for column in tables.seeds.columns[1:]:
            values = [
                cells[column.key].value for cells in own if not math.isnan(cells[column.key].value)
            ]
            assert row.cells[column.key].value == pytest.approx(
                np.mean(values) if values else math.nan, nan_ok=True
            )
    keys = {column.key for column in tables.seeds.columns}
    assert {
        "coverage",
        "overshoot",
        "accuracy",
        "rmse",
        "compute_ratio",
        "quality:varlen_instruct",
    } <= keys
    assert "seconds" not in keys
    quality = tables.seeds.rows[0].cells["quality:varlen_instruct"]
    assert quality.low < quality.value < quality.high
    alone = tables.seeds.rows[2].cells["coverage"]
    assert (alone.low, alone.high) == wilson(alone.value, alone.count) and math.isnan(alone.spread)


OTHERS: dict[str, dict[str, Any]] = {
    "canvas": {"canvas": 512},
    "backbone": {"backbone": {"name": "embedded", "fingerprint": "0000000000000000"}},
    "options": {"method_options": {"hidden": 8}},
    "rounding": {"rounding": "none"},
    "training data": {
        "predictor_fit": {
            "seed": 7,
            "train": "0000",
            "calibration": "a910bcc3c16536fe",
            "scale": "log",
        }
    },
    "unknown seed": {"predictor_fit": {"seed": None}},
    "unknown fit": {"predictor_fit": None},
    "broken fit": {"predictor_fit": {"seed": "7"}},
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_run_with_another_setting_is_not_joined(tmp_path: Path, other: str) -> None:
    make_seeds(tmp_path, "ab")
    make_run(tmp_path / "c", "classification", size=12, fractions=(0.0,), seed=7, **OTHERS[other])
    groups = seed_groups(read_runs(tmp_path))
    assert sorted(len(group.members) for group in groups) == [1, 2]
    assert len({group.run.name for group in groups}) == 2


def test_where_it_ran_and_lay_is_no_setting(tmp_path: Path) -> None:
    make_seeds(tmp_path, "ab")
    backbone = {
        "name": "/elsewhere/embedded",
        "family": "llada",
        "fingerprint": "91bc0a7f3d2e4c55",
        "dtype": "float32",
        "mask_id": 0,
        "eos_ids": [1],
        "pad_id": 1,
    }
    make_run(
        tmp_path / "c",
        "classification",
        size=12,
        seed=7,
        version="0.2.0",
        predictor="/else/where",
        backbone=backbone,
    )
    (group,) = seed_groups(read_runs(tmp_path))
    assert [run.predictor_seed for run in group.members] == [0, 1, 7]


TRAINED = {"name": "out/eospad-0", "fingerprint": "a0" * 8, "recipe": "eospad", "training_seed": 0}
AGAIN = {"name": "out/eospad-1", "fingerprint": "b1" * 8, "recipe": "eospad", "training_seed": 1}
OTHERWISE = {
    "name": "out/rainbow-1",
    "fingerprint": "c2" * 8,
    "recipe": "rainbow",
    "training_seed": 1,
}


def test_models_of_one_recipe_are_joined_across_the_seeds_of_their_training(tmp_path: Path) -> None:
    """Predictors without weights too, which have no seed of their own."""
    fit = {"predictor_fit": None}
    for method in ("logit", "classification"):
        for backbone in (TRAINED, AGAIN, OTHERWISE):
            settings = {"backbone": backbone} | (fit if method == "logit" else {})
            where = tmp_path / method / backbone["fingerprint"]
            digits = f"{method[0]}{backbone['fingerprint']}".ljust(16, "0")[:16]
            seed = None if method == "logit" else 7
            make_run(where, method, size=6, seed=seed, fingerprint=digits, **settings)
    groups = seed_groups(read_runs(tmp_path))
    shared = {
        (group.run.method, group.run.settings["backbone"]["recipe"]): group.run.backbone
        for group in groups
        if group.run.settings is not None
    }
    assert shared == {
        ("logit", "eospad"): "out/*",
        ("logit", "rainbow"): "out/rainbow-1",
        ("classification", "eospad"): "out/*",
        ("classification", "rainbow"): "out/rainbow-1",
    }
    assert [len(group.members) for group in groups if group.run.backbone == "out/*"] == [2, 2]
    assert [group.run.name for group in groups] == [  # a line for each recipe and method
        "logit recipe=eospad",
        "logit recipe=rainbow",
        "classification recipe=eospad",
        "classification recipe=rainbow",
    ]
    write_report(tmp_path, tmp_path / "report")
    lines, single = (
        list(csv.DictReader((tmp_path / "report" / name).read_text("utf-8").splitlines()))
        for name in ("seeds.csv", "comparison.csv")
    )
    told = {(line["run"], line["recipe"], line["seeds"]) for line in lines}
    assert ("logit recipe=eospad", "eospad", "2") in told
    assert ("logit recipe=rainbow", "rainbow", "1") in told
    assert {line["training_seed"] for line in single} == {"0", "1"}


def test_heads_for_two_canvases_are_two_rows_named_by_what_differs(tmp_path: Path) -> None:
    make_seeds(tmp_path / "x", "ab")
    for seed in (0, 1):
        make_run(
            tmp_path / f"y{seed}",
            "classification",
            size=4,
            fractions=(0.0,),
            seed=seed,
            canvas=512,
            predictor=f"long/seed-{seed}/classification",
            fingerprint=f"{seed}" * 16,
        )
    groups = seed_groups(read_runs(tmp_path))
    assert [(group.run.name, len(group.members)) for group in groups] == [
        ("classification predictor=heads/*/classification", 2),
        ("classification predictor=long/*/classification", 2),
    ]


def test_a_seed_that_occurs_twice_joins_nothing_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_seeds(tmp_path, "ab")
    make_run(tmp_path / "c", "classification", size=12, seed=1, fingerprint="f" * 16)
    with caplog.at_level(logging.WARNING):
        assert [len(group.members) for group in seed_groups(read_runs(tmp_path))] == [1, 1, 1]
    assert "two have one seed: classification seed=0 fingerprint=" in caplog.text


def test_runs_that_lm_eval_asked_differently_are_no_repeats(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_seeds(tmp_path, "ab")
    runs = read_runs(tmp_path)
    assert len(seed_groups(runs)) == 1
    assert len(seed_groups([runs[0], replace(runs[1], asked={"chat_template": "2f9a01bc"})])) == 2
    tasks = {name: replace(task, shots="5") for name, task in runs[1].tasks.items()}
    assert len(seed_groups([runs[0], replace(runs[1], tasks=tasks)])) == 2
    assert "one task has several numbers of examples" in caplog.text


def test_one_seed_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "drawings", lambda *_: [])
    make_run(tmp_path / "runs" / "a", "logit", size=6)
    make_run(tmp_path / "runs" / "b", "classification", size=6, seed=3)
    summary = write_report(tmp_path / "runs", tmp_path / "out")
    html = summary.page.read_text(encoding="utf-8")
    assert "seeds.csv" not in {file.name for file in summary.files} and "Across seeds" not in html
    assert "across seeds" not in (tmp_path / "out" / "comparison.md").read_text(encoding="utf-8")
    assert set(re.findall(r'data-run="(.*?)"', html)) == {"logit", "classification"}


def test_without_samples_there_is_a_deviation_and_no_interval(tmp_path: Path) -> None:
    rows = tables_of(make_seeds(tmp_path, samples=False)).seeds.rows
    overshoot = rows[0].cells["overshoot"]
    assert overshoot.spread > 0 and math.isnan(overshoot.low)


def test_the_files_show_it(tmp_path: Path) -> None:
    tables = tables_of(make_seeds(tmp_path))
    table, files = tables.seeds, {file.name: file for file in write_tables(tmp_path, tables)}
    column = next(column for column in table.columns if column.key == "coverage")
    cell = text(table.rows[0], column)
    assert re.fullmatch(r"\d+\.\d†? ± \d+\.\d \[\d+\.\d, \d+\.\d\]", cell)
    markdown, latex = (
        files[f"comparison.{end}"].read_text(encoding="utf-8") for end in ("md", "tex")
    )
    assert (
        "## eos_upper_bound, across seeds" in markdown
        and cell.replace("[", r"\[").replace("]", r"\]") in markdown
    )
    assert r" $\pm$ " in latex and "±" not in latex
    with files["seeds.csv"].open(encoding="utf-8") as stream:
        first, second = csv.DictReader(stream)
    score = table.rows[0].cells["coverage"]
    assert [first["run"], first["seeds"], first["fraction"], second["fraction"]] == [
        "classification",
        "3",
        "0.0",
        "0.5",
    ]
    for end, value in (
        ("mean", score.value),
        ("sd", score.spread),
        ("low", score.low),
        ("high", score.high),
    ):
        assert float(first[f"coverage_{end}"]) == pytest.approx(value)


def test_the_page_shows_a_row_with_its_first_seed_and_hostile_names_as_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_seeds(
        tmp_path / "runs",
        method='"><img src=x onerror=alert(1)>',
        predictor="<script>alert(1)</script>",
    )
    monkeypatch.setattr(writing, "drawings", lambda *_: [])
    monkeypatch.setattr(page, "SEED_ROWS_SHOWN", 1)
    html = write_report(tmp_path / "runs", tmp_path / "out").page.read_text(encoding="utf-8")
    section = re.search(r'<section aria-labelledby="seeds">(.*?)</section>', html, re.DOTALL)
    assert section is not None and "<img" not in section[1] and "&lt;img" in section[1]
    assert re.findall(r'data-run="(.*?)"', section[1]) == [
        "&#34;&gt;&lt;img src=x onerror=alert(1)&gt; seed=0"
    ]
    assert "and 1 more in seeds.csv." in section[1]
    assert html.count("<script") == 2  # the samples and the page's own
