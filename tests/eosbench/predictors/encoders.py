"""Tiny text encoders with random weights, written as transformers writes published ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = (*SPECIAL, *(f"n{n}" for n in range(25)))
SIZE: dict[str, Any] = {
    "vocab_size": len(WORDS),
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
# Architecture -> its config, which holds 24 tokens.
CONFIGS: dict[str, dict[str, Any]] = {
    "Bert": {**SIZE, "max_position_embeddings": 24},
    "Roberta": {**SIZE, "max_position_embeddings": 25, "pad_token_id": 0},
    "ModernBert": {
        **SIZE,
        "max_position_embeddings": 24,
        "pad_token_id": 0,
        "bos_token_id": 2,
        "cls_token_id": 2,
        "eos_token_id": 3,
        "sep_token_id": 3,
        "global_attn_every_n_layers": 2,
        "local_attention": 8,
    },
    "DebertaV2": {
        **SIZE,
        "max_position_embeddings": 24,
        "relative_attention": True,
        "position_biased_input": False,
        "pos_att_type": ["c2p", "p2c"],
    },
    "DistilBert": {
        "vocab_size": len(WORDS),
        "dim": 16,
        "n_layers": 2,
        "n_heads": 2,
        "hidden_dim": 24,
        "max_position_embeddings": 24,
    },
    "MPNet": {**SIZE, "max_position_embeddings": 26, "pad_token_id": 1},
}
HOLDS = 24


def tokenizer(**limits: int) -> PreTrainedTokenizerFast:
    """A word tokenizer that puts [CLS] and [SEP] around a text."""
    inner = Tokenizer(
        models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        **limits,
    )


def save_encoder(
    folder: Path, architecture: str = "Bert", head: str = "Model", seed: int = 0, **limits: int
) -> Path:
    """A checkpoint folder.

    Args:
        architecture: a name of CONFIGS.
        head: the class is `architecture` and this: "Model" is the body, "ForMaskedLM" has a head.
        limits: keywords of the tokenizer.
    """
    config = getattr(transformers, f"{architecture}Config")(**CONFIGS[architecture])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = getattr(transformers, f"{architecture}{head}")(config)
    model.save_pretrained(folder)
    tokenizer(**limits).save_pretrained(folder)
    return folder
