"""Guards lm-eval's response cache (`--use_cache`), whose keys know the request but not the model.

A cache filled by one method would serve its answers to the next. So the first run writes a fingerprint of everything an answer
depends on into the database, and a run with another fingerprint is refused before it reads a row.
"""

from __future__ import annotations

from typing import Any

from eosbench.errors import CacheError

KEY = "eosbench_fingerprint"


def guard(database: Any, fingerprint: str) -> None:
    """Claims an empty cache for `fingerprint`, or checks that it was claimed for it.

    Args:
        database: the SqliteDict of lm-eval's CacheHook.
        fingerprint: of backbone, method, predictor and generation settings.

    Raises:
        CacheError: the cache was made under another fingerprint, or by another model.
    """
    stored = database.get(KEY)
    if stored is None and len(database) == 0:
        database[KEY] = fingerprint
        database.commit(blocking=True)
    elif stored != fingerprint:
        made = f"settings {stored}" if stored else "another model"
        path = str(database.filename).rsplit("_rank", 1)[0]
        raise CacheError(
            f"the response cache {database.filename} was made under {made}, this run has {fingerprint}: "
            f"those answers are not this run's. Use another path, e.g. --use_cache {path}-{fingerprint}, or delete the file"
        )
