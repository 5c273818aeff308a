"""The ids that decoding needs, from a checkpoint's configs, its tokenizer, and the user.

No id is a constant: the mask is the one that the user says, else that of config.json or of the
tokenizer, as the padding is, and every id that one of them calls an end of text is one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eosbench.errors import CheckpointError, ConfigurationError

logger = logging.getLogger(__name__)

# Names of special tokens, for tokenizers that declare no mask or end token. The unmistakable ones
# count as words of the vocabulary, too.
_UNMISTAKABLE = ("<|mdm_mask|>", "<|mask|>", "<|MASK|>", "|<MASK>|", "<[MASK]>")
_MASK_TOKENS = (*_UNMISTAKABLE, "<mask>", "[MASK]")
_END_TOKENS = ("<|endoftext|>", "<|eot_id|>", "<|im_end|>", "<eos>", "</s>")


@dataclass(frozen=True)
class TokenIds:
    """The ids of the mask (-1: there is none), of every end of a text, and of padding.

    `declared_eos` is the end that config.json calls the EOS, else the tokenizer; the first of
    several; None where neither says one.
    """

    mask_id: int
    eos_ids: frozenset[int]
    pad_id: int
    declared_eos: int | None = None


@dataclass(frozen=True)
class MaskToken:
    """The mask token as the user says it, by name or by id."""

    name: str | None = None
    id: int | None = None

    def resolved(self, tokenizer: Any, checkpoint: str) -> int | None:
        """Its id, or None where the user says nothing.

        Args:
            tokenizer: the checkpoint's, or None.
            checkpoint: its name, for messages.

        Raises:
            ConfigurationError: the tokenizer has no such name, or name and id disagree.
        """
        if self.name is None:
            return self.id
        vocabulary = {} if tokenizer is None else tokenizer.get_vocab()
        if self.name not in vocabulary:
            like = sorted(token for token in vocabulary if "mask" in token.lower())[:8]
            raise ConfigurationError(
                f"mask_token={self.name!r}: the tokenizer of {checkpoint} has no such token "
                f"(of like name: {', '.join(like) or 'none'}); give its id as mask_token_id="
            )
        found = int(vocabulary[self.name])
        if self.id not in (None, found):
            raise ConfigurationError(
                f"mask_token={self.name!r} is id {found} in the tokenizer of {checkpoint}, and "
                f"mask_token_id={self.id} says another: give one of them"
            )
        return found


def find_token_ids(
    name: str,
    config: Mapping[str, Any],
    tokenizer: Any,
    *,
    vocab_size: int,
    generation: Mapping[str, Any] | None = None,
    asked_mask: MaskToken | None = None,
    masked: bool = True,
) -> TokenIds:
    """The token ids of a checkpoint.

    Args:
        name: of the checkpoint, for messages.
        config: its config.json.
        tokenizer: its tokenizer, or None.
        vocab_size: V; every id has to lie below it.
        generation: its generation_config.json.
        asked_mask: the mask token as the user says it.
        masked: whether the family has a mask token; where it has none, its id is -1.

    Raises:
        CheckpointError: there is no mask token, no end token, or an id outside the vocabulary.
        ConfigurationError: the user names a mask token that is not there.
    """
    asked = (asked_mask or MaskToken()).resolved(tokenizer, name)
    mask_id = _mask_id(name, config, tokenizer) if asked is None and masked else asked
    if not masked and asked is not None:
        raise ConfigurationError(
            f"{name} has no mask token, and needs none: leave out mask_token and mask_token_id"
        )
    eos_ids = _eos_ids(name, config, generation or {}, tokenizer)
    pad_id: int = _first(
        config.get("pad_token_id"), getattr(tokenizer, "pad_token_id", None), min(eos_ids)
    )
    roles = [("padding", pad_id), *(("end", token) for token in eos_ids)]
    if mask_id is not None:
        roles.insert(0, ("mask", mask_id))
    for role, token in roles:
        if not 0 <= token < vocab_size:
            raise CheckpointError(
                f"{name}: {role} token id {token} lies outside the vocabulary of {vocab_size}"
            )
    return TokenIds(
        -1 if mask_id is None else mask_id, eos_ids, pad_id, _declared_eos(config, tokenizer)
    )


def _mask_id(name: str, config: Mapping[str, Any], tokenizer: Any) -> int:
    vocabulary = {} if tokenizer is None else tokenizer.get_vocab()
    special = _special_tokens(tokenizer)
    declared = getattr(tokenizer, "mask_token_id", None)
    mask_id: int | None = _first(
        config.get("mask_token_id"),
        declared,
        *map(special.get, _MASK_TOKENS),
        *map(vocabulary.get, _UNMISTAKABLE),
    )
    if mask_id is None:
        raise CheckpointError(
            f"{name} has no mask token: expected mask_token_id in config.json or one of "
            f"{', '.join(_MASK_TOKENS)} in the tokenizer; mask_token=NAME or mask_token_id=ID says "
            "it. A model without one is no masked "
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


def _eos_ids(
    name: str, config: Mapping[str, Any], generation: Mapping[str, Any], tokenizer: Any
) -> frozenset[int]:
    special = _special_tokens(tokenizer)
    configured = _listed(config.get("eos_token_id"))
    # A generation config lists more ends than config.json, or was left over from another model.
    more = _listed(generation.get("eos_token_id"))
    ends = {
        *configured,
        *(more if not configured or configured & more else ()),
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


def _declared_eos(config: Mapping[str, Any], tokenizer: Any) -> int | None:
    configured = config.get("eos_token_id")
    first: int | None = _first(
        *(configured if isinstance(configured, list) else [configured]),
        getattr(tokenizer, "eos_token_id", None),
    )
    return first


def _listed(ids: Any) -> set[int]:
    return set(ids if isinstance(ids, list) else [ids]) - {None}


def _special_tokens(tokenizer: Any) -> dict[str, int]:
    added = getattr(tokenizer, "added_tokens_decoder", {})
    return {str(token): index for index, token in added.items() if token.special}


def _first(*values: int | None) -> Any:
    return next((value for value in values if value is not None), None)
