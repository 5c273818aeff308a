"""torch's threads as a container on a large host has them, against those that eosbench chooses."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.measure import Row, Setup
from eosbench.forward import processors

TIMES = 4
PROGRAM = """
import sys, time
from eosbench.openmp import let_threads_sleep
batch, length, pretrained = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
let_threads_sleep()
import torch
from benchmarks.models import trained_model
backbone = trained_model(pretrained)
ids_BT = torch.full((batch, length), backbone.spec.mask_id)
with torch.no_grad():
    backbone.hidden(ids_BT)
    started = time.perf_counter()
    for _ in range(5):
        backbone.hidden(ids_BT)
print(torch.get_num_threads(), time.perf_counter() - started)
"""


def bounded(setup: Setup) -> list[Row]:
    """One row: passes over a batch in fresh processes, since OpenMP reads its settings once.

    The slow side has `TIMES` threads for a processor, and waits as OpenMP does by default.
    """
    batch, length = (2, 32) if setup.quick else (16, 160)
    many = {"OMP_NUM_THREADS": str(TIMES * processors())}
    ratios, threads = [], 0
    for _ in range(setup.runs):
        _, slow = _run(setup, batch, length, many)
        threads, fast = _run(setup, batch, length, {})
        ratios.append(slow / fast)
        setup.advance()
    return [
        Row(
            "threads",
            f"{many['OMP_NUM_THREADS']} threads",
            f"the {threads} chosen",
            f"{processors()} processors, {batch} rows of {length} tokens",
            tuple(ratios),
            "time of passes on a CPU",
        )
    ]


def _run(setup: Setup, batch: int, length: int, variables: dict[str, str]) -> tuple[int, float]:
    """(threads, seconds) of a fresh process under these variables of OpenMP, and no others."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    command = [sys.executable, "-c", PROGRAM, str(batch), str(length), setup.pretrained]
    done = subprocess.run(
        command, env=others | variables, check=True, capture_output=True, text=True
    )
    threads, seconds = done.stdout.split()[-2:]
    return int(threads), float(seconds)
