"""Every family against what its published implementation, or the same transformers model run by
hand, computes.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from eosbench.backbone import scoring_rows
from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.denoise import denoise
from eosbench.errors import CheckpointError, ConfigurationError
from eosbench.forward.block_cache import BlockPasses
from model_adapters import load_backbone
from model_adapters.backbones.placement import Devices
from model_adapters.families import FAMILIES, family_of
from tests.golden_files import GOLDEN, load_golden

V, T = 48, 12
SMALL = {
    "vocab_size": V,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
DECODER = {
    **SMALL,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
}
GPT2 = {"vocab_size": V, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}
ENCODER = {**SMALL, "max_position_embeddings": 64, "pad_token_id": 1}
IDS_BT = torch.arange(2 * T).reshape(2, T) + 2


def published(
    folder: Path, config: transformers.PreTrainedConfig, **says: Any
) -> transformers.PreTrainedModel:
    """A checkpoint of that config with random weights, as transformers writes it, and the model
    itself.
    """
    torch.manual_seed(0)
    auto = (
        transformers.AutoModelForMaskedLM
        if "bert" in config.model_type
        else transformers.AutoModelForCausalLM
    )
    model = auto.from_config(config).eval()
    for parameter in model.parameters():  # biases and norms too, so that one that is lost is seen
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    edit(
        folder,
        **{"mask_token_id": 0, "eos_token_id": 1, "bos_token_id": 1, "pad_token_id": 1, **says},
    )
    return model


def edit(folder: Path, **says: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | says))


def rename(folder: Path, new_name: Callable[[str], str | None], **more: torch.Tensor) -> None:
    tensors = load_file(folder / "model.safetensors")
    renamed = {
        new: tensor.clone()
        for name, tensor in tensors.items()
        if (new := new_name(name)) is not None
    }
    save_file(renamed | more, folder / "model.safetensors")


@torch.no_grad()
def by_hand(model: transformers.PreTrainedModel, ids_BT: torch.Tensor = IDS_BT) -> torch.Tensor:
    """Raw logits where every position sees every position."""
    full = torch.ones(len(ids_BT), 1, ids_BT.shape[1], ids_BT.shape[1], dtype=torch.bool)
    mask = torch.ones_like(ids_BT) if "bert" in model.config.model_type else full
    logits: torch.Tensor = model(input_ids=ids_BT, attention_mask=mask).logits
    return logits


@torch.no_grad()
def raw(backbone: Any, ids_BT: torch.Tensor = IDS_BT) -> torch.Tensor:
    logits: torch.Tensor = backbone.unembed(backbone.hidden(ids_BT))
    return logits


def close(got: torch.Tensor, want: torch.Tensor) -> None:
    torch.testing.assert_close(got, want, atol=1e-4, rtol=0)


# Published outputs.


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
        first_ND, cost_B = run(ids_BT, mask_BT, block_BT)
        again_ND, less_B = run(ids_BT, mask_BT, block_BT)
    close(again_ND, first_ND)
    close(first_ND, scoring_rows(backbone.hidden(ids_BT, mask_BT), True)[block_BT])
    assert cost_B.tolist() == [20, 17] and less_B.tolist() == (
        [13, 13] if cache == "prefix" else [7, 7]
    )


# Checkpoints that transformers writes.


def stock(model_type: str, **settings: Any) -> transformers.PreTrainedConfig:
    return transformers.AutoConfig.for_model(model_type, **settings)


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


# Weights.


@pytest.mark.parametrize("stored", ["once", "twice", "head", "apart"])
def test_tied_weights(tmp_path: Path, stored: str) -> None:
    """Stored under one name or both; where both differ, the config is wrong and there are two."""
    model = published(tmp_path, stock("qwen2", **DECODER | {"tie_word_embeddings": True}))
    embeddings = load_file(tmp_path / "model.safetensors")["model.embed_tokens.weight"]
    if stored == "apart":
        model.lm_head.weight = torch.nn.Parameter(embeddings.flip(0))
    more = {} if stored == "once" else {"lm_head.weight": model.lm_head.weight.detach().clone()}
    rename(
        tmp_path, lambda name: None if stored == "head" and "embed_tokens" in name else name, **more
    )
    backbone: Any = load_backbone(tmp_path)
    close(backbone.logits(IDS_BT), by_hand(model))
    assert (backbone.output.weight is backbone.model.embed_tokens.weight) == (stored != "apart")


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


@pytest.mark.parametrize(
    "device_map", ["auto", "sequential", {"model": "cpu", "lm_head": "cpu"}], ids=str
)
def test_a_device_map(tmp_path: Path, device_map: Any) -> None:
    model = published(tmp_path, stock("llama", **DECODER))
    backbone = load_backbone(tmp_path, device_map=device_map)
    close(backbone.logits(IDS_BT), by_hand(model))
    assert backbone.spec.fingerprint == load_backbone(tmp_path).spec.fingerprint


def test_where_a_device_map_puts_a_weight() -> None:
    devices = Devices(
        {
            "model.embed_tokens": "cpu",
            "model.layers.1": "meta",
            "model.layers.10": "cpu",
            "lm_head": "meta",
        }
    )
    assert devices.of("model.layers.1.mlp.up_proj.weight") == torch.device("meta")
    assert devices.of("model.layers.10.mlp.up_proj.weight") == torch.device("cpu")
    assert devices.of("lm_head.weight") == torch.device("meta")


def test_placements_that_cannot_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published(tmp_path, stock("llama", **DECODER))
    with pytest.raises(ConfigurationError, match="device_map='everywhere': expected one of auto"):
        load_backbone(tmp_path, device_map="everywhere")
    with pytest.raises(ConfigurationError, match="attn_implementation='flash_attention_9'"):
        load_backbone(tmp_path, attn_implementation="flash_attention_9")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(
        ConfigurationError, match="accelerate launch gives every process a model of its own"
    ):
        load_backbone(tmp_path, device_map="auto")


# What is no family.


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


def test_a_causal_model_has_no_mask_token(tmp_path: Path) -> None:
    published(tmp_path, stock("qwen2", **DECODER), mask_token_id=None)
    with pytest.raises(CheckpointError, match=r"has no mask token: .*'qwen2'.*lm_eval --model hf"):
        load_backbone(tmp_path)


def test_every_family_is_a_short_file() -> None:
    folder = Path(__file__).resolve().parents[3] / "model_adapters" / "families"
    assert max(len((folder / f"{name}.py").read_text().splitlines()) for name in FAMILIES) <= 120


# Models that bring their own code.

OWN_CODE = """
import torch
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import MaskedLMOutput

