"""Several methods through lm-eval in one process: one backbone, one shared step zero, one lm-eval
result set per method.

    eosbench sweep --methods all --tasks eos_upper_bound,gsm8k --output_path results/
    eosbench sweep --methods five --alpha 0.01,0.05,0.2 --quantile 0.25,0.5 --output_path results/    # curves

Each method runs stock `lm_eval.simple_evaluate` and writes its results with lm-eval's own tracker,
so that nothing downstream can tell a sweep from separate runs of `lm_eval --model varlen_dlm`. What
is shared is the model in memory and, through one LengthReader, the first forward pass over every
prompt: another alpha or another rule on the same probabilities costs none.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from eosbench import embedded
from eosbench.errors import ConfigurationError, PredictorError
from eosbench.predictors import THE_FIVE, row_of
from eosbench.strategies import ALL_METHODS, STRATEGIES

logger = logging.getLogger(__name__)

# Tasks that ask for a bound before decoding, which a strategy does not predict.
BOUND_TASKS = ("eos_upper_bound",)
# Tasks whose requests hold the reference answer.
CARRY_REFERENCE = ("eos_upper_bound", "varlen_instruct")


def chosen_methods(names: str, known: Iterable[str] = tuple(ALL_METHODS)) -> list[str]:
    """`all` of the known ones, `five`, or a comma-separated list.

    Raises:
        ConfigurationError: an unknown method, or none.
    """
    if names == "all":
        return list(known)
    methods = (
        list(THE_FIVE)
        if names == "five"
        else [name.strip() for name in names.split(",") if name.strip()]
    )
    unknown = [name for name in methods if name not in known]
    if unknown or not methods:
        raise ConfigurationError(
            f"unknown method {', '.join(unknown) or names!r}: expected all, five, or some of {', '.join(known)}"
        )
    return list(dict.fromkeys(methods))


def sweep(
    methods: Sequence[str],
    tasks: Sequence[str],
    output_path: Path,
    *,
    model_args: Mapping[str, Any] | str | None = None,
    predictors: Path | None = None,
    alphas: Sequence[float] = (),
    taus: Sequence[float] = (),
    quantiles: Sequence[float] = (),
    batch_size: int | None = None,
    device: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    task_manager: Any = None,
    **evaluate: Any,
) -> dict[str, dict[str, Any]]:
    """Runs every method over the tasks.

    Args: methods: names of ALL_METHODS. tasks: names that lm-eval knows. output_path: gets one
        folder per method, as `lm_eval --output_path` would write it; of a method that runs several
        times,
            one folder in it for each.
        model_args: of `varlen_dlm`, without `method` and `predictor`, as a mapping or as lm-eval's
            name=value,name=value.
        predictors: a folder of fitted predictors, one folder per method; the embedded model brings
            its own.
        alphas: runs methods that can be calibrated once for each of them, instead of at the one
            among the model arguments.
        taus: also runs `logit` (threshold), `smartcrop` and `classification` at these thresholds.
            Their calibration is that of the rule they were fitted with, so these runs are not
            calibrated.
        quantiles: also runs `logit` at these quantiles, likewise.
        batch_size, device: as lm-eval's own flags; None leaves them to `varlen_dlm`.
        metadata: for the tasks' data sets, e.g. {"split": "length_ood"}.
        task_manager: lm-eval's, by default one that knows lm-eval's tasks and ours.
        evaluate: passed on to lm_eval.simple_evaluate (limit, log_samples, apply_chat_template,
            ...).

    Returns: method, or "method alpha=0.1" -> lm-eval's results; a method that none of the tasks can
        run with is left out.

    Raises: ConfigurationError: an unknown task or argument, one that a sweep sets itself, or the
        same one twice. PredictorError: a method needs a fitted predictor and there is none, or it
        was fitted for something else.
    """
    import lm_eval
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager
    from lm_eval.utils import simple_parse_args_string

    import eosbench.plugin
    from eosbench.predictors import LengthReader, load_predictor
    from model_adapters import load_backbone
    from model_adapters.varlen_dlm import Processes, VarLenDLM, parse_arguments

    given = (
        simple_parse_args_string(model_args)
        if isinstance(model_args, str)
        else dict(model_args or {})
    )
    flags = {
        name: value
        for name, value in (("batch_size", batch_size), ("device", device))
        if value is not None
    }
    _refuse(
        given, ("method", "predictor"), "a sweep sets {} itself: use --methods and --predictors"
    )
    swept = {
        name: True
        for name, values in (("alpha", alphas), ("tau", taus), ("q", quantiles))
        if values
    }
    _refuse(given, swept, "{} stands among the model arguments and is swept over: give it once")
    _refuse(given, flags, "{} stands among the model arguments and beside them: give it once")
    arguments = {
        _label(method, variant): _arguments(given, method, predictors, variant)
        for method in methods
        for variant in _variants(method, alphas, taus, quantiles)
    }
    runs = {label: parse_arguments(one | flags) for label, one in arguments.items()}
    if not runs:
        raise ConfigurationError(
            "a sweep over no methods: expected all, five, or names with commas"
        )

    eosbench.plugin.register()
    manager = task_manager or TaskManager(metadata={**given, **(metadata or {})})
    unknown = [task for task in tasks if task not in manager.all_tasks]
    if unknown or not tasks:
        raise ConfigurationError(
            f"lm-eval knows no task {', '.join(unknown) or '(none given)'}: lm_eval ls tasks lists them"
        )

    first = next(iter(runs.values()))
    processes = Processes(first.device)
    backbone = load_backbone(**first.loading(), device=processes.device)
    fitted = {
        rule: load_predictor(
            run.method,
            run.predictor_folder(),
            backbone=backbone,
            canvas=run.max_gen_toks,
            options=run.options,
        )
        for rule, run in {_rule(label): run for label, run in runs.items()}.items()
        if not run.decides_while_decoding
    }
    for label, run in runs.items():
        if not run.decides_while_decoding:  # known now, not when the methods before it have run
            fitted[_rule(label)].check_promise(run.promise, canvas=run.max_gen_toks)
    reader = LengthReader(backbone, fitted, keep=True)
    results = {}
    environment = _EnvironmentDescribedOnce()
    for label, run in runs.items():
        chosen = _tasks_of(run.method, tasks)
        if not chosen:
            continue
        tracker = EvaluationTracker(output_path=str(output_path.joinpath(*label.split(" "))))
        with environment:
            outcome = lm_eval.simple_evaluate(
                model=VarLenDLM.sharing(run, backbone, reader, _rule(label)),
                model_args=arguments[label],
                batch_size=batch_size,
                device=device,
                tasks=chosen,
                task_manager=manager,
                evaluation_tracker=tracker,
                **evaluate,
            )
        if outcome is None:  # not the first of several processes
            continue
        outcome["config"]["model"] = tracker.general_config_tracker.model_source = (
            eosbench.plugin.MODEL_NAME
        )
        samples = outcome.pop("samples", {})
        tracker.save_results_aggregated(results=outcome, samples=samples)
        for task, logged in samples.items():
            tracker.save_results_samples(task_name=task, samples=logged)
        results[label] = outcome
    return results


def _variants(
    method: str, alphas: Sequence[float], taus: Sequence[float], quantiles: Sequence[float]
) -> list[dict[str, str | float]]:
    """What a method's runs set beside the model arguments.

    >>> _variants("logit", [0.1, 0.2], [], [0.5])
    [{'alpha': 0.1}, {'alpha': 0.2}, {'variant': 'quantile', 'q': 0.5}]
    >>> _variants("fixed", [0.1, 0.2], [], [0.5])
    [{}]
    """
    calibrated = row_of(method, ALL_METHODS).fitting != "none"
    variants: list[dict[str, str | float]] = (
        [{"alpha": alpha} for alpha in alphas] if calibrated and alphas else [{}]
    )
    threshold = {"logit": {"variant": "threshold"}, "smartcrop": {}, "classification": {}}
    if method in threshold:
        variants += [{**threshold[method], "tau": tau} for tau in taus]
    if method == "logit":
        variants += [{"variant": "quantile", "q": q} for q in quantiles]
    return variants


def _label(method: str, variant: Mapping[str, str | float]) -> str:
    """
    >>> _label("logit", {"variant": "quantile", "q": 0.5}), _label("logit", {"alpha": 0.1}), _label("logit", {})
    ('logit q=0.5', 'logit alpha=0.1', 'logit')
    """
    return " ".join(
        [
            method,
            *(f"{name}={value:g}" for name, value in variant.items() if not isinstance(value, str)),
        ]
    )


def _rule(label: str) -> str:
    """The predictor of a run: runs that differ in alpha share one.

    >>> _rule("logit alpha=0.1"), _rule("logit q=0.5")
    ('logit', 'logit q=0.5')
    """
    return label.partition(" alpha=")[0]


def _tasks_of(method: str, tasks: Sequence[str]) -> list[str]:
    """The tasks that a method can run, with a warning about the others."""
    if method == "oracle":
        chosen, reason = (
            [task for task in tasks if task.startswith(CARRY_REFERENCE)],
            "no reference answer is sent there",
        )
    elif method in STRATEGIES:
        chosen, reason = (
            [task for task in tasks if not task.startswith(BOUND_TASKS)],
            "they ask for a bound before decoding",
        )
    else:
        return list(tasks)
    left_out = [task for task in tasks if task not in chosen]
    if left_out:
        logger.warning("method %s is left out of %s: %s", method, ", ".join(left_out), reason)
    return chosen


class _EnvironmentDescribedOnce:
    """lm-eval describes the machine in every results file, by `pip list` and other commands that
    take seconds: one description
    serves all methods."""

    def __init__(self) -> None:
        from torch.utils import collect_env

        self._module, self._describe = collect_env, collect_env.get_pretty_env_info
        self._once = functools.cache(self._describe)

    def __enter__(self) -> None:
        self._module.get_pretty_env_info = self._once

    def __exit__(self, *_: object) -> None:
        self._module.get_pretty_env_info = self._describe


def _refuse(given: Mapping[str, Any], names: Iterable[str], message: str) -> None:
    taken = sorted(set(given) & set(names))
    if taken:
        raise ConfigurationError(message.format(", ".join(taken)))


def _arguments(
    given: Mapping[str, Any],
    method: str,
    predictors: Path | None,
    variant: Mapping[str, str | float],
) -> dict[str, Any]:
    """The model arguments of one run: what was given, the method, and its folder among the fitted
    predictors.

    What only some methods can use is left out for the others: settings of bounds for those that
    predict none, promises beyond a coverage for those that are not calibrated.
    """
    from model_adapters.varlen_dlm import OF_BOUNDS, OTHER_PROMISES

    given = {**given, **variant}
    if predictors is not None and not predictors.is_dir():
        raise ConfigurationError(
            f"no folder {predictors}: expected one with a fitted predictor per method, as eosbench fit makes it"
        )
    if method in STRATEGIES:  # what the other methods are told of bounds has no meaning for it
        return {name: value for name, value in given.items() if name not in OF_BOUNDS} | {
            "method": method
        }
    fitting, own_rule = row_of(method).fitting, bool({"tau", "q"} & set(variant))
    unpromised = {name: value for name, value in given.items() if name not in OTHER_PROMISES}
    # A rule of its own, not the folder's.
    if fitting == "none" or (fitting == "calibration" and own_rule):
        return {**unpromised, "method": method}
    folder = None if predictors is None else predictors / method
    if folder is not None and folder.is_dir():
        return {**(unpromised if own_rule else given), "method": method, "predictor": str(folder)}
    pretrained = given.get("pretrained", embedded.NAME)
    if fitting in ("weights", "lengths") and pretrained != embedded.NAME:
        there = "--predictors names none" if folder is None else f"there is none at {folder}"
        raise PredictorError(
            f"method {method!r} needs a fitted predictor and {there}: make it with "
            f"eosbench fit --method {method} --pretrained {pretrained} --data ... --output {folder or f'FOLDER/{method}'}"
        )
    calibrated = pretrained == embedded.NAME and not own_rule
    return {**(given if calibrated else unpromised), "method": method}
