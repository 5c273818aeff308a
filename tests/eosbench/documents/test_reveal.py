"""The revealed tokens of an answer: their number, their positions, seeded by the document alone."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eosbench.documents.reveal import FRACTIONS, partly_masked_canvas, revealed_positions
from eosbench.errors import ConfigurationError

LENGTH, FRACTION, MODE = st.integers(0, 200), st.floats(0, 1), st.sampled_from(["random", "prefix"])


@settings(deadline=None)
@given(LENGTH, FRACTION, st.text(), MODE)
def test_positions_are_distinct_sorted_and_inside_the_answer(
    length: int, fraction: float, document: str, mode: str
) -> None:
    positions = revealed_positions(length, fraction, document, mode)
    assert len(positions) == int(fraction * length)
    assert positions == sorted(set(positions))
    assert all(0 <= position < length for position in positions)
    assert positions == revealed_positions(length, fraction, document, mode)


@settings(deadline=None)
@given(LENGTH, st.text(), MODE)
def test_larger_fractions_reveal_more_of_the_same(length: int, document: str, mode: str) -> None:
    shown = [set(revealed_positions(length, fraction, document, mode)) for fraction in FRACTIONS]
    assert all(fewer <= more for fewer, more in pairwise(shown))


def test_documents_differ_and_draws_are_even() -> None:
    """Each of 10 positions is shown in 500 of 1,000 documents, give or take four deviations."""
    counts = [0] * 10
    for document in range(1_000):
        for position in revealed_positions(10, 0.5, str(document)):
            counts[position] += 1
    assert all(abs(count - 500) < 4 * 15.8 for count in counts)


def test_canvas_by_hand() -> None:
    assert partly_masked_canvas([7, 8, 9, 10], 6, 0, 0.5, "any", "prefix") == (
        (7, 8, 0, 0, 0, 0),
        [0, 1],
    )
    # Beyond the canvas nothing shows.
    assert partly_masked_canvas([7, 8, 9, 10], 1, 0, 0.5, "any", "prefix") == ((7,), [0])


def test_nothing_of_the_reference_shows_at_fraction_zero() -> None:
    assert partly_masked_canvas([7, 8, 9], 5, 0, 0.0, "any") == ((0,) * 5, [])


def test_wrong_arguments() -> None:
    with pytest.raises(ConfigurationError, match=r"unmasked fraction 1\.5"):
        revealed_positions(4, 1.5, "any")
    with pytest.raises(ConfigurationError, match="random, prefix"):
        revealed_positions(4, 0.5, "any", "suffix")
