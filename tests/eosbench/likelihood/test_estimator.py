"""Sets of masked tokens, and estimates from them: against enumeration, by hand, over many seeds."""

from __future__ import annotations

import math
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
import torch

from eosbench.likelihood.estimator import LogProbabilities, estimate
from eosbench.likelihood.likelihood import log_likelihood
from eosbench.likelihood.mask_plan import Pattern, Plan, size_probabilities
from tests.golden_files import load_golden


class Crowd:
    """Tokens whose log p differ, fall with every masked neighbour, and gain unequally from every
    known token.
    """

    def __init__(self, length: int) -> None:
        generator = np.random.default_rng(length)
        self.base_L = -2 * generator.exponential(size=length) - 1
        self.helps_LL = generator.normal(0.3, 0.6, size=(length, length)) / math.sqrt(length)
        self.length = length

    def log_p(self, masked_SL: np.ndarray) -> np.ndarray:
        """[S, L], 0 where nothing is masked."""
        known_SL = 1.0 - masked_SL
        lonely_SL = np.pad(masked_SL, ((0, 0), (1, 1)))[:, 2:] * 0.7
        log_p_SL = self.base_L + known_SL @ self.helps_LL.T - lonely_SL
        return np.asarray(np.where(masked_SL, -np.logaddexp(0, -log_p_SL), 0))

    def scores(self, patterns: tuple[Pattern, ...]) -> LogProbabilities:
        masked_SL = np.zeros((len(patterns), self.length), dtype=bool)
        for row, pattern in enumerate(patterns):
            masked_SL[row, list(pattern)] = True
        found = self.log_p(masked_SL)
        return {pattern: found[row, list(pattern)].tolist() for row, pattern in enumerate(patterns)}

    def exact(self) -> float:
        """The definition: the mean over sizes of the mean over all sets of a size."""
        total = 0.0
        for size in range(1, self.length + 1):
            sets = tuple(combinations(range(self.length), size))
            total += sum(map(sum, self.scores(sets).values())) * self.length / size / len(sets)
        return total / self.length

    def plain_variance(self) -> float:
        """The variance of f(S) for one independent set, with l uniform."""
        generator = np.random.default_rng(0)
        sizes_S = generator.integers(1, self.length + 1, size=20_000)
        masked_SL = generator.random((20_000, self.length)).argsort(axis=1) < sizes_S[:, None]
        return float((self.log_p(masked_SL).sum(axis=1) * self.length / sizes_S).var())

    def estimates(self, mc_num: int, seeds: int) -> tuple[np.ndarray, np.ndarray]:
        """[seeds] values and [seeds] standard errors."""
        plans = [Plan.of(self.length, mc_num, np.random.default_rng(seed)) for seed in range(seeds)]
        found = [estimate(plan, self.scores(plan.patterns)) for plan in plans]
        return np.array([value for value, _ in found]), np.array([error for _, error in found])


def test_all_sets_are_the_definition() -> None:
    crowd = Crowd(6)
    plan = Plan.of(6, 63, np.random.default_rng(0))
    assert len(plan.patterns) == 63 and not plan.halves
    value, error = estimate(plan, crowd.scores(plan.patterns))
    assert value == pytest.approx(crowd.exact())
    assert error == 0


@pytest.mark.parametrize(
    ("length", "mc_num"), [(3, 3), (5, 4), (8, 9), (9, 24), (9, 128), (12, 64)]
)
def test_estimates_are_unbiased(length: int, mc_num: int) -> None:
    crowd = Crowd(length)
    values, _ = crowd.estimates(mc_num, 1500)
    assert values.mean() == pytest.approx(crowd.exact(), abs=4 * values.std() / math.sqrt(1500))


@pytest.mark.parametrize("length", [8, 16, 40, 90])
def test_a_share_of_mc_num_passes_is_as_exact_as_mc_num_independent_sets(length: int) -> None:
    crowd = Crowd(length)
    values, _ = crowd.estimates(128, 300)
    assert values.var() < crowd.plain_variance() / 128


@pytest.mark.parametrize("case", [1, 3, 4])
def test_on_a_trained_model_no_worse_than_as_many_independent_sets(case: int) -> None:
    """All 255 sets of eight tokens are scored once; the estimates of 200 seeds take theirs from
    these.
    """
    golden = load_golden("llada-trained")
    ids = golden.tensors[f"generate.{case}.output"][0]
    start = golden.tensors[f"generate.{case}.prompt"].shape[1]
    target = ids[start : start + 8]
    patterns = Plan.of(8, 255, np.random.default_rng(0)).patterns
    masked = torch.tensor([[i in pattern for i in range(8)] for pattern in patterns])
    copies = ids[: start + 8].repeat(255, 1)
    copies[:, start:][masked] = golden.backbone.spec.mask_id
    with torch.no_grad():
        log_p = (
            golden.backbone.logits(copies)[:, start:]
            .double()
            .log_softmax(dim=-1)[:, range(8), target]
            .numpy()
        )
    scores = {pattern: log_p[row, list(pattern)].tolist() for row, pattern in enumerate(patterns)}
    exact = log_likelihood(golden.backbone, ids[:start], target, 255)
    assert estimate(Plan(8, patterns), scores) == pytest.approx((exact, 0), abs=1e-4)

    f_S = np.array([8 / len(pattern) * sum(scores[pattern]) for pattern in patterns])
    share_S = np.array([1 / (8 * math.comb(8, len(pattern))) for pattern in patterns])
    plans = [Plan.of(8, 128, np.random.default_rng(seed)) for seed in range(200)]
    values = np.array([estimate(plan, scores)[0] for plan in plans])
    passes = max(len(plan.patterns) for plan in plans)
    assert values.mean() == pytest.approx(exact, abs=4 * values.std() / math.sqrt(200))
    assert values.var() < share_S @ (f_S - share_S @ f_S) ** 2 / passes


