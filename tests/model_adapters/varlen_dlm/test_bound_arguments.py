"""Arguments of bounds by themselves: what is refused, and what rounding and promise come to."""

from __future__ import annotations

from typing import Any

import pytest

from eosbench.decoding import DecodeConfig
from eosbench.errors import ConfigurationError
from model_adapters.varlen_dlm.bound_arguments import BoundArguments


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"alpha": 1.0}, "alpha=1.0: expected above 0 and below 1, or none"),
        ({"groups": "answer"}, "unknown groups 'answer': expected one of prompt, prediction"),
        ({"promise": "dearest"}, "unknown promise 'dearest': expected cheapest, or none"),
        ({"promise": "cheapest"}, "promise=cheapest needs overflow=retry"),
        ({"promise": "cheapest", "shortfall": 2.0}, "keeps no shortfall=2.0: give one of them"),
        ({"promise": "cheapest", "alpha": 0.2}, "keeps no alpha=0.2: give one of them"),
    ],
)
def test_promises_that_cannot_be(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        BoundArguments(**given).check_promise()


@pytest.mark.parametrize(
    ("rounding", "measured", "decoded"),
    [("auto", "pow2", "none"), ("block", "block", "block"), ("none", "none", "none")],
)
def test_bounds_and_windows_are_rounded_apart(rounding: str, measured: str, decoded: str) -> None:
    arguments = BoundArguments(rounding=rounding)
    assert (arguments.rounding_of_bounds, arguments.rounding_of_windows) == (measured, decoded)


def test_the_usual_promise_is_a_coverage() -> None:
    config = DecodeConfig(gen_length=16)
    usual = BoundArguments().promise_for(config)
    assert usual is not None and usual.settings() == {"alpha": 0.05}
    assert BoundArguments(alpha=None).promise_for(config) is None
