"""A predicted window against the strongest training-free rival, `daedal` as published.

Both unmask with threshold 0.9.
"""

from __future__ import annotations

from benchmarks.measure import Row, Setup
from benchmarks.windows import answer_in_turn, model_for, rounds_of, total

THRESHOLD = 0.9


def daedal(setup: Setup) -> list[Row]:
    """One row: `varlen_instruct`, other documents in every round.

    Token-positions and exact match are over the documents of all rounds.
    """
    size = len(rounds_of(setup)[0])
    models = {
        # Its own threshold is 0.9 as published.
        "daedal": model_for(setup, "daedal", setup.canvas, size),
        setup.method: model_for(setup, setup.method, setup.canvas, size, threshold=THRESHOLD),
    }
    times, right = answer_in_turn(setup, models)
    rival, ours = models
    positions = {
        name: model.ledger.totals()["varlen_instruct"]["token_positions"]
        for name, model in models.items()
    }
    found = (
        f"token-positions {positions[rival] / positions[ours]:.2f} times as many; "
        f"exact match {right[rival]:.2f} and {right[ours]:.2f}"
    )
    ratios = tuple(a / b for a, b in zip(times[rival], times[ours], strict=True))
    return [
        Row(
            "rivals",
            rival,
            ours,
            f"varlen_instruct, {total(setup)} documents, threshold {THRESHOLD}",
            ratios,
            found,
        )
    ]