@pytest.mark.parametrize(("length", "mc_num"), [(9, 24), (9, 128), (24, 128), (60, 128)])
def test_on_average_the_stated_error_is_the_real_one(length: int, mc_num: int) -> None:
    values, errors = Crowd(length).estimates(mc_num, 600)
    assert 0.75 < math.sqrt((errors**2).mean()) / values.std() < 1.3


@pytest.mark.parametrize(
    ("length", "mc_num", "passes"),
    [
        (7, 128, 127),
        (8, 128, 16),
        (49, 128, 32),
        (100, 128, 46),
        (196, 128, 64),
        (900, 128, 64),
        (49, 512, 128),
        (49, 12, 12),
    ],
)
def test_passes_grow_with_the_root_of_the_length(length: int, mc_num: int, passes: int) -> None:
    """A 28th of mc_num times the root of the length: a quarter of mc_num at 49 tokens, half of it
    at 196 and no more; 16 at least.
    """
    plan = Plan.of(length, mc_num, np.random.default_rng(0))
    sets = 1 + len(plan.halves[0]) + len(plan.halves[1]) if plan.halves else len(plan.patterns)
    assert sets == passes


@pytest.mark.parametrize("mc_num", [3, 4, 5, 8, 16, 40, 128, 1000])
def test_never_more_passes_than_allowed(mc_num: int) -> None:
    for length in range(1, 100):
        plan = Plan.of(length, mc_num, np.random.default_rng(length))
        assert len(plan.patterns) <= mc_num
        assert tuple(range(length)) in plan.patterns
        if plan.halves:
            one, other = plan.halves
            assert set(plan.patterns) == {tuple(range(length)), *one, *other}
            assert 1 <= len(one) <= len(other) <= len(one) + 1


def test_sizes_are_as_likely_as_said_and_sets_of_a_size_equally_likely() -> None:
    length, seeds = 4, 4000
    sets = [
        pattern
        for seed in range(seeds)
        for part in Plan.of(length, 8, np.random.default_rng(seed)).halves
        for pattern in part
    ]
    found = Counter(sets)
    assert len(sets) == 7 * seeds
    for size, share in zip((1, 2, 3), size_probabilities(length), strict=True):
        patterns = list(combinations(range(length), size))
        assert sum(found[pattern] for pattern in patterns) / len(sets) == pytest.approx(
            share, abs=0.01
        )
        for pattern in patterns:
            expected = len(sets) * share / len(patterns)
            assert found[pattern] == pytest.approx(expected, abs=5 * math.sqrt(expected))


def test_sizes_fall_with_their_fifth_root() -> None:
    share = size_probabilities(244)
    assert share.sum() == pytest.approx(1)
    assert (share[0] / share[31], share[0] / share[242]) == pytest.approx((2, 3))


def test_a_guess_that_is_right_leaves_no_error() -> None:
    """By hand, L = 3: a token gains 2 when both others are known, and 1 when one of them is, so its
    log p is -3, -2 or -1.

    l = 3: -9; l = 2: 3 * -2 = -6; l = 1: 3 * -1 = -3; their mean is -6, whichever sets were drawn.
    """
    plan = Plan(3, ((0, 1, 2), (0,), (1, 2)), (((0,),), ((1, 2),)))
    value, error = estimate(
        plan, {(0, 1, 2): [-3.0, -3.0, -3.0], (0,): [-1.0], (1, 2): [-2.0, -2.0]}
    )
    assert (value, error) == pytest.approx((-6.0, 0.0), abs=1e-12)


def test_an_estimate_by_hand() -> None:
    """The same with -4 in place of -1: the guess for the set (0,), which comes from the other set,
    is -1, and that is 3 * 3 / (3 q_1) off.

    The guess for the set (1, 2) comes from token 0 alone: the gain is -1 for all tokens, and
    (-1 - 1) / 2 = -1 for token 0; so log p is -3 - 1 / 2 = -3.5 with one token known and -4 with
    both: sums of 3 * -3.5 and 3 * -4, divided by 3, are -7.5. The set is 3 / 2 * (1.5 + 1.5)
    better: 4.5 / (3 q_2).
    """
    plan = Plan(3, ((0, 1, 2), (0,), (1, 2)), (((0,),), ((1, 2),)))
    value, error = estimate(
        plan, {(0, 1, 2): [-3.0, -3.0, -3.0], (0,): [-4.0], (1, 2): [-2.0, -2.0]}
    )
    q_1, q_2 = 1 / (1 + 2**-0.2), 2**-0.2 / (1 + 2**-0.2)
    first, second = -3 - 9 / (3 * q_1), -7.5 + 4.5 / (3 * q_2)
    assert value == pytest.approx(-3 + (first + second) / 2)
    assert error == pytest.approx(abs(first - second) / 2)
