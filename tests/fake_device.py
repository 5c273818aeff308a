"""A device that is none: its tensors are held on the CPU, and what a GPU would wait for is counted.

    put_on_device(backbone)
    with FakeDevice() as device:
        ...
    device.copies_in, device.copies_out, device.waits

Every operator goes through `FakeDevice.__torch_dispatch__`, the model's own among them. Operators
that take tensors of both sides are errors, as they are on a GPU, so that a tensor which was left
on the wrong side is found without one.
"""

from __future__ import annotations

import unittest.mock
from collections import Counter
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")  # the one name of a device that every build of torch can index
aten = torch.ops.aten
# Their result's shape or value is data: the host waits for it.
DATA_DEPENDENT = {
    aten._local_scalar_dense,
    aten.nonzero,
    aten.masked_select,
    aten.equal,
    aten.is_nonzero,
    aten._unique2,
    aten.unique_dim,
    aten.unique_consecutive,
    aten.repeat_interleave,
}


class OnDevice(torch.Tensor):
    """A tensor that says it is on the device, and is held on the CPU."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> OnDevice:
        return torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined,no-any-return]
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )

    def __init__(self, held: torch.Tensor) -> None:
        self.held = held

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, **_: Any) -> Any:
        raise TypeError("a tensor on a device has no numpy array: copy it to the host first")

    def __repr__(self, **_: Any) -> str:
        return f"OnDevice({self.held!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func}: a tensor of the fake device outside of FakeDevice")


class FakeDevice(TorchDispatchMode):
    """Counts, while it is entered, what passes between the host and the device.

    Attributes:
        copies_in: copies from the host to the device.
        copies_out: copies from the device to the host; the host waits for each.
        waits: other operators that the host waits for, since the shape or the value of their result
            is data.
        seen: how often each of them came, by name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clear()

    def __enter__(self) -> FakeDevice:
        make = torch.tensor

        def tensor(*args: Any, device: Any = None, **kwargs: Any) -> torch.Tensor:
            made = make(*args, **kwargs)
            return made if device is None else made.to(device)

        # torch.tensor makes a tensor on the device "meta" past every operator, and without values.
        self._patch = unittest.mock.patch.object(torch, "tensor", tensor)
        self._patch.start()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._patch.stop()

    def clear(self) -> None:
        self.copies_in = self.copies_out = self.waits = 0
        self.seen: Counter[str] = Counter()

    @property
    def total(self) -> int:
        return self.copies_in + self.copies_out + self.waits

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [one for one in tree_flatten((args, kwargs))[0] if isinstance(one, torch.Tensor)]
        there = [one for one in tensors if isinstance(one, OnDevice)]
        here = [one for one in tensors if not isinstance(one, OnDevice) and one.ndim]
        operator, target = func.overloadpacket, kwargs.get("device")
        if operator is aten._to_copy:
            has_values = args[0].numel() > 0
            goes_in = has_values and not there and target == DEVICE
            goes_out = has_values and bool(there) and target not in (None, DEVICE)
            self._count(goes_in=goes_in, goes_out=goes_out, name="to")
        elif operator is aten.copy_ and there and here:
            into = isinstance(args[0], OnDevice)
            self._count(goes_in=into, goes_out=not into, name="copy_")
        elif operator in (aten.index, aten.index_put_, aten.index_put) and there:
            self._count_index(operator, args)
        elif there and operator in DATA_DEPENDENT:
            self._count(waits=True, name=operator.__name__)
        elif there and here:
            raise AssertionError(f"{func} takes tensors of the host and of the device")
        if target == DEVICE:
            kwargs["device"] = torch.device("cpu")
        on_device = target == DEVICE or (bool(there) and target is None)
        result = func(*_held(args), **_held(kwargs))
        if operator is aten.copy_ or (func._schema.is_mutable and "out" not in kwargs):
            return args[0]
        if not on_device:
            return result
        return tree_map(lambda one: OnDevice(one) if isinstance(one, torch.Tensor) else one, result)

    def _count_index(self, operator: Any, args: Any) -> None:
        """A mask is looked through for its places; places of the host are copied."""
        for index in args[1]:
            if index is None:
                continue
            if index.dtype == torch.bool and (operator is aten.index or args[2].numel() > 1):
                self._count(waits=True, name="index by a mask")
            if not isinstance(index, OnDevice):
                self._count(goes_in=True, name="index from the host")

    def _count(
        self, *, name: str, goes_in: bool = False, goes_out: bool = False, waits: bool = False
    ) -> None:
        self.copies_in += goes_in
        self.copies_out += goes_out
        self.waits += waits
        if goes_in or goes_out or waits:
            self.seen[name + (" in" if goes_in else " out" if goes_out else "")] += 1


def _held(values: Any) -> Any:
    return tree_map(lambda one: one.held if isinstance(one, OnDevice) else one, values)


def put_on_device(backbone: Any) -> Any:
    """A backbone of model_adapters, whose weights then say that they are on the device."""
    for module in [*backbone.model.modules(), *backbone.output.modules()]:
        for weights in (module._parameters, module._buffers):
            for name, weight in weights.items():
                if weight is not None and not isinstance(weight, OnDevice):
                    weights[name] = OnDevice(weight.detach())
    backbone.device = DEVICE
    return backbone
