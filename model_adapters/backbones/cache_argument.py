"""The argument in which a model of transformers takes kept keys and values.

It is `past_key_values` up to transformers 5.23, and `cache` from 5.24 on, which takes the old name
with a warning until 5.40.
"""

from __future__ import annotations

import inspect

CACHE_NAMES = ("cache", "past_key_values")


def cache_name(model_class: type) -> str:
    """The name of that argument of a model's `forward`.

    Args:
        model_class: a class of transformers, or of a model's own code.
    """
    known = inspect.signature(getattr(model_class, "forward", model_class)).parameters
    return next((name for name in CACHE_NAMES if name in known), CACHE_NAMES[-1])
