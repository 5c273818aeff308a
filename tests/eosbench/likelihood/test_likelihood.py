"""Likelihoods against exact enumeration by other code (tests/golden) and numbers by hand."""

from __future__ import annotations

import math
from itertools import combinations
from statistics import mean, stdev
from typing import Any

import pytest
import torch

from eosbench.errors import ConfigurationError
from eosbench.likelihood.likelihood import (
    Likelihood,
    log_likelihood,
    log_likelihoods,
    score_pairs,
)
from tests.fakes import MASK, ScriptedBackbone, SmallMemory, table
from tests.golden_files import Golden, load_golden

V = 12
TINY = ("llada-tiny", "llada-tiny-gqa")
Pair = tuple[torch.Tensor, torch.Tensor]


def golden_pairs(golden: Golden) -> list[Pair]:
    cases = range(len(golden.settings["loglikelihood"]))
    return [
        (
            golden.tensors[f"loglikelihood.{case}.prompt"],
            golden.tensors[f"loglikelihood.{case}.target"],
        )
        for case in cases
    ]


def crowd(ids_T: torch.Tensor) -> torch.Tensor:
    """Logits under which a token is the likelier the more of its neighbours are known, so that
    sets of masked tokens differ.
    """
    logits_TV = torch.zeros(len(ids_T), V)
    known_T = (ids_T != MASK).float()
    for i in range(len(ids_T)):
        logits_TV[i, 3 + i % 5] = 0.5 * known_T.sum() + known_T[max(0, i - 1)] + 0.3 * i
    return logits_TV


def by_hand(prompt: list[int], target: list[int]) -> float:
    """The definition, word for word."""
    length, total = len(target), 0.0
    for size in range(1, length + 1):
        scores = []
        for masked in combinations(range(length), size):
            ids = prompt + [MASK if i in masked else token for i, token in enumerate(target)]
            log_p = crowd(torch.tensor(ids)).double().log_softmax(-1)
            scores.append(
                length / size * sum(log_p[len(prompt) + i, target[i]].item() for i in masked)
            )
        total += mean(scores)
    return total / length


@pytest.mark.parametrize("name", TINY)
def test_short_targets_are_exact(name: str) -> None:
    golden = load_golden(name)
    found = log_likelihoods(golden.backbone, golden_pairs(golden))
    for likelihood, case in zip(found, golden.settings["loglikelihood"], strict=True):
        assert likelihood.value == pytest.approx(case["exact"], abs=1e-4)
        assert likelihood.standard_error == 0.0
    assert [likelihood.forward_passes for likelihood in found] == [1, 3, 7, 31, 127]


@pytest.mark.parametrize("name", TINY)
def test_estimates_lie_within_their_error_of_the_exact_value(name: str) -> None:
    golden = load_golden(name)
    exact = golden.settings["loglikelihood"][4]["exact"]
    found = log_likelihoods(golden.backbone, golden_pairs(golden)[4:], mc_num=40)[0]
    assert 3 <= found.forward_passes <= 40
    assert 0.05 < found.standard_error < 3.0
    assert abs(found.value - exact) < 4 * found.standard_error


def test_the_definition_by_hand() -> None:
    backbone = ScriptedBackbone(crowd, vocab_size=V)
    for target in ([4], [4, 5], [7, 6, 4, 3]):
        assert log_likelihood(backbone, [9, 9], target) == pytest.approx(
            by_hand([9, 9], target), abs=1e-5
        )


@pytest.mark.parametrize("mc_num", [4, 9, 24])
def test_estimates_are_unbiased_and_know_their_error(mc_num: int) -> None:
    backbone = ScriptedBackbone(crowd, vocab_size=V)
    target = [7, 6, 4, 3, 5]
    found = [
        log_likelihoods(backbone, [([9], target)], mc_num, seed=seed)[0] for seed in range(150)
    ]
    spread = stdev(one.value for one in found)
    assert mean(one.value for one in found) == pytest.approx(
        by_hand([9], target), abs=4 * spread / math.sqrt(150)
    )
    assert all(one.forward_passes <= max(3, mc_num) for one in found)
    # Right on average.
    assert 0.7 * spread < math.sqrt(mean(one.standard_error**2 for one in found)) < 1.4 * spread


