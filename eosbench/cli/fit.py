"""`eosbench fit`: the options of the command, and how they become one call of `fit_all`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from eosbench.cli import fit_bias
from eosbench.cli.fit_jobs import asked_jobs, asked_seeds
from eosbench.cli.listing import complete_methods
from eosbench.cli.shared import (
    BatchSize,
    ChatTemplate,
    Device,
    canvas_views,
    console,
    names,
)
from eosbench.command_lines import command_line, model_args_text
from eosbench.errors import ConfigurationError
from eosbench.places import CACHE_VARIABLE, USUAL_CACHE, check_folder, is_there

if TYPE_CHECKING:
    from eosbench.fitting import FitReport

CACHE = os.environ.get(CACHE_VARIABLE) or USUAL_CACHE


def fit(
    method: Annotated[
        str,
        typer.Option(
            help="all (that can be fitted), five, or names with commas; cal, for the constants "
            "of its length bias.",
            autocompletion=complete_methods,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            help="Folder of the predictor; of several methods, seeds or parts of the canvas, "
            "the folder of their folders."
        ),
    ],
    pretrained: Annotated[
        str, typer.Option(help="Folder or hub id of the diffusion language model, or embedded.")
    ] = "embedded",
    data: Annotated[
        str,
        typer.Option(
            help="A .jsonl or .csv file, a hub data set (owner/name), a known one with its use "
            "(gsm8k:train), or instruct:SPLIT."
        ),
    ] = "instruct:train",
    calibration: Annotated[
        str | None,
        typer.Option(
            help="As --data, for the calibration. By default a fifth of --data is held out for it."
        ),
    ] = None,
    prompt_column: Annotated[
        str,
        typer.Option(
            "--prompt_column", help="Column of the prompts, or a template: 'Question: {question}'."
        ),
    ] = "prompt",
    response_column: Annotated[
        str, typer.Option("--response_column", help="Column of the answers, or a template.")
    ] = "response",
    split: Annotated[str, typer.Option(help="Split of a hub data set.")] = "train",
    calibration_split: Annotated[
        str | None,
        typer.Option(
            "--calibration_split", help="Split of --calibration; by default that of --data."
        ),
    ] = None,
    data_config: Annotated[
        str, typer.Option("--data_config", help="Configuration of a hub data set.")
    ] = "default",
    canvas: Annotated[
        int,
        typer.Option(
            min=1,
            help="Tokens an answer may have: max_gen_toks of the evaluation. "
            "Longer ones are left out.",
        ),
    ] = 256,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Use the first documents of --data only.")
    ] = None,
    calibration_limit: Annotated[
        int | None,
        typer.Option(
            "--calibration_limit", min=1, help="Use the first documents of --calibration only."
        ),
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="Of the method, name=value. May be repeated.")
    ] = None,
    step_zero: Annotated[
        str,
        typer.Option(
            "--step_zero",
            help="The part of the canvas that methods read: full, grid:N (N positions of it), "
            "or prompt (none of it); several with commas fit a predictor for each.",
        ),
    ] = "full",
    seed: Annotated[
        str,
        typer.Option(help="Of weights and training; several with commas fit a predictor for each."),
    ] = "0",
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="At most so many; early stopping usually ends it before. By default 60, and 4 "
            "for a pretrained encoder that is fine-tuned.",
        ),
    ] = None,
    mixed_precision: Annotated[
        str,
        typer.Option(
            "--mixed_precision",
            help="Of the training: no, bf16 or fp16. The model itself runs in --dtype.",
        ),
    ] = "no",
    feature_store: Annotated[
        str,
        typer.Option(
            "--feature_store",
            help="Folder that keeps features of the model for later fits, and for one that is "
            "killed; none keeps nothing.",
        ),
    ] = f"{CACHE}/features",
    push_to_hub: Annotated[
        str | None,
        typer.Option(
            "--push_to_hub", help="Upload the predictor to this repository (owner/name) of the hub."
        ),
    ] = None,
    batch_size: BatchSize = None,
    device: Device = None,
    dtype: Annotated[
        str, typer.Option(help="Of the model's weights: float32, bfloat16, float16 or auto.")
    ] = "float32",
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(help="Folder or hub id of another tokenizer than the checkpoint's own."),
    ] = None,
    apply_chat_template: ChatTemplate = False,
    trust_remote_code: Annotated[
        bool,
        typer.Option("--trust_remote_code", help="Let the checkpoint's own tokenizer code run."),
    ] = False,
) -> None:
    """Runs `eosbench.fitting.fit_all`, and prints its table and what to type next."""
    from eosbench import embedded
    from eosbench.bounds import USUAL_ALPHA, least_alpha
    from eosbench.fitting import (
        FitData,
        Passes,
        TrainingSettings,
        apart,
        bound_task,
        check_jobs,
        check_model,
        check_places,
        fit_all,
        load_examples,
        possible_jobs,
        split_calibration,
    )
    from eosbench.predictors import push
    from model_adapters import load_backbone
    from model_adapters.varlen_dlm import Processes

    seeds, processes = asked_seeds(seed), Processes(device)
    model = partial(
        load_backbone,
        str(embedded.MODEL) if pretrained == embedded.NAME else pretrained,
        device=processes.device,
        dtype=dtype,
        revision=revision,
        tokenizer=tokenizer,
        trust_remote_code=trust_remote_code,
    )
    documents = partial(
        load_examples,
        chat=apply_chat_template,
        prompt_column=prompt_column,
        response_column=response_column,
        config=data_config,
    )
    source = Path(data).name if is_there(Path(data)) else data
    how: dict[str, Any] = {"pretrained": pretrained}
    how |= {} if tokenizer is None else {"tokenizer": tokenizer}
    how["max_gen_toks"] = canvas
    if fit_bias.METHOD in names(method):
        of_predictors: dict[str, object] = {"calibration": calibration, "option": option}
        of_predictors |= {"calibration_limit": calibration_limit, "epochs": epochs}
        of_predictors |= {"step_zero": step_zero != "full", "push_to_hub": push_to_hub}
        fit_bias.check_words(method, seeds, **of_predictors)
        check_folder(output, f"--output {output}")
        backbone = model()
        _check_canvas(canvas, backbone.spec.max_length)
        gaps = documents(data, backbone, limit=limit or fit_bias.USUAL_GAPS, split=split)
        if processes.rank == 0:
            found = fit_bias.fit_bias(
                backbone,
                FitData(gaps, [], source).on_canvas(backbone, canvas),
                name=pretrained,
                output=output,
                seed=seeds[0],
                batch_size=batch_size or 16,
            )
            console.print(fit_bias.bias_table(found))
            constants = fit_bias.constants(found)
            _say_next("varlen_instruct", **how, method=fit_bias.METHOD, **constants)
        return
    jobs = asked_jobs(method, output, seeds, option or [], canvas_views(step_zero))
    if push_to_hub is not None and len(jobs) > 1:
        raise ConfigurationError(
            f"--push_to_hub uploads one predictor, these are {len(jobs)}: "
            "name one method, one seed and one --step_zero"
        )
    if calibration is None and calibration_limit is not None:
        raise ConfigurationError(
            "--calibration_limit needs --calibration: without it a fifth of --data calibrates"
        )
    store = None if feature_store.lower() == "none" else Path(feature_store)
    check_jobs(jobs)
    check_places(jobs, store)
    training = TrainingSettings(epochs=epochs, mixed_precision=mixed_precision)
    backbone = model()
    if method == "all":
        jobs = possible_jobs(jobs, backbone.spec)
    check_model(jobs, backbone.spec)
    _check_canvas(canvas, backbone.spec.max_length)
    train = documents(data, backbone, limit=limit, split=split)
    if calibration is None:
        train, held_out = split_calibration(train)
    else:
        held_out = documents(
            calibration, backbone, limit=calibration_limit, split=calibration_split or split
        )
        train = apart(train, held_out)
    reports = fit_all(
        jobs,
        passes=Passes(backbone, canvas, batch_size or 16, processes),
        data=FitData(train, held_out, source),
        training=training,
        store=store,
    )
    if processes.rank != 0:
        return
    console.print(_table(reports))
    if push_to_hub is not None:
        console.print(f"Pushed to {push(output, push_to_hub)}", highlight=False, soft_wrap=True)
    first, alpha = jobs[0], least_alpha(reports[0].calibration_documents)
    _say_next(
        bound_task(data),
        **how,
        method=first.method,
        predictor=str(first.output),
        **({"alpha": alpha} if alpha > USUAL_ALPHA else {}),
    )


def _check_canvas(canvas: int, longest: int) -> None:
    if canvas >= longest:
        raise ConfigurationError(
            f"--canvas {canvas} leaves no room for a prompt: the model has {longest} positions"
        )


def _say_next(task: str, **model_args: Any) -> None:
    """Prints the command that measures what was fitted."""
    words = ("lm_eval", "--model", "varlen_dlm", "--model_args", model_args_text(**model_args))
    line = command_line(*words, "--tasks", task)
    console.print(f"Next: {line}", highlight=False, soft_wrap=True)


def _table(reports: Sequence[FitReport]) -> Table:
    """A row for each predictor: its folder, and its error at every unmasked fraction."""
    table = Table(title="fitted", title_justify="left")
    errors = [f"rmse at u={fraction}" for fraction in reports[0].scores]
    for heading in ("method", "folder", *errors):
        table.add_column(heading, overflow="fold")
    for report in reports:
        cells = [f"{score['rmse']:.1f}" for score in report.scores.values()]
        table.add_row(report.job.method, str(report.job.output), *cells)
    return table
