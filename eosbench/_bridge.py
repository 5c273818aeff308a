"""The import hook that starts eosbench.plugin when lm-eval is imported.

Through it the stock `lm_eval` command finds our model and tasks.
The one-line `.pth` file of an installed eosbench imports this module at the start of every
interpreter. It must cost next to nothing there, so it imports what Python has already loaded and
nothing else. `install` puts a finder before Python's own. The finder knows two modules: it lets
them load as ever and, once they ran, calls the function of eosbench.plugin named here. See
docs/plugin.md.
"""

import os
import sys

TYPE_CHECKING = False  # typing.TYPE_CHECKING without importing typing
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

AFTER_IMPORT_OF = {"lm_eval.models": "add_model", "lm_eval.tasks": "add_tasks"}


class LmEvalFinder:
    """A meta-path finder that finds what Python would have found, then calls eosbench.plugin."""

    def find_spec(
        self, fullname: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """The spec of one of the two modules, whose loader calls the plugin; None for others."""
        if fullname not in AFTER_IMPORT_OF:
            return None
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: "ModuleType") -> None:
            execute(module)
            call_plugin(AFTER_IMPORT_OF[fullname])

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def call_plugin(function: str) -> None:
    """Calls `eosbench.plugin.<function>()`.

    Whatever goes wrong is a warning: lm-eval must keep working for everything else.
    """
    try:
        from eosbench import plugin

        getattr(plugin, function)()
    except Exception as error:
        import logging

        logging.getLogger("eosbench").warning(
            "eosbench could not plug into this lm-eval (%s: %s), so its model or its tasks are "
            "missing. Install a supported version with pip install 'lm_eval>=0.4.12,<0.5', or "
            "switch eosbench off with EOSBENCH_PLUGIN=0",
            type(error).__name__,
            error,
        )


def install() -> None:
    """Puts the finder in place, once; does nothing under EOSBENCH_PLUGIN=0."""
    if os.environ.get("EOSBENCH_PLUGIN") == "0" or any(
        isinstance(finder, LmEvalFinder) for finder in sys.meta_path
    ):
        return
    sys.meta_path.insert(0, LmEvalFinder())
