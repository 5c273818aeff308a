"""`logit` on EOS probabilities written by hand."""

from __future__ import annotations

import pytest
import torch

from eosbench.errors import ConfigurationError, PredictorError
from eosbench.forward.step_zero import run_step_zero, text_only
from eosbench.predictors import load_predictor
from eosbench.records import Prompt
from tests.fakes import EOS, MASK, ScriptedBackbone, table

V = 10
PROMPT = (4, 5)
RISING = (0.02, 0.05, 0.10, 0.20, 0.60, 0.40, 0.80, 0.90)  # P(EOS) at canvas positions 0 to 7


def length(
    probabilities: tuple[float, ...],
    options: dict[str, object],
    canvas: tuple[int, ...] | None = None,
) -> float:
    logits_TV = torch.cat(
        [torch.zeros(len(PROMPT), V), table([EOS] * len(probabilities), probabilities, V)]
    )
    # Its share is left to nobody, so that the written probabilities hold up to a constant factor.
    logits_TV[:, MASK] = -torch.inf
    backbone = ScriptedBackbone(logits_TV, vocab_size=V)
    prompt = Prompt("", PROMPT, (MASK,) * len(probabilities) if canvas is None else canvas)
    (prediction,) = load_predictor(
        "logit", backbone=backbone, canvas=len(prompt.canvas), options=options
    ).predict(run_step_zero(backbone, [prompt], needs=["eos"]))
    return prediction.length


@pytest.mark.parametrize(("tau", "expected"), [(0.01, 0), (0.15, 3), (0.5, 4), (0.7, 6), (0.99, 8)])
def test_threshold_is_the_first_position_at_or_above_tau(tau: float, expected: int) -> None:
    assert length(RISING, {"variant": "threshold", "tau": tau}) == expected


@pytest.mark.parametrize(("q", "expected"), [(0.0, 1), (0.25, 2), (0.5, 4), (0.75, 6), (1.0, 8)])
def test_quantile_is_the_first_position_that_exceeds_it(q: float, expected: int) -> None:
    """Sorted: .02 .05 .10 .20 .40 .60 .80 .90, so the quantiles lie at .02, .0875, .30, .65 and
    .90.
    """
    assert length(RISING, {"variant": "quantile", "q": q}) == expected


def test_quantile_of_equal_probabilities_is_exceeded_nowhere() -> None:
    assert length((0.3,) * 6, {"variant": "quantile"}) == 6


def test_top1_is_where_eos_stays_on_top() -> None:
    low = 0.05  # below the even share of 8 other tokens
    assert length((low, 0.5, low, 0.5, 0.5), {"variant": "top1"}) == 3
    assert length((low, 0.5, 0.5, 0.5, low), {"variant": "top1"}) == 5  # nowhere: the whole canvas
    assert length((0.5,) * 5, {"variant": "top1"}) == 0


def test_positions_before_a_revealed_token_cannot_hold_the_eos() -> None:
    revealed = (6, MASK, MASK, 6, MASK, MASK, MASK, MASK)
    assert length(RISING, {"variant": "threshold", "tau": 0.01}, revealed) == 4
    assert length(RISING, {"variant": "threshold", "tau": 0.5}, (*[MASK] * 6, 6, MASK)) == 7


def test_quantiles_are_taken_over_masked_positions() -> None:
    """Masked are .10 .20 .60 .40 .80 .90: their quarter lies at .25, that of all eight at .0875."""
    canvas = (6, 6, MASK, MASK, MASK, MASK, MASK, MASK)
    assert length(RISING, {"variant": "quantile", "q": 0.25}, canvas) == 4


def test_a_full_canvas_is_its_own_answer() -> None:
    assert length(RISING, {"variant": "quantile"}, (6,) * 8) == 8


def test_the_default_is_the_seed_papers_median() -> None:
    assert length(RISING, {}) == length(RISING, {"variant": "quantile", "q": 0.5})


def test_probabilities_come_along() -> None:
    backbone = ScriptedBackbone(table([EOS] * 5, (0.5,) * 5, V), vocab_size=V)
    step = run_step_zero(backbone, [Prompt("", (4,), (MASK,) * 4), Prompt("", (4,), (MASK,) * 2)])
    predictions = load_predictor("logit", backbone=backbone, canvas=4).predict(step)
    assert [
        prediction.eos_probability.shape
        for prediction in predictions
        if prediction.eos_probability is not None
    ] == [
        (4,),
        (2,),
    ]


@pytest.mark.parametrize(
    "options",
    [{"variant": "best"}, {"q": 1.5}, {"variant": "threshold", "tau": -0.1}, {"threshold": 0.5}],
)
def test_wrong_options(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        length(RISING, options)


def test_a_batch_without_step_zero() -> None:
    backbone = ScriptedBackbone(torch.zeros(4, V), vocab_size=V)
    with pytest.raises(PredictorError, match="eos_probability_BC"):
        load_predictor("logit", backbone=backbone, canvas=4).predict(
            text_only([Prompt("", (4,), (MASK,))], MASK)
        )
