"""Decoding against LLaDA's and Fast-dLLM's published outputs, and on logits written by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.denoise import denoise
from eosbench.decoding.sampler import choose_tokens, even_schedule, most_confident
from eosbench.errors import ConfigurationError
from tests.fakes import EOS, MASK, ScriptedBackbone, table
from tests.golden_files import Golden, load_golden

V = 12
FIELDS = DecodeConfig.__dataclass_fields__


def config_of(case: dict[str, Any]) -> DecodeConfig:
    chosen = {name: value for name, value in case.items() if name in FIELDS and value != "none"}
    return DecodeConfig(**chosen)


def golden_case(golden: Golden, kind: str, case: int) -> tuple[torch.Tensor, torch.Tensor]:
    prompt = golden.tensors[f"{kind}.{case}.prompt"][0]
    return prompt, golden.tensors[f"{kind}.{case}.output"][0, len(prompt) :]


@pytest.mark.parametrize("case", range(6))
@pytest.mark.parametrize("name", ["llada-tiny", "llada-tiny-gqa"])
def test_published_sampler(name: str, case: int) -> None:
    golden = load_golden(name)
    prompt, output = golden_case(golden, "generate", case)
    config = config_of(golden.settings["generate"][case])
    result = denoise(golden.backbone, [prompt], config)
    assert result.sequences[0].tolist() == output.tolist()
    assert result.forward_passes == config.steps
    rows = 2 if config.cfg_scale else 1
    assert result.token_positions == rows * result.forward_passes * (
        len(prompt) + config.gen_length
    )


def test_published_sampler_on_prompts_of_unequal_length_in_one_batch() -> None:
    golden = load_golden("llada-trained")
    cases = golden.settings["generate"]
    config = config_of(cases[0])
    assert all(config_of(case) == config for case in cases)
    prompts, outputs = zip(
        *(golden_case(golden, "generate", case["case"]) for case in cases), strict=True
    )
    assert len({len(prompt) for prompt in prompts}) > 4
    result = denoise(golden.backbone, prompts, config)
    assert [sequence.tolist() for sequence in result.sequences] == [
        output.tolist() for output in outputs
    ]
    assert result.forward_passes == 64
    assert result.row_token_positions == [64 * (len(prompt) + 64) for prompt in prompts]


@pytest.mark.parametrize("case", range(24))
@pytest.mark.parametrize("name", ["llada-tiny", "llada-tiny-gqa"])
def test_published_accelerations(name: str, case: int) -> None:
    golden = load_golden(name)
    prompt, output = golden_case(golden, "accelerated", case)
    settings = golden.settings["accelerated"][case]
    result = denoise(golden.backbone, [prompt], config_of(settings))
    assert result.sequences[0].tolist() == output.tolist()
    assert result.forward_passes == settings["forward_passes"]


@pytest.mark.parametrize("name", ["llada-tiny", "llada-trained"])
@settings(max_examples=6, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_row_gives_the_same_tokens_alone_and_in_a_batch(name: str, data: st.DataObject) -> None:
    golden = load_golden(name)
    prompt = st.lists(st.integers(2, 290), min_size=1, max_size=30)
    prompts = data.draw(st.lists(prompt, min_size=2, max_size=4))
    config = DecodeConfig(
        gen_length=data.draw(st.integers(1, 24)),
        block_length=data.draw(st.sampled_from([None, 1])),
        cfg_scale=data.draw(st.sampled_from([0.0, 1.0])),
        temperature=data.draw(st.sampled_from([0.0, 0.7])),
        threshold=data.draw(st.sampled_from([None, 0.1])),
        cache=data.draw(st.sampled_from([None, "prefix", "dual"])),
    )
    batch = denoise(golden.backbone, prompts, config)
    for row, ids in enumerate(prompts):
        alone = denoise(golden.backbone, [ids], config)
        assert alone.sequences[0].tolist() == batch.sequences[row].tolist()
        assert (alone.forward_passes, alone.token_positions) == (
            batch.row_forward_passes[row],
            batch.row_token_positions[row],
        )


def canvas_only(
    tokens: list[int], confidences: list[float], prompt: int = 1, **kwargs: Any
) -> ScriptedBackbone:
    """A backbone that answers every canvas with `tokens`, each at its confidence."""
    return ScriptedBackbone(
        table([EOS] * prompt + tokens, [0.5] * prompt + confidences, V), vocab_size=V, **kwargs
    )


@pytest.mark.parametrize("shifted", [False, True])
def test_the_most_confident_token_stays_first(shifted: bool) -> None:
    backbone = canvas_only([5, 6, 7, 8], [0.2, 0.9, 0.4, 0.8], logits_shifted=shifted)
    result = denoise(backbone, [[4]], DecodeConfig(gen_length=4))
    seen = [ids[0, 1:].tolist() for ids, _ in backbone.passes]
    assert seen == [[MASK] * 4, [MASK, 6, MASK, MASK], [MASK, 6, MASK, 8], [MASK, 6, 7, 8]]
    assert result.sequences[0].tolist() == [5, 6, 7, 8]


def test_blocks_go_from_left_to_right_and_the_last_may_be_shorter() -> None:
    backbone = canvas_only([5, 6, 7, 8, 9], [0.2, 0.3, 0.4, 0.5, 0.6])
    denoise(backbone, [[4]], DecodeConfig(gen_length=5, block_length=2, steps=3))
    seen = [ids[0, 1:].tolist() for ids, _ in backbone.passes]
    assert seen == [[MASK] * 5, [5, 6, MASK, MASK, MASK], [5, 6, 7, 8, MASK]]


def test_a_threshold_keeps_all_that_reach_it_and_always_one() -> None:
    backbone = canvas_only([5, 6, 7, 8], [0.85, 0.9, 0.3, 0.4])
    result = denoise(backbone, [[4]], DecodeConfig(gen_length=4, threshold=0.8))
    assert [ids[0, 1:].tolist() for ids, _ in backbone.passes] == [
        [MASK] * 4,
        [5, 6, MASK, MASK],
        [5, 6, MASK, 8],
    ]
    assert result.forward_passes == 3


def test_the_mask_token_is_never_chosen() -> None:
    logits_TV = table([EOS, MASK, MASK], [0.5, 0.9, 0.9], V)
    logits_TV[1, 7] = logits_TV[1, 5] + 0.1
    logits_TV[2, 9] = logits_TV[2, 5] + 0.1
    result = denoise(ScriptedBackbone(logits_TV, vocab_size=V), [[4]], DecodeConfig(gen_length=2))
    assert result.sequences[0].tolist() == [7, 9]


def test_what_a_canvas_already_holds_is_kept_and_costs_nothing() -> None:
    backbone = canvas_only([5, 6, 7, 8], [0.9, 0.9, 0.4, 0.3])
    result = denoise(
        backbone,
        [[4], [4]],
        DecodeConfig(gen_length=4),
        canvases=[[11, MASK, 10, MASK], [3, 3, 3, 3]],
    )
    assert [sequence.tolist() for sequence in result.sequences] == [[11, 6, 10, 8], [3, 3, 3, 3]]
    assert (result.forward_passes, result.row_forward_passes, result.row_token_positions) == (
        2,
        [2, 0],
        [10, 0],
    )


def test_padding_is_masked_and_not_counted() -> None:
    backbone = ScriptedBackbone(torch.zeros(5, V), vocab_size=V)
    result = denoise(backbone, [[4], [4, 4, 4]], DecodeConfig(gen_length=2, steps=1))
    assert [mask.tolist() for _, mask in backbone.passes] == [[[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]]
    assert result.row_token_positions == [3, 5]
    assert result.token_positions == 8


def test_guidance_moves_away_from_what_the_canvas_says_without_its_prompt() -> None:
    def script(ids_T: torch.Tensor) -> torch.Tensor:
        logits_TV = torch.full((len(ids_T), V), -9.0)
        logits_TV[:, 5], logits_TV[:, 6] = 2.0, 1.0
        if ids_T[0] == MASK:  # without the prompt, 5 is likelier still: the prompt argues for 6
            logits_TV[:, 5] = 4.0
        return logits_TV

    backbone = ScriptedBackbone(script, vocab_size=V)
    assert denoise(backbone, [[4]], DecodeConfig(gen_length=1)).sequences[0].tolist() == [5]
    # 5: 4 + 2 (2 - 4) = 0; 6: 1.
    guided = denoise(backbone, [[4]], DecodeConfig(gen_length=1, cfg_scale=1.0))
    assert guided.sequences[0].tolist() == [6]
    assert (guided.forward_passes, guided.token_positions) == (1, 4)


def test_temperature_draws_by_probability_and_by_seed_alone() -> None:
    backbone = ScriptedBackbone(table([EOS, 5], [0.5, 0.6], V), vocab_size=V)
    config = DecodeConfig(gen_length=1, temperature=1.0)
    draws = denoise(backbone, [[4]] * 2000, config, seeds=range(2000)).sequences
    share = sum(draw.item() == 5 for draw in draws) / 2000
    assert share == pytest.approx(0.6, abs=0.045)  # 4 standard errors
    backwards = denoise(backbone, [[4]] * 2000, config, seeds=range(1999, -1, -1)).sequences
    assert [draw.item() for draw in backwards] == [draw.item() for draw in draws][::-1]
    cold = denoise(
        backbone, [[4]] * 50, DecodeConfig(gen_length=1, temperature=0.01), seeds=range(50)
    ).sequences
    assert {draw.item() for draw in cold} == {5}


def test_without_seeds_a_prompt_is_its_own_seed() -> None:
    backbone = ScriptedBackbone(torch.zeros(9, V), vocab_size=V)
    config = DecodeConfig(gen_length=6, temperature=1.0, remasking="random")
    first, other = (
        denoise(backbone, [[4], prompt], config).sequences[0].tolist() for prompt in ([7], [8, 8])
    )
    assert first == other
    assert denoise(backbone, [[7]], config).sequences[0].tolist() != first


def test_random_remasking_keeps_any_position() -> None:
    backbone = canvas_only([5, 6], [0.9, 0.2])
    firsts = []
    for seed in range(40):
        backbone.passes.clear()
        denoise(backbone, [[4]], DecodeConfig(gen_length=2, remasking="random"), seeds=[seed])
        firsts.append(backbone.passes[1][0][0, 1:].tolist())
    assert 8 < sum(canvas == [5, MASK] for canvas in firsts) < 32


def test_nothing_in_nothing_out() -> None:
    result = denoise(canvas_only([5], [0.9]), [], DecodeConfig(gen_length=1))
    assert (result.sequences, result.forward_passes, result.token_positions) == ([], 0, 0)


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({"gen_length": 0}, "gen_length=0"),
        ({"block_length": 0}, "block_length=0"),
        ({"steps": 9}, "steps=9: expected 1 .* to 8"),
        ({"steps": 2, "block_length": 3}, "steps=2: expected 3"),
        ({"remasking": "surprise"}, "remasking='surprise'"),
        ({"temperature": -1.0}, r"temperature=-1\.0"),
        ({"cfg_scale": -0.5}, r"cfg_scale=-0\.5"),
        ({"threshold": 1.5}, r"threshold=1\.5"),
        ({"threshold": 0.5, "remasking": "random"}, "remasking='random'"),
        ({"cache": "infix"}, "cache='infix'"),
    ],
    ids=str,
)
def test_settings_that_cannot_work(changes: dict[str, Any], value: str) -> None:
    with pytest.raises(ConfigurationError, match=value):
        DecodeConfig(**{"gen_length": 8, **changes})


def test_calls_that_cannot_work() -> None:
    config = DecodeConfig(gen_length=2)
    backbone = canvas_only([5, 6], [0.9, 0.8], max_length=4)
    with pytest.raises(ConfigurationError, match=r"3 tokens.*gen_length=2.*4 positions"):
        denoise(backbone, [[4, 4, 4]], config)
    with pytest.raises(ConfigurationError, match=r"canvas of shape \[3\].*gen_length=2"):
        denoise(backbone, [[4]], config, canvases=[[MASK] * 3])
    with pytest.raises(ConfigurationError, match="1 canvases for 2 prompts"):
        denoise(backbone, [[4], [4]], config, canvases=[[MASK] * 2])
    with pytest.raises(ConfigurationError, match="1 seeds for 2 prompts"):
        denoise(backbone, [[4], [4]], config, seeds=[0])
    with pytest.raises(ConfigurationError, match="keeps no cache"):
        denoise(backbone, [[4]], DecodeConfig(gen_length=2, cache="dual"))
    with pytest.raises(ConfigurationError, match="at least one token"):
        denoise(canvas_only([5], [0.9], logits_shifted=True), [[]], DecodeConfig(gen_length=1))


@given(masked=st.integers(0, 40), steps=st.integers(1, 50))
def test_even_schedules_unmask_everything_evenly(masked: int, steps: int) -> None:
    schedule = even_schedule(torch.tensor([masked]), steps)[0].tolist()
    assert len(schedule) == steps and sum(schedule) == masked
    assert schedule == sorted(schedule, reverse=True) and schedule[0] - schedule[-1] <= 1


@given(length=st.integers(1, 60), data=st.data())
def test_blocks_cover_the_canvas_and_share_out_all_steps(length: int, data: st.DataObject) -> None:
    block = data.draw(st.integers(1, length))
    steps = data.draw(st.integers(-(-length // block), length))
    blocks = list(DecodeConfig(gen_length=length, block_length=block, steps=steps).blocks())
    assert [start for start, _, _ in blocks] == list(range(0, length, block))
    assert [end for _, end, _ in blocks] == [*range(block, length, block), length]
    assert sum(share for _, _, share in blocks) == steps and all(
        share >= 1 for _, _, share in blocks
    )


def test_equals_go_to_the_leftmost_and_no_more_than_there_are() -> None:
    assert most_confident(torch.tensor([0.5, 0.5, 0.5]), 2).tolist() == [True, True, False]
    assert most_confident(torch.tensor([0.1, 0.2, 0.2]), 2).tolist() == [False, True, True]
    assert most_confident(torch.tensor([0.1]), 3).tolist() == [True]


def test_confidence_is_the_share_of_all_tokens_the_mask_among_them() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.2]]))
    tokens, confidence = choose_tokens(logits, mask_id=0)
    assert (
        tokens.tolist() == [1]
        and confidence.item() == pytest.approx(0.3)
        and confidence.dtype is torch.float64
    )
