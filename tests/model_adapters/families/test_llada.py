"""LLaDA's format against its published implementation, and every way a checkpoint can be wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaModel

from eosbench.errors import CheckpointError, ConfigurationError
from model_adapters import load_backbone
from model_adapters.export import save_llada
from tests.golden_files import GOLDEN, Golden, load_golden


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(GOLDEN / "llada-tiny", tmp_path / "copy")
    return tmp_path / "copy"


def edit_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({name: v for name, v in (config | changes).items() if v != "absent"})
    )


def edit_weights(folder: Path, change: Any) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors = {name: value.clone() for name, value in tensors.items()}
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def test_logits_are_those_of_the_published_implementation(llada: Golden) -> None:
    ids_BT = llada.tensors["logits.input_ids"]
    torch.testing.assert_close(
        llada.backbone.logits(ids_BT), llada.tensors["logits.logits"], atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("pads", [(5, 0), (0, 5), (3, 4)], ids=["left", "right", "both"])
def test_padding_changes_nothing(attention: str, pads: tuple[int, int]) -> None:
    golden = load_golden("llada-tiny-gqa")
    backbone = load_backbone(golden.folder, attn_implementation=attention)
    ids_BT, left, right = golden.tensors["logits.input_ids"], *pads
    padded = torch.nn.functional.pad(ids_BT, (left, right), value=backbone.spec.pad_id)
    mask = torch.nn.functional.pad(torch.ones_like(ids_BT), (left, right))
    logits = backbone.logits(padded, mask)[:, left : left + ids_BT.shape[1]]
    torch.testing.assert_close(logits, golden.tensors["logits.logits"], atol=1e-4, rtol=0)


def test_padding_inside_a_row_changes_nothing() -> None:
    golden = load_golden("llada-tiny")
    ids_T = golden.tensors["logits.input_ids"][0]
    holes = torch.arange(len(ids_T) + 4) % 8 != 3
    holes[-1] = True
    padded = torch.full((len(holes),), golden.backbone.spec.pad_id)
    padded[holes] = ids_T[: int(holes.sum())]
    got = golden.backbone.logits(padded[None], holes[None].long())[0, holes]
    want = golden.backbone.logits(ids_T[None, : int(holes.sum())])[0]
    torch.testing.assert_close(got, want, atol=1e-4, rtol=0)


def test_the_last_token_is_seen_by_the_first_one() -> None:
    backbone = load_golden("llada-tiny").backbone
    ids_BT = torch.arange(12)[None]
    changed = ids_BT.clone()
    changed[0, -1] = 77
    assert not torch.allclose(backbone.hidden(ids_BT)[0, 0], backbone.hidden(changed)[0, 0])


def test_spec() -> None:
    spec = load_golden("llada-trained").backbone.spec
    assert (spec.family, spec.mask_id, spec.eos_ids, spec.pad_id) == ("llada", 0, {1}, 1)
    assert (spec.max_length, spec.vocab_size, spec.width, spec.logits_shifted) == (
        512,
        622,
        192,
        False,
    )
    # Embedding_size: as many as there are logits.
    assert load_golden("llada-tiny").backbone.spec.vocab_size == 320


def test_tokenizer_is_the_folders_own_or_none() -> None:
    tokenizer = load_golden("llada-trained").backbone.tokenizer
    assert (
        tokenizer.decode(tokenizer("Count from 47 to 71.")["input_ids"]) == "Count from 47 to 71."
    )
    assert load_golden("llada-tiny").backbone.tokenizer is None


def test_ids_come_from_the_tokenizer_where_the_config_has_none(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "llada-trained", tmp_path / "copy")
    edit_config(tmp_path / "copy", mask_token_id=None, eos_token_id=None, pad_token_id=None)
    spec = load_backbone(tmp_path / "copy").spec
    assert (spec.mask_id, spec.eos_ids, spec.pad_id) == (0, {1}, 1)


def test_config_and_tokenizer_may_name_different_end_tokens(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "llada-trained", tmp_path / "copy")
    edit_config(tmp_path / "copy", eos_token_id=[2, 5])
    assert load_backbone(tmp_path / "copy").spec.eos_ids == {1, 2, 5}


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "t5", "architectures": ["T5Model"]}, "model_type='t5'.*T5Model.*llada"),
        ({"architectures": ["LLaDAMoEModelLM"]}, "LLaDA-MoE's config.json lacks the setting"),
        ({"block_type": "sequential"}, "block_type='sequential'"),
        ({"alibi": True}, "alibi=True"),
        ({"include_qkv_bias": True}, "include_qkv_bias=True"),
        ({"d_model": "absent"}, "'d_model'"),
        ({"n_heads": 7}, "does not describe a llama model"),
        ({"mask_token_id": "absent"}, "no mask token"),
        ({"eos_token_id": "absent"}, "no end-of-sequence token"),
        ({"mask_token_id": 5000}, "mask token id 5000"),
        ({"n_layers": 3}, r"missing model\.transformer\.blocks\.2\.attn_norm\.weight"),
        ({"n_layers": 1}, r"unexpected model\.transformer\.blocks\.1\.attn_norm\.weight"),
        ({"mlp_hidden_size": 161}, r"blocks\.0\.ff_out\.weight has shape \(64, 160\).*\(64, 161\)"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_configs_that_do_not_fit_are_one_clear_error(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    edit_config(folder, **changes)
    with pytest.raises(CheckpointError, match=message):
        load_backbone(folder)


def test_a_checkpoint_without_architectures_is_known_by_its_model_type(folder: Path) -> None:
    edit_config(folder, architectures=None)
    assert load_backbone(folder).spec.family == "llada"


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


def test_names_that_lead_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="no such folder"):
        load_backbone(tmp_path / "nowhere" / "at" / "all")
    with pytest.raises(CheckpointError, match="hf download nobody/nothing"):
        load_backbone("nobody/nothing", revision="main")
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="is a file"):
        load_backbone(tmp_path / "file")


def test_devices_and_dtypes_that_are_not_there() -> None:
    with pytest.raises(ConfigurationError, match="device 'abacus'"):
        load_backbone(GOLDEN / "llada-tiny", device="abacus")
    with pytest.raises(ConfigurationError, match="dtype 'float8'"):
        load_backbone(GOLDEN / "llada-tiny", dtype="float8")
