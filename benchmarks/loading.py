"""`python -m benchmarks.loading`: the memory that loading takes, as a multiple of the weights.

A LLaDA-shaped checkpoint with random weights in bfloat16, in shards, is written into a temporary
folder (with `--layers 8 --experts 48` a mixture of experts of 1.2 GB, whose experts are stacked as
they are read) and loaded in a process of its own, once in the dtype it is stored in and once in
float32. The peak is the resident memory that the operating system reports, less the peak after the
imports; `weights` is the size of the loaded parameters. The aim is at most 1.2.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.checkpoints import write_checkpoint, write_mixture
from benchmarks.measure import peak_memory

DTYPES = ("auto", "float32")
WIDTH = 2048  # with LLaDA's vocabulary embeddings and output layer alone are 1.04 GB in bfloat16
LIMIT = 1.2

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    layers: Annotated[int, typer.Option(min=1, help="transformer blocks, 0.1 GB each")] = 2,
    experts: Annotated[
        int, typer.Option(help="of a layer, 3 MB each: LLaDA2's format; 0 is LLaDA's, dense")
    ] = 0,
    child: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Peak memory of loading, in a process of its own, over that of the weights.

    The exit code is 1 where it is above 1.2.
    """
    if child:
        print(json.dumps(measure(*child.split(",", 1))))
        return
    table = Table(
        "dtype", "stored GB", "weights GB", "peak GB", "peak / weights", "with imports", "seconds"
    )
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        if experts:
            stored = write_mixture(Path(folder), width=WIDTH // 2, layers=layers, experts=experts)
        else:
            stored = write_checkpoint(Path(folder), width=WIDTH, layers=layers, heads=16)
        for dtype in DTYPES:
            command = [sys.executable, "-m", "benchmarks.loading", "--child", f"{dtype},{folder}"]
            found = json.loads(
                subprocess.run(command, check=True, capture_output=True, text=True).stdout
            )
            weights, before, peak = found["weights"], found["before"], found["peak"]
            ratio = (peak - before) / weights
            worst = max(worst, ratio)
            gigabytes = [f"{size / 1e9:.2f}" for size in (stored, weights, peak - before)]
            table.add_row(
                dtype,
                *gigabytes,
                f"{ratio:.3f}",
                f"{peak / weights:.3f}",
                f"{found['seconds']:.1f}",
            )
    Console().print(table)
    raise typer.Exit(int(worst > LIMIT))


def measure(dtype: str, folder: str) -> dict[str, float]:
    """Bytes resident after the imports, at the peak, and in parameters, and the seconds to load.

    It is run in a process of its own.
    """
    from model_adapters import load_backbone
    from model_adapters.backbones import FullCanvasBackbone

    load_backbone("tests/golden/llada-tiny")  # imports whatever is imported late
    before, started = peak_memory(), time.perf_counter()
    backbone = load_backbone(folder, dtype=dtype)
    seconds = time.perf_counter() - started
    assert isinstance(backbone, FullCanvasBackbone)
    with torch.no_grad():
        backbone.logits(torch.tensor([[1, 2, 3, 4]]))  # weights that were only mapped are read now
    parameters: dict[int, int] = {}  # by address: a tied one counts once
    for part in (backbone.model, backbone.output):
        parameters |= {p.data_ptr(): p.nbytes for p in part.parameters()}
    return {
        "before": before,
        "peak": peak_memory(),
        "weights": sum(parameters.values()),
        "seconds": seconds,
    }


if __name__ == "__main__":
    app()
