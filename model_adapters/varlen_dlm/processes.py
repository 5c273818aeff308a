"""One process, or several that `accelerate launch` started.

Each process holds the whole model and answers every n-th request. lm-eval gathers samples and
metrics through the calls below.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import torch

logger = logging.getLogger(__name__)


class Processes:
    """This process among those that accelerate launched; alone, every call is trivial.

    Args:
        device: asked for by the user. None takes the GPU of this process where there is one, else
            the CPU.

    Attributes:
        rank: the number of this process, from 0.
        world_size: the number of processes.
        device: of this process.
    """

    def __init__(self, device: str | None = None) -> None:
        self.rank, self.world_size = 0, 1
        self._accelerator: Any = None
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            from accelerate import Accelerator

            self._accelerator = Accelerator(cpu=device == "cpu")
            self.rank = self._accelerator.process_index
            self.world_size = self._accelerator.num_processes
            self.device = str(self._accelerator.device)
        else:
            self.device = _present(device)

    def all_gather(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensors of all processes, concatenated along the first dimension."""
        if self._accelerator is None:
            return tensor
        gathered: torch.Tensor = self._accelerator.gather(tensor)
        return gathered

    def gather_object(self, obj: Any, dst: int = 0) -> list[Any] | None:
        """The objects of all processes, in their order, on process `dst`; None elsewhere."""
        if self._accelerator is None:
            return [obj]
        gathered: list[Any] | None = [None] * self.world_size if self.rank == dst else None
        torch.distributed.gather_object(obj, object_gather_list=gathered, dst=dst)
        return gathered

    def everyones(self, obj: Any) -> list[Any]:
        """The objects of all processes, in their order, on every process."""
        if self._accelerator is None:
            return [obj]
        gathered: list[Any] = [None] * self.world_size
        torch.distributed.all_gather_object(gathered, obj)
        return gathered

    def wait(self) -> None:
        """Waits until all processes have come here."""
        if self._accelerator is not None:
            self._accelerator.wait_for_everyone()


def _present(device: str | None) -> str:
    """The device that was asked for, or the CPU where there is no GPU.

    lm-eval's command line asks for cuda:0 unless it is told otherwise.
    """
    if torch.cuda.is_available():
        return device or "cuda"
    if device is not None and device.startswith("cuda"):
        logger.warning("no GPU here: device %s becomes cpu", device)
        return "cpu"
    return device or "cpu"
