"""Sampling options against plain loops over transformers' own logits processors, against published
outputs, and against numbers worked out by hand.

Legend: T tokens of prompt and canvas, N positions, V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import RepetitionPenaltyLogitsProcessor, TopKLogitsWarper, TopPLogitsWarper

from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.denoise import denoise
from eosbench.decoding.dream_rules import drawn_schedule
from eosbench.decoding.sampler import choose_tokens
from eosbench.decoding.sampling import Sampling, left_out
from eosbench.errors import ConfigurationError
from tests.fakes import EOS, MASK, ScriptedBackbone, table
from tests.golden_files import Golden, load_golden

FULL_CANVAS = ("llada-tiny", "llada-tiny-gqa", "llada-trained", "illada-tiny", "llada-moe-tiny")
BLOCKS = ("sdar-tiny", "llada2-tiny", "fast-dllm-v2-tiny", "stable-diffcoder-tiny")
P = torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.5, 0.3, 0.2, 0.0]])  # of tokens 4, 5 and 6


def published_loop(
    golden: Golden, prompt: torch.Tensor, length: int, options: dict[str, Any]
) -> list[int]:
    """LLaDA's greedy loop over one block, a token a pass, with its options where they stand in
    generate.py, and transformers' repetition penalty.
    """
    backbone, spec = golden.backbone, golden.backbone.spec
    ids_T = torch.cat([prompt, torch.full((length,), spec.mask_id)])
    for _ in range(length):
        is_masked_T = ids_T == spec.mask_id
        with torch.no_grad():
            logits_TV = backbone.logits(ids_T[None])[0].double()
        if options.get("logits_eos_inf"):
            logits_TV[:, spec.eos_id] = -torch.inf
        if "repetition_penalty" in options:
            penalty = RepetitionPenaltyLogitsProcessor(options["repetition_penalty"])
            stands_T = ids_T[~is_masked_T].expand(len(ids_T), -1)
            logits_TV = penalty(stands_T, logits_TV)
        best_TV = logits_TV.clone()
        best_TV[:, spec.mask_id] = -torch.inf
        tokens_T = best_TV.argmax(dim=-1)
        if options.get("confidence_eos_eot_inf"):
            logits_TV[:, sorted(spec.eos_ids)] = -torch.inf
        confidence_T = logits_TV.softmax(dim=-1).gather(-1, tokens_T[:, None])[:, 0]
        confidence_T[~is_masked_T] = -torch.inf
        at = int(confidence_T.argmax())
        ids_T[at] = tokens_T[at]
    found: list[int] = ids_T[len(prompt) :].tolist()
    return found


@pytest.mark.parametrize("name", ["llada-trained", "illada-tiny"])
@pytest.mark.parametrize(
    "options",
    [
        {"logits_eos_inf": True},
        {"confidence_eos_eot_inf": True},
        {"repetition_penalty": 1.5},
        {"repetition_penalty": 0.8, "logits_eos_inf": True},
    ],
    ids=str,
)
def test_published_options_token_for_token(name: str, options: dict[str, Any]) -> None:
    golden = load_golden(name)
    prompts = [golden.tensors[f"generate.{case}.prompt"][0] for case in (0, 1)]
    expected = [published_loop(golden, prompt, 20, options) for prompt in prompts]
    result = denoise(golden.backbone, prompts, DecodeConfig(gen_length=20, **options))
    assert [sequence.tolist() for sequence in result.sequences] == expected
    if name == "llada-trained":  # where a text ends by itself, each of them changes it
        assert expected != [published_loop(golden, prompt, 20, {}) for prompt in prompts]


def dreams_loop(golden: Golden, prompt: torch.Tensor, remasking: str) -> list[int]:
    """Dream's loop at temperature 0 over 20 masks in 8 steps, with top_p=0.6 and top_k=12 by
    transformers' warpers.
    """
    backbone, spec = golden.backbone, golden.backbone.spec
    ids_T = torch.cat([prompt, torch.full((20,), spec.mask_id)])
    times = torch.linspace(1, 1e-3, 9)
    for step in range(8):
        at_N = (ids_T == spec.mask_id).nonzero()[:, 0]
        share = 1 - times[step + 1] / times[step]
        count = int(len(at_N) * share) if step < 7 else len(at_N)
        with torch.no_grad():
            logits_NV = backbone.logits(ids_T[None])[0, at_N].double()
        for warper in (TopPLogitsWarper(0.6), TopKLogitsWarper(12)):
            logits_NV = warper(None, logits_NV)  # type: ignore[arg-type]
        p_NV = logits_NV.softmax(dim=-1)
        ranked_NV, tokens_NV = p_NV.sort(dim=-1, descending=True)
        confidence_N = {
            "maskgit_plus": ranked_NV[:, 0],
            "topk_margin": ranked_NV[:, 0] - ranked_NV[:, 1],
            "entropy": torch.special.entr(p_NV).sum(dim=-1).neg(),
        }[remasking]
        stays = confidence_N.topk(count).indices
        ids_T[at_N[stays]] = tokens_NV[stays, 0]
    found: list[int] = ids_T[len(prompt) :].tolist()
    return found


@pytest.mark.parametrize("remasking", ["maskgit_plus", "topk_margin", "entropy"])
def test_dreams_limits_change_what_stays(remasking: str) -> None:
    golden = load_golden("dream-tiny")
    prompt = golden.tensors["generate.1.prompt"][0]
    config = DecodeConfig(gen_length=20, steps=8, schedule="time", remasking=remasking)
    limited = replace(config, top_p=0.6, top_k=12)
    found, plain = (
        denoise(golden.backbone, [prompt], one).sequences[0].tolist() for one in (limited, config)
    )
    assert found == dreams_loop(golden, prompt, remasking)
    assert found != plain


@pytest.mark.parametrize("name", [*FULL_CANVAS, "dream-tiny", "diffugpt-tiny", *BLOCKS])
@settings(max_examples=2, deadline=None, derandomize=True)
@given(data=st.data())
def test_the_first_alone_is_greedy_and_no_limit_is_none(name: str, data: st.DataObject) -> None:
    backbone = load_golden(name).backbone
    prompts = data.draw(
        st.lists(st.lists(st.integers(6, 250), min_size=1, max_size=9), min_size=2, max_size=2)
    )
    greedy = DecodeConfig(gen_length=12)
    drawn = replace(greedy, temperature=data.draw(st.sampled_from([0.3, 1.0, 4.0])))

    def tokens(config: DecodeConfig) -> list[list[int]]:
        return [one.tolist() for one in denoise(backbone, prompts, config).sequences]

    assert tokens(replace(drawn, top_k=1)) == tokens(greedy)
    assert tokens(replace(drawn, top_p=0.0)) == tokens(greedy)
    assert tokens(replace(drawn, top_p=1.0, top_k=10**6)) == tokens(drawn)
    assert tokens(replace(drawn, top_k=0, repetition_penalty=1.0)) == tokens(drawn)
    narrow = replace(drawn, top_p=0.9, top_k=30, repetition_penalty=1.2)
    alone = [denoise(backbone, [ids], narrow).sequences[0].tolist() for ids in prompts]
    assert tokens(narrow) == alone


@given(
    seed=st.integers(0, 2**31),
    top_p=st.floats(0.05, 0.95),
    top_k=st.integers(1, 40),
    temperature=st.floats(0.2, 3.0),
)
def test_what_is_left_out_is_what_transformers_leave_out(
    seed: int, top_p: float, top_k: int, temperature: float
) -> None:
    logits = torch.randn(3, 30, generator=torch.Generator().manual_seed(seed)).double()
    logits /= temperature
    # In Dream's order, which is not transformers' own.
    nucleus = TopPLogitsWarper(top_p)(None, logits)  # type: ignore[arg-type]
    both = TopKLogitsWarper(top_k)(None, nucleus)  # type: ignore[arg-type]
    assert torch.equal(left_out(logits, top_p, top_k), both.isinf())


def test_only_what_is_left_is_drawn_by_its_probability() -> None:
    backbone = ScriptedBackbone(torch.cat([table([EOS], [0.9], 8), P.log()]), vocab_size=8)
    for options, expected in (
        ({"top_p": 0.7}, {4: 0.625, 5: 0.375}),
        ({"top_k": 2}, {4: 0.625, 5: 0.375}),
        ({"top_p": 0.81}, {4: 0.5, 5: 0.3, 6: 0.2}),
        ({"top_p": 0.81, "temperature": 0.5}, {4: 25 / 34, 5: 9 / 34}),  # shares of the squares
    ):
        config = DecodeConfig(**({"gen_length": 1, "temperature": 1.0} | options))
        found = denoise(backbone, [[4]] * 600, config, seeds=range(600)).sequences
        counts = {token: sum(one.tolist() == [token] for one in found) / 600 for token in (4, 5, 6)}
        assert {token for token, share in counts.items() if share} == set(expected)
        for token, share in expected.items():
            assert counts[token] == pytest.approx(share, abs=0.07)


def test_dreams_confidences_are_those_of_what_is_drawn_from() -> None:
    """At temperature 0.5 probabilities are as 25 : 9 : 4, and top_p=0.7 keeps the first two."""
    first, second = 25 / 34, 9 / 34
    entropy = first * math.log(first) + second * math.log(second)
    sampling = Sampling(top_p=0.7)
    for confidence, expected in (
        ("low_confidence", {4: 0.5, 5: 0.3}),
        ("maskgit_plus", {4: first, 5: second}),
        ("topk_margin", dict.fromkeys((4, 5), first - second)),
        ("entropy", dict.fromkeys((4, 5), entropy)),
    ):
        seen = {}
        for seed in range(20):
            tokens, values = choose_tokens(
                P.log(),
                mask_id=MASK,
                temperature=0.5,
                generator=torch.Generator().manual_seed(seed),
                confidence=confidence,
                sampling=sampling,
            )
            seen[int(tokens)] = float(values)
        assert seen == pytest.approx(expected)
    # Without a temperature nothing is drawn, and what is left out has no share all the same.
    _, values = choose_tokens(P.log(), mask_id=MASK, confidence="maskgit_plus", sampling=sampling)
    assert float(values) == pytest.approx(0.625)
    _, values = choose_tokens(P.log(), mask_id=MASK, confidence="low_confidence", sampling=sampling)
    assert float(values) == pytest.approx(0.5)


@pytest.mark.parametrize("confidence", ["low_confidence", "entropy", "topk_margin"])
def test_ends_come_last_and_have_no_share(confidence: str) -> None:
    logits = torch.tensor([[0.0, 0, 0, 0, 0.2, 0.1, 0.7], [0, 0, 0, 0, 0.3, 0.1, 0.6]]).log()
    logits[1, 6] = -torch.inf
    tokens, values = choose_tokens(
        logits, mask_id=MASK, confidence=confidence, sampling=Sampling(last=(5, 6))
    )
    assert tokens.tolist() == [6, 4]
    assert values[1] == pytest.approx(
        {"low_confidence": 1.0, "entropy": 0.0, "topk_margin": 1.0}[confidence]
    )
    assert values[0] == (0 if confidence == "low_confidence" else -torch.inf)


def test_the_eos_is_the_checkpoints_and_a_turn_may_still_end() -> None:
    """Token 7 is likeliest and called the EOS, 5 ends a turn: it is the next."""
    logits = torch.cat([table([EOS], [0.9], 9), torch.tensor([[0, 0, 0, 0, 1.0, 2.0, 0, 3.0, 0]])])
    for declared, chosen in ((7, 5), (5, 7), (None, 7)):
        backbone = ScriptedBackbone(logits, vocab_size=9, eos_ids=(5, 7))
        backbone.spec = replace(backbone.spec, declared_eos=declared)
        result = denoise(backbone, [[4]], DecodeConfig(gen_length=1, logits_eos_inf=True))
        assert result.sequences[0].tolist() == [chosen]


def test_a_repetition_penalty_is_for_the_prompt_and_what_stands_once_each() -> None:
    """Token 4 (logit 3) stands in the prompt twice and is halved once; 5 (logit 2) is next, then
    stands itself (1.0), so that 4 (1.5) follows; the mask token is no token.
    """
    row = torch.tensor([0.0, 0, 0, 0, 3.0, 2.0, 0.5, -1.0])
    backbone = ScriptedBackbone(row.expand(4, 8).clone(), vocab_size=8)
    config = DecodeConfig(gen_length=2, repetition_penalty=2.0)
    result = denoise(backbone, [[4, 4]], config)
    assert result.sequences[0].tolist() == [5, 4]
    assert denoise(backbone, [[7, 7]], config).sequences[0].tolist() == [4, 5]


def test_origin_draws_how_many_leave_by_dreams_times() -> None:
    """Of 40 masks the first of 4 passes takes each with probability 1 - 0.75025 / 1."""
    counts = [drawn_schedule(40, 4, torch.Generator().manual_seed(seed)) for seed in range(200)]
    assert all(sum(one) == 40 and 0 not in one and len(one) <= 4 for one in counts)
    assert len({tuple(one) for one in counts}) > 100
    means = torch.tensor([one for one in counts if len(one) == 4]).double().mean(dim=0)
    assert means.tolist() == pytest.approx([10, 10, 10, 10], abs=0.7)
    golden = load_golden("dream-tiny")
    config = DecodeConfig(gen_length=16, steps=8, remasking="origin", schedule="time")
    first, second, again = denoise(
        golden.backbone, [[7, 8, 9]] * 3, config, seeds=[1, 2, 1]
    ).sequences
    assert first.tolist() == again.tolist() and golden.backbone.spec.mask_id not in first
    assert first.tolist() != second.tolist()


def test_nothing_that_is_off_costs_anything() -> None:
    spec = ScriptedBackbone(torch.zeros(1, 8), vocab_size=8).spec
    off = DecodeConfig(temperature=0.7, top_p=1.0, top_k=0, repetition_penalty=1.0)
    assert Sampling.of(off, spec) is None and off == DecodeConfig(temperature=0.7)


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"top_p": 1.5}, r"top_p=1.5: expected 0 to 1"),
        ({"top_p": math.nan}, r"top_p=nan: expected 0 to 1"),
        ({"top_k": -1}, r"top_k=-1: expected a number of tokens, or 0 for all"),
        ({"repetition_penalty": 0.0}, r"repetition_penalty=0.0: expected above 0"),
        ({"repetition_penalty": math.inf}, r"repetition_penalty=inf: expected above 0"),
        ({"remasking": "origin"}, r"remasking='origin' with schedule='even'"),
        ({"remasking": "origin", "schedule": "time", "threshold": 0.5}, r"a threshold needs"),
        ({"remasking": "random", "confidence_eos_eot_inf": True}, r"no confidence counts there"),
    ],
)
def test_options_that_cannot_work(given_: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        DecodeConfig(**given_)
