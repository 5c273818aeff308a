"""`python -m benchmarks.rounding`: the rounding of windows, and retries, on generated answers.

    python -m benchmarks.rounding                                  # half an hour on two cores
    python -m benchmarks.rounding --documents 8 --thresholds none

Predictions are made once for each method. Runs whose windows agree on a document have the same
answer there, which is decoded once; each run is charged for it as if it had run alone, step zero
included, and the first pass even where the window is the canvas (`varlen_dlm` leaves it out there).
Seconds are those of that one time, shared out over the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console

from eosbench.bounds import ROUNDINGS, to_bound
from eosbench.decoding import OVERFLOWS, Answer, generate
from eosbench.documents import Instruction, instruct_documents
from eosbench.predictors import FittedPredictor
from model_adapters.varlen_dlm import Arguments, VarLenDLM, asked, parse_arguments, predicted

MARGINS = ("alpha=0.05", "cheapest")
COLUMNS = {
    "method": "---",
    "threshold": "---",
    "margin": "---",
    "rounding": "---",
    "overflow": "---",
    "exact match": "---:",
    "token-positions": "---:",
    "first window": "---:",
    "retries": "---:",
    "truncated": "---:",
    "seconds": "---:",
}

Found = dict[str, dict[tuple[int, int], Answer]]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass
class Answers:
    """Answers of one model to some documents, each decoded once.

    Attributes:
        model: whose backbone decodes.
        documents: what is asked.
        threshold: of the decoding; None is a token per step.
        found: overflow -> (document, first window) -> its answer.
    """

    model: VarLenDLM
    documents: Sequence[Instruction]
    threshold: float | None
    found: Found

    def __post_init__(self) -> None:
        given = {"until": [], "threshold": self.threshold}
        self.requests = asked(self.model, [one.prompt for one in self.documents], given)

    def of(self, windows: Sequence[int], overflow: str) -> list[Answer]:
        """The answer to each document, decoded in its first window."""
        places = list(enumerate(windows))
        self._decode(places, "accept")
        first = self.found["accept"]
        if overflow == "accept":
            return [first[place] for place in places]
        self._decode([place for place in places if not first[place].ended], overflow)
        return [self.found[overflow].get(place, first[place]) for place in places]

    def _decode(self, places: Sequence[tuple[int, int]], overflow: str) -> None:
        """Decodes what is not known yet."""
        known = self.found[overflow]
        new = [place for place in places if place not in known]
        jobs = [self.requests[at].job(self.model.backbone.tokenizer, one) for at, one in new]
        for place, answer in generate(self.model.backbone, jobs, overflow=overflow):
            known[new[place]] = answer

    def right(self, answers: Sequence[Answer]) -> float:
        """The share of answers that are the right one."""
        tokenizer = self.model.backbone.tokenizer
        texts = [
            request.text(tokenizer, answer.tokens)
            for request, answer in zip(self.requests, answers, strict=True)
        ]
        equal = [
            text == document.response for text, document in zip(texts, self.documents, strict=True)
        ]
        return sum(equal) / len(equal)


@app.command()
def main(
    documents: Annotated[int, typer.Option(min=1, help="of varlen_instruct")] = 200,
    methods: Annotated[str, typer.Option()] = "classification,average_regression",
    thresholds: Annotated[str, typer.Option(help="none is a token per step")] = "none,0.9",
    canvas: Annotated[int, typer.Option(min=1)] = 256,
) -> None:
    """Exact match and cost by rounding and overflow, as a Markdown table; costs are per answer."""
    console = Console(soft_wrap=True, highlight=False)
    for line in (COLUMNS, COLUMNS.values()):
        console.print(f"| {' | '.join(line)} |")
    asked_for = [one for one in instruct_documents("test", None) if one.exact][:documents]
    found: dict[str, Found] = {}
    for method in methods.split(","):
        model = VarLenDLM(method=method, max_gen_toks=canvas)
        for threshold in thresholds.split(","):
            level = None if threshold == "none" else float(threshold)
            known = found.setdefault(threshold, {overflow: {} for overflow in OVERFLOWS})
            answers = Answers(model, asked_for, level, known)
            for row in _rows(answers):
                console.print(f"| {method} | {threshold} | {' | '.join(row)} |")


def _rows(answers: Answers) -> list[list[str]]:
    """A row for each margin, rounding and overflow."""
    model, rows = answers.model, []
    bounded = predicted(model, answers.requests)
    fitted = model.method
    assert isinstance(fitted, FittedPredictor)
    for margin in MARGINS:
        for rounding in ROUNDINGS:
            arguments = _arguments(model.arguments, margin, rounding)
            windows = [
                to_bound(
                    one.prediction,
                    canvas=one.shown.request.canvas,
                    calibration=fitted.calibration,
                    promise=arguments.promise_for(one.shown.request.settings),
                    prompt_length=len(one.shown.request.ids),
                    rounding=rounding,
                    block_length=arguments.block_length,
                ).bound
                for one in bounded
            ]
            for overflow in ("retry",) if margin == "cheapest" else ("accept", "retry"):
                found = answers.of(windows, overflow)
                costs = [one.cost + its.cost for one, its in zip(bounded, found, strict=True)]
                count = len(found)
                rows.append(
                    [
                        margin,
                        rounding,
                        overflow,
                        f"{answers.right(found):.3f}",
                        f"{sum(cost.token_positions for cost in costs) / count:.0f}",
                        f"{sum(windows) / count:.1f}",
                        f"{sum(cost.retries for cost in costs) / count:.2f}",
                        f"{sum(not one.ended for one in found)}",
                        f"{sum(cost.seconds for cost in costs) / count:.2f}",
                    ]
                )
    return rows


def _arguments(arguments: Arguments, margin: str, rounding: str) -> Arguments:
    """The arguments of a run whose margin is chosen, and whose bounds are rounded, in this way."""
    given = {"method": arguments.method, "max_gen_toks": arguments.max_gen_toks}
    given["rounding"] = rounding
    if margin == "cheapest":
        given |= {"promise": "cheapest", "overflow": "retry"}
    return parse_arguments(given)


if __name__ == "__main__":
    app()
