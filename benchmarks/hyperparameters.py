"""`python -m benchmarks.hyperparameters`: the worth of the length predictors' options.

    python -m benchmarks.hyperparameters    # all methods, three seeds, Markdown on stdout
    python -m benchmarks.hyperparameters --method classification --seeds 1

Options are varied one at a time around the defaults.

Everything is fitted on the train split of the embedded benchmark and scored on its calibration
split, which no test document and no training document is part of. A bound (alpha 0.05, not
rounded) is calibrated on one half of the split and measured on the other, both ways, so that the
columns compare options at equal coverage: the less overshoot, the better.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from eosbench import embedded
from eosbench.fitting import FitData, FitJob, FitReport, Passes, fit_all, load_examples
from eosbench.predictors import METHODS
from model_adapters import load_backbone

# Options that are changed alone.
VARIED: dict[str, dict[str, tuple[Any, ...]]] = {
    "concat_regression": {
        "hidden": (32, 64, 128),
        "depth": ("mlp", "linear"),
        "grid": (8, 16, 32),
        "project": (8, 16, 32),
    },
    "average_regression": {
        "hidden": (32, 64, 128, 256),
        "depth": ("mlp", "linear"),
        "pooling": ("both", "canvas", "prompt"),
    },
    "classification": {
        "hidden": (32, 64, 128),
        "depth": ("mlp", "linear"),
        "target": ("after", "at", "hazard"),
        "positions": (32, 64, 128),
        "tau": (0.5, 0.7, 0.8, 0.9, 0.95),
        "positive_weight": (0.5, 1.0, 2.0),
    },
    "distilbert": {"head": ("classes", "regression")},
    "smartcrop": {"tau": (0.8, 0.95, 0.99, 0.999)},
}
# Options that mean nothing alone.
TOGETHER: dict[str, tuple[dict[str, Any], ...]] = {
    "logit": (
        {"variant": "top1"},
        *({"variant": "quantile", "q": q} for q in (0.25, 0.5, 0.75)),
        *({"variant": "threshold", "tau": tau} for tau in (0.5, 0.9, 0.97)),
    ),
    **dict.fromkeys(
        ("concat_regression", "average_regression"),
        tuple({"loss": "pinball", "quantile": level} for level in (0.5, 0.8, 0.9, 0.95)),
    ),
}
COLUMNS = (
    "method",
    "options",
    "overshoot u=0",
    "overshoot, mean over u",
    "coverage u=0",
    "rmse u=0",
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    method: Annotated[str, typer.Option(help="all, or names with commas")] = "all",
    pretrained: Annotated[str, typer.Option(help="embedded, a folder or a hub id")] = embedded.NAME,
    canvas: Annotated[int, typer.Option(min=1)] = embedded.CANVAS,
    seeds: Annotated[int, typer.Option(min=1, help="of weights and training")] = 3,
    documents: Annotated[int, typer.Option(min=20, help="of the train split")] = 4_000,
    calibration: Annotated[
        int, typer.Option(min=40, help="documents of the calibration split")
    ] = 1_000,
    device: Annotated[str, typer.Option(help="as torch names it")] = "cpu",
) -> None:
    """Overshoot at a promised coverage of 95 % for every option, over several seeds."""
    methods = list(dict.fromkeys([*VARIED, *TOGETHER])) if method == "all" else method.split(",")
    backbone = load_backbone(
        str(embedded.MODEL) if pretrained == embedded.NAME else pretrained, device=device
    )
    with tempfile.TemporaryDirectory() as folder:
        reports = fit_all(
            _jobs(methods, seeds, Path(folder)),
            passes=Passes(backbone, canvas),
            data=FitData(
                train=load_examples("instruct:train", backbone, limit=documents),
                calibration=load_examples("instruct:calibration", backbone, limit=calibration),
            ),
        )
    rows = [COLUMNS, ("---", "---", *["---:"] * 4)]
    for name in methods:
        own = [report for report in reports if report.job.method == name]
        for options in choices(name):
            rows.append(row(name, options, [one for one in own if one.job.options == options]))
    Console(soft_wrap=True, highlight=False, markup=False).print(
        "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    )


def _jobs(methods: Sequence[str], seeds: int, folder: Path) -> list[FitJob]:
    """One fit per method, options and seed; a method that trains no weights has one seed."""
    jobs: list[FitJob] = []
    for name in methods:
        repeats = seeds if METHODS[name].fitting == "weights" else 1
        for number, options in enumerate(choices(name)):
            for seed in range(repeats):
                jobs.append(FitJob(name, folder / f"{name}-{number}-{seed}", options, seed))
    return jobs


def choices(method: str) -> list[dict[str, Any]]:
    """The options of one method that are tried: the defaults, then one of them changed at a time.

    Raises:
        typer.BadParameter: there is no such method, or it has no options to compare.

    >>> choices("distilbert")
    [{}, {'head': 'classes'}]
    """
    if method not in VARIED and method not in TOGETHER:
        known = ", ".join(name for name in METHODS if name in VARIED or name in TOGETHER)
        raise typer.BadParameter(
            f"{method!r} has no options to compare: expected all or some of {known}"
        )
    alone: list[dict[str, Any]] = []
    for name, values in VARIED.get(method, {}).items():
        default = METHODS[method].options()[name].default
        alone += [{name: value} for value in values if value != default]
    return [*([{}] if alone else []), *alone, *TOGETHER.get(method, ())]


def row(method: str, options: Mapping[str, Any], reports: list[FitReport]) -> tuple[str, ...]:
    """The cells of one line, over the seeds of one method and its options.

    Args:
        reports: one per seed; their scores are by unmasked fraction, from u = 0 on.
    """
    scores = [list(report.scores.values()) for report in reports]
    overall = []
    for fractions in scores:
        overall.append(statistics.fmean(one["overshoot"] for one in fractions))
    text = ", ".join(f"`{name}={value}`" for name, value in options.items()) or "defaults"
    return (
        f"`{method}`",
        text,
        _spread([first["overshoot"] for first, *_ in scores]),
        _spread(overall),
        _spread([100 * first["coverage"] for first, *_ in scores]),
        _spread([first["rmse"] for first, *_ in scores]),
    )


def _spread(values: Sequence[float]) -> str:
    """The mean and, after a plus-minus, the standard deviation over the seeds."""
    deviation = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.1f}{deviation}"


if __name__ == "__main__":
    app()
