"""The worth of a predicted window: generation with a fixed canvas, a bound, and the true length.

Published scripts run every pass over the whole canvas, also those that only fill in what stands
behind the EOS; `fixed` leaves those out, as every method here does (docs/engine.md). Both are
compared, so that a window is not credited with what that saves.
"""

from __future__ import annotations

from typing import Any

from lm_eval.api.instance import Instance

from benchmarks.measure import Row, Setup, timed
from eosbench.documents import INSTRUCT_FAMILIES, Instruction, instruct_documents
from model_adapters.varlen_dlm import VarLenDLM

EVERY_PASS = "fixed, every pass"


def windows(setup: Setup) -> list[Row]:
    """Three rows on `varlen_instruct`: what the passes behind the EOS and what the window cost.

    The sides are the whole canvas with and without those passes, a predicted window, and the true
    length.
    """
    size = len(rounds_of(setup)[0])
    models = {
        EVERY_PASS: model_for(setup, "fixed", setup.canvas, size, stop_at_eos=False),
        "fixed": model_for(setup, "fixed", setup.canvas, size),
        setup.method: model_for(setup, setup.method, setup.canvas, size),
        "oracle": model_for(setup, "oracle", setup.canvas, size),
    }
    times, right = answer_in_turn(setup, models)

    def compare(slow: str, fast: str) -> Row:
        ratios = tuple(a / b for a, b in zip(times[slow], times[fast], strict=True))
        found = f"exact match {right[slow]:.2f} and {right[fast]:.2f}"
        return Row(
            "windows",
            slow,
            fast,
            f"varlen_instruct, {total(setup)} documents, canvas {setup.canvas}",
            ratios,
            found,
        )

    return [
        compare(EVERY_PASS, setup.method),
        compare("fixed", setup.method),
        compare(setup.method, "oracle"),
    ]


def answer_in_turn(
    setup: Setup, models: dict[str, VarLenDLM]
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Each model's seconds in every round, and its exact match over the documents of all rounds."""
    times: dict[str, list[float]] = {name: [] for name in models}
    right = dict.fromkeys(models, 0)
    rounds = rounds_of(setup)
    for model in models.values():  # warm up
        model.generate_until(requests_for(rounds[0][:1], 16, task="warm up"), disable_tqdm=True)
    for chosen in rounds:
        for name, model in models.items():
            seconds, answers = timed(model.generate_until, requests_for(chosen, setup.canvas), True)
            times[name].append(seconds)
            right[name] += sum(
                answer == document.response
                for answer, document in zip(answers, chosen, strict=True)
            )
        setup.advance()
    return times, {name: count / total(setup) for name, count in right.items()}


def rounds_of(setup: Setup) -> list[list[Instruction]]:
    """Other documents in every round, as many of each family that has one right answer."""
    count = len(INSTRUCT_FAMILIES) * setup.documents  # the split goes through its families in turn
    drawn = instruct_documents("test", setup.runs * count)
    rounds: list[list[Instruction]] = []
    for at in range(0, len(drawn), count):
        chosen = [document for document in drawn[at : at + count] if document.exact]
        rounds.append(chosen[:2] if setup.quick else chosen)
    return rounds


def total(setup: Setup) -> int:
    """The number of documents in all rounds."""
    return sum(map(len, rounds_of(setup)))


def model_for(setup: Setup, method: str, canvas: int, batch_size: int, **given: Any) -> VarLenDLM:
    """The adapter, as lm-eval would make it."""
    arguments: dict[str, Any] = {
        "pretrained": setup.pretrained,
        "method": method,
        "max_gen_toks": canvas,
        "batch_size": batch_size,
        **given,
    }
    fitted = None if setup.predictors is None else setup.predictors / method
    if fitted is not None and fitted.is_dir():
        arguments["predictor"] = str(fitted)
    return VarLenDLM(**arguments)


def requests_for(
    chosen: list[Instruction], canvas: int, task: str = "varlen_instruct"
) -> list[Instance]:
    """The requests that lm-eval would send for these documents of `varlen_instruct`."""
    return [
        Instance(
            request_type="generate_until",
            doc=vars(document),
            arguments=(
                document.prompt,
                {"until": [], "max_gen_toks": canvas, "reference": document.response},
            ),
            idx=0,
            metadata=(task, int(document.id.rpartition("-")[2]), 1),
        )
        for document in chosen
    ]
