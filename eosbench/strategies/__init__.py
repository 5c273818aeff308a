"""Strategies that decide the length while they decode, by name.

    strategy = load_strategy("daedal", {"initial_gen_length": 32})

A predictor (eosbench/predictors) gives a bound before the first token is decoded. A strategy gives
none, and lets its canvas grow or shrink on the way. To add a strategy, add a file with a class (see
protocol.py) and a row to STRATEGIES. Nothing is imported before it is asked for, so that the table
can be listed without torch.
"""

from __future__ import annotations

import importlib
from collections import ChainMap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from eosbench.errors import ConfigurationError
from eosbench.predictors import METHODS, Method

if TYPE_CHECKING:
    from eosbench.strategies.length_bias import BiasFit, Gap, fit_length_bias
    from eosbench.strategies.protocol import Strategy

STRATEGIES: dict[str, Method] = {
    "blocks": Method(
        target="eosbench.strategies.blocks:Blocks",
        summary="Block after block until an EOS stands.",
        order=70,
    ),
    "daedal": Method(
        target="eosbench.strategies.daedal:Daedal",
        summary="DAEDAL: a canvas that grows before and while it is denoised.",
        order=80,
    ),
    "rho_eos": Method(
        target="eosbench.strategies.rho_eos:RhoEos",
        summary="rho-EOS: a canvas that grows and shrinks with the density of EOS among its masks.",
        order=90,
    ),
    "void_expansion": Method(
        target="eosbench.strategies.void_expansion:VoidExpansion",
        summary="VoidExpansion: a canvas that grows until its tail is all padding.",
        order=94,
    ),
    "cal": Method(
        target="eosbench.strategies.cal:Cal",
        summary="CAL: a canvas of the length at which the model is surest of its masks.",
        order=97,
        infills=True,
    ),
}
# Every value of the argument `method`: a view of both tables, the predictors first.
ALL_METHODS: Mapping[str, Method] = ChainMap(STRATEGIES, METHODS)

# Names whose files need torch are imported when they are asked for.
_LAZY = {
    "BiasFit": "length_bias",
    "Gap": "length_bias",
    "Strategy": "protocol",
    "fit_length_bias": "length_bias",
}

__all__ = [
    "ALL_METHODS",
    "STRATEGIES",
    "BiasFit",
    "Gap",
    "Strategy",
    "fit_length_bias",
    "load_strategy",
]


def __getattr__(name: str) -> Any:
    """One of the names that are imported when they are asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"eosbench.strategies.{_LAZY[name]}"), name)


def load_strategy(method: str, options: Mapping[str, Any] | None = None) -> Strategy:
    """A strategy with these options; an option that is not given has its published value.

    Raises:
        ConfigurationError: no such strategy, an option that it does not have, or a value outside
            its range.
    """
    if method not in STRATEGIES:
        raise ConfigurationError(
            f"unknown strategy {method!r}: expected one of {', '.join(STRATEGIES)}"
        )
    row = STRATEGIES[method]
    row.check_options(method, options or {})
    strategy: Strategy = row.load()(**(options or {}))
    return strategy
