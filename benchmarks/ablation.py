"""`python -m benchmarks.ablation`: every recipe of `eosbench train`, several seeds, one table.

One base that has never seen an end (`text`) is trained first, and every recipe goes on from it.
Then each model gets its predictors, is asked for bounds, and answers on canvases of several sizes.
A stage that is done is not done again, and a training that was killed is resumed: start the command
as often as need be. The two tables in results/recipes are all that is committed of it.

    python -m benchmarks.ablation                                # two to three hours on two cores
    python -m benchmarks.ablation --recipes eoseos,hazard --seeds 0 --steps 20 --limit 20
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from eosbench.recipe import TEACHER, make_start
from eosbench.results import read_results

RECIPES = (
    "eoseos,eospad,rainbow,first_step,eos_only,hazard,curriculum,weighted,contrastive,consistency,"
    "policy,exact"
)
METHODS = ("smartcrop", "classification", "concat_regression", "average_regression")
TASKS = (
    "eos_upper_bound_u00",
    "eos_upper_bound_prefix",
    "eos_upper_bound_length_ood_u00",
    "eos_upper_bound_domain_ood_u00",
)
CANVASES = (64, 128, 256, 512)
KNOWN = ("eos_top1", "eos_prob", "eos_mrr", "eos_false")
AT_95 = ("overshoot", "compute_ratio", "coverage")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Stage:
    """A command, and the file that tells that it is done."""

    command: list[str]
    done: Path

    def run(self) -> None:
        """Runs the command unless it is done; the file is written when it has ended well."""
        if self.done.is_file():
            return
        print(*self.command, flush=True)
        subprocess.run([sys.executable, "-m", "eosbench", *self.command], check=True)
        self.done.parent.mkdir(parents=True, exist_ok=True)
        self.done.touch()


@dataclass(frozen=True)
class Plan:
    """The sizes of an ablation.

    Attributes:
        folder: of everything that is made.
        steps, base_steps: of a recipe and of the base.
        documents: to fit on; `calibration` of them calibrate.
        limit: documents a task.
    """

    folder: Path
    steps: int
    base_steps: int
    documents: int
    calibration: int
    limit: int

    def training(self, recipe: str, seed: int) -> Stage:
        """The training of one model: the base's from the start, a recipe's from the base."""
        output, base = self.folder / "models" / f"{recipe}-{seed}", recipe == "text"
        start = self.folder / "start" if base else self.folder / "models" / "text-0"
        flags = {
            "pretrained": start,
            "output": output,
            "seed": seed,
            "max_steps": self.base_steps if base else self.steps,
            "limit": 50_000,
            "held_out": "instruct:calibration",
            "batch_tokens": 3_072,
            "bf16": "true",
            "save_steps": 100,
            "disable_tqdm": "true",
        }
        if base:
            muon = {"optimizer": "muon", "learning_rate": 1.5e-3, "decay_share": 0.5}
            flags |= muon
        return Stage(["train", recipe, *_words(flags), "--resume"], output / "run" / "done")

    def evaluation(self, recipe: str, seed: int) -> Iterator[Stage]:
        """Predictors, bounds, and answers on every canvas."""
        name = f"{recipe}-{seed}"
        model, heads, found = (self.folder / part / name for part in ("models", "heads", "results"))
        fit = ["fit", "--pretrained", str(model), "--data", "instruct:train"]
        fit += ["--limit", str(self.documents), "--calibration", "instruct:calibration"]
        fit += ["--calibration_limit", str(self.calibration), "--canvas", "256"]
        rule = ["--option", "variant=threshold", "--option", "tau=0.9"]
        logit = [*fit, "--method", "logit", *rule, "--output", str(heads / "logit")]
        yield Stage(logit, heads / "logit.done")
        others = [*fit, "--method", ",".join(METHODS), "--output", str(heads)]
        yield Stage(others, heads / "others.done")
        sweep = ["sweep", "--limit", str(self.limit), "--batch_size", "16"]
        asked = f"pretrained={model},max_gen_toks=256,rounding=none"
        bounds = ["--methods", ",".join(("logit", *METHODS)), "--predictors", str(heads)]
        bounds += ["--model_args", asked, "--tasks", ",".join(TASKS)]
        yield Stage(
            [*sweep, *bounds, "--output_path", str(found / "bounds")], found / "bounds.done"
        )
        for canvas in CANVASES:
            fixed = ["--methods", "fixed", "--tasks", "varlen_instruct", "--model_args"]
            fixed += [f"pretrained={model},max_gen_toks={canvas}"]
            where = found / f"canvas-{canvas}"
            yield Stage(
                [*sweep, *fixed, "--output_path", str(where)], found / f"canvas-{canvas}.done"
            )


def _words(flags: dict[str, object]) -> list[str]:
    """Flags as words of a command line.

    >>> _words({"seed": 0})
    ['--seed', '0']
    """
    words: list[str] = []
    for name, value in flags.items():
        words += [f"--{name}", str(value)]
    return words


def row_of(plan: Plan, recipe: str, seed: int) -> dict[str, object]:
    """One line of the table, of a model that went through all stages."""
    name = f"{recipe}-{seed}"
    record = json.loads((plan.folder / "models" / name / "training.json").read_text("utf-8"))
    row: dict[str, object] = {"recipe": recipe, "seed": seed, "steps": record["steps"]}
    row |= {"seconds": record["seconds"], "text_loss": record["metrics"]["eval_loss"]}
    found = plan.folder / "results" / name
    frame = read_results(found / "bounds")
    task_of = frame["task"]
    for task in sorted(task_of.unique()):
        own = frame[(task_of == task) & (frame["method"] == "logit")]
        short = task.removeprefix("eos_upper_bound_")
        row |= {f"{metric}.{short}": own[metric].mean() for metric in KNOWN}
        for method, rows in frame[task_of == task].groupby("method"):
            row |= {f"{metric}.{method}.{short}": rows[metric].mean() for metric in AT_95}
    for canvas in CANVASES:
        answers = read_results(found / f"canvas-{canvas}")
        row[f"exact_match.{canvas}"] = answers["exact_match"].mean()
    return row


def summary(rows: pd.DataFrame) -> str:
    """The main columns as Markdown: a line a recipe, mean over seeds, deviation where it is."""
    shown = {f"{metric}.u00": metric for metric in KNOWN}
    shown |= {"eos_false.prefix_u50": "eos_false, half shown", "text_loss": "text loss"}
    for method in ("logit", *METHODS):
        shown[f"overshoot.{method}.u00"] = f"{method}: overshoot"
    shown |= {f"exact_match.{canvas}": f"exact at {canvas}" for canvas in CANVASES}
    shown["seconds"] = "seconds"
    lines = [f"| recipe | seeds | {' | '.join(shown.values())} |"]
    lines.append("| --- | ---: |" + " ---: |" * len(shown))
    for recipe, own in rows.groupby("recipe", sort=False):
        cells = [_cell(own[column]) if column in own else "" for column in shown]
        lines.append(f"| {recipe} | {len(own)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(values: pd.Series) -> str:
    """Mean of a column, and its deviation over seeds.

    >>> _cell(pd.Series([1.0, 3.0])), _cell(pd.Series([2.0]))
    ('2.000 ± 1.414', '2.000')
    """
    if values.isna().all():
        return "–"
    spread = f" ± {values.std():.3f}" if len(values) > 1 else ""
    return f"{values.mean():.3f}{spread}"


@app.command()
def main(
    recipes: Annotated[str, typer.Option(help="with commas")] = RECIPES,
    seeds: Annotated[str, typer.Option(help="with commas")] = "0,1,2",
    steps: Annotated[int, typer.Option(help="of a recipe")] = 600,
    base_steps: Annotated[int, typer.Option(help="of the base")] = 2_500,
    documents: Annotated[int, typer.Option(help="to fit on")] = 1_000,
    calibration: Annotated[int, typer.Option(help="to calibrate on")] = 400,
    limit: Annotated[int, typer.Option(help="documents a task")] = 200,
    folder: Annotated[Path, typer.Option(help="of all that is made")] = Path("build/ablation"),
    output: Annotated[Path, typer.Option(help="of the tables")] = Path("results/recipes"),
) -> None:
    """Runs what is not done yet, then writes the tables of all that is."""
    plan = Plan(folder, steps, base_steps, documents, calibration, limit)
    if not (folder / "start" / "config.json").is_file():
        make_start(folder / "start", teacher=TEACHER if TEACHER.is_dir() else None)
    models = [("text", 0)]
    models += [(recipe, int(seed)) for recipe in recipes.split(",") for seed in seeds.split(",")]
    rows = []
    for recipe, seed in models:
        plan.training(recipe, seed).run()
        for stage in plan.evaluation(recipe, seed):
            stage.run()
        rows.append(row_of(plan, recipe, seed))
        _write(pd.DataFrame(rows), output)
    print(f"{len(rows)} models: {output}")


def _write(rows: pd.DataFrame, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    rows.to_csv(output / "recipes.csv", index=False)
    (output / "recipes.md").write_text(summary(rows), encoding="utf-8")


if __name__ == "__main__":
    app()
