"""The metrics of step zero on held-out documents: what a model in training knows of ends.

The same canvases every time: which tokens are revealed follows from the document alone, and the
shares do not move, so that two evaluations differ by the model and nothing else. All numbers are
those of `eos_upper_bound`, of the `logit` method's rule `top1` without calibration; `eos_false` is
among them because a model that says EOS everywhere has the others perfect.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from eosbench import metrics
from eosbench.backbone import Backbone
from eosbench.documents import partly_masked_canvas
from eosbench.forward import StepZero, run_step_zero
from eosbench.predictors import build
from eosbench.records import Prompt
from eosbench.training.layout import Document

FRACTIONS = (0.0, 0.5)
AVERAGED = ("eos_top1", "eos_prob", "eos_mrr", "eos_false", "coverage", "overshoot")


@dataclass(frozen=True)
class Reading:
    """One held-out document at one unmasked fraction.

    Attributes:
        fraction: unmasked share of the answer, at random places.
        values: metric -> number, NaN where it is not defined.
        loss: sum of the cross-entropy over the masked tokens of the answer, in nats.
        tokens: how many those are.
    """

    fraction: float
    values: Mapping[str, float]
    loss: float
    tokens: int


def read_held_out(
    backbone: Backbone, documents: Sequence[Document], *, canvas: int, batch_size: int = 16
) -> list[Reading]:
    """Step zero of each document at each of FRACTIONS, in evaluation mode.

    Args:
        backbone: the model in training, behind the Backbone protocol.
        documents: whole ones, which end.
        canvas: positions behind the prompt.
        batch_size: documents a pass.
    """
    found: list[Reading] = []
    rule = build("logit", backbone=backbone, canvas=canvas, options={"variant": "top1"})
    for fraction in FRACTIONS:
        for start in range(0, len(documents), batch_size):
            batch = documents[start : start + batch_size]
            prompts = [_prompt(one, canvas, fraction, backbone.spec.mask_id) for one in batch]
            step = run_step_zero(backbone, prompts)
            losses, predicted = _text_loss(backbone, step, batch), rule.predict(step)
            for row, (document, loss) in enumerate(zip(batch, losses, strict=True)):
                values = _values(step, row, document.length, canvas, predicted[row].length)
                masked = sum(token == backbone.spec.mask_id for token in prompts[row].canvas)
                tokens = masked - (canvas - document.length)
                found.append(Reading(fraction, values, loss, tokens))
    return found


def held_out_metrics(
    backbone: Backbone, documents: Sequence[Document], *, canvas: int
) -> dict[str, float]:
    """The metrics that `eosbench train` logs of a model, on documents of one's own.

    Args:
        backbone, documents, canvas: as for `read_held_out`.
    """
    return summary(read_held_out(backbone, documents, canvas=canvas))


def summary(readings: Iterable[Reading]) -> dict[str, float]:
    """Means over documents: names of AVERAGED and `loss` at fraction 0, `_u50` behind the others.

    `loss` is per masked token of the answers, over all fractions: it compares models that were
    trained with other weights, layouts and objectives.
    """
    by_fraction: dict[float, list[Reading]] = {}
    for one in readings:
        by_fraction.setdefault(one.fraction, []).append(one)
    every = [one for own in by_fraction.values() for one in own]
    tokens = sum(one.tokens for one in every)
    found = {"loss": sum(one.loss for one in every) / tokens if tokens else math.nan}
    for fraction, own in sorted(by_fraction.items()):
        suffix = f"_u{round(100 * fraction)}" if fraction else ""
        for name in AVERAGED:
            values = np.array([one.values[name] for one in own])
            defined = values[~np.isnan(values)]
            found[name + suffix] = float(defined.mean()) if defined.size else math.nan
    return found


def _prompt(document: Document, canvas: int, fraction: float, mask_id: int) -> Prompt:
    seed = " ".join(map(str, (*document.prompt, -1, *document.response)))
    shown, _ = partly_masked_canvas(
        tuple(document.response), canvas, mask_id, fraction, seed, "random"
    )
    return Prompt("", tuple(document.prompt), shown, fraction)


def _values(
    step: StepZero, row: int, length: int, canvas: int, predicted: float
) -> dict[str, float]:
    ranks_C = step.read("eos_rank_BC")[row, :canvas].cpu().numpy()
    shown = np.flatnonzero(~step.read("masked_BC")[row, :canvas].cpu().numpy()).tolist()
    bound = min(max(1, math.ceil(predicted)), canvas)
    inside = length < canvas
    rank = float(ranks_C[length]) if inside else math.nan
    probability = float(step.read("eos_probability_BC")[row, length]) if inside else math.nan
    return {
        "eos_top1": metrics.eos_top1([rank]),
        "eos_prob": probability,
        "eos_mrr": metrics.eos_mrr([rank]),
        "eos_false": metrics.false_ends(ranks_C, length, shown),
        "coverage": metrics.coverage([bound], [length], [canvas]),
        "overshoot": metrics.overshoot([bound], [length], [canvas]),
    }


@torch.no_grad()
def _text_loss(backbone: Any, step: StepZero, documents: Sequence[Document]) -> list[float]:
    """Per row the sum of the cross-entropy over masked tokens of the answer."""
    hidden_BCD, masked_BC = step.read("canvas_hidden_BCD"), step.read("masked_BC")
    losses = []
    for row, document in enumerate(documents):
        answer_L = torch.tensor(document.response, device=hidden_BCD.device)
        masked_L = masked_BC[row, : len(answer_L)]
        logits_NV = backbone.unembed(hidden_BCD[row, : len(answer_L)][masked_L]).float()
        losses.append(
            float(functional.cross_entropy(logits_NV, answer_L[masked_L], reduction="sum"))
        )
    return losses
