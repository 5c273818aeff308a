"""Variance components: known ones found again, bounds as the library has them, tables by hand."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import variance
from benchmarks.variance import as_markdown, by_source, over_recipes, rows_of, training_seeds
from benchmarks.variance_components import variance_components
from benchmarks.variance_draws import Draws, Pool, overshoots, table_of
from eosbench import embedded
from eosbench.bounds import Calibration, to_bound
from eosbench.errors import PredictorError
from eosbench.metrics import overshoot
from eosbench.records import LengthPrediction

LEVELS = (3, 2, 5, 4)  # training, fit, calibration, documents
EFFECTS = {  # the axes that an effect is drawn along, and its variance
    (0,): ("training", 4.0),
    (0, 1): ("fit", 2.0),
    (2,): ("calibration", 1.0),
    (3,): ("documents", 3.0),
    (0, 2): ("interactions", 0.5),
    (0, 1, 2, 3): ("interactions", 0.7),
}


def simulated(rng: np.random.Generator) -> np.ndarray:
    """A table of the model, its effects drawn with the variances of EFFECTS."""
    table = np.zeros(LEVELS)
    for axes, (_, size) in EFFECTS.items():
        shape = [levels if axis in axes else 1 for axis, levels in enumerate(LEVELS)]
        table = table + rng.normal(0.0, math.sqrt(size), size=shape)
    return table


def test_known_components_are_found_within_the_error_of_simulation() -> None:
    rng, found, true = np.random.default_rng(0), defaultdict(list), defaultdict(float)
    for _ in range(2_000):
        for source, value in by_source(simulated(rng)).items():
            found[source].append(value)
    for source, size in EFFECTS.values():
        true[source] += size
    assert set(found) == set(true)
    for source, values in found.items():
        error = np.std(values) / math.sqrt(len(values))
        assert error < 0.15
        assert abs(np.mean(values) - true[source]) < 4 * error, source


def test_an_estimate_may_be_below_zero_and_is_not_cut_off() -> None:
    """Means over a factor that agree better than chance lets them: 0 less 8 / 2."""
    table = np.array([[1.0, 5.0], [5.0, 1.0]])
    found = variance_components(table, ["a", "b"], {"b": "a"})
    assert found[frozenset("a")].variance == -4.0
    assert found[frozenset("ab")].variance == 8.0
    rows = rows_of("hazard", "logit", {"training": -4.0, "fit": 8.0, "interactions": 8.0})
    assert rows["variance"].tolist() == [-4.0, 8.0, 8.0]
    assert rows["share"].tolist() == [0.0, 0.5, 0.5]
    assert rows["deviation"].tolist() == [0.0, math.sqrt(8.0), math.sqrt(8.0)]


def test_a_crossed_table_by_hand() -> None:
    """Two crossed factors without repeats: the residual is their interaction."""
    table = np.array([[1.0, 2.0], [5.0, 10.0]])  # row means 1.5, 7.5; column means 3, 6; mean 4.5
    found = variance_components(table, ["a", "b"], {})
    assert found[frozenset("ab")].variance == pytest.approx(4.0)  # residuals are 1 or -1
    assert found[frozenset("a")].variance == pytest.approx((36.0 - 4.0) / 2)
    assert found[frozenset("b")].variance == pytest.approx((9.0 - 4.0) / 2)


def test_a_single_seed_has_no_component_and_the_others_keep_theirs() -> None:
    rng = np.random.default_rng(1)
    table = rng.normal(size=(1, 3, 6, 6))
    found = by_source(table)
    assert math.isnan(found["training"])
    assert not math.isnan(found["fit"]) and not math.isnan(found["interactions"])
    assert math.isnan(by_source(table[:, :1])["fit"])
    rows = rows_of("hazard", "logit", found)
    assert rows["share"].sum() == pytest.approx(1.0)
    line = as_markdown(rows).splitlines()[-1]
    assert line.startswith("| logit | hazard |") and line.split(" | ")[3] == "–"


def test_bounds_are_those_of_the_library() -> None:
    rng = np.random.default_rng(2)
    length_M = rng.integers(1, 32, size=60).astype(float)
    prediction_M = length_M * np.exp(rng.normal(0.0, 0.6, size=60))
    draws = Draws.of(60, calibrating=30, tested=20, sets=4)
    found_KD = overshoots(prediction_M, length_M, draws, canvas=32)  # some bounds are the canvas
    score_M = np.log1p(length_M) - np.log1p(prediction_M)
    for k, chosen_n in enumerate(draws.calibrating_Kn):
        scores = Calibration({0.0: score_M[chosen_n]})
        bound_M = np.array(
            [
                to_bound(
                    LengthPrediction(one), canvas=32, calibration=scores, rounding="none"
                ).bound
                for one in prediction_M
            ]
        )
        for d, tested_M in enumerate(draws.tested_DM):
            documents = np.repeat(np.arange(60), tested_M.astype(int))
            assert len(documents) == 20
            expected = overshoot(bound_M[documents], length_M[documents])
            assert found_KD[k, d] == pytest.approx(expected)


def test_documents_add_the_variance_of_a_mean_over_the_covered_ones() -> None:
    """A ratio of two means over N documents, by the delta method, at a margin that hardly moves."""
    rng = np.random.default_rng(3)
    length_M = rng.integers(1, 60, size=400).astype(float)
    prediction_M = length_M * np.exp(rng.normal(0.0, 0.4, size=400))
    pool = Pool(prediction_M, length_M, 256)
    found = by_source(table_of([[pool]], calibrating=20_000, tested=100, sets=400))
    every = Draws(np.arange(400)[None], np.ones((1, 400)))
    mean = float(overshoots(prediction_M, length_M, every, canvas=256)[0, 0])
    margin = np.sort(np.log1p(length_M) - np.log1p(prediction_M))[379]
    bound_M = np.ceil(np.expm1(np.log1p(prediction_M) + margin) - 1e-6)
    covered_M = bound_M >= length_M
    expected = np.var(covered_M * (bound_M - length_M - mean)) / covered_M.mean() ** 2 / 100
    assert found["documents"] == pytest.approx(expected, rel=0.25)


def test_calibration_adds_the_variance_of_the_mean_over_all_documents() -> None:
    rng = np.random.default_rng(4)
    length_M = rng.integers(1, 60, size=400).astype(float)
    pool = Pool(length_M * np.exp(rng.normal(0.0, 0.4, size=400)), length_M, 256)
    found = by_source(table_of([[pool]], calibrating=100, tested=300, sets=300))
    draws = Draws.of(400, calibrating=100, tested=1, sets=300)
    every = Draws(draws.calibrating_Kn, np.ones((1, 400)))
    over_K = overshoots(pool.prediction_M, length_M, every, canvas=256)[:, 0]
    assert found["calibration"] == pytest.approx(np.var(over_K, ddof=1), rel=0.2)


def test_the_pool_is_what_a_predictor_was_calibrated_on() -> None:
    folder = embedded.predictor_folder("classification")
    assert folder is not None
    pool = Pool.read(folder)
    assert len(pool.length_M) == len(pool.prediction_M) == 1_000 and pool.canvas == 256
    rmse = math.sqrt(np.mean(np.square(pool.prediction_M - pool.length_M)))
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert rmse == pytest.approx(config["fit"]["scores"]["0"]["rmse"], rel=1e-6)
    other = Pool(pool.prediction_M, pool.length_M + 1, 256)
    with pytest.raises(PredictorError, match="count the tokens"):
        table_of([[pool, other]], calibrating=20, tested=5, sets=2)


def trained(folder: Path, recipe: str, seed: int) -> Path:
    folder.mkdir(parents=True)
    record = {"recipe": recipe, "seed": seed}
    (folder / "training.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def test_models_of_one_recipe_are_its_training_seeds(tmp_path: Path) -> None:
    one, other = trained(tmp_path / "b", "hazard", 1), trained(tmp_path / "a", "hazard", 0)
    alone = trained(tmp_path / "c", "eoseos", 0)
    assert training_seeds([one, alone, other]) == {"hazard": [other, one], "eoseos": [alone]}
    twin = trained(tmp_path / "d", "eoseos", 0)
    runner = CliRunner()
    refused = runner.invoke(variance.app, [str(alone), str(twin)])
    assert refused.exit_code == 2 and "with seed 0" in refused.output
    refused = runner.invoke(variance.app, [str(tmp_path)])
    assert refused.exit_code == 2 and "training.json" in refused.output


def test_the_command_writes_both_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The predictors of the package stand for fitted ones: equal for all seeds."""
    commands = []

    def fit(stage: variance.Stage) -> None:
        commands.append(stage.command)
        heads = Path(stage.command[stage.command.index("--output") + 1])
        for seed in ("seed-0", "seed-1"):
            (heads / seed).mkdir(parents=True)
            for method in ("classification", "concat_regression"):
                (heads / seed / method).symlink_to(embedded.predictor_folder(method) or "")

    monkeypatch.setattr(variance.Stage, "run", fit)
    models = [trained(tmp_path / name, name[:-2], int(name[-1])) for name in ("a-0", "a-1", "b-0")]
    words = [*map(str, models), "--methods", "classification,concat_regression"]
    words += ["--fit-seeds", "0,1", "--sets", "20", "--folder", str(tmp_path / "heads")]
    words += ["--output", str(tmp_path / "tables")]
    found = CliRunner().invoke(variance.app, words)
    assert found.exit_code == 0, found.output
    assert len(commands) == 3 and all("0,1" in command for command in commands)
    table = variance.pd.read_csv(tmp_path / "tables" / "variance.csv")
    assert len(table) == 2 * 3 * 5  # methods, recipes and their mean, sources
    by_source = table[table["recipe"] == "a"].groupby("source")["variance"].max()
    assert by_source["documents"] > 0 and by_source["calibration"] > 0
    assert by_source["training"] == pytest.approx(0, abs=1e-9)
    lines = (tmp_path / "tables" / "variance.md").read_text("utf-8").splitlines()
    assert len(lines) == 2 + 2 * 3
    assert lines[2].startswith("| classification | all |")


def test_a_mean_over_recipes_keeps_what_is_below_zero() -> None:
    one = rows_of("a", "logit", {"training": -2.0, "fit": 1.0})
    other = rows_of("b", "logit", {"training": 1.0, "fit": 3.0})
    (mean,) = over_recipes([one, other])
    assert mean["variance"].tolist() == [-0.5, 2.0]
    assert over_recipes([one]) == []
