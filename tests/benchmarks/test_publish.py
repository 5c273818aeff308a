"""The results that are committed: numbers per document, no texts."""

from __future__ import annotations

import pandas as pd
import pytest

from benchmarks.publish import bounds


def frame(lengths: list[int]) -> pd.DataFrame:
    rows = [("logit", "0", 8), ("logit", "1", 16), ("max", "0", 64), ("max", "1", 64)]
    return pd.DataFrame(
        {
            "run": [run for run, _, _ in rows],
            "benchmark": "eos_upper_bound",
            "fraction": 0.0,
            "document": [document for _, document, _ in rows],
            "bound": [bound for _, _, bound in rows],
            "length": lengths,
            "prompt": "a row's text",
        }
    )


def test_a_line_per_document_and_a_column_per_run() -> None:
    table = bounds(frame([5, 20, 5, 20]))
    assert table.reset_index().to_csv(index=False) == (
        "benchmark,fraction,document,length,logit,max\neos_upper_bound,0.0,0,5,8,64\neos_upper_bound,0.0,1,20,16,64\n"
    )


def test_runs_on_other_documents_are_refused() -> None:
    with pytest.raises(ValueError, match="did not see the same documents"):
        bounds(frame([5, 20, 5, 21]))
