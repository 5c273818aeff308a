"""`python -m benchmarks.report`: seconds and memory of the report on a hundred runs.

    python -m benchmarks.report                       # 100 runs x 4 fractions x 1,000 documents
    python -m benchmarks.report --runs 5 --keep /tmp/results

Times here are absolute, unlike those of `python -m benchmarks`: there is no plain loop to be
compared with, only a promise (60 s and 2 GB on two cores). Memory is that of the command and the
processes that it starts, together (Linux only). The runs are made once from the embedded
benchmark's documents and a seeded error model.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.made_runs import ERROR, make_run

COMMAND = "from eosbench.cli import main; main()"


def main(
    runs: Annotated[int, typer.Option(min=1)] = 100,
    documents: Annotated[int, typer.Option(min=1, help="per run and unmasked fraction")] = 1000,
    keep: Annotated[Path | None, typer.Option(help="where the made runs go, and stay")] = None,
) -> None:
    """Makes the runs (unless they are there) and times a report on them in a fresh process."""
    folder = keep or Path(tempfile.mkdtemp(prefix="eosbench-report-"))
    try:
        make(folder, runs, documents)
        started = time.perf_counter()
        arguments = ["report", str(folder), "--output", str(folder / "report")]
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *arguments], stdout=subprocess.DEVNULL
        )
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, resident(process.pid))
            time.sleep(0.1)
        seconds, used = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        if process.returncode:
            raise typer.Exit(process.returncode)
        busy = used.ru_utime + used.ru_stime
        page = (folder / "report" / "index.html").stat().st_size / 1e6
        print(
            f"{runs} runs: {seconds:.1f} s ({busy:.1f} s of processor time), {peak:.2f} GB, "
            f"page {page:.2f} MB"
        )
    finally:
        if keep is None:
            shutil.rmtree(folder)


def resident(process: int) -> float:
    """Gigabytes that a process and everything it started hold, and 0 once it has ended.

    A page that two of them share counts twice.
    """
    folder = Path(f"/proc/{process}")
    try:
        pages = int((folder / "statm").read_text().split()[1])
        started: list[str] = []
        for thread in folder.glob("task/*/children"):
            started += thread.read_text().split()
    except OSError:
        return 0.0
    return pages * resource.getpagesize() / 1e9 + sum(map(resident, map(int, started)))


def make(folder: Path, runs: int, documents: int) -> None:
    """Makes runs 0 to `runs` - 1: five methods in turn, told apart by their steps.

    A method's runs log the same samples, so that making them takes a minute and not an hour; each
    is read in full all the same.
    """
    first: dict[str, Path] = {}
    for index in range(runs):
        target = folder / f"run{index:03d}"
        method = list(ERROR)[index % len(ERROR)]
        if target.is_dir():
            first.setdefault(method, target)
            continue
        if method not in first:
            make_run(
                target,
                method,
                size=documents,
                generation=False,
                fingerprint=f"{index:016x}",
                decoding={"steps": index},
            )
            first[method] = target
            continue
        shutil.copytree(first[method], target)
        (results,) = target.glob("results_*.json")
        data = json.loads(results.read_text(encoding="utf-8"))
        data["config"]["eosbench"] |= {"fingerprint": f"{index:016x}", "decoding": {"steps": index}}
        results.write_text(json.dumps(data), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
