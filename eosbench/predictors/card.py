"""The model card of a predictor folder: what it is for, what it was fitted on, how it scored.
Written from config.json alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COLUMNS = ("rmse", "coverage", "overshoot", "shortfall", "saved")


def model_card(config: Mapping[str, Any]) -> str:
    """README.md with the front matter that the Hugging Face Hub reads."""
    backbone, method, canvas = config["backbone"], config["method"], config["canvas"]
    is_hub_id = str(backbone["name"]).count("/") == 1
    front = [
        "---",
        "library_name: eosbench",
        "tags: [eosbench, length-prediction, diffusion-language-model]",
    ]
    front += [f"base_model: {backbone['name']}"] if is_hub_id else []
    options = ", ".join(
        f"`{name}={value}`"
        for name, value in config["options"].items()
        if not isinstance(value, Mapping)
    )
    lines = [
        *front,
        "---",
        "",
        f"# {method}: length predictor for {backbone['name']}",
        "",
        f"Predicts how long the answer of the diffusion language model `{backbone['name']}` (fingerprint "
        f"`{backbone['fingerprint']}`) will be, on a canvas of {canvas} tokens. Made by `eosbench fit`; options: "
        f"{options or 'none'}.",
        "",
        "```bash",
        "lm_eval --model varlen_dlm --tasks eos_upper_bound \\",
        f"    --model_args pretrained={backbone['name']},max_gen_toks={canvas},method={method},predictor=THIS_FOLDER_OR_HUB_ID",
        "```",
        "",
        *_data(config.get("data", {})),
        *_scores(config.get("fit", {})),
        "Bounds are calibrated by split conformal prediction; the promise holds for documents that are exchangeable with the",
        "calibration documents, on average over them, and for no other canvas, tokenizer or backbone.",
    ]
    return "\n".join(lines) + "\n"


def _data(data: Mapping[str, Any]) -> list[str]:
    if not {"train", "calibration"} <= set(data) or not isinstance(data["train"], Mapping):
        return []
    train, calibration = data["train"], data["calibration"]
    return [
        "## Data",
        "",
        f"Source: {data.get('source') or 'not named'}. Trained on {train['documents']} documents (digest `{train['digest']}`), "
        f"calibrated on {calibration['documents']} others (digest `{calibration['digest']}`). {data.get('censored', 0)} were "
        "left out because their answer is longer than the canvas.",
        "",
    ]


def _scores(fit: Mapping[str, Any]) -> list[str]:
    if not fit.get("scores"):
        return []
    rows = [
        f"| {fraction} | "
        + " | ".join(f"{score[name]:.3g}" if name in score else "–" for name in COLUMNS)
        + " |"
        for fraction, score in fit["scores"].items()
    ]
    return [
        "## Scores",
        "",
        f"On the calibration documents, by unmasked fraction. `rmse` is the prediction's own; the bound's columns are calibrated "
        f"at alpha = {fit.get('alpha', 0.05):g} on one half of them and measured on the other, both ways, without rounding.",
        "",
        f"| unmasked | {' | '.join(COLUMNS)} |",
        "| --- |" + " ---: |" * len(COLUMNS),
        *rows,
        "",
    ]
