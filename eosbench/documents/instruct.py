"""The embedded benchmark's generator: instructions whose answer length is known.

Real data sets need a network and say nothing about *why* an answer is as long as it is. Here every
document comes from a seeded template (instruct_families.py), so that the answer's length is known
exactly (count from a to b), is carried by the prompt in another form (step-by-step sums), or has a
known distribution that no method can see through (a story). Nothing is read from disk and nothing
is downloaded.

There are five splits. `train`, `calibration` and `test` are drawn from one distribution and cut by
a hash of the prompt, so no prompt stands in two of them, and calibration and test are exchangeable.
`length_ood` asks the same for answers longer than any in `train`; `domain_ood` holds families that
never occur in `train`. Documents depend on (INSTRUCT_VERSION, split, seed, index) alone: whoever
changes the generator raises INSTRUCT_VERSION.

Example:
    >>> first, *_ = instruct_documents("test")
    >>> first.family, first.prompt, first.response
    ('yes_no', 'Ist 89 eine gerade Zahl?', 'Nein')
"""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count, islice

from eosbench.digest import seed_from, short_digest
from eosbench.documents.instruct_families import (
    INSTRUCT_FAMILIES,
    NOT_EXACT,
    OOD_FAMILIES,
    yes_no,
)
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
_MOST_DRAWS = 10_000  # for one document: past it a family has run out of new prompts


@dataclass(frozen=True)
class Instruction:
    """One document of the embedded benchmark.

    Attributes:
        id: split, seed and index.
        split: the split it was drawn for.
        family: name of its family.
        language: code of its language, "en" and so on.
        prompt: the instruction.
        response: the reference answer.
        exact: whether this is the only right answer, so that generation can be scored by exact
            match.
    """

    id: str
    split: str
    family: str
    language: str
    prompt: str
    response: str
    exact: bool


def _belongs(split: str, prompt: str) -> bool:
    if split not in _HASH_SHARES:
        return True
    return seed_from(prompt) % 100 in _HASH_SHARES[split]


def instruct_stream(split: str, seed: int = 0) -> Iterator[Instruction]:
    """Documents of a split without end.

    Families come in turn, so that any prefix of a split is balanced. No prompt comes twice, except
    in the train split.

    Raises:
        ConfigurationError: the split is unknown, or one of its families has no new prompt left.
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
                f"split {split!r} holds no new {family!r} prompt after document {index}: "
                "ask for fewer documents"
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
    """The first `size` documents of a split; its published size by default.

    Raises:
        ConfigurationError: as `instruct_stream`.
    """
    return list(_documents(split, SPLIT_SIZES.get(split) if size is None else size, seed))


@functools.lru_cache(maxsize=8)
def _documents(split: str, size: int | None, seed: int) -> tuple[Instruction, ...]:
    """Documents drawn once: a sweep asks for a split at every fraction of every method."""
    return tuple(islice(instruct_stream(split, seed), size))


def digest(split: str, size: int | None = None) -> str:
    """A short digest of a split's documents, by which tests pin them."""
    lines = "\n".join(
        json.dumps(asdict(document), sort_keys=True) for document in instruct_documents(split, size)
    )
    return short_digest(lines)
