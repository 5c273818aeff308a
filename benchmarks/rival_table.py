"""`python -m benchmarks.rival_table`: every way to end an answer, on the same documents.

Each competitor answers the same documents of `varlen_instruct` with the embedded model; the table
says what was right and what it cost, prediction and retries included. Exact match and
token-positions do not depend on the machine, so one round is enough for them; seconds are of that
round, whatever ran beside it. The rival of the tests is `daedal` as published: McNemar's test of
exact match, and the paired bootstrap over documents for the ratio of token-positions.

    python -m benchmarks.rival_table --canvas 256
    python -m benchmarks.rival_table --canvas 768 --documents 48

Predictors are fitted for the canvas first, over the whole canvas and over a grid of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from rich.progress import track

from benchmarks.windows import requests_for
from eosbench.cli import app as eosbench_command
from eosbench.documents import Instruction, instruct_documents
from eosbench.metrics import bootstrap, mcnemar, percentiles, wilson
from model_adapters.varlen_dlm import VarLenDLM

RIVAL = "daedal"
GRIDS = ("grid:31", "grid:16")
THRESHOLD = 0.9
READERS = ("classification", "average_regression", "concat_regression", "logit", "smartcrop")
ALONE = ("distilbert", "prompt_length", "mean")  # what reads no model
COSTS = ("forward_passes", "token_positions", "flops", "seconds", "retries", "truncated")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Competitor:
    """A line of the table.

    Attributes:
        name: of the line.
        method: of `varlen_dlm`.
        step_zero: of the method's fitted predictor; None where it has none.
        arguments: the other model arguments.
        few: whether it is too slow for all documents, and answers the first of them.
    """

    name: str
    method: str
    step_zero: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    few: bool = False


def competitors() -> list[Competitor]:
    """Every line, the published loops first."""
    fast = {"threshold": THRESHOLD}
    lines = [
        Competitor("LLaDA's loop, every pass", "fixed", arguments={"stop_at_eos": False}, few=True),
        Competitor("fixed", "fixed", few=True),
        Competitor("fixed, threshold", "fixed", arguments=fast),
        Competitor("blocks, threshold", "blocks", arguments=fast),
        Competitor(RIVAL, RIVAL),
        Competitor("rho_eos", "rho_eos"),
        Competitor("cal", "cal", few=True),
    ]
    safe = fast | {"rounding": "none"}
    promises = {"95 %": safe, "90 %, retry": safe | {"alpha": 0.1, "overflow": "retry"}}
    cheapest = safe | {"promise": "cheapest", "overflow": "retry"}
    for method in (*READERS, *ALONE):
        for step_zero in ("full", *GRIDS) if method in READERS else ("full",):
            read = f", {step_zero}" if method in READERS else ""
            for words, arguments in (promises | {"cheapest": cheapest}).items():
                lines.append(Competitor(f"{method}{read}, {words}", method, step_zero, arguments))
    lines.append(Competitor("oracle, threshold", "oracle", arguments=fast))
    return lines


def fit_for(canvas: int, folder: Path, documents: int, calibration: int) -> None:
    """Fits what is not fitted yet: over the whole canvas, and over each grid."""
    for step_zero, methods in (
        ("full", (*READERS, *ALONE)),
        *((grid, READERS) for grid in GRIDS),
    ):
        output = _heads(folder, canvas, step_zero)
        missing = [method for method in methods if not (output / method / "config.json").is_file()]
        if not missing:
            continue
        words = ["fit", "--data", "instruct:train", "--limit", str(documents)]
        words += ["--calibration", "instruct:calibration", "--calibration_limit", str(calibration)]
        words += ["--canvas", str(canvas), "--method", ",".join(missing)]
        if step_zero != "full":
            words += ["--step_zero", step_zero]
        words += ["--output", str(output / missing[0] if len(missing) == 1 else output)]
        eosbench_command(words, prog_name="eosbench", standalone_mode=False)


def _heads(folder: Path, canvas: int, step_zero: str) -> Path:
    return folder / f"heads-{canvas}" / step_zero.replace(":", "-")


def answers_of(
    line: Competitor, chosen: list[Instruction], canvas: int, folder: Path
) -> pd.DataFrame:
    """Exact match and costs of one competitor, a row a document.

    Args:
        line: the competitor.
        chosen: documents with one right answer.
        canvas: C, in tokens.
        folder: of the predictors, and of the telemetry that is read here.
    """
    telemetry = folder / f"{line.name.replace(' ', '_')}-{canvas}.jsonl".replace("/", "_")
    telemetry.unlink(missing_ok=True)
    given: dict[str, Any] = {"max_gen_toks": canvas, "batch_size": 16, "telemetry": str(telemetry)}
    if line.step_zero is not None:
        given["predictor"] = str(_heads(folder, canvas, line.step_zero) / line.method)
    model = VarLenDLM(pretrained="embedded", method=line.method, **given, **line.arguments)
    said = model.generate_until(requests_for(chosen, canvas), disable_tqdm=True)
    rows = [json.loads(text) for text in telemetry.read_text("utf-8").splitlines()]
    costs = pd.DataFrame(rows).set_index("doc_id")[list(COSTS)]
    right = [answer == one.response for answer, one in zip(said, chosen, strict=True)]
    places = [int(one.id.rpartition("-")[2]) for one in chosen]
    return costs.loc[places].assign(exact=np.asarray(right, dtype=float))


def table_of(answers: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """A row a competitor: means over its documents, and what tells it from the rival.

    Args:
        answers: of `answers_of`, by name; the rival among them.

    Returns:
        `documents`, `exact` with Wilson's interval, the mean of each cost, `positions_ratio` (to
        the rival on the same documents) with its interval, and `p_exact`.
    """
    rows = []
    for name, own in answers.items():
        other = answers[RIVAL].loc[own.index]
        low, high = wilson(own["exact"].mean(), len(own))
        row: dict[str, Any] = {"competitor": name, "documents": len(own)}
        row |= {"exact": own["exact"].mean(), "exact_low": low, "exact_high": high}
        row |= {cost: own[cost].mean() for cost in COSTS}
        both_N2 = np.stack([own["token_positions"], other["token_positions"]], axis=1)
        means_R2 = bootstrap(both_N2)
        ends = percentiles((means_R2[:, 0] / means_R2[:, 1])[:, None])
        row["positions_ratio"] = both_N2[:, 0].sum() / both_N2[:, 1].sum()
        row |= {"ratio_low": ends[0].item(), "ratio_high": ends[1].item()}
        row["p_exact"] = mcnemar(own["exact"], other["exact"]).item()
        rows.append(row)
    return pd.DataFrame(rows)


def as_markdown(table: pd.DataFrame) -> str:
    """The table for people."""
    heads = ("", "documents", "exact match", "passes", "token-positions", "of daedal's")
    heads += ("FLOPs", "seconds", "p")
    lines = [f"| {' | '.join(heads)} |", "| --- |" + " ---: |" * (len(heads) - 1)]
    for row in table.to_dict("records"):
        lines.append(
            f"| {row['competitor']} | {row['documents']} "
            f"| {row['exact']:.3f} ({row['exact_low']:.2f} to {row['exact_high']:.2f}) "
            f"| {row['forward_passes']:.1f} | {row['token_positions']:,.0f} "
            f"| {row['positions_ratio']:.2f} ({row['ratio_low']:.2f} to {row['ratio_high']:.2f}) "
            f"| {row['flops']:.2e} | {row['seconds']:.3f} | {row['p_exact']:.3f} |"
        )
    return "\n".join(lines) + "\n"


@app.command()
def main(
    canvas: Annotated[int, typer.Option(help="C, in tokens")] = 256,
    documents: Annotated[int, typer.Option(help="of varlen_instruct, those with one answer")] = 200,
    few: Annotated[int, typer.Option(help="documents of the slowest loops")] = 24,
    fitted: Annotated[int, typer.Option(help="documents to fit on")] = 1_500,
    calibration: Annotated[int, typer.Option(help="documents to calibrate on")] = 600,
    folder: Annotated[Path, typer.Option(help="of predictors and telemetry")] = Path(
        "build/rivals"
    ),
    output: Annotated[Path, typer.Option(help="of the tables")] = Path("results/rivals"),
) -> None:
    """Fits, answers, and writes the table as CSV and Markdown after every line."""
    folder.mkdir(parents=True, exist_ok=True)
    output.mkdir(parents=True, exist_ok=True)
    fit_for(canvas, folder, fitted, calibration)
    drawn = [one for one in instruct_documents("test", 2 * documents) if one.exact][:documents]
    lines = competitors()
    lines.sort(key=lambda line: line.name != RIVAL)  # what the others are compared with comes first
    answers: dict[str, pd.DataFrame] = {}
    for line in track(lines, description="competitors"):
        answers[line.name] = answers_of(line, drawn[:few] if line.few else drawn, canvas, folder)
        table = table_of(answers)
        table.to_csv(output / f"canvas-{canvas}.csv", index=False, float_format="%.5g")
        text = as_markdown(table)
        (output / f"canvas-{canvas}.md").write_text(text, encoding="utf-8")
    print(as_markdown(table_of(answers)))


if __name__ == "__main__":
    app()
