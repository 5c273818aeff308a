"""The arguments that say how tokens are drawn, which a request may say too.

They have the names and meanings of lm-eval's `hf` model and of LLaDA's and Dream's own scripts
(eosbench/decoding/sampling.py).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class SamplingArguments:
    """The arguments that say how tokens are drawn; by default the likeliest are taken.

    Attributes:
        temperature: where a request says none; 0 takes the likeliest tokens.
        top_p, top_k, repetition_penalty, logits_eos_inf, confidence_eos_eot_inf: see
            eosbench.decoding.DecodeConfig.
    """

    temperature: float = 0.0
    top_p: float | None = None
    top_k: int | None = None
    repetition_penalty: float = 1.0
    logits_eos_inf: bool = False
    confidence_eos_eot_inf: bool = False

    def sampling(self, temperature: float | None = None) -> dict[str, Any]:
        """The keywords of a DecodeConfig.

        Args:
            temperature: of a request; by default the model's.
        """
        own = {name: getattr(self, name) for name in SAMPLING}
        return own if temperature is None else own | {"temperature": temperature}

    def given_sampling(self) -> dict[str, Any]:
        """Those of them that are not off: an answer depends on them."""
        neutral = {one.name: one.default for one in fields(SamplingArguments)}
        no_limit = {"top_p": (None, 1), "top_k": (None, 0)}
        return {
            name: value
            for name, value in self.sampling().items()
            if value not in no_limit.get(name, (neutral[name],))
        }

    def temperature_of(self, sample: bool | None, asked: float | None) -> float:
        """The temperature of a request.

        As in lm-eval, one without `do_sample` samples if it has a temperature. One that samples
        without a temperature has the model's, or 1 where that is 0.

        Args:
            sample: `do_sample` of the request.
            asked: `temperature` of the request.

        Example:
            >>> arguments = SamplingArguments(temperature=0.2)
            >>> arguments.temperature_of(None, None), arguments.temperature_of(False, 0.5)
            (0.2, 0.0)
            >>> arguments.temperature_of(True, None), SamplingArguments().temperature_of(True, None)
            (0.2, 1.0)
        """
        if sample is False:
            return 0.0
        if asked is not None:
            return asked
        return self.temperature or (1.0 if sample else 0.0)


SAMPLING = tuple(one.name for one in fields(SamplingArguments))
