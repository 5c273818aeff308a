"""`python -m benchmarks.rival_table`: every way to end an answer, on the same documents.

Each competitor answers the same documents of `varlen_instruct` with the embedded model; the table
says what was right and what it cost, prediction and retries included. Exact match and
token-positions do not depend on the machine, so one round is enough for them; seconds are of that
round, whatever ran beside it. The rival of the tests is `daedal` as published: McNemar's test of
exact match, and the paired bootstrap over documents for the ratio of token-positions.

    python -m benchmarks.rival_table --canvas 256
    python -m benchmarks.rival_table --canvas 768 --documents 48
    python -m benchmarks.rival_table --causal build/causal --void build/eospad --add

Predictors are fitted for the canvas first, over the whole canvas and over grids of it. Two lines
need a model of other weights than the embedded one, and are left out without it: the
autoregressive model (`--causal`, benchmarks/causal.yaml), and `void_expansion`, for which a model
has to be taught a padding token of its own (`--void`, the recipe `eospad`). What the other weights
alone do to the answers shows in a line of `fixed` on them. With `--add` the lines of the table that
is there are kept, and only those that it lacks are answered. The areas under the curves of quality
against compute (rival_area.py) are written with the table.
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

from benchmarks.rival_area import write_areas
from benchmarks.windows import requests_for
from eosbench import embedded
from eosbench.canvas_view import CanvasView
from eosbench.cli import app as eosbench_command
from eosbench.documents import Instruction, instruct_documents
from eosbench.metrics import bootstrap, mcnemar, percentiles, wilson
from eosbench.predictors import folder_name
from model_adapters.varlen_ar import VarLenAR
from model_adapters.varlen_dlm import VarLenDLM

RIVAL, CAUSAL = "daedal", "autoregressive"
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
        method: of `varlen_dlm`, or "autoregressive".
        step_zero: of the method's fitted predictor; None where it has none.
        arguments: the other model arguments.
        few: whether it is too slow for all documents, and answers the first of them.
        pretrained: the model.
    """

    name: str
    method: str
    step_zero: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    few: bool = False
    pretrained: str = embedded.NAME


def competitors(causal: str | None = None, void: str | None = None) -> list[Competitor]:
    """Every line, the published loops first, and those of other weights last.

    Args:
        causal: folder of an autoregressive model.
        void: folder of a model of the recipe `eospad`.
    """
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
    if causal is not None:
        lines.append(Competitor(f"{CAUSAL} (weights of its own)", CAUSAL, pretrained=causal))
    if void is not None:
        for method, weights in (("void_expansion", "its own"), ("fixed", "void_expansion")):
            name = f"{method} (weights of {weights}), threshold"
            lines.append(Competitor(name, method, arguments=fast, pretrained=void))
    return lines


def fit_for(canvas: int, folder: Path, documents: int, calibration: int) -> None:
    """Fits every predictor, over the whole canvas and each grid, unless all are there."""
    fitted = [line for line in competitors() if line.step_zero is not None]
    if all((_head(folder, canvas, line) / "config.json").is_file() for line in fitted):
        return
    words = ["fit", "--data", "instruct:train", "--limit", str(documents)]
    words += ["--calibration", "instruct:calibration", "--calibration_limit", str(calibration)]
    words += ["--canvas", str(canvas), "--method", ",".join((*READERS, *ALONE))]
    words += ["--step_zero", ",".join(("full", *GRIDS)), "--output", str(_heads(folder, canvas))]
    eosbench_command(words, prog_name="eosbench", standalone_mode=False)


def _heads(folder: Path, canvas: int) -> Path:
    return folder / f"heads-{canvas}"


def _head(folder: Path, canvas: int, line: Competitor) -> Path:
    """The folder of a line's predictor."""
    view = CanvasView.of(line.step_zero or "full")
    return _heads(folder, canvas) / folder_name(line.method, view)


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
    said = _said(line, chosen, canvas, folder, telemetry)
    rows = [json.loads(text) for text in telemetry.read_text("utf-8").splitlines()]
    costs = pd.DataFrame(rows).set_index("doc_id")[list(COSTS)]
    right = [answer == one.response for answer, one in zip(said, chosen, strict=True)]
    places = [int(one.id.rpartition("-")[2]) for one in chosen]
    return costs.loc[places].assign(exact=np.asarray(right, dtype=float))


def _said(
    line: Competitor, chosen: list[Instruction], canvas: int, folder: Path, telemetry: Path
) -> list[str]:
    """The texts of one competitor's answers."""
    given: dict[str, Any] = {"pretrained": line.pretrained, "batch_size": 16}
    given |= {"telemetry": str(telemetry)} | line.arguments
    requests = requests_for(chosen, canvas)
    if line.method == CAUSAL:
        twin = VarLenAR(**given)
        for request, one in zip(requests, chosen, strict=True):
            # The frame of a prompt in training; the reference is for varlen_dlm alone.
            prompt = twin.apply_chat_template([{"role": "user", "content": one.prompt}])
            request.arguments = (prompt, {"until": [], "max_gen_toks": canvas})
        return twin.generate_until(requests, disable_tqdm=True)
    given |= {"method": line.method, "max_gen_toks": canvas}
    if line.step_zero is not None:
        given["predictor"] = str(_head(folder, canvas, line))
    return VarLenDLM(**given).generate_until(requests, disable_tqdm=True)


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


def joined(kept: pd.DataFrame | None, table: pd.DataFrame) -> pd.DataFrame:
    """The lines of an earlier table that are not among the new ones, and behind them the new ones.

    The rival stays first.
    """
    if kept is None:
        return table
    old = kept[~kept["competitor"].isin(table["competitor"])]
    return pd.concat([table[:1], old, table[1:]], ignore_index=True)


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
    causal: Annotated[str | None, typer.Option(help="folder of an autoregressive model")] = None,
    void: Annotated[str | None, typer.Option(help="folder of a model of `eospad`")] = None,
    add: Annotated[bool, typer.Option("--add", help="keep the lines that are there")] = False,
) -> None:
    """Fits, answers, and writes the table and its areas, as CSV and Markdown, after every line."""
    folder.mkdir(parents=True, exist_ok=True)
    output.mkdir(parents=True, exist_ok=True)
    written = output / f"canvas-{canvas}.csv"
    kept = pd.read_csv(written) if add and written.is_file() else None
    known = set() if kept is None else {*kept["competitor"]} - {RIVAL}
    lines = [line for line in competitors(causal, void) if line.name not in known]
    if any(line.step_zero for line in lines):
        fit_for(canvas, folder, fitted, calibration)
    drawn = [one for one in instruct_documents("test", 2 * documents) if one.exact][:documents]
    lines.sort(key=lambda line: line.name != RIVAL)  # what the others are compared with comes first
    answers: dict[str, pd.DataFrame] = {}
    for line in track(lines, description="competitors"):
        answers[line.name] = answers_of(line, drawn[:few] if line.few else drawn, canvas, folder)
        table = joined(kept, table_of(answers))
        table.to_csv(written, index=False, float_format="%.5g")
        text = as_markdown(table)
        (output / f"canvas-{canvas}.md").write_text(text, encoding="utf-8")
        write_areas(output, canvas)
    print(as_markdown(joined(kept, table_of(answers))))


if __name__ == "__main__":
    app()
