"""Documents to fit a length predictor on: prompts with their answers, from a file, from the hub or
from the embedded benchmark.

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
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from string import Formatter
from typing import Any

from eosbench.backbone import Backbone
from eosbench.digest import digest_of_parts
from eosbench.documents import (
    DATA_SETS,
    SPLIT_SIZES,
    DataSet,
    decode_prompt,
    encode_prompt,
    encode_response,
    for_calibration,
    has_chat_template,
    instruct_stream,
    public_documents,
    published_rows,
)
from eosbench.errors import ConfigurationError

logger = logging.getLogger(__name__)
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Example:
    """One document: the prompt's ids, their text (`decode_prompt`), and the answer's ids, whose
    number is L.
    """

    prompt_text: str
    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]

    @property
    def length(self) -> int:
        return len(self.response_ids)


def encode(
    backbone: Backbone, prompt_text: str, response_text: str, chat: bool | None = None
) -> Example:
    """A document as the backbone's own ids; chat=None uses the chat template wherever the tokenizer
    has one.
    """
    tokenizer = backbone.tokenizer
    use_chat = has_chat_template(tokenizer) if chat is None else chat
    prompt_ids = encode_prompt(tokenizer, prompt_text, use_chat)
    return Example(
        decode_prompt(tokenizer, prompt_ids),
        tuple(prompt_ids),
        tuple(encode_response(tokenizer, response_text)),
    )


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
    """Reads and encodes the first `limit` documents of a source (all by default).

    Args: source: see above. backbone: whose tokenizer counts. limit: at most so many documents.
        chat: see `encode`. prompt_column, response_column: where a file or a hub data set holds
        them: names or templates. config, split: of a hub data set.

    Raises: ConfigurationError: the source is missing, of an unknown kind, empty, lacks a column, or
        has an empty answer.
    """
    examples = []
    rows = _documents(
        str(source), _template(prompt_column), _template(response_column), config, split
    )
    for where, prompt, response in islice(rows, limit):
        example = encode(backbone, prompt, response, chat)
        if example.length == 0:
            raise ConfigurationError(
                f"{where}: the response is empty: remove the document, or write the answer"
            )
        examples.append(example)
    if not examples:
        raise ConfigurationError(f"{source} holds no documents")
    return examples


def split_calibration(
    examples: Sequence[Example], share: float = 0.2
) -> tuple[list[Example], list[Example]]:
    """(train, calibration), cut by a hash of the prompt, so that no prompt stands in both.

    Raises:
        ConfigurationError: share outside (0, 1).
    """
    if not 0.0 < share < 1.0:
        raise ConfigurationError(
            f"calibration share {share!r}: expected a number above 0 and below 1"
        )
    parts: tuple[list[Example], list[Example]] = ([], [])
    for example in examples:
        parts[for_calibration(example.prompt_text, share)].append(example)
    return parts


def apart(train: Sequence[Example], calibration: Sequence[Example]) -> list[Example]:
    """The training documents whose prompt is none of the calibration documents', with a warning
    that counts the others: what a
    fit has seen calibrates nothing."""
    prompts = {example.prompt_ids for example in calibration}
    kept = [example for example in train if example.prompt_ids not in prompts]
    if len(kept) < len(train):
        logger.warning(
            "left out %d of %d training documents, whose prompts stand among the calibration documents too",
            len(train) - len(kept),
            len(train),
        )
    return kept


def within(examples: Sequence[Example], canvas: int) -> tuple[list[Example], int]:
    """The documents whose answer fits on the canvas, and how many do not (they are censored: no
    bound can cover them).
    """
    kept = [example for example in examples if example.length <= canvas]
    return kept, len(examples) - len(kept)


def cut_prompts(examples: Sequence[Example], backbone: Backbone, canvas: int) -> list[Example]:
    """The documents with prompts cut from the left to what fits beside the canvas, as the lm-eval
    adapter cuts its requests.
    """
    room = backbone.spec.max_length - canvas
    long = sum(len(example.prompt_ids) > room for example in examples)
    if not long:
        return list(examples)
    logger.warning(
        "%d of %d prompts were longer than the %d positions that the canvas leaves and were cut from the left",
        long,
        len(examples),
        room,
    )
    return [
        _cut(example, backbone, room) if len(example.prompt_ids) > room else example
        for example in examples
    ]


def _cut(example: Example, backbone: Backbone, room: int) -> Example:
    ids = example.prompt_ids[-room:]
    return Example(decode_prompt(backbone.tokenizer, ids), ids, example.response_ids)


def data_digest(examples: Sequence[Example]) -> str:
    """SHA-256 over the documents' ids: what a predictor's folder names as its data."""
    return digest_of_parts(
        json.dumps([example.prompt_ids, example.response_ids]) for example in examples
    )


def _template(column: str) -> str:
    """
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
    if name == "instruct":
        for document in islice(instruct_stream(use), SPLIT_SIZES.get(use)):
            yield document.id, document.prompt, document.response
    elif name in DATA_SETS and use:
        for row in public_documents(DATA_SETS[name], use):
            yield row.id, row.prompt, row.response
    elif path.is_dir() or (HUB_ID.fullmatch(source) and not path.suffix):
        data = DataSet(
            source, str(path) if path.is_dir() else source, prompt, response, configs=(config,)
        )
        for row in published_rows(data, split):
            yield row.id, row.prompt, row.response
    else:
        yield from _file_documents(path, prompt, response)


def _file_documents(path: Path, prompt: str, response: str) -> Iterator[tuple[str, str, str]]:
    if not path.is_file():
        raise ConfigurationError(
            f"no data file {path}: expected a .jsonl or .csv file, a hub data set (owner/name), instruct:<split>, or one of "
            f"{', '.join(DATA_SETS)} with a use, as in gsm8k:train"
        )
    readers = {".jsonl": _jsonl_rows, ".csv": _csv_rows}
    if path.suffix not in readers:
        raise ConfigurationError(
            f"{path}: expected a file that ends in .jsonl or .csv, got {path.suffix or 'no ending'!r}"
        )
    for where, row in readers[path.suffix](path):
        columns = [
            name
            for template in (prompt, response)
            for _, name, _, _ in Formatter().parse(template)
            if name
        ]
        missing = [name for name in columns if not isinstance(row.get(name), str)]
        if missing:
            has = ", ".join(map(str, row)) or "nothing"
            raise ConfigurationError(
                f"{where}: no text in column {', '.join(missing)}, the columns are {has}: name the right ones "
                "(prompt_column, response_column)"
            )
        yield where, prompt.format_map(row), response.format_map(row)


def _jsonl_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
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
    with path.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        for row in reader:
            yield f"{path}:{reader.line_num}", row