def test_estimates_beat_independent_sets() -> None:
    backbone = ScriptedBackbone(crowd, vocab_size=V)
    target, generator = [7, 6, 4, 3, 5, 7, 6, 4], torch.Generator().manual_seed(0)

    def independent() -> float:
        size = int(torch.randint(1, 9, (), generator=generator))
        masked = torch.randperm(8, generator=generator)[:size].tolist()
        ids = [9] + [MASK if i in masked else token for i, token in enumerate(target)]
        log_p = crowd(torch.tensor(ids)).double().log_softmax(-1)
        return 8 / size * sum(log_p[1 + i, target[i]].item() for i in masked)

    ours = stdev(log_likelihood(backbone, [9], target, 16, seed=seed) for seed in range(60))
    plain = stdev(mean(independent() for _ in range(16)) for _ in range(60))
    assert ours < plain / 2


def test_the_same_value_alone_in_any_batch_and_order() -> None:
    backbone = ScriptedBackbone(crowd, vocab_size=V)
    pairs: list[Any] = [
        ([9], [7, 6, 4, 3, 5]),
        ([9, 8, 9], [4]),
        ([], [5, 5]),
        ([9, 9], [7, 6, 4, 3, 5, 3]),
    ]
    alone = [log_likelihoods(backbone, [pair], 10)[0] for pair in pairs]
    assert log_likelihoods(backbone, pairs, 10, batch_size=3) == pytest.approx(alone)
    assert log_likelihoods(backbone, pairs[::-1], 10, batch_size=7)[::-1] == alone
    assert log_likelihood(backbone, [9], [7, 6, 4, 3, 5], 10, seed=1) != alone[0].value


def test_choices_share_one_pass_and_duplicates_are_computed_once() -> None:
    backbone = ScriptedBackbone(crowd, vocab_size=V)
    choices: list[Any] = [([9, 8], [token]) for token in (3, 4, 5, 6)]
    found = log_likelihoods(backbone, [*choices, choices[0]])
    assert [ids.tolist() for ids, _ in backbone.passes] == [[[9, 8, MASK]]]
    assert found[0] == found[4]
    assert math.exp(found[2].value) == pytest.approx(
        crowd(torch.tensor([9, 8, MASK]))[2].softmax(-1)[5].item()
    )


def test_the_first_greedy_choice_costs_no_pass_of_its_own() -> None:
    backbone = ScriptedBackbone(crowd, vocab_size=V)
    (found,) = log_likelihoods(backbone, [([9, 8], [5])], greedy=True)
    assert (
        len(backbone.passes),
        found.forward_passes,
        found.greedy_passes,
        found.scored_positions,
    ) == (1, 1, 0, 1)
    assert found.is_greedy == (int(crowd(torch.tensor([9, 8, MASK]))[2].argmax()) == 5)


@pytest.mark.parametrize("greedy", [False, True])
def test_a_batch_that_does_not_fit_is_halved(
    greedy: bool, caplog: pytest.LogCaptureFixture
) -> None:
    small, large = SmallMemory(crowd, vocab_size=V), ScriptedBackbone(crowd, vocab_size=V)
    pairs: list[Any] = [([9, 8], [5, 4, 3]), ([9], [4, 3])]
    assert log_likelihoods(small, pairs, batch_size=8, greedy=greedy) == log_likelihoods(
        large, pairs, greedy=greedy
    )
    assert {len(ids) for ids, _ in small.passes} <= {1, 2}
    assert [record.args for record in caplog.records] == [(8, 4), (4, 2)]


