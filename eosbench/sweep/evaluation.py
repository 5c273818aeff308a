"""Several methods through lm-eval in one process: `eosbench sweep`.

All share one backbone and one step zero, and each gets an lm-eval result set of its own:

    eosbench sweep --methods all --tasks eos_upper_bound,gsm8k --output_path results/
    eosbench sweep --methods five --alpha 0.01,0.05,0.2 --quantile 0.25,0.5 --output_path results/
    eosbench sweep --methods five --step_zero full,grid:31 --predictors heads --output_path results/

Each run is a stock `lm_eval.simple_evaluate` and writes its results with lm-eval's own tracker, so
that nothing downstream can tell a sweep from separate runs of `lm_eval --model varlen_dlm`. What is
shared is the model in memory and, through one LengthReader, the first forward pass over every
prompt: another alpha or another rule on the same probabilities costs none, and another part of the
canvas one pass for all methods.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lm_eval
from lm_eval.loggers import EvaluationTracker
from lm_eval.tasks import TaskManager
from lm_eval.utils import simple_parse_args_string
from torch.utils import collect_env

import eosbench.plugin
from eosbench.backbone import Backbone
from eosbench.errors import ConfigurationError
from eosbench.places import check_folder
from eosbench.predictors import FittedPredictor, LengthReader, load_predictor
from eosbench.strategies import load_strategy
from eosbench.sweep.choice import tasks_for
from eosbench.sweep.grid import Grid
from eosbench.sweep.plan import Run, planned_runs
from model_adapters import load_backbone
from model_adapters.varlen_dlm import Processes, VarLenDLM, check_places, fits_blocks

__all__ = ["sweep"]

logger = logging.getLogger(__name__)


def sweep(
    methods: Sequence[str],
    tasks: Sequence[str],
    output_path: Path,
    *,
    model_args: Mapping[str, Any] | str | None = None,
    predictors: Path | None = None,
    grid: Grid | None = None,
    batch_size: int | None = None,
    device: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    task_manager: TaskManager | None = None,
    **evaluate: Any,
) -> dict[str, dict[str, Any]]:
    """Runs every method over the tasks.

    Args:
        methods: names of ALL_METHODS.
        tasks: names that lm-eval knows.
        output_path: gets one folder per method, as `lm_eval --output_path` would write it; of a
            method that runs several times, one folder in it for each.
        model_args: of `varlen_dlm`, without `method` and `predictor`, as a mapping or as lm-eval's
            name=value,name=value.
        predictors: a folder of fitted predictors, one folder per method and part of the canvas;
            the embedded model brings its own.
        grid: levels, rules and parts of the canvas to go through; by default every method runs
            once.
        batch_size, device: as lm-eval's own flags; None leaves them to `varlen_dlm`.
        metadata: for the data sets of the tasks, e.g. {"split": "length_ood"}.
        task_manager: lm-eval's, by default one that knows lm-eval's tasks and ours.
        evaluate: passed on to lm_eval.simple_evaluate (limit, log_samples, apply_chat_template,
            ...).

    Returns:
        The name of each run ("logit", or "logit alpha=0.1") -> lm-eval's results. A method that
        none of the tasks can run with is left out.

    Raises:
        ConfigurationError: an unknown task or argument, one that a sweep sets itself, or the same
            one twice.
        PredictorError: a method needs a fitted predictor and there is none, or it was fitted for
            something else.
        CalibrationError: a promise that the calibration documents of a method cannot keep.
    """
    given = model_args or {}
    if isinstance(given, str):
        given = simple_parse_args_string(given)
    flags = _given(batch_size=batch_size, device=device)
    runs = planned_runs(methods, given, flags=flags, predictors=predictors, grid=grid or Grid())

    for run in runs:
        check_folder(output_path / run.folder, f"--output_path {output_path}")
        check_places(run.arguments)
    eosbench.plugin.register()
    manager = task_manager or TaskManager(metadata={**given, **(metadata or {})})
    _check_tasks(tasks, manager)

    first = runs[0].arguments
    processes = Processes(first.device)
    backbone = load_backbone(**first.loading(), device=processes.device)
    fitted = _loaded_predictors(runs, backbone)
    runs = [run for run in runs if _fits(run, backbone, fitted)]
    used = {run.predictor for run in runs}
    shared = {name: one for name, one in fitted.items() if name in used}
    reader = LengthReader(backbone, shared, keep=True, first_positions=first.first_positions)

    results = {}
    with _environment_described_once():
        for run in runs:
            run_tasks = tasks_for(run.method, tasks)
            if not run_tasks:
                continue
            tracker = EvaluationTracker(output_path=str(output_path / run.folder))
            outcome = lm_eval.simple_evaluate(
                model=VarLenDLM.sharing(run.arguments, backbone, reader, run.predictor),
                model_args=dict(run.model_args),
                batch_size=batch_size,
                device=device,
                tasks=run_tasks,
                task_manager=manager,
                evaluation_tracker=tracker,
                **evaluate,
            )
            if outcome is not None:  # only the first of several processes has it
                _save(outcome, tracker)
                results[run.label] = outcome
    return results


def _given(**flags: Any) -> dict[str, Any]:
    """Those flags that are not None."""
    return {name: value for name, value in flags.items() if value is not None}


def _check_tasks(tasks: Sequence[str], manager: TaskManager) -> None:
    """Refuses tasks that lm-eval does not know, and an empty list."""
    unknown = [task for task in tasks if task not in manager.all_tasks]
    if unknown or not tasks:
        raise ConfigurationError(
            f"lm-eval knows no task {', '.join(unknown) or '(none given)'}: "
            "lm_eval ls tasks lists them"
        )


def _loaded_predictors(runs: Sequence[Run], backbone: Backbone) -> dict[str, FittedPredictor]:
    """The predictors of all runs, by `Run.predictor`.

    What a run promises is checked now, not when the runs before it have finished.
    """
    fitted: dict[str, FittedPredictor] = {}
    for run in runs:
        arguments = run.arguments
        if arguments.decides_while_decoding:
            continue
        if run.predictor not in fitted:
            fitted[run.predictor] = load_predictor(
                run.method,
                arguments.predictor_folder(),
                backbone=backbone,
                canvas=arguments.max_gen_toks,
                options=arguments.options,
            )
        fitted[run.predictor].check_promise(arguments.usual_promise, canvas=arguments.max_gen_toks)
    return fitted


def _fits(run: Run, backbone: Backbone, fitted: Mapping[str, FittedPredictor]) -> bool:
    """Whether the model has what the method of a run looks at, with a warning where not."""
    method: FittedPredictor | None = None
    if run.arguments.decides_while_decoding:
        try:
            load_strategy(run.method, run.arguments.options).prepare(backbone, [])
        except ConfigurationError as error:
            logger.warning("method %s is left out: %s", run.method, error)
            return False
    else:
        method = fitted[run.predictor]
    if backbone.spec.attention == "full" or fits_blocks(run.method, method):
        return True
    logger.warning(
        "method %s is left out: it looks at the whole canvas, and %s attends causally between "
        "blocks",
        run.method,
        backbone.spec.family,
    )
    return False


def _save(outcome: dict[str, Any], tracker: EvaluationTracker) -> None:
    """Writes the results and samples of one run, as lm-eval's command line does."""
    model = eosbench.plugin.MODEL_NAME
    outcome["config"]["model"] = tracker.general_config_tracker.model_source = model
    samples = outcome.pop("samples", {})
    tracker.save_results_aggregated(results=outcome, samples=samples)
    for task, logged in samples.items():
        tracker.save_results_samples(task_name=task, samples=logged)


@contextmanager
def _environment_described_once() -> Iterator[None]:
    """One description of the machine for all runs.

    lm-eval describes it in every results file, by `pip list` and other commands that take seconds.
    """
    describe = collect_env.get_pretty_env_info
    collect_env.get_pretty_env_info = functools.cache(describe)
    try:
        yield
    finally:
        collect_env.get_pretty_env_info = describe
