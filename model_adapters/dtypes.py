"""Devices and dtypes by the names that a user types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eosbench.errors import ConfigurationError

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16", "float16", "float64")
# Other names that torch has for them.
OTHER_DTYPES = {"float": "float32", "half": "float16", "double": "float64"}

__all__ = ["device_of", "dtype_name", "dtype_of"]


def device_of(device: str) -> torch.device:
    """The device of a name.

    Raises:
        ConfigurationError: this machine has none of that name.
    """
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(
            f"device {device!r} cannot be used here ({reason}): "
            "expected 'cpu', 'cuda', 'cuda:0', 'mps', ..."
        ) from error
    return torch.device(device)


def dtype_name(dtype: Any) -> str:
    """The one name of a dtype that has several, or of a dtype of torch.

    Example:
        >>> dtype_name("half"), dtype_name("torch.float"), dtype_name("auto")
        ('float16', 'float32', 'auto')
    """
    name = str(dtype).removeprefix("torch.")
    return OTHER_DTYPES.get(name, name)


def dtype_of(dtype: Any, argument: str = "dtype") -> torch.dtype | None:
    """The dtype of a name; None for "auto", the dtype of the stored weights.

    Args:
        dtype: the name, or a dtype of torch.
        argument: what the user gave it as, for the message.

    Raises:
        ConfigurationError: no dtype for weights has that name.
    """
    import torch

    name = dtype_name(dtype)
    if name == "auto":
        return None
    if name not in DTYPES:
        raise ConfigurationError(
            f"{argument} {dtype!r}: expected auto or one of {', '.join((*DTYPES, *OTHER_DTYPES))}"
        )
    found: torch.dtype = getattr(torch, name)
    return found
