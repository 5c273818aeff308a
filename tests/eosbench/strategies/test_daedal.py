"""DAEDAL against its published sampler's outputs, and on scripted models by hand."""

from __future__ import annotations

from typing import Any

import pytest

from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.window import Job
from eosbench.errors import ConfigurationError
from eosbench.forward.costs import estimated_flops
from eosbench.strategies import load_strategy
from eosbench.strategies.protocol import Strategy
from tests.eosbench.strategies.scripts import SURE, answers, canvases, generated, job, saying
from tests.fakes import EOS, MASK
from tests.golden_files import Golden, load_golden

SMALL: dict[str, Any] = {"initial_gen_length": 8, "expansion_factor": 4, "eos_check_tokens": 4}


def published() -> tuple[Golden, Strategy, list[Job], list[list[int]]]:
    """The golden model, DAEDAL under its golden settings, and every case's job and final canvas."""
    golden = load_golden("llada-trained")
    options = dict(golden.settings["daedal_settings"])
    config = DecodeConfig(
        gen_length=options["max_gen_length"], block_length=options.pop("block_length")
    )
    jobs, outputs = [], []
    for case in golden.settings["daedal"]:
        prompt = golden.tensors[f"daedal.{case['case']}.prompt"][0].tolist()
        jobs.append(Job(tuple(prompt), config, config.gen_length))
        outputs.append(golden.tensors[f"daedal.{case['case']}.output"][0, len(prompt) :].tolist())
    return golden, load_strategy("daedal", options), jobs, outputs


def test_published_sampler_token_for_token() -> None:
    """All cases, in batches of five prompts of unequal length whose canvases grow apart."""
    golden, daedal, jobs, outputs = published()
    cases, found = (
        golden.settings["daedal"],
        generated(daedal, golden.backbone, jobs, batch_size=5),
    )
    assert len(cases) == 18
    for index, case in enumerate(cases):
        assert found[index].canvas == outputs[index], case["text"]
        assert found[index].cost.window == case["canvas"] == len(outputs[index])
        assert found[index].cost.forward_passes == case["forward_passes"]


def test_published_sampler_alone() -> None:
    """A batch of one, as published: the cases that are quickly done."""
    golden, daedal, jobs, outputs = published()
    for case in golden.settings["daedal"]:
        if case["forward_passes"] < 10:
            answer = generated(daedal, golden.backbone, [jobs[case["case"]]], batch_size=1)[0]
            assert answer.canvas == outputs[case["case"]]
            assert answer.cost.forward_passes == case["forward_passes"]


def test_published_settings_are_the_defaults() -> None:
    assert load_strategy("daedal").options == {
        "initial_gen_length": 64,
        "max_gen_length": 2048,
        "expansion_factor": 8,
        "high_conf_threshold": 0.9,
        "low_conf_threshold": 0.1,
        "eos_confidence_threshold": 0.5,
        "expand_eos_confidence_threshold": 0.9,
        "eos_check_tokens": 32,
    }


def test_the_initial_canvas_grows_until_its_end_says_eos() -> None:
    backbone = saying(range(10, 20))
    (answer,) = answers(
        load_strategy("daedal", SMALL), backbone, job(gen_length=64, block_length=8)
    )
    assert (answer.tokens, answer.ended) == (list(range(10, 20)), True)
    # EOS confidence over 4 positions: of 8 masks 0, of 12 masks 2 * 0.95 / 4 < 0.5, of 16 masks
    # 0.95; then 2 EOS behind them
    assert canvases(backbone) == [
        [MASK] * 8,
        [MASK] * 12,
        [MASK] * 16,
        [*[MASK] * 16, EOS, EOS],
        [*range(10, 18), *[MASK] * 8, EOS, EOS],
    ]
    assert answer.canvas == [*range(10, 20), *[EOS] * 8]
    cost = answer.cost
    assert (cost.window, cost.forward_passes, cost.truncated, cost.retries) == (18, 5, 0, 0)
    positions = [3 + 8, 3 + 12, 3 + 16, 3 + 18, 3 + 18]
    assert cost.token_positions == sum(positions)
    # scored: the whole canvas while EOS are lacking, then its last 4 positions; in the second part
    # the masks of the block
    scored = [8, 12, 4, 8, 8]
    flops = [
        estimated_flops(backbone.spec, p, 1, s) for p, s in zip(positions, scored, strict=True)
    ]
    assert cost.flops == sum(flops)


def test_an_unsure_mask_becomes_several() -> None:
    """Position 2 is a guess (0.05) as long as the canvas has fewer than 12 positions."""
    backbone = saying(range(10, 16), lambda at, length: 0.05 if (at == 2 and length < 12) else SURE)
    options = SMALL | {"eos_confidence_threshold": 0.4, "expand_eos_confidence_threshold": 0.99}
    (answer,) = answers(
        load_strategy("daedal", options), backbone, job(gen_length=64, block_length=8)
    )
    a0, a1, _, a3, a4, a5 = range(10, 16)
    assert canvases(backbone) == [
        [MASK] * 8,
        [*[MASK] * 8, EOS, EOS],
        [a0, a1, MASK, MASK, MASK, MASK, a3, a4, a5, EOS, EOS, EOS, EOS],
    ]
    assert answer.tokens == [*range(10, 16), a3, a4, a5]  # this script says a token by its place
    assert (answer.cost.window, answer.cost.forward_passes) == (13, 3)


