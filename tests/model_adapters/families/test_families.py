"""Every family against its published implementation, or the same model run by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from eosbench.backbone import scoring_rows
from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.denoise import denoise
from eosbench.errors import ConfigurationError
from eosbench.forward.block_cache import BlockPasses
from model_adapters import load_backbone
from model_adapters.families import FAMILIES
from tests.golden_files import load_golden
from tests.model_adapters.stock_models import (
    DECODER,
    ENCODER,
    GPT2,
    IDS_BT,
    T,
    by_hand,
    close,
    edit,
    published,
    raw,
    rename,
    stock,
)


@pytest.mark.parametrize("name", ["dream-tiny", "diffugpt-tiny"])
def test_raw_logits_are_those_of_the_published_implementation(name: str) -> None:
    golden = load_golden(name)
    ids_BT, logits_BTV = golden.tensors["logits.input_ids"], golden.tensors["logits.logits"]
    close(raw(golden.backbone, ids_BT), logits_BTV)
    close(golden.backbone.logits(ids_BT)[:, 1:], logits_BTV[:, :-1])  # row i scores token i
    spec = golden.backbone.spec
    assert (spec.family, spec.mask_id, spec.eos_ids) == (
        name.removesuffix("-tiny"),
        golden.settings["mask_token_id"],
        {golden.settings["eos_token_id"]},
    )
    assert spec.logits_shifted


@pytest.mark.parametrize("name", ["dream-tiny", "diffugpt-tiny"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_padding_changes_nothing(name: str, attention: str) -> None:
    golden = load_golden(name)
    backbone = load_backbone(golden.folder, attn_implementation=attention)
    ids_BT = golden.tensors["logits.input_ids"]
    padded = torch.nn.functional.pad(ids_BT, (3, 4), value=backbone.spec.pad_id)
    mask = torch.nn.functional.pad(torch.ones_like(ids_BT), (3, 4))
    close(backbone.unembed(backbone.hidden(padded, mask))[:, 3:-4], golden.tensors["logits.logits"])


@pytest.mark.parametrize("name", ["dream-tiny", "diffugpt-tiny"])
@pytest.mark.parametrize("cache", ["prefix", "dual"])
def test_a_cached_pass_over_an_unchanged_canvas_computes_the_same_again(
    name: str, cache: str
) -> None:
    backbone = load_golden(name).backbone
    ids_BT = torch.arange(40).reshape(2, 20) + 5
    mask_BT = torch.ones_like(ids_BT)
    mask_BT[1, :3] = 0
    block_BT = torch.zeros_like(mask_BT, dtype=torch.bool)
    block_BT[:, 8:14] = True
    run = BlockPasses(backbone, 8, 14, cache)
    with torch.no_grad():
        where = block_BT.nonzero(as_tuple=True)
        first_ND, cost_B = run(ids_BT, mask_BT, *where)
        again_ND, less_B = run(ids_BT, mask_BT, *where)
    close(again_ND, first_ND)
    close(first_ND, scoring_rows(backbone.hidden(ids_BT, mask_BT), True)[block_BT])
    assert cost_B == [20, 17] and less_B == ([13, 13] if cache == "prefix" else [7, 7])


STOCK = [
    ("qwen3", {**DECODER, "head_dim": 8}),
    ("qwen2", DECODER),
    ("llama", DECODER),
    ("gpt2", GPT2),
]


@pytest.mark.parametrize("prefix", ["a2d-", ""])
@pytest.mark.parametrize(("model_type", "settings"), STOCK, ids=[name for name, _ in STOCK])
def test_masked_models_on_a_stock_architecture(
    tmp_path: Path, prefix: str, model_type: str, settings: dict[str, Any]
) -> None:
    model = published(tmp_path, stock(model_type, **settings))
    architecture = (
        f"A2D{model_type.title()}LMHeadModel" if prefix else model.config.architectures[0]
    )
    edit(tmp_path, model_type=prefix + model_type, architectures=[architecture])
    backbone = load_backbone(tmp_path)
    assert (backbone.spec.family, backbone.spec.logits_shifted) == ("a2d", False)
    close(backbone.logits(IDS_BT), by_hand(model))
    changed = IDS_BT.clone()
    changed[:, -1] = 3
    assert not torch.allclose(raw(backbone)[:, 0], raw(backbone, changed)[:, 0])  # full attention


@pytest.mark.parametrize("says", [{"logits_shifted": True}, {"right_shift_logits": True}, {}])
def test_a_shift_by_the_config_or_by_an_argument(tmp_path: Path, says: dict[str, bool]) -> None:
    model = published(tmp_path, stock("qwen3", **DECODER, head_dim=8), **says)
    backbone = load_backbone(tmp_path, logits_shifted=None if says else True)
    assert backbone.spec.logits_shifted
    close(backbone.logits(IDS_BT)[:, 1:], by_hand(model)[:, :-1])
    unshifted = load_backbone(tmp_path, logits_shifted=False)
    close(unshifted.logits(IDS_BT), by_hand(model))
    # What is fitted on one does not fit the other.
    assert unshifted.spec.fingerprint != backbone.spec.fingerprint


def test_gpt2_as_it_was_first_published(tmp_path: Path) -> None:
    model = published(tmp_path, stock("gpt2", **GPT2))
    rename(
        tmp_path,
        lambda name: name.removeprefix("transformer."),
        **{"h.0.attn.bias": torch.ones(1, 1, 4, 4)},
    )
    close(load_backbone(tmp_path).logits(IDS_BT), by_hand(model))


@pytest.mark.parametrize("wrapped", [True, False])
def test_diffullama_under_both_its_names(tmp_path: Path, wrapped: bool) -> None:
    model = published(
        tmp_path, stock("llama", **DECODER), _name_or_path="diffusionfamily/diffullama"
    )
    if wrapped:
        edit(tmp_path, _name_or_path="")
        rename(
            tmp_path,
            lambda name: (
                "embed_tokens.weight"
                if name == "model.embed_tokens.weight"
                else name.replace("model.", "denoise_model.", 1)
            ),
        )
    backbone = load_backbone(tmp_path)
    assert (backbone.spec.family, backbone.spec.logits_shifted) == ("diffullama", True)
    close(raw(backbone), by_hand(model))


@pytest.mark.parametrize("pads", [(0, 0), (2, 3)])
@pytest.mark.parametrize("model_type", ["bert", "roberta", "modernbert"])
def test_masked_encoders(tmp_path: Path, model_type: str, pads: tuple[int, int]) -> None:
    model = published(tmp_path, stock(model_type, **ENCODER))
    backbone = load_backbone(tmp_path)
    padded = torch.nn.functional.pad(IDS_BT, pads, value=1)
    mask = torch.nn.functional.pad(torch.ones_like(IDS_BT), pads)
    close(backbone.logits(padded, mask)[:, pads[0] : pads[0] + T], by_hand(model))
    close(raw(backbone), by_hand(model))  # without a mask
    assert (backbone.spec.family, backbone.spec.logits_shifted, backbone.spec.layers) == (
        "masked_encoder",
        False,
        2,
    )
    assert backbone.spec.max_length == (62 if model_type == "roberta" else 64)
    with pytest.raises(ConfigurationError, match="keeps no keys and values: leave out cache"):
        denoise(backbone, [[5]], DecodeConfig(gen_length=4, cache="dual"))


def test_berts_oldest_names_and_heads_of_other_tasks(tmp_path: Path) -> None:
    model = published(tmp_path, stock("bert", **ENCODER))
    rename(
        tmp_path,
        lambda name: name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ),
        **{"bert.pooler.dense.weight": torch.ones(2), "cls.seq_relationship.bias": torch.ones(2)},
    )
    close(load_backbone(tmp_path).logits(IDS_BT), by_hand(model))


def test_a_length_is_denoised_by_every_family(tmp_path: Path) -> None:
    for model_type, settings in (("qwen3", {**DECODER, "head_dim": 8}), ("roberta", ENCODER)):
        published(tmp_path / model_type, stock(model_type, **settings))
        backbone = load_backbone(tmp_path / model_type)
        alone = denoise(backbone, [[5, 6, 7]], DecodeConfig(gen_length=6)).sequences[0].tolist()
        batch = (
            denoise(backbone, [[5, 6, 7], [9]], DecodeConfig(gen_length=6)).sequences[0].tolist()
        )
        assert alone == batch and 0 not in alone


def test_every_family_is_a_short_file() -> None:
    folder = Path(__file__).resolve().parents[3] / "model_adapters" / "families"
    assert max(len((folder / f"{name}.py").read_text().splitlines()) for name in FAMILIES) <= 120
