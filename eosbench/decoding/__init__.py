"""Decoding of masked canvases in a continuous batch.

from eosbench.decoding import DecodeConfig, denoise
result = denoise(backbone, [prompt_ids], DecodeConfig(gen_length=64, steps=64, block_length=32))
"""

from __future__ import annotations

from eosbench.decoding.config import DecodeConfig, require
from eosbench.decoding.denoise import DenoiseResult, denoise
from eosbench.decoding.sampler import choose_tokens, precise
from eosbench.decoding.window import OVERFLOWS, Answer, Job, answer_of, generate

__all__ = [
    "OVERFLOWS",
    "Answer",
    "DecodeConfig",
    "DenoiseResult",
    "Job",
    "answer_of",
    "choose_tokens",
    "denoise",
    "generate",
    "precise",
    "require",
]
