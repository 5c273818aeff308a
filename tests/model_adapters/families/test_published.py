"""The newer families against their published code, and checkpoints that differ as real ones do.

Legend: B rows, T tokens, V vocabulary.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from eosbench.errors import CheckpointError, ConfigurationError
from model_adapters import load_backbone
from model_adapters.backbones.block_mask import block_mask
from tests.golden_files import GOLDEN, load_golden
from tests.model_adapters.stock_models import IDS_BT, close, edit, raw, rename

FULL = ("illada-tiny", "llada-moe-tiny")
BLOCKS = ("sdar-tiny", "llada2-tiny", "fast-dllm-v2-tiny", "stable-diffcoder-tiny")
LENGTHS = {"sdar-tiny": 4, "llada2-tiny": 32, "fast-dllm-v2-tiny": 32, "stable-diffcoder-tiny": 4}
SHIFTED = ("fast-dllm-v2-tiny",)


def copied(name: str, tmp_path: Path) -> Path:
    shutil.copytree(GOLDEN / name, tmp_path / name)
    return tmp_path / name


@torch.no_grad()
def by_hand(
    model: transformers.PreTrainedModel, ids_BT: torch.Tensor, block_length: int | None
) -> torch.Tensor:
    """Raw logits of one of transformers' models under a full or a block-causal mask."""
    T = ids_BT.shape[1]
    position_ids = torch.arange(T).expand_as(ids_BT)
    mask = block_mask(position_ids, torch.ones_like(ids_BT), block_length or T, torch.float32)
    logits: torch.Tensor = model(input_ids=ids_BT, attention_mask=mask).logits
    return logits


def random_model(config: transformers.PreTrainedConfig, folder: Path) -> Any:
    """A checkpoint of that config as transformers writes it, and the model itself."""
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    routers = [one for name, one in model.named_buffers() if name.endswith("correction_bias")]
    for tensor in [*model.parameters(), *routers]:
        torch.nn.init.normal_(tensor, std=0.3)
    model.save_pretrained(folder)
    model.set_experts_implementation("eager")
    return model


# Published outputs.


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", [*FULL, *BLOCKS])
def test_logits_are_those_of_the_published_code(name: str, attention: str) -> None:
    golden = load_golden(name)
    rows = golden.settings.get("logits", [{"key": "logits"}])
    rows = [*rows, {"key": "canvas"}] if name in FULL else rows
    for row in rows:
        length = row.get("block_length")
        backbone = load_backbone(golden.folder, attn_implementation=attention, block_length=length)
        ids_BT = golden.tensors[f"{row['key']}.input_ids"]
        close(raw(backbone, ids_BT), golden.tensors[f"{row['key']}.logits"])


@pytest.mark.parametrize("name", [*FULL, *BLOCKS])
def test_spec(name: str) -> None:
    golden = load_golden(name)
    spec = golden.backbone.spec
    assert spec.family == golden.settings["family"]
    assert spec.mask_id == golden.settings["mask_token_id"]
    assert golden.settings["eos_token_id"] in spec.eos_ids
    assert spec.logits_shifted == golden.settings["logits_shifted"] == (name in SHIFTED)
    assert spec.attention == ("full" if name in FULL else "block")
    assert spec.block_length == LENGTHS.get(name)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", [*FULL, *BLOCKS])
def test_padding_changes_nothing(name: str, attention: str) -> None:
    golden = load_golden(name)
    backbone = load_backbone(golden.folder, attn_implementation=attention)
    ids_BT = golden.tensors["logits.input_ids"]
    pads = (3, 4)
    padded = torch.nn.functional.pad(ids_BT, pads, value=backbone.spec.pad_id)
    mask = torch.nn.functional.pad(torch.ones_like(ids_BT), pads)
    with torch.no_grad():
        logits_BTV = backbone.unembed(backbone.hidden(padded, mask))
    close(logits_BTV[:, 3:-4], golden.tensors["logits.logits"])


