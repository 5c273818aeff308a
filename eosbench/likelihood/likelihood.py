"""Log-likelihood of a continuation under a masked diffusion model: exact for short ones, estimated
with a known error for others.

    log_likelihood(backbone, prompt_ids, target_ids, mc_num=128)     # nats

eosbench/likelihood/mask_plan.py says what is computed: one pass for the single tokens of multiple
choice, all sets of masked tokens up to 7 tokens within 128 passes, a sample of them beyond, which
eosbench/likelihood/estimator.py makes an estimate of. What is drawn depends on prompt, target and
seed alone. Masked copies of many requests share batches; equal copies are computed once, such as
those of a question's choices of one length.

Legend: B rows, T columns, N masked positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
import torch

from eosbench.backbone import Backbone, states_of
from eosbench.decoding import choose_tokens, precise
from eosbench.digest import seed_from
from eosbench.errors import ConfigurationError
from eosbench.forward import BatchSize, left_pad, logits_in_pieces, without_prompt
from eosbench.likelihood.estimator import estimate
from eosbench.likelihood.mask_plan import Pattern, Plan

Ids = Sequence[int] | torch.Tensor
_Key = tuple[tuple[int, ...], tuple[int, ...]]  # prompt, target
# Prompt and partly masked target, length of the target, its masked positions.
_Copy = tuple[tuple[int, ...], int, Pattern]
# Of a copy: the masked position that the model is surest of, and its token there.
_Choice = tuple[int, int]
_AT_ONCE = 128  # pairs whose masked copies are held in memory together


@dataclass(frozen=True)
class Likelihood:
    """What is known of one continuation.

    Attributes: value: log-likelihood in nats. standard_error: of `value`; 0 where it is exact.
        forward_passes: masked copies it rests on, each one row of a pass, even where an equal copy
        of another pair served. scored_positions: positions of these copies (and of the greedy ones)
        that went through the output layer. is_greedy: whether filling in the most confident token,
        one by one, gives the target; None where nobody asked. greedy_passes: rows of passes that
        finding this out took, beyond those of the value.
    """

    value: float
    standard_error: float
    forward_passes: int
    scored_positions: int = 0
    is_greedy: bool | None = None
    greedy_passes: int = 0


def log_likelihood(
    backbone: Backbone,
    prompt_ids: Ids,
    target_ids: Ids,
    mc_num: int = 128,
    *,
    cfg_scale: float = 0.0,
    seed: int = 0,
) -> float:
    """Log-likelihood of one target after one prompt, in nats; see `log_likelihoods`."""
    return log_likelihoods(
        backbone, [(prompt_ids, target_ids)], mc_num, cfg_scale=cfg_scale, seed=seed
    )[0].value


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

    Args: backbone: the model. pairs: token ids. mc_num: masked copies of a pair at most, and all
        there are where that suffices (or three); else a share of it that grows
            with the target, whose error is near that of `mc_num` independent ones where tokens
            differ much in difficulty.
        batch_size: rows of one pass; halved, with a warning, when they do not fit into memory.
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
    copies = _Copies(backbone, batch_size, cfg_scale)
    done: dict[_Key, Likelihood] = {}
    for start in range(0, len(distinct), _AT_ONCE):
        chunk = distinct[start : start + _AT_ONCE]
        plans = {key: Plan.of(len(key[1]), mc_num, _generator(key, seed)) for key in chunk}
        scores = copies.scores(plans, greedy=greedy)
        is_greedy = _greedy(copies, chunk) if greedy else {}
        for key, plan in plans.items():
            same, passes, scored = is_greedy.get(key, (None, 0, 0))
            value, error = estimate(plan, scores[key])
            done[key] = Likelihood(
                value, error, len(plan.patterns), plan.scored_positions + scored, same, passes
            )
        copies.choices.clear()
    return [done[key] for key in keys]


class _Copies:
    """Masked copies of targets, run through the model in batches of like length.

    Attributes:
        choices: what the model would fill in first, of the copies that were asked for it.
    """

    def __init__(self, backbone: Backbone, batch_size: int, cfg_scale: float) -> None:
        self.backbone, self.cfg_scale = backbone, cfg_scale
        self.size = BatchSize(batch_size)
        self.choices: dict[_Copy, _Choice] = {}

    def scores(
        self, plans: dict[_Key, Plan], *, greedy: bool
    ) -> dict[_Key, dict[Pattern, list[float]]]:
        """Log-probabilities of the masked tokens, for every pattern of every pair.

        Pairs that mask to the same ids (choices of one length) read them off one row.
        """
        waiting: dict[_Copy, list[_Key]] = {}
        for key, plan in plans.items():
            for pattern in plan.patterns:
                masked = list(key[1])
                for i in pattern:
                    masked[i] = self.backbone.spec.mask_id
                waiting.setdefault(((*key[0], *masked), plan.length, pattern), []).append(key)
        scores: dict[_Key, dict[Pattern, list[float]]] = {key: {} for key in plans}
        for copies, hidden in self._batches(list(waiting)):
            reads = [(n, key) for n, copy in enumerate(copies) for key in waiting[copy]]
            log_p, choices = self._read(
                copies, hidden, reads, [greedy and len(copy[2]) == copy[1] for copy in copies]
            )
            for (n, key), values in zip(reads, log_p, strict=True):
                scores[key][copies[n][2]] = values
            self.choices |= choices
        return scores

    def choose(self, copies: Sequence[_Copy]) -> None:
        """Finds the `choices` of these copies."""
        for some, hidden in self._batches([copy for copy in copies if copy not in self.choices]):
            self.choices |= self._read(some, hidden, [], [True] * len(some))[1]

    def _batches(self, copies: list[_Copy]) -> Iterator[tuple[list[_Copy], list[torch.Tensor]]]:
        """Batches of copies, longest first, with the hidden states of their masked positions."""
        copies = sorted(copies, key=lambda copy: -len(copy[0]))
        start = 0
        while start < len(copies):
            batch = copies[start : start + self.size.limit]
            with self.size.halved_if_out_of_memory(len(batch)) as attempt:
                hidden = self._hidden(batch)
            if attempt.succeeded:
                yield batch, hidden
                start += len(batch)

    def _hidden(self, copies: Sequence[_Copy]) -> list[torch.Tensor]:
        """[N, D] at the masked positions, copy after copy; with guidance once more without prompts."""
        spec, device = self.backbone.spec, self.backbone.device
        ids_BT, mask_BT = left_pad([torch.tensor(ids) for ids, _, _ in copies], spec.pad_id)
        where_BT = torch.zeros_like(ids_BT, dtype=torch.bool)
        for row, (_, length, positions) in enumerate(copies):
            where_BT[row, [ids_BT.shape[1] - length + i for i in positions]] = True
        versions = [ids_BT]
        if self.cfg_scale:
            versions.append(
                without_prompt(
                    ids_BT, torch.tensor([length for _, length, _ in copies]), spec.mask_id
                )
            )
        mask_BT, where_BT = mask_BT.to(device), where_BT.to(device)
        return [
            states_of(self.backbone, version_BT.to(device), mask_BT, where_BT)
            for version_BT in versions
        ]

    def _read(
        self,
        copies: list[_Copy],
        hidden: list[torch.Tensor],
        reads: list[tuple[int, _Key]],
        chooses: list[bool],
    ) -> tuple[list[list[float]], dict[_Copy, _Choice]]:
        """Log-probabilities of each read pair's own tokens in its copy, and the choices of the
        copies that want one.
        """
        counts = [len(pattern) for _, _, pattern in copies]
        starts = [0, *accumulate(counts)]
        at_M = np.concatenate(
            [np.arange(starts[n], starts[n + 1]) for n, _ in reads] or [np.empty(0, int)]
        )
        token_M = np.array([key[1][i] for n, key in reads for i in copies[n][2]], dtype=int)
        wanted_N = np.repeat(chooses, counts)
        value_M, chosen = np.zeros(len(at_M)), []
        offset = 0
        for logits_NV in logits_in_pieces(self.backbone, hidden, self.cfg_scale):
            exact_NV = logits_NV.to(precise(logits_NV.device))
            here_M = (offset <= at_M) & (at_M < offset + len(exact_NV))
            index = torch.as_tensor(
                np.stack([at_M[here_M] - offset, token_M[here_M]]), device=exact_NV.device
            )
            value_M[here_M] = (
                (exact_NV[index[0], index[1]] - exact_NV.logsumexp(dim=-1)[index[0]]).cpu().numpy()
            )
            if (
                wanted := torch.as_tensor(
                    wanted_N[offset : offset + len(exact_NV)], device=exact_NV.device
                )
            ).any():
                chosen.append(choose_tokens(exact_NV[wanted], mask_id=self.backbone.spec.mask_id))
            offset += len(exact_NV)
        ends = np.cumsum([0, *(counts[n] for n, _ in reads)])
        log_p = [value_M[first:end].tolist() for first, end in pairwise(ends)]
        choosers = [copy for copy, wants in zip(copies, chooses, strict=True) if wants and copy[2]]
        if not choosers:
            return log_p, {}
        tokens_N, confidence_N = (
            torch.cat(parts).cpu().split([len(copy[2]) for copy in choosers])
            for parts in zip(*chosen, strict=True)
        )
        best = [int(confidence_n.argmax()) for confidence_n in confidence_N]
        return log_p, {
            copy: (copy[2][n], int(tokens_n[n]))
            for copy, n, tokens_n in zip(choosers, best, tokens_N, strict=True)
        }


def _greedy(copies: _Copies, keys: Sequence[_Key]) -> dict[_Key, tuple[bool, int, int]]:
    """Whether filling in the most confident token, one at a time, gives the target; after how many
    passes and scored positions.

    A miss ends a target. The first choice stands in the copy that is masked all over, which the
    likelihood needs too.
    """
    mask_id = copies.backbone.spec.mask_id
    result, passes, scored = (
        dict.fromkeys(keys, True),
        dict.fromkeys(keys, 0),
        dict.fromkeys(keys, 0),
    )
    filled = {key: [mask_id] * len(key[1]) for key in keys}
    while unsettled := [key for key in keys if result[key] and mask_id in filled[key]]:
        rows = {}
        for key in unsettled:
            masked = tuple(i for i, token in enumerate(filled[key]) if token == mask_id)
            rows[key] = ((*key[0], *filled[key]), len(key[1]), masked)
            if len(masked) < len(key[1]):
                passes[key] += 1
                scored[key] += len(masked)
        copies.choose(list(dict.fromkeys(rows.values())))
        for key, row in rows.items():
            position, token = copies.choices[row]
            filled[key][position] = token
            result[key] = token == key[1][position]
    return {key: (result[key], passes[key], scored[key]) for key in keys}


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
        raise ConfigurationError(
            f"the target holds the mask token {spec.mask_id}, which has no likelihood"
        )
    return key


def _generator(key: _Key, seed: int) -> np.random.Generator:
    return np.random.default_rng(seed_from(repr((key, seed))))
