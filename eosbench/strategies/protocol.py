"""What every strategy that decides the length while decoding is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from eosbench.backbone import Backbone
from eosbench.decoding import Answer, DecodeConfig, Job

__all__ = ["Strategy"]


class Strategy(Protocol):
    """One strategy, built from flat keywords.

    Attributes:
        options: the keywords that build it again, all of them.
    """

    options: dict[str, Any]

    def check(self, settings: DecodeConfig) -> None:
        """Refuses decode settings that the strategy has no place for.

        Raises:
            ConfigurationError: one of them, and what to write instead.
        """
        ...

    def generate(
        self, backbone: Backbone, jobs: Sequence[Job], *, batch_size: int = 16
    ) -> Iterator[tuple[int, Answer]]:
        """(index of the job, its answer), as they finish; an answer depends on its job alone, not
        on its batch.

        Args: backbone: the model. jobs: in any order. `settings.gen_length` is the longest
            canvas; what stands in `window` does not matter. batch_size: rows per forward pass.

        Raises:
            ConfigurationError: a prompt that leaves no room for its canvas.
        """
        ...
