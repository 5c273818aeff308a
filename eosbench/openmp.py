"""OpenMP's environment, which is read once: when torch is loaded."""

from __future__ import annotations

import os
import sys

POLICIES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def let_threads_sleep() -> None:
    """Lets torch's threads sleep while they wait for each other, unless the user chose otherwise.

    By default they spin for some milliseconds. Where another job has one of the processors that
    keeps all of them waiting for the slowest, and a pass of a small model takes several times as
    long as on a single thread. It is too late once torch is loaded.
    """
    if "torch" not in sys.modules and not any(os.environ.get(name) for name in POLICIES):
        os.environ["OMP_WAIT_POLICY"] = "passive"
