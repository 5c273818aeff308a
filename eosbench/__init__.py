"""eosbench: how long must the canvas of a diffusion language model be, and what does a wrong answer
cost?

This module runs at the start of every interpreter that has eosbench installed (docs/plugin.md), so
it holds only the version; the API lives in the modules beside it.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
