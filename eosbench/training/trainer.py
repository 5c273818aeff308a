"""transformers' Trainer around a denoiser: batches by index, two optimizers as one, held-out ends.

All of the Trainer's settings hold (accumulation, bf16, several processes, reporting, resuming).
What is changed: micro-batches are asked for by their index in order; the learning rate may be a
trapezoid; evaluation is step zero on held-out documents; a checkpoint of a run holds no pickled
settings.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from safetensors.torch import load_model, save_model
from transformers import ProgressCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.utils import SAFE_WEIGHTS_NAME

from eosbench.training.denoiser import Denoiser
from eosbench.training.layout import Document
from eosbench.training.monitor import read_held_out, summary
from eosbench.training.muon import muon_with_adamw
from eosbench.training.schedule import trapezoid

SHOWN = ("loss", "eval_loss", "eval_eos_top1", "eval_eos_false", "eval_coverage")


class DenoisingTrainer(Trainer):
    """Trains a denoiser on batches that are functions of their index.

    Args:
        model: model and objective.
        args: transformers' own.
        train_dataset: item i is micro-batch i.
        held_out: documents for the monitor; none: no evaluation.
        canvas: positions behind a prompt, for the monitor.
        matrix_learning_rate: of Muon, for the matrices of the blocks; None: the optimizer of `args`
            for all weights.
        decay_share: of the steps, over which the learning rate falls to zero; None: the schedule of
            `args`.
    """

    def __init__(
        self,
        model: Denoiser,
        args: TrainingArguments,
        *,
        train_dataset: torch.utils.data.Dataset[Any],
        held_out: Sequence[Document] = (),
        canvas: int = 256,
        matrix_learning_rate: float | None = None,
        decay_share: float | None = None,
        callbacks: list[TrainerCallback] | None = None,
    ) -> None:
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_dataset,
            eval_dataset=list(held_out) or None,
            callbacks=callbacks,
        )
        self.held_out, self.canvas = list(held_out), canvas
        self.matrix_learning_rate, self.decay_share = matrix_learning_rate, decay_share
        self._clock: tuple[float, float] | None = None
        self._parts: dict[str, list[torch.Tensor]] = defaultdict(list)
        if self.pop_callback(ProgressCallback) is not None:
            self.add_callback(ProgressWithEnds())
        model.trainable.to(self.args.device)

    @property
    def denoiser(self) -> Denoiser:
        """Model and objective, without what accelerate wraps around them."""
        found: Denoiser = self.accelerator.unwrap_model(self.model)
        return found

    @property
    def seconds(self) -> float:
        """Of the whole run, those before it was resumed included."""
        if self._clock is None:
            before = [line["seconds"] for line in self.state.log_history if "seconds" in line]
            self._clock = (time.perf_counter(), before[-1] if before else 0.0)
        started, before_that = self._clock
        return before_that + time.perf_counter() - started

    def get_train_dataloader(self) -> Any:
        """Micro-batches in order; accelerate gives each process its own."""
        args = self.args
        workers = args.dataloader_num_workers
        batches: Any = self.train_dataset
        loader = torch.utils.data.DataLoader(
            batches,
            batch_size=1,
            shuffle=False,
            collate_fn=only,
            num_workers=workers,
            pin_memory=args.dataloader_pin_memory and torch.cuda.is_available(),
            persistent_workers=args.dataloader_persistent_workers and workers > 0,
            multiprocessing_context=args.dataloader_multiprocessing_context if workers else None,
            prefetch_factor=args.dataloader_prefetch_factor if workers else None,
        )
        return self.accelerator.prepare(loader)

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """Muon with AdamW where the recipe says so, else the Trainer's own."""
        if self.optimizer is None and self.matrix_learning_rate is not None:
            inner = self.denoiser.model
            self.optimizer = muon_with_adamw(
                inner,
                largest_list(inner),
                matrix_learning_rate=self.matrix_learning_rate,
                learning_rate=self.args.learning_rate,
                weight_decay=self.args.weight_decay,
                betas=(self.args.adam_beta1, self.args.adam_beta2),
            )
        return super().create_optimizer(model)

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """The trapezoid where the recipe says so, else the Trainer's own."""
        optimizer = optimizer or self.optimizer
        if self.lr_scheduler is None and self.decay_share is not None and optimizer is not None:
            share, warmup = self.decay_share, self.args.get_warmup_steps(num_training_steps)
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                optimizer,
                lambda step: trapezoid(
                    step, steps=num_training_steps, warmup=warmup, decay_share=share
                ),
            )
            self._created_lr_scheduler = True
        return super().create_scheduler(num_training_steps, optimizer)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The Trainer's own, which calls the wrapped model; parts of the loss are kept to log."""
        loss, outputs = super().compute_loss(
            model, inputs, return_outputs=True, num_items_in_batch=num_items_in_batch
        )
        for name, part in outputs.items():
            if name != "loss" and len(outputs) > 2:
                self._parts[name].append(part.detach())
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the means of the loss's parts since the last line, and the seconds of the run."""
        logs["seconds"] = round(self.seconds, 1)
        if "loss" in logs and self._parts:
            means = {name: torch.stack(parts).mean() for name, parts in self._parts.items()}
            logs |= {f"loss_{name}": float(mean) for name, mean in means.items()}
            self._parts.clear()
        super().log(logs, start_time)

    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        """Step zero on the held-out documents, a share of them in each process."""
        own = self.held_out[self.args.process_index :: self.args.world_size]
        self.denoiser.eval()
        with self.accelerator.autocast():
            readings = read_held_out(
                self.denoiser.trainable.backbone,
                own,
                canvas=self.canvas,
                batch_size=self.args.per_device_eval_batch_size,
            )
        found = summary(gather_object(readings))
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in found.items()}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Weights alone, those that stand twice once; the settings are in run.json."""
        if self.args.should_save:
            folder = Path(output_dir or str(self.args.output_dir))
            folder.mkdir(parents=True, exist_ok=True)
            save_model(self.denoiser, str(folder / SAFE_WEIGHTS_NAME))

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: torch.nn.Module | None = None
    ) -> None:
        load_model(self.denoiser, str(Path(resume_from_checkpoint) / SAFE_WEIGHTS_NAME))


class ProgressWithEnds(ProgressCallback):
    """One bar; beside it the loss and what held-out documents say of ends."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: dict[str, str] = {}

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Shows the newest numbers."""
        bar: Any = self.training_bar
        if not state.is_world_process_zero or bar is None:
            return
        for name in SHOWN:
            if name in (logs or {}):
                self.shown[name] = f"{logs[name]:.3g}"
        bar.set_postfix(self.shown)


def only(batches: Sequence[Any]) -> Any:
    """The single element of a list: micro-batches are made whole."""
    return batches[0]


def largest_list(model: torch.nn.Module) -> torch.nn.Module:
    """A model's transformer blocks: the list of modules with the most weights."""
    lists = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    return max(lists, key=lambda module: sum(p.numel() for p in module.parameters()))
