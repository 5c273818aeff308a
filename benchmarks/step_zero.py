"""`python -m benchmarks.step_zero`: what a smaller step zero costs in tokens of overshoot.

    python -m benchmarks.step_zero                         # the table of docs/methods.md
    python -m benchmarks.step_zero --views full,grid:31 --documents 3000

Every method that reads the model is fitted on the train split of the embedded benchmark and
calibrated on its calibration split for each part of the canvas (`step_zero`), and measured on its
test split with nothing unmasked: bounds that promise 95 %, not rounded. Seconds are processor
seconds of the passes and heads over all test documents, in batches of 16.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from eosbench import embedded
from eosbench.backbone import Backbone
from eosbench.bounds import to_bound
from eosbench.canvas_view import CanvasView
from eosbench.errors import ConfigurationError
from eosbench.fitting import FitData, FitJob, Passes, fit_all, load_examples
from eosbench.forward import pass_positions
from eosbench.metrics import coverage, overshoot
from eosbench.predictors import LengthReader, check_step_zero, load_predictor
from eosbench.records import Prompt
from model_adapters import load_backbone

BATCH_SIZE = 16
PINBALL = {"loss": "pinball", "quantile": 0.8}
TRIED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("logit", {"variant": "threshold", "tau": 0.9}),
    ("smartcrop", {}),
    ("classification", {}),
    ("concat_regression", {}),
    ("concat_regression", PINBALL),
    ("average_regression", {}),
    ("average_regression", PINBALL),
    ("average_regression", {"pooling": "prompt"}),
    ("average_regression", {"pooling": "prompt", **PINBALL}),
)
COLUMNS = (
    "`step_zero`",
    "method",
    "options",
    "overshoot",
    "coverage",
    "token-positions",
    "seconds",
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class TestDocuments:
    """Test documents, the shortest prompts first.

    Attributes:
        prompts: N of them, before a canvas of masks.
        length_N: the lengths of their answers.
    """

    prompts: Sequence[Prompt]
    length_N: np.ndarray[Any, np.dtype[np.int64]]

    @classmethod
    def of(cls, backbone: Backbone, canvas: int, documents: int) -> TestDocuments:
        """The first test documents of the embedded benchmark whose answers fit the canvas."""
        examples = load_examples("instruct:test", backbone, limit=documents)
        kept = FitData(examples, []).on_canvas(backbone, canvas).train
        kept = sorted(kept, key=lambda example: len(example.prompt_ids))
        masks = (backbone.spec.mask_id,) * canvas
        prompts = [Prompt(example.prompt_text, example.prompt_ids, masks) for example in kept]
        return cls(prompts, np.array([example.length for example in kept]))


@app.command()
def main(
    views: Annotated[
        str, typer.Option(help="values of step_zero, with commas")
    ] = "full,grid:64,grid:31,grid:16,prompt",
    documents: Annotated[int, typer.Option(min=40, help="of each of the three splits")] = 300,
    canvas: Annotated[int, typer.Option(min=2)] = embedded.CANVAS,
    seed: Annotated[int, typer.Option(help="of weights and training")] = 0,
) -> None:
    """Overshoot, coverage and cost of every method at each part of the canvas."""
    backbone = load_backbone(embedded.MODEL)
    tests = TestDocuments.of(backbone, canvas, documents)
    data = FitData(
        train=load_examples("instruct:train", backbone, limit=documents),
        calibration=load_examples("instruct:calibration", backbone, limit=documents),
    )
    rows = [COLUMNS, ("---", "---", "---", *["---:"] * 4)]
    for view in map(CanvasView.of, views.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            jobs = [
                FitJob(method, Path(folder, str(at)), {**options, "step_zero": str(view)}, seed)
                for at, (method, options) in enumerate(choices(view))
            ]
            fit_all(jobs, passes=Passes(backbone, canvas), data=data, fractions=[0.0])
            rows += [measured(job, backbone, canvas, tests) for job in jobs]
    Console(soft_wrap=True, highlight=False, markup=False).print(
        "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    )


def choices(view: CanvasView) -> list[tuple[str, dict[str, Any]]]:
    """The methods and options that can read a part of the canvas.

    >>> choices(CanvasView.of("prompt"))[0]
    ('average_regression', {'pooling': 'prompt'})
    """
    found = []
    for method, options in TRIED:
        try:
            check_step_zero(method, {**options, "step_zero": str(view)})
        except ConfigurationError:
            continue
        found.append((method, options))
    return found


def measured(job: FitJob, backbone: Backbone, canvas: int, tests: TestDocuments) -> tuple[str, ...]:
    """The cells of one line: a fitted predictor on the test documents."""
    fitted = load_predictor(job.method, job.output, backbone=backbone, canvas=canvas)
    started = time.process_time()
    readings = list(
        LengthReader(backbone, {job.key: fitted}).read(job.key, tests.prompts, BATCH_SIZE)
    )
    seconds = time.process_time() - started
    bounds = []
    for reading in readings:
        bound = to_bound(
            reading.predictions[job.key],
            canvas=canvas,
            calibration=fitted.calibration,
            rounding="none",
        )
        bounds.append(bound.bound)
    bound_N, options = np.array(bounds), dict(job.options)
    view = CanvasView.of(options.pop("step_zero"))
    run = [len(pass_positions(prompt, view, backbone.spec)) for prompt in tests.prompts]
    return (
        f"`{view}`",
        f"`{job.method}`",
        ", ".join(f"`{name}={value}`" for name, value in options.items()) or "defaults",
        f"{overshoot(bound_N, tests.length_N):.1f}",
        f"{100 * coverage(bound_N, tests.length_N):.1f}",
        f"{np.mean(run):.0f}",
        f"{seconds:.1f}",
    )


if __name__ == "__main__":
    app()
