"""The bound metrics as a module of Hugging Face's `evaluate`.

The formulas are in README.md beside this file.

    import evaluate
    from eosbench.eos_bound import PATH
    evaluate.load(PATH).compute(predictions=[8, 16], references=[5, 20], canvas=32)

`evaluate` copies this one file to its cache and runs it there, so it imports eosbench by its
installed name.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import datasets
import evaluate

from eosbench import metrics
from eosbench.metrics import average_precision, paper_columns, pinball_loss

DESCRIPTION = """\
How good predicted upper bounds on the length of a text are (the position of its end-of-sequence
token on the canvas of a diffusion language model): how often they hold, by how much they are too
high or too low, and what they save.
"""
INPUTS = """\
Args:
    predictions (list of int): the predicted bounds B, in tokens.
    references (list of int): the true lengths L, in tokens.
    canvas (int or list of int, optional): the canvas C. Texts longer than it are left out and
        counted (censored).
    prompt_lengths (list of int, optional): the prompts' tokens P, for compute_ratio; needs canvas.
    revealed (list of list of int, optional): canvas positions that were not masked, for accuracy,
        average_precision and eos_false.
    eos_probability (list of list of float, optional): per canvas position the probability that the
        text has ended there.
    eos_ranks (list of list of int, optional): per canvas position the rank of the likeliest
        end-of-sequence token, 1 for the likeliest token of all.
    eos_prob (list of float, optional): the probability of such a token at canvas position L.
    alpha (float, optional): the share of texts that a bound may miss, for pinball_loss at the
        quantile 1 - alpha.
Returns:
    a dict of floats: coverage, overshoot, shortfall, rmse, exact, bucket_accuracy, below, above,
    tokens_below, tokens_above and saved (NaN without canvas); with canvas also accuracy and
    censored; with canvas and prompt_lengths compute_ratio; with eos_probability average_precision;
    with eos_ranks eos_top1, eos_mrr and eos_false; with eos_prob eos_prob; with alpha pinball_loss.
    NaN is "not defined here": no text is in the denominator.
Examples:
    >>> import evaluate
    >>> from eosbench.eos_bound import PATH
    >>> eos_bound = evaluate.load(PATH)
    >>> found = eos_bound.compute(predictions=[8, 16, 4], references=[5, 20, 4], canvas=32)
    >>> found["overshoot"], found["shortfall"], found["saved"]
    (1.5, 4.0, 22.666666666666668)
"""


@evaluate.utils.file_utils.add_start_docstrings(DESCRIPTION, INPUTS, "\n")
class EosBound(evaluate.Metric):  # type: ignore[misc]
    """The functions of eosbench.metrics behind evaluate's interface."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="",
            inputs_description=INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}
            ),
        )

    def _compute(
        self,
        predictions: Sequence[int],
        references: Sequence[int],
        canvas: int | Sequence[int] | None = None,
        prompt_lengths: Sequence[int] | None = None,
        revealed: Sequence[Sequence[int]] | None = None,
        eos_probability: Sequence[Sequence[float]] | None = None,
        eos_ranks: Sequence[Sequence[int]] | None = None,
        eos_prob: Sequence[float] | None = None,
        alpha: float | None = None,
    ) -> dict[str, Any]:
        bound_N, length_N = predictions, references
        found: dict[str, float] = {
            "coverage": metrics.coverage(bound_N, length_N, canvas),
            "overshoot": metrics.overshoot(bound_N, length_N, canvas),
            "shortfall": metrics.shortfall(bound_N, length_N, canvas),
            "rmse": metrics.rmse(bound_N, length_N, canvas),
            "exact": metrics.exact(bound_N, length_N, canvas),
            "bucket_accuracy": metrics.bucket_accuracy(bound_N, length_N, canvas),
        }
        if canvas is not None:
            found["saved"] = metrics.saved(bound_N, canvas, length_N)
            found["accuracy"] = metrics.accuracy(bound_N, length_N, canvas, revealed)
            found["censored"] = metrics.censored(length_N, canvas)
        if canvas is not None and prompt_lengths is not None:
            found["compute_ratio"] = metrics.compute_ratio(
                bound_N, prompt_lengths, canvas, length_N
            )
        if eos_probability is not None:
            found["average_precision"] = average_precision(eos_probability, length_N, revealed)
        if eos_ranks is not None:
            found |= _of_ranks(eos_ranks, length_N, revealed)
        if eos_prob is not None:
            found["eos_prob"] = metrics.eos_prob(eos_prob)
        if alpha is not None:
            found["pinball_loss"] = pinball_loss(bound_N, length_N, canvas, alpha=alpha)
        return found | paper_columns(found)


def _of_ranks(
    ranks_NC: Sequence[Sequence[int]],
    length_N: Sequence[int],
    revealed: Sequence[Sequence[int]] | None,
) -> dict[str, float]:
    """The metrics that ask whether an end is the most likely token, at the end and before it."""
    at_end_N, false_N = [], []
    shown = revealed if revealed is not None else [()] * len(length_N)
    for rank_C, length, positions in zip(ranks_NC, length_N, shown, strict=True):
        at_end_N.append(rank_C[length] if length < len(rank_C) else math.nan)
        false_N.append(metrics.false_ends(rank_C, length, positions))
    return {
        "eos_top1": metrics.eos_top1(at_end_N),
        "eos_mrr": metrics.eos_mrr(at_end_N),
        "eos_false": metrics.eos_false(false_N),
    }
