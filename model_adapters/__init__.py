"""Families of diffusion language models, and the lm-eval model `varlen_dlm` on top of them.

    from model_adapters import load_backbone
    backbone = load_backbone("GSAI-ML/LLaDA-8B-Instruct", device="cuda", dtype="bfloat16")

Importing this package loads neither torch nor lm_eval; `load_backbone` does when it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from model_adapters.loading import dtype_name, load_backbone

if TYPE_CHECKING:
    from model_adapters.export import save_llada

__all__ = ["dtype_name", "load_backbone", "save_llada"]


def __getattr__(name: str) -> Any:
    """`save_llada`, whose file needs torch, is imported when it is asked for."""
    if name != "save_llada":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from model_adapters import export

    return export.save_llada
