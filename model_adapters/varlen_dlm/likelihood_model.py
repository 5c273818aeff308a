"""A model that answers lm-eval's likelihood requests."""

from __future__ import annotations

from typing import Any

from lm_eval.api.instance import Instance
from tqdm import tqdm

from eosbench.backbone import Backbone
from eosbench.errors import ConfigurationError
from eosbench.forward import Ledger
from model_adapters.varlen_dlm.arguments import Arguments
from model_adapters.varlen_dlm.hosted_model import HostedModel
from model_adapters.varlen_dlm.likelihood_requests import LikelihoodRequest, Window
from model_adapters.varlen_dlm.processes import Processes
from model_adapters.varlen_dlm.response_cache import ResponseCache
from model_adapters.varlen_dlm.run_costs import RunCosts, in_a_run
from model_adapters.varlen_dlm.scores import Scores
from model_adapters.varlen_dlm.shares import Share


class LikelihoodModel(HostedModel):
    """A hosted model that scores given texts.

    Args:
        arguments: of the model.
        backbone: the model.
        processes: this process among those that share the requests.

    Attributes:
        scores: gives the answers.
        ledger: is charged for every request.
        costs: of the run that the model is in.
        cache: lm-eval's response cache, which every finished request goes to at once.
    """

    arguments: Arguments
    cache: ResponseCache

    def __init__(self, arguments: Arguments, backbone: Backbone, processes: Processes) -> None:
        super().__init__(arguments, backbone, processes)
        self.scores = Scores(arguments, backbone)
        self.ledger = Ledger(arguments.telemetry)
        self.costs = RunCosts(self.ledger, processes)

    @in_a_run
    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """The log-likelihood of every continuation in nats, and whether it is the greedy one."""
        self._refuse_reasoning(requests)
        share = Share.of(requests)
        asked = [
            LikelihoodRequest.continuation(instance, self.tok_encode, self.prefix_token_id)
            for instance in share.own
        ]
        with self._bar("loglikelihood", len(asked), disable_tqdm) as bar:
            for request in self.scores.answer(asked, greedy=True):
                self._keep(request)
                bar.update()
        return share.spread([(request.value, request.is_greedy) for request in asked])

    @in_a_run
    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """The log-likelihood of every text in nats, as lm-eval defines it.

        It is the sum over disjoint windows, each given what stands before it.
        """
        share = Share.of(requests)
        prefix_id, max_length = self.prefix_token_id, self.backbone.spec.max_length
        asked = [
            LikelihoodRequest.rolling(instance, self.tok_encode, prefix_id, max_length)
            for instance in share.own
        ]
        with self._bar("rolling", len(asked), disable_tqdm) as bar:
            for request in self.scores.answer(asked, greedy=False):
                self._keep(request)
                bar.update()
        return share.spread([request.value for request in asked])

    def _loglikelihood_tokens(
        self,
        requests: list[tuple[tuple[str, str], list[int], list[int]]],
        disable_tqdm: bool = False,
        **kwargs: Any,
    ) -> list[tuple[float, bool]]:
        """For callers that bring ids; `loglikelihood` does without."""
        asked = []
        for texts, context, target in requests:
            instance = Instance("loglikelihood", {}, texts, 0)
            asked.append(LikelihoodRequest(instance, [Window(context, target)]))
        for _ in self.scores.answer(asked, greedy=True):
            pass
        return [(request.value, request.is_greedy) for request in asked]

    def _refuse_reasoning(self, requests: list[Instance]) -> None:
        """Refuses to score continuations for a model that is asked to reason first, as `hf` does.

        Raises:
            ConfigurationError: `enable_thinking` is on.
        """
        if self.arguments.enable_thinking:
            tasks = sorted({str(request.task_name) for request in requests})
            raise ConfigurationError(
                f"tasks {', '.join(tasks)} score given continuations, which no reasoning comes "
                "before: leave out enable_thinking=True, or run generation tasks"
            )

    def _keep(self, request: LikelihoodRequest) -> None:
        """Counts what a finished request cost, and hands it to lm-eval's response cache."""
        instance = request.instance
        self.ledger.add(
            str(instance.task_name),
            instance.doc_id,
            instance.request_type,
            request.cost,
            standard_error=request.standard_error,
        )
        self.cache.put(instance, request.answer)

    def _bar(self, text: str, total: int, hidden: bool) -> Any:
        return tqdm(total=total, desc=f"varlen_dlm {text}", disable=hidden or self.rank != 0)
