"""The protocol of strategies: methods that decide the length while they decode."""

from __future__ import annotations

from collections import abc
from typing import Any, Protocol, TypeAlias

from eosbench.backbone import Backbone
from eosbench.decoding import DecodeConfig, Job, Policy

Prepared: TypeAlias = tuple[Policy, abc.Sequence[Job]]

__all__ = ["Prepared", "Strategy"]


class Strategy(Protocol):
    """One strategy, built from flat keywords, whose sequences find their own length."""

    @property
    def options(self) -> dict[str, Any]:
        """The keywords that build it again, all of them."""
        ...

    def check(self, settings: DecodeConfig) -> None:
        """Refuses decode settings that the strategy has no place for.

        Raises:
            ConfigurationError: one of them was set; the message says what to write instead.
        """
        ...

    def prepare(self, backbone: Backbone, jobs: abc.Sequence[Job]) -> Prepared:
        """A policy and the jobs that `eosbench.decoding.generate` takes on this model.

        The policy holds the rules of one sequence (eosbench/decoding/policy.py says how). An answer
        depends on its job alone, and not on its batch.

        Args:
            backbone: the model.
            jobs: in any order; none, to ask whether the model will do. `settings.gen_length` is the
                longest canvas; what stands in `window` does not matter.

        Raises:
            ConfigurationError: what the model lacks, and where there is one that has it.
        """
        ...
