"""Names of special tokens in a text, under tokenizers that mark words in several ways."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from eosbench.documents import encode_prompt, encode_response, encode_text
from tests.fakes import BOS, FIRST_BYTE, SEP, ByteTokenizer

SPECIAL = ("<unk>", "<s>", "</s>", "<mask>")
TEMPLATE = "{{ bos_token }}{% for turn in messages %}{{ turn['content'] }}</s>{% endfor %}"


def sentencepiece_like(prepend_scheme: str, *, special: bool = True) -> Any:
    """A tokenizer whose tokens carry the blank before a word, as SentencePiece's do."""
    vocabulary = {name: index for index, name in enumerate((*SPECIAL, "▁"))}
    for letter in "abcdefghijklmnopqrstuvwxyz<>/:().":
        vocabulary[letter] = len(vocabulary)
    merges = [("▁", "▁"), ("▁▁", "▁▁"), ("f", "o"), ("fo", "r"), ("▁", "for")]
    for left, right in merges:
        vocabulary.setdefault(left + right, len(vocabulary))
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend_scheme, split=False)
    backend.decoder = decoders.Metaspace(prepend_scheme=prepend_scheme)
    backend.add_special_tokens([AddedToken(name, normalized=False) for name in SPECIAL[:3]])
    backend.add_tokens([AddedToken("<mask>", normalized=False, special=special)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
        chat_template=TEMPLATE,
    )


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
