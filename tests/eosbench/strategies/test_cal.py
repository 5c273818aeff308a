"""CAL against its published sampler's outputs, and on scripted models by hand."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from eosbench.backbone import Backbone
from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.window import Answer, Job
from eosbench.errors import ConfigurationError
from eosbench.strategies import Gap, fit_length_bias, load_strategy
from eosbench.strategies.length_bias import LengthBias
from eosbench.strategies.protocol import Strategy
from tests.eosbench.strategies.scripts import PROMPT, SURE, V, answers, canvases, generated, job
from tests.fakes import MASK, ScriptedBackbone, table
from tests.golden_files import GOLDEN, load_golden

FOLDER = GOLDEN / "cal-on-llada-trained"
SETTINGS: dict[str, Any] = json.loads((FOLDER / "golden.json").read_text(encoding="utf-8"))
TENSORS = load_file(FOLDER / "golden.safetensors")


def backbone() -> Backbone:
    return load_golden("llada-trained").backbone


def of_case(case: dict[str, Any], kind: str = "cal") -> tuple[Strategy, Job, list[int]]:
    """The strategy, the job and the published span of a case; a number of steps for the span that
    was found becomes the rate of the longest.
    """
    strategy = load_strategy(
        "cal",
        {
            "initial_gen_length": case["gen_length"],
            "max_gen_length": case["max_gen_length"],
            "span": case["span"],
            "dstep": case["dstep"],
            "use_bias": case["use_bias"],
        },
    )
    longest = max(case["gen_length"], case["max_gen_length"])
    steps = case["steps"]
    config = DecodeConfig(
        gen_length=longest,
        steps=None if steps is None else math.ceil(steps * longest / case["found_length"]),
        block_length=case["block_length"],
        cfg_scale=case["cfg_scale"],
    )
    prefix, output = (
        TENSORS[f"{kind}.{case['case']}.{name}"][0].tolist() for name in ("prefix", "output")
    )
    suffix = TENSORS.get(f"{kind}.{case['case']}.suffix", torch.empty(1, 0, dtype=torch.long))[0]
    job = Job(tuple(prefix), config, config.gen_length, suffix=tuple(suffix.tolist()))
    return strategy, job, output[len(prefix) : len(output) - len(suffix)]


def as_published(case: dict[str, Any], span: list[int], answer: Answer) -> None:
    assert answer.canvas == span, case["text"]
    assert answer.cost.window == len(span) == case["found_length"]
    assert answer.cost.forward_passes == case["forward_passes"]
    assert answer.cost.token_positions == case["token_positions"]


@pytest.mark.parametrize("number", range(16))
def test_published_sampler_token_for_token(number: int) -> None:
    """A batch of one, as published; prefix, span and suffix."""
    assert len(SETTINGS["cal"]) == 16
    case = SETTINGS["cal"][number]
    strategy, one, span = of_case(case)
    answer = generated(strategy, backbone(), [one], batch_size=1)[0]
    as_published(case, span, answer)


def test_batches_of_five_are_batches_of_one() -> None:
    """The cases that share their options, with and without a suffix, in one batch."""
    alike = [
        case
        for case in SETTINGS["cal"]
        if (case["max_gen_length"], case["dstep"], case["cfg_scale"]) == (16, 2, 0)
    ]
    assert len(alike) == 2
    cases = [of_case(case) for case in alike]
    jobs = [one for _, one, _ in cases]
    found = generated(cases[0][0], backbone(), [*jobs, *jobs, *jobs], batch_size=5)
    for index, answer in found.items():
        as_published(alike[index % 2], cases[index % 2][2], answer)


@pytest.mark.parametrize("number", range(2))
def test_quirks_of_the_published_scripts_are_not_imitated(number: int) -> None:
    """Its scripts pass the steps, and the block, of the first length: a found span of 49 keeps a
    mask (49 is no multiple of 8), and one of 6 takes 8 passes, two of which place nothing. Here
    steps keep their rate and the last block is shorter: no mask is left, and no pass for nothing.
    """
    case = SETTINGS["cal_quirks"][number]
    strategy, one, span = of_case(case | {"steps": None}, "cal_quirks")
    answer = generated(strategy, backbone(), [one], batch_size=1)[0]
    assert answer.cost.window == case["found_length"] == len(span)
    assert span.count(MASK) == case["masks_left"] == (1, 0)[number]
    assert MASK not in answer.canvas
    assert answer.cost.forward_passes == case["search_steps"] + len(span)
    assert case["decode_passes"] == (6, 8)[number]


def test_published_settings_are_the_defaults() -> None:
    assert SETTINGS["bias"] == {"a": 1.0, "b": 1.77, "c": 0.56, "d": 0.06, "e": 0.24}
    assert load_strategy("cal").options == {
        "initial_gen_length": 8,
        "max_gen_length": 64,
        "span": 1,
        "dstep": 4,
        "use_bias": True,
        **{f"bias_{name}": value for name, value in SETTINGS["bias"].items()},
    }


def surest_at(confidences: dict[int, float]) -> ScriptedBackbone:
    """A model whose masks all have the confidence that a number of masks has here, 0.1 elsewhere;
    one of them placed makes it sure.
    """

    def script(ids_T: torch.Tensor) -> torch.Tensor:
        canvas = ids_T[len(PROMPT) :]
        masks, length = int((canvas == MASK).sum()), len(canvas)
        sure = confidences.get(length, 0.1) if masks == length else SURE
        return table([*PROMPT, *range(10, 10 + length)], [sure] * len(ids_T), V)

    return ScriptedBackbone(script, vocab_size=V)


def lengths_tried(model: ScriptedBackbone) -> list[int]:
    return [len(canvas) for canvas in canvases(model) if set(canvas) == {MASK}]


def plain(**options: Any) -> Strategy:
    return load_strategy("cal", {"use_bias": False, "dstep": 2} | options)


def test_the_best_upwards_is_kept_on_the_way_down() -> None:
    """From 8: 9 fails, 10 is the best, 11 and 12 fail; then 7 and 6 have to beat 10, which only the
    counter's second look would show (5 is better, and is not seen).
    """
    model = surest_at({8: 0.3, 9: 0.2, 10: 0.5, 7: 0.4, 6: 0.45, 5: 0.9})
    (answer,) = answers(plain(), model, job(gen_length=64))
    assert lengths_tried(model) == [8, 9, 10, 11, 12, 7, 6, 10]  # the last is the decoding's first
    assert answer.cost.window == 10 and answer.canvas == list(range(10, 20))
    assert answer.cost.forward_passes == 7 + 10


def test_a_success_starts_the_count_anew_and_ties_keep_the_earlier() -> None:
    model = surest_at({8: 0.5, 9: 0.5, 10: 0.6, 11: 0.6, 12: 0.7, 13: 0.7, 14: 0.7})
    (answer,) = answers(plain(initial_gen_length=8), model, job(gen_length=64))
    assert lengths_tried(model)[:9] == [8, 9, 10, 11, 12, 13, 14, 7, 6]
    assert answer.cost.window == 12


@pytest.mark.parametrize(
    ("options", "gen_length", "tried"),
    [
        ({"dstep": -1}, 64, []),
        ({"dstep": 0}, 64, [8, 9, 7]),
        ({"dstep": 3, "span": 4}, 64, [8, 12, 16, 20, 4]),
        ({"max_gen_length": 9, "dstep": 9}, 64, [8, 9, 7, 6, 5, 4, 3, 2, 1]),
        ({"dstep": 9}, 10, [8, 9, 10, 7, 6, 5, 4, 3, 2, 1]),
        ({}, 5, [5, 4, 3]),  # a request that allows less than the first length
        ({"max_gen_length": 4}, 64, [8, 7, 6]),
    ],
)
def test_lengths_that_are_tried(options: dict[str, Any], gen_length: int, tried: list[int]) -> None:
    model = surest_at({8: 0.5, 5: 0.5})
    (answer,) = answers(plain(**options), model, job(gen_length=gen_length))
    assert lengths_tried(model) == [*tried, answer.cost.window]


def test_scores_are_divided_by_what_a_length_is_worth() -> None:
    """B(8) and B(9) by hand: 0.56 e^-0.48 + 0.24 = 0.58652 and 0.56 e^-0.54 + 0.24 = 0.56634."""
    for nine, found in ((0.5 * 0.56634 / 0.58652 + 1e-4, 9), (0.5 * 0.56634 / 0.58652 - 1e-4, 8)):
        model = surest_at({8: 0.5, 9: nine})
        strategy = load_strategy("cal", {"dstep": 1})
        (answer,) = answers(strategy, model, job(gen_length=64))
        assert answer.cost.window == found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"span": 0}, "span=0: expected at least 1"),
        ({"initial_gen_length": 0}, "initial_gen_length=0: expected at least 1"),
        ({"bias_d": -0.1}, "bias_d=-0.1: expected 0 or more"),
        ({"bias_e": math.nan}, "bias_e=nan: expected 0 or more"),
        ({"bias_c": 0, "bias_e": 0, "bias_b": 100}, r"make B\(64\) 0, by which a score is divided"),
        ({"steps": 8}, "'cal' has no option steps: expected initial_gen_length"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_strategy("cal", options)


class Decaying(ScriptedBackbone):
    """Has the confidence B(l) of known constants at every canvas of l masks, behind any prompt."""

    def __init__(self, bias: LengthBias) -> None:
        def script(ids_T: torch.Tensor) -> torch.Tensor:
            masks = int((ids_T == MASK).sum())
            return table([9] * len(ids_T), [bias.at(masks)] * len(ids_T), V)

        super().__init__(script, vocab_size=V, max_length=140)


def test_a_fit_finds_the_constants_that_made_the_confidences() -> None:
    """The constants are not the start of the least squares; lengths near a gap's own do not count,
    nor those that the model has no positions for.
    """
    bias = LengthBias(0.5, 0.8, 0.4, 0.03, 0.2)
    gaps = [Gap((9,) * 3, (9,) * 10, 8), Gap((9,) * 4, (), 30), Gap((9,) * 4, (9,), 100)]
    fit = fit_length_bias(Decaying(bias), gaps, batch_size=3)
    assert fit.lengths == (1, 2, 4, 6, 12, 16, 24, 32, 48, 64, 96, 128)
    # 4, 6 and 12 are near 8, 32 near 30, 96 near 100; the first has 13 + 128 > 140 positions.
    assert fit.counts == (3, 3, 2, 2, 2, 3, 3, 2, 3, 3, 2, 2)
    for length, confidence in zip(fit.lengths, fit.confidences, strict=True):
        assert confidence == pytest.approx(bias.at(length), abs=1e-6)
    for name, value in vars(bias).items():
        assert getattr(fit.bias, name) == pytest.approx(value, abs=1e-3)
    assert load_strategy("cal", fit.options).options["bias_d"] == fit.bias.d


def test_a_fit_needs_five_lengths() -> None:
    with pytest.raises(ConfigurationError, match=r"1 gaps count at 2 lengths \(\[16, 32\]\): exp"):
        fit_length_bias(Decaying(LengthBias(1, 1, 1, 1, 1)), [Gap((9,), (), 4)], lengths=(16, 32))


def test_gaps_are_drawn_in_the_answer_alone_and_by_the_seed() -> None:
    prompt, answer = [7, 8], list(range(10, 22))
    gaps = [Gap.drawn(prompt, answer, seed=seed) for seed in range(200)]
    for gap in gaps:
        taken = answer[len(gap.prefix) - 2 :][: gap.length]
        assert [*gap.prefix, *taken, *gap.suffix] == [*prompt, *answer]
    assert {gap.length for gap in gaps} == set(range(1, 13))
    assert gaps == [Gap.drawn(prompt, answer, seed=seed) for seed in range(200)]
    with pytest.raises(ConfigurationError, match="an empty answer has no gap"):
        Gap.drawn(prompt, [], seed=0)
