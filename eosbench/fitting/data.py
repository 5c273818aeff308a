"""Documents to fit a length predictor on, read from a source: prompts with their answers.

A source is one of

- `answers.jsonl`, `answers.csv`: a column of prompts and one of responses;
- `owner/name`: a data set of the Hugging Face hub (or a local folder that `datasets.load_dataset`
  reads), with a split;
- `gsm8k:train`, `math:calibration`, ...: a data set whose prompts are known
  (eosbench/documents/public.py), cut by use;
- `instruct:<split>`: the embedded benchmark (eosbench/documents/instruct.py).

A column may be a template over columns instead of a name: `Question: {question}\\nAnswer:`.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from string import Formatter
from typing import Any

from eosbench.backbone import Backbone
from eosbench.documents import (
    DATA_SETS,
    SPLIT_SIZES,
    DataSet,
    instruct_stream,
    public_documents,
    published_rows,
)
from eosbench.errors import ConfigurationError
from eosbench.fitting.examples import Example, encode
from eosbench.places import is_there

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
EMBEDDED = "instruct"  # the benchmark that comes with the package

__all__ = ["bound_task", "load_examples", "read_pairs"]


def load_examples(
    source: str | Path,
    backbone: Backbone,
    *,
    limit: int | None = None,
    chat: bool | None = None,
    prompt_column: str = "prompt",
    response_column: str = "response",
    config: str = "default",
    split: str = "train",
) -> list[Example]:
    """The first documents of a source, read and encoded.

    Args:
        source: see the top of this file.
        backbone: its tokenizer encodes and counts.
        limit: at most so many documents; None reads all of them.
        chat: see `eosbench.fitting.examples.encode`.
        prompt_column, response_column: the columns of a file or a hub data set that hold them:
            names or templates.
        config, split: of a hub data set.

    Raises:
        ConfigurationError: the source is missing, of an unknown kind, empty, lacks a column, or has
            an empty answer.
    """
    examples = []
    prompt, response = _template(prompt_column), _template(response_column)
    rows = _documents(str(source), prompt, response, config, split)
    for where, prompt_text, response_text in islice(rows, limit):
        example = encode(backbone, prompt_text, response_text, chat)
        if example.length == 0:
            raise ConfigurationError(
                f"{where}: the response is empty: remove the document, or write the answer"
            )
        examples.append(example)
    if not examples:
        raise ConfigurationError(f"{source} holds no documents")
    return examples


def read_pairs(
    source: str | Path,
    *,
    prompt_column: str = "prompt",
    response_column: str = "response",
    config: str = "default",
    split: str = "train",
) -> Iterator[tuple[str, str, str]]:
    """(where it stands, prompt, response) of each document of a source, as text.

    Args:
        source, prompt_column, response_column, config, split: as for `load_examples`.

    Raises:
        ConfigurationError: the source is missing, of an unknown kind, or lacks a column.
    """
    prompt, response = _template(prompt_column), _template(response_column)
    return _documents(str(source), prompt, response, config, split)


def bound_task(source: str | Path) -> str:
    """The task of lm-eval that measures bounds on documents of a source.

    It is that of the embedded benchmark where the source has none of its own.

    >>> bound_task("gsm8k:train"), bound_task("instruct:train"), bound_task("answers.jsonl")
    ('eos_upper_bound_gsm8k', 'eos_upper_bound', 'eos_upper_bound')
    """
    name, _, use = str(source).partition(":")
    if name == EMBEDDED or name not in DATA_SETS or not use:
        return "eos_upper_bound"
    return DATA_SETS[name].task


def _template(column: str) -> str:
    """A column's name as a template over columns; a template stays as it is.

    >>> _template("question"), _template("Q: {question}")
    ('{question}', 'Q: {question}')
    """
    return column if "{" in column else f"{{{column}}}"


def _documents(
    source: str, prompt: str, response: str, config: str, split: str
) -> Iterator[tuple[str, str, str]]:
    """(where, prompt, response) of each document; prompt and response are templates."""
    name, _, use = source.partition(":")
    path = Path(source).expanduser()
    if name == EMBEDDED:
        for document in islice(instruct_stream(use), SPLIT_SIZES.get(use)):
            yield document.id, document.prompt, document.response
    elif name in DATA_SETS and use:
        for row in public_documents(DATA_SETS[name], use):
            yield row.id, row.prompt, row.response
    elif (is_there(path) and path.is_dir()) or (HUB_ID.fullmatch(source) and not path.suffix):
        data = DataSet(
            source, str(path) if is_there(path) else source, prompt, response, configs=(config,)
        )
        for row in published_rows(data, split):
            yield row.id, row.prompt, row.response
    else:
        yield from _file_documents(path, prompt, response)


def _file_documents(path: Path, prompt: str, response: str) -> Iterator[tuple[str, str, str]]:
    """(where, prompt, response) of each row of a file."""
    if not (is_there(path) and path.is_file()):
        raise ConfigurationError(
            f"no data file {path}: expected a .jsonl or .csv file, a hub data set (owner/name), "
            f"instruct:<split>, or one of {', '.join(DATA_SETS)} with a use, as in gsm8k:train"
        )
    readers = {".jsonl": _jsonl_rows, ".csv": _csv_rows}
    if path.suffix not in readers:
        raise ConfigurationError(
            f"{path}: expected a file that ends in .jsonl or .csv, "
            f"got {path.suffix or 'no ending'!r}"
        )
    columns = [*_columns(prompt), *_columns(response)]
    for where, row in readers[path.suffix](path):
        missing = [name for name in columns if not isinstance(_field(row, name), str)]
        if missing:
            has = ", ".join(map(str, row)) or "nothing"
            raise ConfigurationError(
                f"{where}: no text in column {', '.join(missing)}, the columns are {has}: name the "
                "right ones (prompt_column, response_column)"
            )
        yield where, prompt.format_map(row), response.format_map(row)


def _columns(template: str) -> list[str]:
    """The columns that a template names.

    >>> _columns("{question} Answer with {unit}.")
    ['question', 'unit']
    """
    return [name for _, name, _, _ in Formatter().parse(template) if name]


def _field(row: dict[str, Any], name: str) -> Any:
    """The value of a column, or inside of one; None where there is none.

    >>> _field({"instances": [{"output": "Yes."}]}, "instances[0][output]")
    'Yes.'
    """
    try:
        return Formatter().get_field(name, (), row)[0]
    except (KeyError, IndexError, TypeError, AttributeError):
        return None


def _jsonl_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, row) of each line that is not empty."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row: Any = json.loads(line)
            except ValueError as error:
                raise ConfigurationError(f"{path}:{number}: not a line of JSON: {error}") from error
            if not isinstance(row, dict):
                raise ConfigurationError(
                    f"{path}:{number}: expected a JSON object with a prompt and a response"
                )
            yield f"{path}:{number}", row


def _csv_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, row) of each row after the header."""
    with path.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        for row in reader:
            yield f"{path}:{reader.line_num}", row
