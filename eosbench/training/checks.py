"""Settings that can be judged before anything is loaded, and errors that name what to type."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from eosbench.errors import ConfigurationError
from eosbench.training.settings import Settings

if TYPE_CHECKING:
    from transformers import TrainingArguments

CHOICES = {
    "layout": ("text", "eos", "eoseos", "eospad", "rainbow"),
    "noise": ("uniform", "suffix", "full", "in_use", "causal"),
    "windows": ("drawn", "full", "exact", "ended"),
    "row_norm": ("none", "sqrt", "mean"),
    "objective": ("denoise", "first_end", "policy", "exact"),
    "curriculum": ("none", "staircase", "geometric"),
    "optimizer": ("adamw", "muon"),
}


def check(settings: Settings, arguments: TrainingArguments) -> None:
    """Settings that can be judged before anything is loaded.

    Raises:
        ConfigurationError: one that cannot work.
    """
    for name, allowed in CHOICES.items():
        if (value := getattr(settings, name)) not in allowed:
            near = nearest(value, allowed)
            raise ConfigurationError(
                f"--{name} {value}{near}: expected one of {', '.join(allowed)}"
            )
    for name in ("dropout", "full_share", "free_share", "grid_share", "held_out_share"):
        if not 0.0 <= getattr(settings, name) <= 1.0:
            raise ConfigurationError(f"--{name} {getattr(settings, name)}: expected 0 to 1")
    for name in ("canvas", "block_length", "curriculum_start", "curriculum_every"):
        if getattr(settings, name) < 1:
            raise ConfigurationError(f"--{name} {getattr(settings, name)}: expected at least 1")
    if settings.objective == "policy" and settings.draws < 2:
        raise ConfigurationError(f"--draws {settings.draws}: policy compares at least 2 draws")
    columns = (settings.prompt_column, settings.response_column)
    if any(len(column) not in (1, len(settings.data)) for column in columns):
        raise ConfigurationError(
            f"--prompt_column and --response_column: expected one, or one for each of the "
            f"{len(settings.data)} sources of --data"
        )
    if settings.layout == "text" and settings.objective != "denoise":
        raise ConfigurationError(
            f"--objective {settings.objective} needs an end, which the layout text has not: "
            "--layout eos, eoseos, eospad or rainbow"
        )
    if settings.grid_share:
        _check_grid(settings)
    if settings.noise == "causal":
        _check_causal(settings)
    if arguments.label_smoothing_factor:
        raise ConfigurationError(
            "--label_smoothing_factor: the denoiser's loss has none: leave it out"
        )
    parsed_shares(settings.shares)


def _check_grid(settings: Settings) -> None:
    """Refuses what needs every position of a canvas, where a grid of it runs."""
    if settings.grid < 2:
        raise ConfigurationError(f"--grid {settings.grid}: expected at least 2 positions")
    if settings.layout == "text":
        raise ConfigurationError(
            f"--grid_share {settings.grid_share}: the layout text shows no end, on a grid or off "
            "it: --layout eos, eoseos, eospad or rainbow"
        )
    without = {"objective": "denoise", "consistency_weight": 0.0, "anneal_steps": 0}
    for name, plain in without.items():
        if (value := getattr(settings, name)) != plain:
            raise ConfigurationError(
                f"--grid_share {settings.grid_share} beside --{name} {value}, which reads every "
                "position of the canvas: leave one out"
            )


def _check_causal(settings: Settings) -> None:
    """Refuses what looks at masks, where nothing is masked."""
    without = {
        "objective": "denoise",
        "contrastive_weight": 0.0,
        "consistency_weight": 0.0,
        "inverse_share": False,
        "anneal_steps": 0,
        "grid_share": 0.0,
        "held_out": [],
    }
    for name, plain in without.items():
        if (value := getattr(settings, name)) != plain:
            raise ConfigurationError(
                f"--{name} {value}: --noise causal trains an autoregressive model, in which "
                "nothing is masked and which has no step zero: leave it out"
            )


def parsed_shares(text: str) -> dict[str, float] | None:
    """Shares of families from JSON; None where nothing is said.

    Raises:
        ConfigurationError: no object of positive numbers.
    """
    if not text:
        return None
    try:
        found = json.loads(text)
        shares = {str(name): float(share) for name, share in found.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise ConfigurationError(f"--shares {text}: expected JSON, a number a family") from error
    if any(share < 0 for share in shares.values()):
        raise ConfigurationError(f"--shares {text}: expected numbers of at least 0")
    return shares


def nearest(name: str, known: Sequence[str]) -> str:
    """A question for the known name that is most like this one; empty where none is.

    >>> nearest("hazrad", ["eoseos", "hazard"])
    ", did you mean 'hazard'?"
    """
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f", did you mean {close[0]!r}?" if close else ""
