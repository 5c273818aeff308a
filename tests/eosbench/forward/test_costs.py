"""Costs against numbers worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from eosbench.errors import ConfigurationError
from eosbench.forward.costs import Cost, Ledger, estimated_flops
from tests.fakes import ScriptedBackbone, table


def test_flops_by_hand() -> None:
    spec = replace(
        ScriptedBackbone(table([4], [0.9], 8)).spec,
        width=4,
        layers=2,
        vocab_size=10,
        block_parameters=100,
    )
    # 3 passes over 6 positions: 18 * (2*100 + 4*2*4*6), and 5 unembedded positions: 5 * 2*4*10
    assert estimated_flops(spec, 18, 3, 5) == 18 * (200 + 192) + 400
    assert estimated_flops(spec, 0, 0, 0) == 0


def test_totals_and_telemetry(tmp_path: Path) -> None:
    path = tmp_path / "new" / "costs.jsonl"
    ledger = Ledger(path)
    ledger.add(
        "a", 0, "generate", Cost(8, 3, 30, 5.0, 0.5, truncated=1, model_seconds=0.3), bound=8
    )
    ledger.add(
        "a", 1, "generate", Cost(16, 4, 50, 7.0, 0.25, retries=2, model_seconds=0.2), bound=16
    )
    ledger.add("b", 0, "predict", Cost(4))
    totals = ledger.totals()
    assert totals["a"] == {
        "requests": 2,
        "mean_window": 12.0,
        "forward_passes": 7,
        "token_positions": 80,
        "flops": 12.0,
        "seconds": 0.75,
        "truncated": 1,
        "retries": 2,
        "model_seconds": 0.5,
    }
    assert (totals["b"]["requests"], totals["b"]["mean_window"]) == (1, 4.0)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["task"], line["doc_id"], line["kind"], line["window"]) for line in lines] == [
        ("a", 0, "generate", 8),
        ("a", 1, "generate", 16),
        ("b", 0, "predict", 4),
    ]
    assert lines[0]["bound"] == 8


def test_telemetry_is_continued(tmp_path: Path) -> None:
    for _ in range(2):
        Ledger(tmp_path / "costs.jsonl").add("a", 0, "generate", Cost(8))
    assert len((tmp_path / "costs.jsonl").read_text().splitlines()) == 2


def test_telemetry_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"telemetry=.*expected a file that can be written"
    ):
        Ledger(tmp_path)


def test_a_sum_has_the_last_window_of_a_request() -> None:
    total = Cost(8, 3, 30, 1.0, 0.5, 0, 1) + Cost(16, 4, 50, 2.0, 0.5, 1, 0)
    assert total == Cost(16, 7, 80, 3.0, 1.0, 1, 1)


def test_what_several_processes_spent() -> None:
    first, second, together = Ledger(), Ledger(), Ledger()
    for document, window in enumerate((4, 8, 16)):
        (first if document % 2 else second).add(
            "a", document, "generate", Cost(window, 2, 10, 3.0, 0.5, 1, 1)
        )
        together.add("a", document, "generate", Cost(window, 2, 10, 3.0, 0.5, 1, 1))
    second.add("b", 0, "loglikelihood", Cost(0, 1, 5))
    together.add("b", 0, "loglikelihood", Cost(0, 1, 5))
    merged = Ledger()
    merged.merge([first.totals(), second.totals()])
    assert merged.totals() == together.totals()
