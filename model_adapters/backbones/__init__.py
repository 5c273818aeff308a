"""From a blueprint to a backbone: assembly, placement, and the passes of the model."""

from __future__ import annotations

from model_adapters.backbones.adjusted import set_longest, set_mixed_precision
from model_adapters.backbones.assembly import assemble, sizes_of
from model_adapters.backbones.full_canvas import FullCanvasBackbone
from model_adapters.backbones.noise_canvas import NoiseCanvasBackbone
from model_adapters.backbones.placement import Placement, memory_limits
from model_adapters.backbones.quantised import bits_asked, refuse_stored
from model_adapters.backbones.remote_code import assemble_own_code

__all__ = [
    "FullCanvasBackbone",
    "NoiseCanvasBackbone",
    "Placement",
    "assemble",
    "assemble_own_code",
    "bits_asked",
    "memory_limits",
    "refuse_stored",
    "set_longest",
    "set_mixed_precision",
    "sizes_of",
]
