"""The FLOP formula against torch's own counter, which sees every matrix product of eager attention.

Legend: B rows, T tokens, N positions that the output layer scores, D width.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from torch.utils.flop_counter import FlopCounterMode

from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.window import Job, generate
from eosbench.forward.costs import estimated_flops
from model_adapters import load_backbone
from model_adapters.backbones.full_canvas import FullCanvasBackbone
from model_adapters.varlen_dlm.likelihood_requests import LikelihoodRequest, Window
from model_adapters.varlen_dlm.parsing import parse_arguments
from model_adapters.varlen_dlm.scores import Scores
from tests.golden_files import GOLDEN

NAMES = ("llada-tiny", "llada-tiny-gqa", "llada-trained")


def eager(name: str) -> FullCanvasBackbone:
    backbone = load_backbone(GOLDEN / name, attn_implementation="eager")
    assert isinstance(backbone, FullCanvasBackbone)
    return backbone


def counted(work: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        work()
    return int(counter.get_total_flops())


@pytest.mark.parametrize(("B", "T", "N"), [(1, 40, 40), (1, 40, 1), (3, 100, 7), (2, 7, 0)])
@pytest.mark.parametrize("name", NAMES)
def test_a_forward_pass_and_the_output_layer_at_selected_positions(
    name: str, B: int, T: int, N: int
) -> None:
    backbone = eager(name)
    ids_BT = torch.randint(2, 200, (B, T), generator=torch.Generator().manual_seed(0))

    def work() -> None:
        hidden_BTD = backbone.hidden(ids_BT)
        if N:
            backbone.unembed(hidden_BTD.flatten(0, 1)[:N])

    assert estimated_flops(backbone.spec, B * T, B, N) == pytest.approx(counted(work), rel=1e-9)


@pytest.mark.parametrize("name", ["llada-moe-tiny", "sdar-tiny", "llada2-tiny"])
def test_of_a_mixture_the_active_experts_alone(name: str) -> None:
    """Experts that no token chose do not run; heads may be wider or narrower than the model."""
    backbone = eager(name)
    if "moe" in backbone.model.config.model_type:
        backbone.model.set_experts_implementation("eager")
    B, T = 2, 40
    ids_BT = torch.randint(2, 200, (B, T), generator=torch.Generator().manual_seed(0))
    seen = counted(lambda: backbone.logits(ids_BT))
    assert estimated_flops(backbone.spec, B * T, B, B * T) == pytest.approx(seen, rel=1e-9)


def test_each_term_by_hand() -> None:
    """llada-tiny: 2 layers of width D=64 with 4 attention matrices D x D and 3 of D x M, M=160;
    V=320 ids; T=100 tokens.
    """
    D, M, V, T = 64, 160, 320, 100
    spec = load_backbone(GOLDEN / "llada-tiny").spec
    blocks, attention, output = 2 * 2 * (4 * D * D + 3 * D * M) * T, 2 * 4 * D * T * T, 2 * D * V
    assert (spec.layers, spec.width, spec.vocab_size) == (2, D, V)
    assert estimated_flops(spec, T, 1, 0) == blocks + attention
    assert estimated_flops(spec, T, 1, 1) == blocks + attention + output
    # Output projection and feed-forward network of the last layer.
    unread = 2 * (D * D + 3 * D * M) * (T - 1)
    assert estimated_flops(spec, T, 1, 1, read_positions=1) == blocks + attention + output - unread
    assert estimated_flops(spec, 0, 0, 0) == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"block_length": 8},
        {"block_length": 8, "steps": 6},
        {"block_length": 10, "steps": 12},
        {"cfg_scale": 1.5},
        {"threshold": 0.05},
    ],
)
def test_what_an_answer_is_charged_is_what_the_counter_saw(settings: dict[str, float]) -> None:
    backbone = eager("llada-tiny")
    prompt = tuple(range(5, 22))
    config = DecodeConfig(gen_length=24, **settings)  # type: ignore[arg-type]
    answers = []
    seen = counted(lambda: answers.extend(generate(backbone, [Job(prompt, config, window=24)])))
    ((_, answer),) = answers
    assert answer.cost.flops == pytest.approx(seen, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("sdar-tiny", {}),
        ("sdar-tiny", {"threshold": 0.4, "stop_at_eos": True}),
        ("llada2-tiny", {"threshold": 0.5}),
        ("llada2-tiny", {"threshold": 0.5, "editing_threshold": 0.5}),
        ("stable-diffcoder-tiny", {}),
        ("fast-dllm-v2-tiny", {"threshold": 0.5, "cache": "dual"}),
    ],
)
def test_passes_that_see_kept_keys_are_charged_what_the_counter_saw(
    name: str, settings: dict[str, Any]
) -> None:
    backbone = load_backbone(GOLDEN / name, attn_implementation="eager", block_length=8)
    assert isinstance(backbone, FullCanvasBackbone)
    if "moe" in backbone.model.config.model_type:
        backbone.model.set_experts_implementation("eager")
    config = DecodeConfig(gen_length=21, **settings)
    answers = []
    jobs = [Job(tuple(range(20, 39)), config, window=21)]
    seen = counted(lambda: answers.extend(generate(backbone, jobs)))
    ((_, answer),) = answers
    assert answer.cost.flops == pytest.approx(seen, rel=1e-9)


def test_a_batch_of_unequal_prompts_is_charged_without_its_padding() -> None:
    """Each answer costs what it costs alone; the counter sees the padding too."""
    backbone = eager("llada-tiny")
    jobs = [
        Job(tuple(range(5, 5 + length)), DecodeConfig(gen_length=16, block_length=8), window=16)
        for length in (20, 30)
    ]
    alone = [counted(lambda job=job: list(generate(backbone, [job]))) for job in jobs]  # type: ignore[misc]
    together: dict[int, float] = {}
    seen = counted(
        lambda: together.update(
            {index: answer.cost.flops for index, answer in generate(backbone, jobs)}
        )
    )
    assert [together[0], together[1]] == pytest.approx(alone, rel=1e-9)
    assert seen > 1.05 * sum(alone)


@pytest.mark.parametrize("cfg_scale", [0.0, 1.5])
def test_a_likelihood_is_charged_what_the_counter_saw(cfg_scale: float) -> None:
    backbone = eager("llada-tiny")
    scores = Scores(
        parse_arguments(
            {"method": "fixed", "pretrained": "tiny", "cfg_scale": cfg_scale, "mc_num": 9}
        ),
        backbone,
    )
    for target in ([5], [5, 6, 7], [9, 8, 7, 6, 5, 4, 3]):
        window = Window(list(range(20, 40)), target)
        request = LikelihoodRequest(Instance("loglikelihood", {}, ("", ""), 0), [window])
        answers = scores.answer([request], greedy=True)
        seen = counted(functools.partial(list, answers))
        assert request.cost.flops == pytest.approx(seen, rel=1e-9)
