"""The captions of the figures: how to read each of them."""

from __future__ import annotations

from eosbench.report.figures.small_multiples import POINTS

# A metric drawn against the unmasked fraction; `ACROSS` follows.
READINGS = {
    "coverage": (
        "The share of documents whose bound covers the whole reference answer. "
        "Calibration aims at the dashed line."
    ),
    "overshoot": (
        "Tokens of the window beyond the end of the reference answer, where it is covered. "
        "Lower is cheaper."
    ),
    "accuracy": (
        "The share of masked canvas positions that the bound puts on the right side of the "
        "answer's end."
    ),
}
ACROSS = (
    "To the right, more of the answer is already unmasked when the bound is predicted. "
    "Bars are 95% intervals."
)
TRADEOFF = (
    "What safety costs: coverage against the compute that the predicted windows take, relative to "
    "the full canvas. The upper left corner is the goal. Bars are 95% intervals."
)
SAFETY = (
    "All of a method's predictions are scaled by one factor, small to large: what coverage would "
    "cost in wasted tokens, whatever the calibration. The marker is where the run itself stands; "
    "the higher and further left a line, the better the method tells short answers from long ones."
)
SCATTER = (
    f"One point a document (at most {POINTS} a panel). On the diagonal the bound is the length "
    "itself; circles above it are covered, crosses below it would be cut off. Horizontal bands "
    "come from rounding up."
)
DISTRIBUTION = (
    "How far bounds are off. Blue: the window is longer than the answer, and compute is wasted; "
    "hatched: it is too short, and the answer is cut off. Everything at 0 would be perfect."
)
CONFUSION = (
    "Each column holds the answers of one power-of-two length; its numbers say, in per cent, "
    "which bucket their bounds fall into. On the diagonal the bucket is right, above it compute "
    "is wasted, below it (hatched) answers are cut off."
)
EOS_AVERAGE = (
    "What a method believes about each canvas position: the probability that the answer has ended "
    "there, averaged over documents laid over each other at their true end (dashed). Ideal is a "
    "step from 0 to 1 at that line."
)
EOS_PROMPTS = (
    "The probability that the answer has ended at each canvas position, for single prompts with "
    "short and long answers. A clean step at the true end makes a tight bound; a slow rise, or a "
    "plateau below 1, makes one that calibration has to stretch."
)
CALIBRATION = (
    "Where a method says that the answer has ended with some probability: how often it has. On "
    "the diagonal probabilities mean what they say; above it the method is too timid, below it "
    "too sure. Points are tenths with at least 20 positions."
)
QUALITY = (
    "What the predicted windows do to the answers: the task's score against the token-positions "
    "processed, relative to the run with the full canvas. The upper left corner is the goal; "
    "dotted levels are other models. Bars are 95% intervals."
)
