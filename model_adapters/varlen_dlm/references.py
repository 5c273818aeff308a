"""Reference answers: what a bound is compared with, and whose length the `oracle` is told.

They come from the task, or with `reference=self` from the model itself. Only those of the task can
differ between requests that have one key in lm-eval's response cache: that key is a hash of the
request's arguments, and tasks that want a text send the reference beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from eosbench.backbone import Backbone
from eosbench.documents import encode_response
from eosbench.places import check_file
from model_adapters.varlen_dlm.arguments import Arguments
from model_adapters.varlen_dlm.generation_requests import GenerationRequest
from model_adapters.varlen_dlm.own_answers import (
    OwnAnswers,
    Reference,
    cache_folder,
    check_cache,
)

__all__ = ["OwnReferences", "Reference", "References", "TaskReferences", "references_of"]


class References(Protocol):
    """One source of reference answers."""

    def prepare(
        self, requests: Sequence[GenerationRequest], *, batch_size: int, progress: bool = False
    ) -> None:
        """Makes the references of these requests available."""
        ...

    def of(self, request: GenerationRequest) -> Reference | None:
        """The reference answer to a request, None where there is none."""
        ...

    def length_beside_key(self, request: GenerationRequest) -> int | None:
        """L, where the key of lm-eval's response cache does not determine it."""
        ...


class TaskReferences:
    """The references that tasks send with their requests.

    Args:
        tokenizer: of the backbone, in whose tokens lengths are counted.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def prepare(
        self, requests: Sequence[GenerationRequest], *, batch_size: int, progress: bool = False
    ) -> None:
        """They came with the requests."""

    def of(self, request: GenerationRequest) -> Reference | None:
        """The task's answer, None where it sent none."""
        if request.reference is None:
            return None
        ids = encode_response(self.tokenizer, request.reference)
        return Reference(tuple(ids), len(ids))

    def length_beside_key(self, request: GenerationRequest) -> int | None:
        """L of a reference that is not among the request's arguments."""
        reference = None if request.carries_reference else self.of(request)
        return None if reference is None else reference.length


class OwnReferences:
    """The model's own answers on the whole canvas, at nobody's cost.

    Args:
        own_answers: of the backbone.
    """

    def __init__(self, own_answers: OwnAnswers) -> None:
        self.own_answers = own_answers

    def prepare(
        self, requests: Sequence[GenerationRequest], *, batch_size: int, progress: bool = False
    ) -> None:
        """Has the model answer whatever it has not answered yet."""
        asked = ((request.ids, request.settings) for request in requests)
        self.own_answers.generate(asked, batch_size, progress=progress)

    def of(self, request: GenerationRequest) -> Reference | None:
        """The model's answer; the request was among those of `prepare`."""
        return self.own_answers.reference(request.ids, request.settings)

    def length_beside_key(self, request: GenerationRequest) -> int | None:
        """None: the model's answer depends on the prompt and the settings alone."""
        return None


def check_places(arguments: Arguments) -> None:
    """Tries the places that a model of these arguments will write to, before anything is loaded.

    Raises:
        ConfigurationError: one of them cannot be written.
    """
    if arguments.telemetry is not None:
        check_file(arguments.telemetry, f"telemetry={arguments.telemetry}")
    if arguments.reference == "self":
        check_cache()


def references_of(source: str, backbone: Backbone, seed: int) -> References:
    """The references of a source, "task" or "self".

    Args:
        source: who answers.
        backbone: the model, or the tokenizer that counts the task's tokens.
        seed: of the random numbers of the model's own answers, where they need any.
    """
    if source == "self":
        return OwnReferences(OwnAnswers(backbone, cache_folder(), seed=seed))
    return TaskReferences(backbone.tokenizer)
