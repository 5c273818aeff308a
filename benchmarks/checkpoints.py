"""LLaDA-shaped checkpoints with random weights in bfloat16, in shards, for benchmarks whose models
need learn nothing.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from model_adapters.families import family_file

LLADA = family_file("llada")

VOCABULARY = 126_464  # LLaDA's


def write_checkpoint(
    folder: Path,
    *,
    width: int,
    layers: int,
    heads: int,
    vocabulary: int = VOCABULARY,
    shards: int = 4,
    positions: int = 4096,
) -> int:
    """A checkpoint in LLaDA's published format, whose MLP is three times as wide as the rest; the
    bytes its weights take.

    The last two ids are the end of a text, which also pads, and the mask. One shard at a time is in
    memory.
    """
    config = {
        "architectures": ["LLaDAModelLM"],
        "model_type": "llada",
        "d_model": width,
        "n_heads": heads,
        "n_layers": layers,
        "mlp_hidden_size": 3 * width,
        "max_sequence_length": positions,
        "vocab_size": vocabulary,
        "rope_theta": 500_000.0,
        "mask_token_id": vocabulary - 1,
        "eos_token_id": vocabulary - 2,
        "pad_token_id": vocabulary - 2,
    }
    (folder / "config.json").write_text(json.dumps(config))
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(LLADA.llama_config(config))
    names, files, total = LLADA.weight_names(layers), {}, 0
    parameters = list(model.named_parameters())
    torch.manual_seed(0)
    for number in range(shards):
        tensors = {
            names[own]: torch.randn(p.shape, dtype=torch.bfloat16) * 0.02
            for own, p in parameters[number::shards]
        }
        file = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        save_file(tensors, folder / file)
        files |= dict.fromkeys(tensors, file)
        total += sum(tensor.nbytes for tensor in tensors.values())
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    return total
