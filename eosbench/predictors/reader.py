"""Length predictions for prompts, batch by batch, with one step zero for all methods.

A `LengthReader` holds one predictor, or all of a sweep's. Asked for a method, it runs step zero
once over each new prompt, lets every predictor it holds predict from it while the hidden states are
there, and (`keep=True`) remembers the answers: the second method costs no forward pass. Methods
share a pass that read the same part of the canvas (`step_zero`). What a method is charged for is
the same either way: the pass it reads, and its own head.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from eosbench.backbone import Backbone
from eosbench.canvas_view import CanvasView
from eosbench.forward import BatchSize, Need, StepZero, TimedBackbone, run_step_zero, text_only
from eosbench.predictors import FittedPredictor, view_of
from eosbench.records import LengthPrediction, Prompt

Key = tuple[tuple[int, ...], tuple[int, ...], CanvasView]


@dataclass(frozen=True, eq=False)
class Reading:
    """The predictions of one prompt, and what its step zero said.

    Attributes:
        predictions: method -> prediction.
        seconds: method -> its share of the time of the batch.
        model_seconds: the part of it that step zero spent inside the DLM.
        first_ND: hidden states of the first N positions of a canvas that is all masked, on the CPU,
            where the reader keeps them.
        eos_probability_C, eos_rank_C: per canvas position, where they were asked for and the pass
            ran the whole canvas.
    """

    predictions: dict[str, LengthPrediction] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    model_seconds: float = 0.0
    first_ND: torch.Tensor | None = None
    eos_probability_C: NDArray[np.float32] | None = None
    eos_rank_C: NDArray[np.int64] | None = None


class LengthReader:
    """Predictions of one or more fitted predictors on one backbone.

    Args:
        backbone: the model that step zero runs on.
        predictors: method -> fitted predictor.
        keep: remember every reading, for methods that are asked later (a sweep); otherwise memory
            does not grow with the prompts.
        first_positions: N, of how many positions at the start of a masked canvas the hidden states
            are kept in a reading, for decoding to start from.
    """

    def __init__(
        self,
        backbone: Backbone,
        predictors: Mapping[str, FittedPredictor],
        *,
        keep: bool = False,
        first_positions: int = 0,
    ) -> None:
        self.backbone = TimedBackbone(backbone)
        self.predictors = dict(predictors)
        self.first_positions = first_positions
        self._kept: dict[Key, Reading] | None = {} if keep else None

    def reads_dlm(self, method: str) -> bool:
        """True where the method reads step zero, and is charged for it."""
        return bool(self.predictors[method].row.needs)

    def read(
        self, method: str, prompts: Sequence[Prompt], batch_size: int, *, with_eos: bool = False
    ) -> Iterator[Reading]:
        """One reading a prompt, in order.

        Args:
            method: one of the predictors.
            prompts: of any lengths; neighbours of like length make better batches.
            batch_size: prompts per forward pass; halved, with a warning, when they do not fit into
                memory.
            with_eos: also the EOS probability and rank at every canvas position (for methods that
                read the DLM).
        """
        self.predictors[method].warn_of_cut([prompt.text for prompt in prompts])
        size, start = BatchSize(batch_size), 0
        while start < len(prompts):
            batch = prompts[start : start + size.limit]
            with size.halved_if_out_of_memory(len(batch)) as attempt:
                readings = self._read(method, batch, with_eos)
            if attempt.succeeded:
                yield from readings
                start += len(batch)

    def _read(self, method: str, batch: Sequence[Prompt], with_eos: bool) -> list[Reading]:
        """The readings of one batch, new or remembered."""
        if not _is_shared(self.predictors[method]):
            return self._predict({method: self.predictors[method]}, batch, with_eos=False)
        if self._kept is None:
            return self._predict({method: self.predictors[method]}, batch, with_eos)
        view = view_of(self.predictors[method].predictor)
        keys = [(prompt.ids, prompt.canvas, view) for prompt in batch]
        new = {key: one for key, one in zip(keys, batch, strict=True) if key not in self._kept}
        if new:
            shared = {
                name: fitted
                for name, fitted in self.predictors.items()
                if _is_shared(fitted) and view_of(fitted.predictor) == view
            }
            readings = self._predict(shared, list(new.values()), with_eos=True)
            self._kept.update(zip(new, readings, strict=True))
        return [self._kept[key] for key in keys]

    def _first_hidden(self, step: StepZero) -> list[torch.Tensor | None]:
        """The hidden states at the start of each canvas that is all masked, and of which all ran.

        None for any other.
        """
        found: list[torch.Tensor | None] = [None] * len(step.prompts)
        hidden_BCD = step.canvas_hidden_BCD
        if hidden_BCD is None or not self.first_positions:
            return found
        plain_BC = step.read("masked_BC") & step.read("scored_BC")
        for row, prompt in enumerate(step.prompts):
            canvas = len(prompt.canvas)
            if bool(plain_BC[row, :canvas].all()):
                first_ND = hidden_BCD[row, : min(self.first_positions, canvas)]
                found[row] = first_ND.to("cpu", copy=True)
        return found

    def _predict(
        self, fitted: Mapping[str, FittedPredictor], prompts: Sequence[Prompt], with_eos: bool
    ) -> list[Reading]:
        """One step zero, if any of the methods reads it, and the predictions of all from it.

        All methods read the same part of the canvas.
        """
        view = view_of(next(iter(fitted.values())).predictor)
        whole = [view.covers(len(prompt.canvas)) for prompt in prompts]
        with_eos = with_eos and any(whole)
        started, in_model = time.perf_counter(), self.backbone.seconds
        needs: set[Need] = {need for one in fitted.values() for need in one.row.needs}
        reads_dlm = bool(needs)
        if reads_dlm and self.first_positions:
            needs.add("hidden")
        if reads_dlm:
            more: set[Need] = {"eos"} if with_eos else set()
            step = run_step_zero(self.backbone, prompts, needs | more, view)
        else:
            step = text_only(prompts, self.backbone.spec.mask_id)
        pass_seconds = time.perf_counter() - started

        model_seconds = (self.backbone.seconds - in_model) / len(prompts)
        readings = [
            Reading(model_seconds=model_seconds, first_ND=first_ND)
            for first_ND in self._first_hidden(step)
        ]
        for method, one in fitted.items():
            started = time.perf_counter()
            for reading, prediction in zip(readings, one.predict(step), strict=True):
                reading.predictions[method] = prediction
            seconds = time.perf_counter() - started + (pass_seconds if one.row.needs else 0.0)
            for reading in readings:
                reading.seconds[method] = seconds / len(prompts)
        if not (reads_dlm and with_eos) or step.eos_rank_BC is None:
            return readings
        probability_BC = step.read("eos_probability_BC").float().cpu().numpy()
        rank_BC = step.read("eos_rank_BC").cpu().numpy()
        return [
            replace(
                reading,
                eos_probability_C=probability_BC[row, : len(prompt.canvas)],
                eos_rank_C=rank_BC[row, : len(prompt.canvas)],
            )
            if whole[row]
            else reading
            for row, (reading, prompt) in enumerate(zip(readings, prompts, strict=True))
        ]


def _is_shared(fitted: FittedPredictor) -> bool:
    """True where a prediction follows from prompt and canvas, and is worth remembering."""
    return bool(fitted.row.reads) and "reference" not in fitted.row.reads
