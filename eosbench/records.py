"""Frozen records that travel between the rooms.

There is no torch here, because the report and the tasks use these records too.

Legend for shapes: B batch, T tokens, P prompt, C canvas, V vocabulary, D width, N documents.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Prompt:
    """A prompt and its canvas: all that a predictor may see.

    Attributes:
        text: the prompt as text.
        ids: the prompt's token ids [P].
        canvas: token ids [C], the mask id wherever nothing was revealed.
        fraction: the unmasked fraction u, known to whoever revealed the tokens; it selects the
            calibration table.
        reference_length: L, filled in for the `oracle` alone.
    """

    text: str
    ids: tuple[int, ...]
    canvas: tuple[int, ...]
    fraction: float = 0.0
    reference_length: int | None = None


@dataclass(frozen=True)
class LengthPrediction:
    """A point estimate of the position of the EOS.

    Attributes:
        length: the estimate in tokens.
        eos_probability: P(at or after EOS) per canvas position [C], where the method has one.
        at_least: the length that the revealed tokens prove: one revealed at canvas index i means
            that L >= i + 1.
    """

    length: float
    eos_probability: NDArray[np.float32] | None = None
    at_least: int = 0


@dataclass(frozen=True)
class LengthBound:
    """The upper bound that eosbench.bounds makes of a prediction.

    Attributes:
        bound: the final bound in tokens, 1 <= bound <= C.
        calibrated: the bound before it was rounded up and clamped.
        clamped: whether C was too small for it.
    """

    bound: int
    calibrated: float
    clamped: bool


@dataclass(frozen=True)
class LengthRecord:
    """One document under one method at one unmasked fraction.

    As JSON it is the answer to an `eos_upper_bound` request. Positions and lengths are counted in
    tokens from the start of the response.

    Attributes:
        method: name of the method.
        fraction: unmasked fraction u.
        canvas: C.
        prompt_length: P.
        length: L, the reference length.
        prediction: the method's point estimate.
        calibrated: the bound before it was rounded up and clamped.
        bound: B.
        clamped: whether C was too small for the bound.
        revealed: canvas positions of the revealed tokens.
        eos_rank: rank of EOS among all tokens at canvas index L of step zero, 1 for the most likely
            one; None when L >= C or the method does not run the DLM.
        eos_prob: probability of EOS there; None as for `eos_rank`.
        eos_false: share of the masked canvas indices before L whose most likely token at step zero
            is an end; None when none is masked there, when L > C, or the method does not run the
            DLM.
        eos_probability: P(at or after EOS) per canvas position [C], where the method has one.
    """

    method: str
    fraction: float
    canvas: int
    prompt_length: int
    length: int
    prediction: float
    calibrated: float
    bound: int
    clamped: bool
    revealed: list[int] = field(default_factory=list)
    eos_rank: int | None = None
    eos_prob: float | None = None
    eos_false: float | None = None
    eos_probability: list[float] | None = None

    def to_json(self) -> str:
        """The record as one JSON object, which carries the version of its format."""
        return json.dumps({"eosbench": 1, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> LengthRecord:
        """The record that `to_json` wrote; unknown fields of a newer version are ignored.

        Raises:
            ValueError: `text` is not such a record.
        """
        data: dict[str, Any] = json.loads(text)
        if not isinstance(data, dict) or "eosbench" not in data:
            raise ValueError("not an eosbench length record")
        known = {name: value for name, value in data.items() if name in cls.__dataclass_fields__}
        return cls(**known)
