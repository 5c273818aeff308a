"""From the settings to micro-batches and held-out documents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from eosbench.errors import ConfigurationError
from eosbench.training.batch import MakeBatch, make_batch
from eosbench.training.checks import parsed_shares
from eosbench.training.layout import Document
from eosbench.training.pairs import PairBatches
from eosbench.training.protocol import TrainableModel
from eosbench.training.schedule import geometric, staircase
from eosbench.training.settings import Settings
from eosbench.training.streams import TextBatches, held_out_text, open_text
from eosbench.training.texts import Counts, Source, documents_digest, hold_out, read_documents


@dataclass(frozen=True)
class Data:
    """Documents to train and to evaluate on.

    Attributes:
        batches: item i is micro-batch i.
        held_out: documents for the monitor.
        facts: of training.json.
    """

    batches: Any
    held_out: list[Document]
    facts: dict[str, Any]


def read_data(
    settings: Settings, arguments: TrainingArguments, model: TrainableModel, fillers: Sequence[int]
) -> Data:
    """Documents of all sources as micro-batches, and those that are held out."""
    per_step = arguments.gradient_accumulation_steps * arguments.world_size
    seed = arguments.seed if arguments.data_seed is None else arguments.data_seed
    make = partial(
        make_batch,
        layout=settings.layout,
        noise=settings.noise,
        eos_id=model.eos_id,
        mask_id=model.spec.mask_id,
        pad_id=model.spec.pad_id,
        fillers=fillers,
        full_share=settings.full_share,
        block_length=settings.block_length,
        weights={
            "text": settings.text_weight,
            "eos": settings.eos_weight,
            "filler": settings.filler_weight,
            "inverse_share": settings.inverse_share,
            "row_norm": settings.row_norm,
        },
        anneal_steps=settings.anneal_steps,
        views=2 if settings.consistency_weight else 1,
        draws=settings.draws if settings.objective == "policy" else 0,
    )
    if _is_text(settings):
        return _read_text(settings, arguments, model, make, per_step=per_step, seed=seed)
    return _read_pairs(settings, arguments, model, make, per_step=per_step, seed=seed)


def _is_text(settings: Settings) -> bool:
    """Whether the data is plain text: a column of it is named, or files hold nothing else."""
    return settings.text_column is not None or Path(settings.data[0]).suffix in (".txt", ".parquet")


def _read_text(
    settings: Settings,
    arguments: TrainingArguments,
    model: TrainableModel,
    make: MakeBatch,
    *,
    per_step: int,
    seed: int,
) -> Data:
    if len(settings.data) != 1 or arguments.max_steps <= 0:
        raise ConfigurationError(
            "streamed text comes from one source and has no last document: name one --data and say "
            "--max_steps"
        )
    if settings.grid_share:
        raise ConfigurationError(
            f"--grid_share {settings.grid_share}: a grid is one of the canvas behind a prompt, and "
            "streamed text has none: leave it out"
        )
    source, column = settings.data[0], settings.text_column or "text"
    text = open_text(source, config=settings.data_config, split=settings.split)
    own = not settings.held_out
    held_out = (
        held_out_text(
            text, model.tokenizer, column, most=settings.held_out_documents, size=settings.canvas
        )
        if own
        else _held_out(settings, model)
    )
    batches = TextBatches(
        text,
        model.tokenizer,
        make=make,
        seed=seed,
        steps=arguments.max_steps,
        per_step=per_step,
        rows=arguments.per_device_train_batch_size,
        canvas=settings.canvas,
        column=column,
        pack=settings.layout == "text",
        shuffle=settings.shuffle_buffer,
        skip=settings.held_out_documents if own else 0,
    )
    facts = {"sources": [source], "streamed": True, "held_out": len(held_out)}
    return Data(batches, held_out, {**facts, "held_out_digest": documents_digest(held_out)})


def _read_pairs(
    settings: Settings,
    arguments: TrainingArguments,
    model: TrainableModel,
    make: MakeBatch,
    *,
    per_step: int,
    seed: int,
) -> Data:
    documents, prompts, counts = _documents(settings, model, settings.data, settings.limit)
    held_out: list[Document] = []
    if settings.held_out:
        held_out = _held_out(settings, model)
        asked = {tuple(document.prompt) for document in held_out}
        documents = [one for one in documents if tuple(one.prompt) not in asked]
    elif settings.held_out_share and settings.held_out_documents:
        documents, held_out = hold_out(
            documents, prompts, settings.held_out_share, settings.held_out_documents
        )
    if not documents:
        raise ConfigurationError("--data: all documents are held out: give more of them")
    shares = parsed_shares(settings.shares)
    sizes = {family: float(count) for family, count in counts.families.items()}
    steps = _steps(arguments, documents, settings.batch_tokens, per_step)
    batches = PairBatches(
        documents,
        make=make,
        seed=seed,
        steps=steps,
        per_step=per_step,
        tokens=settings.batch_tokens,
        rows=arguments.per_device_train_batch_size,
        canvas=settings.canvas,
        windows=settings.windows,
        longest=_longest(settings, steps),
        free_share=settings.free_share,
        shares=sizes if shares is None else shares,
        flows=settings.layout == "text",
        grid=settings.grid,
        grid_share=settings.grid_share,
    )
    facts = {
        "sources": list(settings.data),
        "digest": documents_digest(documents),
        "documents": len(documents),
        "held_out": len(held_out),
        "held_out_digest": documents_digest(held_out),
        "counts": asdict(counts),
    }
    return Data(batches, held_out, facts)


def _documents(
    settings: Settings, model: TrainableModel, names: Sequence[str], limit: int | None
) -> tuple[list[Document], list[str], Counts]:
    many = len(settings.data)
    prompts, responses = (
        column * many if len(column) == 1 else column
        for column in (settings.prompt_column, settings.response_column)
    )
    sources = [
        Source(name, prompt, response, settings.data_config, settings.split)
        for name, prompt, response in zip(names, prompts, responses, strict=False)
    ]
    return read_documents(
        sources,
        model.tokenizer,
        room=model.spec.max_length - settings.canvas,
        canvas=settings.canvas,
        limit=limit,
        chat=settings.apply_chat_template,
    )


def _held_out(settings: Settings, model: TrainableModel) -> list[Document]:
    most = settings.held_out_documents
    documents, _, _ = _documents(settings, model, settings.held_out, most)
    return [document for document in documents if document.ends][:most]


def _longest(settings: Settings, steps: int) -> Callable[[int], int] | None:
    """Optimizer step -> tokens that an answer has at most."""
    if settings.curriculum == "staircase":
        start, every = settings.curriculum_start, settings.curriculum_every
        return partial(staircase, start=start, every=every)
    if settings.curriculum == "geometric":
        return partial(_geometric_at, steps=steps, canvas=settings.canvas)
    return None


def _geometric_at(step: int, *, steps: int, canvas: int) -> int:
    return geometric((step + 1) / steps, canvas)


def _steps(
    arguments: TrainingArguments, documents: Sequence[Document], tokens: int, per_step: int
) -> int:
    """Optimizer steps: as many as were asked for, else those of the epochs."""
    if arguments.max_steps > 0:
        return arguments.max_steps
    rows = float(arguments.per_device_train_batch_size)
    if tokens:
        mean = sum(len(one.prompt) + one.length for one in documents) / len(documents)
        rows = tokens / mean
    return max(1, round(arguments.num_train_epochs * len(documents) / (rows * per_step)))
