"""The columns of the report's tables: one per metric, explained to a stranger."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A metric: its name, what it means, and how it is printed.

    Attributes:
        key: its name in CSV files, and the key of its cells.
        title: its heading.
        meaning: a sentence or two for a stranger.
        percent: values are shares of one and are printed times 100.
        share: values are counts of documents over documents, so that their interval is Wilson's.
        digits: how many are printed after the point.
        main: stands in the headline table.
        signed: values may be negative.
    """

    key: str
    title: str
    meaning: str
    percent: bool = False
    share: bool = False
    digits: int = 1
    main: bool = False
    signed: bool = False

    @property
    def scale(self) -> int:
        """The factor by which values are shown: 100 for per cent, else 1."""
        return 100 if self.percent else 1

    def printed(self, value: float) -> str:
        """A value, or an end of its interval, as the tables show it.

        >>> Column("coverage", "coverage %", "", percent=True).printed(0.9531)
        '95.3'
        """
        return f"{value * self.scale:.{self.digits}f}"


BOUND_COLUMNS = (
    Column(
        "coverage",
        "coverage %",
        "Share of documents whose predicted bound is at least the reference length: their answer "
        "fits. Higher is better.",
        percent=True,
        share=True,
        main=True,
    ),
    Column(
        "overshoot",
        "overshoot",
        "By how many tokens the bound exceeds the reference length, averaged over the documents "
        "it covers. Lower is better.",
        main=True,
    ),
    Column(
        "shortfall",
        "shortfall",
        "By how many tokens the bound falls short, averaged over the documents it does not cover. "
        "Lower is better; a dash with a count means that it covers them all.",
        main=True,
    ),
    Column(
        "saved",
        "saved",
        "Tokens of the full canvas that need not be denoised (canvas minus bound), averaged over "
        "documents. Higher is better.",
    ),
    Column(
        "rmse",
        "rmse",
        "Root mean square of bound minus reference length, in tokens. Lower is better.",
        main=True,
    ),
    Column(
        "accuracy",
        "accuracy %",
        "Share of masked canvas positions that the bound puts on the right side of the answer's "
        "end. Higher is better.",
        percent=True,
        main=True,
    ),
    Column(
        "compute_ratio",
        "compute ratio",
        "Token-positions processed with the predicted window, divided by those with the full "
        "canvas, at one token per step. Lower is cheaper; 1 is the full canvas.",
        digits=3,
        main=True,
    ),
    Column(
        "area",
        "area",
        "Area under the share of documents covered within a compute budget, from 1/1024 of the "
        "full canvas to all of it on a logarithmic axis: every halving of compute earns a covered "
        "document a tenth. Higher is better; the full canvas has 0, nothing has more than the "
        "oracle.",
        digits=3,
        main=True,
    ),
    Column(
        "exact",
        "exact %",
        "Share of documents whose bound is the reference length itself.",
        percent=True,
        share=True,
    ),
    Column(
        "bucket_accuracy",
        "bucket %",
        "Share of documents whose bound lies in the same power-of-two bucket as the reference "
        "length.",
        percent=True,
        share=True,
    ),
    Column(
        "rounding_coverage",
        "by rounding %",
        "Part of the coverage that only rounding brings, after calibration: documents that the "
        "calibrated bound misses and the rounded one covers. 0 with rounding=none.",
        percent=True,
        share=True,
    ),
    Column(
        "rounding_overshoot",
        "tokens by rounding",
        "Tokens that rounding adds to a bound, averaged over documents: the price of that part. 0 "
        "with rounding=none.",
    ),
    Column(
        "eos_top1",
        "EOS top-1 %",
        "How often the most likely token at the true end is the end-of-sequence token. Only for "
        "methods that read the model.",
        percent=True,
        share=True,
    ),
    Column(
        "eos_prob",
        "EOS prob",
        "Mean probability of the end-of-sequence token at the true end.",
        digits=3,
    ),
    Column(
        "eos_mrr",
        "EOS MRR",
        "Mean reciprocal rank of the end-of-sequence token at the true end.",
        digits=3,
    ),
    Column(
        "eos_false",
        "EOS false %",
        "Share of the masked positions before the true end at which the most likely token is an "
        "end: what the three metrics before it do not see. Lower is better.",
        percent=True,
    ),
)
BOUND_KEYS = tuple(column.key for column in BOUND_COLUMNS)
SECONDS = Column(
    "seconds",
    "s / answer",
    "Seconds per generated answer, over all generation tasks, on the machine that ran them.",
    digits=3,
    main=True,
)
FAMILY_COLUMNS = tuple(
    column
    for column in BOUND_COLUMNS
    if column.key in ("coverage", "overshoot", "shortfall", "rmse", "compute_ratio")
)
RELATIVE_COLUMNS = (
    Column(
        "speedup",
        "speed-up",
        "Token-positions of the run with the fixed canvas divided by this one's: how many times "
        "less work, on any hardware.",
        digits=2,
    ),
    Column(
        "time_speedup",
        "in seconds",
        "Seconds of the run with the fixed canvas divided by this one's.",
        digits=2,
    ),
    Column(
        "from_oracle",
        "from oracle",
        "Token-positions of this run divided by those of the oracle, which knows every length: 1 "
        "is the limit of any prediction.",
        digits=2,
    ),
    Column(
        "area",
        "area",
        "Area under the method's curve of quality against compute: every halving of the full "
        "canvas's compute at undiminished quality earns a tenth of that quality, lost quality "
        "weighs exponentially. Higher is better, the fixed canvas has 0.",
        digits=3,
    ),
)
COST_COLUMNS = (
    Column(
        "mean_window",
        "mean window",
        "Canvas positions that were denoised, averaged over answers: what the bound decided.",
    ),
    Column("forward_passes", "passes", "Forward passes through the model per answer."),
    Column(
        "token_positions",
        "token-positions",
        "Token-positions processed per answer: what compute is proportional to.",
        digits=0,
    ),
    Column("flops", "GFLOP", "Estimated floating-point operations per answer, in 10^9."),
    Column("seconds", "seconds", "Seconds per answer, on the machine that ran it.", digits=3),
    Column(
        "truncated",
        "truncated",
        "Answers that reached the end of their window without an end-of-sequence token.",
        digits=0,
    ),
    Column(
        "retries",
        "retries",
        "Windows that were doubled because no end-of-sequence token appeared.",
        digits=0,
    ),
)
