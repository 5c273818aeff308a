"""Draws of random requests in lm-eval's response cache (`--use_cache`).

The key of lm-eval's cache is a hash of a request's arguments. The repeats of a random request, and
documents with equal prompts, share it, and a second run would be served one draw for all of them.
So every draw has an entry of its own, in a table beside lm-eval's in the same file. The entry that
lm-eval writes itself is noted there, and taken out before the next run looks.

Requests that say `do_sample` are left alone: lm-eval does not look for them, and they draw the same
again, because the seed of a draw depends on its request alone.
"""

from __future__ import annotations

from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import hash_args

TABLE = "eosbench_draws"
_SET_ASIDE = "set aside "


class DrawCache:
    """Keeps finished draws at once, and finds them again.

    Args:
        database: the SqliteDict of lm-eval's cache; None keeps nothing.
    """

    def __init__(self, database: Any) -> None:
        self._database, self._table = database, None
        if database is None or TABLE not in type(database).get_tablenames(database.filename):
            return
        for mark in [key for key in self._draws() if key.startswith(_SET_ASIDE)]:
            database.pop(mark.removeprefix(_SET_ASIDE), None)
        database.commit(blocking=True)

    def find(self, request: Instance, draw: str) -> str | None:
        """The answer of a draw, None where it is not there or lm-eval would not look either."""
        if not self._keeps(request):
            return None
        self._draws()[_SET_ASIDE + hash_args(request.request_type, request.args)] = True
        answer: str | None = self._draws().get(draw)
        return answer

    def put(self, request: Instance, answer: str | None, draw: str) -> None:
        """Keeps the answer of a draw."""
        if self._keeps(request):
            self._draws()[draw] = answer
            self._draws().commit(blocking=True)

    def _keeps(self, request: Instance) -> bool:
        _, given = request.args
        return self._database is not None and not given.get("do_sample")

    def _draws(self) -> Any:
        """The table beside lm-eval's, opened when it is needed."""
        if self._table is None:
            kind = type(self._database)
            self._table = kind(self._database.filename, tablename=TABLE, autocommit=True)
        return self._table
