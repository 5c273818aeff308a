"""The table of rivals: what it counts, by hand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from transformers import AutoTokenizer
from typer.testing import CliRunner

from benchmarks.rival_table import COSTS, RIVAL, app, as_markdown, competitors, table_of
from eosbench import embedded
from eosbench.documents import instruct_documents
from eosbench.recipe import make_causal_start
from tests.golden_files import checkpoint

OTHER_WEIGHTS = [
    "autoregressive (weights of its own)",
    "void_expansion (weights of its own), threshold",
    "fixed (weights of void_expansion), threshold",
]


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


def test_lines_of_other_weights_stand_there_where_the_weights_are_given() -> None:
    plain, more = competitors(), competitors(causal="a", void="v")
    assert more[: len(plain)] == plain
    added = more[len(plain) :]
    assert [line.name for line in added] == OTHER_WEIGHTS
    assert [line.pretrained for line in added] == ["a", "v", "v"]
    assert {line.pretrained for line in plain} == {embedded.NAME}


def test_such_lines_are_added_to_a_table(tmp_path: Path) -> None:
    """Two documents on a canvas of 32: the lines that are there are kept and not answered again."""
    causal = tmp_path / "causal"
    make_causal_start(causal, width=32, layers=1, heads=2, mlp_width=64, max_length=256)
    names = [line.name for line in competitors()]
    earlier = table_of({RIVAL: answers([1], [7])}).iloc[[0] * len(names)]
    earlier.assign(competitor=names).to_csv(tmp_path / "canvas-32.csv", index=False)
    words = ["--canvas", "32", "--documents", "2", "--add", "--causal", str(causal)]
    words += ["--void", str(checkpoint("llada-void")), "--output", str(tmp_path)]
    done = CliRunner().invoke(app, [*words, "--folder", str(tmp_path / "work")])
    assert done.exit_code == 0, (done.output, done.exception)
    table = pd.read_csv(tmp_path / "canvas-32.csv").set_index("competitor")
    assert list(table.index) == [RIVAL, *(name for name in names if name != RIVAL), *OTHER_WEIGHTS]
    new = table.loc[[RIVAL, *OTHER_WEIGHTS]]
    assert set(new["documents"]) == {2} and new["token_positions"].min() > 7
    assert set(table["documents"]) == {1, 2} and table.loc["fixed", "token_positions"] == 7
    # Each pass but the first runs one token; the first one runs the prompt in its frame.
    tokenizer = AutoTokenizer.from_pretrained(embedded.MODEL)
    asked = [one.prompt for one in instruct_documents("test", 4) if one.exact][:2]
    framed = [tokenizer.encode(f"<bos>{one}<sep>", add_special_tokens=False) for one in asked]
    twin = table.loc[OTHER_WEIGHTS[0]]
    prompt = twin["token_positions"] - twin["forward_passes"] + 1
    assert prompt == pytest.approx(sum(map(len, framed)) / 2)
    areas = pd.read_csv(tmp_path / "area-32.csv").set_index("competitor")
    assert areas.loc["void_expansion (weights of its own)", "lines"] == 1
