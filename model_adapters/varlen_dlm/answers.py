"""Answers to generation requests by a method that predicts a bound.

A request that wants a text gets the window that its bound allows, denoised. A request of the EOS
upper-bound benchmark gets a record of its bound (`LengthRecord`), and nothing is denoised. Methods
that predict no bound are in strategy_answers.py.

Legend: C canvas, L reference length.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from eosbench.backbone import Backbone
from eosbench.decoding import generate
from eosbench.errors import PredictorError
from eosbench.forward import Cost, Ledger
from eosbench.metrics import false_ends
from eosbench.records import LengthRecord
from model_adapters.varlen_dlm.bounds import Bounded, Bounds
from model_adapters.varlen_dlm.generation_requests import GenerationRequest


class Answerer(Protocol):
    """The part of the model that answers generation requests."""

    def prepare(self, requests: Sequence[GenerationRequest], *, progress: bool = False) -> None:
        """Looks at all requests before any of them is answered.

        Raises:
            ConfigurationError: one of them cannot be answered by the method.
        """
        ...

    def answer(self, requests: Sequence[GenerationRequest]) -> Iterator[GenerationRequest]:
        """The requests as they are answered, each with its answer."""
        ...

    def bounds_for_texts(self, requests: Sequence[GenerationRequest]) -> Iterator[Bounded]:
        """The bounds of requests that want a text, in order, as the benchmark measures them.

        Raises:
            ConfigurationError: the method predicts no bound.
        """
        ...

    def length_beside_key(self, request: GenerationRequest) -> int | None:
        """L, where the answer depends on it and the key of lm-eval's response cache does not."""
        ...


class BoundAnswers:
    """Answers by bounds.

    Args:
        bounds: of the method.
        backbone: the model that denoises.
        ledger: is charged for every request.
    """

    def __init__(self, bounds: Bounds, backbone: Backbone, ledger: Ledger) -> None:
        self.bounds, self.backbone, self.ledger = bounds, backbone, ledger
        self.arguments = bounds.arguments

    def prepare(self, requests: Sequence[GenerationRequest], *, progress: bool = False) -> None:
        """Makes the references available with which bounds are compared.

        Raises:
            PredictorError: a method that is told of a reference, and a request without one.
        """
        compared = [
            request for request in requests if request.benchmark is not None or self.bounds.is_told
        ]
        self.bounds.references.prepare(
            compared, batch_size=self.arguments.batch_size, progress=progress
        )
        for request in requests:
            if self.bounds.is_told and self.bounds.references.of(request) is None:
                raise PredictorError(
                    f"{request.where}: method {self.arguments.method!r} reads the reference "
                    "length, and this request carries none"
                )

    def answer(self, requests: Sequence[GenerationRequest]) -> Iterator[GenerationRequest]:
        """The requests as they are answered: those of the benchmark first, then the texts."""
        by_length = sorted(requests, key=lambda request: len(request.ids))
        yield from self._records([one for one in by_length if one.benchmark is not None])
        yield from self._texts([one for one in by_length if one.benchmark is None])

    def length_beside_key(self, request: GenerationRequest) -> int | None:
        """L for a method that reads the reference, and for no other."""
        return self.bounds.references.length_beside_key(request) if self.bounds.is_told else None

    def bounds_for_texts(self, requests: Sequence[GenerationRequest]) -> Iterator[Bounded]:
        """The bounds of requests that want a text, in order, before anything is denoised."""
        return self._bounds_for_texts(requests, self.arguments.rounding_of_bounds)

    def _bounds_for_texts(
        self, requests: Sequence[GenerationRequest], rounding: str
    ) -> Iterator[Bounded]:
        shown = [self.bounds.masked(request) for request in requests]
        return self.bounds.of(shown, rounding=rounding)

    def _records(self, requests: Sequence[GenerationRequest]) -> Iterator[GenerationRequest]:
        shown = [self.bounds.revealed(request) for request in requests]
        rounding = self.arguments.rounding_of_bounds
        for bounded in self.bounds.of(shown, rounding=rounding, with_eos=True):
            request = bounded.shown.request
            self._charge("predict", bounded, bounded.cost)
            request.answer = length_record(self.arguments.method, bounded).to_json()
            yield request

    def _texts(self, requests: Sequence[GenerationRequest]) -> Iterator[GenerationRequest]:
        tokenizer = self.backbone.tokenizer
        rounding = self.arguments.rounding_of_windows
        bounds = list(self._bounds_for_texts(requests, rounding))
        answers = generate(
            self.backbone,
            [one.shown.request.job(tokenizer, one.bound.bound, one.first_ND) for one in bounds],
            batch_size=self.arguments.batch_size,
            overflow=self.arguments.overflow,
        )
        for index, answer in answers:
            bounded = bounds[index]
            request = bounded.shown.request
            request.tokens, request.cost = answer.tokens, answer.cost + bounded.cost
            request.bounded = bounded
            self._charge("generate", bounded, request.cost)
            request.answer = request.text(tokenizer, answer.tokens)
            yield request

    def _charge(self, kind: str, bounded: Bounded, cost: Cost) -> None:
        self.ledger.add(
            bounded.shown.request.task,
            bounded.shown.request.document,
            kind,
            cost,
            bound=bounded.bound.bound,
            prediction=bounded.prediction.length,
        )


def length_record(method: str, bounded: Bounded) -> LengthRecord:
    """The record of a bound, which is the answer to a request of the benchmark."""
    shown, prediction, bound = bounded.shown, bounded.prediction, bounded.bound
    curve_C = prediction.eos_probability
    return LengthRecord(
        method=method,
        fraction=shown.prompt.fraction,
        canvas=len(shown.prompt.canvas),
        prompt_length=len(shown.prompt.ids),
        length=shown.length,
        prediction=prediction.length,
        calibrated=bound.calibrated,
        bound=bound.bound,
        clamped=bound.clamped,
        revealed=list(shown.revealed),
        eos_probability=None if curve_C is None else [round(float(p), 4) for p in curve_C],
        **_eos_at_the_end(bounded),
    )


def _eos_at_the_end(bounded: Bounded) -> dict[str, Any]:
    """The fields of a record that say what step zero made of L; none without step zero."""
    rank_C, probability_C = bounded.eos_rank_C, bounded.eos_probability_C
    if rank_C is None or probability_C is None:
        return {}
    length = bounded.shown.length
    found: dict[str, Any] = {}
    if length < len(bounded.shown.prompt.canvas):
        found["eos_rank"] = int(rank_C[length])
        found["eos_prob"] = float(probability_C[length])
    false = false_ends(rank_C, length, bounded.shown.revealed)
    if not math.isnan(false):
        found["eos_false"] = false
    return found
