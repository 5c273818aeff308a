"""Predictor folders: what is written comes back, and what does not fit is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from eosbench.bounds.calibration import Calibration
from eosbench.bounds.coverage import Coverage
from eosbench.bounds.promise import Promise
from eosbench.errors import CalibrationError, ConfigurationError, PredictorError
from eosbench.fitting.passes import Sample, to_prompt
from eosbench.forward.step_zero import run_step_zero
from eosbench.predictors import METHODS, FittedPredictor, build, load_predictor
from eosbench.predictors.folder import save_folder
from tests.eosbench.toy import CANVAS, MASK, toy_backbone, toy_examples
from tests.fakes import ByteTokenizer

OPTIONS: dict[str, dict[str, object]] = {
    "logit": {"variant": "threshold", "tau": 0.25},
    "concat_regression": {"grid": 4, "project": 3, "hidden": 5},
    "average_regression": {"hidden": 5},
    "classification": {"tau": 0.75, "hidden": 5},
    "distilbert": {"encoder": "scratch"},
    "mean": {"length": 7.25},
    "max": {"length": 20},
    "random": {"longest": 20},
    "prompt_length": {"intercept": 1.5, "per_token": 0.02, "per_log_token": 0.3, "longest": 20},
}
BACKBONE = toy_backbone()
CALIBRATION = Calibration(
    {0.0: np.linspace(-1, 1, 30), 0.25: np.linspace(-0.5, 0.1, 19)}, scale="linear"
)


def saved(folder: Path, method: str = "classification") -> FittedPredictor:
    predictor = build(method, backbone=BACKBONE, canvas=CANVAS, options=OPTIONS.get(method))
    fitted = FittedPredictor(method, predictor, CALIBRATION, {"data": {"train": 12}})
    return save_folder(folder, fitted, backbone=BACKBONE, canvas=CANVAS)


@pytest.mark.parametrize("method", METHODS)
def test_round_trip(method: str, tmp_path: Path) -> None:
    before = saved(tmp_path / "p", method)
    after = load_predictor(method, tmp_path / "p", backbone=BACKBONE, canvas=CANVAS)
    examples = [Sample(example, 0.5) for example in toy_examples(5, seed=1)]
    prompts = [
        replace(to_prompt(sample, canvas=CANVAS, mask_id=MASK), reference_length=9)
        for sample in examples
    ]
    step = run_step_zero(BACKBONE, prompts)
    assert [p.length for p in before.predict(step)] == [p.length for p in after.predict(step)]
    assert after.predictor.options == before.predictor.options
    assert after.calibration is not None and after.calibration.scale == "linear"
    assert {u: list(scores) for u, scores in after.calibration.scores.items()} == {
        u: list(scores) for u, scores in CALIBRATION.scores.items()
    }
    assert after.info["data"] == {"train": 12}
    modes = {path.name: path.stat().st_mode for path in (tmp_path / "p").iterdir()}
    assert set(modes.values()) == {modes["config.json"]}
    assert after.info["backbone"]["fingerprint"] == BACKBONE.spec.fingerprint


@pytest.mark.parametrize("method", ["concat_regression", "average_regression", "classification"])
def test_heads_are_small(method: str, tmp_path: Path) -> None:
    """At the embedded model's width and canvas a head stays under 300 kB."""
    spec = replace(BACKBONE.spec, width=192)
    wide = toy_backbone()
    wide.spec = spec
    fitted = FittedPredictor(method, build(method, backbone=wide, canvas=256))
    save_folder(tmp_path, fitted, backbone=wide, canvas=256)
    assert (tmp_path / "model.safetensors").stat().st_size < 300_000


def test_another_backbone(tmp_path: Path) -> None:
    saved(tmp_path / "p")
    other = toy_backbone()
    other.spec = replace(other.spec, fingerprint="91bc", name="other-model")
    message = (
        r"was fitted for backbone 0123456789abcdef, this one is 91bc: "
        r"fit it again with .*--pretrained other-model"
    )
    with pytest.raises(PredictorError, match=message):
        load_predictor("classification", tmp_path / "p", backbone=other, canvas=CANVAS)


def test_another_tokenizer(tmp_path: Path) -> None:
    """The same weights with a tokenizer that cuts text otherwise: lengths would be counted in other
    tokens.
    """
    saved(tmp_path)
    other = toy_backbone()
    other.tokenizer = ByteTokenizer()
    with pytest.raises(
        PredictorError,
        match=r"was fitted with another tokenizer \(\w+, this one is \w+\): fit it again with",
    ):
        load_predictor("classification", tmp_path, backbone=other, canvas=CANVAS)


