"""The protocol of strategies: methods that decide the length while they decode."""

from __future__ import annotations

from collections import abc
from typing import Any, Protocol

from eosbench.backbone import Backbone
from eosbench.decoding import Answer, DecodeConfig, Job

__all__ = ["Strategy"]


class Strategy(Protocol):
    """One strategy, built from flat keywords, whose sequences find their own length.

    Attributes:
        options: the keywords that build it again, all of them.
    """

    options: dict[str, Any]

    def check(self, settings: DecodeConfig) -> None:
        """Refuses decode settings that the strategy has no place for.

        Raises:
            ConfigurationError: one of them was set; the message says what to write instead.
        """
        ...

    def check_model(self, backbone: Backbone) -> None:
        """Refuses a model that the strategy cannot work on, before the first prompt.

        Raises:
            ConfigurationError: what the model lacks, and where there is one that has it.
        """
        ...

    def generate(
        self, backbone: Backbone, jobs: abc.Sequence[Job], *, batch_size: int = 16
    ) -> abc.Iterator[tuple[int, Answer]]:
        """Yields the index of each job and its answer, as they finish.

        The rules of one sequence are a policy (eosbench/decoding/policy.py says how), which goes to
        `eosbench.decoding.generate`. An answer depends on its job alone, and not on its batch.

        Args:
            backbone: the model.
            jobs: in any order. `settings.gen_length` is the longest canvas; what stands in `window`
                does not matter.
            batch_size: sequences per forward pass at most.

        Raises:
            ConfigurationError: a prompt that leaves no room for its canvas.
        """
        ...
