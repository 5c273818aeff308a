"""lm-eval's response cache (`--use_cache`), kept from serving answers of other settings.

The keys of the cache are made of a request's arguments alone. A cache that one method filled would
therefore serve its answers to the next. So the first run writes a fingerprint of everything that an
answer depends on into the database, and a run with another fingerprint is refused before it reads
an entry.

The answers of `oracle` depend on the reference, too, which tasks that want a text send beside the
arguments: documents with equal prompts and other references share a key. Their answers are kept in
entries of their own. The entry that lm-eval writes for them is set aside, which means that it is
taken out before the next run looks.
"""

from __future__ import annotations

from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import CacheHook, hash_args

from eosbench.errors import CacheError
from model_adapters.varlen_dlm.draw_cache import DrawCache

KEY = "eosbench_fingerprint"
SET_ASIDE, BY_REFERENCE = "eosbench_set_aside ", "eosbench_reference "


class ResponseCache:
    """Keeps finished answers at once, so that a killed run does not compute them again.

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
        self._draws = DrawCache(self._database)
        if self._database is not None:
            for mark in [key for key in self._database if key.startswith(SET_ASIDE)]:
                self._database.pop(mark.removeprefix(SET_ASIDE), None)

    def find(self, request: Instance, length: int | None, draw: str | None = None) -> str | None:
        """The answer to a `generate_until` request.

        None where there is none, where the request says `do_sample`, and where the answer depends
        on its arguments alone: lm-eval has looked for it then.

        Args:
            request: whose answer it is.
            length: of the reference, where the answer depends on it.
            draw: the name of the draw, where the answer is random.
        """
        if draw is not None:
            return self._draws.find(request, f"{draw} {length}")
        if self._database is None or length is None:
            return None
        key = hash_args("generate_until", request.args)
        self._database[SET_ASIDE + key] = True
        answer: str | None = self._database.get(f"{BY_REFERENCE}{length} {key}")
        _, given = request.args
        # lm-eval does not look either, then.
        return None if given.get("do_sample") else answer

    def put(
        self, request: Instance, answer: Any, length: int | None = None, draw: str | None = None
    ) -> None:
        """Keeps an answer.

        Args:
            request: whose answer it is.
            answer: in lm-eval's form.
            length: of the reference, where the answer depends on it. It has an entry of its own
                then, beside those of lm-eval.
            draw: the name of the draw, where the answer is random; it has an entry of its own, too.
        """
        if draw is not None:
            self._draws.put(request, answer, f"{draw} {length}")
            return
        if self._database is None:
            return
        kind = request.request_type
        if length is None:
            self._hook.add_partial(kind, request.args, answer)
        else:
            self._database[f"{BY_REFERENCE}{length} {hash_args(kind, request.args)}"] = answer
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
            f"the response cache {database.filename} was made under {made}, this run has "
            f"{fingerprint}: those answers are not this run's. Use another path, e.g. "
            f"--use_cache {path}-{fingerprint}, or delete the file"
        )
