"""Models that bring their own code."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.denoise import denoise
from eosbench.errors import CheckpointError, ConfigurationError
from model_adapters import load_backbone
from tests.model_adapters.stock_models import (
    IDS_BT,
    T,
    V,
    close,
)

OWN_CODE = """
import torch
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import MaskedLMOutput

class TwinConfig(PreTrainedConfig):
    model_type = "twin"
    def __init__(self, vocab_size=48, width=8, scale=1.0, max_position_embeddings=64, **kwargs):
        self.vocab_size, self.width, self.scale = vocab_size, width, scale
        self.max_position_embeddings = max_position_embeddings
        super().__init__(**kwargs)

class TwinModel(PreTrainedModel):
    config_class = TwinConfig
    def __init__(self, config):
        super().__init__(config)
        self.embed = torch.nn.Embedding(config.vocab_size, config.width)
        self.head = torch.nn.Linear(config.width, config.vocab_size)
        self.post_init()
    def get_output_embeddings(self):
        return self.head
    def forward(self, input_ids, attention_mask=None):
        mask = attention_mask[..., None].to(self.embed.weight.dtype)
        embedded = self.embed(input_ids)
        mean = (embedded * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True)
        return MaskedLMOutput(logits=self.head(embedded + mean) * self.config.scale)
"""


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_an_unknown_family_by_its_own_code(
    tmp_path: Path, scale: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(
        "transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules")
    )
    folder = tmp_path / f"twin{scale}".replace(".", "_")
    folder.mkdir()
    (folder / "twin.py").write_text(OWN_CODE)
    config = {
        "model_type": "twin",
        "architectures": ["TwinModel"],
        "mask_token_id": 0,
        "eos_token_id": 1,
        "scale": scale,
        "auto_map": {"AutoConfig": "twin.TwinConfig", "AutoModelForMaskedLM": "twin.TwinModel"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    weights = {
        "embed.weight": torch.randn(V, 8),
        "head.weight": torch.randn(V, 8),
        "head.bias": torch.randn(V),
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="trust_remote_code=True"):
        load_backbone(folder)
    with caplog.at_level(logging.WARNING):
        backbone = load_backbone(folder, trust_remote_code=True)
    assert "no shift" in caplog.text and "full attention" in caplog.text
    embedded = weights["embed.weight"][IDS_BT]
    want = (
        (embedded + embedded.mean(1, keepdim=True)) @ weights["head.weight"].T
        + weights["head.bias"]
    ) * scale
    close(backbone.logits(IDS_BT, torch.ones_like(IDS_BT)), want)
    # The head alone, or logits as they are.
    assert (backbone.spec.width, backbone.spec.vocab_size) == (8 if scale == 1 else V, V)
    padded = torch.nn.functional.pad(IDS_BT, (0, 2))
    close(backbone.logits(padded, (padded > 0).long())[:, :T], want)
    assert denoise(backbone, [[5]], DecodeConfig(gen_length=3)).sequences[0].shape == (3,)
    with pytest.raises(ConfigurationError, match="keeps no cache"):
        denoise(backbone, [[5]], DecodeConfig(gen_length=3, cache="prefix"))
