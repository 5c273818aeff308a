"""The embedded benchmark's documents as lm-eval's `custom_dataset`s ask for them: under the name
`test`, whatever split it is.
"""

from __future__ import annotations

from typing import Any

import datasets

from eosbench.documents import instruct_documents as drawn


def instruct_documents(split: str = "test", **_: Any) -> dict[str, datasets.Dataset]:
    """All of a split; --metadata '{"split": "calibration"}' chooses another than `test`."""
    return {"test": datasets.Dataset.from_list([vars(document) for document in drawn(split)])}


def length_ood_documents(**_: Any) -> dict[str, datasets.Dataset]:
    """Answers longer than any in the train split."""
    return instruct_documents("length_ood")


def domain_ood_documents(**_: Any) -> dict[str, datasets.Dataset]:
    """Families that the train split does not have."""
    return instruct_documents("domain_ood")


def exact_documents(split: str = "test", **_: Any) -> dict[str, datasets.Dataset]:
    """The documents that have one right answer: what generation can be scored on."""
    return {
        "test": datasets.Dataset.from_list(
            [vars(document) for document in drawn(split) if document.exact]
        )
    }
