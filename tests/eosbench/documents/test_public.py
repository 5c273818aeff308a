"""Public data sets, their prompts and the use of their rows: on invented and on published ones."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eosbench.documents.public import (
    DATA_SETS,
    DataSet,
    for_calibration,
    public_documents,
    published_rows,
)
from eosbench.errors import ConfigurationError


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes rows as a data set in a folder and returns its path."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")

    def write(**splits: Iterable[dict[str, Any]]) -> str:
        folder = tmp_path / "data"
        folder.mkdir()
        for split, content in splits.items():
            (folder / f"{split}.jsonl").write_text(
                "".join(json.dumps(row) + "\n" for row in content), encoding="utf-8"
            )
        return str(folder)

    return write


def plain(path: str, **changes: Any) -> DataSet:
    return replace(DataSet(name="mine", path=path, prompt="{ask}", response="{answer}"), **changes)


def test_uses_do_not_share_a_prompt(put: Any) -> None:
    # 20 prompts stand there twice.
    train = [{"ask": f"question {n % 180}", "answer": "yes"} for n in range(200)]
    # And all of these stand in train too.
    test = [{"ask": f"question {n}", "answer": "no"} for n in range(0, 40, 2)]
    data = plain(put(train=train, test=test))
    by_use = {use: public_documents(data, use) for use in ("train", "calibration", "test")}
    prompts = {use: {document.prompt for document in found} for use, found in by_use.items()}
    assert prompts["test"] == {row["ask"] for row in test}
    assert not prompts["calibration"] & prompts["test"] and not prompts["train"] & prompts["test"]
    assert not prompts["calibration"] & prompts["train"]
    assert len(prompts["calibration"]) + len(prompts["train"]) == 180 - 20
    # A fifth of 160, four standard deviations either way.
    assert 10 < len(prompts["calibration"]) < 55
    assert by_use["test"][3].id == "mine-test-000003"


def test_a_calibration_split_of_the_publisher_s_is_used(put: Any) -> None:
    rows = {
        split: [{"ask": f"{split} {n}", "answer": "a"} for n in range(3)]
        for split in ("train", "validation", "test")
    }
    rows["validation"].append({"ask": "test 1", "answer": "a"})
    data = plain(put(**rows), calibration="validation")
    assert [document.prompt for document in public_documents(data, "calibration")] == [
        f"validation {n}" for n in range(3)
    ]
    assert [document.prompt for document in public_documents(data, "train")] == [
        f"train {n}" for n in range(3)
    ]


def test_the_share_that_calibrates_is_the_share_that_was_asked_for() -> None:
    found = sum(for_calibration(f"prompt {n}", 0.3) for n in range(2000))
    assert abs(found - 600) < 4 * (2000 * 0.3 * 0.7) ** 0.5
    assert for_calibration("any", 1.0) and not for_calibration("any", 0.0)


def test_rows_without_prompt_or_answer_are_counted_and_left_out(
    put: Any, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [
        {"ask": "a", "answer": "b"},
        {"ask": "a", "answer": " "},
        {"ask": "", "answer": "b"},
        {"ask": "c", "answer": None},
    ]
    data = plain(put(test=rows))
    with caplog.at_level(logging.WARNING):
        assert [document.id for document in public_documents(data, "test")] == ["mine-test-000000"]
    assert "left out 3 of 4 rows" in caplog.text


def test_a_missing_column_is_named(put: Any) -> None:
    path = put(test=[{"ask": "a", "answer": "b"}])
    with pytest.raises(
        ConfigurationError, match=r"'\{reply\}' asks for 'reply', the columns are ask, answer"
    ):
        public_documents(plain(path, response="{reply}"), "test")


def test_rows_that_cannot_be_had(tmp_path: Path, put: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"rows of .*nowhere .*split test.* cannot be had.*HF_HOME"
    ):
        public_documents(plain(str(tmp_path / "nowhere")), "test")
    with pytest.raises(ConfigurationError, match=r"split test.* cannot be had"):
        public_documents(plain(put(train=[{"ask": "a", "answer": "b"}])), "test")
    with pytest.raises(ConfigurationError, match="expected one of train, calibration, test"):
        public_documents(plain("any"), "dev")


def test_a_data_set_of_test_rows_alone_says_where_to_fit() -> None:
    with pytest.raises(
        ConfigurationError, match="openai/openai_humaneval has no rows for calibration: use mbpp"
    ):
        public_documents(DATA_SETS["humaneval"], "calibration")


def test_braces_in_a_row_are_text(put: Any) -> None:
    (document,) = public_documents(
        plain(put(test=[{"ask": "{answer} {0}", "answer": "{}"}])), "test"
    )
    assert (document.prompt, document.response) == ("{answer} {0}", "{}")


# Rows in the form of CohereForAI/aya_dataset, invented: the real ones are not at hand.
AYA = [
    {
        "inputs": "Qual è la capitale d'Italia?",
        "targets": "Roma.",
        "language": "Italian",
        "language_code": "ita",
        "annotation_type": "original-annotations",
        "user_id": "00",
    },
    {
        "inputs": "日本で一番高い山は？",
        "targets": "富士山です。",
        "language": "Japanese",
        "language_code": "jpn",
        "annotation_type": "re-annotations",
        "user_id": "01",
    },
]


def test_multilingual_rows(put: Any) -> None:
    data = replace(DATA_SETS["multilingual"], path=put(train=AYA[:1], test=AYA))
    assert DATA_SETS["multilingual"].path == "CohereForAI/aya_dataset"
    found = public_documents(data, "test")
    assert [(document.language, document.prompt, document.response) for document in found] == [
        ("ita", "Qual è la capitale d'Italia?", "Roma."),
        ("jpn", "日本で一番高い山は？", "富士山です。"),
    ]
    # The only one stands in test.
    assert public_documents(data, "train") == public_documents(data, "calibration") == []


@pytest.mark.parametrize(
    ("name", "sizes"),  # as published, or as far as the rows lie here: math and instruct
    [("gsm8k", (7473, 1319)), ("mbpp", (464, 500)), ("math", (35, 4965)), ("dolly", (800, 200))],
)
def test_calibration_rows_never_overlap_test_rows(
    name: str, sizes: tuple[int, int], public_rows: Path
) -> None:
    data = DATA_SETS[name]
    by_use = {use: public_documents(data, use) for use in ("train", "calibration", "test")}
    prompts = {use: {document.prompt for document in found} for use, found in by_use.items()}
    assert (
        len(by_use["test"]) == sizes[1]
        and len(by_use["train"]) + len(by_use["calibration"]) <= sizes[0]
    )
    assert all(prompts.values())
    assert not (prompts["train"] | prompts["calibration"]) & prompts["test"]
    assert not prompts["train"] & prompts["calibration"]
    assert len({document.id for found in by_use.values() for document in found}) == sum(
        map(len, by_use.values())
    )


def test_any_prefix_of_math_is_balanced(public_rows: Path) -> None:
    assert (
        len({document.family for document in public_documents(DATA_SETS["math"], "test")[:7]}) == 7
    )


def test_published_splits_are_whole(public_rows: Path) -> None:
    assert len(published_rows(DATA_SETS["gsm8k"], "train")) == 7473
    assert len(public_documents(DATA_SETS["humaneval"], "test")) == 164
