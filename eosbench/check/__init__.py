"""`eosbench check`: metrics of a results folder against a committed baseline."""

from __future__ import annotations

from eosbench.check.baseline import check_results
from eosbench.check.outcomes import print_outcome

__all__ = ["check_results", "print_outcome"]
