"""The lm-eval model `varlen_dlm`, a diffusion language model and a method that finds the length.

    lm_eval --model varlen_dlm --tasks gsm8k \
        --model_args pretrained=GSAI-ML/LLaDA-8B-Instruct,method=fixed
"""

from __future__ import annotations

from model_adapters.varlen_dlm.arguments import OF_BOUNDS, Arguments
from model_adapters.varlen_dlm.block_models import fits_blocks
from model_adapters.varlen_dlm.bound_arguments import OTHER_PROMISES
from model_adapters.varlen_dlm.bounds import Bounded
from model_adapters.varlen_dlm.generation_requests import GenerationRequest
from model_adapters.varlen_dlm.model import VarLenDLM
from model_adapters.varlen_dlm.parsing import method_options, parse_arguments
from model_adapters.varlen_dlm.processes import Processes
from model_adapters.varlen_dlm.prompts import (
    Chat,
    TextOrChat,
    WatchPrompt,
    answered,
    asked,
    predicted,
)
from model_adapters.varlen_dlm.references import check_places
from model_adapters.varlen_dlm.run_costs import RunCosts, in_a_run
from model_adapters.varlen_dlm.shares import is_copy
from model_adapters.varlen_dlm.training_record import training_record

__all__ = [
    "OF_BOUNDS",
    "OTHER_PROMISES",
    "Arguments",
    "Bounded",
    "Chat",
    "GenerationRequest",
    "Processes",
    "RunCosts",
    "TextOrChat",
    "VarLenDLM",
    "WatchPrompt",
    "answered",
    "asked",
    "check_places",
    "fits_blocks",
    "in_a_run",
    "is_copy",
    "method_options",
    "parse_arguments",
    "predicted",
    "training_record",
]
