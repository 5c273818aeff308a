"""rho-EOS on scripted models: every density, change of length and cost worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from eosbench.errors import ConfigurationError
from eosbench.strategies import load_strategy
from eosbench.strategies.rho_eos import RhoEos
from tests.eosbench.strategies.scripts import SURE, answers, canvases, job, saying
from tests.fakes import EOS, MASK


def test_published_settings_are_the_defaults() -> None:
    assert load_strategy("rho_eos").options == {
        "initial_gen_length": 64,
        "max_gen_length": 2048,
        "expansion_factor": 8,
        "high_conf_threshold": 0.9,
        "low_density_threshold": 0.4,
        "high_density_threshold": 0.6,
        "scheduler": "exp",
    }


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        ("const", [8, 8, 8, 0, 0, -8, -8]),
        ("linear", [32, 16, 8, 0, 0, -8, -32]),
        ("exp", [64, 16, 8, 0, 0, -8, -64]),
    ],
)
def test_the_further_the_density_is_off_the_larger_the_change(
    scheduler: str, expected: list[int]
) -> None:
    strategy = RhoEos(scheduler=scheduler)
    assert [strategy.change(density) for density in (0.0, 0.2, 0.3, 0.4, 0.6, 0.7, 1.0)] == expected
    # 9 steps: 8 times.
    assert (
        RhoEos(low_density_threshold=0.9, high_density_threshold=1.0, scheduler="linear").change(
            0.0
        )
        == 64
    )


def test_too_much_room_is_taken_away() -> None:
    backbone = saying([10, 11])
    strategy = load_strategy("rho_eos", {"initial_gen_length": 16, "expansion_factor": 2})
    (answer,) = answers(strategy, backbone, job(gen_length=64, block_length=16))
    # all 16 are sure; 14 of 16 masks say EOS: 0.875 is in the third step above 0.6, so 4 * 2
    # positions go
    assert answer.canvas == [10, 11, *[EOS] * 6]
    assert (answer.tokens, answer.ended) == ([10, 11], True)
    assert (answer.cost.window, answer.cost.forward_passes, answer.cost.token_positions) == (
        8,
        1,
        3 + 16,
    )


def test_what_is_taken_away_is_never_text_and_one_eos_stays() -> None:
    """The published code would take 64 of 64 positions."""
    backbone = saying([10, 11])
    (answer,) = answers(load_strategy("rho_eos"), backbone, job(gen_length=256, block_length=32))
    assert answer.canvas == [10, 11, EOS]
    assert answer.cost.forward_passes == 1


def test_lacking_room_is_added() -> None:
    backbone = saying(range(10, 30))
    strategy = load_strategy("rho_eos", {"initial_gen_length": 8})
    (answer,) = answers(strategy, backbone, job(gen_length=64, block_length=8))
    # 1. no mask of 8 says EOS: four steps below 0.4, 8 * 8 more, up to the limit of 64
    # 2. 44 of 56 masks, 0.786: two steps, 2 * 8 positions less
    # 3. 28 of 32 masks, 0.875: three steps, 32 less, of which the tail without its last EOS has 27
    assert [len(canvas) for canvas in canvases(backbone)] == [8, 64, 48]
    assert canvases(backbone)[2] == [*range(10, 26), *[MASK] * 32]
    assert answer.canvas == [*range(10, 30), EOS]
    assert (answer.cost.window, answer.cost.forward_passes) == (21, 3)
    assert answer.cost.token_positions == (3 + 8) + (3 + 64) + (3 + 48)


def test_masks_are_put_before_the_first_eos_and_filled() -> None:
    backbone = saying([10, 11, 12], lambda at, length: 0.5 if at == 1 else SURE)
    options = {"initial_gen_length": 4, "expansion_factor": 2, "scheduler": "const"}
    (answer,) = answers(
        load_strategy("rho_eos", options), backbone, job(gen_length=8, block_length=4)
    )
    assert canvases(backbone) == [
        [MASK] * 4,  # 1 of 4 says EOS: two masks before it
        [10, MASK, 12, MASK, MASK, EOS],  # 2 of 3: two less
        [10, MASK, 12, EOS],  # 0 of 1: two masks before the EOS, in a block that is complete
        [10, 11, 12, MASK, MASK, EOS],  # 2 of 2: two less
    ]
    assert answer.canvas == [10, 11, 12, EOS]
    assert answer.cost.token_positions == 7 + 9 + 7 + 9


def test_an_eos_that_stands_does_not_end_it_while_masks_may_come_before_it() -> None:
    """The case above, asked to stop at the EOS: its text is the same, for the EOS of the second
    pass was not the last word.
    """
    options = {"initial_gen_length": 4, "expansion_factor": 2, "scheduler": "const"}
    found = []
    for stop in (False, True):
        backbone = saying(
            [10, 11, 12, 13], lambda at, length: SURE if length < 6 or at == 5 else 0.5
        )
        (answer,) = answers(
            load_strategy("rho_eos", options),
            backbone,
            job(gen_length=8, block_length=4, stop_at_eos=stop),
        )
        found.append((answer.tokens, answer.ended))
    assert found[0] == found[1]


def test_a_fitting_canvas_is_left_alone() -> None:
    backbone = saying([10, 11, 12, 13])
    (answer,) = answers(
        load_strategy("rho_eos", {"initial_gen_length": 8}),
        backbone,
        job(gen_length=64, block_length=8),
    )
    assert (answer.tokens, answer.cost.window, answer.cost.forward_passes) == (
        [10, 11, 12, 13],
        8,
        1,
    )


def test_the_canvas_ends_at_its_limit_and_may_still_shrink() -> None:
    (answer,) = answers(
        load_strategy("rho_eos"), saying(range(10, 40)), job(gen_length=12, block_length=4)
    )
    assert (answer.tokens, answer.ended, answer.cost.window, answer.cost.truncated) == (
        list(range(10, 22)),
        False,
        12,
        1,
    )
    (answer,) = answers(load_strategy("rho_eos"), saying([10]), job(gen_length=12, block_length=4))
    assert (answer.tokens, answer.cost.window, answer.cost.forward_passes) == ([10], 2, 1)


def test_a_model_that_never_settles_comes_to_an_end() -> None:
    """One token a pass, and lengths that go on changing: they stay after 64 passes, and then the
    masks run out.
    """
    backbone = saying(range(10, 50), lambda at, length: 0.3)
    swinging = load_strategy(
        "rho_eos", {"initial_gen_length": 8, "expansion_factor": 1, "scheduler": "const"}
    )
    (answer,) = answers(swinging, backbone, job(gen_length=200, block_length=8))
    assert MASK not in answer.canvas
    assert answer.cost.forward_passes <= 64 + 200


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scheduler": "power"}, "scheduler='power': expected one of const, linear, exp"),
        (
            {"low_density_threshold": 0.7},
            "low_density_threshold=0.7 lies above high_density_threshold=0.6",
        ),
        ({"max_gen_length": 0}, "max_gen_length=0: expected at least 1"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_strategy("rho_eos", options)
