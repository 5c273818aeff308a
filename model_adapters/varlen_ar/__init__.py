"""The lm-eval model `varlen_ar`: lm-eval's own `hf`, with what each answer costs.

lm_eval --model varlen_ar --tasks gsm8k --model_args pretrained=Qwen/Qwen2.5-7B-Instruct
"""

from __future__ import annotations

from model_adapters.varlen_ar.model import VarLenAR

__all__ = ["VarLenAR"]
