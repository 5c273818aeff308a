"""Pairs of a prompt and a target, checked before the model sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from eosbench.backbone import BackboneSpec
from eosbench.digest import seed_from
from eosbench.errors import ConfigurationError

Ids = Sequence[int] | torch.Tensor


@dataclass(frozen=True)
class Pair:
    """A prompt, and the target whose log-likelihood after it is asked for.

    Attributes:
        prompt: token ids.
        target: token ids.
    """

    prompt: tuple[int, ...]
    target: tuple[int, ...]

    @classmethod
    def of(cls, spec: BackboneSpec, prompt: Ids, target: Ids) -> Pair:
        """The pair of these token ids, if the model can score it.

        Raises:
            ConfigurationError: the pair is longer than the model's positions, the prompt is empty
                where the model's logits are shifted, or the target holds the mask token.
        """
        pair = cls(_as_tuple(prompt), _as_tuple(target))
        if len(pair) > spec.max_length:
            raise ConfigurationError(
                f"prompt of {len(pair.prompt)} and target of {len(pair.target)} tokens: "
                f"the model has {spec.max_length} positions; shorten the prompt from the left"
            )
        if spec.logits_shifted and not pair.prompt:
            raise ConfigurationError(f"empty prompt: {spec.family} needs a token before the target")
        if spec.mask_id in pair.target:
            raise ConfigurationError(
                f"the target holds the mask token {spec.mask_id}, which has no likelihood"
            )
        return pair

    def __len__(self) -> int:
        """Tokens of both together."""
        return len(self.prompt) + len(self.target)

    def generator(self, seed: int) -> np.random.Generator:
        """Random numbers that depend on the pair and the seed alone."""
        return np.random.default_rng(seed_from(repr(((self.prompt, self.target), seed))))


def places_of(pairs: Sequence[Pair]) -> dict[Pair, list[int]]:
    """The distinct pairs, the longest first, and the places at which each one stands.

    Example:
        >>> one, other = Pair((5,), (6,)), Pair((5, 5), (6,))
        >>> list(places_of([one, other, one]).values())
        [[1], [0, 2]]
    """
    places: dict[Pair, list[int]] = {}
    for place, pair in enumerate(pairs):
        places.setdefault(pair, []).append(place)
    in_order = sorted(places, key=lambda pair: (-len(pair), pair.prompt, pair.target))
    return {pair: places[pair] for pair in in_order}


def _as_tuple(ids: Ids) -> tuple[int, ...]:
    return tuple(torch.as_tensor(ids).tolist())
