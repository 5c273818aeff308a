"""How a document becomes token ids: the one place that fitting and the lm-eval adapter share, so
that they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eosbench.errors import ConfigurationError


def has_chat_template(tokenizer: Any) -> bool:
    return bool(getattr(tokenizer, "chat_template", None))


def encode_prompt(tokenizer: Any, text: str, chat: bool) -> list[int]:
    """Ids of a prompt: as one user turn of the chat template, or as plain text with the tokenizer's
    special tokens.

    Raises:
        ConfigurationError: chat without a chat template, or no tokenizer.
    """
    _known(tokenizer)
    if not chat:
        return list(tokenizer(text, add_special_tokens=True)["input_ids"])
    if not has_chat_template(tokenizer):
        raise ConfigurationError(
            "the tokenizer has no chat template: encode the prompt as plain text (chat=False)"
        )
    message = [{"role": "user", "content": text}]
    return list(
        tokenizer.apply_chat_template(
            message, add_generation_prompt=True, tokenize=True, return_dict=False
        )
    )


def decode_prompt(tokenizer: Any, ids: Sequence[int]) -> str:
    """The text of a prompt's ids without special tokens: what text encoders read, in fitting and in
    evaluation alike.
    """
    _known(tokenizer)
    return str(tokenizer.decode(list(ids), skip_special_tokens=True))


def encode_response(tokenizer: Any, text: str) -> list[int]:
    """Ids of a response without special tokens; their number is the reference length L."""
    _known(tokenizer)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _known(tokenizer: Any) -> None:
    if tokenizer is None:
        raise ConfigurationError("this checkpoint has no tokenizer: text cannot be encoded")
