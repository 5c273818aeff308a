"""The margin of the least expected cost: against the engine's own charges, against brute force over
`to_bound`, and the stated cost against that of new documents.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eosbench.bounds.bound import to_bound
from eosbench.bounds.calibration import Calibration
from eosbench.bounds.cheapest import Cheapest
from eosbench.bounds.cost_curve import CostCurve
from eosbench.bounds.promise import Promise
from eosbench.bounds.rounding import rounded_lengths
from eosbench.bounds.scores import Scale, Scored, add_margin, calibration_scores
from eosbench.bounds.window_costs import window_costs
from eosbench.decoding import DecodeConfig, Job, WindowBlocks
from eosbench.decoding.window import generate
from eosbench.errors import CalibrationError, ConfigurationError
from eosbench.records import LengthPrediction
from tests.fakes import EOS, ScriptedBackbone, table

C = 24
WAYS = {
    "token by token": DecodeConfig(gen_length=C, block_length=8),
    "one block": DecodeConfig(gen_length=C),
    "up to the EOS": DecodeConfig(gen_length=C, block_length=8, stop_at_eos=True),
    "three tokens a step": DecodeConfig(gen_length=C, block_length=7, steps=9, stop_at_eos=True),
    "steps a block": DecodeConfig(gen_length=C, block_length=8, steps_per_block=3),
}


@cache
def cost_by_hand(way: DecodeConfig, window: int, length: int, prompt: int) -> int:
    """Windows one after another, in plain words."""
    plan, kept, cost = WindowBlocks(way), 0, 0
    while True:
        for start, end, steps in plan.blocks(window):
            masked = end - max(start, kept)
            if masked > 0 and not (way.stop_at_eos and start > length):
                cost += math.ceil(steps * masked / (end - start)) * (prompt + window)
        if window > length or window == C:
            return cost
        kept, window = window, min(2 * window, C)


@pytest.mark.parametrize("way", WAYS)
def test_the_cost_is_what_the_engine_charges(way: str) -> None:
    """First windows and lengths at and beside the edges of blocks, on a model that is the surer the
    further to the right, so that of the block with the EOS every position is filled.
    """
    config, prompt = WAYS[way], (9, 9, 9)
    lengths, windows = np.array([0, 1, 5, 7, 8, 12, 23, 24]), (1, 2, 3, 5, 8, 9, 16, 20, 24)
    a_KU, b_KU = window_costs(WindowBlocks(config), list(windows), lengths, C)
    for column, length in enumerate(lengths.tolist()):
        tokens = [*prompt, *[10] * length, *[EOS] * (C - length)]
        sure = [0.5 + 0.01 * at for at in range(len(tokens))]
        backbone = ScriptedBackbone(table(tokens, sure, 30), vocab_size=30)
        jobs = [Job(prompt, config, window) for window in windows]
        for place, answer in generate(backbone, jobs, overflow="retry"):
            charged = int(a_KU[place, column] * len(prompt) + b_KU[place, column])
            assert answer.cost.token_positions == charged, (length, windows[place])
            assert charged == cost_by_hand(config, windows[place], length, len(prompt))


def test_at_an_eos_the_engine_charges_no_more() -> None:
    """On a model that is the surer the further to the left the EOS ends its block early."""
    config = WAYS["up to the EOS"]
    a_KU, b_KU = window_costs(WindowBlocks(config), [16], np.array([9]), C)
    tokens = [8, *[10] * 9, *[EOS] * 20]
    sure = [0.9 - 0.01 * at for at in range(len(tokens))]
    backbone = ScriptedBackbone(table(tokens, sure, 30), vocab_size=30)
    ((_, answer),) = generate(backbone, [Job((8,), config, 16)], overflow="retry")
    assert answer.cost.token_positions == 10 * (1 + 16)  # nine tokens and the EOS
    assert int(a_KU[0, 0] + b_KU[0, 0]) == 16 * (1 + 16)  # both blocks to their end


def calibrated(
    prediction_N: np.ndarray, length_N: np.ndarray, prompt_N: np.ndarray, scale: Scale
) -> Calibration:
    return Calibration(
        {0.0: calibration_scores(prediction_N, length_N, scale)},
        scale,
        length_N=length_N.astype(float),
        prompt_length_N=prompt_N.astype(float),
    )


class At:
    """A kind of promise whose margin is given."""

    name = remedy = ""

    def __init__(self, margin: float) -> None:
        self.given = margin

    def fewest(self, canvas: int) -> int:
        return 0

    def margin(self, scored: Scored, canvas: int) -> float:
        return self.given

    def settings(self) -> dict[str, float]:
        return {}

    def in_words(self, canvas: int) -> str:
        return ""


def total_at(margin: float, table: Calibration, documents: np.ndarray, kind: Cheapest) -> int:
    """The cost of all documents, each bounded by `to_bound` at a margin."""
    total = 0
    for prediction, length, prompt in documents.T:
        bound = to_bound(
            LengthPrediction(float(prediction)),
            canvas=C,
            calibration=table,
            promise=Promise(At(margin)),
            rounding=kind.rounding,
            block_length=kind.block_length,
        ).bound
        assert isinstance(kind.windows, WindowBlocks)
        total += cost_by_hand(kind.windows.settings, bound, int(length), int(prompt))
    return total


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.integers(1, C), st.integers(1, 60)),
        min_size=2,
        max_size=6,
    ),
    st.sampled_from(sorted(WAYS)),
    st.sampled_from(["pow2", "block", "none"]),
    st.sampled_from(["log", "linear"]),
)
def test_no_margin_costs_less(
    drawn: list[tuple[int, int, int]], way: str, rounding: str, scale: Scale
) -> None:
    """Predictions in tenths of a token; a grid of margins, and both sides of each step."""
    documents = np.array(drawn, dtype=float).T
    documents[0] /= 10
    table = calibrated(*documents, scale)
    kind = Cheapest(WindowBlocks(WAYS[way]), rounding, block_length=5)
    margin = table.margin(Promise(kind), canvas=C)
    found = total_at(margin, table, documents, kind)
    edges = [
        (math.log1p(edge) - math.log1p(prediction)) if scale == "log" else edge - prediction
        for prediction in documents[0]
        for edge in rounded_lengths(C, rounding, 5)
    ]
    sides = [edge + side for edge in edges for side in (-1e-3, 0.0, 2e-4, 1e-3)]
    grid = np.linspace(-4, 4, 30) if scale == "log" else np.linspace(-41, 25, 67)
    assert found == min(
        total_at(float(at), table, documents, kind) for at in [*sides, *grid, margin]
    )
    curve = kind.curve(Scored(table.scores[0.0], scale, table.length_N, table.prompt_length_N), C)
    assert found == curve.total_M.min()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(1, 5))
def test_leaving_out_is_choosing_without(seed: int, documents: int, bounds: int) -> None:
    """Each document is charged at the margin of a curve that is made of the others alone."""
    rng = np.random.default_rng(seed)
    edge_NK = np.sort(rng.integers(0, 40, (documents, bounds - 1)) / 4.0, axis=1)
    cost_NK = rng.integers(1, 50, (documents, bounds))
    expected = []
    for row in range(documents):
        others = np.arange(documents) != row
        margin = CostCurve(edge_NK[others], cost_NK[others], top=99.0).best
        expected.append(int(cost_NK[row, np.searchsorted(edge_NK[row], margin)]))
    assert CostCurve(edge_NK, cost_NK, top=99.0).left_out_N.tolist() == expected


def world(rng: np.random.Generator, documents: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    length_N = rng.integers(1, C, documents)
    prediction_N = np.maximum(0, length_N * np.exp(rng.normal(0.3, 0.8, documents)))
    return prediction_N, length_N, rng.integers(1, 30, documents)


def test_the_stated_cost_is_that_of_new_documents() -> None:
    """Over 300 draws: leaving out one of 21 estimates the cost after 20 without bias, and the
    minimum itself is too good to be true.
    """
    rng, kind = np.random.default_rng(3), Cheapest(WindowBlocks(WAYS["token by token"]), "none")
    gap, optimism = [], []
    for _ in range(300):
        prediction_N, length_N, prompt_N = world(rng, 21 + 100)
        known = calibrated(prediction_N[:21], length_N[:21], prompt_N[:21], "log")
        stated = known.expected_cost(Promise(kind), canvas=C)
        assert stated is not None
        fewer = calibrated(prediction_N[:20], length_N[:20], prompt_N[:20], "log")
        margin = fewer.margin(Promise(kind), canvas=C)
        raised_N = [add_margin(float(one), margin, "log") for one in prediction_N[21:]]
        bound_N = np.clip(np.ceil(np.array(raised_N) - 1e-4), 1, C).astype(int)
        documents = zip(
            bound_N.tolist(), length_N[21:].tolist(), prompt_N[21:].tolist(), strict=True
        )
        new = [cost_by_hand(WAYS["token by token"], *document) for document in documents]
        curve = kind.curve(
            Scored(fewer.scores[0.0], "log", fewer.length_N, fewer.prompt_length_N), C
        )
        gap.append(stated.token_positions - float(np.mean(new)))
        optimism.append(curve.total_M.min() / 20 - float(np.mean(new)))
    error = float(np.std(gap, ddof=1)) / math.sqrt(len(gap))
    assert abs(float(np.mean(gap))) <= 4 * error
    assert float(np.mean(optimism)) < -4 * float(np.std(optimism, ddof=1)) / math.sqrt(300)


def test_a_minimum_by_hand() -> None:
    """Two answers of 3 tokens without a prompt, predicted as 1 and as 2, a token a step. In a
    window of 1: 1 + 1 * 2 + 2 * 4 = 11; of 2: 2 * 2 + 2 * 4 = 12; of 3: 3 * 3 + 3 * 6 = 27; of 4:
    16. The margin of 0 costs 11 + 12, and 11 + 11 from where both windows are 1. Left out, the
    first is lowered with the second, and the second is not lowered with the first: 11 and 12.
    """
    table = calibrated(np.array([1.0, 2.0]), np.array([3, 3]), np.zeros(2), "linear")
    kind = Cheapest(WindowBlocks(DecodeConfig(gen_length=C, block_length=C)), "none")
    margin = table.margin(Promise(kind), canvas=C)
    assert margin == pytest.approx(-1 + 1e-4)  # the largest of them: 2 is lowered to 1
    cost = table.expected_cost(Promise(kind), canvas=C)
    assert cost is not None
    assert (cost.token_positions, cost.standard_error) == (11.5, pytest.approx(0.5))
    assert cost.whole_canvas == C * C


def test_groups_have_margins_and_costs_of_their_own() -> None:
    """Of two kinds of prompts each chooses, and is stated, as it would be alone."""
    prediction_N = np.array([1.0, 2.0, 1.0, 20.0, 9.0, 14.0])
    length_N, prompt_N = np.array([1, 2, 3, 20, 21, 19]), np.repeat([5, 50], 3)
    table = calibrated(prediction_N, length_N, prompt_N, "linear")
    table = replace(table, edges={"prompt": [10.0]})
    kind = Cheapest(WindowBlocks(WAYS["token by token"]), "none")
    margins, costs = [], []
    for prompt in (5, 50):
        own_N = prompt_N == prompt
        alone = calibrated(prediction_N[own_N], length_N[own_N], prompt_N[own_N], "linear")
        margins.append(alone.margin(Promise(kind), canvas=C))
        cost = alone.expected_cost(Promise(kind), canvas=C)
        assert cost is not None
        costs.append(cost.token_positions)
        in_group = table.margin(Promise(kind, "prompt"), canvas=C, prompt_length=prompt)
        assert in_group == margins[-1]
    together = table.expected_cost(Promise(kind, "prompt"), canvas=C)
    assert together is not None
    assert together.token_positions == pytest.approx(np.mean(costs))
    assert margins[0] != margins[1]


def test_what_it_needs() -> None:
    kind = Promise(Cheapest(WindowBlocks(WAYS["one block"])))
    with pytest.raises(CalibrationError, match="no calibration documents for promise=cheapest"):
        Calibration({0.0: np.zeros(9)}).margin(kind, canvas=C)
    with pytest.raises(CalibrationError, match="no calibration documents for promise=cheapest"):
        Calibration({0.0: np.zeros(9)}, length_N=np.ones(9)).margin(kind, canvas=C)
    with pytest.raises(
        CalibrationError, match="1 calibration documents are too few for promise=cheapest: it takes"
    ):
        calibrated(np.ones(1), np.ones(1), np.ones(1), "log").check(kind, canvas=C)
    with pytest.raises(ConfigurationError, match="rounding 'up': expected one of"):
        Cheapest(WindowBlocks(WAYS["one block"]), "up")
    assert kind.settings() == {"promise": "cheapest"}
    assert Calibration({0.0: np.zeros(9)}).expected_cost(Promise(), canvas=C) is None
