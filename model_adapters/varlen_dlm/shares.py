"""The requests that one process answers itself, without the copies that fill up its share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from lm_eval.api.instance import Instance

Answer = TypeVar("Answer")


def is_copy(instances: Sequence[Instance]) -> list[bool]:
    """Of each request whether it is a copy that fills up the share of a process."""
    seen: set[int] = set()
    copies = []
    for place in Share.of(instances).answered_by:
        copies.append(place in seen)
        seen.add(place)
    return copies


@dataclass(frozen=True)
class Share:
    """One process's requests.

    lm-eval fills up the shares of several processes to one length with copies of their last
    request. These are neither computed nor paid for again.

    Attributes:
        own: the requests without these copies. A request that lm-eval repeats (`repeats: 3` of a
            task) stands here as often as it is repeated.
        answered_by: for every request that came in, the place in `own` of the request whose answer
            is its answer too.
    """

    own: list[Instance]
    answered_by: list[int]

    @classmethod
    def of(cls, instances: Sequence[Instance]) -> Share:
        """The share that lm-eval hands over."""
        places: dict[int, list[int]] = {}
        own: list[Instance] = []
        answered_by: list[int] = []
        for instance in instances:
            seen = places.setdefault(id(instance), [])
            if instance.repeats is None or len(seen) < instance.repeats:
                seen.append(len(own))
                own.append(instance)
                answered_by.append(seen[-1])
            else:
                answered_by.append(seen[0])
        return cls(own, answered_by)

    def spread(self, answers: Sequence[Answer]) -> list[Answer]:
        """The answers to `own`, in order, as answers to all requests that came in."""
        return [answers[place] for place in self.answered_by]
