"""The rows of public data sets, from an offline cache that is built of a folder beside this one.

Where that folder, `../shared`, is not there, the tests that need the rows skip.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

BUILDER = Path(__file__).resolve().parents[2] / "shared" / "tools" / "hf_cache.py"


@functools.cache
def offline_cache() -> Path:
    """An HF_HOME folder with the rows in it, built once for all test sessions (seconds)."""
    home = Path(tempfile.gettempdir()) / f"eosbench-tests-hf-{os.getuid()}"
    done = home / "built"
    if not done.is_file() or done.stat().st_mtime < BUILDER.stat().st_mtime:
        subprocess.run([sys.executable, str(BUILDER), str(home)], check=True, capture_output=True)
        done.touch()
    return home
