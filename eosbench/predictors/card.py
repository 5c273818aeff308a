"""The model card of a predictor folder: what it is for, what it was fitted on, how it scored.

It is written from config.json alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

COLUMNS = ("rmse", "coverage", "overshoot", "shortfall", "saved")


def model_card(config: Mapping[str, Any]) -> str:
    """README.md with the front matter that the Hugging Face Hub reads.

    Args:
        config: the content of config.json.
    """
    backbone, method, canvas = config["backbone"], config["method"], config["canvas"]
    name = backbone["name"]
    is_hub_id = str(name).count("/") == 1
    front = [
        "---",
        "library_name: eosbench",
        "tags: [eosbench, length-prediction, diffusion-language-model]",
    ]
    if is_hub_id:
        front.append(f"base_model: {name}")
    options = ", ".join(
        f"`{option}={value}`"
        for option, value in config["options"].items()
        if not isinstance(value, Mapping)
    )
    lines = [
        *front,
        "---",
        "",
        f"# {method}: length predictor for {name}",
        "",
        f"Predicts how long the answer of the diffusion language model `{name}` "
        f"(fingerprint `{backbone['fingerprint']}`) will be, on a canvas of {canvas} tokens. "
        f"Made by `eosbench fit`; options: {options or 'none'}.",
        "",
        "```bash",
        "lm_eval --model varlen_dlm --tasks eos_upper_bound \\",
        f"    --model_args pretrained={name},max_gen_toks={canvas},"
        f"method={method},predictor=THIS_FOLDER_OR_HUB_ID",
        "```",
        "",
        *_encoder(config["options"]),
        *_data(config.get("data", {})),
        *_scores(config.get("fit", {})),
        "Bounds are calibrated by split conformal prediction; the promise holds for documents that "
        "are exchangeable with the",
        "calibration documents, on average over them, and for no other canvas, tokenizer or "
        "backbone.",
    ]
    return "\n".join(lines) + "\n"


def _encoder(options: Mapping[str, Any]) -> list[str]:
    """The section on a pretrained text encoder; nothing where there is none."""
    settings = options.get("encoder_config") or {}
    if "config" not in settings:
        return []
    revisions = {"revision": options["encoder_revision"], "commit": settings["commit"]}
    named = [f"{name} `{value}`" for name, value in revisions.items() if value]
    where = ", ".join([f"`{options['encoder']}`", *named])
    trained = "fine-tuned" if options["train_encoder"] else "not trained further"
    return [
        "## Encoder",
        "",
        f"The prompt's text is read by {where}, a `{settings['config']['model_type']}` "
        f"({trained}; digest of its published weights `{settings['weights']}`). Its weights are in "
        "this folder, under the licence of the encoder.",
        "",
    ]


def _data(data: Mapping[str, Any]) -> list[str]:
    """The section on documents; nothing where config.json does not count them."""
    if not {"train", "calibration"} <= set(data) or not isinstance(data["train"], Mapping):
        return []
    train, calibration = data["train"], data["calibration"]
    return [
        "## Data",
        "",
        f"Source: {data.get('source') or 'not named'}. "
        f"Trained on {train['documents']} documents (digest `{train['digest']}`), "
        f"calibrated on {calibration['documents']} others (digest `{calibration['digest']}`). "
        f"{data.get('censored', 0)} were left out because their answer is longer than the canvas.",
        "",
    ]


def _cell(value: float | None) -> str:
    """A number, or a dash where it is not known or not defined."""
    return "–" if value is None or math.isnan(value) else f"{value:.3g}"


def _scores(fit: Mapping[str, Any]) -> list[str]:
    """The section on scores; nothing where config.json has none."""
    if not fit.get("scores"):
        return []
    rows = []
    for fraction, score in fit["scores"].items():
        cells = [_cell(score.get(name)) for name in COLUMNS]
        rows.append(f"| {fraction} | {' | '.join(cells)} |")
    return [
        "## Scores",
        "",
        "On the calibration documents, by unmasked fraction. `rmse` is the prediction's own; "
        f"the bound's columns are calibrated at alpha = {fit.get('alpha', 0.05):g} on one half of "
        "them and measured on the other, both ways, without rounding.",
        "",
        f"| unmasked | {' | '.join(COLUMNS)} |",
        "| --- |" + " ---: |" * len(COLUMNS),
        *rows,
        "",
    ]
