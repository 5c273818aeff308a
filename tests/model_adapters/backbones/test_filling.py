"""Weights of a checkpoint that are stored once, twice, or under another name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from model_adapters import load_backbone
from tests.model_adapters.stock_models import (
    DECODER,
    IDS_BT,
    by_hand,
    close,
    published,
    rename,
    stock,
)


@pytest.mark.parametrize("stored", ["once", "twice", "head", "apart"])
def test_tied_weights(tmp_path: Path, stored: str) -> None:
    """Stored under one name or both; where both differ, the config is wrong and there are two."""
    model = published(tmp_path, stock("qwen2", **DECODER | {"tie_word_embeddings": True}))
    embeddings = load_file(tmp_path / "model.safetensors")["model.embed_tokens.weight"]
    if stored == "apart":
        model.lm_head.weight = torch.nn.Parameter(embeddings.flip(0))
    more = {} if stored == "once" else {"lm_head.weight": model.lm_head.weight.detach().clone()}
    rename(
        tmp_path, lambda name: None if stored == "head" and "embed_tokens" in name else name, **more
    )
    backbone: Any = load_backbone(tmp_path)
    close(backbone.logits(IDS_BT), by_hand(model))
    assert (backbone.output.weight is backbone.model.embed_tokens.weight) == (stored != "apart")
