"""The seconds that are spent inside the model, against which everything else can be held."""

from __future__ import annotations

import time
from typing import Any

import torch

from eosbench.backbone import Backbone


class TimedBackbone:
    """A `Backbone` that counts the seconds spent inside it.

    On a GPU, where calls return before the work is done, each one is waited for.

    Args:
        backbone: the model.

    Attributes:
        seconds: the sum so far.
    """

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.spec, self.tokenizer = backbone.spec, backbone.tokenizer
        self.seconds = 0.0

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
        self._wait()
        started = time.perf_counter()
        try:
            result: torch.Tensor = call(*arguments, **options)
            self._wait()
        finally:
            self.seconds += time.perf_counter() - started
        return result

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
