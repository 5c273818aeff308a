"""The parts that commands share: consoles, common options, and lists and pairs as text."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from eosbench.canvas_view import CanvasView
from eosbench.errors import ConfigurationError

console = Console()
errors = Console(stderr=True)

# Options that lm-eval has too are spelled as there.
BatchSize = Annotated[
    int | None,
    typer.Option("--batch_size", min=1, help="Prompts per forward pass. No result depends on it."),
]
Device = Annotated[
    str | None,
    typer.Option(help="cpu, cuda, cuda:1, mps. By default cuda where there is a GPU, else cpu."),
]
ChatTemplate = Annotated[
    bool,
    typer.Option("--apply_chat_template", help="Put each prompt into the model's chat template."),
]


def names(text: str) -> list[str]:
    """The pieces between commas.

    >>> names("logit, fixed,")
    ['logit', 'fixed']
    """
    return [name.strip() for name in text.split(",") if name.strip()]


def numbers(text: str, name: str) -> list[float]:
    """The numbers between commas.

    Args:
        text: the value of an option.
        name: the option, for the message.

    Raises:
        ConfigurationError: a piece that is not a number.

    Example:
        >>> numbers("0.05, 0.1", "alpha")
        [0.05, 0.1]
    """
    try:
        return [float(piece) for piece in names(text)]
    except ValueError as error:
        raise ConfigurationError(f"--{name} {text}: expected numbers with commas") from error


def canvas_views(text: str) -> list[CanvasView]:
    """The parts of the canvas between commas, each once.

    Raises:
        ConfigurationError: a piece that names none, or no piece.

    Example:
        >>> [str(view) for view in canvas_views("full, grid:31,full")]
        ['full', 'grid:31']
    """
    return list(dict.fromkeys(CanvasView.of(piece) for piece in names(text) or [text]))


def text_pairs(pairs: list[str]) -> dict[str, str]:
    """Pairs `name=value` as a dictionary of texts.

    Raises:
        ConfigurationError: a piece that is no such pair.

    Example:
        >>> text_pairs(["tau=0.3", "variant = threshold"])
        {'tau': '0.3', 'variant': 'threshold'}
    """
    broken = [pair for pair in pairs if not all(pair.partition("=")[:2])]
    if broken:
        raise ConfigurationError(f"{', '.join(broken)}: expected name=value")
    parts = [pair.partition("=") for pair in pairs]
    return {name.strip(): text.strip() for name, _, text in parts}


def key_values(pairs: list[str]) -> dict[str, Any]:
    """Pairs `name=value` as a dictionary, for names of which no type is known; see `value`.

    Raises:
        ConfigurationError: a piece that is no such pair.

    Example:
        >>> key_values(["size=3", "split=calibration"])
        {'size': 3, 'split': 'calibration'}
    """
    return {name: value(text) for name, text in text_pairs(pairs).items()}


def value(text: str) -> Any:
    """A number, true, false or none where the text reads as one, else the text.

    >>> [value(text) for text in ("3", "1e-3", "true", "none", "threshold")]
    [3, 0.001, True, None, 'threshold']
    """
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
