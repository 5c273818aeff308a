"""The table of the length-prediction methods: one row each, which loads nothing.

A row says where the class of a method stands and what must be known of the method before that class
is loaded: listing, checking and planning need no torch. The options of a method stand in one place,
the keywords of its class.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from eosbench.errors import ConfigurationError

if TYPE_CHECKING:
    from eosbench.forward import Need

Reads = Literal["eos", "hidden", "text", "reference"]
Fitting = Literal["weights", "lengths", "prompts", "calibration", "none"]

# Keywords of a class that are no options: `build` fills them in.
FACTS = ("backbone", "canvas", "files", "width")

__all__ = ["FACTS", "METHODS", "THE_FIVE", "Fitting", "Method", "Reads", "row_of"]


@dataclass(frozen=True)
class Method:
    """A row: one value of the model argument `method`.

    Attributes:
        target: the class of the method, as "module:Class".
        summary: what the method does, in one line.
        order: its place in lists and tables, which are sorted by it.
        reads: what it looks at: the EOS probabilities or the hidden states of step zero, the text
            of the prompt, or the reference answer.
        fitting: what `eosbench fit` does for it: trains weights, takes a number from the lengths of
            the training answers ("lengths"; with those of their prompts, "prompts"), calibrates the
            method as it is, or nothing.
        infills: whether a suffix may stand behind the canvas, which the length does not miss.
    """

    target: str
    summary: str
    order: int
    reads: tuple[Reads, ...] = ()
    fitting: Fitting = "none"
    infills: bool = False

    @property
    def needs(self) -> frozenset[Need]:
        """The parts of step zero that it reads; empty where it does not read the model."""
        return frozenset(one for one in self.reads if one in ("eos", "hidden"))

    def load(self) -> Any:
        """The class of the method."""
        module, name = self.target.split(":")
        return getattr(importlib.import_module(module), name)

    def options(self) -> dict[str, inspect.Parameter]:
        """The options of the method: keywords of its class, with their types and defaults."""
        kind = self.load()
        parameters = inspect.signature(kind).parameters
        own = {name: one for name, one in parameters.items() if name not in FACTS}
        # Only the annotations of options: those of facts may name what is imported for type checks.
        declared = SimpleNamespace(__annotations__={name: own[name].annotation for name in own})
        types = get_type_hints(declared, vars(sys.modules[kind.__module__]))
        return {name: one.replace(annotation=types[name]) for name, one in own.items()}

    def check_options(self, method: str, options: Mapping[str, Any]) -> None:
        """Refuses options that the method does not have.

        Raises:
            ConfigurationError: one of them, and the options that there are.
        """
        known = self.options()
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise ConfigurationError(
                f"method {method!r} has no option {', '.join(unknown)}: "
                f"expected {', '.join(known) or 'none'}"
            )


METHODS: dict[str, Method] = {
    "logit": Method(
        target="eosbench.predictors.logit:Logit",
        summary="The first position whose EOS probability passes a rule; zero-shot.",
        order=10,
        reads=("eos",),
        fitting="calibration",
    ),
    "concat_regression": Method(
        target="eosbench.predictors.concat_regression:ConcatRegression",
        summary="Log length from the hidden states at a fixed grid of canvas positions.",
        order=20,
        reads=("hidden",),
        fitting="weights",
    ),
    "average_regression": Method(
        target="eosbench.predictors.average_regression:AverageRegression",
        summary="Log length from the mean hidden states of the prompt and of the canvas.",
        order=30,
        reads=("hidden",),
        fitting="weights",
    ),
    "classification": Method(
        target="eosbench.predictors.classification:Classification",
        summary="Asks each canvas position whether it is at or after the EOS.",
        order=40,
        reads=("hidden",),
        fitting="weights",
    ),
    "distilbert": Method(
        target="eosbench.predictors.distilbert:DistilBert",
        summary="A text encoder (DistilBERT, BERT, RoBERTa, ...) on the prompt alone.",
        order=50,
        reads=("text",),
        fitting="weights",
    ),
    "smartcrop": Method(
        target="eosbench.predictors.smartcrop:SmartCrop",
        summary="Crops the canvas where the EOS has very probably come; zero-shot.",
        order=60,
        reads=("eos",),
        fitting="calibration",
    ),
    "fixed": Method(
        target="eosbench.predictors.fixed:Fixed",
        summary="The whole canvas, whatever the prompt.",
        order=100,
        infills=True,
    ),
    "mean": Method(
        target="eosbench.predictors.mean:Mean",
        summary="The mean length of the training answers.",
        order=110,
        fitting="lengths",
    ),
    "max": Method(
        target="eosbench.predictors.max:Max",
        summary="The length of the longest training answer.",
        order=120,
        fitting="lengths",
    ),
    "random": Method(
        target="eosbench.predictors.random:Random",
        summary="A draw between 1 and the length of the longest training answer.",
        order=130,
        reads=("text",),
        fitting="lengths",
    ),
    "prompt_length": Method(
        target="eosbench.predictors.prompt_length:PromptLength",
        summary="Log length from the number of the prompt's tokens alone, by ridge regression.",
        order=135,
        reads=("text",),
        fitting="prompts",
    ),
    "oracle": Method(
        target="eosbench.predictors.oracle:Oracle",
        summary="The length of the reference answer: the limit that no method can pass.",
        order=140,
        reads=("reference",),
        infills=True,
    ),
}
THE_FIVE = ("logit", "concat_regression", "average_regression", "classification", "distilbert")


def row_of(method: str, table: Mapping[str, Method] = METHODS) -> Method:
    """The row of a method.

    Raises:
        ConfigurationError: the table has no such method.
    """
    if method not in table:
        raise ConfigurationError(f"unknown method {method!r}: expected one of {', '.join(table)}")
    return table[method]
