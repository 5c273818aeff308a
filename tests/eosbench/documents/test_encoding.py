"""Prompts and responses as ids: with a chat template, without, and where there is no tokenizer."""

from __future__ import annotations

import pytest

from eosbench.documents.encoding import (
    decode_prompt,
    encode_prompt,
    encode_response,
    has_chat_template,
)
from eosbench.errors import ConfigurationError
from tests.fakes import BOS, FIRST_BYTE, SEP, ByteTokenizer
from tests.golden_files import load_golden


def test_by_hand() -> None:
    hi = [FIRST_BYTE + ord("h"), FIRST_BYTE + ord("i")]
    tokenizer = ByteTokenizer()
    assert has_chat_template(tokenizer)
    assert encode_prompt(tokenizer, "hi", chat=True) == [BOS, *hi, SEP]
    assert encode_prompt(tokenizer, "hi", chat=False) == [BOS, *hi]
    assert encode_response(tokenizer, "hi") == hi
    assert decode_prompt(tokenizer, [BOS, *hi, SEP]) == "hi"


def test_a_real_tokenizer() -> None:
    tokenizer = load_golden("llada-trained").backbone.tokenizer
    response = encode_response(tokenizer, "12 + 3 = 15")
    assert tokenizer.decode(response) == "12 + 3 = 15"
    assert not set(response) & set(tokenizer.all_special_ids)
    if not has_chat_template(tokenizer):
        with pytest.raises(ConfigurationError, match="no chat template"):
            encode_prompt(tokenizer, "hi", chat=True)


def test_no_tokenizer() -> None:
    with pytest.raises(ConfigurationError, match="no tokenizer"):
        encode_response(None, "hi")
