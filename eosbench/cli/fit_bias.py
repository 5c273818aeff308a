"""`eosbench fit --method cal`: the five constants of CAL's length bias, for one model.

CAL has no predictor. It divides by B(l), the confidence of a model in l masks whatever the text,
and that is fitted on gaps in texts of the kind that it is to fill.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from eosbench.cli.shared import names
from eosbench.errors import ConfigurationError
from eosbench.places import writing
from eosbench.strict_json import strict_dumps

if TYPE_CHECKING:
    from eosbench.backbone import Backbone
    from eosbench.fitting import FitData
    from eosbench.strategies import BiasFit

METHOD, CONFIG = "cal", "config.json"
USUAL_GAPS = 300  # each takes up to twelve passes


def check_words(method: str, seeds: Sequence[int], **given: object) -> None:
    """Refuses what has no meaning for this fit, before anything is loaded.

    Args:
        method: the value of --method, with `cal` in it.
        seeds: of the draw of gaps.
        given: options of `eosbench fit` that are about predictors, by name.

    Raises:
        ConfigurationError: other methods beside `cal`, several seeds, or one of these options.
    """
    if names(method) != [METHOD]:
        raise ConfigurationError(
            f"--method {method}: cal has five constants and no predictor: fit it by itself, "
            f"with --method {METHOD}"
        )
    said = [name for name, value in given.items() if value]
    if said or len(seeds) > 1:
        raise ConfigurationError(
            f"--{said[0] if said else 'seed with commas'}: --method {METHOD} fits five constants "
            "to confidences in gaps of --data, and trains and calibrates nothing: leave it out"
        )


def fit_bias(
    backbone: Backbone, data: FitData, *, name: str, output: Path, seed: int, batch_size: int
) -> BiasFit:
    """Draws a gap in every answer, fits B(l), and writes the constants to config.json.

    Args:
        backbone: the model.
        data: the documents that it is to be used on, as `train`.
        name: of the model, as it was given.
        output: the folder.
        seed: of the gaps.
        batch_size: sequences per pass at most.

    Raises:
        ConfigurationError: a model that shows no whole canvas, or too few gaps.
    """
    from eosbench.strategies import Gap, fit_length_bias

    if backbone.spec.attention == "block":
        raise ConfigurationError(
            f"method {METHOD!r} looks at a whole canvas, and {backbone.spec.family} attends "
            "causally between blocks: take another model"
        )
    gaps = [
        Gap.drawn(example.prompt_ids, example.response_ids, seed=seed)
        for example in data.train
        if example.response_ids
    ]
    fit = fit_length_bias(backbone, gaps, batch_size=batch_size)
    record: dict[str, Any] = {
        "method": METHOD,
        "options": constants(fit),
        "lengths": fit.lengths,
        "confidences": fit.confidences,
        "gaps": fit.counts,
        "seed": seed,
        "backbone": {"name": name, "fingerprint": backbone.spec.fingerprint},
        "data": {"source": data.source, **data.facts()["train"]},
    }
    with writing(f"--output {output}"):
        output.mkdir(parents=True, exist_ok=True)
        (output / CONFIG).write_text(strict_dumps(record, indent=2) + "\n", encoding="utf-8")
    return fit


def constants(fit: BiasFit) -> dict[str, float]:
    """The five constants as options of the method, to six digits."""
    return {name: float(f"{value:.6g}") for name, value in fit.options.items()}


def bias_table(fit: BiasFit) -> Table:
    """A row for each length: the confidence that was measured, and B(l)."""
    table = Table(title="fitted", title_justify="left")
    for heading in ("masks", "mean confidence", "B", "gaps"):
        table.add_column(heading, justify="right")
    for at, confidence, gaps in zip(fit.lengths, fit.confidences, fit.counts, strict=True):
        measured = f"{confidence:.3f}" if gaps else "–"
        table.add_row(str(at), measured, f"{fit.bias.at(at):.3f}", str(gaps))
    return table
