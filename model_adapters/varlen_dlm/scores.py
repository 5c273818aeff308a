"""Likelihood requests: contexts cut to fit, duplicates and masked copies batched by
eosbench.likelihood, and what each cost.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from eosbench.backbone import Backbone
from eosbench.errors import ConfigurationError
from eosbench.forward import Cost, TimedBackbone, estimated_flops
from eosbench.likelihood import Likelihood, log_likelihoods
from model_adapters.varlen_dlm.arguments import Arguments

logger = logging.getLogger(__name__)

AT_ONCE = 64  # pairs between two looks at the response cache: what a killed run loses at most

Pair = tuple[list[int], list[int]]


class Scores:
    """Log-likelihoods of (context ids, target ids) pairs."""

    def __init__(self, arguments: Arguments, backbone: Backbone) -> None:
        self.arguments, self.backbone = arguments, TimedBackbone(backbone)

    def score(
        self, pairs: Sequence[Pair], *, greedy: bool
    ) -> Iterator[tuple[int, Likelihood, Cost]]:
        """(index, likelihood, cost) as they are done: the longest first, equal pairs together and
        computed once.

        Each is charged the passes it rests on, those too that served several; the seconds are
        shared out.

        Raises:
            ConfigurationError: a target that alone is longer than the context.
        """
        fitted = [self._fit(context, target) for context, target in pairs]
        cut = sum(
            len(before) > len(after) for (before, _), (after, _) in zip(pairs, fitted, strict=True)
        )
        if cut:
            logger.warning(
                "%d of %d contexts were longer than the model's positions and were cut from the left",
                cut,
                len(pairs),
            )
        places: dict[tuple[tuple[int, ...], tuple[int, ...]], list[int]] = {}
        for index, (context, target) in enumerate(fitted):
            places.setdefault((tuple(context), tuple(target)), []).append(index)
        distinct = sorted(places, key=lambda pair: (-len(pair[0]) - len(pair[1]), pair))
        for start in range(0, len(distinct), AT_ONCE):
            chunk = distinct[start : start + AT_ONCE]
            started, in_model = time.perf_counter(), self.backbone.seconds
            likelihoods = log_likelihoods(
                self.backbone,
                chunk,
                self.arguments.mc_num,
                batch_size=self.arguments.batch_size,
                cfg_scale=self.arguments.cfg_scale,
                seed=self.arguments.seed,
                greedy=greedy,
            )
            seconds, model_seconds = time.perf_counter() - started, self.backbone.seconds - in_model
            costs = [
                self._cost(*pair, likelihood)
                for pair, likelihood in zip(chunk, likelihoods, strict=True)
            ]
            positions = max(1, sum(cost.token_positions for cost in costs))
            for pair, likelihood, cost in zip(chunk, likelihoods, costs, strict=True):
                share = cost.token_positions / positions / len(places[pair])
                timed = replace(cost, seconds=share * seconds, model_seconds=share * model_seconds)
                yield from ((index, likelihood, timed) for index in places[pair])

    def _fit(self, context: list[int], target: list[int]) -> Pair:
        room = self.backbone.spec.max_length - len(target)
        if room < 1:
            raise ConfigurationError(
                f"a continuation of {len(target)} tokens leaves no room for a context: "
                f"the model has {self.backbone.spec.max_length} positions"
            )
        return context[-room:], target

    def _cost(self, context: Sequence[int], target: Sequence[int], likelihood: Likelihood) -> Cost:
        passes = likelihood.forward_passes + likelihood.greedy_passes
        versions = 2 if self.arguments.cfg_scale else 1
        positions = versions * passes * (len(context) + len(target))
        scored = versions * likelihood.scored_positions
        flops = estimated_flops(
            self.backbone.spec, positions, versions * passes, scored, read_positions=scored
        )
        return Cost(0, passes, positions, flops)
