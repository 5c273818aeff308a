"""Golden checkpoints (tests/golden), with the outputs of published implementations on them."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

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
    tensors = load_file(folder / "golden.safetensors")
    return Golden(folder, load_backbone(checkpoint(name)), settings, tensors)


@cache
def checkpoint(name: str) -> Path:
    """The folder of a golden checkpoint.

    One without weights of its own differs from `llada-trained` in a few rows of its embeddings and
    its output layer (rows.safetensors); it is put together in a folder that lasts as long as the
    tests.
    """
    folder = GOLDEN / name
    if not (folder / "rows.safetensors").exists():
        return folder
    weights = load_file(GOLDEN / "llada-trained" / "model.safetensors")
    rows = load_file(folder / "rows.safetensors")
    for weight in {key.rpartition(".")[0] for key in rows}:
        ids_N, rows_ND = rows[f"{weight}.ids"], rows[f"{weight}.rows"]
        more = max(0, int(ids_N.max()) + 1 - len(weights[weight]))
        weights[weight] = torch.cat([weights[weight], rows_ND.new_empty(more, rows_ND.shape[1])])
        weights[weight][ids_N] = rows_ND
    together = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    atexit.register(shutil.rmtree, together, ignore_errors=True)
    for file in ("config.json", "tokenizer.json"):
        shutil.copy(folder / file, together)
    save_file(weights, together / "model.safetensors", metadata={"format": "pt"})
    return together
