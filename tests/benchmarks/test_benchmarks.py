"""The table of `make bench`: what a ratio is, and that every benchmark compares equals.

Each runs at small shapes.
"""

from __future__ import annotations

import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks import scale, windows
from benchmarks.__main__ import BENCHMARKS, app, markdown, run
from benchmarks.measure import Row, Setup
from benchmarks.windows import answer_in_turn
from eosbench.documents.instruct import INSTRUCT_FAMILIES, NOT_EXACT, Instruction
from eosbench.forward.threads import processors
from model_adapters.varlen_dlm.model import VarLenDLM
from tests.golden_files import GOLDEN

TRAINED = str(GOLDEN / "llada-trained")
QUICK = Setup(TRAINED, canvas=64, method="logit", runs=1, quick=True)


def test_rounds_alternate_and_a_ratio_is_slow_over_fast() -> None:
    calls: list[str] = []

    def wait(name: str, seconds: float) -> None:
        calls.append(name)
        time.sleep(seconds)

    ratios = Setup(runs=3).alternate(partial(wait, "slow", 0.04), partial(wait, "fast", 0.002))
    assert calls == ["slow", "fast"] * 3
    assert len(ratios) == 3 and all(ratio > 1 for ratio in ratios)


def test_a_row_shows_median_and_spread() -> None:
    row = Row("decoding", "a", "b", "canvas 16", (2.0, 9.0, 3.0), "same tokens: 1 of 1")
    assert (
        markdown([row]).splitlines()[2]
        == "| decoding | a / b | canvas 16 | 3.00 | 2.00 to 9.00 | same tokens: 1 of 1 |"
    )


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("decoding", "same tokens: 1 of 1"),
        ("batching", "same tokens: 4 of 4"),
        ("kept_keys", "same tokens: 1 of 1"),
    ],
)
def test_decoding_gives_the_reference_s_tokens(name: str, found: str) -> None:
    (row,) = run(name, QUICK)
    assert row.found.startswith(found)
    assert len(row.ratios) == 1 and row.median > 0


def test_likelihood_of_single_tokens_is_exact_on_both_sides() -> None:
    single, short = run("likelihood", QUICK)
    assert "choices of 1 token" in single.shapes and "choices of 3 tokens" in short.shapes
    assert float(single.found.split()[2]) < 1e-3  # nats
    assert single.median > 1


@pytest.mark.usefixtures("public_rows")
def test_public_rows_are_exact_or_estimated() -> None:
    rows = run("choices", QUICK)
    assert [row.shapes.split(",")[0] for row in rows] == ["arc_easy", "piqa"]
    assert all("standard error" in row.found and row.median > 0 for row in rows)


def test_public_rows_that_cannot_be_had_are_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unreachable(*_arguments: object, **_options: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr("datasets.load_dataset", unreachable)
    assert run("choices", QUICK) == []
    assert caplog.text.count("left out") == 2 and "HF_HOME: no network" in caplog.text


def test_the_rival_and_the_overhead() -> None:
    (rival,) = run("rivals", QUICK)
    assert (rival.slow, rival.fast) == ("daedal", "logit") and "token-positions" in rival.found
    (overhead,) = run("overhead", QUICK)
    assert overhead.median > 1 and "outside the model" in overhead.found


def test_threads_are_compared_in_fresh_processes() -> None:
    (row,) = run("threads", QUICK)
    here = processors()
    assert row.slow == f"{4 * here} threads"
    assert row.fast in [f"the {chosen} chosen" for chosen in range(1, here + 1)]
    assert len(row.ratios) == 1


def test_memory_does_not_grow_with_the_requests() -> None:
    (row,) = run("memory", QUICK)
    assert 0.9 < row.median < 1.05


def test_windows_compares_every_pass_fixed_method_and_oracle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: dict[str, VarLenDLM] = {}

    def keep(
        setup: Setup, models: dict[str, VarLenDLM]
    ) -> tuple[dict[str, list[float]], dict[str, float]]:
        made.update(models)
        return answer_in_turn(setup, models)

    monkeypatch.setattr(windows, "answer_in_turn", keep)
    rows = run("windows", QUICK)
    assert [(row.slow, row.fast) for row in rows] == [
        ("fixed, every pass", "logit"),
        ("fixed", "logit"),
        ("logit", "oracle"),
    ]
    assert all(
        "2 documents, canvas 64" in row.shapes and "exact match" in row.found for row in rows
    )
    passes = {
        name: model.ledger.totals()["varlen_instruct"]["forward_passes"]
        for name, model in made.items()
    }
    # One per token of the canvas; the warm-up is charged elsewhere.
    assert passes["fixed, every pass"] == 2 * 64
    assert passes["fixed"] < 2 * 64


def families(chosen: list[Instruction]) -> Counter[str]:
    return Counter(document.family for document in chosen)


def test_rounds_hold_other_documents_and_every_family_as_often() -> None:
    rounds = windows.rounds_of(Setup(runs=3, documents=2))
    names = [families(chosen) for chosen in rounds]
    assert names[0] == names[1] == names[2] == dict.fromkeys(set(INSTRUCT_FAMILIES) - NOT_EXACT, 2)
    assert len({document.id for chosen in rounds for document in chosen}) == 3 * 16


@pytest.mark.filterwarnings("default")  # lm-eval's own
def test_sweep_compares_several_methods_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from lm_eval.tasks import TaskManager

    from benchmarks import sweep
    from eosbench.plugin import tasks_folder

    ours = {"include_defaults": False, "include_path": str(tasks_folder())}
    monkeypatch.setattr(sweep, "TaskManager", lambda **_: TaskManager(**ours))
    alone, with_scan = sweep.five_methods(QUICK, methods=("logit", "fixed"))
    assert (alone.slow, alone.fast) == ("2 methods", "logit")
    assert alone.median > 0 and with_scan.median > 0


def test_the_command_prints_a_table_and_writes_it(tmp_path: Path) -> None:
    output = tmp_path / "new" / "bench.md"
    done = CliRunner().invoke(
        app, ["--only", "startup", "--runs", "1", "--quick", "--output", str(output)]
    )
    assert done.exit_code == 0, done.output
    lines = output.read_text().splitlines()
    assert [line.split("|")[2].strip() for line in lines[2:]] == [
        "eosbench --help / python -c pass",
        "eosbench report --help / python -c pass",
    ]
    assert all("torch loaded: no" in line for line in lines[2:])


def test_an_unknown_benchmark_is_refused() -> None:
    done = CliRunner().invoke(app, ["--only", "speed"])
    assert done.exit_code == 2
    assert all(name in done.output for name in BENCHMARKS)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_the_cost_of_a_canvas_at_a_small_shape() -> None:
    """Passes and canvases are exact, times are whatever they are."""
    options = [
        "--shape",
        "small",
        "--canvases",
        "32,8",
        "--tokens-per-step",
        "2",
        "--prompt",
        "5",
        "--batch",
        "2",
        "--block-length",
        "8",
    ]
    done = CliRunner().invoke(scale.app, options)
    assert done.exit_code == 0, done.output
    rows = [cells(line) for line in done.output.splitlines() if line.startswith("|")]
    assert [row[:2] for row in rows[2:]] == [["8", "4"], ["32", "16"]]
    assert rows[-1][-1] == "1.0" and float(rows[2][-1]) > 1


def test_an_unknown_shape_is_refused() -> None:
    assert "expected 8b or small" in CliRunner().invoke(scale.app, ["--shape", "70b"]).output
