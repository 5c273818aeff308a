"""A GPT-2 that says the alphabet: after every letter the next one, and an end after `e`.

Its only block adds nothing, so that the next token depends on the last one alone and every answer
is known by heart.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from tests.eosbench.training.tokenizers import autoregressive_tokenizer

V = 257


def tokenizer() -> PreTrainedTokenizerFast:
    """Bytes, and an end of id 0."""
    return autoregressive_tokenizer()


def chain() -> GPT2LMHeadModel:
    """The model, of width V, so that every token has a direction of its own."""
    config = GPT2Config(
        vocab_size=V,
        n_embd=V,
        n_layer=1,
        n_head=1,
        n_positions=64,
        eos_token_id=0,
        bos_token_id=0,
        tie_word_embeddings=False,
        attn_implementation="eager",
    )
    model = GPT2LMHeadModel(config).eval()
    ids = tokenizer().convert_tokens_to_ids
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
        model.transformer.wte.weight.copy_(torch.eye(V))
        model.transformer.ln_f.weight.fill_(1.0)
        letters = "abcdefghijklmnopqrstuvwxyz"
        for letter, after in zip(letters, letters[1:] + "a", strict=True):
            says = 0 if letter == "e" else ids(after)
            model.lm_head.weight[says, ids(letter)] = 1.0
    return model


def saved(folder: Path) -> str:
    """The folder with the model and its tokenizer."""
    chain().save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)
