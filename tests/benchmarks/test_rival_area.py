"""The areas of the rivals: by hand, and that the written ones are those of the written tables."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.rival_area import LEAST, MOST, areas_of, as_markdown

RESULTS = Path(__file__).resolve().parents[2] / "results" / "rivals"


def test_areas_by_hand() -> None:
    """The axis has four doublings, from 128 to 2,048 token-positions."""
    assert (LEAST, MOST) == (128, 2048)
    table = pd.DataFrame(
        [
            # From 256 on three doublings of four at 0.5, of which the last two at 0.8.
            ("logit, full, 95 %", 200, 0.8, 512),
            ("logit, grid:16, 95 %", 200, 0.5, 256),
            ("cheap", 200, 0.4, 100),  # below the range: all of it
            ("dear", 200, 0.9, 4096),  # above it: nothing
            ("slow", 24, 1.0, 300),  # on other documents: not compared
        ],
        columns=["competitor", "documents", "exact", "token_positions"],
    )
    areas = areas_of(table).set_index("competitor")
    assert list(areas.index) == ["logit", "logit, full", "logit, grid:16", "cheap", "dear", "slow"]
    assert list(areas["lines"]) == [2, 1, 1, 1, 1, 0]
    by_hand = [(0.5 + 0.8 + 0.8) / 4, 0.8 / 2, 0.5 * 3 / 4, 0.4, 0.0]
    assert areas["area"].tolist()[:5] == pytest.approx(by_hand)
    # 0.9 is the best: a line of quality q counts q exp(-3 (1 - q / 0.9)).
    low, high, cheap = (q * math.exp(-3 * (1 - q / 0.9)) for q in (0.5, 0.8, 0.4))
    by_hand = [(low + high + high) / 4, high / 2, low * 3 / 4, cheap, 0.0]
    assert areas["weighted_area"].tolist()[:5] == pytest.approx(by_hand)
    assert areas.loc["slow", ["area", "weighted_area"]].isna().all()
    assert as_markdown(areas.reset_index()).splitlines()[-1] == "| slow | 0 | – | – |"


@pytest.mark.parametrize("canvas", [256, 768])
def test_the_written_areas_are_those_of_the_written_table(canvas: int) -> None:
    areas = areas_of(pd.read_csv(RESULTS / f"canvas-{canvas}.csv"))
    written = pd.read_csv(RESULTS / f"area-{canvas}.csv")
    pd.testing.assert_frame_equal(written, areas, rtol=1e-4)
    assert (RESULTS / f"area-{canvas}.md").read_text(encoding="utf-8") == as_markdown(areas)
