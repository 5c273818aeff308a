"""`smartcrop` on EOS probabilities written by hand."""

from __future__ import annotations

import pytest
import torch

from eosbench.errors import ConfigurationError
from eosbench.forward.step_zero import run_step_zero
from eosbench.predictors import build, load_predictor
from eosbench.records import Prompt
from tests.fakes import EOS, MASK, ScriptedBackbone, table

V = 20


def backbone_of(*probabilities: float) -> ScriptedBackbone:
    """One token of prompt, then a canvas whose positions end the text with these probabilities."""
    return ScriptedBackbone(
        table([9, *[EOS] * len(probabilities)], [0.9, *probabilities], V), vocab_size=V
    )


def crop(probabilities: list[float], tau: float, canvas: tuple[int, ...] | None = None) -> float:
    backbone = backbone_of(*probabilities)
    predictor = build(
        "smartcrop", backbone=backbone, canvas=len(probabilities), options={"tau": tau}
    )
    prompt = Prompt("", (9,), canvas or (MASK,) * len(probabilities))
    (prediction,) = predictor.predict(run_step_zero(backbone, [prompt], {"eos"}))
    return prediction.length


# P(an EOS up to here) of 0.1, 0.5, 0.5, 0.9, 0.9 is 0.1, 0.55, 0.775, 0.9775, 0.99775 (the mask's
# own logit does not count: the probabilities that the predictor sees are larger by a factor of less
# than 1.03)
@pytest.mark.parametrize(
    ("tau", "expected"),
    [(0.05, 0), (0.3, 1), (0.7, 2), (0.95, 3), (0.99, 4), (0.9999, 5), (1.0, 5)],
)
def test_the_first_position_by_which_the_eos_has_come(tau: float, expected: int) -> None:
    assert crop([0.1, 0.5, 0.5, 0.9, 0.9], tau) == expected


def test_many_small_probabilities_add_up() -> None:
    """No position says EOS with more than 0.2, but 0.8 ** 14 < 0.05 <= 0.8 ** 13: with 0.2 each the
    EOS has come by index 13.
    """
    # One of V - 1 other tokens is the mask, whose share does not count.
    others = 0.2 * (V - 2) / (V - 1)
    assert crop([others / (0.8 + others)] * 32, 0.95) == 13


def test_certain_ends_and_none() -> None:
    assert crop([0.001, 0.9999999, 0.001], 0.95) == 1
    assert crop([0.001] * 8, 0.95) == 8


def test_what_is_revealed_stands_before_the_eos() -> None:
    assert crop([0.99, 0.99, 0.1, 0.99], 0.95, (MASK, 7, MASK, MASK)) == 3


def test_rows_and_padding_do_not_mix() -> None:
    backbone = backbone_of(0.1, 0.5, 0.5, 0.9, 0.9)
    predictor = build("smartcrop", backbone=backbone, canvas=5, options={"tau": 0.95})
    prompts = [Prompt("", (9,), (MASK,) * length) for length in (5, 2, 4)]
    predictions = predictor.predict(run_step_zero(backbone, prompts, {"eos"}))
    assert [prediction.length for prediction in predictions] == [3, 2, 3]
    curves = [prediction.eos_probability for prediction in predictions]
    assert all(
        curve is not None and len(curve) == len(prompt.canvas)
        for curve, prompt in zip(curves, prompts, strict=True)
    )
    assert curves[0] is not None and all(torch.tensor(curves[0]).diff() > 0)


def test_it_needs_no_folder() -> None:
    fitted = load_predictor("smartcrop", backbone=backbone_of(0.5), canvas=1)
    assert fitted.calibration is None and fitted.predictor.options["tau"] == 0.99
    with pytest.raises(ConfigurationError, match=r"tau=1\.5: expected a number from 0 to 1"):
        load_predictor("smartcrop", backbone=backbone_of(0.5), canvas=1, options={"tau": 1.5})
