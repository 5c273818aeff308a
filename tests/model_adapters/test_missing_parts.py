"""Parts that a checkpoint lacks and that training gives it."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM, BertConfig, BertModel

from eosbench.errors import CheckpointError
from model_adapters import load_backbone, load_trainable
from model_adapters.checkpoints import open_checkpoint
from model_adapters.missing_parts import eos_id_of, has_mask
from tests.eosbench.training.tokenizers import masked_tokenizer
from tests.golden_files import GOLDEN

BERT = BertConfig(
    vocab_size=260,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
)


def test_an_encoder_without_a_head_gets_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As sentence-transformers publishes them: no prefix, a pooler, and position ids."""
    torch.manual_seed(0)
    BertModel(BERT).save_pretrained(tmp_path / "source")
    masked_tokenizer().save_pretrained(tmp_path / "source")
    with caplog.at_level(logging.WARNING):
        model = load_trainable(tmp_path / "source")
    assert "brings no head that predicts tokens: one is added" in caplog.text
    embeddings = model.model.get_input_embeddings().weight
    assert model.model.get_output_embeddings().weight is embeddings
    assert torch.equal(model.model.cls.predictions.transform.dense.weight, torch.eye(32))

    model.export(tmp_path / "written")
    names = load_file(tmp_path / "written" / "model.safetensors").keys()
    assert all(name.startswith(("bert.", "cls.")) for name in names)
    again = load_backbone(tmp_path / "written")
    ids = torch.tensor([[5, 6, 257, 257]])
    with torch.no_grad():
        torch.testing.assert_close(again.logits(ids), model.unembed(model.hidden(ids)))
    stock = AutoModelForMaskedLM.from_pretrained(tmp_path / "written").eval()
    with torch.no_grad():
        torch.testing.assert_close(stock(ids).logits, again.logits(ids), atol=1e-5, rtol=1e-5)


def test_the_end_of_an_answer_is_the_configs_or_the_tokenizers() -> None:
    checkpoint = open_checkpoint(GOLDEN / "llada-trained", name="one")
    assert has_mask(checkpoint)
    said = {**checkpoint.config, "eos_token_id": [5, 1]}
    assert eos_id_of(replace(checkpoint, config=said)) == 5
    silent = {name: value for name, value in said.items() if name != "eos_token_id"}
    assert eos_id_of(replace(checkpoint, config=silent, tokenizer=masked_tokenizer())) == 0
    with pytest.raises(CheckpointError, match="one has no end-of-sequence token"):
        eos_id_of(replace(checkpoint, config=silent, tokenizer=None))
