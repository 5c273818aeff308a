"""`eosbench report`: a results folder in; tables, figures and one self-contained page out.

    from eosbench.report import write_report
    write_report("results", "reports")  # reports/index.html, comparison.md, figures/*.svg, ...

evidence.py holds the runs and documents that everything is made from, contents.py makes the tables,
figures/ and page/ show them, and writing.py writes all of it. Nothing here imports torch or
lm_eval.
"""

from __future__ import annotations

from eosbench.report.contents import Tables, make_tables
from eosbench.report.curves import staircase_area
from eosbench.report.evidence import Evidence
from eosbench.report.writing import ReportSummary, write_report

__all__ = [
    "Evidence",
    "ReportSummary",
    "Tables",
    "make_tables",
    "staircase_area",
    "write_report",
]
