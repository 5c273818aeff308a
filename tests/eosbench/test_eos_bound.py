"""The `evaluate` module, from plain lists and offline.

The seed paper's columns of a small table are worked out by hand.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import evaluate
import pytest

from eosbench.eos_bound import PATH
from eosbench.metrics.paper_table import COLUMNS, paper_columns

TABLE = Path(__file__).resolve().parents[1] / "fixtures" / "bounds.csv"

# Seven of its eight rows are not censored. B - L: 3, -4, 0, 2, 0, 7, -6.
BY_HAND = {
    "below": 2 / 7,
    "above": 3 / 7,
    "exact": 2 / 7,
    "tokens_below": (4 + 6) / 2,
    "tokens_above": (3 + 2 + 7) / 3,
    "saved": (24 + 16 + 28 + 0 + 24 + 16 + 31) / 7,
    "rmse": math.sqrt((9 + 16 + 4 + 49 + 36) / 7),
}


@pytest.fixture(scope="module")
def eos_bound() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield evaluate.load(PATH)


def columns() -> dict[str, list[int]]:
    with TABLE.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return {name: [int(row[name]) for row in rows] for name in ("bound", "length", "canvas")}


def test_the_paper_s_columns_of_a_table(eos_bound: Any) -> None:
    table = columns()
    found = eos_bound.compute(
        predictions=table["bound"], references=table["length"], canvas=table["canvas"]
    )
    assert {name: found[name] for name in COLUMNS} == pytest.approx(BY_HAND)
    assert found["censored"] == 1
    assert (found["coverage"], found["overshoot"], found["shortfall"]) == pytest.approx(
        (5 / 7, 12 / 5, 5.0)
    )


def test_the_paper_s_columns_of_a_results_file() -> None:
    """From the five numbers that a task logs, without its documents."""
    logged = {
        "coverage": 5 / 7,
        "overshoot": 12 / 5,
        "shortfall": 5.0,
        "exact": 2 / 7,
        "rmse": BY_HAND["rmse"],
    }
    assert paper_columns(logged | {"saved": BY_HAND["saved"]}) == pytest.approx(BY_HAND)
    assert math.isnan(paper_columns(logged)["saved"])


@pytest.mark.parametrize(
    ("bound", "below", "above", "exact"),
    [([4, 8], 0.0, 0.0, 1.0), ([5, 9], 0.0, 1.0, 0.0), ([3, 7], 1.0, 0.0, 0.0)],
)
def test_where_nothing_is_above_or_below(
    bound: list[int], below: float, above: float, exact: float, eos_bound: Any
) -> None:
    found = eos_bound.compute(predictions=bound, references=[4, 8])
    assert (found["below"], found["above"], found["exact"]) == (below, above, exact)
    assert (found["tokens_below"] == 1.0) if below else math.isnan(found["tokens_below"])
    assert (found["tokens_above"] == 1.0) if above else math.isnan(found["tokens_above"])


def test_what_is_computed_depends_on_what_is_given(eos_bound: Any) -> None:
    lists = {"predictions": [4], "references": [2]}
    bare = eos_bound.compute(**lists)
    assert math.isnan(bare["saved"])
    assert not {"accuracy", "censored", "compute_ratio", "pinball_loss", "average_precision"} & set(
        bare
    )
    full = eos_bound.compute(
        **lists,
        canvas=8,
        prompt_lengths=[4],
        revealed=[[0]],
        eos_probability=[[0.9, 0.1, 0.2, *[0.3] * 5]],
        alpha=0.25,
    )
    assert (full["saved"], full["compute_ratio"], full["pinball_loss"]) == pytest.approx(
        (4.0, 4 * 8 / (8 * 12), 0.5)
    )
    # Positions 2 and 3 of the seven that are masked.
    assert full["accuracy"] == pytest.approx(5 / 7)
    assert full["average_precision"] == pytest.approx(1.0)  # the 0.9 at position 0 is not masked


def test_a_model_that_says_eos_everywhere(eos_bound: Any) -> None:
    """Perfect at the end, and wrong at every position before it."""
    lists = {"predictions": [3, 2], "references": [3, 2], "canvas": 4}
    found = eos_bound.compute(**lists, eos_ranks=[[1] * 4] * 2, eos_prob=[1.0, 1.0])
    assert (found["eos_top1"], found["eos_mrr"], found["eos_prob"]) == (1.0, 1.0, 1.0)
    assert found["eos_false"] == 1.0
    some = eos_bound.compute(**lists, eos_ranks=[[1, 2, 2, 1], [1, 2, 4, 4]], revealed=[[0], [1]])
    assert (some["eos_top1"], some["eos_mrr"]) == (0.5, 0.625)
    assert some["eos_false"] == 0.5  # neither of {1, 2}, and the one of {0}


def test_batches_add_up(eos_bound: Any) -> None:
    table = columns()
    for bound, length in zip(table["bound"], table["length"], strict=True):
        eos_bound.add(prediction=bound, reference=length)
    assert eos_bound.compute(canvas=32)["tokens_above"] == pytest.approx(BY_HAND["tokens_above"])


def test_the_card_names_every_value(eos_bound: Any) -> None:
    card = (Path(PATH) / "README.md").read_text(encoding="utf-8")
    found = eos_bound.compute(
        predictions=[4],
        references=[2],
        canvas=8,
        prompt_lengths=[4],
        eos_probability=[[0.5] * 8],
        eos_ranks=[[2] * 8],
        eos_prob=[0.25],
        alpha=0.1,
    )
    assert all(f"`{name}`" in card for name in found)