def test_guidance_compares_with_the_masked_prompt() -> None:
    def script(ids_T: torch.Tensor) -> torch.Tensor:
        logits_TV = torch.zeros(len(ids_T), V)
        logits_TV[:, 5] = 1.0 if ids_T[0] == MASK else 2.0
        return logits_TV

    found = log_likelihood(ScriptedBackbone(script, vocab_size=V), [9], [5], cfg_scale=1.0)
    assert found == pytest.approx(3.0 - math.log(math.exp(3.0) + V - 1))  # 1 + 2 (2 - 1) = 3


def test_greedy_fills_in_the_most_confident_token_first() -> None:
    def script(ids_T: torch.Tensor) -> torch.Tensor:
        """Position 2 is sure of 6. Position 1 leans to 4, and knows it is 5 once position 2 is
        there.
        """
        logits_TV = table([9, 4, 6], [0.9, 0.6, 0.95], V)
        if ids_T[2] == 6:
            logits_TV = table([9, 5, 6], [0.9, 0.9, 0.95], V)
        return logits_TV

    backbone = ScriptedBackbone(script, vocab_size=V)
    pairs: list[Any] = [([9], [5, 6]), ([9], [4, 6]), ([9], [5, 7])]
    assert [found.is_greedy for found in log_likelihoods(backbone, pairs, greedy=True)] == [
        True,
        False,
        False,
    ]
    assert [found.is_greedy for found in log_likelihoods(backbone, pairs)] == [None, None, None]


@pytest.mark.parametrize("shifted", [False, True])
def test_families_whose_logits_are_shifted(shifted: bool) -> None:
    backbone = ScriptedBackbone(crowd, vocab_size=V, logits_shifted=shifted)
    assert log_likelihood(backbone, [9], [4, 5]) == pytest.approx(by_hand([9], [4, 5]), abs=1e-5)


def test_an_empty_target_is_certain() -> None:
    assert log_likelihoods(ScriptedBackbone(crowd, vocab_size=V), [([9], [])], greedy=True) == [
        Likelihood(0.0, 0.0, 0, 0, True)
    ]


def test_calls_that_cannot_work() -> None:
    backbone = ScriptedBackbone(crowd, vocab_size=V, max_length=4, logits_shifted=True)
    with pytest.raises(ConfigurationError, match="mc_num=0"):
        log_likelihood(backbone, [9], [4], 0)
    with pytest.raises(ConfigurationError, match="batch_size=0"):
        log_likelihoods(backbone, [([9], [4])], batch_size=0)
    with pytest.raises(
        ConfigurationError, match="prompt of 3 and target of 2 tokens: the model has 4 positions"
    ):
        log_likelihood(backbone, [9, 9, 9], [4, 4])
    with pytest.raises(ConfigurationError, match="empty prompt"):
        log_likelihood(backbone, [], [4])
    with pytest.raises(ConfigurationError, match="mask token 0"):
        log_likelihood(backbone, [9], [MASK])


def test_a_pair_that_cannot_be_scored_is_found_before_the_work() -> None:
    backbone = ScriptedBackbone(crowd, vocab_size=V)
    pairs: list[Any] = [([9, 9, 9], [4]), ([9], [MASK])]
    with pytest.raises(ConfigurationError, match="mask token 0"):
        score_pairs(backbone, pairs, at_once=1)
    assert not backbone.passes


def test_pairs_are_handed_on_as_they_are_done() -> None:
    backbone = ScriptedBackbone(crowd, vocab_size=V)
    pairs: list[Any] = [([9], [4]), ([9, 9, 9], [4]), ([9], [4])]
    groups = score_pairs(backbone, pairs, at_once=1)
    assert [scored.places for scored in next(groups)] == [(1,)]
    assert len(backbone.passes) == 1
    assert [scored.places for scored in next(groups)] == [(0, 2)]
    assert next(groups, None) is None
