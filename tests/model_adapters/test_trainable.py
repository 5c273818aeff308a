"""Checkpoints with gradients, and the way back: written and read again, nothing has changed."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    BertConfig,
    GPT2Config,
    LlamaConfig,
    ModernBertConfig,
    PreTrainedConfig,
    Qwen3Config,
    RobertaConfig,
)

from eosbench.errors import CheckpointError
from model_adapters import load_backbone, load_trainable
from model_adapters.checkpoints import open_checkpoint
from model_adapters.export import export_checkpoint
from model_adapters.families import family_file
from tests.eosbench.training.tokenizers import autoregressive_tokenizer, masked_tokenizer
from tests.golden_files import GOLDEN

GOLDENS = sorted(path.parent.name for path in GOLDEN.glob("*/model.safetensors"))
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
CAUSAL: dict[str, PreTrainedConfig] = {
    "gpt2": GPT2Config(
        vocab_size=257,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=64,
        eos_token_id=0,
        bos_token_id=0,
    ),
    "llama": LlamaConfig(vocab_size=257, **SIZES, intermediate_size=64, eos_token_id=0),
    "qwen3": Qwen3Config(
        vocab_size=300,
        **SIZES,
        num_key_value_heads=2,
        head_dim=8,
        intermediate_size=64,
        eos_token_id=0,
        tie_word_embeddings=True,
    ),
}
ENCODERS: dict[str, PreTrainedConfig] = {
    "bert": BertConfig(vocab_size=260, **SIZES, intermediate_size=64),
    "roberta": RobertaConfig(
        vocab_size=260, **SIZES, intermediate_size=64, pad_token_id=1, max_position_embeddings=64,
        eos_token_id=0, bos_token_id=0,
    ),
    "modernbert": ModernBertConfig(
        vocab_size=260, **SIZES, intermediate_size=64, pad_token_id=1, eos_token_id=0,
        bos_token_id=0, cls_token_id=0, sep_token_id=0,
    ),
}  # fmt: skip


def same_files(one: Path, other: Path) -> bool:
    tensors, others = (load_file(folder / "model.safetensors") for folder in (one, other))
    return tensors.keys() == others.keys() and all(
        torch.equal(tensors[name], others[name]) and tensors[name].dtype == others[name].dtype
        for name in tensors
    )


@pytest.mark.parametrize("name", GOLDENS)
def test_what_is_loaded_and_written_has_the_same_tensors_and_fingerprint(
    name: str, tmp_path: Path
) -> None:
    if name == "diffusion-gemma-tiny":  # no mask to train with: written without a Trainable
        checkpoint = open_checkpoint(GOLDEN / name, name=name)
        plan = family_file("diffusion_gemma").blueprint(checkpoint)
        export_checkpoint(tmp_path, load_backbone(GOLDEN / name).model, plan, checkpoint)
    else:
        load_trainable(GOLDEN / name).export(tmp_path)
    assert same_files(GOLDEN / name, tmp_path)
    before, after = load_backbone(GOLDEN / name).spec, load_backbone(tmp_path).spec
    assert after.fingerprint == before.fingerprint
    assert (after.mask_id, after.eos_ids, after.vocab_size) == (
        before.mask_id,
        before.eos_ids,
        before.vocab_size,
    )
    source, written = (
        json.loads((folder / "config.json").read_text()) for folder in (GOLDEN / name, tmp_path)
    )
    assert written == source


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_an_encoder_is_written_as_it_was(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    AutoModelForMaskedLM.from_config(ENCODERS[name]).save_pretrained(tmp_path / "source")
    masked_tokenizer().save_pretrained(tmp_path / "source")
    load_trainable(tmp_path / "source").export(tmp_path / "written")
    assert same_files(tmp_path / "source", tmp_path / "written")
    one, other = (load_backbone(tmp_path / part) for part in ("source", "written"))
    assert one.spec.fingerprint == other.spec.fingerprint


@pytest.mark.parametrize("name", sorted(CAUSAL))
def test_an_autoregressive_model_gets_a_mask_and_keeps_its_shift(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(CAUSAL[name]).save_pretrained(tmp_path / "source")
    autoregressive_tokenizer().save_pretrained(tmp_path / "source")
    with pytest.raises(CheckpointError, match="mask token"):
        load_backbone(tmp_path / "source")
    with caplog.at_level(logging.WARNING):
        model = load_trainable(tmp_path / "source")
    assert "has no mask token: <|mask|> was added with id 257" in caplog.text
    assert model.spec.logits_shifted and model.spec.mask_id == 257
    assert model.spec.vocab_size == max(258, CAUSAL[name].vocab_size)
    rows = model.model.get_input_embeddings().weight
    torch.testing.assert_close(rows[257], rows[:257].mean(dim=0))

    model.export(tmp_path / "written")
    again = load_backbone(tmp_path / "written")
    assert (again.spec.family, again.spec.mask_id) == ("a2d", 257)
    assert again.spec.logits_shifted
    ids = torch.tensor([[5, 6, 7, 257, 257]])
    with torch.no_grad():
        torch.testing.assert_close(again.logits(ids), model.unembed(model.hidden(ids)))


def test_new_tokens_take_free_rows_first_and_end_texts(tmp_path: Path) -> None:
    model = load_trainable(GOLDEN / "llada-trained")
    size, known = model.spec.vocab_size, len(model.tokenizer)
    before = model.model.get_input_embeddings().weight.detach().clone()
    ids = model.add_tokens(["<|pad|>", "<|more|>"])
    assert ids == [known, known + 1] and model.spec.vocab_size == max(size, known + 2)
    assert model.add_tokens(["<|pad|>"]) == [known]  # it is there
    for matrix in (model.model.get_input_embeddings(), model.model.get_output_embeddings()):
        weight = matrix.weight.detach()
        torch.testing.assert_close(weight[ids[0]], weight[:known].mean(dim=0))
    after = model.model.get_input_embeddings().weight.detach()
    untouched = [index for index in range(size) if index not in ids]
    assert torch.equal(after[untouched], before[untouched])  # the mask's row among them

    model.ends_with(ids)
    model.export(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["eos_token_id"] == [model.eos_id, *ids]
    again = load_backbone(tmp_path)
    assert again.spec.eos_ids == {model.eos_id, *ids}
    assert again.tokenizer.convert_tokens_to_ids("<|pad|>") == ids[0]


def test_a_canvas_of_noise_has_no_mask_to_train_with() -> None:
    with pytest.raises(CheckpointError, match="whose canvas starts as noise"):
        load_trainable(GOLDEN / "diffusion-gemma-tiny")


def test_tokens_need_a_tokenizer() -> None:
    with pytest.raises(CheckpointError, match=r"has no tokenizer: <\|pad\|> cannot be added"):
        load_trainable(GOLDEN / "llada-tiny").add_tokens(["<|pad|>"])


def test_weights_have_gradients_and_no_dropout(tmp_path: Path) -> None:
    AutoModelForCausalLM.from_config(CAUSAL["gpt2"]).save_pretrained(tmp_path)
    autoregressive_tokenizer().save_pretrained(tmp_path)
    model = load_trainable(tmp_path)
    assert all(parameter.requires_grad for parameter in model.model.parameters())
    drops = [m.p for m in model.model.modules() if isinstance(m, torch.nn.Dropout)]
    assert drops and set(drops) == {0.0}  # the config says 0.1
    model.model.train()
    ids = torch.tensor([[5, 6, 7]])
    assert torch.equal(model.hidden(ids), model.hidden(ids))
    again = load_trainable(tmp_path, dropout=0.5)
    again.model.train()
    assert not torch.equal(again.hidden(ids), again.hidden(ids))


def test_other_dtypes_and_shards(tmp_path: Path) -> None:
    model = load_trainable(GOLDEN / "llada-trained")
    model.export(tmp_path, dtype="float32", max_shard_size="200KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    assert json.loads((tmp_path / "config.json").read_text())["torch_dtype"] == "float32"
    one, other = load_backbone(GOLDEN / "llada-trained"), load_backbone(tmp_path)
    ids = torch.tensor([[2, 5, 6, 0, 0]])
    with torch.no_grad():
        assert torch.equal(one.logits(ids), other.logits(ids))
