"""LLaDA's format against its published implementation, and configs that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from eosbench.errors import CheckpointError
from model_adapters import load_backbone
from tests.golden_files import Golden, load_golden
from tests.model_adapters.stock_models import (
    edit,
)


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
    edit(folder, **changes)
    with pytest.raises(CheckpointError, match=message):
        load_backbone(folder)


def test_a_checkpoint_without_architectures_is_known_by_its_model_type(folder: Path) -> None:
    edit(folder, architectures=None)
    assert load_backbone(folder).spec.family == "llada"
