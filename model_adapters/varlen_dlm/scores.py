"""Likelihood requests answered by eosbench.likelihood, and what each cost."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from eosbench.backbone import Backbone
from eosbench.forward import Cost, TimedBackbone, estimated_flops
from eosbench.likelihood import ScoredPair, score_pairs
from model_adapters.varlen_dlm.arguments import Arguments
from model_adapters.varlen_dlm.likelihood_requests import LikelihoodRequest

logger = logging.getLogger(__name__)

AT_ONCE = 64  # pairs between two looks at the response cache: what a killed run loses at most


class Scores:
    """Answers likelihood requests.

    Args:
        arguments: of the model.
        backbone: the model that scores.
    """

    def __init__(self, arguments: Arguments, backbone: Backbone) -> None:
        self.arguments, self.backbone = arguments, TimedBackbone(backbone)

    def answer(
        self, requests: Sequence[LikelihoodRequest], *, greedy: bool
    ) -> Iterator[LikelihoodRequest]:
        """The requests as they are done.

        The longest windows come first; equal ones are computed once.

        Each request is charged the passes that it rests on, those too that served several; the
        seconds are shared out.

        Args:
            requests: of one kind; windows that do not fit lose the left of their contexts.
            greedy: whether to find out if greedy decoding gives the targets.

        Raises:
            ConfigurationError: a target that alone is longer than the model's positions.
        """
        yield from (request for request in requests if request.is_done)  # empty texts
        owners: list[LikelihoodRequest] = []
        for request in requests:
            owners += [request] * len(request.windows)
        groups = score_pairs(
            self.backbone,
            self._pairs(requests),
            self.arguments.mc_num,
            batch_size=self.arguments.batch_size,
            cfg_scale=self.arguments.cfg_scale,
            seed=self.arguments.seed,
            greedy=greedy,
            at_once=AT_ONCE,
        )
        for group, costs in self._timed(groups):
            for scored, cost in zip(group, costs, strict=True):
                for place in scored.places:
                    owners[place].add(scored.likelihood, cost)
                    if owners[place].is_done:
                        yield owners[place]

    def _pairs(
        self, requests: Sequence[LikelihoodRequest]
    ) -> list[tuple[Sequence[int], Sequence[int]]]:
        """(context, target) of every window, contexts cut from the left to what fits."""
        pairs, cut = [], 0
        for request in requests:
            spec = self.backbone.spec
            for window, fitted in zip(request.windows, request.fitted(spec), strict=True):
                cut += len(fitted.context) < len(window.context)
                pairs.append((fitted.context, fitted.target))
        if cut:
            logger.warning(
                "%d of %d contexts were longer than the model's positions and were cut "
                "from the left",
                cut,
                len(pairs),
            )
        return pairs

    def _timed(
        self, groups: Iterator[list[ScoredPair]]
    ) -> Iterator[tuple[list[ScoredPair], list[Cost]]]:
        """Every group with what each place of each of its pairs cost."""
        while True:
            started, in_model = time.perf_counter(), self.backbone.seconds
            group = next(groups, None)
            if group is None:
                return
            seconds = time.perf_counter() - started
            model_seconds = self.backbone.seconds - in_model
            costs = [self._cost(scored) for scored in group]
            positions = max(1, sum(cost.token_positions for cost in costs))
            shares = [
                cost.token_positions / positions / len(scored.places)
                for scored, cost in zip(group, costs, strict=True)
            ]
            yield (
                group,
                [
                    replace(cost, seconds=share * seconds, model_seconds=share * model_seconds)
                    for cost, share in zip(costs, shares, strict=True)
                ],
            )

    def _cost(self, scored: ScoredPair) -> Cost:
        """The passes that a pair's likelihood rests on, without their seconds."""
        likelihood = scored.likelihood
        versions = 2 if self.arguments.cfg_scale else 1
        passes = likelihood.forward_passes + likelihood.greedy_passes
        positions = versions * passes * len(scored.pair)
        scored_positions = versions * likelihood.scored_positions
        flops = estimated_flops(
            self.backbone.spec,
            positions,
            versions * passes,
            scored_positions,
            read_positions=scored_positions,
        )
        return Cost(0, passes, positions, flops)
