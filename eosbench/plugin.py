"""Registration of the models and the tasks with lm-eval.

Installed, nothing needs to be typed: eosbench/_bridge.py calls `add_model` and `add_tasks` as soon
as lm-eval is imported. From a bare checkout, or under EOSBENCH_PLUGIN=0, the same by hand:

    import eosbench.plugin
    eosbench.plugin.register()

The package also declares its model, its tasks and its metrics in lm-eval's own entry-point groups.
Whatever the installed lm-eval finds there by itself is left alone. Why there is a bridge at all,
and what to delete once every supported lm-eval finds everything, is in docs/plugin.md.
"""

from __future__ import annotations

import functools
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from eosbench.errors import ConfigurationError
from eosbench.openmp import let_threads_sleep

MODEL_NAME = "varlen_dlm"
MODELS = {
    MODEL_NAME: "model_adapters.varlen_dlm:VarLenDLM",
    "varlen_ar": "model_adapters.varlen_ar:VarLenAR",
}


def register() -> None:
    """Makes the models and the packaged tasks known to the lm-eval of this process.

    Calling it again changes nothing.

    Raises:
        ImportError: lm-eval is missing, or lacks one of the modules that are extended here.
        ConfigurationError: the task folder is missing, or lm-eval's TaskManager takes no include
            path.
    """
    add_model()
    add_tasks()


def tasks_folder() -> Path:
    """The folder with the YAML tasks: `_tasks` in the package, else the repository's `tasks`.

    In a checkout the first is a link to the second, where the file system has links.

    Raises:
        ConfigurationError: neither exists.
    """
    package = Path(__file__).resolve().parent
    candidates = (package / "_tasks", package.parent / "tasks")
    for folder in candidates:
        if folder.is_dir():
            return folder.resolve()
    raise ConfigurationError(
        f"found no task files, expected {candidates[0]} or {candidates[1]}: "
        "repair the installation with pip install --force-reinstall --no-deps eosbench"
    )


def add_model() -> None:
    """Registers `varlen_dlm` and `varlen_ar` lazily, unless lm-eval found them already.

    Adapter and torch are imported when a model is used.
    """
    _sleep_for_our_model()
    # lm-eval registers its own models only into an empty registry, so they come first.
    import lm_eval.models  # noqa: F401
    from lm_eval.api.registry import model_registry

    for name, target in MODELS.items():
        if name not in model_registry:
            model_registry.register(name, target=target)


def add_tasks() -> None:
    """Adds our task folder to those of every TaskManager that has lm-eval's own tasks.

    It comes before the caller's own include paths, which may override a task. Under
    `include_defaults=False` a TaskManager has our tasks where the caller names the folder, and not
    otherwise. An lm-eval that discovered the folder by itself is left alone.

    Raises:
        ConfigurationError: the task folder is missing, or TaskManager takes no `include_path`.
    """
    _sleep_for_our_model()
    from lm_eval.tasks import manager
    from lm_eval.tasks.manager import TaskManager

    original = TaskManager.__init__
    folder = tasks_folder()
    if hasattr(original, "eosbench_tasks") or folder in _discovered(manager):
        return
    signature = inspect.signature(original)
    if "include_path" not in signature.parameters:
        raise ConfigurationError(
            f"TaskManager{signature} has no include_path, through which eosbench adds its tasks"
        )

    @functools.wraps(original)
    def with_our_tasks(self: Any, *args: Any, **kwargs: Any) -> None:
        call = signature.bind(self, *args, **kwargs)
        if call.arguments.get("include_defaults", True):
            call.arguments["include_path"] = _prepend(folder, call.arguments.get("include_path"))
        original(*call.args, **call.kwargs)

    with_our_tasks.eosbench_tasks = folder  # type: ignore[attr-defined]
    TaskManager.__init__ = with_our_tasks


def _sleep_for_our_model() -> None:
    """Prepares torch, which lm-eval loads before the model, where a command line asks for ours."""
    if any(argument.endswith(tuple(MODELS)) for argument in sys.argv):
        let_threads_sleep()


def _discovered(manager: ModuleType) -> list[Path]:
    """The task folders of installed packages that this lm-eval finds by itself."""
    discover = getattr(manager, "discover_plugin_task_paths", None)
    return [Path(path).resolve() for path in discover()] if discover else []


def _prepend(
    folder: Path, given: str | Path | list[str | Path] | tuple[str | Path, ...] | None
) -> list[str | Path]:
    """The include paths with our folder in front, unless it is among them."""
    paths: list[str | Path] = []
    if isinstance(given, list | tuple):
        paths = list(given)
    elif given:
        paths = [given]
    if any(Path(path).resolve() == folder for path in paths):
        return paths
    return [folder, *paths]
