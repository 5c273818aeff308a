"""From requests to texts for a method that decides the length while decoding: there is no bound
before, and none to ask for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from eosbench.backbone import Backbone
from eosbench.errors import ConfigurationError
from eosbench.forward import Ledger
from eosbench.strategies import Strategy
from model_adapters.varlen_dlm.arguments import Arguments
from model_adapters.varlen_dlm.requests import Request
from model_adapters.varlen_dlm.stop_strings import text_before_stop


class StrategyAnswers:
    """Answers generation requests by a strategy, and charges them to a ledger."""

    def __init__(
        self, arguments: Arguments, backbone: Backbone, strategy: Strategy, ledger: Ledger
    ) -> None:
        self.arguments, self.backbone, self.strategy, self.ledger = (
            arguments,
            backbone,
            strategy,
            ledger,
        )

    def prepare(self, requests: Sequence[Request], *, progress: bool = False) -> None:
        """Looks at all requests before anything is computed.

        Raises:
            ConfigurationError: one of them asks for a bound.
        """
        asked = next((request for request in requests if request.benchmark is not None), None)
        if asked is not None:
            raise ConfigurationError(
                f"task {asked.task} asks for a bound before the first token is decoded, but method {self.arguments.method!r} "
                "decides the length while decoding and predicts none: run it on generation tasks (varlen_instruct, gsm8k, ...), "
                "or a method that predicts (eosbench sweep --methods all runs each where it can)"
            )

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, str]]:
        """(index, text) as they finish."""
        jobs = [request.job(self.backbone.tokenizer, request.canvas) for request in requests]
        for index, answer in self.strategy.generate(
            self.backbone, jobs, batch_size=self.arguments.batch_size
        ):
            request = requests[index]
            self.ledger.add(request.task, request.document, "generate", answer.cost)
            yield index, text_before_stop(self.backbone.tokenizer, answer.tokens, request.until)
