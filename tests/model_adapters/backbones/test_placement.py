"""Placement: device maps, and placements that cannot work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from eosbench.errors import ConfigurationError
from model_adapters import load_backbone
from model_adapters.backbones.placement import Devices
from tests.model_adapters.stock_models import (
    DECODER,
    IDS_BT,
    by_hand,
    close,
    published,
    stock,
)


@pytest.mark.parametrize(
    "device_map", ["auto", "sequential", {"model": "cpu", "lm_head": "cpu"}], ids=str
)
def test_a_device_map(tmp_path: Path, device_map: Any) -> None:
    model = published(tmp_path, stock("llama", **DECODER))
    backbone = load_backbone(tmp_path, device_map=device_map)
    close(backbone.logits(IDS_BT), by_hand(model))
    assert backbone.spec.fingerprint == load_backbone(tmp_path).spec.fingerprint


def test_where_a_device_map_puts_a_weight() -> None:
    devices = Devices(
        {
            "model.embed_tokens": "cpu",
            "model.layers.1": "meta",
            "model.layers.10": "cpu",
            "lm_head": "meta",
        }
    )
    assert devices.of("model.layers.1.mlp.up_proj.weight") == torch.device("meta")
    assert devices.of("model.layers.10.mlp.up_proj.weight") == torch.device("cpu")
    assert devices.of("lm_head.weight") == torch.device("meta")


def test_placements_that_cannot_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published(tmp_path, stock("llama", **DECODER))
    with pytest.raises(ConfigurationError, match="device_map='everywhere': expected one of auto"):
        load_backbone(tmp_path, device_map="everywhere")
    with pytest.raises(ConfigurationError, match="attn_implementation='flash_attention_9'"):
        load_backbone(tmp_path, attn_implementation="flash_attention_9")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(
        ConfigurationError, match="accelerate launch gives every process a model of its own"
    ):
        load_backbone(tmp_path, device_map="auto")
