"""The public data sets behind `eos_upper_bound_real`: their prompts, and the use of their rows.

Tasks and fitting share this one home, so that a predictor is fitted on prompts of the very form
that it is evaluated on:

    from eosbench.documents import DATA_SETS, public_documents
    document, *others = public_documents(DATA_SETS["gsm8k"], "calibration")
    document.id, document.prompt  # 'gsm8k-calibration-000000', 'Question: ...'

Prompts have the form in which lm-eval prompts the downstream task of the same data. Every data set
has three uses. `test` is the published test split, whole. `calibration` and `train` are the rows
that the publisher did not hold out: cut by a hash of the prompt where there is no split for each,
and without the prompts that stand in `test` too, so that nothing is calibrated on a test row.

Rows come from the hub, or from the Hugging Face cache where there is no network.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from eosbench.digest import seed_from
from eosbench.errors import ConfigurationError

logger = logging.getLogger(__name__)

USES = ("train", "calibration", "test")
# Of the rows that are not held out, where the publisher made no split for it.
CALIBRATION_SHARE = 0.2


@dataclass(frozen=True)
class Document:
    """One row, prompted.

    Attributes:
        id: data set, use and number of the row.
        family: kind of the row, by which reports and calibration group documents.
        language: code of its language, by which they group documents too.
        prompt: the prompt.
        response: the reference answer.
    """

    id: str
    family: str
    language: str
    prompt: str
    response: str


@dataclass(frozen=True)
class DataSet:
    """A source of rows, and the templates that make documents of them.

    Templates are `str.format` strings over a row's columns.

    Attributes:
        name: in document ids.
        path: hub id, or whatever else `datasets.load_dataset` takes.
        prompt: template of the prompt, such as "Question: {question}\\nAnswer:".
        response: template of the reference answer.
        configs: configurations of the data set; their rows take turns, so that any prefix is
            balanced.
        train: the publisher's split to fit on; None where there is none.
        calibration: the publisher's split to calibrate on. Without one, `CALIBRATION_SHARE` of the
            train split becomes one.
        test: the publisher's split to evaluate on; None where there is none.
        family: template of the document's family; the data set's name where it is empty.
        language: template of the document's language.
        benchmark: its name in the names of its tasks, where that is another one.
        fit_on: the data set to fit and calibrate on where this one has test rows only.
    """

    name: str
    path: str
    prompt: str
    response: str
    configs: tuple[str, ...] = ("default",)
    train: str | None = "train"
    calibration: str | None = None
    test: str | None = "test"
    family: str = ""
    language: str = "en"
    benchmark: str = ""
    fit_on: str | None = None

    @property
    def task(self) -> str:
        """The bound task of its test rows, without an unmasked fraction."""
        return f"eos_upper_bound_{self.benchmark or self.name}"


DATA_SETS = {
    data.name: data
    for data in (
        DataSet(
            name="gsm8k",  # as lm-eval's gsm8k
            path="openai/gsm8k",
            configs=("main",),
            prompt="Question: {question}\nAnswer:",
            response="{answer}",
        ),
        DataSet(
            # As lm-eval's minerva_math; hendrycks_math asks for the final answer alone.
            name="math",
            path="EleutherAI/hendrycks_math",
            configs=(
                "algebra",
                "counting_and_probability",
                "geometry",
                "intermediate_algebra",
                "number_theory",
                "prealgebra",
                "precalculus",
            ),
            prompt="Problem:\n{problem}\n\nSolution:",
            response="{solution}",
            family="{type}",
        ),
        DataSet(
            name="mbpp",  # as lm-eval's mbpp
            path="google-research-datasets/mbpp",
            configs=("full",),
            prompt=(
                "You are an expert Python programmer, and here is your task: {text} "
                "Your code should pass these tests:\n\n"
                "{test_list[0]}\n{test_list[1]}\n{test_list[2]}\n[BEGIN]\n"
            ),
            response="{code}",
            calibration="validation",
        ),
        DataSet(
            name="humaneval",  # as lm-eval's humaneval
            path="openai/openai_humaneval",
            configs=("openai_humaneval",),
            prompt="{prompt}",
            response="{canonical_solution}",
            train=None,
            fit_on="mbpp",
        ),
        DataSet(
            name="dolly",  # `instruct:train` is the embedded benchmark's
            path="mosaicml/dolly_hhrlhf",
            prompt="{prompt}",
            response="{response}",
            benchmark="instruct",
        ),
        DataSet(
            name="multilingual",
            path="CohereForAI/aya_dataset",
            prompt="{inputs}",
            response="{targets}",
            language="{language_code}",
        ),
    )
}


def public_documents(data: DataSet, use: str) -> list[Document]:
    """The documents of one use, in the publisher's order.

    Args:
        data: one of DATA_SETS, or a description of your own.
        use: train, calibration or test.

    Raises:
        ConfigurationError: the use is unknown, or the data set has no rows for it; or the rows
            cannot be had, or lack a column.
    """
    if use not in USES:
        raise ConfigurationError(
            f"data set {data.name} has no rows for {use!r}: expected one of {', '.join(USES)}"
        )
    return list(_documents(data, use))


@functools.lru_cache(maxsize=16)
def _documents(data: DataSet, use: str) -> tuple[Document, ...]:
    """Documents read once: a sweep asks again at every fraction of every method."""
    split = getattr(data, use) or (data.train if use == "calibration" else None)
    if split is None:
        instead = f": use {data.fit_on}, whose tasks are of the same kind" if data.fit_on else ""
        raise ConfigurationError(f"{data.path} has no rows for {use}{instead}")
    documents = published_rows(data, split, prefix=f"{data.name}-{use}")
    if use == "test":
        return documents
    test = _documents(data, "test") if data.test else ()
    held_out = {document.prompt for document in test}
    kept = [document for document in documents if document.prompt not in held_out]
    if data.calibration is None:
        asked = use == "calibration"
        kept = [document for document in kept if for_calibration(document.prompt) == asked]
    return tuple(kept)


def for_calibration(prompt: str, share: float = CALIBRATION_SHARE) -> bool:
    """Whether a row with this prompt is one of the share that calibrates.

    The prompt's hash decides, so that equal prompts land on one side.

    Args:
        prompt: the row's prompt.
        share: of all prompts, from 0 to 1.
    """
    return seed_from(prompt) < share * 2**64


def published_rows(data: DataSet, split: str, prefix: str = "") -> tuple[Document, ...]:
    """All documents of a split as its publisher cut it; few-shot examples are drawn from these.

    Rows whose prompt or answer is empty are left out, with a warning that counts them.

    Args:
        data: one of DATA_SETS, or a description of your own.
        split: the publisher's name of the split.
        prefix: of the documents' ids; by default data set and split.

    Raises:
        ConfigurationError: the rows cannot be had, or lack a column that a template names.
    """
    by_config = [_rows(data, config, split) for config in data.configs]
    rows = [row for turn in zip_longest(*by_config) for row in turn if row is not None]
    prefix = prefix or f"{data.name}-{split}"
    documents = [
        Document(
            id=f"{prefix}-{index:06d}",
            family=_fill(data, data.family, row) or data.name,
            language=_fill(data, data.language, row),
            prompt=_fill(data, data.prompt, row),
            response=_fill(data, data.response, row),
        )
        for index, row in enumerate(rows)
    ]
    kept = [one for one in documents if one.prompt.strip() and one.response.strip()]
    if len(kept) < len(documents):
        logger.warning(
            "%s, split %s: left out %d of %d rows, whose prompt or answer is empty",
            data.path,
            split,
            len(documents) - len(kept),
            len(documents),
        )
    return tuple(kept)


def _rows(data: DataSet, config: str, split: str) -> Sequence[Mapping[str, Any]]:
    import datasets

    try:
        return datasets.load_dataset(data.path, config, split=split)  # type: ignore[no-any-return]
    except Exception as error:  # whatever hub, cache and file readers raise
        raise ConfigurationError(
            f"the rows of {data.path} (configuration {config}, split {split}) cannot be had: "
            f"{type(error).__name__}: {error}. They come from the Hugging Face hub, or without "
            "a network (HF_HUB_OFFLINE=1) from the cache in HF_HOME"
        ) from error


def _fill(data: DataSet, template: str, row: Mapping[str, Any]) -> str:
    try:
        return template.format_map(
            {column: "" if value is None else value for column, value in row.items()}
        )
    except (KeyError, IndexError) as error:
        raise ConfigurationError(
            f"{data.path}: the template {template!r} asks for {error}, the columns are "
            f"{', '.join(row)}: name the ones that hold prompt and answer"
        ) from error
