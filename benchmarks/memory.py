"""Peak resident memory of a run, which must not grow with the number of its requests."""

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
asked = requests_for([chosen[n % 100] for n in range(count)], canvas)
model.generate_until(asked, disable_tqdm=True)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def requests(setup: Setup) -> list[Row]:
    """Ten times as many requests against as many, each in a fresh process.

    The ratio is that of two peaks, not of two times. Windows are short: the number counts.
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
