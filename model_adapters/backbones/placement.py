"""The devices of a model's weights: a single one, or with `device_map` all of the machine's.

accelerate spreads the layers over them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import PreTrainedModel

from eosbench.errors import ConfigurationError
from model_adapters.backbones.cache_argument import CACHE_NAMES

MAPS = ("auto", "balanced", "balanced_low_0", "sequential")


@dataclass(frozen=True)
class Devices:
    """The device of every weight, by the longest prefix of its name, as in accelerate's maps.

    Attributes:
        map: name of a module -> its device; "" is the whole model.
        spread: whether there are several devices.
    """

    map: Mapping[str, Any]
    spread: bool = False

    def of(self, name: str) -> torch.device:
        """The device of a weight.

        Example:
            >>> Devices({"": "cpu", "lm_head": "meta"}).of("lm_head.weight")
            device(type='meta')
        """
        fitting = [
            module
            for module in self.map
            if not module or name == module or name.startswith(f"{module}.")
        ]
        return torch.device(self.map[max(fitting, key=len)])

    def dispatch(self, model: PreTrainedModel) -> None:
        """Lets accelerate move activations from device to device, where there are several."""
        if self.spread:
            from accelerate import dispatch_model

            dispatch_model(
                model, device_map=dict(self.map), skip_keys=list(CACHE_NAMES), force_hooks=True
            )


@dataclass(frozen=True)
class Placement:
    """The placement that the user asked for.

    Attributes:
        device: of the whole model, where there is no map.
        device_map: one of MAPS, or name of a module -> device, as in transformers.
        max_memory: device -> bytes that a map may use there, as in accelerate; None: all.

    Raises:
        ConfigurationError: the map is unknown, or there are several processes, each of which would
            take all devices.
    """

    device: torch.device
    device_map: str | Mapping[str, Any] | None = None
    max_memory: Mapping[Any, Any] | None = field(default=None)

    def __post_init__(self) -> None:
        if self.device_map is None:
            return
        if isinstance(self.device_map, str) and self.device_map not in MAPS:
            raise ConfigurationError(
                f"device_map={self.device_map!r}: expected one of {', '.join(MAPS)}; "
                "a single device is named by device="
            )
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise ConfigurationError(
                "device_map spreads one model over all GPUs, and accelerate launch gives every "
                "process a model of its own: leave out device_map (parallelize) or start without "
                "accelerate launch"
            )

    def of(self, model: PreTrainedModel, dtype: torch.dtype) -> Devices:
        """The device of every weight of a model.

        Args:
            model: the model, on the meta device.
            dtype: of the weights to come, by which their sizes are known.

        Raises:
            ConfigurationError: the devices together do not hold the model.
        """
        if self.device_map is None:
            return Devices({"": self.device})
        if not isinstance(self.device_map, str):
            return Devices(dict(self.device_map), spread=True)
        from accelerate import infer_auto_device_map
        from accelerate.utils import get_balanced_memory, get_max_memory

        # Classes of modules that stay on one device.
        whole: list[str] = sorted(model._no_split_modules or ())
        memory = get_max_memory(self.max_memory)
        if self.device_map != "sequential":
            memory = get_balanced_memory(
                model,
                memory,
                no_split_module_classes=whole,
                dtype=dtype,
                low_zero=self.device_map == "balanced_low_0",
            )
        found = infer_auto_device_map(model, memory, no_split_module_classes=whole, dtype=dtype)
        if "disk" in found.values():
            raise ConfigurationError(
                f"device_map={self.device_map!r}: the model does not fit into {memory}: "
                "take a smaller dtype or more devices"
            )
        return Devices(found, spread=True)


def memory_limits(per_gpu: int | str | None, cpu: int | str | None) -> dict[Any, Any] | None:
    """The most that may be taken of each device, as accelerate takes it; None is all there is.

    Args:
        per_gpu: of every GPU, in bytes or as "10GiB".
        cpu: of the main memory.
    """
    if per_gpu is None and cpu is None:
        return None
    from accelerate.utils import get_max_memory

    found: dict[Any, Any] = get_max_memory()
    if per_gpu is not None:
        found |= dict.fromkeys(range(torch.cuda.device_count()), per_gpu)
    if cpu is not None:
        found["cpu"] = cpu
    return found
