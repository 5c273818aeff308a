"""One training run: from settings to a checkpoint that its own family loads.

What is written into the output folder is the model alone: config, tokenizer, safetensors, a card
and training.json, which says how it came about. What a run needs to go on (optimizer and generator
states, which are pickles) stays in its folder `run/`, is read from there with --resume, and is
never uploaded.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from transformers import TrainingArguments

from eosbench import embedded
from eosbench.errors import ConfigurationError
from eosbench.training.arguments import said
from eosbench.training.card import training_card
from eosbench.training.data import Data, read_data
from eosbench.training.denoiser import Denoiser
from eosbench.training.layout import filler_names
from eosbench.training.lora import add_lora, merge_lora
from eosbench.training.protocol import TrainableModel
from eosbench.training.resume import (
    RECORD,
    SAME,
    check_output,
    checkpoint_to_resume,
    plain,
    write_json,
)
from eosbench.training.settings import Settings
from eosbench.training.trainer import DenoisingTrainer

logger = logging.getLogger(__name__)

SCHEMA = 1


def train(
    recipe: str,
    settings: Settings,
    arguments: TrainingArguments,
    *,
    load: Callable[..., TrainableModel],
) -> Path:
    """Trains, evaluates and writes; returns the output folder.

    Args:
        recipe: its name, for training.json.
        settings, arguments: of `parse`.
        load: `model_adapters.load_trainable`.

    Raises:
        ConfigurationError: an output folder that cannot be written or holds something else, or
            settings that do not fit the model, the data, or the run that is resumed.
    """
    started = time.perf_counter()
    check_output(settings, arguments)
    push, arguments.push_to_hub = arguments.push_to_hub, False  # the run's folder is never uploaded
    model = load(
        str(embedded.MODEL) if settings.pretrained == embedded.NAME else settings.pretrained,
        revision=settings.revision,
        attn_implementation=settings.attn_implementation,
        dropout=settings.dropout,
        trust_remote_code=settings.trust_remote_code,
    )
    start = {"name": settings.pretrained, "fingerprint": model.spec.fingerprint}
    causal = settings.noise == "causal"
    if causal and not model.spec.logits_shifted:
        raise ConfigurationError(
            f"--noise causal trains a model whose states score the next token, and those of "
            f"{settings.pretrained} ({model.spec.family}) score their own: start from an "
            "autoregressive model (GPT-2, LLaMA, Qwen)"
        )
    if settings.grid_share and not model.spec.takes_positions:
        raise ConfigurationError(
            f"--grid_share {settings.grid_share}: {settings.pretrained} ({model.spec.family}) "
            "cannot be told which positions a pass leaves out: leave it out"
        )
    fillers = (
        model.add_tokens(filler_names(settings.layout)) if filler_names(settings.layout) else []
    )
    if fillers:
        model.ends_with(fillers)
    if settings.canvas >= model.spec.max_length:
        raise ConfigurationError(
            f"--canvas {settings.canvas} leaves no room for a prompt: the model has "
            f"{model.spec.max_length} positions"
        )
    if settings.lora_rank:
        add_lora(
            model.model,
            rank=settings.lora_rank,
            alpha=settings.lora_alpha,
            targets=settings.lora_targets,
            new_tokens=fillers,
        )
    data = read_data(settings, arguments, model, fillers)
    arguments.max_steps = data.batches.steps
    evaluates = bool(data.held_out) and not causal  # step zero is what is looked at
    if not evaluates:
        arguments.eval_strategy = type(arguments.eval_strategy)("no")
    denoiser = Denoiser(
        model,
        objective=settings.objective,
        denoise=settings.denoise_weight,
        auxiliary={
            "contrastive": settings.contrastive_weight,
            "consistency": settings.consistency_weight,
        },
    )
    trainer = _trainer(denoiser, settings, arguments, data)
    found = checkpoint_to_resume(
        settings, arguments, {**start, **data.facts}, first=trainer.is_world_process_zero()
    )
    trainer.train(resume_from_checkpoint=found)
    metrics = trainer.evaluate() if evaluates else {}
    output = Path(settings.output)
    if trainer.is_world_process_zero():
        if settings.lora_rank:
            merge_lora(model.model)
        model.export(output, dtype=settings.export_dtype)
        record = {
            "schema": SCHEMA,
            "recipe": recipe,
            "seed": arguments.seed,
            "steps": trainer.state.global_step,
            "start": start,
            "settings": said(settings),
            "arguments": {name: plain(getattr(arguments, name)) for name in SAME},
            "micro_batches": data.batches.per_step,
            "data": data.facts,
            "metrics": metrics,
            "seconds": round(trainer.seconds, 1),
            "versions": {name: version(name) for name in ("eosbench", "torch", "transformers")},
            "log": trainer.state.log_history,
        }
        write_json(output / RECORD, record)
        (output / "README.md").write_text(training_card(record, output.name), encoding="utf-8")
        logger.info("%s: %.0f s in all", output, time.perf_counter() - started)
        if push:
            logger.info("pushed to %s", _push(output, arguments))
    trainer.accelerator.wait_for_everyone()
    return output


def _trainer(
    denoiser: Denoiser, settings: Settings, arguments: TrainingArguments, data: Data
) -> DenoisingTrainer:
    try:
        return DenoisingTrainer(
            denoiser,
            arguments,
            train_dataset=data.batches,
            held_out=data.held_out,
            canvas=settings.canvas,
            matrix_learning_rate=(
                settings.matrix_learning_rate if settings.optimizer == "muon" else None
            ),
            decay_share=settings.decay_share,
        )
    except (ImportError, RuntimeError, ValueError) as error:  # a tracker that is not installed
        raise ConfigurationError(" ".join(str(error).split())) from error


def _push(folder: Path, arguments: TrainingArguments) -> str:
    from huggingface_hub import HfApi

    hub = HfApi(token=arguments.hub_token)
    created = hub.create_repo(
        arguments.hub_model_id or folder.name,
        private=arguments.hub_private_repo,
        exist_ok=True,
    )
    hub.upload_folder(
        folder_path=folder,
        repo_id=created.repo_id,
        revision=arguments.hub_revision,
        allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "README.md"],
        ignore_patterns=["run/*"],
        commit_message="eosbench train",
    )
    return str(created)
