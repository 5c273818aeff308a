"""Weights in 4 and 8 bits: what is asked for, and what a config says, is never passed over."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from eosbench.errors import CheckpointError, ConfigurationError
from model_adapters import load_backbone
from tests.golden_files import GOLDEN, load_golden

HAS_BITSANDBYTES = importlib.util.find_spec("bitsandbytes") is not None


@pytest.mark.skipif(HAS_BITSANDBYTES, reason="bitsandbytes is installed")
@pytest.mark.parametrize("bits", [4, 8])
def test_without_bitsandbytes_one_line_says_so(bits: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"load_in_{bits}bit=True: .*not installed"):
        load_backbone(GOLDEN / "sdar-tiny", **{f"load_in_{bits}bit": True})  # type: ignore[arg-type]


def test_one_of_them() -> None:
    with pytest.raises(ConfigurationError, match="give one of them"):
        load_backbone(GOLDEN / "sdar-tiny", load_in_4bit=True, load_in_8bit=True)


@pytest.mark.parametrize("said", [{"quant_method": "fp8"}, {"load_in_4bit": True}])
def test_a_quantization_config_is_never_ignored(tmp_path: Path, said: dict[str, Any]) -> None:
    shutil.copytree(GOLDEN / "sdar-tiny", tmp_path / "copy")
    path = tmp_path / "copy" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"quantization_config": said}))
    with pytest.raises(CheckpointError, match="has a quantization_config"):
        load_backbone(tmp_path / "copy")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"quantization_config": None}))
    load_backbone(tmp_path / "copy")


@pytest.mark.skipif(not HAS_BITSANDBYTES, reason="bitsandbytes is not installed")
@pytest.mark.parametrize("bits", [4, 8])
def test_small_weights_are_those_of_transformers(tmp_path: Path, bits: int) -> None:
    """The same model of transformers, loaded by transformers with the same setting."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(
        "qwen3",
        vocab_size=64,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        tie_word_embeddings=False,
    )
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    asked = transformers.BitsAndBytesConfig(**{f"load_in_{bits}bit": True})
    model = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, quantization_config=asked, dtype=torch.float32
    )
    says = json.loads((tmp_path / "config.json").read_text()) | {"mask_token_id": 0}
    (tmp_path / "config.json").write_text(json.dumps(says | {"eos_token_id": 1}))
    backbone: Any = load_backbone(tmp_path, **{f"load_in_{bits}bit": True})  # type: ignore[arg-type]
    ids_BT = torch.arange(24).reshape(2, 12)
    full = torch.ones(2, 1, 12, 12, dtype=torch.bool)
    with torch.no_grad():
        want = model(input_ids=ids_BT, attention_mask=full).logits
        got = backbone.logits(ids_BT)
    torch.testing.assert_close(got, want, atol=1e-4, rtol=0)
    plain = load_backbone(tmp_path)
    assert backbone.spec.block_parameters == plain.spec.block_parameters
    assert backbone.spec.fingerprint != plain.spec.fingerprint
    assert backbone.model.layers[0].mlp.up_proj.weight.dtype in (torch.uint8, torch.int8)


@pytest.mark.skipif(not HAS_BITSANDBYTES, reason="bitsandbytes is not installed")
@pytest.mark.parametrize("name", ["sdar-tiny", "llada2-tiny", "llada-moe-tiny", "llada-tiny"])
def test_every_shape_of_checkpoint_can_be_small(name: str) -> None:
    backbone = load_backbone(GOLDEN / name, load_in_8bit=True)
    ids_BT = torch.arange(12)[None] + 20
    with torch.no_grad():
        got, want = backbone.logits(ids_BT), load_golden(name).backbone.logits(ids_BT)
    alike_T = torch.nn.functional.cosine_similarity(got[0], want[0], dim=-1)
    assert alike_T.mean() > 0.95  # a mixture may choose another expert
