"""Families that do not fit, and checkpoints of no family, are errors that say why."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from eosbench.errors import CheckpointError
from model_adapters import load_backbone
from model_adapters.families import family_of
from tests.golden_files import GOLDEN


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"model_type": "wedlm", "architectures": ["WeDLMForCausalLM"]},
            r"is WeDLM .*attention is causal.*Supported: llada",
        ),
        (
            {"model_type": "nemotron_labs", "architectures": ["NemotronLabsDiffusionModel"]},
            r"is Nemotron diffusion .*autoregressively",
        ),
        (
            {"model_type": "lfm2", "architectures": ["Lfm2DiffusionForMaskedLM"]},
            r"is LFM2 diffusion .*short convolutions",
        ),
        (
            {"model_type": "Dream", "architectures": ["DreamForCausalLM"], "block_size": 32},
            r"is DreamReasoner .*code of its model was not found",
        ),
        (
            {"model_type": "bd3lm", "architectures": ["BD3LM"]},
            r"is BD3LM .*diffusion transformer",
        ),
        (
            {"model_type": "a2d-qwen3", "architectures": ["A2DQwen3LMHeadModel"], "block_size": 32},
            r"block_size=32",
        ),
        (
            {"model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"]},
            r"is a mixture of experts .*qwen3_moe.*mixtures of the supported families",
        ),
        (
            {"model_type": "mamba", "architectures": ["MambaForCausalLM"]},
            r"no supported family: .*mamba.*trust_remote_code=True",
        ),
    ],
    ids=lambda value: value["model_type"] if isinstance(value, dict) else "",
)
def test_families_that_do_not_fit_say_why(
    tmp_path: Path, config: dict[str, Any], message: str
) -> None:
    shutil.copytree(GOLDEN / "llada-tiny", tmp_path / "copy")
    (tmp_path / "copy" / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=message):
        load_backbone(tmp_path / "copy")


def test_block_diffusion_that_only_its_name_tells(tmp_path: Path) -> None:
    config = {"model_type": "a2d-qwen3", "architectures": ["A2DQwen3LMHeadModel"]}
    with pytest.raises(CheckpointError, match="is BD3LM"):
        family_of(config, name="dllm-hub/Qwen3-0.6B-diffusion-bd3lm-v0.1")
    assert family_of(config, name="dllm-hub/Qwen3-0.6B-diffusion-mdlm-v0.1") == "a2d"
