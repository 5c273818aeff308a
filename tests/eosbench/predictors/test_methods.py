"""Names, leaks, batches and revealed tokens of every method; and the baselines by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eosbench.errors import ConfigurationError, PredictorError
from eosbench.fitting.examples import Example
from eosbench.fitting.passes import Sample, to_prompt
from eosbench.forward.step_zero import run_step_zero, text_only
from eosbench.predictors import (
    METHODS,
    THE_FIVE,
    FittedPredictor,
    build,
    load_predictor,
)
from eosbench.predictors.concat_regression import grid_positions
from eosbench.predictors.max import Max
from eosbench.predictors.mean import Mean
from eosbench.predictors.prompt_length import PromptLength
from eosbench.predictors.random import Random
from eosbench.records import Prompt
from tests.eosbench.toy import CANVAS, MASK, toy_backbone, toy_examples

OPTIONS: dict[str, dict[str, object]] = {
    "mean": {"length": 7.25},
    "max": {"length": 20},
    "random": {"longest": 20},
    "prompt_length": {"intercept": 1.5, "per_token": 0.02, "per_log_token": 0.3, "longest": 20},
    "distilbert": {"encoder": "scratch"},
}
BACKBONE = toy_backbone()
EXAMPLES = toy_examples(6, seed=3)


def predictor(method: str, **options: object) -> FittedPredictor:
    """With untrained weights where it has some: what is tested here holds for any weights."""
    return FittedPredictor(
        method,
        build(
            method, backbone=BACKBONE, canvas=CANVAS, options={**OPTIONS.get(method, {}), **options}
        ),
    )


def prompts(examples: list[Example], fraction: float) -> list[Prompt]:
    return [
        to_prompt(Sample(example, fraction), canvas=CANVAS, mask_id=MASK) for example in examples
    ]


def lengths(fitted: FittedPredictor, batch: list[Prompt]) -> list[float]:
    return [prediction.length for prediction in fitted.predict(run_step_zero(BACKBONE, batch))]


def test_a_method_is_a_file_of_its_name_and_a_row() -> None:
    folder = Path(__file__).parents[3] / "eosbench" / "predictors"
    on_disk = {"folder", "config", "tensors", "card", "hub"}
    of_text = {"encoder", "encoder_choice", "encoder_input", "encoder_weights", "text_networks"}
    of_positions = {"ending", "end_distribution"}
    shared = {
        "__init__",
        "methods",
        "protocol",
        "heads",
        "reader",
        "views",
        "whole_canvas",
        *on_disk,
    }
    shared |= of_text | of_positions
    assert {file.stem for file in folder.glob("*.py")} - shared == set(METHODS)
    assert set(THE_FIVE) <= set(METHODS)
    for method, row in METHODS.items():
        assert row.target.startswith(f"eosbench.predictors.{method}:")
        assert set(row.reads) <= {"eos", "hidden", "text", "reference"}
        assert row.needs == set(row.reads) - {"text", "reference"}
        assert ("reference" in row.reads) == (method == "oracle")
        assert row.summary.endswith(".") and "\n" not in row.summary
        assert hasattr(row.load(), "from_lengths") == (row.fitting == "lengths")
        assert hasattr(row.load(), "from_prompts") == (row.fitting == "prompts")
    orders = [row.order for row in METHODS.values()]
    assert orders == sorted(set(orders))


def test_unknown_names() -> None:
    with pytest.raises(
        ConfigurationError, match=r"unknown method 'best'.*logit, concat_regression"
    ):
        load_predictor("best", backbone=BACKBONE, canvas=CANVAS)
    with pytest.raises(ConfigurationError, match="'fixed' has no option tau: expected none"):
        load_predictor("fixed", backbone=BACKBONE, canvas=CANVAS, options={"tau": 1})


@pytest.mark.parametrize(
    "method", [m for m, row in METHODS.items() if row.fitting in ("weights", "lengths", "prompts")]
)
def test_a_fitted_method_asks_for_its_folder(method: str) -> None:
    with pytest.raises(
        PredictorError, match=rf"eosbench fit --method {method} --pretrained scripted"
    ):
        load_predictor(method, backbone=BACKBONE, canvas=CANVAS)


@pytest.mark.parametrize("method", [m for m in METHODS if m != "oracle"])
def test_the_reference_does_not_leak(method: str) -> None:
    """At u = 0 another reference changes nothing; nor does `reference_length`, which is the
    oracle's alone.
    """
    swapped = [
        Example(e.prompt_text, e.prompt_ids, tuple(reversed(e.response_ids)) + (5,) * 3)
        for e in EXAMPLES
    ]
    told = [
        Prompt(p.text, p.ids, p.canvas, p.fraction, reference_length=3)
        for p in prompts(EXAMPLES, 0.0)
    ]
    fitted = predictor(method)
    assert (
        lengths(fitted, prompts(EXAMPLES, 0.0))
        == lengths(fitted, prompts(swapped, 0.0))
        == lengths(fitted, told)
    )


@pytest.mark.parametrize("method", [m for m in METHODS if m != "oracle"])
@pytest.mark.parametrize("fraction", [0.0, 0.5])
def test_a_batch_of_one_equals_a_batch_of_many(method: str, fraction: float) -> None:
    fitted, batch = predictor(method), prompts(EXAMPLES, fraction)
    assert lengths(fitted, batch) == pytest.approx(
        [lengths(fitted, [prompt])[0] for prompt in batch], abs=1e-3
    )


@pytest.mark.parametrize("method", [m for m in METHODS if m != "oracle"])
def test_revealed_tokens_are_the_least_that_is_predicted(method: str) -> None:
    batch = [Prompt("n1", EXAMPLES[0].prompt_ids, (*[MASK] * (CANVAS - 2), 9, MASK))]
    (prediction,) = predictor(method).predict(run_step_zero(BACKBONE, batch))
    assert prediction.at_least == CANVAS - 1
    assert prediction.length >= CANVAS - 1


@pytest.mark.parametrize(
    "method", [m for m, row in METHODS.items() if m != "oracle" and not row.needs]
)
def test_methods_that_do_not_read_the_dlm_need_no_pass(method: str) -> None:
    batch = prompts(EXAMPLES, 0.0)
    fitted = predictor(method)
    assert [p.length for p in fitted.predict(text_only(batch, MASK))] == lengths(fitted, batch)


def test_classification_asks_open_positions_alone() -> None:
    batch = prompts(EXAMPLES, 0.75)
    step = run_step_zero(BACKBONE, batch)
    for row, prediction in enumerate(predictor("classification", tau=0.0).predict(step)):
        # Tau = 0: the first position that is asked at all.
        assert prediction.length == step.at_least_B[row]
        assert prediction.eos_probability is not None
        assert not prediction.eos_probability[: step.at_least_B[row]].any()
    never = predictor("classification", tau=1.0).predict(step)
    assert [prediction.length for prediction in never] == [CANVAS] * len(batch)


def test_concat_reads_the_canvas_it_was_built_for() -> None:
    assert grid_positions(64, 5) == [0, 4, 16, 35, 63]
    assert grid_positions(1, 3) == [0, 0, 0]
    with pytest.raises(PredictorError, match="canvas of 32 positions, this one has 5"):
        lengths(predictor("concat_regression"), [Prompt("", EXAMPLES[0].prompt_ids, (MASK,) * 5)])


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("concat_regression", {"grid": 0}),
        ("classification", {"positions": 0}),
        ("classification", {"positions": 1, "target": "hazard"}),
        ("classification", {"target": "before"}),
        ("classification", {"depth": "deep"}),
        ("average_regression", {"depth": 3}),
        ("concat_regression", {"depth": ""}),
        ("distilbert", {"head": "x"}),
    ],
)
def test_wrong_options(method: str, options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        predictor(method, **options)


@pytest.mark.parametrize("head", ["classes", "regression"])
def test_distilbert_reads_texts_of_any_length(head: str) -> None:
    """Longer than its positions, and empty: truncated, and predicted all the same; classes are
    powers of two.
    """
    batch = [Prompt(text, (2, 4, 3), (MASK,) * CANVAS) for text in ("n3 " * 600, "", "n3")]
    predictions = predictor("distilbert", head=head).predict(text_only(batch, MASK))
    assert all(0 <= prediction.length <= CANVAS for prediction in predictions)
    if head == "classes":
        assert all(prediction.length in (1, 2, 4, 8, 16, 32) for prediction in predictions)


def test_baselines_by_hand() -> None:
    batch = prompts(EXAMPLES, 0.0)
    assert lengths(predictor("fixed"), batch) == [CANVAS] * 6
    length_N = np.array([2, 4, 9])
    step = text_only(batch, MASK)
    assert [p.length for p in Mean.from_lengths(length_N).predict(step)] == [5.0] * 6
    assert [p.length for p in Max.from_lengths(length_N).predict(step)] == [9.0] * 6


def test_prompt_length_is_the_ridge_of_the_normal_equations() -> None:
    """Beside them: (X'X + I) w = X'y on features of mean 0 and variance 1, y of mean 0."""
    rng = np.random.default_rng(0)
    prompt_length_N, length_N = rng.integers(1, 200, 50), rng.integers(1, 90, 50)
    fitted = PromptLength.from_prompts(prompt_length_N, length_N)
    raw_N2 = np.stack([prompt_length_N, np.log(1 + prompt_length_N)], axis=1)
    x_N2 = (raw_N2 - raw_N2.mean(0)) / raw_N2.std(0)
    y_N = np.log(1 + length_N)
    w_2 = np.linalg.solve(x_N2.T @ x_N2 + np.eye(2), x_N2.T @ (y_N - y_N.mean()))
    batch = text_only([Prompt("", (4,) * n, (MASK,)) for n in prompt_length_N], MASK)
    found = [prediction.length for prediction in fitted.predict(batch)]
    assert found == pytest.approx(list(np.exp(y_N.mean() + x_N2 @ w_2) - 1), rel=1e-6)


def test_prompt_length_by_hand() -> None:
    """exp(0 + 0 n + 1 log(1 + n)) - 1 = n, and never more than the longest training answer."""
    own = PromptLength(intercept=0.0, per_token=0.0, per_log_token=1.0, longest=9)
    batch = text_only([Prompt("", (4,) * n, (MASK,)) for n in (1, 5, 5_000)], MASK)
    assert [prediction.length for prediction in own.predict(batch)] == pytest.approx([1, 5, 9])
    same = PromptLength.from_prompts(np.array([7, 7]), np.array([3, 15]))
    # Prompts of one length: the mean of log 4 and log 16 is log 8.
    assert [prediction.length for prediction in same.predict(batch)] == pytest.approx([7, 7, 7])


def test_random_is_even_and_repeatable() -> None:
    """2,000 prompts over 1 to 4: 500 each, give or take four standard deviations."""
    batch = text_only([Prompt("", (index,), (MASK,)) for index in range(2_000)], MASK)
    method = Random.from_lengths(np.array([1, 4]))
    drawn = [prediction.length for prediction in method.predict(batch)]
    assert drawn == [prediction.length for prediction in method.predict(batch)]
    assert set(drawn) == {1.0, 2.0, 3.0, 4.0}
    assert all(abs(drawn.count(value) - 500) < 4 * 19.4 for value in (1.0, 2.0, 3.0, 4.0))


def test_the_oracle_needs_a_reference() -> None:
    told = text_only([Prompt("", (4,), (MASK,), reference_length=7)], MASK)
    assert [prediction.length for prediction in predictor("oracle").predict(told)] == [7.0]
    with pytest.raises(PredictorError, match="eos_upper_bound"):
        predictor("oracle").predict(text_only([Prompt("", (4,), (MASK,))], MASK))
