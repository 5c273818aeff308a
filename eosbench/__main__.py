"""`python -m eosbench`, the same as the command `eosbench`."""

from __future__ import annotations

from eosbench.cli import main

if __name__ == "__main__":
    main()
