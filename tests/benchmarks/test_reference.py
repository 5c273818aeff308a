"""The loop that eosbench is compared with gives what the published samplers gave.

Otherwise the comparison would be worth nothing.
"""

from __future__ import annotations

import pytest
import torch

from benchmarks.reference import generate, log_likelihood
from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.denoise import denoise
from tests.golden_files import load_golden


@pytest.mark.parametrize("case", range(5))  # the sixth is guided, which the reference loop is not
def test_the_published_tokens_and_denoise_s(case: int) -> None:
    golden = load_golden("llada-tiny")
    settings = golden.settings["generate"][case]
    shape = {name: settings[name] for name in ("gen_length", "steps", "block_length")}
    assert settings["cfg_scale"] == 0 and settings["remasking"] == "low_confidence"
    prompt = golden.tensors[f"generate.{case}.prompt"][0]
    tokens = generate(golden.backbone, prompt, **shape)
    assert tokens.tolist() == golden.tensors[f"generate.{case}.output"][0, len(prompt) :].tolist()
    assert (
        tokens.tolist()
        == denoise(golden.backbone, [prompt], DecodeConfig(**shape)).sequences[0].tolist()
    )


@pytest.mark.parametrize("case", range(3))
def test_random_masks_estimate_the_exact_likelihood(case: int) -> None:
    golden = load_golden("llada-tiny")
    prompt, target = (
        golden.tensors[f"loglikelihood.{case}.{part}"] for part in ("prompt", "target")
    )
    generator = torch.Generator().manual_seed(0)
    values = torch.tensor(
        [
            log_likelihood(
                golden.backbone, prompt, target, masks=64, batch_size=32, generator=generator
            )
            for _ in range(12)
        ]
    )
    exact = golden.settings["loglikelihood"][case]["exact"]
    error = float(values.std()) / len(values) ** 0.5
    assert float(values.mean()) == pytest.approx(exact, abs=4 * error + 1e-4)
    assert error < 0.1 * abs(exact)
