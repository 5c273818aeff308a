"""The part of a canvas that step zero runs: all of it, a grid of its positions, or nothing.

    CanvasView.of("grid:4").grid(256)     # [0, 28, 113, 255]

It is the option `step_zero` of every method that reads the model. A grid is denser at the front,
where most answers end. No torch.

Legend: C canvas, N points of a grid, both in tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

from eosbench.errors import ConfigurationError

__all__ = ["FULL", "PROMPT", "CanvasView", "grid_positions"]


@dataclass(frozen=True)
class CanvasView:
    """The canvas positions that step zero runs beside the prompt and the revealed tokens.

    Attributes:
        points: N of a grid; None for the whole canvas, 0 for the prompt without any canvas.
    """

    points: int | None = None

    @classmethod
    def of(cls, text: str) -> CanvasView:
        """The view that a value of `step_zero` names.

        Raises:
            ConfigurationError: neither full, nor prompt, nor a grid of two points or more.

        Example:
            >>> CanvasView.of("grid:31")
            CanvasView(points=31)
        """
        named = {"full": FULL, "prompt": PROMPT}
        kind, _, points = str(text).strip().partition(":")
        if text in named:
            return named[text]
        if kind == "grid" and points.isdecimal() and int(points) >= 2:
            return cls(int(points))
        raise ConfigurationError(
            f"step_zero={text!r}: expected full, prompt, or grid:N with N positions of the canvas, "
            "2 or more, as in grid:31"
        )

    def __str__(self) -> str:
        if self.points is None:
            return "full"
        return f"grid:{self.points}" if self.points else "prompt"

    @property
    def is_grid(self) -> bool:
        """Whether it names a grid, which a short canvas may lie within."""
        return bool(self.points)

    def covers(self, canvas: int) -> bool:
        """Whether it leaves out no position of a canvas of C tokens."""
        return self.points is None or self.points >= canvas

    def grid(self, canvas: int) -> list[int]:
        """The positions of its grid on a canvas of C tokens, ascending; all that it runs there."""
        if self.covers(canvas):
            return list(range(canvas))
        return grid_positions(canvas, self.points or 0)


FULL, PROMPT = CanvasView(), CanvasView(0)


def grid_positions(canvas: int, points: int) -> list[int]:
    """The N positions of a grid on a canvas of C tokens, from 0 to C - 1, for N <= C.

    Point k stands at the share (k / (N - 1)) ** 2 of the canvas, or at position k where that is
    more, so that no two points fall together.

    Example:
        >>> grid_positions(256, 6), grid_positions(8, 6)
        ([0, 10, 41, 92, 163, 255], [0, 1, 2, 3, 4, 7])
    """
    shares = [k / max(1, points - 1) for k in range(points)]
    return [max(k, round((canvas - 1) * share**2)) for k, share in enumerate(shares)]
