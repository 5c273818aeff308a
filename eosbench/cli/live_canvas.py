"""A canvas on the screen while it fills: in place on a terminal, a line a pass anywhere else.

Nothing that a model wrote reaches a terminal as it is: `visible` writes its control characters out.
"""

from __future__ import annotations

import unicodedata
from itertools import groupby
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

if TYPE_CHECKING:
    from eosbench.decoding import Sequence

# Characters that change the order of those around them.
_REORDERING = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C}


def encoding_of(console: Console) -> str:
    """The encoding in which a console writes."""
    return getattr(console.file, "encoding", None) or "utf-8"


def visible(text: str, encoding: str = "utf-8") -> str:
    """The text with what a terminal would obey, or cannot show, written out.

    Line feeds and tabs stay; other control characters, lone surrogates and characters that reorder
    text become escapes of Python.

    Args:
        text: of a model.
        encoding: of the terminal or file.

    Example:
        >>> print(visible("a\\x1b[2Jb"))
        a\\x1b[2Jb
    """
    return "".join(one if _is_harmless(one, encoding) else _escape(one) for one in text)


def _is_harmless(one: str, encoding: str) -> bool:
    if one in "\n\t":
        return True
    if unicodedata.category(one) in ("Cc", "Cs") or ord(one) in _REORDERING:
        return False
    try:
        one.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _escape(one: str) -> str:
    return one.encode("ascii", "backslashreplace").decode() if ord(one) > 127 else repr(one)[1:-1]


class LiveCanvas:
    """A canvas that is shown after each forward pass.

        with LiveCanvas(console, tokenizer) as view:
            model.generate(prompt, watch=view.show)

    Args:
        console: where to.
        tokenizer: of the model.
    """

    def __init__(self, console: Console, tokenizer: Any) -> None:
        self.console, self.tokenizer = console, tokenizer
        self.passes = 0
        self._encoding = encoding_of(console)
        utf = self._encoding.lower().startswith("utf")
        self._mask, self._end, self._line_feed = ("░", "∎", "⏎") if utf else ("_", "|", "\\n")
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> LiveCanvas:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, prompt: int, sequence: Sequence) -> None:
        """Shows the canvas as it stands after a pass.

        Args:
            prompt: the number of the prompt.
            sequence: that is decoded.
        """
        self.passes = sequence.passes
        canvas = self._canvas(sequence)
        left = int((sequence.canvas == sequence.spec.mask_id).sum())
        head = f"pass {sequence.passes}, {left} of {len(sequence.canvas)} masked"
        if self._live is None:
            one_line = canvas.plain.replace("\n", self._line_feed)
            self.console.out(f"{head}: {one_line}", highlight=False)
        else:
            self._live.update(Text.assemble((head, "dim"), "\n", canvas), refresh=True)

    def _canvas(self, sequence: Sequence) -> Text:
        """The tokens that stand as text, and a sign for each mask and each end of a text."""
        spec, shown = sequence.spec, Text()
        tokens: list[int] = sequence.canvas.tolist()
        for token, run in groupby(tokens, lambda one: one if _is_sign(one, spec) else None):
            ids = list(run)
            if token is None:
                shown.append(visible(self.tokenizer.decode(ids), self._encoding))
            else:
                sign = self._mask if token == spec.mask_id else self._end
                shown.append(sign * len(ids), style="dim")
        return shown


def _is_sign(token: int, spec: Any) -> bool:
    return token == spec.mask_id or token in spec.eos_ids
