"""The table of rivals: what it counts, by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from benchmarks.rival_table import COSTS, RIVAL, as_markdown, competitors, table_of


def answers(exact: list[float], positions: list[int]) -> pd.DataFrame:
    costs = {name: [0.0] * len(exact) for name in COSTS} | {"token_positions": positions}
    return pd.DataFrame({"exact": exact, **costs}, index=range(len(exact)))


def test_the_rival_is_compared_on_the_same_documents() -> None:
    rival = answers([1, 1, 1, 1, 0, 0], [100] * 6)
    ours = answers([1, 1, 1, 0], [50, 50, 50, 50])  # the first four alone
    table = table_of({RIVAL: rival, "ours": ours}).set_index("competitor")
    assert table.loc["ours", "positions_ratio"] == pytest.approx(0.5)
    assert table.loc["ours", ["ratio_low", "ratio_high"]].tolist() == pytest.approx([0.5, 0.5])
    assert table.loc["ours", "exact"] == 0.75
    assert table.loc["ours", "p_exact"] == pytest.approx(1.0)  # one toss
    assert table.loc[RIVAL, ["documents", "exact"]].tolist() == pytest.approx([6, 4 / 6])
    line = as_markdown(table.reset_index()).splitlines()[3]
    assert line.startswith("| ours | 4 | 0.750 (0.30 to 0.95) | 0.0 | 50 | 0.50 (0.50 to 0.50)")


def test_every_reader_stands_there_whole_and_on_the_grid() -> None:
    names = [line.name for line in competitors()]
    assert len(set(names)) == len(names)
    assert {"classification, full, 95 %", "classification, grid:31, cheapest", RIVAL} <= {*names}
