"""Golden checkpoints (tests/golden), with the outputs of published implementations on them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from eosbench.backbone import Backbone
from model_adapters import load_backbone

GOLDEN = Path(__file__).parent / "golden"


@dataclass(frozen=True)
class Golden:
    """One golden folder: its backbone in float32, its settings and its tensors."""

    folder: Path
    backbone: Backbone
    settings: dict[str, Any]
    tensors: dict[str, torch.Tensor]


@cache
def load_golden(name: str) -> Golden:
    """A golden folder by its name, loaded once."""
    folder = GOLDEN / name
    settings = json.loads((folder / "golden.json").read_text(encoding="utf-8"))
    return Golden(folder, load_backbone(folder), settings, load_file(folder / "golden.safetensors"))
