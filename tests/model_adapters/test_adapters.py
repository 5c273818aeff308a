"""LoRA adapters: what is merged as it is read against what peft merges, for every way to name it.

Legend: B rows, T tokens.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from eosbench.errors import CheckpointError, ConfigurationError
from model_adapters import load_backbone
from tests.golden_files import GOLDEN, load_golden

IDS_BT = torch.arange(24).reshape(2, 12) + 9


def adapter(
    folder: Path, shapes: dict[str, tuple[int, ...]], *, rank: int = 4, **says: Any
) -> dict[str, torch.Tensor]:
    """Writes an adapter with random matrices for modules of these weight shapes."""
    torch.manual_seed(1)
    folder.mkdir(exist_ok=True)
    tensors: dict[str, torch.Tensor] = {}
    for module, (rows, columns) in shapes.items():
        tensors[f"base_model.model.{module}.lora_A.weight"] = torch.randn(rank, columns) * 0.3
        tensors[f"base_model.model.{module}.lora_B.weight"] = torch.randn(rows, rank) * 0.3
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 8, "target_modules": [*shapes], **says}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "adapter_model.safetensors")
    return tensors


def merged(name: str, lora: dict[str, torch.Tensor], folder: Path, scale: float) -> Path:
    """The golden checkpoint with the product of every pair added to its weight by hand."""
    shutil.copytree(GOLDEN / name, folder)
    weights = load_file(folder / "model.safetensors")
    for key, a in lora.items():
        if key.endswith(".lora_A.weight"):
            module = key.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            b = lora[key.replace("lora_A", "lora_B")]
            weights[f"{module}.weight"] = weights[f"{module}.weight"] + scale * b @ a
    save_file(weights, folder / "model.safetensors")
    return folder


@torch.no_grad()
def logits(backbone: Any) -> torch.Tensor:
    found: torch.Tensor = backbone.unembed(backbone.hidden(IDS_BT))
    return found


PUBLISHED = [  # the checkpoints' own names of modules
    ("llada-tiny", ("model.transformer.blocks.0.q_proj", "model.transformer.blocks.1.ff_out")),
    ("dream-tiny", ("model.layers.0.self_attn.v_proj", "model.layers.1.mlp.up_proj", "lm_head")),
    ("sdar-tiny", ("model.layers.0.self_attn.k_proj", "model.layers.1.mlp.down_proj")),
    ("llada-moe-tiny", ("model.layers.1.mlp.experts.5.up_proj", "model.layers.0.self_attn.q_proj")),
    (
        "llada2-tiny",
        ("model.layers.1.attention.query_key_value", "model.layers.2.mlp.experts.0.gate_proj"),
    ),
    ("illada-tiny", ("model.layers.2.self_attn.o_proj",)),
]


@pytest.mark.parametrize("rslora", [False, True])
@pytest.mark.parametrize(("name", "modules"), PUBLISHED, ids=[name for name, _ in PUBLISHED])
def test_merged_at_load_is_the_merged_checkpoint(
    tmp_path: Path, name: str, modules: tuple[str, ...], rslora: bool
) -> None:
    weights = load_file(GOLDEN / name / "model.safetensors")
    shapes = {module: tuple(weights[f"{module}.weight"].shape) for module in modules}
    lora = adapter(tmp_path / "lora", shapes, use_rslora=rslora)
    want = load_backbone(merged(name, lora, tmp_path / "merged", 4.0 if rslora else 2.0))
    got = load_backbone(GOLDEN / name, peft=tmp_path / "lora")
    torch.testing.assert_close(logits(got), logits(want), atol=1e-4, rtol=0)
    assert not torch.allclose(logits(got), logits(load_golden(name).backbone), atol=1e-2)
    assert got.spec.fingerprint != load_golden(name).backbone.spec.fingerprint


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
@pytest.mark.parametrize("dora", [False, True])
def test_what_peft_saves_for_a_transformers_model(tmp_path: Path, dora: bool) -> None:
    """transformers' own names, patterns of ranks, embeddings and whole modules too."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(
        "qwen3",
        vocab_size=48,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        tie_word_embeddings=False,
    )
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    model.save_pretrained(tmp_path / "base")
    says = json.loads((tmp_path / "base" / "config.json").read_text())
    says |= {"mask_token_id": 0, "eos_token_id": 1, "bos_token_id": 1, "pad_token_id": 1}
    (tmp_path / "base" / "config.json").write_text(json.dumps(says))
    (tmp_path / "base" / "generation_config.json").unlink(missing_ok=True)
    wanted = peft.LoraConfig(
        r=4,
        lora_alpha=8,
        use_dora=dora,
        target_modules=["q_proj", "down_proj"] + ([] if dora else ["embed_tokens"]),
        rank_pattern={"down_proj": 2},
        alpha_pattern={"q_proj": 3},
        modules_to_save=["lm_head"],
        init_lora_weights=False,
    )
    tuned = peft.get_peft_model(model, wanted)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora" in name or "modules_to_save" in name:
                torch.nn.init.normal_(parameter, std=0.2)
    tuned.save_pretrained(tmp_path / "lora", save_embedding_layers=False)
    got = load_backbone(tmp_path / "base", peft=str(tmp_path / "lora"))
    whole = tuned.merge_and_unload()
    full = torch.ones(2, 1, 12, 12, dtype=torch.bool)
    with torch.no_grad():
        want = whole(input_ids=IDS_BT, attention_mask=full).logits
    torch.testing.assert_close(logits(got), want, atol=1e-4, rtol=0)


