"""From requests to answers: predict a length, make it a bound, denoise that window; for the
benchmark, report the bound alone.

A predictor sees the prompt and the canvas. The reference answer, which benchmark requests carry,
fills in the revealed tokens of that canvas and is compared with the bound afterwards; only the
`oracle` is told its length.

Legend: C canvas, L reference length.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from eosbench.backbone import Backbone
from eosbench.bounds import to_bound
from eosbench.decoding import generate
from eosbench.documents import decode_prompt, encode_response, partly_masked_canvas
from eosbench.errors import ConfigurationError
from eosbench.forward import Cost, Ledger, estimated_flops
from eosbench.metrics import false_ends
from eosbench.predictors import LengthReader, Reading
from eosbench.records import LengthBound, LengthPrediction, LengthRecord, Prompt
from model_adapters.varlen_dlm.arguments import Arguments
from model_adapters.varlen_dlm.own_answers import OwnAnswers, Reference, cache_folder
from model_adapters.varlen_dlm.requests import Request
from model_adapters.varlen_dlm.stop_strings import text_before_stop


class Answers:
    """Answers generation requests with one method's bounds, and charges them to a ledger; `rule`
    names it in the reader.
    """

    def __init__(
        self,
        arguments: Arguments,
        backbone: Backbone,
        reader: LengthReader,
        ledger: Ledger,
        rule: str,
    ) -> None:
        self.arguments, self.backbone, self.reader, self.ledger = (
            arguments,
            backbone,
            reader,
            ledger,
        )
        self.rule, self.fitted = rule, reader.predictors[rule]
        self.own = (
            OwnAnswers(backbone, cache_folder(), seed=arguments.seed)
            if arguments.reference == "self"
            else None
        )

    def prepare(self, requests: Sequence[Request], *, progress: bool = False) -> None:
        """With reference=self, has the model answer on the whole canvas what bounds are compared
        with, at nobody's cost.
        """
        if self.own is not None:
            compared = [
                request
                for request in requests
                if request.benchmark is not None or self.arguments.method == "oracle"
            ]
            asked = ((request.ids, request.settings) for request in compared)
            self.own.generate(asked, self.arguments.batch_size, progress=progress)

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, str]]:
        """(index, answer) as they finish: the benchmark's records first, then texts."""
        by_length = sorted(range(len(requests)), key=lambda index: len(requests[index].ids))
        asked = [index for index in by_length if requests[index].benchmark is not None]
        for index, record, cost in self._length_records([requests[index] for index in asked]):
            request = requests[asked[index]]
            self.ledger.add(
                request.task,
                request.document,
                "predict",
                cost,
                bound=record.bound,
                prediction=record.prediction,
            )
            yield asked[index], record.to_json()

        texts = [index for index in by_length if requests[index].benchmark is None]
        bounds = list(self._bounds([requests[index] for index in texts]))
        jobs = [
            requests[index].job(self.backbone.tokenizer, bound.bound)
            for index, (bound, _, _) in zip(texts, bounds, strict=True)
        ]
        batch_size, overflow = self.arguments.batch_size, self.arguments.overflow
        for position, answer in generate(
            self.backbone, jobs, batch_size=batch_size, overflow=overflow
        ):
            request, (bound, prediction, cost) = requests[texts[position]], bounds[position]
            details = {"bound": bound.bound, "prediction": prediction.length}
            self.ledger.add(
                request.task, request.document, "generate", answer.cost + cost, **details
            )
            yield (
                texts[position],
                text_before_stop(self.backbone.tokenizer, answer.tokens, request.until),
            )

    def _prompt(self, request: Request) -> Prompt:
        """The prompt before an empty canvas: the predictor's own, or the request's for a method
        that was fitted for none.
        """
        canvas = (
            self.arguments.max_gen_toks if self.arguments.predictor_folder() else request.canvas
        )
        text = decode_prompt(self.backbone.tokenizer, request.ids)
        return Prompt(
            text,
            request.ids,
            (self.backbone.spec.mask_id,) * canvas,
            reference_length=self.told_length(request),
        )

    def told_length(self, request: Request) -> int | None:
        """L for the oracle, and for nobody else."""
        reference = self._reference(request) if self.arguments.method == "oracle" else None
        return None if reference is None else reference.length

    def _reference(self, request: Request) -> Reference | None:
        """The model's own answer with reference=self, else the task's, None where it sent none."""
        if self.own is not None:
            return self.own.reference(request.ids, request.settings)
        if request.reference is None:
            return None
        ids = encode_response(self.backbone.tokenizer, request.reference)
        return Reference(tuple(ids), len(ids))

    def _bounds(
        self, requests: Sequence[Request]
    ) -> Iterator[tuple[LengthBound, LengthPrediction, Cost]]:
        prompts = [self._prompt(request) for request in requests]
        readings = self.reader.read(self.rule, prompts, self.arguments.batch_size)
        for request, prompt, reading in zip(requests, prompts, readings, strict=True):
            prediction = reading.predictions[self.rule]
            bound = self._bound(prediction, request)
            yield bound, prediction, self._step_zero_cost(prompt, reading)

    def _bound(
        self, prediction: LengthPrediction, request: Request, fraction: float = 0.0
    ) -> LengthBound:
        return to_bound(
            prediction,
            canvas=request.canvas,
            fraction=fraction,
            calibration=self.fitted.calibration,
            promise=self.arguments.promise,
            prompt_length=len(request.ids),
            rounding=self.arguments.rounding,
            block_length=request.settings.block_length or request.canvas,
        )

    def _step_zero_cost(self, prompt: Prompt, reading: Reading, window: int = 0) -> Cost:
        seconds = reading.seconds[self.rule]
        if not self.reader.reads_dlm(self.rule):
            return Cost(window, seconds=seconds)
        positions = len(prompt.ids) + len(prompt.canvas)
        scored = len(prompt.canvas) if "eos" in self.fitted.row.needs else 0
        flops = estimated_flops(self.backbone.spec, positions, 1, scored)
        return Cost(window, 1, positions, flops, seconds, model_seconds=reading.model_seconds)

    def _length_records(
        self, requests: Sequence[Request]
    ) -> Iterator[tuple[int, LengthRecord, Cost]]:
        """The benchmark: bounds from canvases on which a share of the reference is revealed."""
        revealed = [self._reveal(request) for request in requests]
        prompts = [prompt for prompt, _, _ in revealed]
        readings = self.reader.read(self.rule, prompts, self.arguments.batch_size, with_eos=True)
        for index, ((prompt, positions, length), reading) in enumerate(
            zip(revealed, readings, strict=True)
        ):
            canvas, prediction = len(prompt.canvas), reading.predictions[self.rule]
            bound = self._bound(prediction, requests[index], prompt.fraction)
            reads_dlm = self.reader.reads_dlm(self.rule)
            reads = reads_dlm and length < canvas
            rank_C, probability_C, curve_C = (
                reading.eos_rank_C,
                reading.eos_probability_C,
                prediction.eos_probability,
            )
            false = (
                false_ends(rank_C, length, positions)
                if reads_dlm and rank_C is not None
                else math.nan
            )
            record = LengthRecord(
                method=self.arguments.method,
                fraction=prompt.fraction,
                canvas=canvas,
                prompt_length=len(prompt.ids),
                length=length,
                prediction=prediction.length,
                calibrated=bound.calibrated,
                bound=bound.bound,
                clamped=bound.clamped,
                revealed=positions,
                eos_rank=int(rank_C[length]) if reads and rank_C is not None else None,
                eos_prob=float(probability_C[length])
                if reads and probability_C is not None
                else None,
                eos_false=None if math.isnan(false) else false,
                eos_probability=None if curve_C is None else [round(float(p), 4) for p in curve_C],
            )
            yield index, record, self._step_zero_cost(prompt, reading, bound.bound)

    def _reveal(self, request: Request) -> tuple[Prompt, list[int], int]:
        """Prompt and partly revealed canvas, the revealed positions, and L."""
        asked = request.benchmark or {}
        reference = self._reference(request)
        if reference is None or "fraction" not in asked:
            raise ConfigurationError(
                f"task {request.task}: its requests need a reference and a fraction for the EOS benchmark"
            )
        if self.arguments.predictor_folder() and request.canvas != self.arguments.max_gen_toks:
            raise ConfigurationError(
                f"task {request.task}: max_gen_toks={request.canvas} among its generation arguments, but the predictor was "
                f"fitted for a canvas of {self.arguments.max_gen_toks}: leave it out there"
            )
        canvas, positions = partly_masked_canvas(
            reference.ids,
            request.canvas,
            self.backbone.spec.mask_id,
            asked["fraction"],
            str(asked.get("document", request.reference)),
            asked.get("reveal", "random"),
        )
        text = decode_prompt(self.backbone.tokenizer, request.ids)
        prompt = Prompt(text, request.ids, canvas, asked["fraction"], self.told_length(request))
        return prompt, positions, reference.length
