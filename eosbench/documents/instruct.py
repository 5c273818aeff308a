"""The embedded benchmark's generator: instructions whose answer length is known.

Real data sets need a network and say nothing about *why* an answer is as long as it is. Here every
document comes from a seeded template, so that the answer's length is known exactly (count from a to
b), is carried by the prompt in another form (step-by-step sums), or has a known distribution that
no method can see through (a story). Nothing is read from disk and nothing is downloaded:

    from eosbench.documents import instruct_documents
    documents("test")[1]  # Instruction(family='count', language='en', prompt='Count from 3 to 5.', response='3 4 5', ...)

Splits. `train`, `calibration` and `test` are drawn from one distribution and cut by a hash of the
prompt, so no prompt stands in two of them and calibration and test are exchangeable. `length_ood`
asks the same for answers longer than any in `train`; `domain_ood` holds families that never occur
in `train`. Documents depend on (VERSION, split, seed, index) alone: change the generator, raise
VERSION.
"""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import count, islice

from eosbench.digest import seed_from, short_digest
from eosbench.documents import wordlists as words
from eosbench.errors import ConfigurationError

INSTRUCT_VERSION = 1
SPLIT_SIZES = {
    "train": 20_000,
    "calibration": 1_000,
    "test": 1_000,
    "length_ood": 300,
    "domain_ood": 300,
}
_HASH_SHARES = {"test": range(0, 15), "calibration": range(15, 30), "train": range(30, 100)}


@dataclass(frozen=True)
class Instruction:
    """One document. `exact` is true where one answer is right, so that generation can be scored by
    exact match.
    """

    id: str
    split: str
    family: str
    language: str
    prompt: str
    response: str
    exact: bool


Draw = tuple[str, str, str]  # language, prompt, response


def _language(rng: random.Random) -> str:
    return rng.choice(("en", "en", "en", "en", "it", "de", "fr", "es"))


def yes_no(rng: random.Random, long: bool) -> Draw:
    """Comparisons and parity, answered in one word: the family without a long version."""
    language = _language(rng)
    yes, no = words.YES_NO[language]
    if rng.random() < 0.6:
        a = rng.randint(1, 99)
        b = rng.choice([n for n in range(1, 100) if n != a])
        return language, rng.choice(words.GREATER[language]).format(a=a, b=b), yes if a > b else no
    a = rng.randint(1, 99)
    return language, rng.choice(words.EVEN[language]).format(a=a), yes if a % 2 == 0 else no


def count_up(rng: random.Random, long: bool) -> Draw:
    language = _language(rng)
    steps = rng.randint(44, 70) if long else rng.randint(2, 32)
    a = rng.randint(1, 99 - steps)
    prompt = rng.choice(words.COUNT[language]).format(a=a, b=a + steps)
    return language, prompt, " ".join(str(n) for n in range(a, a + steps + 1))


def repeat(rng: random.Random, long: bool) -> Draw:
    language = _language(rng)
    word = rng.choice(words.NOUNS[language])
    n = rng.randint(110, 125) if long else rng.randint(1, 40)
    return language, rng.choice(words.REPEAT[language]).format(word=word, n=n), " ".join([word] * n)


def spell(rng: random.Random, long: bool) -> Draw:
    language = _language(rng)
    chosen = [
        rng.choice(words.NOUNS[language])
        for _ in range(rng.randint(22, 26) if long else rng.choice((1, 1, 1, 2, 3, 4)))
    ]
    prompt = rng.choice(words.SPELL[language]).format(word=" ".join(chosen))
    return language, prompt, ", ".join(" ".join(word) for word in chosen)


def list_things(rng: random.Random, long: bool) -> Draw:
    language = _language(rng)
    pool = words.NOUNS[language]
    n = rng.randint(58, 70) if long else rng.randint(1, 16)
    return (
        language,
        rng.choice(words.LIST[language]).format(n=n, noun=rng.choice(pool)),
        ", ".join(rng.choice(pool) for _ in range(n)),
    )


def sums(rng: random.Random, long: bool) -> Draw:
    """A running total: one line a step, then the answer."""
    name, thing = rng.choice(words.NAMES), rng.choice(words.COUNTABLES)
    total = rng.randint(2, 60)
    story, lines = [f"{name} has {total} {thing}."], []
    for _ in range(rng.randint(16, 22) if long else rng.randint(1, 9)):
        amount = rng.randint(1, 9)
        if total + amount <= 99 and (rng.random() < 0.5 or amount > total):
            story.append(f"{name} gets {amount} more.")
            lines.append(f"{total} + {amount} = {total + amount}")
            total += amount
        else:
            story.append(f"{name} gives away {amount}.")
            lines.append(f"{total} - {amount} = {total - amount}")
            total -= amount
    question = rng.choice(words.HOW_MANY).format(name=name, thing=thing)
    return "en", " ".join([*story, question]), "; ".join(lines) + f". The answer is {total}."


def rows(rng: random.Random, long: bool) -> Draw:
    """The same records as a JSON list or as a table."""
    records = [
        (rng.choice(words.NAMES), rng.randint(1, 99))
        for _ in range(rng.randint(14, 16) if long else rng.randint(1, 7))
    ]
    data = ", ".join(f"{name} {age}" for name, age in records)
    if rng.random() < 0.5:
        return (
            "en",
            rng.choice(words.JSON).format(data=data),
            json.dumps([{"name": name, "age": age} for name, age in records]),
        )
    table = "\n".join(["| name | age |", *(f"| {name} | {age} |" for name, age in records)])
    return "en", rng.choice(words.TABLE).format(data=data), table


