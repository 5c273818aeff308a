"""Results folders as lm-eval 0.4.13 lays them out.

The structure (keys, nesting, file names) is that of files written by
`lm_eval --model dummy --log_samples`.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from eosbench.documents import Instruction

DATE = "2026-01-02T03-04-05.678901"
STARTED = 1_767_323_045.0  # the same in seconds since 1970

Logged = dict[str, list[dict[str, Any]]]  # a task's name -> its samples


def logged_sample(
    index: int, doc: Instruction, response: str, metrics: dict[str, float]
) -> dict[str, Any]:
    """One line of a samples file: a document, what was answered, and its metrics."""
    fields = {
        name: getattr(doc, name) for name in ("id", "family", "language", "prompt", "response")
    }
    return {
        "doc_id": index,
        "doc": fields,
        "target": doc.response,
        "arguments": {"gen_args_0": {"arg_0": doc.prompt, "arg_1": {"until": []}}},
        "resps": [[response]],
        "filtered_resps": [response],
        "filter": "none",
        "metrics": list(metrics),
        "doc_hash": "0" * 64,
        "prompt_hash": "0" * 64,
        "target_hash": "0" * 64,
        **metrics,
    }


def write_run(
    folder: Path,
    logged: Logged,
    config: dict[str, Any],
    date: str,
    started: float,
    *,
    source: str,
    model: str,
    samples: bool = True,
) -> Path:
    """Writes a results file and, with `samples`, a samples file per task; the former's path.

    Args:
        folder: made if it is not there.
        logged: the samples of every task, from which its scores are computed.
        config: the file's `config`.
        date: in the files' names.
        started: the file's `date`, in seconds since 1970.
        source: the file's `model_source`.
        model: the file's `model_name`.
        samples: whether documents were logged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results = {task: _scores(task, rows) for task, rows in logged.items()}
    if samples:
        for task, rows in logged.items():
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            (folder / f"samples_{task}_{date}.jsonl").write_text(lines, encoding="utf-8")
    members_of: dict[str, list[str]] = {}
    bound_tasks = [task for task in logged if task.startswith("eos_")]
    if bound_tasks:
        results["eos_upper_bound"] = {"name": "eos_upper_bound", "alias": "eos_upper_bound"}
        members_of["eos_upper_bound"] = bound_tasks
    sizes = {task: len(rows) for task, rows in logged.items()}
    data = {
        "results": results,
        "groups": {},
        "group_subtasks": members_of,
        "configs": {task: {"task": task, "output_type": "generate_until"} for task in logged},
        "versions": dict.fromkeys(logged, 1.0),
        "higher_is_better": {
            task: dict.fromkeys(rows[0]["metrics"], True) for task, rows in logged.items()
        },
        "n-samples": {task: {"original": n, "effective": n} for task, n in sizes.items()},
        "config": config,
        "date": started,
        "model_source": source,
        "model_name": model,
    }
    path = folder / f"results_{date}.json"
    path.write_text(json.dumps(data, indent=2), encoding="utf-8")
    return path


def _scores(task: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A task's entry under `results`: means and standard errors over its samples."""
    entry: dict[str, Any] = {"name": task, "alias": task, "sample_len": len(rows)}
    for metric in rows[0]["metrics"]:
        values = np.array([row[metric] for row in rows], dtype=float)
        defined = values[~np.isnan(values)]
        mean = float(defined.mean()) if defined.size else math.nan
        if metric == "squared_error":
            entry |= {"rmse,none": math.sqrt(mean), "rmse_stderr,none": "N/A"}
            continue
        stderr: float | str = "N/A"
        if defined.size > 1:
            stderr = float(defined.std(ddof=1) / math.sqrt(defined.size))
        entry |= {f"{metric},none": mean, f"{metric}_stderr,none": stderr}
    return entry
