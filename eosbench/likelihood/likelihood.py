"""Log-likelihood of a continuation: exact for short ones, estimated with a known error for others.

    log_likelihood(backbone, prompt_ids, target_ids, mc_num=128)     # nats

eosbench/likelihood/mask_plan.py says what is computed: one pass for the single tokens of multiple
choice, all sets of masked tokens up to 7 tokens within 128 passes, a sample of them beyond, which
eosbench/likelihood/estimator.py makes an estimate of. Which sets are drawn depends on prompt,
target and seed alone. Masked copies of many pairs share batches; equal copies are computed once,
such as those of a question's choices of one length (eosbench/likelihood/masked_copies.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from eosbench.backbone import Backbone
from eosbench.errors import ConfigurationError
from eosbench.likelihood.estimator import estimate
from eosbench.likelihood.greedy import GreedyFill, fill_greedily
from eosbench.likelihood.mask_plan import Plan
from eosbench.likelihood.masked_copies import MaskedCopies, MaskedCopy
from eosbench.likelihood.pairs import Ids, Pair, places_of

PAIRS_AT_ONCE = 128  # pairs whose masked copies are held in memory together


@dataclass(frozen=True)
class Likelihood:
    """The log-likelihood of one target, and the passes that it took.

    Attributes:
        value: log-likelihood in nats.
        standard_error: of `value`; 0 where it is exact.
        forward_passes: masked copies it rests on, each one row of a pass, even where an equal copy
            of another pair served.
        scored_positions: positions of these copies (and of the greedy ones) that went through the
            output layer.
        is_greedy: whether filling in the most confident token, one by one, gives the target; None
            where nobody asked.
        greedy_passes: rows of passes that finding this out took, beyond those of the value.
    """

    value: float
    standard_error: float
    forward_passes: int
    scored_positions: int = 0
    is_greedy: bool | None = None
    greedy_passes: int = 0

    def with_greedy(self, fill: GreedyFill) -> Likelihood:
        """The same, and what greedy decoding gave and cost."""
        return replace(
            self,
            scored_positions=self.scored_positions + fill.scored_positions,
            is_greedy=fill.agrees,
            greedy_passes=fill.passes,
        )


@dataclass(frozen=True)
class ScoredPair:
    """A pair and its log-likelihood.

    Attributes:
        pair: token ids of the prompt and of the target.
        places: the places at which the pair stands among those that were asked for.
        likelihood: the same for all of them.
    """

    pair: Pair
    places: tuple[int, ...]
    likelihood: Likelihood


def log_likelihood(
    backbone: Backbone,
    prompt_ids: Ids,
    target_ids: Ids,
    mc_num: int = 128,
    *,
    cfg_scale: float = 0.0,
    seed: int = 0,
) -> float:
    """Log-likelihood of one target after one prompt, in nats; see `score_pairs`."""
    pairs = [(prompt_ids, target_ids)]
    return log_likelihoods(backbone, pairs, mc_num, cfg_scale=cfg_scale, seed=seed)[0].value


def log_likelihoods(
    backbone: Backbone,
    pairs: Sequence[tuple[Ids, Ids]],
    mc_num: int = 128,
    *,
    batch_size: int = 32,
    cfg_scale: float = 0.0,
    seed: int = 0,
    greedy: bool = False,
) -> list[Likelihood]:
    """Log-likelihoods of many (prompt, target) pairs, in their order.

    Arguments and errors are those of `score_pairs`.
    """
    found: dict[int, Likelihood] = {}
    for group in score_pairs(
        backbone,
        pairs,
        mc_num,
        batch_size=batch_size,
        cfg_scale=cfg_scale,
        seed=seed,
        greedy=greedy,
    ):
        for scored in group:
            found |= dict.fromkeys(scored.places, scored.likelihood)
    return [found[place] for place in range(len(pairs))]


def score_pairs(
    backbone: Backbone,
    pairs: Sequence[tuple[Ids, Ids]],
    mc_num: int = 128,
    *,
    batch_size: int = 32,
    cfg_scale: float = 0.0,
    seed: int = 0,
    greedy: bool = False,
    at_once: int = PAIRS_AT_ONCE,
) -> Iterator[list[ScoredPair]]:
    """Log-likelihoods of many (prompt, target) pairs as they are done.

    They come group after group, the longest pairs first. Equal pairs are scored once.

    Args:
        backbone: the model.
        pairs: token ids.
        mc_num: masked copies of a pair at most. Where all there are suffice (or three), all are
            taken; else a share of `mc_num` that grows with the target, whose error is near that of
            `mc_num` independent ones where tokens differ much in difficulty.
        batch_size: rows of one pass; halved, with a warning, when they do not fit into memory.
        cfg_scale: weight of classifier-free guidance, as in decoding.
        seed: of the sets drawn for long targets.
        greedy: also fill in `is_greedy`, at up to one more pass per token of the target.
        at_once: distinct pairs of one group, whose masked copies are held in memory together.

    Raises:
        ConfigurationError: before any pass, a number below 1, or a pair that cannot be scored (see
            `Pair.of`).
    """
    if backbone.spec.attention == "block":
        raise ConfigurationError(
            f"{backbone.spec.family!r} attends causally between blocks, and no rule is published "
            "by which such a model scores a given text: run tasks that generate"
        )
    for name, number in (("mc_num", mc_num), ("batch_size", batch_size)):
        if number < 1:
            raise ConfigurationError(f"{name}={number}: expected at least 1")
    checked = [Pair.of(backbone.spec, prompt, target) for prompt, target in pairs]
    copies = MaskedCopies(backbone, batch_size, cfg_scale)
    return _groups(copies, places_of(checked), mc_num, seed, greedy=greedy, at_once=at_once)


@torch.no_grad()
def _groups(
    copies: MaskedCopies,
    places: Mapping[Pair, Sequence[int]],
    mc_num: int,
    seed: int,
    *,
    greedy: bool,
    at_once: int,
) -> Iterator[list[ScoredPair]]:
    """Runs the passes of `score_pairs`, group after group."""
    distinct = list(places)
    for start in range(0, len(distinct), at_once):
        group = distinct[start : start + at_once]
        plans = {pair: Plan.of(len(pair.target), mc_num, pair.generator(seed)) for pair in group}
        yield [
            ScoredPair(pair, tuple(places[pair]), likelihood)
            for pair, likelihood in _likelihoods(copies, plans, greedy=greedy).items()
        ]


def _likelihoods(
    copies: MaskedCopies, plans: Mapping[Pair, Plan], *, greedy: bool
) -> dict[Pair, Likelihood]:
    """Runs every copy of every plan, and the greedy ones where they are asked for."""
    readers: dict[MaskedCopy, list[Pair]] = {}
    for pair, plan in plans.items():
        for pattern in plan.patterns:
            copy = MaskedCopy.of(pair, pattern, copies.backbone.spec.mask_id)
            readers.setdefault(copy, []).append(pair)
    choosing = {copy for copy in readers if greedy and copy.is_masked_all_over}
    readings = copies.read(readers, choosing)
    fills = fill_greedily(copies, plans, readings.choices) if greedy else {}
    likelihoods = {}
    for pair, plan in plans.items():
        value, error = estimate(plan, readings.log_p.get(pair, {}))
        likelihood = Likelihood(value, error, len(plan.patterns), plan.scored_positions)
        if pair in fills:
            likelihood = likelihood.with_greedy(fills[pair])
        likelihoods[pair] = likelihood
    return likelihoods
