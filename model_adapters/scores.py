"""Likelihood requests: contexts cut to fit, duplicates and masked copies batched by eosbench.likelihood, costs charged."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from eosbench.backbone import Backbone
from eosbench.costs import Ledger
from eosbench.errors import ConfigurationError
from eosbench.likelihood import Likelihood, log_likelihoods
from model_adapters.arguments import Arguments

logger = logging.getLogger(__name__)

AT_ONCE = 64  # pairs between two looks at the response cache: what a killed run loses at most

Pair = tuple[list[int], list[int]]


class Scores:
    """Log-likelihoods of (context ids, target ids) pairs."""

    def __init__(self, arguments: Arguments, backbone: Backbone, ledger: Ledger) -> None:
        self.arguments, self.backbone, self.ledger = arguments, backbone, ledger

    def score(self, pairs: Sequence[Pair], *, greedy: bool) -> Iterator[tuple[int, Likelihood]]:
        """(index, likelihood) in order.

        Raises:
            ConfigurationError: a target that alone is longer than the context.
        """
        fitted = [self._fit(context, target) for context, target in pairs]
        cut = sum(len(before) > len(after) for (before, _), (after, _) in zip(pairs, fitted, strict=True))
        if cut:
            logger.warning("%d of %d contexts were longer than the model's positions and were cut from the left", cut, len(pairs))
        for start in range(0, len(fitted), AT_ONCE):
            chunk = fitted[start : start + AT_ONCE]
            likelihoods = log_likelihoods(
                self.backbone,
                chunk,
                self.arguments.mc_num,
                batch_size=self.arguments.batch_size,
                cfg_scale=self.arguments.cfg_scale,
                seed=self.arguments.seed,
                greedy=greedy,
            )
            yield from enumerate(likelihoods, start)

    def _fit(self, context: list[int], target: list[int]) -> Pair:
        room = self.backbone.spec.max_length - len(target)
        if room < 1:
            raise ConfigurationError(
                f"a continuation of {len(target)} tokens leaves no room for a context in {self.backbone.spec.max_length} positions"
            )
        return context[-room:], target
