"""Decoding: sequences of a prompt and a canvas, decoded together by one engine.

    from eosbench.decoding import DecodeConfig, denoise
    result = denoise(backbone, [prompt_ids], DecodeConfig(gen_length=64, block_length=32))

eosbench/decoding/denoise.py is where to start reading.
"""

from __future__ import annotations

from eosbench.decoding.block_settings import check_settings
from eosbench.decoding.config import DecodeConfig, require
from eosbench.decoding.denoise import DenoiseResult, denoise
from eosbench.decoding.fixed_canvas import fill
from eosbench.decoding.policy import Policy, Scores, Step, Steps
from eosbench.decoding.sampler import above_threshold, choose_tokens, precise
from eosbench.decoding.sequence import Sequence, Watch
from eosbench.decoding.window import (
    OVERFLOWS,
    Answer,
    Job,
    WindowBlocks,
    fill_window,
    generate,
    widen,
)

__all__ = [
    "OVERFLOWS",
    "Answer",
    "DecodeConfig",
    "DenoiseResult",
    "Job",
    "Policy",
    "Scores",
    "Sequence",
    "Step",
    "Steps",
    "Watch",
    "WindowBlocks",
    "above_threshold",
    "check_settings",
    "choose_tokens",
    "denoise",
    "fill",
    "fill_window",
    "generate",
    "precise",
    "require",
    "widen",
]
