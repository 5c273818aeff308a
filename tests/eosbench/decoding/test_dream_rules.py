"""Dream's rules against Dream's published sampler (tests/golden/dream-tiny) and against numbers
worked out by hand.
"""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.denoise import denoise
from eosbench.decoding.dream_rules import margin, negative_entropy, time_schedule
from eosbench.errors import ConfigurationError
from tests.fakes import EOS, MASK, ScriptedBackbone, table
from tests.golden_files import load_golden

REMASKING = {"maskgit_plus": "low_confidence", "entropy": "entropy", "topk_margin": "topk_margin"}


@pytest.mark.parametrize("case", range(5))
def test_published_sampler_token_for_token(case: int) -> None:
    golden = load_golden("dream-tiny")
    settings = golden.settings["generate"][case]
    prompt, output = (golden.tensors[f"generate.{case}.{part}"][0] for part in ("prompt", "output"))
    length, steps = settings["gen_length"], settings["steps"]
    config = DecodeConfig(
        gen_length=length, steps=steps, remasking=REMASKING[settings["alg"]], schedule="time"
    )
    result = denoise(golden.backbone, [prompt], config)
    assert result.sequences[0].tolist() == output[len(prompt) :].tolist()
    assert result.forward_passes <= steps


def test_published_cases_in_one_batch() -> None:
    golden = load_golden("dream-tiny")
    alone = [
        (golden.tensors[f"generate.{case}.prompt"][0], golden.settings["generate"][case])
        for case in (1, 3)
    ]
    config = DecodeConfig(gen_length=32, steps=8, remasking="entropy", schedule="time")
    batch = denoise(golden.backbone, [prompt for prompt, _ in alone], config)
    assert batch.sequences[1].tolist() == golden.tensors["generate.3.output"][0, 20:].tolist()
    assert (
        batch.sequences[0].tolist()
        == denoise(golden.backbone, [alone[0][0]], config).sequences[0].tolist()
    )


def test_time_schedule_by_hand() -> None:
    # Four steps from t = 1 to 0.001 unmask about 1/4, 1/3, 1/2 of what is left, then all of it: of
    # 12 int(12 * 0.24975) = 2, of 10 int(10 * 0.333) = 3, of 7 int(7 * 0.499) = 3, and the last 4.
    # Of one token every step but the last unmasks int(0.25) = 0.
    assert time_schedule(torch.tensor([12, 1, 0]), 4).tolist() == [
        [2, 3, 3, 4],
        [1, 0, 0, 0],
        [0, 0, 0, 0],
    ]


@given(masked=st.integers(0, 80), steps=st.integers(1, 80))
def test_time_schedules_unmask_everything_and_waste_no_pass(masked: int, steps: int) -> None:
    schedule = time_schedule(torch.tensor([masked]), steps)[0].tolist()
    assert len(schedule) == steps and sum(schedule) == masked
    assert 0 not in schedule[: sum(count > 0 for count in schedule)]


def test_confidences_by_hand() -> None:
    log_p = torch.tensor([[0.5, 0.25, 0.25, 0.0], [1.0, 0.0, 0.0, 0.0]]).log()
    assert negative_entropy(log_p).tolist() == pytest.approx([-1.5 * math.log(2), 0.0])
    assert margin(log_p).tolist() == pytest.approx([0.25, 1.0])


def test_what_each_rule_unmasks_first() -> None:
    """Position 0 has the likeliest token, position 1 the least entropy, position 2 the widest
    margin.
    """
    p = torch.tensor(
        [
            [0, 0, 0, 0.50, 0.45, 0.01, 0.01, 0.01, 0.01, 0.01],
            [0, 0, 0, 0.49, 0.48, 0.03, 0.00, 0.00, 0.00, 0.00],
            [0, 0, 0, 0.44, 0.10, 0.10, 0.10, 0.09, 0.09, 0.08],
        ]
    )
    logits = torch.cat([table([EOS], [0.9], 10), p.clamp(min=1e-9).log()])
    first = {}
    for remasking in ("low_confidence", "entropy", "topk_margin"):
        backbone = ScriptedBackbone(logits, vocab_size=10)
        denoise(backbone, [[4]], DecodeConfig(gen_length=3, remasking=remasking))
        canvas = backbone.passes[1][0][0, 1:].tolist()
        first[remasking] = [at for at, token in enumerate(canvas) if token != MASK]
    assert first == {"low_confidence": [0], "entropy": [1], "topk_margin": [2]}


def test_an_unknown_schedule() -> None:
    with pytest.raises(ConfigurationError, match="schedule='cosine': expected one of even, time"):
        DecodeConfig(gen_length=4, schedule="cosine")
