"""Devices and dtypes by name: those that are there, and those that are not."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from eosbench.errors import ConfigurationError
from model_adapters import load_backbone
from model_adapters.dtypes import device_of, dtype_of
from tests.golden_files import GOLDEN


def test_devices_and_dtypes_that_are_not_there() -> None:
    with pytest.raises(ConfigurationError, match="device 'abacus'"):
        load_backbone(GOLDEN / "llada-tiny", device="abacus")
    with pytest.raises(ConfigurationError, match="dtype 'float8'"):
        load_backbone(GOLDEN / "llada-tiny", dtype="float8")
    with pytest.raises(ConfigurationError, match="mixed_precision_dtype 'int8'"):
        dtype_of("int8", "mixed_precision_dtype")


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("half", torch.float16),
        ("bfloat16", torch.bfloat16),
        (torch.float64, torch.float64),
        ("auto", None),
    ],
)
def test_names_of_dtypes(name: Any, dtype: torch.dtype | None) -> None:
    assert dtype_of(name) is dtype
    assert device_of("cpu") == torch.device("cpu")
