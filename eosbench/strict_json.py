"""JSON that every reader takes: what is not defined is null.

Python writes NaN as a bare word, which no other parser reads. Inside, NaN stays NaN.
"""

from __future__ import annotations

import json
import math
from typing import Any


def without_nan(value: Any) -> Any:
    """The same value with None for every number that JSON cannot hold.

    Example:
        >>> without_nan({"shortfall": float("nan"), "bounds": [1, float("inf")], "text": "NaN"})
        {'shortfall': None, 'bounds': [1, None], 'text': 'NaN'}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: without_nan(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(part) for part in value]
    return value


def strict_dumps(value: Any, **options: Any) -> str:
    """`json.dumps`, with null for what is not defined.

    Example:
        >>> strict_dumps({"shortfall": float("nan")})
        '{"shortfall": null}'
    """
    return json.dumps(without_nan(value), allow_nan=False, **options)
