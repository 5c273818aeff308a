"""Fitting end to end, in a world where lengths can be read (tests/eosbench/toy.py): what is
learned, kept, and promised.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from eosbench.bounds.bound import to_bound
from eosbench.bounds.coverage import Coverage
from eosbench.bounds.promise import Promise
from eosbench.errors import CalibrationError, ConfigurationError
from eosbench.fitting.calibrate import predicted_lengths
from eosbench.fitting.examples import FitData
from eosbench.fitting.features import extract
from eosbench.fitting.fit import fit_all
from eosbench.fitting.jobs import FitJob, FitReport
from eosbench.fitting.passes import Passes, every_fraction, one_fraction_each, to_prompt
from eosbench.fitting.store import FeatureStore
from eosbench.fitting.train import TrainingSettings, train_weights
from eosbench.predictors import METHODS, FittedPredictor, build, load_predictor
from eosbench.predictors.classification import Classification
from eosbench.records import LengthPrediction
from model_adapters.varlen_dlm.fingerprint import predictor_digest
from tests.eosbench.toy import CANVAS, MASK, toy_backbone, toy_examples

FRACTIONS = (0.0, 0.5)
ALPHA = 0.1
LEARNED = ("concat_regression", "average_regression", "classification", "distilbert")
FITTED = [method for method, row in METHODS.items() if row.fitting != "none"]
OPTIONS: dict[str, dict[str, object]] = {
    "distilbert": {"encoder": "scratch", "head": "regression"},
    "logit": {"variant": "threshold"},
}


@pytest.fixture(scope="module")
def fits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FitReport]:
    folder = tmp_path_factory.mktemp("heads")
    reports = fit_all(
        [FitJob(method, folder / method, OPTIONS.get(method, {})) for method in FITTED],
        passes=Passes(toy_backbone(), CANVAS),
        data=FitData(toy_examples(300, seed=0), toy_examples(120, seed=1)),
        fractions=FRACTIONS,
        training=TrainingSettings(epochs=25, batch_size=32),
    )
    return {report.job.method: report for report in reports}


def loaded(fits: dict[str, FitReport]) -> dict[str, FittedPredictor]:
    backbone = toy_backbone()
    return {
        method: load_predictor(method, fits[method].job.output, backbone=backbone, canvas=CANVAS)
        for method in FITTED
    }


@pytest.mark.parametrize("method", LEARNED)
def test_learned_methods_learn(method: str, fits: dict[str, FitReport]) -> None:
    """The answers' lengths spread by about 7 tokens, of which all but the noise (standard deviation
    1.4) can be read.
    """
    report = fits[method]
    assert report.training is not None
    assert report.scores["0"]["rmse"] < 0.6 * fits["mean"].scores["0"]["rmse"]


def test_the_mean_is_the_mean(fits: dict[str, FitReport]) -> None:
    lengths = [example.length for example in toy_examples(300, seed=0)]
    assert loaded(fits)["mean"].predictor.options == {"length": pytest.approx(sum(lengths) / 300)}
    assert loaded(fits)["max"].predictor.options == {"length": max(lengths)}


def test_calibrated_bounds_cover_new_documents(fits: dict[str, FitReport]) -> None:
    """Split conformal's promise, for every method and fraction: at least 1 - alpha of documents
    that no fit has seen.

    With 120 calibration and 300 test documents coverage has a standard deviation of sqrt(alpha
    (1 - alpha) (1/120 + 1/300)), 3.3 percentage points; the 14 checks get four of them.
    """
    test = toy_examples(300, seed=2)
    predictors = loaded(fits)
    predicted = predicted_lengths(
        predictors, test, FRACTIONS, passes=Passes(toy_backbone(), CANVAS)
    )
    error = 4 * (ALPHA * (1 - ALPHA) * (1 / 120 + 1 / 300)) ** 0.5
    for method, fitted in predictors.items():
        for fraction in FRACTIONS:
            bounds = [
                to_bound(
                    LengthPrediction(length),
                    canvas=CANVAS,
                    fraction=fraction,
                    calibration=fitted.calibration,
                    promise=Promise(Coverage(ALPHA)),
                    rounding="none",
                ).bound
                for length in predicted[method][fraction]
            ]
            coverage = np.mean(
                [bound >= example.length for bound, example in zip(bounds, test, strict=True)]
            )
            assert coverage >= 1 - ALPHA - error, (method, fraction)


def test_what_the_folder_says(fits: dict[str, FitReport]) -> None:
    config = json.loads(
        (fits["classification"].job.output / "config.json").read_text(encoding="utf-8")
    )
    assert config["method"] == "classification"
    assert config["canvas"] == CANVAS
    assert config["data"]["train"]["documents"] == 300
    assert config["data"]["calibration"]["documents"] == 120
    assert set(config["fit"]["scores"]) == {"0", "0.5"}
    assert config["features"] == {
        "positions64": [64, 29, "torch.bfloat16"],
        "positions64_index": [64, "torch.int32"],
    }
    assert config["fit"]["training"]["best_epoch"] >= 1
    assert set(config["versions"]) == {"eosbench", "numpy", "safetensors", "torch", "transformers"}


def test_a_seed_fixes_the_fit(tmp_path: Path) -> None:
    def weights(name: str, seed: int) -> bytes:
        fit_all(
            [FitJob("average_regression", tmp_path / name, seed=seed)],
            passes=Passes(toy_backbone(), CANVAS),
            data=FitData(toy_examples(60, seed=0), toy_examples(20, seed=1)),
            fractions=FRACTIONS,
            training=TrainingSettings(epochs=2),
        )
        return (tmp_path / name / "model.safetensors").read_bytes()

    state = torch.random.get_rng_state()
    first = weights("a", 0)
    # The caller's random state is left alone.
    assert torch.equal(state, torch.random.get_rng_state())
    assert first == weights("b", 0)
    assert first != weights("c", 1)


def test_seeds_are_written_down_and_folders_of_a_method_that_trains_nothing_are_equal(
    tmp_path: Path,
) -> None:
    jobs = [
        FitJob(method, tmp_path / f"{seed}" / method, seed=seed)
        for seed in (3, 4)
        for method in ("mean", "average_regression")
    ]
    fit_all(
        jobs,
        passes=Passes(toy_backbone(), CANVAS),
        data=FitData(toy_examples(60, seed=0), toy_examples(20, seed=1)),
        fractions=FRACTIONS,
        training=TrainingSettings(epochs=2, batch_size=8),
    )
    fits = {
        job.output: json.loads((job.output / "config.json").read_text(encoding="utf-8"))["fit"]
        for job in jobs
    }
    assert [fits[job.output]["seed"] for job in jobs] == [None, 3, None, 4]
    settings = {"epochs": 2, "batch_size": 8, "mixed_precision": "no", "fractions": list(FRACTIONS)}
    assert [fits[job.output]["settings"] for job in jobs] == [None, settings, None, settings]
    digests = [predictor_digest(job.output) for job in jobs]
    assert digests[0] == digests[2] and digests[1] != digests[3]


def test_long_answers_are_left_out_and_counted(tmp_path: Path) -> None:
    (report,) = fit_all(
        [FitJob("max", tmp_path)],
        passes=Passes(toy_backbone(), 12),
        data=FitData(toy_examples(60, seed=0), toy_examples(60, seed=1)),
        fractions=(0.0,),
    )
    lengths = [example.length for seed in (0, 1) for example in toy_examples(60, seed=seed)]
    assert report.censored == sum(length > 12 for length in lengths)
    assert report.train_documents + report.calibration_documents + report.censored == 120
    assert load_predictor(
        "max", tmp_path, backbone=toy_backbone(), canvas=12
    ).predictor.options == {"length": 12}


def test_the_backbone_runs_once_per_document_and_only_where_it_is_read(tmp_path: Path) -> None:
    backbone, examples = toy_backbone(), toy_examples(32, seed=0)
    learners = [
        FittedPredictor("classification", Classification(width=backbone.spec.width, hidden=width))
        for width in (4, 8)
    ]
    store = FeatureStore(
        tmp_path, backbone=backbone, samples=one_fraction_each(examples, FRACTIONS), canvas=CANVAS
    )
    extract(store, learners, Passes(backbone, CANVAS, batch_size=8))
    assert len(backbone.passes) == 4  # type: ignore[attr-defined]
    assert store.read(["positions64"], [0, 31])["positions64"].shape == (2, 64, backbone.spec.width)
    jobs = [
        FitJob("mean", tmp_path / "mean"),
        FitJob("distilbert", tmp_path / "text", {"encoder": "scratch"}),
    ]
    fit_all(
        jobs,
        passes=Passes(backbone, CANVAS),
        data=FitData(examples, examples),
        fractions=FRACTIONS,
        training=TrainingSettings(epochs=1),
    )
    assert len(backbone.passes) == 4  # type: ignore[attr-defined]


def test_samples() -> None:
    examples = toy_examples(400, seed=0)
    drawn = [sample.fraction for sample in one_fraction_each(examples, (0.0, 0.25, 0.5, 0.75))]
    assert all(60 < drawn.count(fraction) < 140 for fraction in (0.0, 0.25, 0.5, 0.75))
    assert [sample.fraction for sample in every_fraction(examples[:2], FRACTIONS)] == [
        0.0,
        0.0,
        0.5,
        0.5,
    ]


def test_a_prefix_reveals_the_first_tokens_and_random_positions_the_drawn_ones() -> None:
    (example,) = toy_examples(1, seed=0)
    known = {
        reveal: to_prompt(
            every_fraction([example], [0.5], reveal)[0], canvas=CANVAS, mask_id=MASK
        ).canvas
        for reveal in ("random", "prefix")
    }
    half = example.length // 2
    assert known["prefix"][:half] == example.response_ids[:half]
    assert set(known["prefix"][half:]) == {MASK}
    assert sum(token != MASK for token in known["random"]) == half


def test_classification_weighs_both_classes_alike() -> None:
    """One position after the EOS outweighs three before it: the loss is the mean of the two
    classes' means.
    """
    learner = Classification(width=4)
    hidden_KD, index_K = (
        torch.randn(4, 4, generator=torch.Generator().manual_seed(0)),
        torch.arange(4),
    )
    with torch.no_grad():
        probability_K = learner.module(hidden_KD).sigmoid().squeeze(-1)
        loss = learner.loss(
            {"positions64": hidden_KD[None], "positions64_index": index_K[None]}, torch.tensor([3])
        )
    expected = (-torch.log(1 - probability_K[:3]).mean() - torch.log(probability_K[3])) / 2
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


def test_training_stops_early_and_keeps_the_best_epoch() -> None:
    """Lengths that nothing explains: the held-out loss soon stops falling."""
    backbone = toy_backbone()
    learner = build("average_regression", backbone=backbone, canvas=CANVAS)
    rng = torch.Generator().manual_seed(0)
    pooled_ND = torch.randn(200, 2 * backbone.spec.width, generator=rng)
    lengths = torch.randint(1, CANVAS, (200,), generator=rng).tolist()
    training = train_weights(
        learner,
        lambda rows: {"pooled": pooled_ND[rows]},
        lengths,
        settings=TrainingSettings(epochs=100, patience=3),
    )  # type: ignore[arg-type]
    assert training.epochs == training.best_epoch + 3 < 100


def test_wrong_requests(tmp_path: Path) -> None:
    def fit(*jobs: FitJob, train: int = 60, calibration: int = 20, **changes: int) -> None:
        fit_all(
            jobs,
            passes=Passes(toy_backbone(), CANVAS),
            data=FitData(toy_examples(train, seed=0), toy_examples(calibration, seed=1)),
            fractions=(0.0,),
            training=TrainingSettings(**changes),
        )

    with pytest.raises(ConfigurationError, match="'fixed' has nothing to fit"):
        fit(FitJob("fixed", tmp_path))
    with pytest.raises(ConfigurationError, match="unknown method"):
        fit(FitJob("best", tmp_path))
    with pytest.raises(ConfigurationError, match="folder of its own"):
        fit(FitJob("mean", tmp_path), FitJob("max", tmp_path))
    with pytest.raises(ConfigurationError, match="no option layers"):
        fit(FitJob("classification", tmp_path, {"layers": 3}))
    with pytest.raises(ConfigurationError, match="expected 20 or more"):
        fit(FitJob("classification", tmp_path), train=10)
    with pytest.raises(ConfigurationError, match="epochs=0"):
        fit(FitJob("classification", tmp_path), epochs=0)
    with pytest.raises(CalibrationError, match="no calibration documents"):
        fit(FitJob("mean", tmp_path), calibration=0)


def test_few_calibration_documents_are_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fit_all(
        [FitJob("mean", tmp_path)],
        passes=Passes(toy_backbone(), CANVAS),
        data=FitData(toy_examples(5, seed=0), toy_examples(12, seed=1)),
        fractions=(0.0,),
    )
    assert "12 calibration documents cannot serve alpha=0.05: that takes 19" in caplog.text


def test_views_of_the_canvas_are_fitted_side_by_side(tmp_path: Path) -> None:
    """Passes are shared by predictors of one view alone, and so are features on disk."""
    views = ("full", "grid:8", "grid:8")
    jobs = [
        FitJob(method, tmp_path / str(at), {"step_zero": view} if view != "full" else {})
        for at, (method, view) in enumerate(
            zip(("classification", "classification", "smartcrop"), views, strict=True)
        )
    ]
    data = FitData(toy_examples(40, seed=0), toy_examples(20, seed=1))
    runs: dict[str, list[int]] = {}
    for kept in ("first", "again"):
        backbone = toy_backbone()
        fit_all(
            jobs,
            passes=Passes(backbone, CANVAS, batch_size=20),
            data=data,
            fractions=(0.0,),
            training=TrainingSettings(epochs=2),
            store=tmp_path / "store",
        )
        runs[kept] = [ids_BT.shape[1] for ids_BT, _ in backbone.passes]
    canvases = {kept: [width > CANVAS for width in widths] for kept, widths in runs.items()}
    # Two batches of training documents for each view, then one of calibration documents for each;
    # the second fit finds its features.
    assert canvases == {"first": [True, True, False, False, True, False], "again": [True, False]}
    assert len(list((tmp_path / "store").iterdir())) == 2
    for job, view in zip(jobs, views, strict=True):
        config = json.loads((job.output / "config.json").read_text(encoding="utf-8"))
        assert config["options"]["step_zero"] == view
