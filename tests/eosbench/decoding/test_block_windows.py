"""Windows on models that attend causally between blocks: what a cap cuts off, and a retry keeps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.window import Answer, Job, generate
from eosbench.strategies.blocks import Blocks
from model_adapters import load_backbone
from tests.eosbench.strategies.scripts import generated
from tests.golden_files import GOLDEN, load_golden

BLOCK_MODELS = ("sdar-tiny", "llada2-tiny", "stable-diffcoder-tiny", "fast-dllm-v2-tiny")
CANVAS = 29


def outcome(answer: Answer) -> tuple[Any, ...]:
    cost = answer.cost
    return answer.tokens, answer.ended, cost.forward_passes, cost.token_positions, cost.truncated


@pytest.mark.parametrize("at", [12, 19, None])
@pytest.mark.parametrize("name", BLOCK_MODELS)
def test_with_retry_a_cap_changes_no_answer_and_no_pass(name: str, at: int | None) -> None:
    """The model's own blocks, until one holds an end: the token that stands at index `at`."""
    backbone: Any = load_backbone(GOLDEN / name, block_length=8)
    prompt = tuple(load_golden(name).tensors["generate.0.prompt"][0].tolist())
    backbone.spec = replace(backbone.spec, eos_ids=frozenset([backbone.spec.mask_id - 1]))
    config = DecodeConfig(gen_length=CANVAS, stop_after_block=True)
    job = Job(prompt, config, CANVAS)
    (endless,) = generated(Blocks(), backbone, [job]).values()
    assert len(endless.tokens) == CANVAS and not endless.ended
    if at is not None:
        ends = frozenset([endless.tokens[at]])
        backbone.spec = replace(backbone.spec, eos_ids=ends)
    (whole,) = generated(Blocks(), backbone, [job]).values()
    assert whole.ended == (at is not None)
    capped = [replace(job, window=window) for window in (1, 5, 8, 13, 20)]
    for _, answer in generate(backbone, capped, overflow="retry"):
        assert outcome(answer) == outcome(whole)


@pytest.mark.parametrize("name", BLOCK_MODELS)
def test_without_it_a_cap_is_where_the_text_is_cut(name: str) -> None:
    backbone: Any = load_backbone(GOLDEN / name, block_length=8)
    prompt = tuple(load_golden(name).tensors["generate.0.prompt"][0].tolist())
    backbone.spec = replace(backbone.spec, eos_ids=frozenset([backbone.spec.mask_id - 1]))
    job = Job(prompt, DecodeConfig(gen_length=CANVAS), window=13)
    ((_, answer),) = generate(backbone, [job])
    assert len(answer.canvas) == 13 and answer.cost.truncated == 1
