"""`python -m benchmarks.loading` at a tiny shape: what it counts, and when that is too much."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks import loading
from benchmarks.checkpoints import write_checkpoint

REPOSITORY = Path(__file__).resolve().parents[2]
WIDTH, LAYERS, VOCABULARY = 64, 2, 512
# Embeddings and output; of a layer four projections, an MLP of three matrices three times as wide,
# two norms; the last norm.
PARAMETERS = 2 * VOCABULARY * WIDTH + LAYERS * (4 * WIDTH**2 + 3 * 3 * WIDTH**2 + 2 * WIDTH) + WIDTH

tiny = partial(write_checkpoint, vocabulary=VOCABULARY, positions=64)


@pytest.mark.parametrize(("dtype", "size"), [("auto", 2), ("float32", 4)])
def test_weights_are_counted_in_the_dtype_asked_for(
    dtype: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    assert tiny(tmp_path, width=WIDTH, layers=LAYERS, heads=4) == 2 * PARAMETERS
    found = loading.measure(dtype, str(tmp_path))
    assert found["weights"] == size * PARAMETERS
    assert found["peak"] >= found["before"] and found["seconds"] > 0


def test_a_process_of_its_own_says_what_it_measured(tmp_path: Path) -> None:
    tiny(tmp_path, width=WIDTH, layers=LAYERS, heads=4)
    command = [sys.executable, "-m", "benchmarks.loading", "--child", f"float32,{tmp_path}"]
    found = json.loads(
        subprocess.run(command, check=True, capture_output=True, text=True, cwd=REPOSITORY).stdout
    )
    assert found["weights"] == 4 * PARAMETERS
    # The imports alone are larger than this model.
    assert found["peak"] >= found["before"] > 10 * found["weights"]


@pytest.mark.parametrize(("peak", "code"), [(340, 0), (341, 1)])
def test_more_than_the_aim_is_exit_code_1(
    peak: int, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: (peak - 100) / 200 against 1.2, in the worse of the two dtypes."""
    asked: list[str] = []

    def child(command: list[str], **_: Any) -> SimpleNamespace:
        dtype, folder = command[-1].split(",", 1)
        assert (Path(folder) / "model.safetensors.index.json").is_file()
        asked.append(dtype)
        found = {
            "before": 100,
            "peak": peak if dtype == "auto" else 300,
            "weights": 200,
            "seconds": 1.0,
        }
        return SimpleNamespace(stdout=json.dumps(found))

    monkeypatch.setattr(loading, "WIDTH", WIDTH)
    monkeypatch.setattr(loading, "write_checkpoint", lambda folder, **shape: tiny(folder, **shape))
    monkeypatch.setattr("benchmarks.loading.subprocess.run", child)
    shown = CliRunner().invoke(loading.app, ["--layers", "1"])
    assert shown.exit_code == code and asked == ["auto", "float32"]
    assert f"{(peak - 100) / 200:.3f}" in shown.stdout and "1.000" in shown.stdout
