"""eosbench measures how long the canvas of a diffusion language model must be.

This module runs at the start of every interpreter that has eosbench installed (docs/plugin.md), so
it holds only the version; the API lives in the modules beside it.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
