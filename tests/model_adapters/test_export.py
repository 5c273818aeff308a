"""The export to LLaDA's format is the inverse of loading it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from model_adapters import load_backbone
from model_adapters.export import save_llada


@pytest.mark.parametrize("tied", [False, True])
def test_what_is_exported_loads_with_the_same_logits(tmp_path: Path, tied: bool) -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 5000.0},
    )
    config.is_causal = False
    model = LlamaModel(config).eval()
    output = model.embed_tokens.weight if tied else torch.randn(40, 16)
    save_llada(tmp_path / "new", model, output, mask_id=0, eos_id=1, dtype=torch.float32)
    backbone = load_backbone(tmp_path / "new")
    ids_BT = torch.arange(20).reshape(2, 10)
    want = (
        model(
            input_ids=ids_BT, attention_mask=torch.ones(2, 1, 10, 10, dtype=torch.bool)
        ).last_hidden_state
        @ output.T
    )
    torch.testing.assert_close(backbone.logits(ids_BT), want, atol=1e-5, rtol=0)
    assert (backbone.spec.mask_id, backbone.spec.eos_ids, backbone.spec.pad_id) == (0, {1}, 1)