@pytest.mark.parametrize("name", BLOCKS)
def test_a_position_sees_its_block_and_those_before_it(name: str) -> None:
    backbone = load_backbone(GOLDEN / name, block_length=8)
    ids_BT = torch.arange(24)[None] + 20
    before = raw(backbone, ids_BT)[0]
    for changed_at in (7, 8, 23):
        changed = ids_BT.clone()
        changed[0, changed_at] = 9
        same_T = (raw(backbone, changed)[0] - before).abs().amax(dim=1) < 1e-3
        assert same_T.tolist() == [at // 8 < changed_at // 8 for at in range(24)]


def test_another_block_length_is_another_model() -> None:
    own, other = (
        load_golden("sdar-tiny").backbone,
        load_backbone(GOLDEN / "sdar-tiny", block_length=8),
    )
    assert own.spec.fingerprint != other.spec.fingerprint
    assert load_backbone(GOLDEN / "sdar-tiny", block_length=4).spec == own.spec


def test_settings_that_block_models_do_not_have() -> None:
    with pytest.raises(ConfigurationError, match="block_length=0: expected at least 1"):
        load_backbone(GOLDEN / "sdar-tiny", block_length=0)
    with pytest.raises(ConfigurationError, match="'llada' attends to the whole canvas"):
        load_backbone(GOLDEN / "llada-tiny", block_length=8)
    with pytest.raises(ConfigurationError, match="'flash_attention_2' takes no mask"):
        load_backbone(GOLDEN / "sdar-tiny", attn_implementation="flash_attention_2")


@pytest.mark.parametrize("said", [-4, "four", 2.5])
def test_a_block_length_in_a_config_that_is_none(tmp_path: Path, said: Any) -> None:
    shutil.copytree(GOLDEN / "sdar-tiny", tmp_path / "copy")
    edit(tmp_path / "copy", block_size=said)
    with pytest.raises(CheckpointError, match=f"says blocks of {said!r} tokens: expected a whole"):
        load_backbone(tmp_path / "copy")


# Mask and ends.


def test_the_mask_is_found_by_its_name_alone(tmp_path: Path) -> None:
    """In no config, in no map of special tokens: a word of the vocabulary."""
    folder = copied("illada-tiny", tmp_path)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["added_tokens"] = [
        token for token in tokenizer["added_tokens"] if token["content"] != "<[MASK]>"
    ]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert load_backbone(folder).spec.mask_id == 5


def test_a_mask_that_is_given_counts_for_every_family(tmp_path: Path) -> None:
    assert load_backbone(GOLDEN / "illada-tiny", mask_token="<[SEP]>").spec.mask_id == 4
    assert load_backbone(GOLDEN / "sdar-tiny", mask_token_id=7).spec.mask_id == 7
    assert load_backbone(GOLDEN / "llada-tiny", mask_token_id=9).spec.mask_id == 9
    folder = copied("sdar-tiny", tmp_path)
    edit(folder, mask_token_id=None)
    with pytest.raises(CheckpointError, match=r"has no mask token: .*mask_token_id=ID"):
        load_backbone(folder)
    assert load_backbone(folder, mask_token_id=299).spec.mask_id == 299


def test_a_mask_that_is_not_there() -> None:
    with pytest.raises(ConfigurationError, match=r"no such token .*of like name: <\[MASK\]>"):
        load_backbone(GOLDEN / "illada-tiny", mask_token="<mask>")
    with pytest.raises(ConfigurationError, match=r"is id 5 in the tokenizer .*mask_token_id=6"):
        load_backbone(GOLDEN / "illada-tiny", mask_token="<[MASK]>", mask_token_id=6)
    with pytest.raises(ConfigurationError, match="no such token"):
        load_backbone(GOLDEN / "sdar-tiny", mask_token="<|MASK|>")
    with pytest.raises(CheckpointError, match="mask token id 900 lies outside"):
        load_backbone(GOLDEN / "sdar-tiny", mask_token_id=900)


def test_a_generation_config_may_list_more_ends(tmp_path: Path) -> None:
    assert load_golden("sdar-tiny").backbone.spec.eos_ids == {290, 291}
    folder = copied("sdar-tiny", tmp_path)
    edit(folder, eos_token_id=17)  # knows none of them: left over from another model
    assert load_backbone(folder).spec.eos_ids == {17}
    edit(folder, eos_token_id=None)
    assert load_backbone(folder).spec.eos_ids == {290, 291}


# Checkpoints that differ.


@pytest.mark.parametrize("stored", ["embeddings", "both", "apart"])
def test_illada_with_its_output_layer_stored_or_not(tmp_path: Path, stored: str) -> None:
    golden = load_golden("illada-tiny")
    folder = copied("illada-tiny", tmp_path)
    if stored == "embeddings":
        rename(folder, lambda name: None if name == "lm_head.weight" else name)
    if stored == "apart":
        edit(folder, tie_word_embeddings=False)
        weights = load_file(folder / "model.safetensors")
        head = weights.pop("lm_head.weight").flip(0).contiguous()
        save_file(weights | {"lm_head.weight": head}, folder / "model.safetensors")
    want = golden.tensors["logits.logits"]
    got = raw(load_backbone(folder), golden.tensors["logits.input_ids"])
    close(got, want.flip(-1) if stored == "apart" else want)


@pytest.mark.parametrize("says", [{"model_type": "lladamoe"}, {"model_type": "llada"}])
def test_llada_moe_under_both_its_names(tmp_path: Path, says: dict[str, Any]) -> None:
    folder = copied("llada-moe-tiny", tmp_path)
    edit(folder, **says)
    backbone = load_backbone(folder)
    assert backbone.spec == replace(load_golden("llada-moe-tiny").backbone.spec, name=str(folder))


def test_llada_moe_without_architectures(tmp_path: Path) -> None:
    folder = copied("llada-moe-tiny", tmp_path)
    edit(folder, model_type="lladamoe", architectures=None)
    assert load_backbone(folder).spec.family == "llada_moe"


def test_sdar_whose_config_names_neither_mask_nor_block(tmp_path: Path) -> None:
    golden = load_golden("sdar-tiny")
    folder = copied("sdar-tiny", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    del config["mask_token_id"], config["block_size"]
    (folder / "config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        text = (GOLDEN / "fast-dllm-v2-tiny" / name).read_text()
        (folder / name).write_text(text.replace("|<MASK>|", "<|MASK|>"))
    backbone = load_backbone(folder)
    assert (backbone.spec.mask_id, backbone.spec.block_length) == (299, 4)
    close(raw(backbone, golden.tensors["logits.input_ids"]), golden.tensors["logits.logits"])


MOE = {
    "vocab_size": 48,
    "hidden_size": 16,
    "intermediate_size": 24,
    "moe_intermediate_size": 6,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 6,
    "num_experts_per_tok": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
}


@pytest.mark.parametrize("dense_layers", [[], [0, 2]])
def test_sdar_with_experts(tmp_path: Path, dense_layers: list[int]) -> None:
    says = {"num_experts": 5, "norm_topk_prob": True, "mlp_only_layers": dense_layers}
    config = transformers.AutoConfig.for_model("qwen3_moe", **MOE, **says)
    model = random_model(config, tmp_path)
    edit(
        tmp_path,
        model_type="sdar_moe",
        architectures=["SDARMoeForCausalLM"],
        mask_token_id=47,
        eos_token_id=1,
        block_size=8,
    )
    backbone = load_backbone(tmp_path)
    close(raw(backbone), by_hand(model, IDS_BT, 8))
    assert (backbone.spec.family, backbone.spec.block_length) == ("sdar", 8)
    assert backbone.spec.attention_width == 24


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("dense", "shared"), [(2, 2), (0, 1)])
def test_llada2_of_other_shapes(tmp_path: Path, dense: int, shared: int, tied: bool) -> None:
    """Several dense layers and shared experts, tied weights, heads wider than the model."""
    says = {
        "n_routed_experts": 8,
        "n_shared_experts": shared,
        "n_group": 4,
        "topk_group": 2,
        "first_k_dense_replace": dense,
        "routed_scaling_factor": 2.5,
        "use_qk_norm": True,
        "num_nextn_predict_layers": 0,
        "tie_word_embeddings": tied,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 6e5,
            "partial_rotary_factor": 0.5,
        },
    }
    model = random_model(transformers.AutoConfig.for_model("glm4_moe", **MOE | says), tmp_path)
    _as_llada2(tmp_path, dense=dense, shared=shared, tied=tied)
    backbone = load_backbone(tmp_path)
    close(raw(backbone), by_hand(model, IDS_BT, 32))
    assert backbone.spec.family == "llada2"


def _as_llada2(folder: Path, *, dense: int, shared: int, tied: bool) -> None:
    """Gives a GLM-4-MoE checkpoint the names and the config that LLaDA2 is published with."""
    tensors = load_file(folder / "model.safetensors")
    renamed = {
        "self_attn.o_proj": "attention.dense",
        "self_attn.q_norm": "attention.query_layernorm",
        "self_attn.k_norm": "attention.key_layernorm",
        "model.embed_tokens": "model.word_embeddings",
        "gate.e_score_correction_bias": "gate.expert_bias",
    }
    published: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        if "_proj.weight" in name and "self_attn" in name and "o_proj" not in name:
            continue
        for ours, theirs in renamed.items():
            name = name.replace(ours, theirs)
        published[name] = tensor
    for layer in range(MOE["num_hidden_layers"]):
        parts = [tensors[f"model.layers.{layer}.self_attn.{p}_proj.weight"] for p in "qkv"]
        published[f"model.layers.{layer}.attention.query_key_value.weight"] = torch.cat(parts)
    save_file(published, folder / "model.safetensors")
    config = MOE | {
        "architectures": ["LLaDA2MoeModelLM"],
        "model_type": "llada2_moe",
        "num_experts": 8,
        "num_shared_experts": shared,
        "n_group": 4,
        "topk_group": 2,
        "first_k_dense_replace": dense,
        "routed_scaling_factor": 2.5,
        "norm_topk_prob": True,
        "partial_rotary_factor": 0.5,
        "rope_theta": 6e5,
        "rms_norm_eps": 1e-5,
        "mask_token_id": 47,
        "eos_token_id": 1,
        "tie_word_embeddings": tied,
        "moe_router_enable_expert_bias": True,
    }
    (folder / "config.json").write_text(json.dumps(config))


def test_llada2_without_a_bias_of_its_router(tmp_path: Path) -> None:
    folder = copied("llada2-tiny", tmp_path)
    rename(folder, lambda name: None if name.endswith("expert_bias") else name)
    with pytest.raises(CheckpointError, match=r"missing model\.layers\.1\.mlp\.gate\.expert_bias"):
        load_backbone(folder)
    edit(folder, moe_router_enable_expert_bias=False)
    ids_BT = torch.arange(12)[None]
    assert not torch.allclose(
        raw(load_backbone(folder), ids_BT), raw(load_golden("llada2-tiny").backbone, ids_BT)
    )


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("llada-moe-tiny", {"moe_router_score_function": "sigmoid"}, "score_function='sigmoid'"),
        ("llada-moe-tiny", {"shared_expert_intermediate_size": 8}, "shared_expert_intermediate"),
        ("llada-moe-tiny", {"num_experts": 9}, r"missing .*experts\.8\.down_proj\.weight"),
        ("llada2-tiny", {"score_function": "softmax"}, "score_function='softmax'"),
        ("llada2-tiny", {"num_experts": 15}, r"unexpected .*experts\.15\.down_proj\.weight"),
        ("llada2-tiny", {"num_key_value_heads": 1}, r"query_key_value.*\(96, 48\)"),
        ("llada2-tiny", {"moe_intermediate_size": 17}, r"experts\.0.* has shape"),
    ],
)
def test_configs_that_do_not_fit(
    tmp_path: Path, name: str, changes: dict[str, Any], message: str
) -> None:
    folder = copied(name, tmp_path)
    edit(folder, **changes)
    with pytest.raises(CheckpointError, match=message):
        load_backbone(folder)


# What it costs.


def test_active_parameters_of_a_mixture_by_hand() -> None:
    """llada-moe-tiny: width D=48, 3 of 8 experts of inner width 24, heads together as wide as D."""
    D, inner, experts, active = 48, 24, 8, 3
    spec = load_golden("llada-moe-tiny").backbone.spec
    behind = D * D + experts * D + active * 3 * D * inner
    assert spec.block_parameters == 2 * (3 * D * D + behind)
    assert spec.last_parameters == behind


def test_experts_are_stacked_as_they_are_read() -> None:
    """A stacked tensor comes into being once, and every stored one is read once."""
    made: list[tuple[int, ...]] = []

    class Counting(torch.overrides.TorchFunctionMode):
        def __torch_function__(
            self, function: Any, _types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            made_now = function(*args, **(kwargs or {}))
            if function is torch.empty and made_now.ndim == 3 and not made_now.is_meta:
                made.append(tuple(made_now.shape))
            return made_now

    with Counting():
        load_backbone(GOLDEN / "llada-moe-tiny")
    assert sorted(made) == [(8, 48, 24)] * 2 + [(8, 48, 48)] * 2
