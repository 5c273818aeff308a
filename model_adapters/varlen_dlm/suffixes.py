"""The text behind an answer that fills a gap, as token ids, for methods that can see one."""

from __future__ import annotations

from collections.abc import Callable

from eosbench.errors import ConfigurationError
from eosbench.strategies import ALL_METHODS
from model_adapters.varlen_dlm.arguments import Arguments


def suffix_ids(
    text: str, encode: Callable[..., list[int]], arguments: Arguments, room: int
) -> tuple[int, ...]:
    """The ids of a suffix; none of an empty one.

    Args:
        text: the suffix.
        encode: from a text to token ids, which takes `add_special_tokens`.
        arguments: of the model, whose method must look at what stands behind a canvas.
        room: positions that prompt and suffix may take beside the canvas.

    Raises:
        ConfigurationError: the method cannot, or the suffix leaves no room for a prompt.
    """
    if not text:
        return ()
    if not arguments.row.infills:
        able = [name for name, row in ALL_METHODS.items() if row.infills]
        raise ConfigurationError(
            f"method {arguments.method!r} decides a length without a look at the suffix behind the "
            f"answer: expected one of {', '.join(able)}"
        )
    ids = tuple(encode(text, add_special_tokens=False))
    if len(ids) >= room:
        raise ConfigurationError(
            f"a suffix of {len(ids)} tokens leaves no room for a prompt: expected {room - 1} at "
            "most beside this canvas; shorten it, or the canvas"
        )
    return ids
