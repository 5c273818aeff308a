"""The start of the embedded model's training.

A LLaMA-shaped denoiser of about three million parameters: the blocks of a small trained model, and
rows for a vocabulary of its own.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from eosbench.documents import NAMES, NOUNS


def new_model(
    vocab_size: int,
    *,
    width: int = 192,
    layers: int = 5,
    heads: int = 4,
    mlp_width: int = 576,
    max_length: int = 1_024,
) -> LlamaForCausalLM:
    """A model with random weights; the defaults are the embedded model's shape."""
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        intermediate_size=mlp_width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=max_length,
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=False,
        use_cache=False,
    )
    return LlamaForCausalLM(config)


def warm_start(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, teacher: Any) -> None:
    """Takes over the blocks of a trained backbone of the same shape; its vocabulary may differ.

    Tokens that both vocabularies have keep their rows of the embedding and of the output layer; a
    new token starts as the mean of the rows of the pieces that the teacher's own tokenizer cuts it
    into. Most names would start alike so; instead each gets what nouns have in common and what sets
    two of them apart, another two for every name.
    """
    known = teacher.tokenizer.get_vocab()
    with torch.no_grad():
        for index in range(len(tokenizer)):
            token = str(tokenizer.convert_ids_to_tokens(index))
            text = tokenizer.convert_tokens_to_string([token])
            ids = (
                [known[token]]
                if token in known
                else teacher.tokenizer(text, add_special_tokens=False)["input_ids"]
            )
            model.model.embed_tokens.weight[index] = teacher.model.embed_tokens.weight[ids].mean(
                dim=0
            )
            model.lm_head.weight[index] = teacher.output.weight[ids].mean(dim=0)
        nouns = [
            ids[0]
            for noun in NOUNS["en"]
            if f"Ġ{noun}" in known and len(ids := _ids(tokenizer, f" {noun}")) == 1
        ]
        _names_apart(model, tokenizer, nouns)
    blocks = {
        name: tensor
        for name, tensor in teacher.model.state_dict().items()
        if not name.startswith("embed_tokens")
    }
    model.model.load_state_dict(blocks, strict=False)


def _names_apart(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, nouns: list[int]
) -> None:
    """Sets the rows of the names from those of at least three nouns, in place.

    Both forms of a name get them, with a space before it and without.
    """
    for matrix in (model.model.embed_tokens.weight, model.lm_head.weight):
        common_D = matrix[nouns].mean(dim=0)
        apart_ND = matrix[nouns] - common_D
        for n, name in enumerate(NAMES):
            pair = apart_ND[n % len(nouns)], apart_ND[(n + 1 + n // len(nouns)) % len(nouns)]
            for text in (f" {name}", name):
                if len(ids := _ids(tokenizer, text)) == 1:
                    matrix[ids[0]] = common_D + sum(pair) / 2**0.5


def _ids(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids
