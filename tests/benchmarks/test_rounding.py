"""The table of roundings, against runs of their own."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

import eosbench
from benchmarks.rounding import COLUMNS, app
from eosbench.documents import instruct_documents


def test_a_row_is_a_run_of_its_own() -> None:
    asked = ["--documents", "2", "--methods", "classification", "--thresholds", "0.9"]
    table = CliRunner().invoke(app, asked, catch_exceptions=False).output.splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]
    assert [row[2:5] for row in rows] == [
        *(
            ["alpha=0.05", rounding, overflow]
            for rounding in ("pow2", "block", "none")
            for overflow in ("accept", "retry")
        ),
        *(["cheapest", rounding, "retry"] for rounding in ("pow2", "block", "none")),
    ]
    documents = [one for one in instruct_documents("test", None) if one.exact][:2]
    for row in (rows[5], rows[8]):  # not rounded and retried, at both margins
        given = {"promise": "cheapest"} if row[2] == "cheapest" else {}
        model = eosbench.load(
            method="classification", device="cpu", threshold=0.9, overflow="retry", **given
        )
        answers = model.generate([one.prompt for one in documents])
        right = [
            answer.text == document.response
            for answer, document in zip(answers, documents, strict=True)
        ]
        cell = dict(zip(COLUMNS, row, strict=True))
        assert cell["exact match"] == f"{sum(right) / 2:.3f}"
        positions = sum(answer.cost.token_positions for answer in answers) / 2
        assert float(cell["token-positions"]) == pytest.approx(positions, abs=0.5)
        retries = sum(answer.cost.retries for answer in answers) / 2
        assert cell["retries"] == f"{retries:.2f}"
