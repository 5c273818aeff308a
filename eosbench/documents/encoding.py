"""From a document's text to token ids.

Fitting and the lm-eval adapter share this one place, so that they cannot disagree. The text of a
document is text: the names of special tokens in it are no tokens (special_names.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eosbench.documents.special_names import Turns, encode_text, places_of_template
from eosbench.errors import ConfigurationError


def has_chat_template(tokenizer: Any) -> bool:
    """Whether a tokenizer (None where there is none) can put a prompt into a chat's form."""
    return bool(getattr(tokenizer, "chat_template", None))


def encode_prompt(tokenizer: Any, text: str, chat: bool) -> list[int]:
    """Token ids of a prompt.

    Args:
        tokenizer: a transformers tokenizer.
        text: the prompt.
        chat: True for one user turn of the chat template, False for plain text with the tokenizer's
            special tokens.

    Raises:
        ConfigurationError: there is no tokenizer, or `chat` without a chat template.
    """
    _known(tokenizer)
    if not chat:
        return encode_text(tokenizer, text, add_special_tokens=True)
    if not has_chat_template(tokenizer):
        raise ConfigurationError(
            "the tokenizer has no chat template: encode the prompt as plain text (chat=False)"
        )
    turns = [{"role": "user", "content": text}]

    def render(turns: Turns) -> str:
        return str(
            tokenizer.apply_chat_template(list(turns), add_generation_prompt=True, tokenize=False)
        )

    chat_text = render(turns)
    places = places_of_template(tokenizer, turns, chat_text, render)
    return encode_text(tokenizer, chat_text, add_special_tokens=False, places=places)


def decode_prompt(tokenizer: Any, ids: Sequence[int]) -> str:
    """The text of a prompt's ids without special tokens.

    Text encoders get this text, in fitting and in evaluation alike.

    Raises:
        ConfigurationError: there is no tokenizer.
    """
    _known(tokenizer)
    return str(tokenizer.decode(list(ids), skip_special_tokens=True))


def encode_response(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a response without special tokens; their number is the reference length L.

    Raises:
        ConfigurationError: there is no tokenizer.
    """
    _known(tokenizer)
    return encode_text(tokenizer, text, add_special_tokens=False)


def _known(tokenizer: Any) -> None:
    if tokenizer is None:
        raise ConfigurationError("this checkpoint has no tokenizer: text cannot be encoded")
