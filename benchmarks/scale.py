"""`python -m benchmarks.scale`: the cost of a canvas of 64 to 1,024 tokens at LLaDA-8B's shape.

    python -m benchmarks.scale --device cuda                          # 16 GB in bfloat16
    python -m benchmarks.scale --shape small --tokens-per-step 16     # on a CPU

A checkpoint with random weights in bfloat16 is written into a temporary folder and loaded as any
other. Random weights take as long as trained ones while no text ends early, so every canvas is
denoised to its end. Tokens per second count the canvas and not the prompt.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import track

from benchmarks.checkpoints import write_checkpoint
from benchmarks.measure import peak_memory, timed
from eosbench.backbone import Backbone
from eosbench.decoding import DecodeConfig, denoise
from model_adapters import load_backbone

SHAPES = {
    "8b": {"width": 4096, "layers": 32, "heads": 32, "shards": 16},
    "small": {"width": 256, "layers": 4, "heads": 4, "vocabulary": 8192, "shards": 2},
}
COLUMNS = ("canvas", "passes", "seconds", "tokens / s", "peak GB", "full canvas / this one")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    shape: Annotated[str, typer.Option(help=" or ".join(SHAPES))] = "8b",
    device: Annotated[str, typer.Option(help="as torch names it")] = "cpu",
    dtype: Annotated[str, typer.Option(help="of the weights in memory")] = "bfloat16",
    canvases: Annotated[
        str, typer.Option(help="tokens, with commas; the longest is the full canvas")
    ] = "64,128,256,512,1024",
    prompt: Annotated[int, typer.Option(min=1, help="tokens of every prompt")] = 128,
    batch: Annotated[int, typer.Option(min=1, help="prompts at a time")] = 1,
    tokens_per_step: Annotated[
        int, typer.Option(min=1, help="unmasked by a pass; 1 as published")
    ] = 1,
    block_length: Annotated[int, typer.Option(min=1)] = 32,
) -> None:
    """Seconds, tokens per second and memory by canvas, as a Markdown table."""
    if shape not in SHAPES:
        raise typer.BadParameter(f"no shape {shape!r}: expected {' or '.join(SHAPES)}")
    lengths = sorted(int(length) for length in canvases.split(","))
    with tempfile.TemporaryDirectory() as folder:
        size = write_checkpoint(Path(folder), **SHAPES[shape])
        backbone = load_backbone(folder, device=device, dtype=dtype)
        print(
            f"{shape}: {size / 1e9:.2f} GB stored, {dtype} on {hardware(backbone)}, "
            f"prompt {prompt}, batch {batch}, blocks of {block_length}, "
            f"{tokens_per_step} tokens a step\n"
        )
        generator = torch.Generator().manual_seed(0)
        ids = torch.randint(0, backbone.spec.vocab_size - 2, (batch, prompt), generator=generator)
        found = []
        for length in track(lengths, console=Console(stderr=True), transient=True):
            config = DecodeConfig(
                gen_length=length,
                steps=max(1, length // tokens_per_step),
                block_length=min(block_length, length),
            )
            found.append(measure(backbone, ids, config))
    print(_table(lengths, found, batch))


def _table(lengths: Sequence[int], found: Sequence[tuple[int, float, int]], batch: int) -> str:
    """The measurements of all canvases as Markdown; the last canvas is the full one."""
    _, full, _ = found[-1]
    lines = [COLUMNS, ("---:",) * len(COLUMNS)]
    for length, (passes, seconds, peak) in zip(lengths, found, strict=True):
        speed = f"{batch * length / seconds:.1f}"
        memory = f"{peak / 1e9:.2f}"
        line = (str(length), str(passes), f"{seconds:.2f}", speed, memory, f"{full / seconds:.1f}")
        lines.append(line)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def measure(backbone: Backbone, ids: torch.Tensor, config: DecodeConfig) -> tuple[int, float, int]:
    """Forward passes, seconds and peak memory in bytes of denoising one canvas per prompt.

    On a GPU the peak is this canvas's own. On a CPU it is the process's so far, so that canvases
    go from short to long.

    Args:
        ids: the prompts [B, T].
        config: the canvas.
    """
    blocks = -(-config.gen_length // (config.block_length or config.gen_length))
    cuda = backbone.device.type == "cuda"

    def run(steps: int | None) -> int:
        passes = denoise(
            backbone, list(ids), DecodeConfig(config.gen_length, steps, config.block_length)
        ).forward_passes
        if cuda:
            torch.cuda.synchronize(backbone.device)
        return passes

    run(blocks)  # a step per block: a device's first passes are slow
    if cuda:
        torch.cuda.reset_peak_memory_stats(backbone.device)
    seconds, passes = timed(run, config.steps)
    return (
        passes,
        seconds,
        torch.cuda.max_memory_allocated(backbone.device) if cuda else peak_memory(),
    )


def hardware(backbone: Backbone) -> str:
    """The name of the GPU, or the number of threads on the CPU."""
    if backbone.device.type == "cuda":
        return torch.cuda.get_device_name(backbone.device)
    return f"{backbone.device.type}, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    app()
