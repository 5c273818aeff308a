"""The metrics as a module of Hugging Face's `evaluate`.

`evaluate.load(eosbench.eos_bound.PATH)` loads it without a network.
"""

from __future__ import annotations

from pathlib import Path

PATH = str(Path(__file__).resolve().parent)
