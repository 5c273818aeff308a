"""From a document's text to token ids.

Fitting and the lm-eval adapter share this one place, so that they cannot disagree. The text of a
document is text: the names of special tokens in it are no tokens (special_names.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eosbench.documents.special_names import Turns, encode_text, places_of_template
from eosbench.errors import ConfigurationError

LOOKED_BACK = 8  # tokens of a prompt that an answer is decoded with


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


def decode_answer(tokenizer: Any, ids: Sequence[int], before: Sequence[int]) -> str:
    """The text of an answer, with all the blanks that it begins with.

    A tokenizer that marks the blank before a word (SentencePiece) leaves it out where a text
    begins. An answer does not begin a text: it stands behind its prompt.

    Args:
        tokenizer: a transformers tokenizer.
        ids: of the answer.
        before: ids that the answer stands behind.

    Raises:
        ConfigurationError: there is no tokenizer.
    """
    alone = decode_prompt(tokenizer, ids)
    context = _last_words(tokenizer, before)
    said = decode_prompt(tokenizer, [*context, *ids])
    prefix = decode_prompt(tokenizer, context)
    behind = said.removeprefix(prefix)
    if not said.startswith(prefix) or behind == alone or behind.lstrip(" ") != alone.lstrip(" "):
        return alone
    return " " * _own_blanks(tokenizer, ids, before, behind) + behind.lstrip(" ")


def _last_words(tokenizer: Any, ids: Sequence[int]) -> Sequence[int]:
    """The end of a prompt, or all of it where the end has no text."""
    end = ids[-LOOKED_BACK:]
    return end if decode_prompt(tokenizer, end) else ids


def _own_blanks(tokenizer: Any, ids: Sequence[int], before: Sequence[int], text: str) -> int:
    """The number of blanks before an answer that are its own.

    None are where tokens carry no blanks and the decoder joins words with them (WordPiece). Behind
    a special token, some tokenizers put one blank themselves, which is not the answer's.

    Args:
        tokenizer: a transformers tokenizer.
        ids: of the answer.
        before: ids that the answer stands behind.
        text: of the answer, as it is decoded behind them.
    """
    blanks = len(text) - len(text.lstrip(" "))
    added = tokenizer.added_tokens_decoder.items()
    special = {*tokenizer.all_special_ids, *(index for index, token in added if token.special)}
    first = next(token for token in ids if token not in special)
    if tokenizer.convert_ids_to_tokens(first)[:1] == decode_prompt(tokenizer, [first])[:1]:
        return 0
    if not blanks or before[-1] not in special:
        return blanks
    fewer = f"{tokenizer.convert_ids_to_tokens(before[-1])}{' ' * (blanks - 1)}a"
    probe = tokenizer(fewer, add_special_tokens=False)["input_ids"]
    marks = "".join(tokenizer.convert_ids_to_tokens(probe[1:])).index("a")
    return blanks - 1 if marks == blanks else blanks


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
