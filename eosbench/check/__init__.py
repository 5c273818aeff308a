"""`eosbench check`: metrics of a results folder against a committed baseline.

from eosbench.check import check_results
check_results("results", "results/baseline.json").exit_code  # 0, 1 or 2
"""

from __future__ import annotations

from eosbench.check.check import check_results
from eosbench.check.outcomes import print_outcome

__all__ = ["check_results", "print_outcome"]
