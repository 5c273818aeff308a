"""`eosbench train`: a recipe or a file, then any field of the settings or of TrainingArguments.

The help lists recipes and settings without loading torch; what the words mean is settled by
eosbench.training.parse.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated

import typer
from rich.table import Table

from eosbench.cli.shared import console


def train(
    context: typer.Context,
    recipe: Annotated[
        str | None, typer.Argument(help="A recipe, or a .yaml or .json file of settings.")
    ] = None,
) -> None:
    """Train a model to say where its answer ends: RECIPE|FILE [--name value ...].

    Every field of transformers' TrainingArguments is a flag too (--learning_rate, --max_steps,
    --bf16, --gradient_accumulation_steps, --report_to, --push_to_hub, ...). Without a recipe, the
    recipes and the other settings are listed.
    """
    if recipe is None and not context.args:
        _list()
        raise typer.Exit
    from eosbench.training import parse
    from eosbench.training import train as run_training
    from model_adapters import load_trainable

    parsed = parse([*([recipe] if recipe else []), *context.args])

    output = run_training(*parsed, load=load_trainable)
    settings = parsed[1]
    console.print(f"Written to {output}", highlight=False, soft_wrap=True)
    following = (
        f"eosbench fit --pretrained {output} --canvas {settings.canvas} --method five "
        f"--data ... --output heads/{output.name}"
    )
    if settings.noise == "causal":
        following = f"lm_eval --model varlen_ar --model_args pretrained={output} --tasks ..."
    console.print(f"Next: {following}", highlight=False, soft_wrap=True)


def _list() -> None:
    """Recipes and settings, one a line."""
    from eosbench.training import Settings, describe, recipe_names

    recipes = Table(title="recipes", title_justify="left", box=None, show_header=False)
    for name in recipe_names():
        recipes.add_row(name, describe(name))
    console.print(recipes)
    settings = Table(title="settings", title_justify="left", box=None, show_header=False)
    for one in fields(Settings):
        settings.add_row(f"--{one.name}", one.metadata["help"])
    console.print(settings)
