"""The command line `eosbench`."""

from __future__ import annotations

from eosbench.cli.commands import app, main

__all__ = ["app", "main"]
