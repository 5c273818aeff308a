"""What holds for every strategy: names, batches, guidance, temperature, families with shifted
logits, real models.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch

from eosbench.decoding.scheduler import FULL_ENOUGH
from eosbench.decoding.window import Answer
from eosbench.errors import ConfigurationError
from eosbench.predictors import METHODS
from eosbench.strategies import ALL_METHODS, STRATEGIES, load_strategy
from tests.eosbench.strategies.scripts import (
    PROMPT,
    VOID,
    V,
    answers,
    counting,
    generated,
    job,
    saying,
)
from tests.fakes import EOS, ScriptedBackbone, SmallMemory, table
from tests.golden_files import load_golden

OPTIONS: dict[str, dict[str, Any]] = {
    "blocks": {},
    "daedal": {"initial_gen_length": 4, "expansion_factor": 3, "eos_check_tokens": 3},
    "rho_eos": {"initial_gen_length": 4, "expansion_factor": 2},
    "void_expansion": {"initial_gen_length": 4, "window": 2, "void_token": VOID},
    "cal": {"initial_gen_length": 4, "max_gen_length": 12, "dstep": 2},
}
OF_A_MODEL: dict[str, dict[str, Any]] = {
    "blocks": {},
    "daedal": {"initial_gen_length": 16},
    "rho_eos": {"initial_gen_length": 16},
    "void_expansion": {"initial_gen_length": 16},
    "cal": {"initial_gen_length": 16, "max_gen_length": 20},
}
PADDING = {"void_expansion": VOID}  # what a model says behind the EOS; others say EOS again


def outcome(answer: Answer) -> tuple[Any, ...]:
    cost = answer.cost
    return (
        answer.canvas,
        cost.forward_passes,
        cost.token_positions,
        cost.flops,
        cost.window,
        cost.truncated,
    )


def test_a_strategy_is_a_file_of_its_name_and_a_row() -> None:
    folder = Path(__file__).parents[3] / "eosbench" / "strategies"
    assert {file.stem for file in folder.glob("*.py")} - {
        "__init__",
        "protocol",
        "rules",
        "length_bias",
    } == set(STRATEGIES)
    assert (*METHODS, *STRATEGIES) == (*ALL_METHODS,) and not set(METHODS) & set(STRATEGIES)
    orders = [row.order for row in STRATEGIES.values()]
    assert orders == sorted(set(orders)) and not set(orders) & {
        row.order for row in METHODS.values()
    }
    for method, row in STRATEGIES.items():
        module, name = row.target.split(":")
        assert module == f"eosbench.strategies.{method}" and hasattr(
            importlib.import_module(module), name
        )
        strategy = load_strategy(method)
        assert load_strategy(method, strategy.options).options == strategy.options
    with pytest.raises(
        ConfigurationError,
        match="unknown strategy 'best': expected one of blocks, daedal, rho_eos, void_expansion, c",
    ):
        load_strategy("best")


@pytest.mark.parametrize("method", STRATEGIES)
def test_batches_change_no_answer_and_no_cost(method: str) -> None:
    jobs = [
        job(
            (10 + n % 3, 1 + 3 * n, *[9] * (1 + n % 4)),
            n,
            gen_length=(32, 40)[n % 2],
            block_length=5,
        )
        for n in range(8)
    ]
    strategy = load_strategy(method, OPTIONS[method])
    padding = PADDING.get(method, EOS)
    alone = answers(strategy, counting(padding), *jobs, batch_size=1)
    for batch_size in (3, 8):
        together = answers(strategy, counting(padding), *jobs, batch_size=batch_size)
        assert [outcome(answer) for answer in together] == [outcome(answer) for answer in alone]
    # A script that says tokens by their place cannot take insertions in the midst, and CAL ends
    # where it is surest.
    if method not in ("daedal", "cal"):
        assert [answer.tokens for answer in alone] == [
            [10 + n % 3 + at for at in range(1 + 3 * n)] for n in range(8)
        ]
    assert len({answer.cost.window for answer in alone}) > 3


@pytest.mark.parametrize("method", ["daedal", "rho_eos"])
def test_passes_are_full_of_rows_of_like_length(method: str) -> None:
    """Canvases grow apart, up to 40: no pass is mostly padding, and a row that is done makes room
    for the next.
    """
    backbone = counting()
    jobs = [job((10, 1 + 5 * (n % 6), 9), n, gen_length=40, block_length=5) for n in range(24)]
    found = answers(load_strategy(method, OPTIONS[method]), backbone, *jobs, batch_size=4)
    rows = [len(ids_RT) for ids_RT, _ in backbone.passes]
    assert sum(rows) == sum(answer.cost.forward_passes for answer in found)
    assert max(rows) == 4 and sum(rows) > 3 * len(rows)
    assert all(mask_RT.float().mean() >= FULL_ENOUGH for _, mask_RT in backbone.passes)
    assert max(answer.cost.window for answer in found) > 4 * min(
        answer.cost.window for answer in found
    )


@pytest.mark.parametrize("method", STRATEGIES)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_batch_that_does_not_fit_is_halved_and_nothing_else_changes(
    method: str, temperature: float, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = [
        job((10, 1 + 3 * n, 9), n, gen_length=32, block_length=5, temperature=temperature)
        for n in range(5)
    ]
    strategy, small = (
        load_strategy(method, OPTIONS[method]),
        SmallMemory(counting().script, vocab_size=V),
    )
    assert list(map(outcome, answers(strategy, small, *jobs))) == list(
        map(outcome, answers(strategy, counting(), *jobs))
    )
    assert {len(ids) for ids, _ in small.passes} <= {1, 2}
    assert [record.args for record in caplog.records] == [(4, 2)]


@pytest.mark.parametrize("method", STRATEGIES)
def test_seconds_inside_the_model_are_a_part_of_all(method: str) -> None:
    (answer,) = answers(
        load_strategy(method, OPTIONS[method]),
        counting(),
        job((10, 4, 9), gen_length=32, block_length=5),
    )
    assert 0 < answer.cost.model_seconds < answer.cost.seconds


@pytest.mark.parametrize("method", STRATEGIES)
def test_stopping_at_the_eos_changes_no_text(method: str) -> None:
    backbone = load_golden("llada-void").backbone  # a model that DAEDAL and others can use, too
    prompts = [
        load_golden("llada-trained").tensors[f"daedal.{case}.prompt"][0].tolist()
        for case in (0, 3, 5, 7)
    ]
    strategy, passes = load_strategy(method, OF_A_MODEL[method]), {}
    for stop in (False, True):
        jobs = [job(prompt, gen_length=64, block_length=16, stop_at_eos=stop) for prompt in prompts]
        found = generated(strategy, backbone, jobs)
        passes[stop] = sum(answer.cost.forward_passes for answer in found.values())
        if not stop:
            texts = {index: answer.tokens for index, answer in found.items()}
    assert {index: answer.tokens for index, answer in found.items()} == texts
    assert passes[True] <= passes[False]


@pytest.mark.parametrize("method", ["daedal", "rho_eos"])
def test_guidance_runs_every_row_twice(method: str) -> None:
    strategy = load_strategy(method, OPTIONS[method])
    (plain,) = answers(strategy, saying(range(10, 16)), job(gen_length=32, block_length=8))
    backbone = saying(range(10, 16))
    (guided,) = answers(strategy, backbone, job(gen_length=32, block_length=8, cfg_scale=1.0))
    assert guided.tokens == plain.tokens == list(range(10, 16))
    assert guided.cost.forward_passes == plain.cost.forward_passes
    assert guided.cost.token_positions == 2 * plain.cost.token_positions
    # The mask id is 0.
    assert all(len(ids) == 2 and not ids[1, : len(PROMPT)].any() for ids, _ in backbone.passes)


@pytest.mark.parametrize("method", STRATEGIES)
def test_draws_depend_on_the_seed_and_not_on_the_batch(method: str) -> None:
    script = table([*PROMPT, *([10, 11, 12, 13] * 10)], [0.5] * 43, V)
    jobs = [job(seed=seed, gen_length=32, block_length=4, temperature=1.0) for seed in (1, 2, 1)]
    strategy = load_strategy(method, OPTIONS[method])
    alone = answers(strategy, ScriptedBackbone(script, vocab_size=V), *jobs, batch_size=1)
    together = answers(strategy, ScriptedBackbone(script, vocab_size=V), *jobs, batch_size=3)
    assert [answer.canvas for answer in alone] == [answer.canvas for answer in together]
    assert alone[0].canvas == alone[2].canvas != alone[1].canvas


@pytest.mark.parametrize("method", STRATEGIES)
def test_families_whose_logits_are_shifted(method: str) -> None:
    def script(ids_T: torch.Tensor) -> torch.Tensor:
        said = [10, 11, 12, *[EOS] * len(ids_T)][: len(ids_T) - len(PROMPT)]
        return table([*PROMPT, *said], [0.95] * len(ids_T), V)

    backbone = ScriptedBackbone(script, vocab_size=V, logits_shifted=True)
    (answer,) = answers(
        load_strategy(method, OPTIONS[method]), backbone, job(gen_length=16, block_length=4)
    )
    assert (answer.tokens, answer.ended) == ([10, 11, 12], True)


@pytest.mark.parametrize("method", STRATEGIES)
def test_every_id_that_ends_a_text_ends_an_answer(method: str) -> None:
    script = table([*PROMPT, 10, 11, *[7] * 40], [0.95] * 45, V)
    backbone = ScriptedBackbone(script, vocab_size=V, eos_ids=(EOS, 7))
    # Checkpoints of `eosbench train eospad` count their padding among the ends.
    void = {"void_token": 7} if method == "void_expansion" else {}
    (answer,) = answers(
        load_strategy(method, OPTIONS[method] | void), backbone, job(gen_length=32, block_length=4)
    )
    assert (answer.tokens, answer.ended) == ([10, 11], True)
    assert answer.cost.window < 16


@pytest.mark.parametrize("method", ["blocks", "rho_eos"])
def test_a_real_model_in_float32_answers_alike_in_any_batch(method: str) -> None:
    golden = load_golden("llada-trained")
    prompts = [golden.tensors[f"daedal.{case}.prompt"][0].tolist() for case in (0, 3, 5, 7, 14)]
    jobs = [job(prompt, gen_length=48, block_length=8) for prompt in prompts]
    strategy = load_strategy(method, {} if method == "blocks" else {"initial_gen_length": 16})
    alone = generated(strategy, golden.backbone, jobs, batch_size=1)
    together = generated(strategy, golden.backbone, jobs, batch_size=5)
    assert all(outcome(alone[index]) == outcome(together[index]) for index in alone)


@pytest.mark.parametrize("method", ["daedal", "rho_eos"])
def test_a_prompt_that_leaves_no_room(method: str) -> None:
    backbone = ScriptedBackbone(table(list(PROMPT), [0.9] * 3, V), vocab_size=V, max_length=12)
    with pytest.raises(
        ConfigurationError,
        match="3 tokens leaves no room for gen_length=10 in the model's 12 positions",
    ):
        answers(load_strategy(method), backbone, job(gen_length=10))
