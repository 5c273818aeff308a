"""Peak resident memory of a run must not grow with the number of its requests: ten times as many
against as many.
"""

from __future__ import annotations

import subprocess
import sys

from benchmarks.measure import Row, Setup

PROGRAM = """
import resource, sys
from benchmarks.measure import Setup
from benchmarks.windows import model_for, requests_for
from eosbench.documents import instruct_documents as documents
count, canvas, pretrained, method = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
model = model_for(Setup(pretrained), method, canvas, 16)
chosen = sorted(documents("test"), key=lambda document: len(document.prompt))[:100]
model.generate_until(requests_for([chosen[n % 100] for n in range(count)], canvas), disable_tqdm=True)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def requests(setup: Setup) -> list[Row]:
    """Each in a fresh process: the ratio of two peaks, not of two times. Short windows: it is the
    number that counts.
    """
    few, many, canvas = (5, 50, 4) if setup.quick else (100, 1000, 8)
    ratios = []
    for _ in range(setup.runs):
        ratios.append(_peak(setup, many, canvas) / _peak(setup, few, canvas))
        setup.advance()
    return [
        Row(
            "memory",
            f"{many} requests",
            f"{few} requests",
            f"canvas {canvas}",
            tuple(ratios),
            "ratio of peak resident memory",
        )
    ]


def _peak(setup: Setup, count: int, canvas: int) -> float:
    command = [sys.executable, "-c", PROGRAM, str(count), str(canvas), setup.pretrained, "fixed"]
    return float(
        subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
    )
