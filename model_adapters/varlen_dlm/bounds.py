"""From a generation request to its bound: what the predictor is shown, and what comes of it.

A predictor sees the prompt and the canvas. The reference answer, which requests of the EOS
upper-bound benchmark carry, fills in the revealed tokens of that canvas and is compared with the
bound afterwards; only a method that reads the reference (`oracle`) is told its length.

Legend: C canvas, L reference length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from eosbench.backbone import Backbone
from eosbench.bounds import Promise, to_bound
from eosbench.documents import decode_prompt, partly_masked_canvas
from eosbench.errors import ConfigurationError
from eosbench.forward import Cost, estimated_flops, pass_positions, scored_positions
from eosbench.predictors import LengthReader, Reading, view_of
from eosbench.records import LengthBound, LengthPrediction, Prompt
from model_adapters.varlen_dlm.arguments import Arguments
from model_adapters.varlen_dlm.generation_requests import GenerationRequest
from model_adapters.varlen_dlm.references import References

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Shown:
    """A request, and what the predictor is shown of it.

    Attributes:
        request: the request.
        prompt: its prompt and the canvas.
        revealed: canvas positions of the revealed tokens.
        length: L of a request of the benchmark, 0 for one that wants a text.
    """

    request: GenerationRequest
    prompt: Prompt
    revealed: Sequence[int] = ()
    length: int = 0


@dataclass(frozen=True, eq=False)
class Bounded:
    """The bound of a request.

    Attributes:
        shown: the request, and what the predictor was shown of it.
        prediction: what the predictor said.
        bound: what calibration, rounding and clamping made of it.
        promise: what the bound is calibrated for; None where it is not calibrated.
        cost: of the prediction: step zero, where the method reads the model, and its own seconds.
        first_ND: hidden states at the start of the window, where step zero was the first pass over
            it: where the window is the whole canvas, and masked; None elsewhere.
        eos_rank_C, eos_probability_C: of step zero, per canvas position, where they were asked for
            and the method reads the model.
    """

    shown: Shown
    prediction: LengthPrediction
    bound: LengthBound
    promise: Promise | None
    cost: Cost
    first_ND: torch.Tensor | None
    eos_rank_C: NDArray[np.int64] | None
    eos_probability_C: NDArray[np.float32] | None


class Bounds:
    """The bounds of one method.

    Args:
        arguments: of the model.
        backbone: the model that step zero runs on.
        reader: holds the predictor.
        rule: the name of the predictor in the reader.
        references: what requests of the benchmark are compared with.
    """

    def __init__(
        self,
        arguments: Arguments,
        backbone: Backbone,
        reader: LengthReader,
        rule: str,
        references: References,
    ) -> None:
        self.arguments = arguments
        self.backbone = backbone
        self.reader = reader
        self.rule = rule
        self.references = references
        self.fitted = reader.predictors[rule]
        self.is_told = "reference" in self.fitted.row.reads
        self._is_fitted = arguments.predictor_folder() is not None

    def of(
        self, shown: Sequence[Shown], *, rounding: str, with_eos: bool = False
    ) -> Iterator[Bounded]:
        """The bound of each request, in order.

        Args:
            shown: of any lengths; neighbours of like length make better batches.
            rounding: pow2, block or none.
            with_eos: whether the rank and the probability of EOS are wanted as well.
        """
        readings = self.reader.read(
            self.rule,
            [one.prompt for one in shown],
            self.arguments.batch_size,
            with_eos=with_eos,
        )
        reads_dlm = self.reader.reads_dlm(self.rule)
        for one, reading in zip(shown, readings, strict=True):
            prediction = reading.predictions[self.rule]
            promise = self._promise(one.request)
            bound = self._bound(one, prediction, promise, rounding)
            yield Bounded(
                one,
                prediction,
                bound,
                promise,
                self._cost(one.prompt, reading, bound.bound),
                reading.first_ND if bound.bound == len(one.prompt.canvas) else None,
                reading.eos_rank_C if reads_dlm else None,
                reading.eos_probability_C if reads_dlm else None,
            )

    def masked(self, request: GenerationRequest) -> Shown:
        """The prompt before a canvas of masks.

        The canvas is as long as the one that the predictor was fitted for, and as long as the
        request's for a method that was fitted for none.
        """
        canvas = self.arguments.max_gen_toks if self._is_fitted else request.canvas
        masks = (self.backbone.spec.mask_id,) * canvas
        return Shown(request, self._prompt(request, masks))

    def revealed(self, request: GenerationRequest) -> Shown:
        """The prompt before a canvas on which a share of the reference is revealed.

        Raises:
            ConfigurationError: the request has no reference or no fraction, or a canvas that the
                predictor was not fitted for.
        """
        asked = request.benchmark or {}
        reference = self.references.of(request)
        if reference is None or "fraction" not in asked:
            raise ConfigurationError(
                f"task {request.task}: its requests need a reference and a fraction for the EOS "
                "benchmark"
            )
        if self._is_fitted and request.canvas != self.arguments.max_gen_toks:
            raise ConfigurationError(
                f"task {request.task}: max_gen_toks={request.canvas} among its generation "
                "arguments, but the predictor was fitted for a canvas of "
                f"{self.arguments.max_gen_toks}: leave it out there"
            )
        canvas, positions = partly_masked_canvas(
            reference.ids,
            request.canvas,
            self.backbone.spec.mask_id,
            asked["fraction"],
            str(asked.get("document", request.reference)),
            asked.get("reveal", "random"),
        )
        prompt = self._prompt(request, canvas, asked["fraction"])
        return Shown(request, prompt, positions, reference.length)

    def _prompt(
        self, request: GenerationRequest, canvas: tuple[int, ...], fraction: float = 0.0
    ) -> Prompt:
        told = self.references.of(request) if self.is_told else None
        return Prompt(
            decode_prompt(self.backbone.tokenizer, request.ids),
            request.ids,
            canvas,
            fraction,
            reference_length=None if told is None else told.length,
        )

    def _promise(self, request: GenerationRequest) -> Promise | None:
        """The promise that a bound keeps; None where it is not calibrated."""
        if self.fitted.calibration is None:
            return None
        return self.arguments.promise_for(request.settings)

    def _bound(
        self,
        shown: Shown,
        prediction: LengthPrediction,
        promise: Promise | None,
        rounding: str,
    ) -> LengthBound:
        request = shown.request
        return to_bound(
            prediction,
            canvas=request.canvas,
            fraction=shown.prompt.fraction,
            calibration=self.fitted.calibration,
            promise=promise,
            prompt_length=len(request.ids),
            rounding=rounding,
            block_length=self._block_length(request),
        )

    def _block_length(self, request: GenerationRequest) -> int:
        own = self.backbone.spec.block_length
        return request.settings.block_length or own or request.canvas

    def _cost(self, prompt: Prompt, reading: Reading, window: int) -> Cost:
        seconds = reading.seconds[self.rule]
        if not self.reader.reads_dlm(self.rule):
            return Cost(window, seconds=seconds)
        spec, view = self.backbone.spec, view_of(self.fitted.predictor)
        positions = len(pass_positions(prompt, view, spec))
        scores = "eos" in self.fitted.row.needs
        scored = len(scored_positions(prompt, view, spec)) if scores else 0
        flops = estimated_flops(spec, positions, 1, scored)
        return Cost(window, 1, positions, flops, seconds, model_seconds=reading.model_seconds)
