"""Short SHA-256 digests of settings, data and documents, and the seeds that are drawn from them.

Predictors, caches, results files and baselines are bound to these values, and documents are cut
and revealed by them: a function here never changes what it returns. Tests pin a value of each.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

DIGITS = 16  # hexadecimal digits of a short digest: 64 bits


def short_digest(content: str | bytes, digits: int = DIGITS) -> str:
    """The first hexadecimal digits of the SHA-256 of a text (as UTF-8) or of bytes.

    >>> short_digest("Count from 3 to 5.")
    '8c327cb2bc55bc7d'
    """
    return digest_of_parts([content], digits)


def digest_of_parts(parts: Iterable[str | bytes], digits: int = DIGITS) -> str:
    """`short_digest` of all parts joined, without holding them in memory together.

    >>> digest_of_parts(["Count from ", b"3 to 5."]) == short_digest("Count from 3 to 5.")
    True
    """
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(_as_bytes(part))
    return hashed.hexdigest()[:digits]


def digest_of_json(value: Any, digits: int = DIGITS) -> str:
    """`short_digest` of a value as JSON with sorted keys; what JSON does not know enters as `str`.

    >>> digest_of_json({"b": 1, "a": [2]}) == short_digest('{"a": [2], "b": 1}')
    True
    """
    return short_digest(json.dumps(value, sort_keys=True, default=str), digits)


def seed_from(content: str | bytes) -> int:
    """A number from 0 to 2**64 - 1, uniform over contents: the first 8 bytes of the SHA-256.

    >>> seed_from("Count from 3 to 5.") == int(short_digest("Count from 3 to 5."), 16)
    True
    """
    return int.from_bytes(hashlib.sha256(_as_bytes(content)).digest()[:8], "big")


def torch_seed_from(content: str | bytes) -> int:
    """`seed_from` without its last byte: torch's generators take signed numbers of 64 bits.

    >>> torch_seed_from("Count from 3 to 5.") == seed_from("Count from 3 to 5.") >> 8
    True
    """
    return seed_from(content) >> 8


def _as_bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content
