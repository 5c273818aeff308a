"""Documents as token ids: nothing is parsed out of text, nothing is lost in silence."""

from __future__ import annotations

import json
import logging
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from eosbench.documents import encode_prompt, for_calibration, instruct_stream
from eosbench.errors import ConfigurationError
from eosbench.training.layout import Document
from eosbench.training.texts import (
    Source,
    documents_digest,
    encode_prompts,
    hold_out,
    read_documents,
)


def written(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_special_tokens_in_a_text_are_words(tokenizer: Any, tmp_path: Path) -> None:
    name = written(tmp_path / "a.jsonl", {"prompt": "a <sep> b", "response": "c <eos><mask> d"})
    (document,), _, _ = read_documents([Source(name)], tokenizer, room=99, canvas=99)
    special = set(tokenizer.all_special_ids)
    assert not special & set(document.response)
    assert document.prompt[0] == tokenizer.bos_token_id
    assert document.prompt[-1] == tokenizer.sep_token_id
    assert not special & set(document.prompt[1:-1])
    assert tokenizer.decode(document.response) == "c <eos><mask> d"


def test_special_tokens_in_a_chat_turn_are_words(tokenizer: Any) -> None:
    plain, spelled = encode_prompts(tokenizer, ["say hi", "say <eos>"], chat=True)
    assert plain == encode_prompt(tokenizer, "say hi", True)
    assert tokenizer.eos_token_id not in spelled
    assert (spelled[0], spelled[-1]) == (tokenizer.bos_token_id, tokenizer.sep_token_id)
    assert tokenizer.decode(spelled[1:-1]) == "say <eos>"


def test_what_is_too_long_is_cut_and_counted(
    tokenizer: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name = written(
        tmp_path / "a.jsonl",
        {"prompt": "one two three four five six", "response": "yes"},
        {"prompt": "q", "response": "1 2 3 4 5 6 7 8 9"},
        {"prompt": "q", "response": ""},
    )
    with caplog.at_level(logging.WARNING):
        documents, prompts, counts = read_documents([Source(name)], tokenizer, room=4, canvas=5)
    assert (counts.documents, counts.prompts_cut, counts.answers_cut, counts.empty) == (3, 1, 1, 1)
    assert "1 prompts cut" in caplog.text and "1 answers cut" in caplog.text
    assert "left out whose answer is empty" in caplog.text
    assert [len(one.prompt) for one in documents] == [4, 3]
    assert documents[0].prompt[-1] == tokenizer.sep_token_id  # the beginning is lost
    assert [(one.length, one.ends) for one in documents] == [
        (documents[0].length, True),
        (5, False),
    ]
    assert len(prompts) == 2


def test_rows_are_the_documents_of_the_train_split(tokenizer: Any) -> None:
    source = Source("instruct:train")
    found, _, counts = read_documents([source], tokenizer, room=500, canvas=256, limit=20)
    for row, document in zip(found, islice(instruct_stream("train"), 20), strict=True):
        assert row.family == document.family
        assert list(row.prompt) == tokenizer(document.prompt)["input_ids"]
        assert (
            list(row.response)
            == tokenizer(document.response, add_special_tokens=False)["input_ids"]
        )
    assert sum(counts.families.values()) == 20


def test_several_sources_with_templates_of_their_own(tokenizer: Any, tmp_path: Path) -> None:
    one = written(tmp_path / "one.jsonl", {"question": "2 + 2?", "answer": "4"})
    two = written(tmp_path / "two.jsonl", {"ask": "hi", "instances": [{"output": "ho"}]})
    sources = [
        Source(one, "Question: {question}\nAnswer:", "answer"),
        Source(two, "ask", "{instances[0][output]}"),
    ]
    documents, prompts, counts = read_documents(sources, tokenizer, room=99, canvas=9)
    assert prompts == ["Question: 2 + 2?\nAnswer:", "hi"]
    assert tokenizer.decode(documents[1].response) == "ho"
    assert counts.families == {one: 1, two: 1}


def test_nothing_to_train_on(tokenizer: Any, tmp_path: Path) -> None:
    name = written(tmp_path / "a.jsonl")
    with pytest.raises(ConfigurationError, match="holds no documents"):
        read_documents([Source(name)], tokenizer, room=9, canvas=9)


def test_no_prompt_is_trained_on_and_held_out(tokenizer: Any) -> None:
    source = Source("instruct:train")
    documents, prompts, _ = read_documents([source], tokenizer, room=500, canvas=256, limit=400)
    train, held_out = hold_out([*documents, *documents], [*prompts, *prompts], 0.2, 60)
    assert len(held_out) == 60
    assert not {tuple(one.prompt) for one in train} & {tuple(one.prompt) for one in held_out}
    again, _ = hold_out(documents, prompts, 0.2, 60)
    assert documents_digest(again) != documents_digest(train)
    assert documents_digest(again) == documents_digest(hold_out(documents, prompts, 0.2, 9)[0])


def test_of_rows_that_calibration_has_left_the_same_share_is_held_out() -> None:
    prompts = [f"Question {number}" for number in range(2_000)]
    left = [prompt for prompt in prompts if not for_calibration(prompt)]
    documents = [Document([1], [2])] * len(left)
    _, held_out = hold_out(documents, left, 0.05, len(left))
    assert 0.03 * len(left) < len(held_out) < 0.07 * len(left)
