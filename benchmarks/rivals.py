"""A predicted window against the strongest training-free rival, `daedal` with its published settings; both with threshold 0.9."""

from __future__ import annotations

from benchmarks.measure import Row, Setup, timed
from benchmarks.windows import model_for, requests_for
from eosbench.instruct import documents

THRESHOLD = 0.9


def daedal(setup: Setup) -> list[Row]:
    """`varlen_instruct`, other documents in every round; token-positions and exact match over all of them."""
    per_round = 2 if setup.quick else 16
    exact = [document for document in documents("test") if document.exact]
    methods = ("daedal", setup.method)
    # DAEDAL's own threshold is 0.9 as published.
    models = {
        "daedal": model_for(setup, "daedal", setup.canvas, per_round),
        setup.method: model_for(setup, setup.method, setup.canvas, per_round, threshold=THRESHOLD),
    }
    right, positions, times = dict.fromkeys(methods, 0), dict.fromkeys(methods, 0.0), {name: list[float]() for name in methods}
    for start in range(0, setup.runs * per_round, per_round):
        chosen = exact[start : start + per_round]
        for method in methods:
            seconds, answers = timed(models[method].generate_until, requests_for(chosen, setup.canvas), True)
            times[method].append(seconds)
            right[method] += sum(answer == document.response for answer, document in zip(answers, chosen, strict=True))
        setup.advance()
    total = setup.runs * per_round
    for method in methods:
        positions[method] = models[method].ledger.totals()["varlen_instruct"]["token_positions"]
    rival, ours = methods
    found = (
        f"token-positions {positions[rival] / positions[ours]:.2f} times as many; "
        f"exact match {right[rival] / total:.2f} and {right[ours] / total:.2f}"
    )
    ratios = tuple(a / b for a, b in zip(times[rival], times[ours], strict=True))
    return [Row("rivals", rival, ours, f"varlen_instruct, {total} documents, threshold {THRESHOLD}", ratios, found)]
