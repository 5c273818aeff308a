"""Seconds inside the model: on a GPU by events in its queue, which nobody waits for in a pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from eosbench.forward import TimedBackbone
from tests.fakes import ScriptedBackbone


class Event:
    """An event of a GPU whose clock is the number of events so far, in milliseconds."""

    clock, waited = 0, 0

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing

    def record(self, stream: str) -> None:
        assert stream == "stream"
        Event.clock += 1
        self.at = Event.clock

    def synchronize(self) -> None:
        Event.waited += 1

    def elapsed_time(self, end: Event) -> float:
        return float(end.at - self.at)


def test_a_gpu_is_waited_for_when_the_seconds_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a pass waits for the GPU")

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", refuse)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: "stream")
    backbone: Any = ScriptedBackbone(torch.zeros(4, 5), vocab_size=5)
    backbone.device = torch.device("cuda")
    timed = TimedBackbone(backbone)
    hidden_BTD = timed.hidden(torch.zeros(1, 4, dtype=torch.long))
    timed.unembed(hidden_BTD)
    assert Event.waited == 0
    assert timed.seconds == pytest.approx(0.002)
    assert Event.waited == 2
    assert timed.seconds == pytest.approx(0.002)  # not counted twice


def test_on_the_cpu_the_host_measures() -> None:
    timed = TimedBackbone(ScriptedBackbone(torch.zeros(4, 5), vocab_size=5))
    timed.hidden(torch.zeros(1, 4, dtype=torch.long))
    first = timed.seconds
    timed.hidden(torch.zeros(1, 4, dtype=torch.long))
    assert 0 < first < timed.seconds
