"""The model card of a trained checkpoint, written from training.json alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

METRICS = ("loss", "eos_top1", "eos_prob", "eos_mrr", "eos_false", "coverage", "overshoot")


def training_card(record: Mapping[str, Any], name: str) -> str:
    """README.md with the front matter that the Hugging Face Hub reads."""
    start, data = record["start"], record["data"]
    base = [f"base_model: {start['name']}"] if str(start["name"]).count("/") == 1 else []
    settings = {**record["settings"], **record["arguments"]}
    causal = settings.get("noise") == "causal"
    kind = "An autoregressive language model" if causal else "A masked diffusion language model"
    model, task = ("varlen_ar", "gsm8k") if causal else ("varlen_dlm", "eos_upper_bound")
    tags = "[eosbench]" if causal else "[eosbench, diffusion-language-model]"
    lines = [
        "---",
        "library_name: eosbench",
        f"tags: {tags}",
        *base,
        "---",
        "",
        f"# {name}: {start['name']} after the recipe {record['recipe']}",
        "",
        f"{kind}, trained by `eosbench train {record['recipe']}` for "
        f"{record['steps']} steps with seed {record['seed']}, from `{start['name']}` (fingerprint "
        f"`{start['fingerprint']}`).",
        "",
        "```bash",
        f"lm_eval --model {model} --model_args pretrained={name} --tasks {task}",
        "```",
        "",
        "## Data",
        "",
        f"Sources: {', '.join(data['sources'])}. Digest of the documents: "
        f"`{data.get('digest', 'streamed')}`; held out: {data['held_out']} documents (digest "
        f"`{data['held_out_digest']}`).",
        "",
        "## Settings",
        "",
        "| setting | value |",
        "| --- | --- |",
        *(f"| `{key}` | {_cell(value)} |" for key, value in settings.items()),
        "",
        *_metrics(record["metrics"]),
    ]
    return "\n".join(lines) + "\n"


def _metrics(metrics: Mapping[str, float]) -> list[str]:
    if not metrics:
        return []
    rows = [
        f"| {name} | {_number(metrics, f'eval_{name}')} | {_number(metrics, f'eval_{name}_u50')} |"
        for name in METRICS
    ]
    return [
        "## Held-out documents",
        "",
        "Step zero on documents that were not trained on, before anything and after half of the "
        "answer is unmasked; the bound is the `top1` rule's, not calibrated. `loss` is nats per "
        "masked token of the answers, over both.",
        "",
        "| metric | nothing unmasked | half unmasked |",
        "| --- | ---: | ---: |",
        *rows,
        "",
    ]


def _number(metrics: Mapping[str, float], name: str) -> str:
    return f"{metrics[name]:.3f}" if name in metrics else ""


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
