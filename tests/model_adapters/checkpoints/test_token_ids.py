"""The ids of mask, ends and padding, from config.json and the tokenizer."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from eosbench.errors import CheckpointError
from model_adapters import load_backbone
from tests.golden_files import GOLDEN
from tests.model_adapters.stock_models import (
    DECODER,
    edit,
    published,
    stock,
)


def test_ids_come_from_the_tokenizer_where_the_config_has_none(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "llada-trained", tmp_path / "copy")
    edit(tmp_path / "copy", mask_token_id=None, eos_token_id=None, pad_token_id=None)
    spec = load_backbone(tmp_path / "copy").spec
    assert (spec.mask_id, spec.eos_ids, spec.pad_id) == (0, {1}, 1)


def test_config_and_tokenizer_may_name_different_end_tokens(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "llada-trained", tmp_path / "copy")
    edit(tmp_path / "copy", eos_token_id=[2, 5])
    assert load_backbone(tmp_path / "copy").spec.eos_ids == {1, 2, 5}


def test_one_of_several_ends_is_called_the_eos(tmp_path: Path) -> None:
    for told, eos in (({}, 1), ({"eos_token_id": [5, 2]}, 5), ({"eos_token_id": None}, 1)):
        folder = tmp_path / str(eos) / str(len(told))
        shutil.copytree(GOLDEN / "llada-trained", folder)
        edit(folder, **told)
        assert load_backbone(folder).spec.eos_id == eos


def test_a_causal_model_has_no_mask_token(tmp_path: Path) -> None:
    published(tmp_path, stock("qwen2", **DECODER), mask_token_id=None)
    with pytest.raises(CheckpointError, match=r"has no mask token: .*'qwen2'.*lm_eval --model hf"):
        load_backbone(tmp_path)
