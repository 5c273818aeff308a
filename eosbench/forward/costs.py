"""The costs of answers, per request and per task: passes, token-positions, FLOPs, seconds.

FLOPs are estimated, two for each multiply and add:

- 2 * block_parameters per token-position, for the matrices inside the transformer blocks, less
  2 * last_parameters at positions whose hidden state is not needed;
- 4 * layers * width * T per token-position, for attention's two products with the T positions of
  the row (the width of all heads together);
- 2 * width * vocabulary per position that the output layer scores.

docs/costs.md checks the formula against torch's FLOP counter. The cost of every request goes to
`telemetry` as one JSON line, the cost of a task into the results file. An answer that comes from
lm-eval's response cache costs nothing and is not counted.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from eosbench.backbone import BackboneSpec
from eosbench.places import writing
from eosbench.strict_json import strict_dumps


@dataclass
class Cost:
    """The cost of one request, or the sum over several.

    Attributes:
        window: the final window in tokens, the bound for a bare prediction, 0 for a likelihood.
        forward_passes: the passes that the answer rests on.
        token_positions: tokens that ran through the model in them, without padding.
        flops: estimated by `estimated_flops`.
        seconds: wall time.
        truncated: 1 where the last window held no EOS and no stop string.
        retries: the number of times that the window grew.
        model_seconds: the part of `seconds` that was spent inside the model; the rest is
            eosbench's own.
    """

    window: int = 0
    forward_passes: int = 0
    token_positions: int = 0
    flops: float = 0.0
    seconds: float = 0.0
    truncated: int = 0
    retries: int = 0
    model_seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        names = [field.name for field in fields(Cost)]
        total = Cost(**{name: getattr(self, name) + getattr(other, name) for name in names})
        total.window = max(self.window, other.window)
        return total


def estimated_flops(
    spec: BackboneSpec,
    token_positions: int,
    forward_passes: int,
    scored_positions: float,
    *,
    read_positions: float | None = None,
    attended_positions: float | None = None,
) -> float:
    """The estimated FLOPs of some passes.

    Args:
        spec: of the backbone that ran them.
        token_positions: of all passes together.
        forward_passes: the number of them, each of one row.
        scored_positions: the positions that went through the output layer.
        read_positions: the positions whose hidden state was needed (`needed` of
            `Backbone.hidden`); None: all.
        attended_positions: pairs of a token and a position that it attends to, of all passes; None:
            every row attends to itself, and all have one length.
    """
    if not forward_passes:
        return 2.0 * spec.width * spec.vocab_size * scored_positions
    unread = 0.0 if read_positions is None else token_positions - read_positions
    if attended_positions is None:
        attended_positions = token_positions * token_positions / forward_passes
    attention = 4 * spec.layers * (spec.attention_width or spec.width) * attended_positions
    products = 2 * spec.block_parameters * token_positions
    inside = products + attention - 2 * spec.last_parameters * unread
    return inside + 2 * spec.width * spec.vocab_size * scored_positions


class Ledger:
    """The costs of all tasks so far, and the telemetry of their requests.

    Args:
        telemetry: a JSONL file that gets one line per request; None for none.

    Raises:
        ConfigurationError: that file cannot be written.
    """

    def __init__(self, telemetry: Path | None = None) -> None:
        self.clear()
        self._telemetry = telemetry
        if telemetry is not None:
            with self._writing():
                telemetry.parent.mkdir(parents=True, exist_ok=True)
                telemetry.open("a", encoding="utf-8").close()

    def add(self, task: str, document: int | None, kind: str, cost: Cost, **details: Any) -> None:
        """Counts one finished request; `details` go to the telemetry line alone."""
        self._totals[task] += cost
        self._windows[task] += cost.window
        self._requests[task] += 1
        if self._telemetry is not None:
            line = {"task": task, "doc_id": document, "kind": kind, **details, **asdict(cost)}
            with self._writing(), self._telemetry.open("a", encoding="utf-8") as file:
                file.write(strict_dumps(line) + "\n")

    def _writing(self) -> AbstractContextManager[None]:
        return writing(f"telemetry={self._telemetry}", "a file")

    def clear(self) -> None:
        """Forgets what was counted; telemetry lines that were written stay."""
        self._totals: dict[str, Cost] = defaultdict(Cost)
        self._windows: dict[str, int] = defaultdict(int)
        self._requests: dict[str, int] = defaultdict(int)

    def merge(self, others: list[dict[str, dict[str, float]]]) -> None:
        """Replaces the totals by the sums over several processes' `totals()`."""
        self.clear()
        names = {field.name for field in fields(Cost)}
        for totals in others:
            for task, values in totals.items():
                known: dict[str, Any] = {name: values[name] for name in names & values.keys()}
                self._totals[task] += Cost(**known)
                self._requests[task] += int(values["requests"])
                self._windows[task] += round(values["mean_window"] * values["requests"])

    def totals(self) -> dict[str, dict[str, float]]:
        """Task -> its requests, the mean of their windows, and the sums of everything else."""
        found: dict[str, dict[str, float]] = {}
        for task, cost in self._totals.items():
            sums = asdict(cost)
            del sums["window"]
            requests = self._requests[task]
            mean_window = self._windows[task] / requests
            found[task] = {"requests": requests, "mean_window": mean_window, **sums}
        return found
