"""Numbers that change while a model is trained: pure functions of the optimizer step.

Steps are optimizer steps, never micro-batches and never calls: a counter in a data set is lost when
the data set is copied into workers, and runs fast when gradients are accumulated.
"""

from __future__ import annotations

import math

SHORTEST = 24  # tokens: a table of one record, one sum with its answer


def ramp(step: int, steps: int) -> float:
    """From 1 / steps to 1, DiffuGPT's annealing (2410.17891): min(1, (step + 1) / steps).

    It is 1 at once where `steps` is 0.

    Example:
        >>> [ramp(step, 4) for step in (0, 1, 3, 9)]
        [0.25, 0.5, 1.0, 1.0]
    """
    return min(1.0, (step + 1) / steps) if steps else 1.0


def staircase(step: int, *, start: int, every: int) -> int:
    """Tokens that an answer has at most: `start`, twice, three times, ... every so many steps.

    Example:
        >>> [staircase(step, start=20, every=100) for step in (0, 99, 100, 250)]
        [20, 20, 40, 60]
    """
    return start * (1 + step // every)


def geometric(progress: float, canvas: int) -> int:
    """Tokens that an answer has at most when this share of the training is done.

    From a single record or one sum, for a tenth of the training, to the whole canvas after six
    tenths. Trained on all lengths from the start, 11,500 steps long, the embedded model never found
    out that names are copied.

    Example:
        >>> [geometric(progress, 256) for progress in (0.0, 0.1, 0.35, 0.6, 1.0)]
        [24, 24, 78, 256, 256]
    """
    grown = min(1.0, max(0.0, 2 * progress - 0.2))
    return int(SHORTEST * math.pow(canvas / SHORTEST, grown))


def trapezoid(step: int, *, steps: int, warmup: float, decay_share: float) -> float:
    """Share of the learning rate: it warms up, stays, and falls to zero.

    The fall is linear, over the last `decay_share` of the steps.

    Example:
        >>> from functools import partial
        >>> share = partial(trapezoid, steps=1_000, warmup=100, decay_share=0.5)
        >>> [share(step) for step in (49, 300, 750, 1_000)]
        [0.5, 1.0, 0.5, 0.0]
    """
    falling = (steps - step) / max(1.0, steps * decay_share)
    return min(1.0, (step + 1) / max(1.0, warmup), falling)
