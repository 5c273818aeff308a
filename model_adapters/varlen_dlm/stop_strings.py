"""The end that stop strings put to a text.

Here is also the rule that says from when on nothing that is still to come can move that end.

Arguments of all functions: `tokenizer`, of the backbone; `tokens`, ids of a response; `until`, the
stop strings of the request.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from eosbench.documents import decode_prompt


def text_before_stop(tokenizer: Any, tokens: Sequence[int], until: Sequence[str]) -> str:
    """The text before the first stop string.

    Decoding drops special tokens, so those that are stop strings are looked for before it.
    """
    before_special = tokens[: _special(tokenizer, tokens, until)]
    return cut_at_stop(decode_prompt(tokenizer, before_special), until)


def holds_stop(tokenizer: Any, until: Sequence[str], tokens: Sequence[int]) -> bool:
    """Whether a stop string stands in these tokens."""
    if _special(tokenizer, tokens, until) is not None:
        return True
    text = decode_prompt(tokenizer, tokens)
    return cut_at_stop(text, until) != text


def fixes_stop(tokenizer: Any, until: Sequence[str], tokens: Sequence[int]) -> bool:
    """Whether no token behind these can change `text_before_stop`.

    A special token that is a stop string is enough. After any other stop string, more text must
    stand: as much as a longer stop string that begins before it may need; then a letter or a digit,
    which ends a run of single bytes that decode together; and four characters more, because
    decoders look back no further (the longest string that they join to the text before it is
    " n't").
    """
    if _special(tokenizer, tokens, until) is not None:
        return True
    text = decode_prompt(tokenizer, tokens)
    end = len(cut_at_stop(text, until))
    longest = max(map(len, until), default=0)
    behind = text[end + longest :]
    return end < len(text) and re.search(r"[0-9A-Za-z].{4}", behind, re.DOTALL) is not None


def cut_at_stop(text: str, until: Sequence[str]) -> str:
    """The text before the stop string that comes first.

    >>> cut_at_stop("42. Q: next", ["Q:", "."])
    '42'
    """
    ends = [text.index(stop) for stop in until if stop in text]
    return text[: min(ends, default=len(text))]


def _special(tokenizer: Any, tokens: Sequence[int], until: Sequence[str]) -> int | None:
    """The index of the first special token that is a stop string, None where there is none."""
    special = getattr(tokenizer, "added_tokens_decoder", {})
    stops = {index for index, token in special.items() if str(token) in until}
    return next((at for at, token in enumerate(tokens) if token in stops), None)
