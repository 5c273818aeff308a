"""One figure of the report, drawn when it is asked for, as SVG and as PNG."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eosbench.report.figures import style
from eosbench.xml_text import xml_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Drawing:
    """A figure and the words around it.

    Attributes:
        name: its file name without the ending.
        title: a heading.
        caption: how to read it.
        alt: what it shows, for those who do not see it.
        draw: draws it.
        wide: takes the width of two on the page.
    """

    name: str
    title: str
    caption: str
    alt: str
    draw: Callable[[], Figure]
    wide: bool = False

    def render(self) -> tuple[bytes, bytes]:
        """The figure, drawn once, as SVG and as PNG: the same bytes for the same numbers."""
        import matplotlib

        settings: Any = style.SETTINGS
        svg, png = io.BytesIO(), io.BytesIO()
        with matplotlib.rc_context(settings), warnings.catch_warnings():
            # A prompt may hold any script.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            figure = self.draw()
            figure.savefig(svg, format="svg", bbox_inches="tight", metadata={"Date": None})
            figure.savefig(png, format="png", bbox_inches="tight", facecolor="white", dpi=160)
        # Matplotlib writes whatever characters a prompt holds.
        return xml_text(svg.getvalue().decode()).encode(), png.getvalue()


def themed_svg(svg: bytes) -> str:
    """The figure with its ink handed over to the reader's light or dark scheme."""
    theme = (
        f"<style>:root{{--ink:{style.INK}}}"
        "@media(prefers-color-scheme:dark){:root{--ink:#dfe2e7}}</style>"
    )
    head, tag, rest = svg.decode().partition("<defs>")
    head, rest = (part.replace(style.INK, "var(--ink)") for part in (head, rest))
    return head + theme + tag + rest
