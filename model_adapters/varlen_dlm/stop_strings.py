"""The text of a response: what its stop strings leave of it, and its reasoning, which is left out.

Here is also the rule that says from when on nothing that is still to come can move the end that
stop strings put to a text.

Arguments of all functions: `tokenizer`, of the backbone; `tokens`, ids of a response; `until`, the
stop strings of the request; `before`, ids of the prompt; `think_end`, the text or the id of the
token that ends the reasoning, None where a response has none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from eosbench.documents import decode_answer


def text_before_stop(
    tokenizer: Any,
    tokens: Sequence[int],
    until: Sequence[str],
    *,
    before: Sequence[int] = (),
    think_end: int | str | None = None,
) -> str:
    """The text behind the reasoning and before the first stop string.

    Decoding drops special tokens, so those that are stop strings are looked for before it. As for
    lm-eval's `hf`, an answer behind a reasoning begins without blanks.
    """
    answer, _ = _behind_reasoning(tokenizer, tokens, think_end)
    before_special = answer[: _special(tokenizer, answer, until)]
    text = decode_answer(tokenizer, before_special, before)
    if isinstance(think_end, str):
        text = text.rpartition(think_end)[2]
    return cut_at_stop(text if think_end is None else text.lstrip(), until)


def holds_stop(
    tokenizer: Any,
    until: Sequence[str],
    tokens: Sequence[int],
    *,
    before: Sequence[int] = (),
    think_end: int | str | None = None,
) -> bool:
    """Whether a stop string stands in these tokens, behind the reasoning."""
    answer, ended = _behind_reasoning(tokenizer, tokens, think_end)
    text = decode_answer(tokenizer, answer, before)
    if isinstance(think_end, str) and not ended:
        _, end, text = text.rpartition(think_end)
        ended = bool(end)
    if not ended:
        return False
    return _special(tokenizer, answer, until) is not None or cut_at_stop(text, until) != text


def fixes_stop(
    tokenizer: Any,
    until: Sequence[str],
    tokens: Sequence[int],
    *,
    before: Sequence[int] = (),
    think_end: int | str | None = None,
) -> bool:
    """Whether no token behind these can change `text_before_stop`.

    A special token that is a stop string is enough. After any other stop string, more text must
    stand: as much as a longer stop string that begins before it may need; then a letter or a digit,
    which ends a run of single bytes that decode together; and four characters more, because
    decoders look back no further (the longest string that they join to the text before it is
    " n't"). Behind a reasoning there is no such moment: it may go on.
    """
    if think_end is not None:
        return False
    if _special(tokenizer, tokens, until) is not None:
        return True
    text = decode_answer(tokenizer, tokens, before)
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


def _behind_reasoning(
    tokenizer: Any, tokens: Sequence[int], think_end: int | str | None
) -> tuple[Sequence[int], bool]:
    """The tokens behind the last token that ends a reasoning, and whether the answer has begun.

    A text that is no token is left to whoever decodes the tokens.
    """
    if think_end is None:
        return tokens, True
    end = think_end
    if isinstance(think_end, str):
        added = getattr(tokenizer, "added_tokens_decoder", {})
        end = next((index for index, token in added.items() if str(token) == think_end), think_end)
    places = [at for at, token in enumerate(tokens) if token == end]
    return (tokens[places[-1] + 1 :], True) if places else (tokens, False)


def _special(tokenizer: Any, tokens: Sequence[int], until: Sequence[str]) -> int | None:
    """The index of the first special token that is a stop string, None where there is none."""
    special = getattr(tokenizer, "added_tokens_decoder", {})
    stops = {index for index, token in special.items() if str(token) in until}
    return next((at for at, token in enumerate(tokens) if token in stops), None)
