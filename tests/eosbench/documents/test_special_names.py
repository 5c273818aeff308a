"""Names of special tokens in a text, under tokenizers that mark words in several ways."""

from __future__ import annotations

from typing import Any

import pytest

from eosbench.documents import encode_prompt, encode_response, encode_text
from tests.fakes import BOS, FIRST_BYTE, SEP, ByteTokenizer
from tests.word_tokenizers import sentencepiece_like


def pieces(tokenizer: Any, ids: list[int]) -> str:
    return " ".join(tokenizer.convert_ids_to_tokens(ids))


@pytest.mark.parametrize("scheme", ["first", "always"])
@pytest.mark.parametrize("special", [True, False])
def test_a_name_is_read_letter_by_letter(scheme: str, special: bool) -> None:
    tokenizer = sentencepiece_like(scheme, special=special)
    ids = encode_response(tokenizer, "for <mask> x")
    assert pieces(tokenizer, ids) == "▁for ▁ < m a s k > ▁ x"
    assert encode_response(tokenizer, "for x") == tokenizer("for x").input_ids


@pytest.mark.parametrize(("scheme", "first"), [("first", "for"), ("always", "▁for")])
def test_a_chat_is_read_as_the_tokenizer_reads_it(scheme: str, first: str) -> None:
    tokenizer = sentencepiece_like(scheme)
    ids = encode_prompt(tokenizer, "for <mask> x</s>y", chat=True)
    assert pieces(tokenizer, ids) == f"<s> {first} ▁ < m a s k > ▁ x < / s > y </s>"
    plain = encode_prompt(tokenizer, "for x", chat=True)
    assert pieces(tokenizer, plain) == f"<s> {first} ▁ x </s>"


def test_places_say_which_names_are_tokens() -> None:
    tokenizer = sentencepiece_like("first")
    ids = encode_text(tokenizer, "a</s></s>", add_special_tokens=False, places=[1])
    assert pieces(tokenizer, ids) == "▁ a </s> < / s >"


def test_a_template_that_changes_what_turns_say() -> None:
    """Its tokens cannot be told apart then: all but the mask token are tokens."""
    tokenizer = sentencepiece_like("first")
    tokenizer.chat_template = "<s>{{ messages[0]['content'][:10] }}</s>"
    ids = encode_prompt(tokenizer, "a</s><mask>", chat=True)
    assert pieces(tokenizer, ids) == "<s> a </s> < m a s k </s>"


def test_a_tokenizer_in_python() -> None:
    tokenizer = ByteTokenizer()
    text = [FIRST_BYTE + byte for byte in b"<mask>a<eos>"]
    assert encode_response(tokenizer, "<mask>a<eos>") == text
    assert encode_prompt(tokenizer, "<mask>a<eos>", chat=True) == [BOS, *text, SEP]
