"""One process or several: what fitting asks of them.

`model_adapters.varlen_dlm.processes.Processes` is the one that accelerate launches.
"""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["ALONE", "Alone", "Workers"]


class Workers(Protocol):
    """This process among `world_size` ones; `rank` 0 trains and writes."""

    rank: int
    world_size: int

    def wait(self) -> None:
        """Returns when all processes have come here."""
        ...

    def everyones(self, obj: Any) -> list[Any]:
        """The object of every process, on every process."""
        ...


class Alone:
    """One process that works alone."""

    rank, world_size = 0, 1

    def wait(self) -> None:
        """Returns at once."""

    def everyones(self, obj: Any) -> list[Any]:
        """The object itself, in a list."""
        return [obj]


ALONE = Alone()
