"""Figures of the report: one look, pens by kind, and the choice of what a report draws."""

from __future__ import annotations

from eosbench.report.figures.drawing import Drawing, themed_svg
from eosbench.report.figures.selection import drawings

__all__ = ["Drawing", "drawings", "themed_svg"]
