"""The methods of the text study, and how they are fitted: text_study.py asks them.

What is fitted is not fitted again: a predictor lies in heads/<data>/<fractions>/<name>/seed-<seed>.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from eosbench.backbone import Backbone
from eosbench.fitting import (
    Example,
    FitData,
    FitJob,
    Passes,
    TrainingSettings,
    fit_all,
    load_examples,
)
from eosbench.predictors import METHODS, FittedPredictor, load_predictor

# Text encoders that train for minutes: fitted with one seed, and at u = 0 alone, where they belong.
COSTLY = ("distilbert, scratch", "distilbert, fine-tuned")
AT_U00 = (*COSTLY, "max", "random")  # max is mean once it is calibrated


@dataclass(frozen=True)
class Variant:
    """A column of the predictions: a method with options.

    Attributes:
        name: of the column.
        method: one of METHODS.
        options: of the method.
        epochs: at most so many, None for those of the study.
        once: fitted with the first seed alone, for its time.
    """

    name: str
    method: str
    options: dict[str, Any] = field(default_factory=dict)
    epochs: int | None = None
    once: bool = False

    def seeds(self, asked: Sequence[int]) -> Sequence[int]:
        """The seeds that it is fitted with: one where no weights are drawn."""
        drawn = METHODS[self.method].fitting == "weights" and not self.once
        return asked if drawn else asked[:1]


def variants(encoder: str) -> list[Variant]:
    """Every method of the study; `encoder` is the folder of the pretrained text encoder."""
    learned = ("classification", "concat_regression", "average_regression")
    grid, pretrained = {"step_zero": "grid:31"}, {"encoder": encoder}
    return [
        *(Variant(name, name) for name in ("mean", "max", "random", "prompt_length")),
        Variant("logit, quantile", "logit"),
        Variant("logit, threshold", "logit", {"variant": "threshold", "tau": 0.9}),
        Variant("smartcrop", "smartcrop"),
        *(Variant(name, name) for name in learned),
        *(Variant(f"{name}, grid:31", name, dict(grid)) for name in learned),
        Variant("distilbert, scratch", "distilbert", epochs=4, once=True),
        Variant("distilbert, frozen", "distilbert", {**pretrained, "train_encoder": False}, 60),
        Variant("distilbert, fine-tuned", "distilbert", pretrained, 2, once=True),
    ]


@dataclass(frozen=True)
class Study:
    """One backbone and what is fitted for it.

    Attributes:
        backbone: the diffusion model.
        canvas: C, in tokens.
        folder: of the predictors and of what they keep of the model.
        seeds: of weights and training.
        epochs: at most so many.
        limit: documents of each use, None for all.
        encoder: folder of the pretrained text encoder.
    """

    backbone: Backbone
    canvas: int
    folder: Path
    seeds: Sequence[int]
    epochs: int
    limit: int | None
    encoder: str

    def documents(self, data: str, use: str) -> list[Example]:
        """The documents of one use."""
        return load_examples(f"{data}:{use}", self.backbone, limit=self.limit)

    def fitting(self, data: str, use: str) -> FitData:
        """The documents of one use whose answers fit the canvas, as if to calibrate on."""
        return FitData([], self.documents(data, use)).on_canvas(self.backbone, self.canvas)

    def variants(self, at: str) -> list[Variant]:
        """The methods that are fitted at u = 0 (`u00`), or at `every` fraction."""
        whole = variants(self.encoder)
        return [one for one in whole if at == "u00" or one.name not in AT_U00]

    @property
    def passes(self) -> Passes:
        """Passes over the backbone."""
        return Passes(self.backbone, self.canvas, batch_size=16)

    def place(self, data: str, variant: Variant, seed: int, at: str) -> Path:
        """The folder of one predictor."""
        name = variant.name.replace(", ", "-").replace(":", "")
        return self.folder / "heads" / data / at / name / f"seed-{seed}"

    def fit(self, data: str, at: str, fractions: Sequence[float], seeds: Sequence[int]) -> None:
        """Fits what is not there yet: the readers on shared passes, each text encoder alone."""
        missing = [
            (one, FitJob(one.method, self.place(data, one, seed, at), one.options, seed))
            for one in self.variants(at)
            for seed in one.seeds(seeds)
        ]
        missing = [pair for pair in missing if not (pair[1].output / "config.json").is_file()]
        if not missing:
            return
        train, calibration = (self.documents(data, use) for use in ("train", "calibration"))
        fit = partial(
            fit_all,
            passes=self.passes,
            data=FitData(train, calibration, f"{data}:train"),
            fractions=fractions,
        )
        readers = [job for one, job in missing if one.method != "distilbert"]
        if readers:
            fit(
                readers,
                training=TrainingSettings(epochs=self.epochs),
                store=self.folder / "features",
            )
        for one, job in missing:
            if one.method == "distilbert":
                epochs = one.epochs or self.epochs
                fit([job], training=TrainingSettings(epochs=epochs, mixed_precision="bf16"))

    def load(
        self, data: str, at: str, seeds: Sequence[int], *, costly: bool = True
    ) -> dict[str, FittedPredictor]:
        """Column -> predictor of a data set, as `fit` wrote them, those of COSTLY or without."""
        return {
            f"{one.name}/{seed}": load_predictor(
                one.method,
                self.place(data, one, seed, at),
                backbone=self.backbone,
                canvas=self.canvas,
            )
            for one in self.variants(at)
            for seed in one.seeds(seeds)
            if costly or one.name not in COSTLY
        }
