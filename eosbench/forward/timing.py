"""The seconds that are spent inside the model, against which everything else can be held."""

from __future__ import annotations

import time
from typing import Any

import torch

from eosbench.backbone import Backbone


class TimedBackbone:
    """A `Backbone` that counts the seconds spent inside it.

    On a GPU, where calls return before the work is done, the GPU's own clock is read by events in
    its queue. They are waited for when `seconds` is asked for: after a result was read back, when
    they are over anyway.

    Args:
        backbone: the model.
    """

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.spec, self.tokenizer = backbone.spec, backbone.tokenizer
        self._seconds = 0.0
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    @property
    def seconds(self) -> float:
        """The seconds inside the model so far."""
        for started, ended in self._events:
            ended.synchronize()
            self._seconds += started.elapsed_time(ended) / 1000
        self._events.clear()
        return self._seconds

    @property
    def device(self) -> torch.device:
        """The backbone's device."""
        return self.backbone.device

    @property
    def dtype(self) -> torch.dtype:
        """The backbone's dtype."""
        return self.backbone.dtype

    def hidden(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **kept: Any
    ) -> torch.Tensor:
        """The backbone's hidden states, with its further arguments (a cache) handed on."""
        return self._timed(self.backbone.hidden, input_ids, attention_mask, **kept)

    def unembed(self, hidden: torch.Tensor) -> torch.Tensor:
        """The backbone's output layer."""
        return self._timed(self.backbone.unembed, hidden)

    def logits(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The backbone's logits."""
        return self._timed(self.backbone.logits, input_ids, attention_mask)

    def _timed(self, call: Any, *arguments: Any, **options: Any) -> torch.Tensor:
        if self.device.type == "cuda":
            return self._timed_by_events(call, *arguments, **options)
        started = time.perf_counter()
        try:
            result: torch.Tensor = call(*arguments, **options)
        finally:
            self._seconds += time.perf_counter() - started
        return result

    def _timed_by_events(self, call: Any, *arguments: Any, **options: Any) -> torch.Tensor:
        stream = torch.cuda.current_stream(self.device)
        started, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        started.record(stream)
        result: torch.Tensor = call(*arguments, **options)
        ended.record(stream)
        self._events.append((started, ended))
        return result
