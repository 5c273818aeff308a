"""Losses, worked out by hand or against another way to the same number."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from eosbench.training.layout import END, FILLER, NOTHING, PROMPT, TEXT
from eosbench.training.objectives import AUXILIARY, OBJECTIVES, Pass
from eosbench.training.objectives.contrastive import supervised_contrastive
from eosbench.training.objectives.first_end import NEVER, hazards, length_distribution
from eosbench.training.objectives.policy import draw_lengths, rewards

MASK, EOS, OTHER_END, V = 0, 1, 2, 6


def batch_of(
    kinds: list[list[int]], masked: list[list[bool]], **more: torch.Tensor
) -> dict[str, torch.Tensor]:
    kind_BT, masked_BT = torch.tensor(kinds), torch.tensor(masked)
    ended_B = (kind_BT == END).any(dim=1)
    prompt_B = (kind_BT == PROMPT).sum(dim=1)
    length_B = torch.where(ended_B, (kind_BT == TEXT).sum(dim=1), kind_BT.shape[1] - prompt_B)
    return {
        "kinds": kind_BT,
        "masked": masked_BT,
        "targets": torch.where(kind_BT == TEXT, 4, EOS),
        "weights": masked_BT.float(),
        "prompt": prompt_B,
        "length": length_B,
        **more,
    }


def seen(logits_BTV: torch.Tensor) -> Pass:
    """A pass whose hidden states are its logits."""
    return Pass(logits_BTV, lambda hidden: hidden, MASK, [EOS, OTHER_END])


def random_logits(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(
        *shape, V, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


ROWS = batch_of(
    [[PROMPT, TEXT, TEXT, END, FILLER], [PROMPT, PROMPT, TEXT, END, NOTHING]],
    [[False, False, True, True, True], [False, False, True, True, True]],
)


def test_cross_entropy_is_the_weighted_mean_over_masked_positions() -> None:
    logits = random_logits(2, 5)
    batch = {**ROWS, "weights": torch.tensor([[0, 0, 1, 2, 0.5], [0, 0, 1, 0, 0]])}
    log_p = logits.log_softmax(dim=2)
    terms = [
        (1.0, log_p[0, 2, 4]),
        (2.0, log_p[0, 3, EOS]),
        (0.5, log_p[0, 4, EOS]),
        (1.0, log_p[1, 2, 4]),
    ]
    expected = -sum(weight * value for weight, value in terms) / 4.5
    torch.testing.assert_close(
        OBJECTIVES["denoise"](seen(logits), batch).double(), expected, rtol=1e-6, atol=0
    )


def test_lengths_have_probabilities_that_sum_to_one() -> None:
    yes, no = hazards(seen(random_logits(2, 5)), ROWS)
    distribution = length_distribution(yes, no).exp()
    assert distribution.shape == (2, 5)  # four canvas indices at most, and none of them
    torch.testing.assert_close(distribution.sum(dim=1), torch.ones(2), rtol=1e-5, atol=0)
    assert distribution[0, 0] == 0  # a token that is shown is no end


def test_a_hazard_is_the_probability_of_any_end_among_what_may_be_answered() -> None:
    logits = random_logits(2, 5)
    yes, no = hazards(seen(logits), ROWS)
    allowed = logits[0, 2].exp()[1:]  # never the mask
    expected = (allowed[0] + allowed[1]) / allowed.sum()
    torch.testing.assert_close(yes[0, 1].exp().double(), expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(no[0, 1].exp().double(), 1 - expected, rtol=1e-5, atol=0)
    assert yes[0, 0] == NEVER and no[0, 0] == 0


def test_the_first_end_by_hand() -> None:
    """Two answers: P(end) 0.25 before the end and 0.5 at it; and one that goes on beyond."""
    odds = torch.zeros(2, 3, V, dtype=torch.float64)
    for row, values in enumerate([[0.0, 0.25, 0.5], [0.0, 0.25, 0.5]]):
        for index, p in enumerate(values):
            odds[row, index] = torch.tensor([9.0, p / 2, p / 2, *[(1 - p) / 3] * 3]).log()
    batch = batch_of(
        [[PROMPT, TEXT, END], [PROMPT, TEXT, TEXT]], [[False, True, True], [False, True, True]]
    )
    expected = -(math.log(0.75 * 0.5) + math.log(0.75 * 0.5)) / 2
    assert OBJECTIVES["first_end"](seen(odds), batch).item() == pytest.approx(expected, rel=1e-5)


def test_a_bound_earns_one_for_covering_less_a_64th_a_token_too_many() -> None:
    batch = batch_of(
        [[PROMPT, TEXT, TEXT, END, FILLER], [PROMPT, TEXT, TEXT, TEXT, TEXT]],
        [[False, True, True, True, True]] * 2,
    )
    assert rewards(5, batch).tolist() == [
        [0, 0, 1, 1 - 1 / 64, 1 - 2 / 64],
        [0, 0, 0, 0, 1],  # it does not end: the whole canvas alone covers it
    ]


def test_exact_is_the_expected_reward() -> None:
    logits = random_logits(2, 5)
    distribution = length_distribution(*hazards(seen(logits), ROWS)).exp()
    expected = -(distribution * rewards(5, ROWS)).sum(dim=1).mean()
    assert OBJECTIVES["exact"](seen(logits), ROWS).item() == pytest.approx(expected.item())


def test_the_policy_gradient_is_that_of_enumeration() -> None:
    """Within four standard errors of the mean over many draws, at every logit."""
    logits, draws, repeats = random_logits(2, 5), 4, 4_000
    exact = logits.clone().requires_grad_()
    OBJECTIVES["exact"](seen(exact), ROWS).backward()
    assert exact.grad is not None

    rng, many = torch.Generator().manual_seed(1), logits.repeat(repeats, 1, 1).requires_grad_()
    wide = {name: value.repeat(repeats, *[1] * (value.ndim - 1)) for name, value in ROWS.items()}
    wide["uniform"] = torch.rand(2 * repeats, draws, generator=rng)
    OBJECTIVES["policy"](seen(many), wide).backward()
    assert many.grad is not None
    # The loss is a mean over rows: each repeat holds 1 / repeats of what it would hold alone.
    each = many.grad.view(repeats, 2, 5, V) * repeats
    error = each.std(dim=0) / repeats**0.5
    assert ((each.mean(dim=0) - exact.grad).abs() <= 4 * error + 1e-12).all()
    assert (error > 0).any()


def test_drawn_lengths_follow_the_distribution() -> None:
    log_p = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).log()
    uniform = torch.rand(1, 40_000, generator=torch.Generator().manual_seed(0))
    shares = torch.bincount(draw_lengths(log_p, uniform)[0]).float() / 40_000
    torch.testing.assert_close(shares, log_p[0].exp(), atol=0.01, rtol=0)


def test_contrastive_by_hand() -> None:
    """Equation 2 of 2004.11362 on four vectors, two of each class."""
    vectors = torch.tensor([[1.0, 0], [0, 2], [3, 3], [0, 1]])
    classes = torch.tensor([True, False, True, False])
    unit = functional.normalize(vectors, dim=1)
    losses = []
    for i, partner in enumerate([2, 3, 0, 1]):
        others = [torch.exp(unit[i] @ unit[j] / 0.5) for j in range(4) if j != i]
        losses.append(-torch.log(torch.exp(unit[i] @ unit[partner] / 0.5) / sum(others)))
    found = supervised_contrastive(vectors, classes, temperature=0.5)
    torch.testing.assert_close(found, torch.stack(losses).mean())


def test_contrastive_is_small_where_the_classes_stand_apart_and_0_where_nobody_has_a_partner() -> (
    None
):
    apart = torch.tensor([[1.0, 0], [1, 0.1], [-1, 0], [-1, 0.1]])
    mixed = apart[[0, 2, 1, 3]]
    classes = torch.tensor([True, True, False, False])
    assert supervised_contrastive(apart, classes) < 0.01 < supervised_contrastive(mixed, classes)
    assert supervised_contrastive(apart[:2], torch.tensor([True, False])) == 0


def test_consistency_is_symmetric_and_0_for_the_same_answer() -> None:
    one, other = random_logits(1, 4), random_logits(1, 4, seed=1)
    kinds, masked = [PROMPT, TEXT, TEXT, END], [False, True, True, True]
    both = batch_of([kinds, kinds], [masked, masked])
    loss = AUXILIARY["consistency"]
    assert loss(seen(torch.cat([one, one])), both).item() == pytest.approx(0, abs=1e-6)
    forth, back = (
        loss(seen(torch.cat(pair)), both).item() for pair in ([one, other], [other, one])
    )
    assert forth == pytest.approx(back, rel=1e-5) and forth > 0.01

    p, q = (
        length_distribution(*hazards(seen(x), batch_of([kinds], [masked]))) for x in (one, other)
    )
    expected = ((p.exp() - q.exp()) * (p - q))[p > NEVER / 2].sum() / 2
    assert forth == pytest.approx(expected.item(), rel=1e-4)


def test_consistency_compares_what_both_maskings_mask() -> None:
    """The view that shows the first token has no hazard there, and the other's does not count."""
    logits = random_logits(1, 4)
    kinds = [PROMPT, TEXT, TEXT, END]
    batch = batch_of([kinds, kinds], [[False, True, True, True], [False, False, True, True]])
    loss = AUXILIARY["consistency"](seen(torch.cat([logits, logits])), batch)
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_entropies_are_no_constants() -> None:
    """The seed's entropy added 1e10 where 1e-10 was meant: it said the same of everything."""
    sure, unsure = torch.zeros(1, 3, V), torch.zeros(1, 3, V)
    sure[..., EOS] = 20.0
    batch = batch_of([[PROMPT, TEXT, END]], [[False, True, True]])
    spread = []
    for logits in (sure, unsure):
        log_p = length_distribution(*hazards(seen(logits), batch))
        spread.append(-(log_p.exp() * log_p.clamp(min=-50)).sum().item())
    assert spread[0] < 0.01 and spread[1] > 0.5
