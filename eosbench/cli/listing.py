"""`eosbench methods` and `eosbench families`: the things that exist, a line each.

The completion of a shell asks the same tables. Nothing here loads torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import TYPE_CHECKING

from eosbench import __version__
from eosbench.cli.shared import console

if TYPE_CHECKING:
    from eosbench.predictors import Method

# The packages beside eosbench on which an answer depends, by the names of their distributions.
BESIDE_IT = ("lm_eval", "transformers", "torch")


def methods() -> None:
    """Print the methods that find the length, a line each."""
    from eosbench.predictors import METHODS
    from eosbench.strategies import STRATEGIES

    _print("Methods that predict a bound before the first token:", _summaries(METHODS))
    _print("Methods that decide the length while they decode:", _summaries(STRATEGIES))


def families() -> None:
    """Print the families of models that can be loaded, and checkpoints of each, a line each."""
    from model_adapters.families import FAMILIES

    _print("Families of diffusion language models, with checkpoints of each:", FAMILIES)


def versions() -> str:
    """The versions of eosbench and of the packages that it stands on, a line each."""
    lines = [f"eosbench {__version__}"]
    for name in BESIDE_IT:
        try:
            lines.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            lines.append(f"{name} is not installed")
    return "\n".join(lines)


def complete_methods(incomplete: str) -> Iterator[tuple[str, str]]:
    """The names of methods, with their summaries, that a shell can put for an unfinished word.

    The word may hold several names with commas, of which the last one is unfinished.
    """
    from eosbench.strategies import ALL_METHODS

    *named, unfinished = incomplete.split(",")
    for name, summary in _summaries(ALL_METHODS).items():
        if name.startswith(unfinished) and name not in named:
            yield ",".join([*named, name]), summary


def _summaries(table: Mapping[str, Method]) -> dict[str, str]:
    """The summary of every method of a table, in the order of lists."""
    rows = sorted(table.items(), key=lambda item: item[1].order)
    return {name: row.summary for name, row in rows}


def _print(title: str, lines: Mapping[str, str]) -> None:
    """A title, and below it a line for each name, however narrow the terminal."""
    width = max(map(len, lines))
    text = [title, *(f"  {name:<{width}}  {line}" for name, line in lines.items())]
    console.print("\n".join(text), markup=False, highlight=False, soft_wrap=True)
