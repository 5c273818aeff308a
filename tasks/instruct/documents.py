"""The embedded benchmark's documents as lm-eval's `custom_dataset`s.

They go by the name `test`, whatever split they are of.
"""

from __future__ import annotations

from typing import Any

import datasets

from eosbench.documents import instruct_documents as drawn


def instruct_documents(split: str = "test", **_: Any) -> dict[str, datasets.Dataset]:
    """All documents of a split; --metadata '{"split": "calibration"}' chooses another split."""
    return {"test": datasets.Dataset.from_list([vars(document) for document in drawn(split)])}


def length_ood_documents(**_: Any) -> dict[str, datasets.Dataset]:
    """Documents with answers longer than any in the train split."""
    return instruct_documents("length_ood")


def domain_ood_documents(**_: Any) -> dict[str, datasets.Dataset]:
    """Documents of families that the train split does not have."""
    return instruct_documents("domain_ood")


def exact_documents(split: str = "test", **_: Any) -> dict[str, datasets.Dataset]:
    """The documents that have one right answer, on which generation can be scored."""
    exact = [vars(document) for document in drawn(split) if document.exact]
    return {"test": datasets.Dataset.from_list(exact)}
