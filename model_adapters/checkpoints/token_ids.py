"""The ids that decoding needs, from a checkpoint's config.json and its tokenizer.

No id is a constant: the mask and the padding are those of config.json, else of the tokenizer, and
every id that either of them calls an end of text is one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from eosbench.errors import CheckpointError

logger = logging.getLogger(__name__)

# Names of special tokens, for tokenizers that declare no mask or end token.
_MASK_TOKENS = ("<|mdm_mask|>", "<|mask|>", "<mask>", "[MASK]")
_END_TOKENS = ("<|endoftext|>", "<|eot_id|>", "<|im_end|>", "<eos>", "</s>")


@dataclass(frozen=True)
class TokenIds:
    """The ids of the mask, of every token that ends a text, and of padding."""

    mask_id: int
    eos_ids: frozenset[int]
    pad_id: int


def find_token_ids(
    name: str, config: dict[str, Any], tokenizer: Any, *, vocab_size: int
) -> TokenIds:
    """The token ids of a checkpoint.

    Args:
        name: of the checkpoint, for messages.
        config: its config.json.
        tokenizer: its tokenizer, or None.
        vocab_size: V; every id has to lie below it.

    Raises:
        CheckpointError: there is no mask token, no end token, or an id outside the vocabulary.
    """
    mask_id = _mask_id(name, config, tokenizer)
    eos_ids = _eos_ids(name, config, tokenizer)
    pad_id: int = _first(
        config.get("pad_token_id"), getattr(tokenizer, "pad_token_id", None), min(eos_ids)
    )
    roles = [("mask", mask_id), ("padding", pad_id), *(("end", token) for token in eos_ids)]
    for role, token in roles:
        if not 0 <= token < vocab_size:
            raise CheckpointError(
                f"{name}: {role} token id {token} lies outside the vocabulary of {vocab_size}"
            )
    return TokenIds(mask_id, eos_ids, pad_id)


def _mask_id(name: str, config: dict[str, Any], tokenizer: Any) -> int:
    special = _special_tokens(tokenizer)
    declared = getattr(tokenizer, "mask_token_id", None)
    mask_id: int | None = _first(
        config.get("mask_token_id"), declared, *map(special.get, _MASK_TOKENS)
    )
    if mask_id is None:
        raise CheckpointError(
            f"{name} has no mask token: expected mask_token_id in config.json or one of "
            f"{', '.join(_MASK_TOKENS)} in the tokenizer. A model without one is no masked "
            f"diffusion model (model_type={config.get('model_type')!r}): an autoregressive one "
            "runs under lm_eval --model hf"
        )
    if declared not in (None, mask_id):
        logger.warning(
            "%s: config.json says mask token %d, its tokenizer %d: %d is used",
            name,
            mask_id,
            declared,
            mask_id,
        )
    return mask_id


def _eos_ids(name: str, config: dict[str, Any], tokenizer: Any) -> frozenset[int]:
    special = _special_tokens(tokenizer)
    configured = config.get("eos_token_id")
    ends = {
        *(configured if isinstance(configured, list) else [configured]),
        getattr(tokenizer, "eos_token_id", None),
        *map(special.get, _END_TOKENS),
    }
    ends.discard(None)
    # BERT's texts end with [SEP].
    ends = ends or {getattr(tokenizer, "sep_token_id", None)} - {None}
    if not ends:
        raise CheckpointError(
            f"{name} has no end-of-sequence token: expected eos_token_id in config.json or in the "
            "tokenizer"
        )
    return frozenset(ends)


def _special_tokens(tokenizer: Any) -> dict[str, int]:
    added = getattr(tokenizer, "added_tokens_decoder", {})
    return {str(token): index for index, token in added.items() if token.special}


def _first(*values: int | None) -> Any:
    return next((value for value in values if value is not None), None)
