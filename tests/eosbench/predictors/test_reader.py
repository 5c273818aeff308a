"""The length reader on a scripted backbone: how often the model runs, and that sharing a pass
changes no reading.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from eosbench.forward.step_zero import StepZero
from eosbench.predictors import METHODS, FittedPredictor, Method, load_predictor
from eosbench.predictors.reader import LengthReader
from eosbench.records import LengthPrediction, Prompt
from tests.eosbench.toy import CANVAS, FIRST_NUMBER, toy_backbone
from tests.fakes import BOS, MASK, SEP, ScriptedBackbone


class HiddenNorm:
    """A method that reads hidden states: their size, averaged over the canvas."""

    options: ClassVar[dict[str, Any]] = {}

    def predict(self, batch: StepZero) -> list[LengthPrediction]:
        hidden_BCD, mask_BC = batch.read("canvas_hidden_BCD"), batch.read("canvas_mask_BC")
        return [
            LengthPrediction(float(hidden_CD[mask_C].abs().mean()))
            for hidden_CD, mask_C in zip(hidden_BCD, mask_BC, strict=True)
        ]


class TextLength:
    """A method that reads the prompt's text alone."""

    options: ClassVar[dict[str, Any]] = {}

    def predict(self, batch: StepZero) -> list[LengthPrediction]:
        return [LengthPrediction(float(len(prompt.text))) for prompt in batch.prompts]


@pytest.fixture(autouse=True)
def rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two methods above stand in the table."""
    for name, kind, reads in (("hidden", HiddenNorm, "hidden"), ("text", TextLength, "text")):
        target = f"{kind.__module__}:{kind.__name__}"
        monkeypatch.setitem(METHODS, name, Method(target, "A test's.", order=0, reads=(reads,)))  # type: ignore[arg-type]


def prompt(number: int, filler: int = 0) -> Prompt:
    ids = (BOS, FIRST_NUMBER + number, *[FIRST_NUMBER] * filler, SEP)
    return Prompt(f"n{number}" + " n0" * filler, ids, (MASK,) * CANVAS)


def methods(backbone: ScriptedBackbone) -> dict[str, FittedPredictor]:
    return {
        "logit": load_predictor(
            "logit", backbone=backbone, canvas=CANVAS, options={"variant": "top1"}
        ),
        "hidden": FittedPredictor("hidden", HiddenNorm()),
        "text": FittedPredictor("text", TextLength()),
        "fixed": load_predictor("fixed", backbone=backbone, canvas=CANVAS),
    }


PROMPTS = [prompt(3), prompt(20, 2), prompt(7), prompt(12, 1), prompt(3, 3)]


@pytest.mark.parametrize(
    "order", [("logit", "hidden", "text", "fixed"), ("fixed", "text", "hidden", "logit")]
)
def test_all_methods_share_one_pass(order: tuple[str, ...]) -> None:
    backbone = toy_backbone()
    reader = LengthReader(backbone, methods(backbone), keep=True)
    for method in order:
        readings = list(reader.read(method, PROMPTS, 2, with_eos=True))
        assert [method in reading.predictions for reading in readings] == [True] * 5
    assert [len(ids) for ids, _ in backbone.passes] == [2, 2, 1]


def test_a_shared_pass_reads_what_separate_ones_read() -> None:
    shared = toy_backbone()
    reader = LengthReader(shared, methods(shared), keep=True)
    for method in ("text", "logit", "hidden", "fixed"):
        alone = toy_backbone()
        separate = LengthReader(alone, {method: methods(alone)[method]})
        for kept, own in zip(
            reader.read(method, PROMPTS, 5, with_eos=True),
            separate.read(method, PROMPTS, 1, with_eos=True),
            strict=True,
        ):
            one, other = kept.predictions[method], own.predictions[method]
            assert one.length == pytest.approx(other.length, abs=1e-5)
            if other.eos_probability is not None:
                np.testing.assert_allclose(one.eos_probability, other.eos_probability, atol=1e-6)
            if own.eos_rank_C is not None:
                np.testing.assert_array_equal(kept.eos_rank_C, own.eos_rank_C)
                np.testing.assert_allclose(kept.eos_probability_C, own.eos_probability_C, atol=1e-6)
                assert len(own.eos_rank_C) == CANVAS


def test_what_reads_no_model_runs_none() -> None:
    for method in ("text", "fixed"):
        backbone = toy_backbone()
        list(
            LengthReader(backbone, {method: methods(backbone)[method]}).read(
                method, PROMPTS, 2, with_eos=True
            )
        )
        assert backbone.passes == []


def test_nothing_is_kept_unless_asked() -> None:
    backbone = toy_backbone()
    reader = LengthReader(backbone, methods(backbone))
    list(reader.read("logit", PROMPTS, 5))
    list(reader.read("logit", PROMPTS, 5))
    assert len(backbone.passes) == 2


def test_only_new_prompts_are_read() -> None:
    backbone = toy_backbone()
    reader = LengthReader(backbone, methods(backbone), keep=True)
    list(reader.read("logit", PROMPTS[:3], 8))
    list(reader.read("logit", PROMPTS, 8))
    assert [len(ids) for ids, _ in backbone.passes] == [3, 2]
    revealed = Prompt(PROMPTS[0].text, PROMPTS[0].ids, (FIRST_NUMBER, *PROMPTS[0].canvas[1:]))
    list(reader.read("logit", [revealed], 8))
    assert len(backbone.passes) == 3  # another canvas is another question


def test_seconds_are_a_methods_own_and_its_pass() -> None:
    backbone = toy_backbone()
    reader = LengthReader(backbone, methods(backbone), keep=True)
    (reading,) = reader.read("logit", PROMPTS[:1], 1)
    assert reading.seconds["text"] < reading.seconds["logit"]
    assert set(reading.seconds) == {"logit", "hidden", "text"}
