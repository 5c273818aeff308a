"""Log-likelihood of a continuation under a masked diffusion model.

The model's bound on log p(target | prompt) averages over how many of the target's L tokens are masked and which:

    E over l uniform in 1..L, S uniform among the sets of l positions, of  f(S) = (L / l) * sum over i in S of log p(x_i | rest)

Short targets are exact: all 2^L - 1 sets are enumerated where `mc_num` passes allow it (one pass for the single tokens of
multiple choice, every L up to 7 within 128). Longer ones are estimated without bias and with little noise: S = everything is
computed once, since l = L has no other set; every other set comes with its complement, so that each token is masked in exactly
one of the two; and l is stratified. What is drawn depends on prompt, target and seed alone. Masked copies of many requests
share batches, equal copies are computed once.

Legend: B rows, T columns, N masked positions, L target length, V vocabulary.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from eosbench.backbone import Backbone, scoring_rows
from eosbench.errors import ConfigurationError
from eosbench.scoring import left_pad, logits_in_pieces, without_prompt
from eosbench.unmasking import choose_tokens, precise

_T = TypeVar("_T")
Ids = Sequence[int] | torch.Tensor
_Key = tuple[tuple[int, ...], tuple[int, ...]]  # prompt, target
_Pattern = tuple[int, ...]  # masked positions of the target, ascending
_AT_ONCE = 128  # pairs whose masked copies are held in memory together


@dataclass(frozen=True)
class Likelihood:
    """What is known of one continuation.

    Attributes:
        value: log-likelihood in nats.
        standard_error: of `value`; 0 where it is exact, NaN where one pair of sets was all that `mc_num` allowed.
        forward_passes: masked copies it rests on, each one row of a pass, even where an equal copy of another pair served.
        is_greedy: whether filling in the most confident token, one by one, gives the target; None where nobody asked.
        greedy_passes: rows of passes that finding this out took.
    """

    value: float
    standard_error: float
    forward_passes: int
    is_greedy: bool | None = None
    greedy_passes: int = 0


def log_likelihood(
    backbone: Backbone, prompt_ids: Ids, target_ids: Ids, mc_num: int = 128, *, cfg_scale: float = 0.0, seed: int = 0
) -> float:
    """Log-likelihood of one target after one prompt, in nats; see `log_likelihoods`."""
    return log_likelihoods(backbone, [(prompt_ids, target_ids)], mc_num, cfg_scale=cfg_scale, seed=seed)[0].value


@torch.no_grad()
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
    """Log-likelihoods of many (prompt, target) pairs.

    Args:
        backbone: the model.
        pairs: token ids.
        mc_num: masked copies per pair at most (three at least are taken where the target has more than one token).
        batch_size: rows of one pass.
        cfg_scale: weight of classifier-free guidance, as in decoding.
        seed: of the sets drawn for long targets.
        greedy: also fill in `is_greedy`, at up to one more pass per token of the target.

    Raises:
        ConfigurationError: a number below 1, or a pair that is longer than the model's positions.
    """
    for name, number in (("mc_num", mc_num), ("batch_size", batch_size)):
        if number < 1:
            raise ConfigurationError(f"{name}={number}: expected at least 1")
    keys = [_key(backbone, prompt, target) for prompt, target in pairs]
    distinct = sorted(set(keys), key=lambda key: (-len(key[0]) - len(key[1]), key))
    done: dict[_Key, Likelihood] = {}
    for chunk in _chunks(distinct, _AT_ONCE):
        plans = {key: _Plan.of(len(key[1]), mc_num, _generator(key, seed)) for key in chunk}
        scores = _scores(backbone, plans, batch_size=batch_size, cfg_scale=cfg_scale)
        is_greedy = _greedy(backbone, chunk, batch_size=batch_size, cfg_scale=cfg_scale) if greedy else {}
        for key, plan in plans.items():
            done[key] = Likelihood(*plan.estimate(scores[key]), len(plan.patterns), *is_greedy.get(key, ()))
    return [done[key] for key in keys]


@dataclass(frozen=True)
class _Plan:
    """Which sets of positions are masked, and how their f(S) become an estimate; `draws` is empty where all sets are there."""

    length: int
    patterns: tuple[_Pattern, ...]
    draws: tuple[tuple[_Pattern, _Pattern], ...] = ()

    @classmethod
    def of(cls, length: int, mc_num: int, generator: np.random.Generator) -> _Plan:
        everything = tuple(range(length))
        if 2**length - 1 <= max(mc_num, 3):
            return cls(length, tuple(_subset(everything, bits) for bits in range(1, 2**length)))
        count = max(1, (mc_num - 1) // 2)
        sizes = 1 + ((length - 1) * (np.arange(count) + generator.random(count)) / count).astype(int)
        draws = []
        for size in sizes:
            inside = set(generator.permutation(length)[:size].tolist())
            draws.append((tuple(sorted(inside)), tuple(i for i in everything if i not in inside)))
        return cls(length, tuple({pattern: None for pattern in [everything, *(p for draw in draws for p in draw)]}), tuple(draws))

    def estimate(self, scores: dict[_Pattern, float]) -> tuple[float, float]:
        """(value, standard error). The error is that of neighbouring strata, whose expectations differ little."""
        length = self.length
        if not self.draws:
            return math.fsum(score / (length * math.comb(length, len(pattern))) for pattern, score in scores.items()), 0.0
        halves = np.array([(scores[inside] + scores[outside]) / 2 for inside, outside in self.draws])
        value = scores[tuple(range(length))] / length + (length - 1) / length * halves.mean()
        if len(halves) < 2:
            return float(value), math.nan
        variance = (np.diff(halves) ** 2).sum() / (2 * (len(halves) - 1) * len(halves))
        return float(value), float((length - 1) / length * math.sqrt(variance))


def _scores(
    backbone: Backbone, plans: dict[_Key, _Plan], *, batch_size: int, cfg_scale: float
) -> dict[_Key, dict[_Pattern, float]]:
    """f(S) of every pattern of every pair. Pairs that mask to the same ids (choices of one length) read them off the same row."""
    scores: dict[_Key, dict[_Pattern, float]] = {key: {} for key in plans}
    waiting: dict[tuple[tuple[int, ...], _Pattern], list[_Key]] = {}
    for (prompt, target), plan in plans.items():
        for pattern in plan.patterns:
            masked = list(target)
            for i in pattern:
                masked[i] = backbone.spec.mask_id
            waiting.setdefault(((*prompt, *masked), pattern), []).append((prompt, target))
    for rows in _chunks(sorted(waiting, key=lambda row: -len(row[0])), batch_size):
        logits = _target_logits(backbone, [(ids, len(waiting[ids, where][0][1]), where) for ids, where in rows], cfg_scale)
        _read_off(logits, [(where, waiting[ids, where]) for ids, where in rows], scores)
    return scores


def _target_logits(
    backbone: Backbone, rows: Sequence[tuple[tuple[int, ...], int, _Pattern]], cfg_scale: float
) -> Iterator[torch.Tensor]:
    """Logits [n, V] at the given target positions of every (ids, target length, positions), row after row, in pieces."""
    ids_BT, mask_BT = (x.to(backbone.device) for x in left_pad([torch.tensor(ids) for ids, _, _ in rows], backbone.spec.pad_id))
    where_BT = torch.zeros_like(ids_BT, dtype=torch.bool)
    for row, (_, length, positions) in enumerate(rows):
        where_BT[row, [ids_BT.shape[1] - length + i for i in positions]] = True
    versions = [ids_BT]
    if cfg_scale:
        response_B = torch.tensor([length for _, length, _ in rows], device=backbone.device)
        versions.append(without_prompt(ids_BT, response_B, backbone.spec.mask_id))
    shifted = backbone.spec.logits_shifted
    hidden = [scoring_rows(backbone.hidden(version_BT, mask_BT), shifted)[where_BT] for version_BT in versions]
    return logits_in_pieces(backbone, hidden, cfg_scale)


def _read_off(
    logits: Iterator[torch.Tensor], rows: Sequence[tuple[_Pattern, list[_Key]]], scores: dict[_Key, dict[_Pattern, float]]
) -> None:
    """Adds up log-probabilities of the pairs' own tokens; a row serves every pair that waits for it."""
    reads = [(place, i) for place, (pattern, _) in enumerate(rows) for i in pattern]
    sums: list[list[float]] = [[0.0] * len(keys) for _, keys in rows]
    offset = 0
    for logits_NV in logits:
        log_p_NV = logits_NV.to(precise(logits_NV.device)).log_softmax(dim=-1)
        here = reads[offset : offset + len(log_p_NV)]
        picks = [(n, place, k, key[1][i]) for n, (place, i) in enumerate(here) for k, key in enumerate(rows[place][1])]
        index = torch.tensor([(n, token) for n, _, _, token in picks], device=log_p_NV.device)
        for (_, place, k, _), value in zip(picks, log_p_NV[index[:, 0], index[:, 1]].tolist(), strict=True):
            sums[place][k] += value
        offset += len(here)
    for (pattern, keys), totals in zip(rows, sums, strict=True):
        for key, total in zip(keys, totals, strict=True):
            scores[key][pattern] = total * len(key[1]) / len(pattern)