class TwinConfig(PreTrainedConfig):
    model_type = "twin"
    def __init__(self, vocab_size=48, width=8, scale=1.0, max_position_embeddings=64, **kwargs):
        self.vocab_size, self.width, self.scale = vocab_size, width, scale
        self.max_position_embeddings = max_position_embeddings
        super().__init__(**kwargs)

class TwinModel(PreTrainedModel):
    config_class = TwinConfig
    def __init__(self, config):
        super().__init__(config)
        self.embed = torch.nn.Embedding(config.vocab_size, config.width)
        self.head = torch.nn.Linear(config.width, config.vocab_size)
        self.post_init()
    def get_output_embeddings(self):
        return self.head
    def forward(self, input_ids, attention_mask=None):
        mask = attention_mask[..., None].to(self.embed.weight.dtype)
        embedded = self.embed(input_ids)
        mean = (embedded * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True)
        return MaskedLMOutput(logits=self.head(embedded + mean) * self.config.scale)
"""


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_an_unknown_family_by_its_own_code(
    tmp_path: Path, scale: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(
        "transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules")
    )
    folder = tmp_path / f"twin{scale}".replace(".", "_")
    folder.mkdir()
    (folder / "twin.py").write_text(OWN_CODE)
    config = {
        "model_type": "twin",
        "architectures": ["TwinModel"],
        "mask_token_id": 0,
        "eos_token_id": 1,
        "scale": scale,
        "auto_map": {"AutoConfig": "twin.TwinConfig", "AutoModelForMaskedLM": "twin.TwinModel"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    weights = {
        "embed.weight": torch.randn(V, 8),
        "head.weight": torch.randn(V, 8),
        "head.bias": torch.randn(V),
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="trust_remote_code=True"):
        load_backbone(folder)
    with caplog.at_level(logging.WARNING):
        backbone = load_backbone(folder, trust_remote_code=True)
    assert "no shift" in caplog.text and "full attention" in caplog.text
    embedded = weights["embed.weight"][IDS_BT]
    want = (
        (embedded + embedded.mean(1, keepdim=True)) @ weights["head.weight"].T
        + weights["head.bias"]
    ) * scale
    close(backbone.logits(IDS_BT, torch.ones_like(IDS_BT)), want)
    # The head alone, or logits as they are.
    assert (backbone.spec.width, backbone.spec.vocab_size) == (8 if scale == 1 else V, V)
    padded = torch.nn.functional.pad(IDS_BT, (0, 2))
    close(backbone.logits(padded, (padded > 0).long())[:, :T], want)
    assert denoise(backbone, [[5]], DecodeConfig(gen_length=3)).sequences[0].shape == (3,)
    with pytest.raises(ConfigurationError, match="keeps no cache"):
        denoise(backbone, [[5]], DecodeConfig(gen_length=3, cache="prefix"))
