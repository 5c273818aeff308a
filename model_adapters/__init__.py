"""One file per family of diffusion language models, and the lm-eval model `varlen_dlm` on top of them.

    from model_adapters import load_backbone
    backbone = load_backbone("GSAI-ML/LLaDA-8B-Instruct", device="cuda", dtype="bfloat16")

Importing this package loads neither torch nor lm_eval; `load_backbone` does when it is called.
"""

from __future__ import annotations

from model_adapters.loading import load_backbone

__all__ = ["load_backbone"]
