"""Several methods through lm-eval in one process: one backbone, one shared step zero, one lm-eval result set per method.

    eosbench sweep --methods all --tasks eos_upper_bound,gsm8k --output_path results/

Each method runs stock `lm_eval.simple_evaluate` and writes its results with lm-eval's own tracker, so that nothing downstream
can tell a sweep from separate runs. What is shared is the model in memory and, through one LengthReader, the first forward pass
over every prompt.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eosbench import embedded
from eosbench.errors import ConfigurationError
from eosbench.predictors import METHODS, THE_FIVE

logger = logging.getLogger(__name__)

CARRY_REFERENCE = ("eos_upper_bound", "varlen_instruct")  # tasks whose requests hold the reference answer


def chosen_methods(names: str) -> list[str]:
    """`all`, `five`, or a comma-separated list.

    Raises:
        ConfigurationError: an unknown method, or none.
    """
    if names == "all":
        return list(METHODS)
    methods = list(THE_FIVE) if names == "five" else [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in methods if name not in METHODS]
    if unknown or not methods:
        known = ", ".join(METHODS)
        raise ConfigurationError(f"unknown method {', '.join(unknown) or names!r}: expected all, five, or some of {known}")
    return list(dict.fromkeys(methods))


def sweep(
    methods: Sequence[str],
    tasks: Sequence[str],
    output_path: Path,
    *,
    model_args: Mapping[str, Any] | None = None,
    predictors: Path | None = None,
    **evaluate: Any,
) -> dict[str, dict[str, Any]]:
    """Runs every method over the tasks.

    Args:
        methods: names of METHODS.
        tasks: names that lm-eval knows.
        output_path: gets one folder per method, as `lm_eval --output_path` would write it.
        model_args: of `varlen_dlm`, without `method` and `predictor`.
        predictors: a folder of fitted predictors, one folder per method; the embedded model brings its own.
        evaluate: passed on to lm_eval.simple_evaluate (limit, log_samples, apply_chat_template, ...).

    Returns:
        method -> lm-eval's results.

    Raises:
        ConfigurationError: an unknown task or argument, or one that a sweep sets itself.
    """
    import lm_eval
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    import eosbench.plugin
    from eosbench.lengths import LengthReader
    from eosbench.predictors import load_predictor
    from model_adapters import load_backbone
    from model_adapters.arguments import parse_arguments
    from model_adapters.processes import Processes
    from model_adapters.varlen_dlm import VarLenDLM

    eosbench.plugin.register()
    given = dict(model_args or {})
    taken = sorted(set(given) & {"method", "predictor"})
    if taken:
        raise ConfigurationError(f"a sweep sets {', '.join(taken)} itself: use --methods and --predictors")
    manager = TaskManager()
    unknown = [task for task in tasks if task not in manager.all_tasks]
    if unknown or not tasks:
        raise ConfigurationError(f"lm-eval knows no task {', '.join(unknown) or '(none given)'}: lm_eval ls tasks lists them")

    runs = {method: parse_arguments({**given, "method": method, "predictor": _folder(predictors, method)}) for method in methods}
    first = next(iter(runs.values()))
    processes = Processes(first.device)
    backbone = load_backbone(
        str(embedded.MODEL) if first.is_embedded else first.pretrained,
        device=processes.device,
        dtype=first.dtype,
        revision=first.revision,
        trust_remote_code=first.trust_remote_code,
    )
    fitted = {
        method: load_predictor(method, run.predictor_folder(), backbone=backbone, canvas=run.max_gen_toks, options=run.options)
        for method, run in runs.items()
    }
    reader = LengthReader(backbone, fitted, keep=True)
    results = {}
    for method, run in runs.items():
        chosen = [task for task in tasks if method != "oracle" or task.startswith(CARRY_REFERENCE)]
        if chosen != list(tasks):
            logger.warning("the oracle runs on %s only: other tasks do not send a reference answer", chosen or "nothing here")
        if not chosen:
            continue
        tracker = EvaluationTracker(output_path=str(output_path / method))
        outcome = lm_eval.simple_evaluate(
            model=VarLenDLM.sharing(run, backbone, reader),
            model_args=",".join(f"{name}={value}" for name, value in {**given, "method": method}.items()),
            tasks=chosen,
            task_manager=manager,
            evaluation_tracker=tracker,
            **evaluate,
        )
        if outcome is None:  # not the first of several processes
            continue
        outcome["config"]["model"] = eosbench.plugin.MODEL_NAME
        samples = outcome.pop("samples", {})
        tracker.save_results_aggregated(results=outcome, samples=samples)
        for task, logged in samples.items():
            tracker.save_results_samples(task_name=task, samples=logged)
        results[method] = outcome
    return results


def _folder(predictors: Path | None, method: str) -> str | None:
    """The method's folder among fitted predictors, None where it has none."""
    folder = None if predictors is None else predictors / method
    return str(folder) if folder is not None and folder.is_dir() else None