def _greedy(backbone: Backbone, keys: Sequence[_Key], *, batch_size: int, cfg_scale: float) -> dict[_Key, tuple[bool, int]]:
    """Whether filling in the most confident token, one at a time, gives the target, and after how many; a miss ends a row."""
    mask_id = backbone.spec.mask_id
    result, passes = dict.fromkeys(keys, True), dict.fromkeys(keys, 0)
    for chunk in _chunks(list(keys), batch_size):
        filled = {key: [mask_id] * len(key[1]) for key in chunk}
        while unsettled := [key for key in chunk if result[key] and mask_id in filled[key]]:
            masked = [tuple(i for i, token in enumerate(filled[key]) if token == mask_id) for key in unsettled]
            rows = [((*key[0], *filled[key]), len(key[1]), where) for key, where in zip(unsettled, masked, strict=True)]
            chosen = [choose_tokens(logits_NV, mask_id=mask_id) for logits_NV in _target_logits(backbone, rows, cfg_scale)]
            tokens, confidences = (
                torch.cat(parts).split([len(where) for where in masked]) for parts in zip(*chosen, strict=True)
            )
            for key, where, tokens_N, confidence_N in zip(unsettled, masked, tokens, confidences, strict=True):
                passes[key] += 1
                best = int(confidence_N.argmax())
                filled[key][where[best]] = int(tokens_N[best])
                result[key] = filled[key][where[best]] == key[1][where[best]]
    return {key: (result[key], passes[key]) for key in keys}


def _key(backbone: Backbone, prompt: Ids, target: Ids) -> _Key:
    key = tuple(torch.as_tensor(prompt).tolist()), tuple(torch.as_tensor(target).tolist())
    spec, total = backbone.spec, len(key[0]) + len(key[1])
    if total > spec.max_length:
        raise ConfigurationError(
            f"prompt of {len(key[0])} and target of {len(key[1])} tokens: the model has {spec.max_length} positions; "
            "shorten the prompt from the left"
        )
    if spec.logits_shifted and not key[0]:
        raise ConfigurationError(f"empty prompt: {spec.family} needs a token before the target")
    if spec.mask_id in key[1]:
        raise ConfigurationError(f"the target holds the mask token {spec.mask_id}, which has no likelihood")
    return key


def _generator(key: _Key, seed: int) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(repr((key, seed)).encode()).digest()[:8], "big"))


def _subset(positions: _Pattern, bits: int) -> _Pattern:
    return tuple(i for i in positions if bits >> i & 1)


def _chunks(items: list[_T], size: int) -> Iterator[list[_T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
