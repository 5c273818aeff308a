"""The embedded benchmark: pinned, disjoint, balanced, and right.

Checkers that know only the prompt say whether an answer is right.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import islice

import pytest

from eosbench.documents import instruct
from eosbench.documents.instruct import (
    INSTRUCT_FAMILIES,
    NOT_EXACT,
    OOD_FAMILIES,
    SPLIT_SIZES,
    Instruction,
    digest,
    instruct_documents,
    instruct_stream,
)
from eosbench.errors import ConfigurationError

# Of VERSION 1, which the embedded model was trained on. A digest that changes asks for a new
# VERSION, not for a new pin.
DIGESTS = {
    "train": "4bb0fae4474c52bd",
    "calibration": "cb25fc26b8c1bc19",
    "test": "dc007a2e94d46b0f",
    "length_ood": "a91c6c28f2d84427",
    "domain_ood": "dc6fa714d08148c7",
}
SPLITS = {"train": 5_000, "calibration": 1_000, "test": 1_000, "length_ood": 300, "domain_ood": 300}
YES = {"Yes", "Sì", "Ja", "Oui", "Sí"}
NO = {"No", "Nein", "Non"}


@pytest.fixture(scope="module")
def corpus() -> dict[str, list[Instruction]]:
    return {split: instruct_documents(split, size) for split, size in SPLITS.items()}


def test_the_documents_of_version_1_are_pinned() -> None:
    assert instruct.INSTRUCT_VERSION == 1
    assert {split: digest(split, 200) for split in SPLIT_SIZES} == DIGESTS


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_documents_do_not_depend_on_the_process(hash_seed: str) -> None:
    code = "from eosbench.documents.instruct import digest; print(digest('test', 200))"
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == DIGESTS["test"]


def test_a_longer_split_begins_like_a_shorter_one() -> None:
    assert (
        instruct_documents("test", 40)[:25]
        == instruct_documents("test", 25)
        == list(islice(instruct_stream("test"), 25))
    )
    assert len(instruct_documents("domain_ood")) == SPLIT_SIZES["domain_ood"]


def test_a_seed_draws_other_documents() -> None:
    one, other = instruct_documents("test", 50, seed=0), instruct_documents("test", 50, seed=1)
    assert one != other
    assert [document.family for document in one] == [document.family for document in other]


def test_no_prompt_stands_in_two_splits_nor_twice_in_an_evaluation_split(
    corpus: dict[str, list[Instruction]],
) -> None:
    prompts = {split: [document.prompt for document in found] for split, found in corpus.items()}
    evaluation = [split for split in prompts if split != "train"]
    for index, split in enumerate(evaluation):
        assert len(set(prompts[split])) == len(prompts[split]), split
        for other in ("train", *evaluation[:index]):
            assert not set(prompts[split]) & set(prompts[other]), (split, other)
    ids = [document.id for found in corpus.values() for document in found]
    assert len(set(ids)) == len(ids)


def test_any_prefix_is_balanced(corpus: dict[str, list[Instruction]]) -> None:
    for split, found in corpus.items():
        for size in (7, 100, len(found)):
            counts = Counter(document.family for document in found[:size])
            assert max(counts.values()) - min(counts.values()) <= 1, (split, size)
    assert set(INSTRUCT_FAMILIES) == {document.family for document in corpus["test"]}


def test_five_languages_in_evaluation_as_in_training(corpus: dict[str, list[Instruction]]) -> None:
    for split in ("train", "calibration", "test", "length_ood"):
        assert {document.language for document in corpus[split]} == {
            "en",
            "it",
            "de",
            "fr",
            "es",
        }, split


def test_the_ood_splits_are_out_of_distribution(corpus: dict[str, list[Instruction]]) -> None:
    trained = {document.family for document in corpus["train"]}
    assert {document.family for document in corpus["domain_ood"]} == set(OOD_FAMILIES)
    assert not trained & set(OOD_FAMILIES)
    assert {document.family for document in corpus["length_ood"]} == trained - {"yes_no"}


def test_lengths_in_tokens(corpus: dict[str, list[Instruction]]) -> None:
    """Every long answer is longer than all of training, and the canvas holds them.

    The tokenizer is made as the embedded model's was.
    """
    from eosbench.embedded import CANVAS
    from eosbench.recipe.make import build_tokenizer

    tokenizer = build_tokenizer(documents=TOKENIZER_DOCUMENTS)
    lengths = {
        split: [
            len(ids)
            for ids in tokenizer([d.response for d in found], add_special_tokens=False)["input_ids"]
        ]
        for split, found in corpus.items()
    }
    assert max(lengths["train"]) < min(lengths["length_ood"])
    assert max(max(found) for found in lengths.values()) <= CANVAS
    assert min(min(found) for found in lengths.values()) == 1


def numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


def items_of(text: str) -> list[str]:
    return text.split(", ")


def listed(prompt: str) -> list[str]:
    """The items after the colon of the prompt."""
    return items_of(prompt.split(": ", 1)[1].removesuffix("."))


def check_yes_no(prompt: str, response: str) -> None:
    found = numbers(prompt)
    right = found[0] > found[1] if len(found) == 2 else found[0] % 2 == 0
    assert response in (YES if right else NO)


def check_count(prompt: str, response: str) -> None:
    a, b = numbers(prompt)
    assert numbers(response) == list(range(a, b + 1)) and response == " ".join(
        map(str, numbers(response))
    )


def check_repeat(prompt: str, response: str) -> None:
    words = response.split(" ")
    assert len(set(words)) == 1 and [len(words)] == numbers(prompt)
    assert words[0] in re.findall(r"\w+", prompt)


def check_spell(prompt: str, response: str) -> None:
    words = ["".join(letters.split(" ")) for letters in items_of(response)]
    assert all(len(letter) == 1 for letters in items_of(response) for letter in letters.split(" "))
    assert re.search(rf"(^|\s){' '.join(words)}\s?[.?]$", prompt)


def check_sums(prompt: str, response: str) -> None:
    """Every line is right, goes on where the last ended, and does what the story says."""
    steps, answer = response.split(". The answer is ")
    total = numbers(prompt)[0]
    told = [
        int(gets or f"-{gives}")
        for gets, gives in re.findall(r"gets (\d+) more|gives away (\d+)", prompt)
    ]
    done = []
    for step in steps.split("; "):
        before, sign, amount, after = re.fullmatch(r"(\d+) ([+-]) (\d+) = (\d+)", step).groups()  # type: ignore[union-attr]
        done.append(int(sign + amount))
        assert int(before) == total and int(after) == total + done[-1] and 0 <= int(after) <= 99
        total = int(after)
    assert done == told and answer == f"{total}."


def check_rows(prompt: str, response: str) -> None:
    asked = [(name, int(age)) for name, age in (item.rsplit(" ", 1) for item in listed(prompt))]
    if "JSON" in prompt:
        assert [(row["name"], row["age"]) for row in json.loads(response)] == asked
    else:
        head, *lines = [
            [cell.strip() for cell in line.strip("|").split("|")] for line in response.splitlines()
        ]
        assert head == ["name", "age"] and [(name, int(age)) for name, age in lines] == asked


def check_copy(prompt: str, response: str) -> None:
    assert items_of(response) == listed(prompt)


def check_reverse(prompt: str, response: str) -> None:
    assert items_of(response) == listed(prompt)[::-1]


def check_list(prompt: str, response: str) -> None:
    assert [len(items_of(response))] == numbers(prompt)


def check_story(prompt: str, response: str) -> None:
    sentences = response.count(".")
    low, high = next(bounds for size, bounds in STORY_SIZES.items() if f"a {size} story" in prompt)
    assert low <= sentences <= high


def check_times_table(prompt: str, response: str) -> None:
    upto, n = numbers(prompt)
    assert numbers(response) == [n * i for i in range(1, upto + 1)]


def check_countdown(prompt: str, response: str) -> None:
    a, b = numbers(prompt)
    assert numbers(response) == list(reversed(range(b, a + 1)))


def check_alphabet(prompt: str, response: str) -> None:
    first, last = re.search(r"from (.) to (.)\.", prompt).groups()  # type: ignore[union-attr]
    letters = "abcdefghijklmnopqrstuvwxyz"
    assert "".join(response.split(" ")) == letters[letters.index(first) : letters.index(last) + 1]


def check_every_second(prompt: str, response: str) -> None:
    assert items_of(response) == [
        item for number, item in enumerate(listed(prompt), start=1) if number % 2 == 0
    ]


STORY_SIZES = {"very long": (20, 24), "short": (1, 3), "medium": (4, 7), "long": (8, 12)}
CHECKS: dict[str, Callable[[str, str], None]] = {
    name.removeprefix("check_"): check
    for name, check in globals().items()
    if name.startswith("check_")
}
TOKENIZER_DOCUMENTS = 10_000


def test_every_family_has_a_checker() -> None:
    assert set(CHECKS) == set(INSTRUCT_FAMILIES) | set(OOD_FAMILIES)


@pytest.mark.parametrize("family", sorted({**INSTRUCT_FAMILIES, **OOD_FAMILIES}))
def test_every_answer_is_right(family: str, corpus: dict[str, list[Instruction]]) -> None:
    checked = [
        document for found in corpus.values() for document in found if document.family == family
    ]
    assert len(checked) >= 75
    for document in checked:
        CHECKS[family](document.prompt, document.response)
        assert document.exact == (family not in NOT_EXACT)
        assert (
            document.prompt.strip() == document.prompt
            and document.response.strip() == document.response != ""
        )


def test_the_checkers_refuse_wrong_answers() -> None:
    for family, prompt, wrong in (
        ("count", "Count from 3 to 5.", "3 4 5 6"),
        (
            "sums",
            "Ada has 5 pens. Ada gets 2 more. How many pens now?",
            "5 + 3 = 8. The answer is 8.",
        ),
        (
            "sums",
            "Ada has 5 pens. Ada gets 2 more. How many pens now?",
            "5 + 2 = 7. The answer is 8.",
        ),
        ("rows", "Write this as JSON: Ada 5.", '[{"name": "Ada", "age": 6}]'),
        ("yes_no", "Is 4 greater than 9?", "Yes"),
        ("spell", "Spell stone.", "s t o n"),
    ):
        with pytest.raises(AssertionError):
            CHECKS[family](prompt, wrong)


def test_unknown_splits_and_exhausted_families_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ConfigurationError, match="unknown split 'dev': expected one of train, calibration"
    ):
        instruct_documents("dev", 1)
    monkeypatch.setattr(
        instruct,
        "INSTRUCT_FAMILIES",
        {"one": lambda rng, long: ("en", "The only prompt there is.", "Yes.")},
    )
    monkeypatch.setitem(instruct._HASH_SHARES, "test", range(100))
    with pytest.raises(ConfigurationError, match="holds no new 'one' prompt after document 1"):
        list(islice(instruct_stream("test"), 2))
