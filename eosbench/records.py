"""Frozen records that travel between the rooms. No torch here: the report and the tasks read these
too.

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
    """What a predictor may see: the prompt, the canvas with the revealed tokens, and nothing else.

    `canvas` holds C token ids, the mask id wherever nothing was revealed. `fraction` is the
    unmasked fraction u, known to whoever revealed the tokens (it selects the calibration table).
    `reference_length` is filled for the `oracle` alone.
    """

    text: str
    ids: tuple[int, ...]
    canvas: tuple[int, ...]
    fraction: float = 0.0
    reference_length: int | None = None


@dataclass(frozen=True)
class LengthPrediction:
    """A point estimate of the EOS position in tokens and, where a method has one, P(at or after
    EOS) per canvas position [C].

    `at_least` is what the revealed tokens prove: a token revealed at canvas index i means that L
    >= i + 1.
    """

    length: float
    eos_probability: NDArray[np.float32] | None = None
    at_least: int = 0


@dataclass(frozen=True)
class LengthBound:
    """What bounds.py makes of a prediction. `bound` is final, 1 <= bound <= C; `clamped` says that
    C was too small for it.
    """

    bound: int
    calibrated: float
    clamped: bool


@dataclass(frozen=True)
class LengthRecord:
    """One document under one method at one unmasked fraction: the JSON answer of an
    `eos_upper_bound` request.

    Positions and lengths count from the start of the response. `eos_rank` and `eos_prob` are
    read at canvas index L of step zero and are None for methods that do not read the DLM or when
    L >= C. `eos_false` is the share of the masked canvas indices before L whose most likely token
    at step zero is an end; None for such methods, when L > C, or when none is masked there.
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
        return json.dumps({"eosbench": 1, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> LengthRecord:
        """Reads what `to_json` wrote; unknown fields of a newer version are ignored.

        Raises:
            ValueError: `text` is no such record.
        """
        data: dict[str, Any] = json.loads(text)
        if not isinstance(data, dict) or "eosbench" not in data:
            raise ValueError("not an eosbench length record")
        return cls(
            **{name: value for name, value in data.items() if name in cls.__dataclass_fields__}
        )
