"""Weights: names, shards, dtypes, and the fingerprint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from eosbench.errors import CheckpointError
from model_adapters import load_backbone
from tests.golden_files import GOLDEN, load_golden
from tests.model_adapters.stock_models import (
    DECODER,
    edit_weights,
    published,
    rename,
    stock,
)


def test_missing_and_unexpected_weights_are_named(tmp_path: Path) -> None:
    published(tmp_path, stock("qwen2", **DECODER))
    rename(
        tmp_path,
        lambda name: name.replace("layers.1.self_attn.q_proj", "layers.7.self_attn.q_proj"),
    )
    with pytest.raises(
        CheckpointError,
        match=r"missing model\.layers\.1\.self_attn\.q_proj\.bias, .*; "
        r"unexpected model\.layers\.7\.self_attn\.q_proj\.bias, ",
    ):
        load_backbone(tmp_path)


def test_fingerprint_names_the_weights_not_the_loading(folder: Path) -> None:
    first = load_backbone(folder).spec.fingerprint
    assert (
        load_backbone(folder, dtype="bfloat16").spec.fingerprint
        == first
        == load_golden("llada-tiny").backbone.spec.fingerprint
    )
    assert len(first) == 16 and int(first, 16) >= 0

    def nudge(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.transformer.ln_f.weight"][7] += 1e-3

    edit_weights(folder, nudge)
    assert load_backbone(folder).spec.fingerprint != first


@pytest.mark.parametrize(
    ("asked", "got"),
    [("float32", torch.float32), ("bfloat16", torch.bfloat16), ("auto", torch.bfloat16)],
)
def test_dtype(asked: str, got: torch.dtype) -> None:
    backbone = load_backbone(GOLDEN / "llada-trained", dtype=asked)
    assert backbone.dtype is got
    assert backbone.hidden(torch.tensor([[2, 9, 3]])).dtype is got


def test_weights_that_were_stored_as_whole_numbers_are_refused(folder: Path) -> None:
    def quantise(tensors: dict[str, torch.Tensor]) -> None:
        name = "model.transformer.ln_f.weight"
        tensors[name] = tensors[name].to(torch.int8)

    edit_weights(folder, quantise)
    with pytest.raises(CheckpointError, match=r"ln_f.weight is stored as I8, expected one of F64"):
        load_backbone(folder)


def test_shards_are_read_as_one(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    index = {}
    for number, part in enumerate((names[::2], names[1::2])):
        save_file({name: tensors[name] for name in part}, folder / f"part-{number}.safetensors")
        index.update(dict.fromkeys(part, f"part-{number}.safetensors"))
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    golden = load_golden("llada-tiny")
    backbone = load_backbone(folder)
    assert backbone.spec.fingerprint == golden.backbone.spec.fingerprint
    torch.testing.assert_close(
        backbone.logits(golden.tensors["logits.input_ids"]),
        golden.tensors["logits.logits"],
        atol=1e-4,
        rtol=0,
    )
    (folder / "part-1.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"part-1\.safetensors"):
        load_backbone(folder)