def test_no_mask_is_inserted_where_the_end_is_certain() -> None:
    """The same guess, but EOS with 0.95 at the end: not below 0.9, so the guess is filled in when
    nothing surer is left.
    """
    backbone = saying(range(10, 16), lambda at, length: 0.05 if at == 2 else SURE)
    options = SMALL | {"eos_confidence_threshold": 0.4}
    (answer,) = answers(
        load_strategy("daedal", options), backbone, job(gen_length=64, block_length=8)
    )
    assert answer.tokens == list(range(10, 16))
    assert canvases(backbone)[-1] == [10, 11, MASK, 13, 14, 15, EOS, EOS, EOS, EOS]


def test_passes_that_only_fill_in_what_stands_behind_the_eos_are_left_out() -> None:
    """Behind the EOS at 3 the script is never sure: five more passes, unless asked to stop."""
    for stop in (False, True):
        backbone = saying([10, 11, 12], lambda at, length: SURE if at <= 3 or length == 8 else 0.5)
        options = SMALL | {"eos_confidence_threshold": 0.4, "low_conf_threshold": 0.0}
        (answer,) = answers(
            load_strategy("daedal", options),
            backbone,
            job(gen_length=64, block_length=8, stop_at_eos=stop),
        )
        assert (answer.tokens, answer.ended) == ([10, 11, 12], True)
        # A look at 8 masks, a pass for the first four tokens, and one for each of the other four.
        assert answer.cost.forward_passes == (2 if stop else 6)


def test_the_least_sure_mask_is_the_one() -> None:
    unsure = {1: 0.06, 4: 0.04, 5: 0.2}
    backbone = saying(
        range(10, 30), lambda at, length: unsure.get(at, SURE) if length == 8 else SURE
    )
    options = SMALL | {"eos_confidence_threshold": 0.0, "eos_check_tokens": 1}
    answers(load_strategy("daedal", options), backbone, job(gen_length=64, block_length=8))
    assert canvases(backbone)[2] == [10, MASK, 12, 13, *[MASK] * 4, MASK, 16, 17]


@pytest.mark.parametrize(("request_limit", "own_limit"), [(12, 2048), (64, 12)])
def test_the_canvas_ends_at_its_limit(request_limit: int, own_limit: int) -> None:
    backbone = saying(range(10, 50), lambda at, length: 0.05)
    options = SMALL | {"max_gen_length": own_limit}
    (answer,) = answers(
        load_strategy("daedal", options), backbone, job(gen_length=request_limit, block_length=4)
    )
    assert (answer.tokens, answer.ended, answer.cost.truncated) == (list(range(10, 22)), False, 1)
    # one look at 8 masks; 12 are the limit and not looked at for their length; then one token a
    # pass
    assert [len(canvas) for canvas in canvases(backbone)] == [8] + [12] * 12


def test_an_insertion_is_cut_at_the_limit() -> None:
    backbone = saying(range(10, 50), lambda at, length: 0.05 if (at == 2 and length == 8) else SURE)
    options = SMALL | {"eos_confidence_threshold": 0.0, "eos_check_tokens": 1}
    (answer,) = answers(
        load_strategy("daedal", options), backbone, job(gen_length=10, block_length=8)
    )
    assert canvases(backbone)[2] == [10, 11, *[MASK] * 4, 13, 14, 15, 16]  # 17 fell off the end
    assert answer.cost.window == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"initial_gen_length": 0}, "initial_gen_length=0: expected at least 1"),
        ({"expansion_factor": 1}, "expansion_factor=1: expected at least 2"),
        ({"low_conf_threshold": 1.5}, "low_conf_threshold=1.5: expected a number from 0 to 1"),
        (
            {"rounding": "none"},
            "'daedal' has no option rounding: expected initial_gen_length, max_gen_length",
        ),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_strategy("daedal", options)


@pytest.mark.parametrize("method", ["daedal", "rho_eos"])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 16}, "cannot work with steps=16: it keeps every token it is sure of"),
        ({"threshold": 0.8}, "threshold=0.8: its own is called high_conf_threshold"),
        ({"cache": "dual"}, "cache='dual': kept keys and values would stand at wrong positions"),
        ({"remasking": "random"}, "remasking='random': it needs low_confidence"),
        ({"schedule": "time"}, "schedule='time': it has no schedule"),
    ],
)
def test_settings_without_a_place(method: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(
        ConfigurationError,
        match=f"method '{method}' cannot work with {message.removeprefix('cannot work with ')}",
    ):
        answers(load_strategy(method), saying([10]), job(gen_length=16, **settings))