def test_transformers_names_of_a_fused_projection(tmp_path: Path) -> None:
    """Queries are rows of a stored tensor: the adapter changes those and no others."""
    lora = adapter(tmp_path / "lora", {"model.layers.1.self_attn.q_proj": (64, 48)})
    shutil.copytree(GOLDEN / "llada2-tiny", tmp_path / "merged")
    weights = load_file(tmp_path / "merged" / "model.safetensors")
    name = "model.layers.1.attention.query_key_value.weight"
    a, b = lora.values()
    weights[name] = weights[name].clone()
    weights[name][:64] += 2.0 * b @ a
    save_file(weights, tmp_path / "merged" / "model.safetensors")
    got = load_backbone(GOLDEN / "llada2-tiny", peft=tmp_path / "lora")
    torch.testing.assert_close(
        logits(got), logits(load_backbone(tmp_path / "merged")), atol=1e-4, rtol=0
    )


def test_the_dtype_is_the_one_that_was_asked_for(tmp_path: Path) -> None:
    adapter(tmp_path / "lora", {"model.transformer.blocks.0.q_proj": (192, 192)})
    kept = load_backbone(GOLDEN / "llada-trained", dtype="auto", peft=tmp_path / "lora")
    assert {weight.dtype for weight in kept.model.parameters()} == {torch.bfloat16}  # type: ignore[attr-defined]
    wide = load_backbone(GOLDEN / "llada-trained", peft=tmp_path / "lora")
    assert wide.dtype is torch.float32 and wide.spec.fingerprint == kept.spec.fingerprint


def test_a_folder_that_holds_an_adapter_alone(tmp_path: Path) -> None:
    shapes = {"model.layers.0.self_attn.k_proj": (32, 64)}
    adapter(tmp_path / "lora", shapes, base_model_name_or_path=str(GOLDEN / "sdar-tiny"))
    alone = load_backbone(tmp_path / "lora")
    beside = load_backbone(GOLDEN / "sdar-tiny", peft=tmp_path / "lora")
    assert alone.spec == beside.spec and torch.equal(logits(alone), logits(beside))
    adapter(tmp_path / "lora", shapes, base_model_name_or_path=str(tmp_path / "gone" / "or" / "so"))
    with pytest.raises(CheckpointError, match=r"a LoRA adapter alone, for the model .*gone.*peft="):
        load_backbone(tmp_path / "lora")
    adapter(tmp_path / "lora", shapes)
    with pytest.raises(CheckpointError, match=r"a LoRA adapter alone, .* does not say for which"):
        load_backbone(tmp_path / "lora")
    with pytest.raises(ConfigurationError, match="and peft=other another"):
        load_backbone(tmp_path / "lora", peft="other")


def test_adapters_that_do_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> None:
        load_backbone(GOLDEN / "sdar-tiny", peft=tmp_path / "lora")

    with pytest.raises(CheckpointError, match=r"no folder|no such folder"):
        load()
    adapter(tmp_path / "lora", {"model.layers.0.self_attn.k_proj": (32, 64)}, peft_type="IA3")
    with pytest.raises(CheckpointError, match=r"is a IA3 adapter: expected LORA"):
        load()
    adapter(tmp_path / "lora", {"model.layers.7.self_attn.k_proj": (32, 64)})
    with pytest.raises(CheckpointError, match=r"no weight, .*layers\.7\.self_attn\.k_proj"):
        load()
    adapter(tmp_path / "lora", {"model.layers.0.self_attn.k_proj": (16, 64)})
    with pytest.raises(CheckpointError, match=r"has shape \(16, 64\), the checkpoint's .*32, 64"):
        load()
    adapter(tmp_path / "lora", {"lm_head": (300, 64)}, init_lora_weights="pissa")
    with pytest.raises(CheckpointError, match="'pissa' changed the base model"):
        load()
    (tmp_path / "lora" / "adapter_model.safetensors").rename(tmp_path / "lora" / "adapter.bin")
    with pytest.raises(CheckpointError, match=r"lacks adapter_model\.safetensors"):
        load()
    (tmp_path / "lora" / "adapter_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"holds no adapter_config\.json"):
        load()


def test_without_peft_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter(tmp_path / "lora", {"lm_head": (300, 64)})
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'eosbench\[peft\]'"):
        load_backbone(GOLDEN / "sdar-tiny", peft=tmp_path / "lora")
