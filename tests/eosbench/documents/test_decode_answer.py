"""Answers as text: no blank of theirs is lost, and none is added."""

from __future__ import annotations

from typing import Any

import pytest

from eosbench.documents import decode_answer, decode_prompt
from tests.fakes import ByteTokenizer
from tests.golden_files import load_golden
from tests.word_tokenizers import sentencepiece_like, wordpiece_like

CODE = "    for i in y:"


def ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("scheme", ["first", "always"])
@pytest.mark.parametrize("answer", [CODE, " for x", "  x", "for", ""])
@pytest.mark.parametrize("prompt_text", ["def f(x):", "def f(x)</s>"])
def test_an_answer_keeps_the_blanks_of_its_tokens(
    scheme: str, answer: str, prompt_text: str
) -> None:
    tokenizer = sentencepiece_like(scheme)
    prompt = ids(tokenizer, prompt_text)
    both = ids(tokenizer, prompt_text + answer)
    assert both[: len(prompt)] == prompt
    found = decode_answer(tokenizer, both[len(prompt) :], prompt)
    # Behind a special token "for" and " for" have the same ids where every word gets a blank.
    one_blank_is_ambiguous = scheme == "always" and prompt_text.endswith("</s>")
    assert found == (
        answer.removeprefix(" ") if one_blank_is_ambiguous and answer == " for x" else answer
    )
    if answer == CODE:
        assert decode_prompt(tokenizer, both[len(prompt) :]) != CODE  # what it is by itself


def test_words_without_blanks_get_none() -> None:
    tokenizer = wordpiece_like()
    prompt = ids(tokenizer, "is it ?")
    assert decode_answer(tokenizer, ids(tokenizer, "yes"), prompt) == "yes"
    assert decode_answer(tokenizer, ids(tokenizer, "no nobody"), prompt) == "no nobody"


@pytest.mark.parametrize("text", [" 12", "\n  é", "x", ""])
def test_bytes_are_decoded_as_they_are(text: str) -> None:
    for tokenizer in (ByteTokenizer(), load_golden("llada-trained").backbone.tokenizer):
        prompt = ids(tokenizer, "Count to 3.<sep>")
        assert decode_answer(tokenizer, ids(tokenizer, text), prompt) == text
        assert decode_answer(tokenizer, ids(tokenizer, text), []) == text


def test_a_prompt_whose_end_has_no_text_is_looked_at_as_a_whole() -> None:
    tokenizer = sentencepiece_like("first")
    prompt = [*ids(tokenizer, "def"), *[tokenizer.eos_token_id] * 20]
    assert decode_answer(tokenizer, ids(tokenizer, CODE), prompt) == CODE
