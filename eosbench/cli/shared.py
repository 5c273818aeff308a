"""The parts that commands share: consoles, common options, and lists and pairs as text."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

import typer
from rich.console import Console

from eosbench.errors import ConfigurationError

# Commas part the pairs, brackets and quotes are read as values of Python, and blanks are cut off.
NOT_IN_PAIRS = re.compile(r"""[,\[\](){}'"\\]|^\s|\s$""")

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


def key_values(pairs: list[str]) -> dict[str, Any]:
    """Pairs `name=value` as a dictionary; see `value`.

    Raises:
        ConfigurationError: a piece that is no such pair.

    Example:
        >>> key_values(["tau=0.3", "variant=threshold"])
        {'tau': 0.3, 'variant': 'threshold'}
    """
    broken = [pair for pair in pairs if not all(pair.partition("=")[:2])]
    if broken:
        raise ConfigurationError(f"{', '.join(broken)}: expected name=value")
    parts = [pair.partition("=") for pair in pairs]
    return {name.strip(): value(text.strip()) for name, _, text in parts}


def model_args_text(**given: Any) -> str:
    """The value of lm-eval's --model_args that says `given`.

    It is name=value,name=value, and JSON where a value would not come through that.

    >>> model_args_text(method="logit", max_gen_toks=256)
    'method=logit,max_gen_toks=256'
    >>> model_args_text(predictor="heads/a,b")
    '{"predictor": "heads/a,b"}'
    """
    for each in given.values():
        is_other = isinstance(each, str) and not isinstance(value(each), str)  # the folder `10`
        if is_other or NOT_IN_PAIRS.search(str(each)):
            return json.dumps(given)
    return ",".join(f"{name}={each}" for name, each in given.items())


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
