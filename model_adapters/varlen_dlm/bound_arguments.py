"""The arguments that say what a bound is to keep, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass

from eosbench.bounds import GROUPINGS, PROMISES, ROUNDINGS, USUAL_ALPHA, Cheapest, Promise
from eosbench.decoding import OVERFLOWS, DecodeConfig, WindowBlocks
from eosbench.errors import ConfigurationError

CHOICES_OF_BOUNDS = {
    "rounding": (*ROUNDINGS, "auto"),
    "overflow": OVERFLOWS,
    "reference": ("task", "self"),
}
# An answer depends on these, where they are given.
OTHER_PROMISES = ("shortfall", "promise", "groups")


@dataclass(frozen=True)
class BoundArguments:
    """The arguments that say what a bound is to keep; by default that 95 % of answers fit it.

    Attributes:
        alpha: share of answers that a calibrated bound may miss; None leaves predictions
            uncalibrated.
        shortfall: promises a mean shortfall of at most so many tokens (conformal risk control)
            instead of a coverage.
        promise: "cheapest" promises nothing of the kind and takes the margin of the least expected
            token-positions, retries included; needs overflow=retry.
        groups: keeps the promise within groups of documents of like "prompt" or "prediction" length
            (Mondrian), not only over all documents.
        rounding: pow2, block or none; "auto" is pow2 for bounds that are measured, as in the paper,
            and none for windows that are decoded (docs/benchmarks.md).
        overflow: accept or retry a window without an EOS.
        reference: whose answer a bound is compared with, and whose length `oracle` is told: the
            task's, or with "self" the model's own on the whole canvas (own_answers.py).
    """

    alpha: float | None = USUAL_ALPHA
    shortfall: float | None = None
    promise: str | None = None
    groups: str | None = None
    rounding: str = "auto"
    overflow: str = "accept"
    reference: str = "task"

    def check_promise(self) -> None:
        """Refuses promises that there are not, and some that cannot stand together.

        Raises:
            ConfigurationError: one of them, and what was expected.
        """
        if self.alpha is not None and not 0 < self.alpha < 1:
            raise ConfigurationError(f"alpha={self.alpha}: expected above 0 and below 1, or none")
        if self.groups is not None and self.groups not in GROUPINGS:
            raise ConfigurationError(
                f"unknown groups {self.groups!r}: expected one of {', '.join(GROUPINGS)}, or none"
            )
        self._check_cheapest()

    @property
    def rounding_of_bounds(self) -> str:
        """The rounding of bounds that are measured and not decoded."""
        return "pow2" if self.rounding == "auto" else self.rounding

    @property
    def rounding_of_windows(self) -> str:
        """The rounding of bounds that become windows."""
        return "none" if self.rounding == "auto" else self.rounding

    def promise_for(self, settings: DecodeConfig) -> Promise | None:
        """The promise that bounds are to keep; None where they are not calibrated.

        The cheapest margin is that of windows, also for bounds that are measured.

        Args:
            settings: how a whole canvas is denoised, which the cost of a window depends on.
        """
        cheapest = None
        if self.promise is not None:
            block_length = settings.block_length or settings.gen_length
            cheapest = Cheapest(WindowBlocks(settings), self.rounding_of_windows, block_length)
        return Promise.of(
            alpha=self.alpha, shortfall=self.shortfall, cheapest=cheapest, groups=self.groups
        )

    def _check_cheapest(self) -> None:
        if self.promise is None:
            return
        if self.promise not in PROMISES:
            raise ConfigurationError(
                f"unknown promise {self.promise!r}: expected {', '.join(PROMISES)}, or none; a "
                "coverage is promised by alpha=, a mean shortfall by shortfall="
            )
        for name, default in (("alpha", type(self).alpha), ("shortfall", None)):
            if getattr(self, name) != default:
                raise ConfigurationError(
                    f"promise={self.promise} takes the margin that costs least and keeps no "
                    f"{name}={getattr(self, name)}: give one of them"
                )
        if self.overflow != "retry":
            raise ConfigurationError(
                f"promise={self.promise} needs overflow=retry: with overflow={self.overflow} a "
                "window that is too short costs an answer, and the cheapest window is the shortest"
            )
