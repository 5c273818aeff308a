"""The self-contained page of the report."""

from __future__ import annotations

from eosbench.report.page.page import render_page

__all__ = ["render_page"]
