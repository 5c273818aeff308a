"""Layouts of masked sets: their sizes, the turns that positions take, the variance they leave."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eosbench.likelihood.mask_design import spread
from eosbench.likelihood.mask_plan import size_probabilities


def layout(length: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """[S, L] sets as a half of a sample has them, and [S] their weights."""
    share_L = size_probabilities(length)
    sizes = 1 + np.searchsorted(
        np.cumsum(share_L)[:-1], (np.arange(count) + 0.5) / count, side="right"
    )
    weights = 1 / (sizes * share_L[sizes - 1])
    return spread(length, tuple(sizes.tolist()), tuple(weights.tolist())), weights


@given(
    st.integers(2, 40).flatmap(
        lambda length: st.tuples(
            st.just(length), st.lists(st.integers(1, length - 1), min_size=1, max_size=12)
        )
    )
)
def test_sets_have_the_sizes_asked_for(asked: tuple[int, list[int]]) -> None:
    length, sizes = asked
    masked_SL = spread(length, tuple(sizes), tuple(1 / size for size in sizes))
    assert masked_SL.shape == (len(sizes), length)
    assert masked_SL.sum(axis=1).tolist() == sizes


@pytest.mark.parametrize(
    ("length", "sizes"), [(6, (2, 2, 2)), (9, (3, 3, 3)), (10, (5, 5)), (12, (9, 9, 9, 9))]
)
def test_what_can_be_shared_out_evenly_is(length: int, sizes: tuple[int, ...]) -> None:
    turns_L = spread(length, sizes, (1.0,) * len(sizes)).sum(axis=0)
    assert turns_L.max() - turns_L.min() <= 1


@pytest.mark.parametrize("length", [8, 21, 60, 200])
def test_positions_take_turns_among_small_sets_and_among_large_ones(length: int) -> None:
    masked_SL, _ = layout(length, 20)
    small_S = 2 * masked_SL.sum(axis=1) <= length
    for some_SL in (masked_SL[small_S], ~masked_SL[~small_S]):
        share_S = some_SL.mean(axis=1)
        # What independent sets would have.
        assert some_SL.sum(axis=0).var() < 0.5 * (share_S * (1 - share_S)).sum()


@pytest.mark.parametrize(("length", "count"), [(9, 8), (20, 12), (60, 20)])
@pytest.mark.parametrize("kind", ["tokens", "pairs"])
def test_random_effects_vary_less_than_over_independent_sets(
    kind: str, length: int, count: int
) -> None:
    """Effects are drawn at random: of tokens, drifting with the size of the set, or of pairs of a
    masked and a known token.
    """
    generator = np.random.default_rng(0)
    masked_SL, weight_S = layout(length, count)
    sizes_S = masked_SL.sum(axis=1)

    def estimate(masked_SL: np.ndarray, effects: np.ndarray) -> float:
        if kind == "tokens":
            return float(weight_S @ (masked_SL * effects[sizes_S]).sum(axis=1))
        return float(weight_S @ ((masked_SL @ effects) * ~masked_SL).sum(axis=1))

    laid_out, independent = [], []
    for _ in range(400):
        # A random walk from size to size.
        drift = np.cumsum(generator.normal(size=(length, length)), axis=0) / length**0.5
        effects = (
            drift - drift.mean(axis=1, keepdims=True)
            if kind == "tokens"
            else generator.normal(size=(length, length))
        )
        shuffled = np.stack([generator.permutation(row) for row in masked_SL])
        laid_out.append(estimate(masked_SL[:, generator.permutation(length)], effects))
        independent.append(estimate(shuffled, effects))
    assert np.var(laid_out) < (0.6 if kind == "tokens" else 0.95) * np.var(independent)
