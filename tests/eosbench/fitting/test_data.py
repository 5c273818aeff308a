"""Documents to fit on: what is read, and what is refused with the line it stands on."""

from __future__ import annotations

from pathlib import Path

import pytest

from eosbench.documents import DATA_SETS
from eosbench.errors import ConfigurationError
from eosbench.fitting.data import bound_task, load_examples
from eosbench.fitting.examples import (
    Example,
    apart,
    cut_prompts,
    data_digest,
    encode,
    split_calibration,
    within,
)
from tests.fakes import BOS, SEP, ByteTokenizer, ScriptedBackbone
from tests.golden_files import load_golden

BACKBONE = ScriptedBackbone(lambda ids_T: ids_T, tokenizer=ByteTokenizer())


def file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_document_becomes_ids() -> None:
    example = encode(BACKBONE, "ab", "cde")
    assert (example.prompt_ids[0], example.prompt_ids[-1], example.prompt_text, example.length) == (
        BOS,
        SEP,
        "ab",
        3,
    )
    assert encode(BACKBONE, "ab", "cde", chat=False).prompt_ids == example.prompt_ids[:-1]


def test_long_prompts_lose_their_beginning(caplog: pytest.LogCaptureFixture) -> None:
    room = 4
    long, short = (
        encode(BACKBONE, "abcdefgh", "x", chat=False),
        encode(BACKBONE, "ab", "x", chat=False),
    )
    cut, same = cut_prompts([long, short], BACKBONE, canvas=BACKBONE.spec.max_length - room)
    assert (cut.prompt_text, len(cut.prompt_ids), cut.response_ids) == (
        "efgh",
        room,
        long.response_ids,
    )
    assert same == short
    assert "1 of 2 prompts were longer than the 4 positions" in caplog.text


def test_files(tmp_path: Path) -> None:
    jsonl = file(
        tmp_path,
        "d.jsonl",
        '{"prompt": "a", "response": "bc", "id": 1}\n\n{"prompt": "d", "response": "e"}\n',
    )
    csv = file(tmp_path, "d.csv", 'response,prompt\nbc,a\n"e",d\n')
    assert load_examples(jsonl, BACKBONE) == load_examples(csv, BACKBONE)
    assert [example.length for example in load_examples(jsonl, BACKBONE)] == [2, 1]
    assert len(load_examples(jsonl, BACKBONE, limit=1)) == 1
    other = file(tmp_path, "o.csv", "question,answer,prompt\na,bc,x\nd,e,x\n")
    assert load_examples(
        other, BACKBONE, prompt_column="question", response_column="answer"
    ) == load_examples(csv, BACKBONE)


def test_the_embedded_benchmark() -> None:
    examples = load_examples(
        "instruct:calibration", load_golden("llada-trained").backbone, limit=20
    )
    assert len(examples) == 20
    assert all(example.length > 0 for example in examples)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "d.jsonl",
            '{"prompt": "a", "answer": "b"}',
            r"d\.jsonl:1: no text in column response, the columns are prompt, answer",
        ),
        ("d.jsonl", '{"prompt": "a", "response": 3}', "no text in column response"),
        (
            "d.jsonl",
            '{"prompt": "a", "response": "b"}\n{"prompt"',
            r"d\.jsonl:2: not a line of JSON",
        ),
        ("d.jsonl", "[1]", "expected a JSON object"),
        ("d.jsonl", '{"prompt": "a", "response": ""}', "the response is empty"),
        ("d.csv", "prompt,response\na,\n", r"d\.csv:2: the response is empty"),
        ("d.csv", "prompt\na\n", "no text in column response"),
        ("d.csv", "prompt,response\n", "holds no documents"),
        ("d.txt", "a", r"ends in \.jsonl or \.csv, got '\.txt'"),
    ],
)
def test_what_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_examples(file(tmp_path, name, text), BACKBONE)


def test_unknown_sources(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no data file"):
        load_examples(tmp_path / "none.jsonl", BACKBONE)
    with pytest.raises(ConfigurationError, match="unknown split 'best'"):
        load_examples("instruct:best", BACKBONE)


@pytest.mark.parametrize("name", sorted(set(DATA_SETS) - {"instruct"}))
def test_the_task_of_a_public_data_set_reads_its_rows(name: str) -> None:
    tasks = Path(__file__).parents[3] / "tasks" / "real"
    kind = bound_task(f"{name}:train").removeprefix("eos_upper_bound_")
    assert (tasks / kind / f"eos_upper_bound_{kind}.yaml").is_file()
    question = (tasks / f"_{kind}_yaml").read_text(encoding="utf-8")
    assert f"dataset_kwargs: {{data: {name}}}\n" in question


@pytest.mark.parametrize("source", ["instruct:train", "gsm8k.jsonl", "gsm8k", "owner/gsm8k"])
def test_other_sources_have_the_task_of_the_embedded_benchmark(source: str) -> None:
    assert bound_task(source) == "eos_upper_bound"


def test_a_prompt_stands_on_one_side_of_the_split() -> None:
    examples = [Example(f"p{index % 50}", (1,), (2,) * (1 + index % 3)) for index in range(200)]
    train, calibration = split_calibration(examples, share=0.3)
    assert len(train) + len(calibration) == 200
    assert 20 < len(calibration) < 120
    assert not {e.prompt_text for e in train} & {e.prompt_text for e in calibration}
    with pytest.raises(ConfigurationError, match="share"):
        split_calibration(examples, share=1.0)


def test_what_calibrates_is_not_trained_on(caplog: pytest.LogCaptureFixture) -> None:
    train = [Example(f"p{n}", (n,), (2,) * size) for n, size in ((1, 3), (2, 4), (3, 5), (2, 6))]
    assert [
        example.prompt_text
        for example in apart(train, [Example("p2", (2,), (7,)), Example("p9", (9,), (7,))])
    ] == [
        "p1",
        "p3",
    ]
    assert "left out 2 of 4 training documents" in caplog.text
    assert apart(train, []) == train


def test_long_answers_are_counted() -> None:
    examples = [Example("p", (1,), (2,) * size) for size in (3, 8, 9)]
    kept, censored = within(examples, canvas=8)
    assert ([example.length for example in kept], censored) == ([3, 8], 1)


def test_the_digest_names_the_data() -> None:
    one, other = Example("p", (1,), (2, 3)), Example("p", (1, 2), (3,))
    assert data_digest([one]) == data_digest([one])
    assert (
        len({data_digest(examples) for examples in ([one], [other], [one, other], [other, one])})
        == 4
    )
