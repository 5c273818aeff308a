"""lm-eval's output files, read into one table.

from eosbench.results import read_results
frame = read_results("results")  # a row per run, task and document
"""

from __future__ import annotations

from eosbench.results.block import BLOCK_SCHEMA
from eosbench.results.files import BASELINE_MARK
from eosbench.results.naming import named
from eosbench.results.run import Run, Score, TaskResult
from eosbench.results.runs import Skipped, read_runs, scan
from eosbench.results.samples import COLUMNS
from eosbench.results.table import read_documents, read_results

__all__ = [
    "BASELINE_MARK",
    "BLOCK_SCHEMA",
    "COLUMNS",
    "Run",
    "Score",
    "Skipped",
    "TaskResult",
    "named",
    "read_documents",
    "read_results",
    "read_runs",
    "scan",
]
