"""Going on with a run that was stopped: from its own folder, under its own settings."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from eosbench.errors import ConfigurationError
from eosbench.places import check_folder
from eosbench.training.settings import Settings

logger = logging.getLogger(__name__)

# Of transformers' arguments: what a resumed run must share with the one that it goes on with.
SAME = (
    "max_steps",
    "learning_rate",
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
    "warmup_steps",
    "lr_scheduler_type",
    "max_grad_norm",
    "per_device_train_batch_size",
    "seed",
    "data_seed",
    "bf16",
    "fp16",
    "optim",
)
RECORD = "training.json"  # stands in every folder of a trained model
FREE = ("output", "resume", "export_dtype", "held_out_documents", "trust_remote_code")


def check_output(settings: Settings, arguments: TrainingArguments) -> None:
    """Tries the folders that a training will write to, before anything is loaded.

    Args:
        settings, arguments: of the run.

    Raises:
        ConfigurationError: one of them cannot be written, holds files of something else than a
            training, or a run that nobody asked to go on with.
    """
    output, run = Path(settings.output), Path(str(arguments.output_dir))
    check_folder(output, f"--output {output}")
    check_folder(run, f"--output_dir {run}")
    names = sorted(path.name for path in output.iterdir()) if output.is_dir() else []
    if names and not {RECORD, run.name} & set(names):
        raise ConfigurationError(
            f"--output {output}: it holds {', '.join(names[:3])}{', ...' if names[3:] else ''} and "
            f"no {RECORD}, so that it is no folder of a training: choose a new or an empty one"
        )
    if not settings.resume:
        _refuse_run(run)


def _refuse_run(folder: Path) -> None:
    """Refuses a folder with a run that nobody asked to go on with."""
    if folder.is_dir() and get_last_checkpoint(str(folder)) is not None:
        raise ConfigurationError(
            f"{folder} holds a run already: go on with it (--resume), or choose another --output"
        )


def checkpoint_to_resume(
    settings: Settings, arguments: TrainingArguments, facts: Mapping[str, Any], *, first: bool
) -> str | None:
    """The checkpoint to go on from, None to start; the run's settings are written or compared.

    Args:
        settings, arguments: of this run.
        facts: `fingerprint` of the model it starts from, `digest` of its documents.
        first: whether this process writes.

    Raises:
        ConfigurationError: the folder holds another run.
    """
    folder = Path(str(arguments.output_dir))
    last: str | None = get_last_checkpoint(str(folder)) if folder.is_dir() else None
    now = {
        **{name: value for name, value in asdict(settings).items() if name not in FREE},
        **{name: plain(getattr(arguments, name)) for name in SAME},
        "micro_batches": arguments.gradient_accumulation_steps * arguments.world_size,
        "data_digest": facts.get("digest"),
        "fingerprint": facts["fingerprint"],
    }
    path = folder / "run.json"
    if last is None:
        if first:
            write_json(path, now)
        return None
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    now = json.loads(json.dumps(now))
    for name in now:
        if before.get(name) != now[name]:
            raise ConfigurationError(
                f"--resume: {name} is {now[name]!r}, the run in {folder} has {before.get(name)!r}: "
                "say the same, or choose another --output"
            )
    logger.info("going on from %s", last)
    return last


def write_json(path: Path, value: Any) -> None:
    """Writes a value as indented JSON; the folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def plain(value: Any) -> Any:
    """The value itself, or that of an enumeration."""
    return getattr(value, "value", value)
