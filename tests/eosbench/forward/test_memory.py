"""What memory costs: pages that the kernel hands out again and again."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

CHILD = """
import resource, sys
import torch
from eosbench.forward import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory()

def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def work():
    torch.ones(16 * 2**20)  # 64 MiB

for _ in range(10):
    work()
before = pages()
for _ in range(20):
    work()
print(pages() - before)
"""


def page_faults(how: str) -> int:
    return int(
        subprocess.run(
            [sys.executable, "-c", CHILD, how], capture_output=True, text=True, check=True
        ).stdout
    )


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc's malloc can be told to keep memory"
)
def test_freed_memory_serves_the_next_pass() -> None:
    assert page_faults("kept") < 0.2 * page_faults("given back")