def test_a_folder_of_before_loads(tmp_path: Path) -> None:
    """Without tokenizer, dtype, edges and calibration documents, as at first: alpha is free, groups
    are refused.
    """
    saved(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    for name in ("tokenizer", "dtype"):
        del config["backbone"][name]
    config["calibration"] = {"scale": config["calibration"]["scale"]}
    del config["features"]
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    weights = tmp_path / "model.safetensors"
    save_file(
        {
            name: t
            for name, t in load_file(weights).items()
            if not name.startswith("calibration_documents.")
        },
        weights,
    )
    table = load_predictor("classification", tmp_path, backbone=BACKBONE, canvas=CANVAS).calibration
    assert table is not None
    half, most = (table.margin(Promise(Coverage(alpha)), canvas=CANVAS) for alpha in (0.5, 0.05))
    assert half < most
    with pytest.raises(CalibrationError, match="fit it again"):
        table.margin(Promise(groups="prompt"), canvas=CANVAS, prompt_length=3, prediction=5.0)


def test_another_canvas_or_method(tmp_path: Path) -> None:
    saved(tmp_path)
    with pytest.raises(PredictorError, match="canvas of 32, this one is 64"):
        load_predictor("classification", tmp_path, backbone=BACKBONE, canvas=64)
    with pytest.raises(PredictorError, match="is a 'classification', asked for is 'mean'"):
        load_predictor("mean", tmp_path, backbone=BACKBONE, canvas=CANVAS)


def test_options_belong_to_the_folder(tmp_path: Path) -> None:
    saved(tmp_path)
    load_predictor(
        "classification", tmp_path, backbone=BACKBONE, canvas=CANVAS, options={"tau": 0.75}
    )
    with pytest.raises(ConfigurationError, match=r"fitted with positions=\d+, asked for is 5"):
        load_predictor(
            "classification", tmp_path, backbone=BACKBONE, canvas=CANVAS, options={"positions": 5}
        )


def test_a_free_option_may_differ_and_then_no_calibration_holds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saved(tmp_path)
    again = load_predictor(
        "classification", tmp_path, backbone=BACKBONE, canvas=CANVAS, options={"tau": 0.5}
    )
    assert again.calibration is None and again.predictor.options["tau"] == 0.5
    assert (
        "was calibrated with {'tau': 0.75}: with {'tau': 0.5} its bounds are not calibrated"
        in caplog.text
    )


def test_missing_and_broken_folders(tmp_path: Path) -> None:
    def load() -> FittedPredictor:
        return load_predictor("classification", tmp_path / "p", backbone=BACKBONE, canvas=CANVAS)

    with pytest.raises(PredictorError, match="no predictor folder"):
        load()
    saved(tmp_path / "p")
    config, weights = tmp_path / "p" / "config.json", tmp_path / "p" / "model.safetensors"
    whole = weights.read_bytes()

    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PredictorError, match="cannot be read"):
        load()
    weights.unlink()
    with pytest.raises(PredictorError, match="cannot be read"):
        load()
    weights.write_bytes(whole)

    text = config.read_text(encoding="utf-8")
    settings = json.loads(text)
    config.write_text(
        json.dumps({**settings, "options": {"hidden": 7, "tau": 0.75}}), encoding="utf-8"
    )
    with pytest.raises(PredictorError, match="does not hold the weights"):
        load()
    config.write_text(
        json.dumps({name: value for name, value in settings.items() if name != "canvas"}),
        encoding="utf-8",
    )
    with pytest.raises(PredictorError, match="lacks canvas"):
        load()
    config.write_text(json.dumps({"model_type": "llama"}), encoding="utf-8")
    with pytest.raises(PredictorError, match="not one of eosbench's predictors"):
        load()
    config.write_text(text[:20], encoding="utf-8")
    with pytest.raises(PredictorError, match="cannot be read"):
        load()


def test_a_text_encoder_needs_its_tokenizer(tmp_path: Path) -> None:
    saved(tmp_path, "distilbert")
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(PredictorError, match=r"tokenizer\.json"):
        load_predictor("distilbert", tmp_path, backbone=BACKBONE, canvas=CANVAS)


def test_loading_a_text_encoder_asks_no_hub_and_no_backbone_tokenizer(tmp_path: Path) -> None:
    saved(tmp_path, "distilbert")
    bare = toy_backbone()
    bare.tokenizer = None
    assert load_predictor("distilbert", tmp_path, backbone=bare, canvas=CANVAS).row.reads == (
        "text",
    )
