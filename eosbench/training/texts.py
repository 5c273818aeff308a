"""Documents to train on, as token ids: prompts with their answers, or plain text of any length.

Text is never searched for special tokens: a document that says "<|endoftext|>" is taught as these
characters, not as an end. What is too long is cut, and counted, never dropped in silence.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from eosbench.digest import digest_of_parts
from eosbench.documents import (
    SPLIT_SIZES,
    encode_prompt,
    encode_response,
    for_calibration,
    has_chat_template,
    instruct_stream,
)
from eosbench.errors import ConfigurationError
from eosbench.fitting import read_pairs
from eosbench.training.layout import Document

logger = logging.getLogger(__name__)

AT_ONCE = 4_096  # texts that are given to the tokenizer together


@dataclass
class Counts:
    """Numbers of what was read and of what had to be cut, for the log and training.json."""

    documents: int = 0
    tokens: int = 0
    prompts_cut: int = 0
    answers_cut: int = 0
    empty: int = 0
    families: dict[str, int] = field(default_factory=dict)

    def warn(self) -> None:
        """Says what was cut or left out, where anything was."""
        found = {
            "prompts cut from the left": self.prompts_cut,
            "answers cut at the canvas, which lose their end": self.answers_cut,
            "documents left out whose answer is empty": self.empty,
        }
        said = [f"{count} {what}" for what, count in found.items() if count]
        if said:
            logger.warning("of %d documents: %s", self.documents, "; ".join(said))


@dataclass(frozen=True)
class Source:
    """A source of pairs; see `eosbench.fitting.read_pairs`."""

    name: str
    prompt_column: str = "prompt"
    response_column: str = "response"
    config: str = "default"
    split: str = "train"

    def texts(self, limit: int | None) -> Iterable[tuple[str, str, str]]:
        """(family, prompt, response) of each document; the family is its own or the source."""
        kind, _, use = self.name.partition(":")
        if kind == "instruct":  # a stream without an end: a limit above the split's size is met
            for one in islice(instruct_stream(use), limit or SPLIT_SIZES.get(use)):
                yield one.family, one.prompt, one.response
            return
        rows = read_pairs(
            self.name,
            prompt_column=self.prompt_column,
            response_column=self.response_column,
            config=self.config,
            split=self.split,
        )
        for _, prompt, response in islice(rows, limit):
            yield self.name, prompt, response


def read_documents(
    sources: Sequence[Source],
    tokenizer: Any,
    *,
    room: int,
    canvas: int,
    limit: int | None = None,
    chat: bool = False,
) -> tuple[list[Document], list[str], Counts]:
    """(documents, their prompts as text, counts) of all sources.

    Args:
        sources: of prompts with answers.
        tokenizer: of the model.
        room: tokens that a prompt may have; longer ones lose their beginning.
        canvas: tokens that an answer may have; longer ones lose the rest and their end.
        limit: documents of each source, at most.
        chat: put prompts into the chat template.

    Raises:
        ConfigurationError: nothing was read.
    """
    documents, prompts, counts = [], [], Counts()
    for source in sources:
        texts = iter(source.texts(limit))
        while chunk := list(islice(texts, AT_ONCE)):
            responses = encode_all(tokenizer, [response for _, _, response in chunk])
            asked = encode_prompts(tokenizer, [prompt for _, prompt, _ in chunk], chat)
            for (family, prompt, _), ids, answer in zip(chunk, asked, responses, strict=True):
                counts.documents += 1
                if not answer:
                    counts.empty += 1
                    continue
                documents.append(cut(ids, answer, family, room=room, canvas=canvas, counts=counts))
                prompts.append(prompt)
    if not documents:
        names = ", ".join(source.name for source in sources)
        raise ConfigurationError(f"--data {names} holds no documents")
    counts.warn()
    return documents, prompts, counts


def cut(
    prompt: Sequence[int],
    response: Sequence[int],
    family: str,
    *,
    room: int,
    canvas: int,
    counts: Counts,
) -> Document:
    """A document that fits; what was cut is counted.

    Example:
        >>> cut([5, 6, 7], [8, 9], "", room=2, canvas=1, counts=(counts := Counts()))
        Document(prompt=[6, 7], response=[8], family='', ends=False)
        >>> counts.prompts_cut, counts.answers_cut
        (1, 1)
    """
    counts.prompts_cut += len(prompt) > room
    counts.answers_cut += len(response) > canvas
    counts.tokens += len(prompt) + len(response)
    counts.families[family] = counts.families.get(family, 0) + 1
    ends = len(response) <= canvas
    return Document(prompt[-room:] if room else [], response[:canvas], family, ends)


def hold_out(
    documents: Sequence[Document], prompts: Sequence[str], share: float, most: int
) -> tuple[list[Document], list[Document]]:
    """(train, held out), by a hash of the prompt, so that no prompt stands in both.

    It is another hash than the one that keeps rows for calibration: of `gsm8k:train`, where those
    are gone already, the same share is held out.

    Of the held-out documents at most so many are kept, and only whole ones.
    """
    parts: tuple[list[Document], list[Document]] = ([], [])
    for document, prompt in zip(documents, prompts, strict=True):
        parts[for_calibration(f"held out: {prompt}", share)].append(document)
    return parts[0], [document for document in parts[1] if document.ends][:most]


def encode_prompts(tokenizer: Any, texts: Sequence[str], chat: bool) -> list[list[int]]:
    """Ids of prompts as `eosbench fit` and `varlen_dlm` encode them.

    Special tokens stand around them, and none that their text spells out.
    """
    if chat and not has_chat_template(tokenizer):
        raise ConfigurationError(
            "--apply_chat_template: the tokenizer has no chat template: leave it out"
        )
    if not chat:
        return encode_all(tokenizer, texts, add_special_tokens=True)
    return [encode_prompt(tokenizer, text, True) for text in texts]


def encode_all(
    tokenizer: Any, texts: Sequence[str], *, add_special_tokens: bool = False
) -> list[list[int]]:
    """Ids of each text; special tokens that the text spells out are split like any other word."""
    encode_response(tokenizer, "")  # says that there is no tokenizer
    found = tokenizer(list(texts), add_special_tokens=add_special_tokens, split_special_tokens=True)
    return [list(ids) for ids in found["input_ids"]]


def documents_digest(documents: Iterable[Document]) -> str:
    """16 hexadecimal digits over the documents' ids, as `eosbench fit` names its data."""
    return digest_of_parts(
        json.dumps([list(document.prompt), list(document.response)]) for document in documents
    )
