"""The members of every length predictor, and the value that `load_predictor` gives.

A predictor has one job, `predict(batch) -> list[LengthPrediction]`. It is built from flat keywords
and lists them in `options`, so that a folder can build it again; keywords called `canvas`, `width`,
`backbone` and `files` are no options but facts, and are filled in by `build` where a method's
constructor names them. Methods that learn weights add some members (`LearnedPredictor`); methods
that learn a number from the lengths of the training answers, or of prompts and answers, add a class
method (`LengthsPredictor`, `PromptsPredictor`). A method that can do with a part of the canvas has
the option `step_zero` and holds the part as `view` (views.py); `StepZero.scored_BC` then says which
positions have states. No base class: a method is a file.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from eosbench.bounds import Calibration, Promise
from eosbench.errors import ConfigurationError, PredictorError
from eosbench.predictors.methods import Method, row_of
from eosbench.records import LengthPrediction

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from eosbench.forward import StepZero

logger = logging.getLogger(__name__)
Features = Mapping[str, "torch.Tensor"]  # name -> [B, ...]: what training keeps of B documents

__all__ = [
    "Features",
    "FineTuning",
    "FittedPredictor",
    "Kept",
    "LearnedPredictor",
    "LengthsPredictor",
    "Predictor",
    "PromptsPredictor",
    "check_share",
    "refuse_promise",
]


class Predictor(Protocol):
    """One method.

    Attributes:
        options: the keywords that build it again.
    """

    options: dict[str, Any]

    def predict(self, batch: StepZero) -> list[LengthPrediction]:
        """One prediction a prompt, in order.

        Args:
            batch: B prompts, with what the row of the method says that it reads.

        Raises:
            PredictorError: the batch lacks what the method reads, or a canvas is not one that it
                was built for.
        """
        ...


class LengthsPredictor(Predictor, Protocol):
    """A predictor that is one number, taken from the lengths of the training answers."""

    @classmethod
    def from_lengths(cls, length_N: NDArray[np.int64]) -> LengthsPredictor:
        """The predictor of N training answers, whose lengths are in tokens."""
        ...


class PromptsPredictor(Predictor, Protocol):
    """A predictor that is a few numbers, taken from the lengths of training documents."""

    @classmethod
    def from_prompts(
        cls, prompt_length_N: NDArray[np.int64], length_N: NDArray[np.int64]
    ) -> PromptsPredictor:
        """The predictor of N training documents, whose prompts and answers are in tokens."""
        ...


@dataclass(frozen=True)
class Kept:
    """The shape and type of one array of features, per document."""

    shape: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True)
class FineTuning:
    """The course of a training that starts from pretrained weights.

    Learning rates rise over the first steps and fall linearly to 0 after them.

    Attributes:
        head: the part of the module that is new.
        head_learning_rate: its learning rate; all else is trained at the predictor's own.
        warm_up: the share of all steps over which the rates rise.
        epochs, batch_size, patience: where the user does not say.
    """

    head: torch.nn.Module
    head_learning_rate: float
    warm_up: float = 0.1
    epochs: int = 4
    batch_size: int = 32
    patience: int = 2


class LearnedPredictor(Predictor, Protocol):
    """A predictor with weights.

    Members that only some have: `files`, the text files that it keeps beside its weights (a
    tokenizer), by name; `fine_tuning`, a FineTuning, where it starts from pretrained weights;
    `check(options)`, a class method that refuses what can be refused before a model is loaded;
    `cut(texts)`, the number of prompts that it cannot read whole, and the tokens that it can.

    Attributes:
        module, learning_rate: what is trained, and how fast.
        level: the quantile of the length that a prediction stands for: 0.5, or the one that a
            pinball loss was asked for.
        kept: the arrays that training needs of each document. A name stands for its content: two
            predictors that keep an array of one name keep the same numbers, so that one extraction
            serves both.
    """

    module: torch.nn.Module
    learning_rate: float
    level: float
    kept: Mapping[str, Kept]

    def features(self, batch: StepZero) -> Features:
        """The arrays `kept` of the B documents of a batch.

        The backbone runs once per document, not once per epoch. Prompts of training documents say
        the length of their answer (`reference_length`): it may decide which positions are kept.
        """
        ...

    def log_length(self, features: Features) -> torch.Tensor:
        """[B]: predicted log(1 + length), which early stopping measures."""
        ...

    def loss(self, features: Features, length_B: torch.Tensor) -> torch.Tensor:
        """The training loss, a scalar, of B documents whose answers have these lengths."""
        ...


@dataclass(frozen=True, eq=False)
class FittedPredictor:
    """A predictor with its calibration, and what its folder says of it.

    Here, and only here, a prediction is raised to what the revealed tokens prove; `to_bound` holds
    calibrated values to it.

    Attributes:
        method: a name of METHODS.
        predictor: what predicts.
        calibration: its scores, None where it has none.
        info: the content of config.json; empty without a folder.
    """

    method: str
    predictor: Predictor
    calibration: Calibration | None = None
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def row(self) -> Method:
        """The row of its method."""
        return row_of(self.method)

    def predict(self, batch: StepZero) -> list[LengthPrediction]:
        """One prediction a prompt, in order.

        Raises:
            PredictorError: the batch lacks what the method reads.
        """
        predictions = self.predictor.predict(batch)
        if len(predictions) != len(batch.prompts):
            raise PredictorError(
                f"{self.method} returned {len(predictions)} predictions "
                f"for {len(batch.prompts)} prompts"
            )
        return [
            replace(prediction, length=max(prediction.length, float(at_least)), at_least=at_least)
            for prediction, at_least in zip(predictions, batch.at_least_B, strict=True)
        ]

    def warn_of_cut(self, texts: Sequence[str], kind: str = "") -> int:
        """The number of prompts that the method cannot read whole, which a warning tells.

        Args:
            texts: of the prompts.
            kind: of prompts, for the message, with a blank behind it.
        """
        count = getattr(self.predictor, "cut", None)
        if count is None or not texts:
            return 0
        cut, longest = count(texts)
        if cut:
            logger.warning(
                "%s: %d of %d %sprompts are longer than the %d tokens that its encoder holds and "
                "were cut",
                self.method,
                cut,
                len(texts),
                kind,
                longest,
            )
        return int(cut)

    def check_promise(self, promise: Promise | None, *, canvas: int) -> None:
        """Checks that bounds can keep a promise, as far as it can be known before the first prompt.

        A coverage over all documents is asked of every method, and has no meaning for one that is
        not calibrated.

        Args:
            promise: what bounds are to keep, None where they are not calibrated.
            canvas: C, in tokens.

        Raises:
            CalibrationError: too few calibration documents, or none by group (the number needed is
                named).
            ConfigurationError: more than a coverage, where there is no calibration.
        """
        if self.calibration is None:
            refuse_promise(self.method, promise)
        elif promise is not None:
            self.calibration.check(promise, canvas=canvas)


def refuse_promise(method: str, promise: Promise | None) -> None:
    """Refuses what a method without calibration scores cannot keep.

    Raises:
        ConfigurationError: more than a coverage is promised, e.g. `Promise(Shortfall(2.0))`.
    """
    asked = {} if promise is None else promise.settings()
    given = ", ".join(f"{name}={value}" for name, value in asked.items() if name != "alpha")
    if given:
        raise ConfigurationError(
            f"method {method!r} has no calibration scores here to keep {given} with: leave that "
            "out, or choose a method with a fitted predictor (predictor=FOLDER, made by "
            "eosbench fit) and without a rule of your own"
        )


def check_share(name: str, value: float) -> float:
    """The value as a float, if it is a share.

    Raises:
        ConfigurationError: not a number from 0 to 1.
    """
    if not 0.0 <= float(value) <= 1.0:
        raise ConfigurationError(f"{name}={value!r}: expected a number from 0 to 1")
    return float(value)