def copy(rng: random.Random, long: bool) -> Draw:
    items = [
        rng.choice(words.NOUNS["en"])
        for _ in range(rng.randint(70, 80) if long else rng.randint(2, 16))
    ]
    return "en", rng.choice(words.COPY).format(items=", ".join(items)), ", ".join(items)


def reverse(rng: random.Random, long: bool) -> Draw:
    items = [
        rng.choice(words.NOUNS["en"])
        for _ in range(rng.randint(70, 80) if long else rng.randint(2, 12))
    ]
    return (
        "en",
        rng.choice(words.REVERSE).format(items=", ".join(items)),
        ", ".join(reversed(items)),
    )


def story(rng: random.Random, long: bool) -> Draw:
    """Only the adjective hints at the number of sentences: an answer whose length can be bounded
    but not known.
    """
    size, low, high = (
        ("very long", 20, 24)
        if long
        else rng.choice((("short", 1, 3), ("medium", 4, 7), ("long", 8, 12)))
    )
    name = rng.choice(words.NAMES)
    sentences = [
        rng.choice(words.SENTENCES).format(name=name, noun=rng.choice(words.NOUNS["en"]))
        for _ in range(rng.randint(low, high))
    ]
    return (
        "en",
        rng.choice(words.STORY).format(size=size, name=name, noun=rng.choice(words.NOUNS["en"])),
        " ".join(sentences),
    )


def times_table(rng: random.Random, long: bool) -> Draw:
    n, upto = rng.randint(2, 12), rng.randint(2, 30)
    return (
        "en",
        f"Write the first {upto} multiples of {n}.",
        " ".join(str(n * i) for i in range(1, upto + 1)),
    )


def countdown(rng: random.Random, long: bool) -> Draw:
    b = rng.randint(1, 60)
    a = b + rng.randint(2, 35)
    return "en", f"Count down from {a} to {b}.", " ".join(str(n) for n in range(a, b - 1, -1))


def alphabet(rng: random.Random, long: bool) -> Draw:
    first = rng.randint(0, 20)
    last = rng.randint(first + 1, 25)
    letters = [chr(ord("a") + i) for i in range(first, last + 1)]
    return (
        "en",
        f"Write the letters of the alphabet from {letters[0]} to {letters[-1]}.",
        " ".join(letters),
    )


def every_second(rng: random.Random, long: bool) -> Draw:
    items = [rng.choice(words.NOUNS["en"]) for _ in range(rng.randint(2, 20))]
    return "en", f"Keep every second item of this list: {', '.join(items)}.", ", ".join(items[1::2])


INSTRUCT_FAMILIES: dict[str, Callable[[random.Random, bool], Draw]] = {
    "yes_no": yes_no,
    "count": count_up,
    "repeat": repeat,
    "spell": spell,
    "list": list_things,
    "sums": sums,
    "rows": rows,
    "copy": copy,
    "reverse": reverse,
    "story": story,
}
OOD_FAMILIES: dict[str, Callable[[random.Random, bool], Draw]] = {
    "times_table": times_table,
    "countdown": countdown,
    "alphabet": alphabet,
    "every_second": every_second,
}
NOT_EXACT = {"list", "story"}  # families with many right answers
_MOST_DRAWS = 10_000  # for one document: past it a family has run out of new prompts


def _belongs(split: str, prompt: str) -> bool:
    if split not in _HASH_SHARES:
        return True
    return seed_from(prompt) % 100 in _HASH_SHARES[split]


def instruct_stream(split: str, seed: int = 0) -> Iterator[Instruction]:
    """Documents of a split without end and without repeated prompts within an evaluation split (the
    train split may repeat).

    Families come in turn, so that any prefix of a split is balanced.

    Raises: ConfigurationError: the split is unknown, or one of its families has no prompt left that
        was not used.
    """
    if split not in SPLIT_SIZES:
        raise ConfigurationError(
            f"unknown split {split!r}: expected one of {', '.join(SPLIT_SIZES)}"
        )
    families = list((OOD_FAMILIES if split == "domain_ood" else INSTRUCT_FAMILIES).items())
    if split == "length_ood":
        families = [(name, draw) for name, draw in families if draw is not yes_no]
    seen: set[str] = set()
    for index in count():
        family, draw = families[index % len(families)]
        rng = random.Random(f"eosbench-instruct/{INSTRUCT_VERSION}/{split}/{seed}/{index}")
        for _ in range(_MOST_DRAWS):
            language, prompt, response = draw(rng, split == "length_ood")
            if _belongs(split, prompt) and (split == "train" or prompt not in seen):
                break
        else:
            raise ConfigurationError(
                f"split {split!r} holds no new {family!r} prompt after document {index}: ask for fewer documents"
            )
        seen.add(prompt)
        yield Instruction(
            f"{split}-{seed}-{index:06d}",
            split,
            family,
            language,
            prompt,
            response,
            family not in NOT_EXACT,
        )


def instruct_documents(split: str, size: int | None = None, seed: int = 0) -> list[Instruction]:
    """The first `size` documents of a split (its published size by default)."""
    return list(_documents(split, SPLIT_SIZES.get(split) if size is None else size, seed))


@functools.lru_cache(maxsize=8)
def _documents(split: str, size: int | None, seed: int) -> tuple[Instruction, ...]:
    """Drawn once: lm-eval asks for a split again for every fraction of every method of a sweep."""
    return tuple(islice(instruct_stream(split, seed), size))


def digest(split: str, size: int | None = None) -> str:
    """SHA-256 over a split's documents: what a results file and a predictor's card name as their
    data.
    """
    lines = "\n".join(
        json.dumps(asdict(document), sort_keys=True) for document in instruct_documents(split, size)
    )
    return short_digest(lines)
