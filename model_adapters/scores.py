"""Likelihood requests: contexts cut to fit, duplicates and masked copies batched by eosbench.likelihood, and what each cost."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence

from eosbench.backbone import Backbone
from eosbench.costs import Cost, estimated_flops
from eosbench.errors import ConfigurationError
from eosbench.likelihood import Likelihood, log_likelihoods
from model_adapters.arguments import Arguments

logger = logging.getLogger(__name__)

AT_ONCE = 64  # pairs between two looks at the response cache: what a killed run loses at most

Pair = tuple[list[int], list[int]]


class Scores:
    """Log-likelihoods of (context ids, target ids) pairs."""

    def __init__(self, arguments: Arguments, backbone: Backbone) -> None:
        self.arguments, self.backbone = arguments, backbone

    def score(self, pairs: Sequence[Pair], *, greedy: bool) -> Iterator[tuple[Likelihood, Cost]]:
        """Each pair's likelihood and cost, in order. A pass that served several pairs is charged to each of them.

        Raises:
            ConfigurationError: a target that alone is longer than the context.
        """
        fitted = [self._fit(context, target) for context, target in pairs]
        cut = sum(len(before) > len(after) for (before, _), (after, _) in zip(pairs, fitted, strict=True))
        if cut:
            logger.warning("%d of %d contexts were longer than the model's positions and were cut from the left", cut, len(pairs))
        for start in range(0, len(fitted), AT_ONCE):
            chunk = fitted[start : start + AT_ONCE]
            started = time.perf_counter()
            likelihoods = log_likelihoods(
                self.backbone,
                chunk,
                self.arguments.mc_num,
                batch_size=self.arguments.batch_size,
                cfg_scale=self.arguments.cfg_scale,
                seed=self.arguments.seed,
                greedy=greedy,
            )
            seconds = (time.perf_counter() - started) / len(chunk)
            for pair, likelihood in zip(chunk, likelihoods, strict=True):
                yield likelihood, self._cost(pair, likelihood, seconds)

    def _fit(self, context: list[int], target: list[int]) -> Pair:
        room = self.backbone.spec.max_length - len(target)
        if room < 1:
            raise ConfigurationError(
                f"a continuation of {len(target)} tokens leaves no room for a context: "
                f"the model has {self.backbone.spec.max_length} positions"
            )
        return context[-room:], target

    def _cost(self, pair: Pair, likelihood: Likelihood, seconds: float) -> Cost:
        context, target = pair
        passes = likelihood.forward_passes + likelihood.greedy_passes
        rows = passes * (2 if self.arguments.cfg_scale else 1)
        positions = rows * (len(context) + len(target))
        flops = estimated_flops(self.backbone.spec, positions, rows, rows * (len(target) + 1) / 2)
        return Cost(0, passes, positions, flops, seconds)
