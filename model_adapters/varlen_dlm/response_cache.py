"""lm-eval's response cache (`--use_cache`), whose keys know the request's arguments, but neither
the model nor what rides beside.

A cache filled by one method would serve its answers to the next. So the first run writes a
fingerprint of everything an answer depends on into the database, and a run with another
fingerprint is refused before it reads a row.

The oracle's answer depends on the reference, which tasks that want a text send beside the
arguments: documents with equal prompts and other references share lm-eval's key. Their answers
are kept in rows of their own, and the row that lm-eval writes for them is set aside: taken out
before the next run looks.
"""

from __future__ import annotations

from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import CacheHook, hash_args

from eosbench.errors import CacheError

KEY = "eosbench_fingerprint"
SET_ASIDE, BY_REFERENCE = "eosbench_set_aside ", "eosbench_reference "


class ResponseCache:
    """Where finished answers go at once, written through: a killed run must not compute them again.

    Args:
        hook: lm-eval's; one without a database keeps nothing.
        fingerprint: of backbone, method, predictor and generation settings.

    Raises:
        CacheError: the cache was made under another fingerprint, or by another model.
    """

    def __init__(self, hook: CacheHook, fingerprint: str) -> None:
        self._hook, self._database = hook, hook.dbdict
        if self._database is not None:
            guard(self._database, fingerprint)
            for mark in [key for key in self._database if key.startswith(SET_ASIDE)]:
                self._database.pop(mark.removeprefix(SET_ASIDE), None)

    def find(self, request: Instance, length: int | None) -> str | None:
        """The answer to a `generate_until` request whose reference has this many tokens.

        None where there is none, where the request samples, and where the answer depends on no
        reference (length None): lm-eval has looked for it then.
        """
        if self._database is None or length is None:
            return None
        key = hash_args("generate_until", request.args)
        self._database[SET_ASIDE + key] = True
        answer: str | None = self._database.get(f"{BY_REFERENCE}{length} {key}")
        # Lm-eval does not look then, either.
        return None if request.args[1].get("do_sample") else answer

    def put(self, request: Instance, answer: Any, length: int | None = None) -> None:
        """Keeps an answer.

        Args:
            request: whose answer it is.
            answer: in lm-eval's form.
            length: of the reference, where the answer depends on it: it is kept beside lm-eval's
                own keys then.
        """
        if self._database is None:
            return
        if length is None:
            self._hook.add_partial(request.request_type, request.args, answer)
        else:
            self._database[
                f"{BY_REFERENCE}{length} {hash_args(request.request_type, request.args)}"
            ] = answer
        self._database.commit(blocking=True)


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
