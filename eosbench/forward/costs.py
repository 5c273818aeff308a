"""What an answer cost: forward passes, token-positions, FLOPs, seconds, per request and per task.

FLOPs are estimated, two for each multiply and add:

- 2 * block_parameters per token-position, the matrices inside the transformer blocks, less 2 *
  last_parameters of the last block at positions that nobody reads;
- 4 * layers * width * T per token-position, attention's two products with T positions in the row
  (the width of all heads together);
- 2 * width * vocabulary per position that the output layer scores.

docs/costs.md checks the formula against torch's FLOP counter. Costs of every request go to
`telemetry` as one JSON line, those of a task into the results file. An answer that lm-eval's
response cache served cost nothing and is not counted.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from eosbench.backbone import BackboneSpec
from eosbench.errors import ConfigurationError


@dataclass
class Cost:
    """What one request cost.

    Attributes: window: the final window in tokens, the bound for a bare prediction, 0 for a
        likelihood. forward_passes, token_positions, flops: see docs/costs.md. seconds: wall time.
        truncated: 1 where the last window held no EOS and no stop string. retries: how often the
        window grew. model_seconds: the part of `seconds` that was spent inside the model; the rest
        is eosbench's own.
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
        total = Cost(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(Cost)}
        )
        total.window = max(self.window, other.window)
        return total


def estimated_flops(
    spec: BackboneSpec,
    token_positions: int,
    forward_passes: int,
    scored_positions: float,
    *,
    read_positions: float | None = None,
) -> float:
    """FLOPs of some passes.

    Args: spec: of the backbone that ran them. token_positions: over all passes together.
        forward_passes: how many. scored_positions: those that went through the output layer.
        read_positions: those whose hidden state was asked for (`needed` of `Backbone.hidden`); None:
        all.
    """
    if not forward_passes:
        return 0.0
    unread = 0.0 if read_positions is None else token_positions - read_positions
    row_length = token_positions / forward_passes
    attention = 4 * spec.layers * (spec.attention_width or spec.width) * row_length
    per_position = 2 * spec.block_parameters + attention
    inside = per_position * token_positions - 2 * spec.last_parameters * unread
    return inside + 2 * spec.width * spec.vocab_size * scored_positions


class Ledger:
    """Adds up costs by task and writes telemetry.

    Args:
        telemetry: a JSONL file that gets one line per request, None for none.

    Raises:
        ConfigurationError: that file cannot be written.
    """

    def __init__(self, telemetry: Path | None = None) -> None:
        self._totals: dict[str, Cost] = defaultdict(Cost)
        self._windows: dict[str, int] = defaultdict(int)
        self._requests: dict[str, int] = defaultdict(int)
        self._telemetry = telemetry
        if telemetry is not None:
            try:
                telemetry.parent.mkdir(parents=True, exist_ok=True)
                telemetry.open("a", encoding="utf-8").close()
            except OSError as error:
                raise ConfigurationError(
                    f"telemetry={telemetry}: expected a file that can be written ({error})"
                ) from error

    def add(self, task: str, document: int | None, kind: str, cost: Cost, **details: Any) -> None:
        """Counts one finished request; `details` go to the telemetry line alone."""
        self._totals[task] += cost
        self._windows[task] += cost.window
        self._requests[task] += 1
        if self._telemetry is not None:
            line = {"task": task, "doc_id": document, "kind": kind, **details, **asdict(cost)}
            with self._telemetry.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def merge(self, others: list[dict[str, dict[str, float]]]) -> None:
        """Replaces the totals by the sums over several processes' `totals()`."""
        self._totals, self._windows, self._requests = (
            defaultdict(Cost),
            defaultdict(int),
            defaultdict(int),
        )
        for totals in others:
            for task, values in totals.items():
                cost = Cost(**{f.name: values[f.name] for f in fields(Cost) if f.name in values})  # type: ignore[arg-type]
                self._totals[task] += cost
                self._requests[task] += int(values["requests"])
                self._windows[task] += round(values["mean_window"] * values["requests"])

    def totals(self) -> dict[str, dict[str, float]]:
        """task -> requests, mean window, and the sums of everything else."""
        return {
            task: {
                "requests": self._requests[task],
                "mean_window": self._windows[task] / self._requests[task],
                **{name: value for name, value in asdict(cost).items() if name != "window"},
            }
            for task, cost in self._totals.items()
        }
