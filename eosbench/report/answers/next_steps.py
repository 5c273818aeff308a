"""The part that results lack before methods can be compared, and the command that makes it.

The commands work as they stand: with the embedded model they run the five methods, whose
predictors come with the package; with another model those methods that need no fitting.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from eosbench import embedded
from eosbench.command_lines import command_line, model_args_text
from eosbench.predictors import METHODS
from eosbench.report.answers.sentence import Sentence, counted, listed
from eosbench.report.evidence import Evidence
from eosbench.report.tables import Row
from eosbench.results import Run

BENCHMARK = "eos_upper_bound"
TASKS_SHOWN = 3  # of other models, in a command that runs the methods on the same


def sweep_command(
    folder: str | Path, tasks: Sequence[str], run: Run | None = None, limit: int | None = None
) -> str:
    """The `eosbench sweep` that puts methods beside what is there.

    Args:
        folder: where the results lie, and the new ones go.
        tasks: names that lm-eval knows.
        run: whose model and canvas are taken; the embedded model without one.
        limit: the number of documents of each task; None for all.
    """
    settings = {} if run is None or run.settings is None else run.settings
    model = str(settings.get("backbone", {}).get("name", embedded.NAME))
    canvas = settings.get("canvas", embedded.CANVAS)
    methods, model_args = "five", []
    if (model, canvas) != (embedded.NAME, embedded.CANVAS):
        methods = ",".join(name for name, row in METHODS.items() if _needs_no_fit(row.fitting))
        model_args = ["--model_args", model_args_text(pretrained=model, max_gen_toks=canvas)]
    limited = [] if limit is None else ["--limit", limit]
    command = ("eosbench", "sweep", "--methods", methods, *model_args, "--tasks", ",".join(tasks))
    return command_line(*command, *limited, "--output_path", folder)


def _needs_no_fit(fitting: str) -> bool:
    return fitting in ("calibration", "none")


def all_censored(evidence: Evidence, rows: Sequence[Row]) -> list[Sentence]:
    """The sentences of a benchmark whose answers are all longer than the canvas.

    Args:
        evidence: the documents, where some were logged.
        rows: of the benchmark's least fraction; none of them measured an answer.
    """
    if any(row.censored < row.documents for row in rows):
        return [Sentence("No bound can be judged: its coverage is not defined for any answer.")]
    canvases = {int((row.run.settings or {}).get("canvas", 0)) for row in rows}
    canvas = " and ".join(f"{one}" for one in sorted(canvases))
    of = counted(max(row.documents for row in rows), "answer")
    start = f"No bound can be judged: all {of} are longer than the canvas of {canvas} tokens"
    if max(row.documents for row in rows) == 1:
        start = (
            f"No bound can be judged: the one answer is longer than the canvas of {canvas} tokens"
        )
    lengths = _lengths(evidence, rows)
    if lengths is None:
        wanted = "a larger max_gen_toks among the model arguments"
    else:
        start += f", and the longest has {lengths}"
        wanted = f"max_gen_toks={2 ** math.ceil(math.log2(lengths))} among the model arguments"
    fitted = any((row.run.settings or {}).get("predictor") for row in rows)
    also = " A fitted predictor has to be fitted for that canvas (eosbench fit --canvas)."
    return [
        Sentence(f"{start}."),
        Sentence(f"Run the same again with {wanted}.{also if fitted else ''}"),
    ]


def _lengths(evidence: Evidence, rows: Sequence[Row]) -> int | None:
    """The length of the longest logged answer; None without logged documents."""
    longest = 0
    for row in rows:
        for name, task in row.run.tasks.items():
            frame = evidence.logged.get((row.run.name, name))
            if task.benchmark == row.benchmark and frame is not None and len(frame):
                longest = max(longest, int(frame["length"].max()))
    return longest or None


def too_few(rows: Sequence[Row]) -> list[Sentence]:
    """The sentences of a benchmark of which no run measured two answers."""
    names = list(dict.fromkeys(row.run.name for row in rows))
    documents = max(row.documents for row in rows)
    censored = " that fits the canvas" if documents > 1 else ""
    return [
        Sentence(
            f"Nothing can be said of {listed(names)} yet: one answer{censored} was measured, and a "
            "mean over one has no uncertainty that could be known."
        ),
        Sentence("Run the same again without --limit, or with a higher one."),
    ]


def only_limits(folder: str | Path, rows: Sequence[Row], tasks: Sequence[str]) -> list[Sentence]:
    """The sentences of a benchmark on which nothing was predicted.

    Args:
        folder: where the results lie.
        rows: of the limits, `fixed` and `oracle`.
        tasks: the names of the benchmark's tasks.
    """
    names = list(dict.fromkeys(row.run.name for row in rows))
    row = rows[0]
    return [
        Sentence(
            f"Nothing was predicted here: {listed(names)} mark{'s' if len(names) == 1 else ''} "
            "the limits between which predictions lie. This puts methods beside them:",
            sweep_command(folder, tasks, row.run, row.documents),
        )
    ]


def alone(folder: str | Path, row: Row, tasks: Sequence[str]) -> Sentence:
    """The sentence that follows the numbers of a run that has no other beside it."""
    return Sentence(
        f"{row.run.name} has no other method to be compared with; this puts some beside it:",
        sweep_command(folder, tasks, row.run, row.documents),
    )
