"""A checkpoint folder: its tokenizer, and the ways in which it can be broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from eosbench.errors import CheckpointError
from model_adapters import load_backbone
from tests.golden_files import load_golden


def test_tokenizer_is_the_folders_own_or_none() -> None:
    tokenizer = load_golden("llada-trained").backbone.tokenizer
    assert (
        tokenizer.decode(tokenizer("Count from 47 to 71.")["input_ids"]) == "Count from 47 to 71."
    )
    assert load_golden("llada-tiny").backbone.tokenizer is None


def test_broken_files_are_one_clear_error(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"not a safetensors file")
    with pytest.raises(CheckpointError, match="no readable safetensors"):
        load_backbone(folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"no model\.safetensors.*pytorch_model\.bin"):
        load_backbone(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json cannot be read"):
        load_backbone(folder)
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        load_backbone(folder)
