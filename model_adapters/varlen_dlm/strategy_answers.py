"""Answers to generation requests by a method that decides the length while it decodes.

There is no bound before the first token, and none to ask for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from eosbench.backbone import Backbone
from eosbench.decoding import generate
from eosbench.errors import ConfigurationError
from eosbench.forward import Ledger
from eosbench.predictors import METHODS
from eosbench.strategies import Strategy
from model_adapters.varlen_dlm.arguments import Arguments
from model_adapters.varlen_dlm.bounds import Bounded
from model_adapters.varlen_dlm.generation_requests import GenerationRequest


class StrategyAnswers:
    """Answers by a strategy.

    Args:
        arguments: of the model.
        backbone: the model that denoises.
        strategy: decides the length.
        ledger: is charged for every request.
    """

    def __init__(
        self, arguments: Arguments, backbone: Backbone, strategy: Strategy, ledger: Ledger
    ) -> None:
        self.arguments, self.backbone = arguments, backbone
        self.strategy, self.ledger = strategy, ledger

    def prepare(self, requests: Sequence[GenerationRequest], *, progress: bool = False) -> None:
        """Looks at all requests before anything is computed.

        Raises:
            ConfigurationError: one of them asks for a bound.
        """
        asked = next((request for request in requests if request.benchmark is not None), None)
        if asked is not None:
            raise ConfigurationError(
                f"task {asked.task} asks for a bound before the first token is decoded, but method "
                f"{self.arguments.method!r} decides the length while decoding and predicts none: "
                "run it on generation tasks (varlen_instruct, gsm8k, ...), or a method that "
                "predicts (eosbench sweep --methods all runs each where it can)"
            )

    def answer(self, requests: Sequence[GenerationRequest]) -> Iterator[GenerationRequest]:
        """The requests as they are answered, each with its text."""
        tokenizer = self.backbone.tokenizer
        policy, jobs = self.strategy.prepare(
            self.backbone, [request.job(tokenizer, request.canvas) for request in requests]
        )
        answers = generate(self.backbone, jobs, batch_size=self.arguments.batch_size, policy=policy)
        for index, answer in answers:
            request = requests[index]
            request.tokens, request.cost = answer.tokens, answer.cost
            self.ledger.add(request.task, request.document, "generate", answer.cost)
            request.answer = request.text(tokenizer, answer.tokens)
            yield request

    def bounds_for_texts(self, requests: Sequence[GenerationRequest]) -> Iterator[Bounded]:
        """Refuses: a strategy has no bound before the first token.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(
            f"method {self.arguments.method!r} decides the length while it decodes, so there is no "
            "bound to predict before that: use generate, or a method that predicts "
            f"({', '.join(METHODS)})"
        )

    def length_beside_key(self, request: GenerationRequest) -> int | None:
        """None: no strategy is told of a reference."""
        return None
