"""What a predicted window saves: generation with a fixed canvas, a predicted bound, and the true length."""

from __future__ import annotations

from typing import Any

from lm_eval.api.instance import Instance

from benchmarks.measure import Row, Setup, timed
from eosbench.instruct import Instruction, documents
from model_adapters.varlen_dlm import VarLenDLM


def windows(setup: Setup) -> list[Row]:
    """`varlen_instruct`, other documents in every round, so that exact match rests on all of them."""
    per_round, canvas = 2 if setup.quick else 16, setup.canvas
    exact = [document for document in documents("test") if document.exact]
    methods = ("fixed", setup.method, "oracle")
    models = {method: model_for(setup, method, canvas, per_round) for method in methods}
    right = dict.fromkeys(methods, 0)
    times: dict[str, list[float]] = {method: [] for method in methods}

    for method in methods:  # warm up
        models[method].generate_until(requests_for(exact[:1], 16), disable_tqdm=True)
    for start in range(0, setup.runs * per_round, per_round):
        chosen = exact[start : start + per_round]
        for method in methods:
            seconds, answers = timed(models[method].generate_until, requests_for(chosen, canvas), True)
            times[method].append(seconds)
            right[method] += sum(answer == document.response for answer, document in zip(answers, chosen, strict=True))
        setup.advance()

    total = setup.runs * per_round

    def compare(slow: str, fast: str) -> Row:
        ratios = tuple(a / b for a, b in zip(times[slow], times[fast], strict=True))
        found = f"exact match {right[slow] / total:.2f} and {right[fast] / total:.2f}"
        return Row("windows", slow, fast, f"varlen_instruct, {total} documents, canvas {canvas}", ratios, found)

    return [compare("fixed", setup.method), compare(setup.method, "oracle")]


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


def requests_for(chosen: list[Instruction], canvas: int) -> list[Instance]:
    """What lm-eval would send for these documents of `varlen_instruct`."""
    return [
        Instance(
            request_type="generate_until",
            doc=vars(document),
            arguments=(document.prompt, {"until": [], "max_gen_toks": canvas, "reference": document.response}),
            idx=0,
            metadata=("varlen_instruct", index, 1),
        )
        for index, document in enumerate(chosen)
    ]
