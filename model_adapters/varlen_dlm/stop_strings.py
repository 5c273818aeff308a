"""Where a request's stop strings end a text, and from when on nothing that is still to come can
move that end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from eosbench.documents import decode_prompt


def text_before_stop(tokenizer: Any, tokens: Sequence[int], until: Sequence[str]) -> str:
    """The text before the first stop string; special tokens do not survive decoding and are looked
    for before it.
    """
    return cut_at_stop(
        decode_prompt(tokenizer, tokens[: _special(tokenizer, tokens, until)]), until
    )


def holds_stop(tokenizer: Any, until: Sequence[str], tokens: Sequence[int]) -> bool:
    """Whether a stop string stands in these tokens."""
    if _special(tokenizer, tokens, until) is not None:
        return True
    text = decode_prompt(tokenizer, tokens)
    return cut_at_stop(text, until) != text


def fixes_stop(tokenizer: Any, until: Sequence[str], tokens: Sequence[int]) -> bool:
    """Whether `text_before_stop` is the same for these tokens and for every sequence that begins
    with them.

    A special token that is a stop string is enough. Elsewhere more must stand behind the stop
    string: whatever a longer one that begins before it may need; a letter or digit, which ends a
    run of single bytes that decode together; and four characters more, beyond which decoders do
    not look back (the longest that they join to what precedes it is " n't").
    """
    if _special(tokenizer, tokens, until) is not None:
        return True
    text = decode_prompt(tokenizer, tokens)
    end = len(cut_at_stop(text, until))
    longest = max(map(len, until), default=0)
    return (
        end < len(text)
        and re.search(r"[0-9A-Za-z].{4}", text[end + longest :], re.DOTALL) is not None
    )


def cut_at_stop(text: str, until: Sequence[str]) -> str:
    """The text before the stop string that comes first.

    >>> cut_at_stop("42. Q: next", ["Q:", "."])
    '42'
    """
    return text[: min((text.index(stop) for stop in until if stop in text), default=len(text))]


def _special(tokenizer: Any, tokens: Sequence[int], until: Sequence[str]) -> int | None:
    """Index of the first special token that is a stop string."""
    special = getattr(tokenizer, "added_tokens_decoder", {})
    stops = {index for index, token in special.items() if str(token) in until}
    return next((at for at, token in enumerate(tokens) if token in stops), None)
