"""The study of real text, on hand-made predictions and on a few documents of the embedded model."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import text_study, text_tables
from benchmarks.text_bounds import Asked, measures, read
from benchmarks.text_fits import variants
from tests.eosbench.predictors.encoders import save_encoder

ROOT = Path(__file__).resolve().parents[2]
CANVAS = 64
EDGES = {"prompt": [10.0], "prediction": [20.0]}


def rows(lengths: list[int], predicted: list[float]) -> pd.DataFrame:
    frame = {"length": lengths, "mean/0": predicted}
    return pd.DataFrame(frame).assign(prompt_length=5, at_least=0)


def asked(calibration: pd.DataFrame, test: pd.DataFrame) -> Asked:
    return Asked("toy", calibration, test, EDGES, CANVAS)


def test_a_bound_is_the_prediction_and_the_conformal_margin() -> None:
    """Of 19 scores 1 ... 19 the ceil(20 x 0.95) = 19th is added, and on the log scale its ratio."""
    study = asked(rows([10 + n for n in range(1, 20)], [10.0] * 19), rows([15, 64], [20.0, 60.0]))
    assert study.bounds("mean/0", scale="linear").tolist() == [39, 64]
    assert study.bounds("mean/0").tolist() == [math.ceil(21 * 30 / 11 - 1), 64]
    assert study.bounds("mean/0", rounding="pow2", scale="linear").tolist() == [64, 64]
    assert study.bounds("mean/0", alpha=0.5, scale="linear").tolist() == [30, 64]


def test_measures_are_means_over_seeds_of_metrics_over_documents() -> None:
    study = asked(rows([1], [1.0]), rows([10, 20], [1.0, 1.0]))
    found = measures(np.array([[12.0, 16.0], [19.0, 24.0]]), study)
    assert found["coverage"] == 0.75  # one of four is too short
    assert found["overshoot"] == pytest.approx((2 + (6 + 4) / 2) / 2)
    assert found["overshoot_sd"] == pytest.approx(np.std([2, 5], ddof=1))
    assert found["window"] == pytest.approx((12 + 19 + 16 + 24) / 4)


def test_a_cut_at_random_keeps_the_promise_in_expectation() -> None:
    rng = np.random.default_rng(1)
    lengths = rng.integers(1, 60, 120)
    predicted = (lengths * rng.lognormal(0, 0.3, 120)).tolist()
    whole = rows(lengths.tolist(), predicted)
    (row,) = text_tables.resplits(asked(whole[:50], whole[50:].reset_index(drop=True)))
    assert row["expected"] == pytest.approx(49 / 51)
    assert abs(row["coverage"] - row["expected"]) < 4 * row["standard_error"]


def write(folder: Path, data: str, calibration: pd.DataFrame, test: pd.DataFrame) -> None:
    parts = [calibration.assign(split="calibration"), test.assign(split="test")]
    text_study.write([part.assign(reveal="random", fraction=0.0) for part in parts], folder, data)
    facts = {"edges": EDGES, "canvas": CANVAS}
    (folder / f"{data}.json").write_text(json.dumps(facts), encoding="utf-8")


def test_a_calibration_on_other_rows_breaks_and_on_the_own_rows_holds(tmp_path: Path) -> None:
    """Answers of `long` have twice the predicted length, those of `short` half of it."""
    short, long = rows([10] * 40, [20.0] * 40), rows([40] * 40, [20.0] * 40)
    for name, own, other in (("short", short, "long"), ("long", long, "short")):
        moved = own.assign(**{f"mean/0@{other}": 20.0})
        write(tmp_path, name, moved, moved)
    table = pd.DataFrame(text_tables.transfer(tmp_path, ["short", "long"]))
    table = table[table["groups"] == "none"].set_index(["fitted", "calibrated_on"])
    assert table.loc[("short", "fitted"), "coverage"] == 0
    assert table.loc[("short", "asked"), "coverage"] == 1
    assert table.loc[("long", "fitted"), "overshoot"] == 30


def test_tests_compare_windows_of_the_same_documents() -> None:
    frame = rows([10 + n for n in range(1, 41)], [10.0] * 40).assign(**{"prompt_length/0": 10.0})
    study = asked(frame, frame.assign(**{"mean/0": 20.0}))
    (row,) = text_tables.tests(study).itertuples()
    margin = study.bounds("mean/0") - study.bounds("prompt_length/0")
    assert row.window == pytest.approx(margin.mean())
    assert row.window > 0
    assert row.p_holm < 0.001


def test_the_table_of_the_docs_is_that_of_the_results() -> None:
    found = pd.read_csv(ROOT / "results" / "text" / "methods.csv")
    found = found[(found["rounding"] == "none") & (found["scale"] != "linear")]
    found = found[found["alpha"].isna() | (found["alpha"] == 0.05)].set_index(["method", "data"])
    section = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").split("## Real text")[1]
    lines = [line for line in section.split("**Rounding.**")[0].splitlines() if line[:3] == "| `"]
    assert len(lines) > 15
    for line in lines:
        name, *cells = line.strip("| ").split(" | ")
        for data, cell in zip(text_study.DATA, cells, strict=True):
            row = found.loc[(name.strip("`"), data)]
            assert cell.startswith(f"{row['overshoot']:.1f}"), (line, data)
            assert cell.endswith(f"({100 * row['coverage']:.1f})"), (line, data)


@pytest.mark.slow
def test_the_whole_study_on_the_embedded_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = save_encoder(tmp_path / "encoder")
    monkeypatch.setattr(text_study, "WITH_FRACTIONS", "instruct")
    text_study.main(
        pretrained="embedded",
        data="instruct",
        seeds="0",
        canvas=CANVAS,
        epochs=1,
        limit=40,
        encoder=str(encoder),
        dtype="float32",
        folder=tmp_path / "made",
        output=tmp_path / "found",
    )
    study = read(tmp_path / "found", "instruct")
    assert set(study.variants()) == {one.name for one in variants("")}
    assert study.variants()["classification"] == ["classification/0"]
    assert study.variants()["mean"] == ["mean/0"]
    prefix = read(tmp_path / "found", "instruct-fractions", 0.25, "prefix")
    assert (prefix.test["at_least"] == prefix.test["length"] // 4).all()
    for column in prefix.columns:
        assert (prefix.test[column] >= prefix.test["at_least"] - 0.05).all()
    text_tables.main(folder=tmp_path / "found", data="instruct")
    assert "`prompt_length`" in (tmp_path / "found" / "tables.md").read_text(encoding="utf-8")
