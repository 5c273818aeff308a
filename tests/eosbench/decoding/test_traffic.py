"""What passes between the host and the device, counted on a device that is none.

Every operator of published tiny checkpoints runs there. A forward pass takes one copy to the device
and one back, and nothing else that a GPU would be waited for, however many sequences are in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from eosbench.decoding import DecodeConfig, Policy, Sequence
from eosbench.decoding.engine import Engine
from eosbench.strategies.daedal import Daedal
from eosbench.strategies.rho_eos import RhoEos
from model_adapters import load_backbone
from tests.fake_device import FakeDevice, put_on_device
from tests.golden_files import GOLDEN

PROMPTS = ([5, 6, 7], [6, 7, 8, 9], [7, 8, 9, 10, 11], [8, 9, 10])


@dataclass
class Run:
    """The canvases of a batch, its passes through engine and model, and what was counted."""

    canvases: list[list[int]]
    passes: int
    model_passes: int
    device: FakeDevice


def decoded(backbone: Any, config: DecodeConfig, policy: Policy | None) -> Run:
    engine, device, calls = Engine(backbone, len(PROMPTS)), FakeDevice(), 0
    run_model = backbone.hidden

    def counted(*args: Any, **kwargs: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        states: torch.Tensor = run_model(*args, **kwargs)
        return states

    backbone.hidden = counted
    for index, prompt in enumerate(PROMPTS):
        engine.add(Sequence(backbone.spec, prompt, config, policy=policy, index=index))
    with device:
        done = sorted(engine, key=lambda sequence: sequence.index)
    return Run([one.canvas.tolist() for one in done], engine.forward_passes, calls, device)


def both(
    name: str, config: DecodeConfig, policy: Policy | None = None, attention: str | None = None
) -> Run:
    """The run on the device, whose canvases are those of the CPU."""
    options = {} if attention is None else {"attn_implementation": attention}
    here = decoded(load_backbone(GOLDEN / name, **options), config, policy)
    there = decoded(put_on_device(load_backbone(GOLDEN / name, **options)), config, policy)
    assert there.canvases == here.canvases
    assert here.device.copies_in == here.device.copies_out == 0
    return there


CONFIGS = {
    "fixed": DecodeConfig(gen_length=12),
    "threshold": DecodeConfig(gen_length=12, block_length=6, threshold=0.9),
    "guidance": DecodeConfig(gen_length=8, cfg_scale=1.0),
    "prefix cache": DecodeConfig(gen_length=12, block_length=6, cache="prefix"),
    "dual cache": DecodeConfig(gen_length=12, block_length=6, cache="dual"),
    "entropy": DecodeConfig(gen_length=8, remasking="entropy", schedule="time", steps=4),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("name", ["llada-trained", "diffugpt-tiny"])
def test_a_pass_over_a_canvas_copies_once_each_way(name: str, config: DecodeConfig) -> None:
    run = both(name, config)
    assert run.device.waits == 0, run.device.seen
    assert run.device.copies_in == run.device.copies_out == run.passes


def test_eager_attention_is_not_asked_for_padding_either() -> None:
    run = both("llada-trained", CONFIGS["fixed"], attention="eager")
    assert run.device.waits == 0, run.device.seen
    assert run.device.copies_in == run.device.copies_out == run.passes


@pytest.mark.parametrize("name", ["sdar-tiny", "stable-diffcoder-tiny", "fast-dllm-v2-tiny"])
@pytest.mark.parametrize("threshold", [None, 0.9])
def test_a_pass_over_blocks_copies_once_each_way(name: str, threshold: float | None) -> None:
    run = both(name, DecodeConfig(gen_length=8, threshold=threshold))
    assert run.device.waits == 0, run.device.seen
    assert run.device.copies_in == run.model_passes
    # A pass that only keeps keys and values reads nothing.
    assert 0 < run.device.copies_out <= run.passes


def test_rho_eos_copies_once_each_way() -> None:
    run = both("llada-trained", DecodeConfig(gen_length=48), RhoEos(initial_gen_length=16))
    assert run.device.waits == 0, run.device.seen
    assert run.device.copies_in == run.device.copies_out == run.passes


def test_daedal_copies_once_more_for_each_look_at_the_end_of_a_canvas() -> None:
    looks = 0

    class Looking(Daedal):
        def _eos_confidence(self, sequence: Any, scores: Any) -> float:
            nonlocal looks
            before = scores.scored
            found = super()._eos_confidence(sequence, scores)
            looks += -(-(scores.scored - before) // self.eos_check_tokens)
            return found

    run = both("llada-trained", DecodeConfig(gen_length=48), Looking(initial_gen_length=16))
    assert run.device.waits == 0, run.device.seen
    assert run.device.copies_in == run.passes
    looks //= 2  # half of them were on the CPU
    # A pass over a first canvas is looked at and places nothing.
    assert looks < run.device.copies_out <= run.passes + looks


def test_random_numbers_are_drawn_without_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    on_host = Sequence.generator
    monkeypatch.setattr(Sequence, "generator", lambda one, _: on_host(one, torch.device("cpu")))
    run = both("llada-trained", DecodeConfig(gen_length=8, temperature=0.7, top_k=5))
    assert run.device.waits == 0, run.device.seen
    assert run.device.copies_in == run.device.copies_out == run.passes


def test_the_device_counts() -> None:
    with FakeDevice() as device:
        there = torch.arange(4).to("meta")
        assert (device.copies_in, device.copies_out, device.waits) == (1, 0, 0)
        assert there[there > 1].shape == (2,) and int(there.sum()) == 6
        assert (device.copies_in, device.copies_out, device.waits) == (1, 0, 2)
        assert there[torch.tensor([1, 2])].tolist() == [1, 2]
        assert (device.copies_in, device.copies_out, device.waits) == (2, 1, 2)
        with pytest.raises(AssertionError, match="of the host and of the device"):
            there + torch.arange(4)
