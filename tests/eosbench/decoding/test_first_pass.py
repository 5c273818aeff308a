"""A first pass that step zero has run already: same tokens, one pass fewer, for every setting that
allows it; and no other setting starts from it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.window import Answer, Job, generate
from eosbench.forward import run_step_zero
from eosbench.forward.costs import estimated_flops
from eosbench.records import Prompt
from tests.eosbench.decoding.test_engine import SETTINGS
from tests.fakes import ScriptedBackbone, table
from tests.golden_files import load_golden

C, BLOCK = 32, 8


def answer(backbone: Any, job: Job) -> Answer:
    ((_, found),) = generate(backbone, [job], overflow="retry")
    return found


def first_pass(backbone: Any, prompt: tuple[int, ...], canvas: int = C) -> torch.Tensor:
    """[canvas, D] hidden states of step zero."""
    masks = (backbone.spec.mask_id,) * canvas
    step = run_step_zero(backbone, [Prompt("", prompt, masks)], {"hidden"})
    return step.read("canvas_hidden_BCD")[0]


@pytest.mark.parametrize("name", ["llada-tiny", "dream-tiny"])
@pytest.mark.parametrize("given", SETTINGS, ids=str)
def test_the_tokens_are_those_of_a_run_without_it(name: str, given: dict[str, Any]) -> None:
    backbone, prompt = load_golden(name).backbone, (7, 8, 9, 10, 11)
    if given.get("cache") and backbone.spec.logits_shifted:
        pytest.skip("caches are LLaDA's")
    config = DecodeConfig(**{"gen_length": C, "block_length": BLOCK, "steps": None, **given})
    job = Job(prompt, config, window=C, seed=3)
    plain, begun = (
        answer(backbone, job),
        answer(backbone, replace(job, first_ND=first_pass(backbone, prompt)[:BLOCK])),
    )
    assert begun.canvas == plain.canvas
    saved = 0 if given.get("cache") or given.get("cfg_scale") else 1
    assert plain.cost.forward_passes - begun.cost.forward_passes == saved
    assert plain.cost.token_positions - begun.cost.token_positions == saved * (len(prompt) + C)
    # What stays is the output layer, at the positions of the first block.
    spec = backbone.spec
    whole = estimated_flops(spec, len(prompt) + C, 1, 0, read_positions=BLOCK)
    assert plain.cost.flops - begun.cost.flops == pytest.approx(saved * whole)


def scripted(prompt: tuple[int, ...]) -> ScriptedBackbone:
    tokens = [*prompt, *[10] * C]
    return ScriptedBackbone(
        table(tokens, [0.9 - 0.01 * at for at in range(len(tokens))], 30), vocab_size=30
    )


def test_a_block_that_is_longer_than_what_is_known_is_run() -> None:
    prompt = (9, 9)
    backbone = scripted(prompt)
    job = Job(prompt, DecodeConfig(gen_length=C), window=C)
    short = replace(job, first_ND=first_pass(backbone, prompt)[: C - 1])
    assert answer(backbone, short).cost.forward_passes == C
    whole = replace(job, first_ND=first_pass(backbone, prompt))
    assert answer(backbone, whole).cost.forward_passes == C - 1


def test_a_canvas_that_is_full_after_it_runs_no_pass() -> None:
    prompt = (9, 9)
    backbone = scripted(prompt)
    known = first_pass(backbone, prompt)
    ran = len(backbone.passes)
    config = DecodeConfig(gen_length=C, threshold=0.1)
    found = answer(backbone, Job(prompt, config, window=C, first_ND=known))
    assert found.tokens == [10] * C and len(backbone.passes) == ran
    assert (found.cost.forward_passes, found.cost.token_positions) == (0, 0)
    assert found.cost.flops == 2 * backbone.spec.width * backbone.spec.vocab_size * C
