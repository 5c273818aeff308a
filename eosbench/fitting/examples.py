"""Documents of a fit: encoded prompts with their answers, split, cut and counted.

Legend: L the length of an answer, C the canvas, both in tokens.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eosbench.backbone import Backbone
from eosbench.digest import digest_of_parts
from eosbench.documents import (
    decode_prompt,
    encode_prompt,
    encode_response,
    for_calibration,
    has_chat_template,
)
from eosbench.errors import ConfigurationError

logger = logging.getLogger(__name__)

__all__ = ["Example", "FitData", "apart", "cut_prompts", "encode", "split_calibration", "within"]


@dataclass(frozen=True)
class Example:
    """One document: a prompt with its answer.

    Attributes:
        prompt_text: the text that the prompt's ids say (`decode_prompt`).
        prompt_ids: the ids of the prompt, special tokens included.
        response_ids: the ids of the answer, no special tokens.
    """

    prompt_text: str
    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]

    @property
    def length(self) -> int:
        """L, the number of tokens of the answer."""
        return len(self.response_ids)


@dataclass(frozen=True)
class FitData:
    """The documents of a fit.

    Attributes:
        train: documents that weights are trained on.
        calibration: documents that nothing else has seen; at least 19 for the usual alpha of 0.05.
        source: where they come from, in words, for config.json and the model card.
        censored: how many of both were left out because their answer is longer than the canvas.
    """

    train: Sequence[Example]
    calibration: Sequence[Example]
    source: str = ""
    censored: int = 0

    def on_canvas(self, backbone: Backbone, canvas: int) -> FitData:
        """The documents whose answers fit on C tokens, with prompts that fit beside them."""
        train, censored_train = within(self.train, canvas)
        calibration, censored_calibration = within(self.calibration, canvas)
        return FitData(
            cut_prompts(train, backbone, canvas),
            cut_prompts(calibration, backbone, canvas),
            self.source,
            self.censored + censored_train + censored_calibration,
        )

    def facts(self) -> dict[str, Any]:
        """The facts of the documents that stand in config.json."""
        return {
            "source": self.source,
            "train": {"documents": len(self.train), "digest": data_digest(self.train)},
            "calibration": {
                "documents": len(self.calibration),
                "digest": data_digest(self.calibration),
            },
            "censored": self.censored,
        }


def encode(
    backbone: Backbone, prompt_text: str, response_text: str, chat: bool | None = None
) -> Example:
    """A document as the backbone's own ids.

    Args:
        backbone: its tokenizer encodes.
        prompt_text, response_text: the document.
        chat: whether the prompt is put into the chat template; None does so wherever the tokenizer
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
    """The training documents whose prompt is none of the calibration documents'.

    What a fit has seen calibrates nothing; a warning counts the documents that are left out.
    """
    prompts = {example.prompt_ids for example in calibration}
    kept = [example for example in train if example.prompt_ids not in prompts]
    if len(kept) < len(train):
        logger.warning(
            "left out %d of %d training documents, whose prompts stand among the calibration "
            "documents too",
            len(train) - len(kept),
            len(train),
        )
    return kept


def within(examples: Sequence[Example], canvas: int) -> tuple[list[Example], int]:
    """The documents whose answer fits on C tokens, and the number of the others.

    Those are censored: no bound can cover them.
    """
    kept = [example for example in examples if example.length <= canvas]
    return kept, len(examples) - len(kept)


def cut_prompts(examples: Sequence[Example], backbone: Backbone, canvas: int) -> list[Example]:
    """The documents with prompts cut from the left to what fits beside the canvas.

    The lm-eval adapter cuts its requests in the same way.
    """
    room = backbone.spec.max_length - canvas
    long = sum(len(example.prompt_ids) > room for example in examples)
    if not long:
        return list(examples)
    logger.warning(
        "%d of %d prompts were longer than the %d positions that the canvas leaves and were cut "
        "from the left",
        long,
        len(examples),
        room,
    )
    return [
        _cut(example, backbone, room) if len(example.prompt_ids) > room else example
        for example in examples
    ]


def data_digest(examples: Sequence[Example]) -> str:
    """A short digest of the ids of the documents: what a predictor folder names as its data."""
    return digest_of_parts(
        json.dumps([example.prompt_ids, example.response_ids]) for example in examples
    )


def _cut(example: Example, backbone: Backbone, room: int) -> Example:
    """A document with the last `room` ids of its prompt."""
    ids = example.prompt_ids[-room:]
    return Example(decode_prompt(backbone.tokenizer, ids), ids, example.response_ids)
