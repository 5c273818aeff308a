"""The lm-eval model `varlen_dlm`: a diffusion language model, and the method that says how long its
canvas must be.

lm_eval --model varlen_dlm --model_args pretrained=GSAI-ML/LLaDA-8B-Instruct,method=fixed --tasks
gsm8k
"""

from __future__ import annotations

from model_adapters.varlen_dlm.arguments import (
    OF_BOUNDS,
    OTHER_PROMISES,
    Arguments,
    parse_arguments,
)
from model_adapters.varlen_dlm.model import VarLenDLM
from model_adapters.varlen_dlm.processes import Processes

__all__ = [
    "OF_BOUNDS",
    "OTHER_PROMISES",
    "Arguments",
    "Processes",
    "VarLenDLM",
    "parse_arguments",
]
