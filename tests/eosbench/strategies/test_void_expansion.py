"""VoidExpansion against its published sampler's outputs, and on scripted models by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.window import Answer, Job
from eosbench.errors import ConfigurationError
from eosbench.strategies import load_strategy
from eosbench.strategies.protocol import Strategy
from eosbench.strategies.void_expansion import VoidExpansion
from tests.eosbench.strategies.scripts import (
    PROMPT,
    SURE,
    VOID,
    V,
    answers,
    canvases,
    generated,
    job,
)
from tests.fakes import EOS, MASK, ByteTokenizer, ScriptedBackbone, table
from tests.golden_files import Golden, load_golden


def cases() -> tuple[Golden, list[dict[str, Any]]]:
    golden = load_golden("llada-void")
    return golden, golden.settings["void"]


def of_case(golden: Golden, case: dict[str, Any]) -> tuple[Strategy, Job]:
    """The strategy and the job of a case; `steps` of the first canvas become those of the longest,
    at the same rate.
    """
    strategy = load_strategy(
        "void_expansion",
        {
            "initial_gen_length": case["gen_length"],
            "max_gen_length": case["max_length"],
            "window": case["window"],
            "tau_nonvoid": case["tau_nonvoid"],
            "tau_gap": case["tau_gap"],
            "ban_void": case["ban_void"],
        },
    )
    config = DecodeConfig(
        gen_length=case["max_length"],
        steps=case["max_length"] * case["steps"] // case["gen_length"],
        block_length=case["block_length"],
        threshold=case["threshold"],
        stop_at_eos=case["cut"],
    )
    prompt = golden.tensors[f"void.{case['case']}.prompt"][0].tolist()
    return strategy, Job(tuple(prompt), config, config.gen_length)


def as_published(golden: Golden, case: dict[str, Any], answer: Answer) -> None:
    """The published text, canvas, passes and positions; `cut` drops what stands behind the EOS."""
    prompt = golden.tensors[f"void.{case['case']}.prompt"][0]
    output = golden.tensors[f"void.{case['case']}.output"][0, len(prompt) :].tolist()
    assert answer.canvas[: len(output)] == output, case["text"]
    assert len(output) == case["output_canvas"]
    assert len(output) == len(answer.canvas) or output[-1] == EOS
    assert answer.tokens == output[: output.index(EOS) if EOS in output else None]
    assert answer.cost.window == len(answer.canvas) == case["selected_canvas"]
    assert answer.cost.forward_passes == case["forward_passes"]
    assert answer.cost.token_positions == case["token_positions"]


@pytest.mark.parametrize("number", range(21))
def test_published_sampler_token_for_token(number: int) -> None:
    """A batch of one, as published."""
    golden, all_cases = cases()
    assert len(all_cases) == 21
    strategy, one = of_case(golden, all_cases[number])
    answer = generated(strategy, golden.backbone, [one], batch_size=1)[0]
    as_published(golden, all_cases[number], answer)


def test_batches_of_five_are_batches_of_one() -> None:
    """The cases that share their options, prompts and canvases of unequal length in one batch."""
    golden, all_cases = cases()
    alike = [case for case in all_cases if (case["gen_length"], case["window"]) == (16, 8)]
    alike = [case for case in alike if (case["max_length"], case["tau_gap"]) == (128, -0.45)]
    alike = [case for case in alike if case["ban_void"]]
    assert len(alike) >= 2
    pairs = [of_case(golden, case) for case in alike]
    jobs = [one for _, one in pairs]
    found = generated(pairs[0][0], golden.backbone, [*jobs, *jobs, *jobs], batch_size=5)
    for index, answer in found.items():
        as_published(golden, alike[index % len(alike)], answer)


def test_published_settings_are_the_defaults() -> None:
    assert load_strategy("void_expansion").options == {
        "initial_gen_length": 64,
        "max_gen_length": 512,
        "expansion_factor": None,
        "window": 16,
        "tau_nonvoid": 0.09,
        "tau_gap": -0.45,
        "ban_void": True,
        "void_token": None,
    }


def ending(text: int, sure: float = SURE) -> ScriptedBackbone:
    """After three tokens of prompt, `text` tokens, one EOS and VOID behind it."""

    def script(ids_T: torch.Tensor) -> torch.Tensor:
        length = len(ids_T) - len(PROMPT)
        said = [*range(10, 10 + text), EOS, *[VOID] * length][:length]
        return table([*PROMPT, *said], [sure] * len(ids_T), V)

    return ScriptedBackbone(script, vocab_size=V)


def small(**options: Any) -> Strategy:
    given = {"initial_gen_length": 4, "window": 4, "void_token": VOID} | options
    return load_strategy("void_expansion", given)


def test_the_canvas_grows_until_its_tail_says_void() -> None:
    """A text of 6 tokens and its EOS: the last four of 8 positions have one VOID, of 12 five."""
    backbone = ending(6)
    (answer,) = answers(small(), backbone, job(gen_length=32, block_length=4))
    probes = [[MASK] * 4, [MASK] * 8, [MASK] * 12]
    assert canvases(backbone)[:3] == probes
    assert canvases(backbone)[3] == [MASK] * 12  # the last look is not used again
    assert (answer.tokens, answer.ended) == (list(range(10, 16)), True)
    cost = answer.cost
    assert (cost.window, cost.forward_passes) == (12, 3 + 12)
    assert cost.token_positions == sum(3 + length for length in (4, 8, 12)) + 12 * 15


def test_tail_means_by_hand() -> None:
    """Of the last four positions of 8, EOS at 6 and VOID at 7 and two texts: t is SURE three times
    and the rest's share once, so A = (3 * 0.95 + 0.05 / 59) / 4 and G = (0.95 - 3 * 0.95) / 4 and
    next to nothing.
    """
    other, rest = SURE, (1 - SURE) / (V - 1)
    mean_other = (3 * other + rest) / 4
    mean_gap = (3 * (rest - other) + SURE - rest) / 4
    for tau_nonvoid, tau_gap, canvas in (
        (mean_other + 1e-4, mean_gap - 1e-4, 8),
        (mean_other - 1e-4, mean_gap - 1e-4, 12),
        (mean_other + 1e-4, mean_gap + 1e-4, 12),
    ):
        strategy = small(initial_gen_length=8, tau_nonvoid=tau_nonvoid, tau_gap=tau_gap)
        (answer,) = answers(strategy, ending(6), job(gen_length=32, block_length=4))
        assert answer.cost.window == canvas


def test_void_is_never_placed_and_comes_last() -> None:
    """A position that says VOID has the confidence of what is placed instead, next to none."""
    backbone = ending(2)
    strategy = small(initial_gen_length=8)
    (answer,) = answers(strategy, backbone, job(gen_length=8, block_length=8))
    assert answer.tokens == [10, 11] and VOID not in answer.canvas
    after = canvases(backbone)[1:]
    assert [canvas.count(MASK) for canvas in after] == list(range(8, 0, -1))
    assert after[3][:3] == [10, 11, EOS] and set(after[3][3:]) == {MASK}
    (placed,) = answers(
        small(initial_gen_length=8, ban_void=False),
        ending(2),
        job(gen_length=8, block_length=8),
    )
    assert placed.canvas == [10, 11, EOS, *[VOID] * 5]


def test_what_stands_behind_the_eos_is_left_out() -> None:
    (answer,) = answers(small(), ending(2), job(gen_length=8, block_length=8, stop_at_eos=True))
    assert answer.canvas == [10, 11, EOS, *[MASK] * 5]
    assert answer.cost.forward_passes == 1 + 3


@pytest.mark.parametrize(
    ("steps", "passes"),
    [(64, 24), (32, 12), (16, 6), (20, 8), (8, 3)],
)
def test_steps_keep_their_rate(steps: int, passes: int) -> None:
    """A canvas of 24 of 64, in blocks of 8: ceil(24 * steps / 64) passes and at least one a block;
    20 steps are 7.5 (the published code asserts that blocks divide them).
    """
    settings = {"gen_length": 64, "steps": steps, "block_length": 8}
    (answer,) = answers(small(initial_gen_length=24), ending(2), job(**settings))
    assert answer.cost.window == 24
    assert answer.cost.forward_passes == 1 + passes


def test_a_request_that_allows_less_than_the_first_canvas() -> None:
    backbone = ending(9)
    (answer,) = answers(small(initial_gen_length=16), backbone, job(gen_length=5, block_length=4))
    assert (answer.tokens, answer.cost.window) == ([10, 11, 12, 13, 14], 5)
    assert answer.cost.forward_passes == 5  # nothing is tried


def test_the_window_is_a_quarter_of_the_block_or_all_of_a_short_canvas() -> None:
    """Of 40 positions the last 8 say VOID: enough for a window of 8, not for one of 10."""
    config = {"gen_length": 48, "steps": 4}
    for block, canvas in ((40, 40), (8, 40)):
        strategy = small(initial_gen_length=40, window=None, expansion_factor=4)
        (answer,) = answers(strategy, ending(31), job(block_length=block, **config | {"steps": 6}))
        assert answer.cost.window == (canvas if block == 8 else 44)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"initial_gen_length": 0}, "initial_gen_length=0: expected at least 1"),
        ({"expansion_factor": 0}, "expansion_factor=0: expected at least 1"),
        ({"window": 0}, "window=0: expected at least 1"),
        ({"tau_nonvoid": 1.5}, "tau_nonvoid=1.5: expected a number from 0 to 1"),
        ({"rounding": "none"}, "'void_expansion' has no option rounding: expected initial_gen"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_strategy("void_expansion", options)


def test_no_canvas_to_try() -> None:
    """The published code has none between 20 and 23 in blocks of 8 either, and fails."""
    strategy = load_strategy("void_expansion", {"initial_gen_length": 20, "max_gen_length": 23})
    with pytest.raises(
        ConfigurationError,
        match="no multiple of 8 lies between initial_gen_length=20 and max_gen_length=23: give a",
    ):
        strategy.check(DecodeConfig(gen_length=64, block_length=8))


class Tokenizer(ByteTokenizer):
    """Knows one more token."""

    def __init__(self, name: str, index: int) -> None:
        self.name, self.index = name, index

    def get_vocab(self) -> dict[str, int]:
        return {"<mask>": MASK, "<eos>": EOS, self.name: self.index}


@pytest.mark.parametrize("name", ["<|pad_0|>", "<pad_0>", "<|pad|>"])
def test_void_is_found_by_its_names(name: str) -> None:
    backbone = ScriptedBackbone(ending(2).script, vocab_size=V, tokenizer=Tokenizer(name, 7))
    assert VoidExpansion().void_id(backbone) == 7
    assert VoidExpansion(void_token=name).void_id(backbone) == 7
    assert VoidExpansion(void_token="9").void_id(backbone) == 9


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (
            None,
            r"knows no <\|pad_0\|> or <pad_0> or <\|pad\|>: train one with eosbench train eospad",
        ),
        ("<void>", "knows no <void>: train one with eosbench train eospad --pretrained scripted"),
        (60, "void_token=60: expected an id from 0 to 59"),
        (MASK, "void_token=0 is the token that masks a position in scripted"),
        ("<eos>", "void_token='<eos>' is the token that ends a text in scripted"),
    ],
)
def test_a_model_without_void_is_refused(token: str | int | None, message: str) -> None:
    backbone = ScriptedBackbone(ending(2).script, vocab_size=V, tokenizer=Tokenizer("<other>", 7))
    with pytest.raises(ConfigurationError, match=message):
        load_strategy("void_expansion", {"void_token": token}).prepare(backbone, [])
