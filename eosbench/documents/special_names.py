"""Text that may hold the name of a special token ("The tag <mask> hides a word.").

A tokenizer reads the token wherever it meets the name. The text of a data set is text: there the
name is read letter by letter. Where a chat template wrote the name, it is the token.
"""

from __future__ import annotations

import json
import re
import weakref
from collections.abc import Callable, Collection, Sequence
from typing import Any

# Names of the token that begins a text, for tokenizers that declare none.
BEGIN_TOKENS = ("<bos>", "<s>", "<|startoftext|>", "<|begin_of_text|>", "<|beginoftext|>", "[CLS]")

Turns = Sequence[dict[str, str]]
Places = frozenset[int]

# Private characters, which stand for special tokens, and which mark the names among the contents.
_FIRST_ALIAS = 0xF1000
_MARK, _END_MARK = "\U000f0ff0", "\U000f0ff1"
_ROLES = ("mask_token", "eos_token", "bos_token", "sep_token", "cls_token", "pad_token")


def encode_text(
    tokenizer: Any, text: str, *, add_special_tokens: bool, places: Collection[int] = ()
) -> list[int]:
    """The token ids of a text.

    Args:
        tokenizer: a transformers tokenizer.
        text: the text.
        add_special_tokens: whether those are added that the tokenizer puts around a text.
        places: of the names in the text that are tokens; all others are text.
    """
    names = _names_of(tokenizer)
    if all(start in places for start, _ in names.found(text)):
        return list(tokenizer(text, add_special_tokens=add_special_tokens)["input_ids"])
    return names.encode(text, add_special_tokens, places)


def places_of_names(tokenizer: Any, text: str) -> Places:
    """The places of all names of special tokens in a text, but for those of the mask token.

    No template writes the mask token, and no prompt may hold it.
    """
    mask = getattr(tokenizer, "mask_token", None)
    return frozenset(start for start, name in _names_of(tokenizer).found(text) if name != mask)


def places_of_template(
    tokenizer: Any, turns: Turns, text: str, render: Callable[[Turns], str]
) -> Places:
    """The places of the special tokens that a chat template wrote, and that no turn says.

    Args:
        tokenizer: of the template.
        turns: of the chat.
        text: the chat as the template writes it.
        render: writes other turns with the same template.
    """
    names = _names_of(tokenizer)
    if not any(names.found(turn["content"]) for turn in turns):
        return places_of_names(tokenizer, text)
    marked = render([{**turn, "content": names.marked(turn["content"])} for turn in turns])
    if (
        marked.replace(_MARK, "").replace(_END_MARK, "") != text
    ):  # the template cuts or changes what the turns say
        return places_of_names(tokenizer, text)
    found, marks = [], 0
    for match in re.finditer(f"{_MARK}|{_END_MARK}|{names.pattern.pattern}", marked):
        if match.group() in (_MARK, _END_MARK):
            marks += 1
        elif not marked.startswith(_END_MARK, match.end()):
            found.append(match.start() - marks)
    return frozenset(found) & places_of_names(tokenizer, text)


def begins_as_template(tokenizer: Any, text: str) -> bool:
    """Whether a text begins with a BOS token, or with a token that the chat template names.

    Texts of data sets hardly do, and prompts that a template wrote do.
    """
    first = next((name for start, name in _names_of(tokenizer).found(text) if start == 0), None)
    if first is None or first == getattr(tokenizer, "mask_token", None):
        return False
    bos = getattr(tokenizer, "bos_token", None)
    if first == bos or (bos is None and first in BEGIN_TOKENS):
        return True
    template = str(getattr(tokenizer, "chat_template", None) or "")
    roles = [role for role in _ROLES if getattr(tokenizer, role, None) == first]
    return first in template or any(role in template for role in roles)


class _Names:
    """The names of one tokenizer's special tokens.

    Args:
        tokenizer: a transformers tokenizer.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = weakref.proxy(tokenizer)
        self.backend: Any = getattr(tokenizer, "backend_tokenizer", None)
        added = getattr(tokenizer, "added_tokens_decoder", None)
        roles = {getattr(tokenizer, role, None) for role in _ROLES} - {None}
        if added is None:
            self.added: dict[str, Any] = dict.fromkeys(map(str, roles))
        else:
            self.added = {
                str(token): (index, token)
                for index, token in added.items()
                if getattr(token, "special", True) or str(token) in roles
            }
        longest_first = sorted(self.added, key=len, reverse=True)
        self.pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        self._as_text: Any = None

    def found(self, text: str) -> list[tuple[int, str]]:
        """(place, name) of every name in a text."""
        return [(match.start(), match.group()) for match in self.pattern.finditer(text)]

    def marked(self, text: str) -> str:
        """A text with a private character before every name, and another one behind it."""
        return self.pattern.sub(f"{_MARK}\\g<0>{_END_MARK}", text)

    def encode(self, text: str, add_special_tokens: bool, places: Collection[int]) -> list[int]:
        """The token ids of a text, in which the names at these places are tokens."""
        if self.backend is None:
            return self._encode_in_pieces(text, add_special_tokens, places)
        aliases = {name: chr(_FIRST_ALIAS + at) for at, name in enumerate(self.added)}
        parts, end = [], 0
        for start, name in self.found(text):
            if start in places:
                parts += [text[end:start], aliases[name]]
                end = start + len(name)
        encoder = self._encoder_of_text(aliases)
        encoding = encoder.encode(
            "".join([*parts, text[end:]]), None, add_special_tokens=add_special_tokens
        )
        ids = {encoder.token_to_id(aliases[name]): self.added[name][0] for name in self.added}
        return [ids.get(token, token) for token in encoding.ids]

    def _encoder_of_text(self, aliases: dict[str, str]) -> Any:
        """The tokenizer with its special tokens under private names, and their own as text."""
        if self._as_text is None:
            from tokenizers import AddedToken, Tokenizer

            state = json.loads(self.backend.to_str())
            state |= {"truncation": None, "padding": None}
            for token in state["added_tokens"]:
                token["special"] = token["special"] or token["content"] in self.added
            encoder = Tokenizer.from_str(json.dumps(state))
            encoder.encode_special_tokens = True
            for name, alias in aliases.items():
                token = self.added[name][1]
                encoder.add_tokens(
                    [
                        AddedToken(
                            alias,
                            lstrip=token.lstrip,
                            rstrip=token.rstrip,
                            normalized=False,
                            special=False,
                        )
                    ]
                )
            self._as_text = encoder
        return self._as_text

    def _encode_in_pieces(
        self, text: str, add_special_tokens: bool, places: Collection[int]
    ) -> list[int]:
        """The same for a tokenizer in Python: a name that is text is cut after its first letter."""
        pieces, end = [], 0
        for start, _ in self.found(text):
            if start not in places:
                pieces.append(text[end : start + 1])
                end = start + 1
        ids = self._plain(pieces[0], add_special_tokens)
        for piece in [*pieces[1:], text[end:]]:
            ids += self._plain(piece, False)
        return ids

    def _plain(self, text: str, add_special_tokens: bool) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=add_special_tokens)["input_ids"])


_KNOWN: weakref.WeakKeyDictionary[Any, _Names] = weakref.WeakKeyDictionary()


def _names_of(tokenizer: Any) -> _Names:
    if tokenizer not in _KNOWN:
        _KNOWN[tokenizer] = _Names(tokenizer)
    return _KNOWN[tokenizer]
