"""Parts that a checkpoint may lack to be trained: a mask token, an end token, a head.

An encoder that was published without a head that predicts tokens (sentence-transformers) gets
one: BERT's, whose square layer starts as the identity and whose output rows are the embeddings.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from eosbench.errors import CheckpointError
from model_adapters.checkpoints import Checkpoint

HEADLESS = "BertModel"  # the architecture of encoders without a head that predicts tokens

__all__ = ["eos_id_of", "has_mask", "with_head"]

logger = logging.getLogger(__name__)


def has_mask(checkpoint: Checkpoint) -> bool:
    """Whether its config or its tokenizer names a mask token."""
    try:
        checkpoint.token_ids(2**31)
    except CheckpointError as error:
        if "mask token" in str(error):
            return False
        raise
    return True


def eos_id_of(checkpoint: Checkpoint) -> int:
    """The id that ends an answer: the config's first, else the tokenizer's, else the separator.

    Raises:
        CheckpointError: there is none.
    """
    said = checkpoint.config.get("eos_token_id")
    first = said[0] if isinstance(said, list) and said else said
    for found in (
        first,
        getattr(checkpoint.tokenizer, "eos_token_id", None),
        getattr(checkpoint.tokenizer, "sep_token_id", None),
    ):
        if isinstance(found, int):
            return found
    raise CheckpointError(
        f"{checkpoint.name} has no end-of-sequence token: expected eos_token_id in config.json or "
        "in the tokenizer"
    )


def with_head(checkpoint: Checkpoint, made: Path) -> tuple[Checkpoint, Callable[[str], str] | None]:
    """The checkpoint with a head that predicts tokens, and its names of the weights.

    The names are None where they are those that are written: a checkpoint that has its head stays
    as it is.

    Args:
        checkpoint: as it was opened.
        made: a folder for the new weights, needed until the checkpoint has been read.
    """
    files = checkpoint.weights.files
    bare = [name for name in files if name.startswith("embeddings.word_embeddings.")]
    if checkpoint.config.get("architectures") != [HEADLESS] or not bare:
        return checkpoint, None
    width = checkpoint.config["hidden_size"]
    head = {
        "cls.predictions.transform.dense.weight": torch.eye(width),
        "cls.predictions.transform.dense.bias": torch.zeros(width),
        "cls.predictions.transform.LayerNorm.weight": torch.ones(width),
        "cls.predictions.transform.LayerNorm.bias": torch.zeros(width),
        "cls.predictions.bias": torch.zeros(checkpoint.config["vocab_size"]),
    }
    save_file(head, made / "head.safetensors")
    logger.warning(
        "%s brings no head that predicts tokens: one is added, its square layer the identity, its "
        "output rows the embeddings",
        checkpoint.name,
    )
    encoder = {name: path for name, path in files.items() if not name.startswith("pooler.")}
    files = {**encoder, **dict.fromkeys(head, made / "head.safetensors")}
    config = {**checkpoint.config, "architectures": ["BertForMaskedLM"]}
    weights = replace(checkpoint.weights, files=files)
    return replace(checkpoint, config=config, weights=weights), _without_bert


def _without_bert(name: str) -> str:
    return name.removeprefix("bert.")
