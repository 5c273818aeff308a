"""A run as the report and the check know it: its settings, and its scores and costs by task."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from math import nan
from pathlib import Path
from typing import Any

from eosbench.digest import digest_of_json

_BOUND_TASK = re.compile(r"(?P<benchmark>.+)_u(?P<percent>\d{2,3})")


@dataclass(frozen=True)
class Score:
    """One aggregated metric; a NaN value is "not defined here", any other NaN is "not known".

    Attributes:
        stderr: the standard error of the value.
        count: the number of documents that define the metric.
        low: the lower end of the 95 % interval.
        high: its upper end.
        spread: the standard deviation over seeds, where runs are joined across them.
    """

    value: float
    stderr: float = nan
    count: int = 0
    low: float = nan
    high: float = nan
    spread: float = nan


@dataclass(frozen=True)
class TaskResult:
    """One task of one run.

    Attributes:
        path: the results file that the task was read from.
        date: when it was written, in seconds since 1970.
        scores: keyed by metric, or by "metric,filter" where a task has several filters.
        costs: what the task cost, as docs/results-format.md has it; empty for another model's run.
        samples: the samples file beside the results file; None where none was logged.
        output_type: lm-eval's word for what the task asks of a model, "generate_until" or one of
            those that score given answers; None where the file does not say.
        shots: the number of examples in each prompt, "5" or, in a single turn of a chat, "5 in one
            turn"; None where the file does not say.
    """

    task: str
    path: Path
    date: float
    documents: int
    scores: dict[str, Score]
    higher_is_better: dict[str, bool]
    costs: dict[str, float]
    samples: Path | None
    shots: str | None = None
    output_type: str | None = None

    @property
    def benchmark(self) -> str | None:
        """`eos_upper_bound` for the task `eos_upper_bound_u25`; None where no bound is measured."""
        match = _BOUND_TASK.fullmatch(self.task)
        return match["benchmark"] if match and "coverage" in self.scores else None

    @property
    def fraction(self) -> float | None:
        """0.25 for the task `eos_upper_bound_u25`; None where no bound is measured."""
        match = _BOUND_TASK.fullmatch(self.task)
        return int(match["percent"]) / 100 if match and self.benchmark else None


@dataclass(frozen=True)
class Run:
    """One model with one set of settings.

    Attributes:
        name: the method, with the settings that tell runs of one method apart (naming.py).
        fingerprint: equal where all settings are; `asked` is part of it.
        model: the model's name in the results file.
        settings: the `eosbench` block as written; None for another model's run, a baseline.
        tasks: the results, keyed by the task's name.
        asked: what lm-eval changed of the requests: `chat_template` and `system_instruction` (the
            start of their hashes) and `gen_kwargs`, each where there is one; `num_fewshot` where a
            task ran with several (runs.py).
    """

    name: str
    fingerprint: str
    model: str
    settings: dict[str, Any] | None
    tasks: dict[str, TaskResult]
    asked: dict[str, Any] = field(default_factory=dict)

    @property
    def method(self) -> str | None:
        """The length-prediction method or strategy; None for a baseline."""
        return None if self.settings is None else str(self.settings["method"])

    @property
    def backbone(self) -> str:
        """The name of the diffusion language model; for a baseline that of the model itself."""
        return self.model if self.settings is None else str(self.settings["backbone"]["name"])

    @property
    def attention(self) -> str | None:
        """`full` or `block`, as `BackboneSpec.attention` has it; None for another model's run."""
        if self.settings is None:
            return None
        return str(self.settings.get("backbone", {}).get("attention", "full"))

    @property
    def predictor_seed(self) -> int | None:
        """The seed that the predictor's weights were trained with.

        None for a predictor without weights, or where the seed is not known.
        """
        fit = (self.settings or {}).get("predictor_fit")
        seed = fit.get("seed") if isinstance(fit, dict) else None
        return seed if isinstance(seed, int) and not isinstance(seed, bool) else None

    @property
    def recipe(self) -> str | None:
        """The recipe by which `eosbench train` trained the backbone; None for any other model."""
        recipe = (self.settings or {}).get("backbone", {}).get("recipe")
        return recipe if isinstance(recipe, str) else None

    @property
    def training_seed(self) -> int | None:
        """The seed that `eosbench train` trained the backbone with; None for any other model."""
        seed = (self.settings or {}).get("backbone", {}).get("training_seed")
        return seed if isinstance(seed, int) and not isinstance(seed, bool) else None

    @property
    def seeds(self) -> tuple[int | None, int | None]:
        """The seeds of the backbone's training and of the predictor's."""
        return self.training_seed, self.predictor_seed

    @property
    def promise(self) -> float | None:
        """The share of documents that calibration promises to cover, 1 - alpha.

        None for a run that is not calibrated, or not for coverage. An alpha that is no share
        between 0 and 1 promises nothing.
        """
        calibration = (self.settings or {}).get("calibration")
        alpha = calibration.get("alpha") if isinstance(calibration, dict) else None
        return 1 - alpha if isinstance(alpha, (int, float)) and 0 < alpha < 1 else None

    @property
    def calibration(self) -> str:
        """In words, e.g. "split_conformal alpha=0.05 samples=1000", or "none"."""
        calibration = (self.settings or {}).get("calibration")
        if not calibration:
            return "none"
        kind = [str(calibration["kind"])] if "kind" in calibration else []
        options = [f"{name}={value}" for name, value in calibration.items() if name != "kind"]
        return " ".join(kind + options)

    def asked_with(self, asked: dict[str, Any]) -> Run:
        """This run, asked with `asked`; under a fingerprint of its own, unless that is empty."""
        if not asked:
            return self
        fingerprint = f"{self.fingerprint}-{digest_of_json(asked, digits=8)}"
        return replace(self, fingerprint=fingerprint, asked={**self.asked, **asked})
