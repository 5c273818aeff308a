"""The adapter's time beside the model: a whole `generate_until` against the model's seconds."""

from __future__ import annotations

from benchmarks.measure import Row, Setup, timed
from benchmarks.windows import model_for, requests_for
from eosbench.documents import instruct_documents


def beside_the_model(setup: Setup) -> list[Row]:
    """One row: batches of 16, other documents in every round."""
    per_round = 2 if setup.quick else 16
    chosen = list(instruct_documents("test"))[: (setup.runs + 1) * per_round]
    model = model_for(setup, setup.method, setup.canvas, 16)
    ratios, inside = [], 0.0
    for round_ in range(setup.runs + 1):
        asked = requests_for(chosen[round_ * per_round : (round_ + 1) * per_round], setup.canvas)
        seconds, _ = timed(model.generate_until, asked, True)
        before, inside = inside, model.ledger.totals()["varlen_instruct"]["model_seconds"]
        if round_:  # the first one warms up
            ratios.append(seconds / (inside - before))
            setup.advance()
    outside = 100 * (1 - len(ratios) / sum(ratios))
    found = f"{outside:.1f} % outside the model"
    return [
        Row(
            "overhead",
            "generate_until",
            "the model alone",
            f"{setup.method}, batches of 16",
            tuple(ratios),
            found,
        )
    ]
