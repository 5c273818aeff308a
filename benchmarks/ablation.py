"""`python -m benchmarks.ablation`: every recipe of `eosbench train`, several seeds, one table.

One base that has never seen an end (`text`) is trained first, and every recipe goes on from it.
Then each model gets its predictors, is asked for bounds, and answers on canvases of several sizes.
A stage that is done is not done again, and a training that was killed is resumed: start the command
as often as need be. The tables in results/recipes (ablation_tables.py, head_or_training.py) are all
that is committed of it, and hold whatever is finished.

    python -m benchmarks.ablation                                # two to three hours on two cores
    python -m benchmarks.ablation --recipes eoseos,hazard --seeds 0 --steps 20 --limit 20
    python -m benchmarks.ablation --tables-only                  # of what is there, in seconds
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.ablation_results import BASE, CANVASES, METHODS, Model, finished, read_model
from benchmarks.ablation_tables import write_tables
from benchmarks.head_or_training import write_comparison
from eosbench.cli import app as eosbench_command
from eosbench.recipe import TEACHER, make_start

RECIPES = (
    "eoseos,eospad,rainbow,first_step,eos_only,hazard,curriculum,weighted,contrastive,consistency,"
    "policy,exact"
)
TASKS = (
    "eos_upper_bound_u00",
    "eos_upper_bound_prefix",
    "eos_upper_bound_length_ood_u00",
    "eos_upper_bound_domain_ood_u00",
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Stage:
    """A command of eosbench, and the file that tells that it is done.

    Attributes:
        command: its words.
        done: written when it has ended well.
        apart: whether it gets a process of its own. A training does, for what it sets in torch;
            the others would spend more time on their imports than on their work.
    """

    command: list[str]
    done: Path
    apart: bool = False

    def run(self) -> None:
        """Runs the command unless it is done."""
        if self.done.is_file():
            return
        print(*self.command, flush=True)
        if self.apart:
            subprocess.run([sys.executable, "-m", "eosbench", *self.command], check=True)
        else:
            eosbench_command(self.command, prog_name="eosbench", standalone_mode=False)
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
        output, base = self.folder / "models" / f"{recipe}-{seed}", recipe == BASE
        start = self.folder / "start" if base else self.folder / "models" / f"{BASE}-0"
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
        command = ["train", recipe, *_words(flags), "--resume"]
        return Stage(command, output / "run" / "done", apart=True)

    def evaluation(self, recipe: str, seed: int) -> Iterator[Stage]:
        """Predictors, bounds, and answers on every canvas.

        The base answers nothing: it has never seen an end, and would fill every canvas to its last
        position, one token a pass.
        """
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
        for canvas in () if recipe == BASE else CANVASES:
            fixed = ["--methods", "fixed", "--tasks", "varlen_instruct", "--model_args"]
            # The canvas is one block, and what is sure is placed at once: fillers behind the
            # answer are free to end it early, and a canvas of 512 costs a few passes.
            free = f"block_length={canvas},threshold=0.9"
            fixed += [f"pretrained={model},max_gen_toks={canvas},{free}"]
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
    tables_only: Annotated[
        bool, typer.Option("--tables-only", help="run nothing: the tables of what is finished")
    ] = False,
) -> None:
    """Runs what is not done yet, then writes the tables of all that is."""
    order, known = recipes.split(","), dict[tuple[str, int], Model]()
    if tables_only:
        if not finished(folder, order):
            raise typer.BadParameter(f"{folder} holds no finished model: run the ablation first")
        write_all(folder, order, output, known)
        return
    plan = Plan(folder, steps, base_steps, documents, calibration, limit)
    if not (folder / "start" / "config.json").is_file():
        make_start(folder / "start", teacher=TEACHER if TEACHER.is_dir() else None)
    planned = [(BASE, 0)]
    planned += [(recipe, int(seed)) for seed in seeds.split(",") for recipe in order]
    for recipe, seed in planned:
        plan.training(recipe, seed).run()
        for stage in plan.evaluation(recipe, seed):
            stage.run()
        known.pop((recipe, seed), None)  # more of it is done than when it was read
        write_all(folder, order, output, known)


def write_all(
    folder: Path, order: Sequence[str], output: Path, known: dict[tuple[str, int], Model]
) -> None:
    """Writes the tables of every finished model, and says how many there are.

    Args:
        folder: of the ablation.
        order: of the recipes in the tables.
        output: of the tables.
        known: models that were read before; those that were not are put there.
    """
    there = finished(folder, order)
    for one in there:
        if one not in known:
            known[one] = read_model(folder, *one)
    models = [known[one] for one in there]
    write_tables(models, output)
    write_comparison(models, folder / "heads" / f"{BASE}-0", output)
    print(f"{len(models)} models: {output}", flush=True)


if __name__ == "__main__":
    app()
