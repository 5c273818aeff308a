"""Answers of models whose canvas starts as noise, each denoised by the model's own rules.

The canvas is as long as the window, or answers go from canvas to canvas of one length. Nothing is
shared between requests: every answer is computed alone, from random numbers of its own, so that no
batch can change it.

Legend: C canvas, P tokens of the prompt.
"""

from __future__ import annotations

import time
from collections import abc
from dataclasses import dataclass

import torch

from eosbench.backbone import BackboneSpec, Denoised, NoiseCanvas
from eosbench.decoding.block_settings import check_noise
from eosbench.decoding.config import DecodeConfig, require
from eosbench.forward import Cost, estimated_flops


@dataclass(frozen=True)
class NoiseAnswer:
    """The tokens of an answer, padded to the length asked for, and their cost."""

    tokens: torch.Tensor
    cost: Cost


def denoise_noise(
    backbone: NoiseCanvas,
    prompt: abc.Sequence[int] | torch.Tensor,
    config: DecodeConfig,
    *,
    length: int,
    canvas: int,
    seed: int,
    index: int = 0,
) -> NoiseAnswer:
    """The answer to one prompt.

    Args:
        backbone: the model.
        prompt: its ids.
        config: `steps` or `steps_per_block` is the most passes over a canvas, the rest has no
            place.
        length: most tokens of the answer, which are rounded up to whole canvases and cut again;
            the last canvas may reach beyond the model's positions, the answer may not.
        canvas: C, tokens of every canvas.
        seed: of its random numbers.
        index: a number that errors name.

    Raises:
        ConfigurationError: a setting that has no place, or a prompt that leaves no room.
    """
    spec = backbone.spec
    check_noise(spec, config)
    require(
        len(prompt) + length <= spec.max_length,
        f"sequence {index}: a prompt of {len(prompt)} tokens leaves no room for "
        f"gen_length={length} in the model's {spec.max_length} positions: "
        "shorten the prompt or the canvas",
    )
    started = time.perf_counter()
    found = backbone.denoise_noise(
        prompt,
        canvas_length=canvas,
        max_new_tokens=length,
        seed=seed,
        max_denoising_steps=config.steps or config.steps_per_block,
    )
    tokens = torch.full((length,), spec.pad_id)
    stand = min(len(found.tokens), length)
    tokens[:stand] = found.tokens[:stand]
    cost = _cost(spec, len(prompt), canvas, found)
    cost.window = length
    cost.seconds = cost.model_seconds = time.perf_counter() - started
    return NoiseAnswer(tokens, cost)


def require_no_suffix(
    spec: BackboneSpec, suffix: abc.Sequence[int] | torch.Tensor, index: int
) -> None:
    """Refuses a suffix behind a canvas that starts as noise.

    Raises:
        ConfigurationError: there is one.
    """
    require(
        len(suffix) == 0,
        f"sequence {index}: {spec.family!r} denoises what follows a prompt and cannot see a suffix "
        "behind its canvas: leave the suffix out, or take a model with a mask token",
    )


def _cost(spec: BackboneSpec, prompt: int, canvas: int, found: Denoised) -> Cost:
    """The cost of an answer: the decoder's passes, and the positions of encoder and decoder.

    The encoder runs the prompt and every canvas that another one follows. A pass over a canvas
    scores all of it, and, unless it is the first, mixes as many embeddings from the scores before.
    """
    runs, attended, scored, before = prompt, prompt * prompt, 0, prompt
    for number, passes in enumerate(found.passes_by_canvas):
        if number:
            runs += canvas
            attended += canvas * (before + canvas)
            before += canvas
        runs += passes * canvas
        attended += passes * canvas * (before + canvas)
        scored += (2 * passes - 1) * canvas
    flops = estimated_flops(spec, runs, 1, scored, attended_positions=attended)
    return Cost(0, sum(found.passes_by_canvas), runs, flops)
