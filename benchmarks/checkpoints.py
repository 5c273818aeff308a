"""Checkpoints in LLaDA's and LLaDA2's shape with random weights, in shards.

They are for benchmarks whose models need learn nothing. Weights are stored in bfloat16.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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
    """Writes a checkpoint in LLaDA's published format; the bytes that its weights take.

    Weights are in bfloat16, one shard at a time in memory. The MLP is three times as wide as the
    rest. The last two ids are the end of a text, which also pads, and the mask.

    Args:
        folder: an empty folder.
        width: of the hidden states.
        layers: how many transformer blocks.
        heads: of each attention.
        vocabulary: how many ids.
        shards: how many files hold the weights.
        positions: the longest sequence.
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
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(LLADA.llama_config(config))
    names = LLADA.weight_names(layers)
    shapes = {names[own]: tuple(p.shape) for own, p in model.named_parameters()}
    return _write(folder, config, shapes, shards)


def write_mixture(
    folder: Path,
    *,
    width: int,
    layers: int,
    experts: int,
    inner: int = 512,
    vocabulary: int = 32_768,
    shards: int = 4,
) -> int:
    """A mixture of experts in LLaDA2's published format; the bytes that its weights take.

    All layers but the first are sparse.

    Args:
        folder: where to.
        width: of the model; heads are 64 wide, two for each pair of keys and values.
        layers: transformer blocks.
        experts: of a sparse layer, in 4 groups; 4 run for a token, and one is shared.
        inner: width of an expert.
        vocabulary: number of ids, the last two of which are the end of a text and the mask.
        shards: files.
    """
    config = {
        "architectures": ["LLaDA2MoeModelLM"],
        "model_type": "llada2_moe",
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "moe_intermediate_size": inner,
        "num_hidden_layers": layers,
        "first_k_dense_replace": 1,
        "num_attention_heads": width // 64,
        "num_key_value_heads": width // 128,
        "head_dim": 64,
        "num_experts": experts,
        "num_experts_per_tok": 4,
        "num_shared_experts": 1,
        "n_group": 4,
        "topk_group": 2,
        "routed_scaling_factor": 2.5,
        "partial_rotary_factor": 0.5,
        "rope_theta": 600_000.0,
        "max_position_embeddings": 4096,
        "mask_token_id": vocabulary - 1,
        "eos_token_id": vocabulary - 2,
        "pad_token_id": vocabulary - 2,
    }
    return _write(folder, config, _mixture_shapes(config), shards)


def _mixture_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """The published name of every weight -> its shape."""
    width, head, inner = config["hidden_size"], config["head_dim"], config["moe_intermediate_size"]
    heads = config["num_attention_heads"] + 2 * config["num_key_value_heads"]
    shapes: dict[str, tuple[int, ...]] = {
        "model.word_embeddings.weight": (config["vocab_size"], width),
        "lm_head.weight": (config["vocab_size"], width),
        "model.norm.weight": (width,),
    }
    for layer in range(config["num_hidden_layers"]):
        of_layer = f"model.layers.{layer}"
        attention = f"{of_layer}.attention"
        shapes |= {
            f"{of_layer}.input_layernorm.weight": (width,),
            f"{of_layer}.post_attention_layernorm.weight": (width,),
            f"{attention}.query_key_value.weight": (heads * head, width),
            f"{attention}.dense.weight": (width, config["num_attention_heads"] * head),
            f"{attention}.query_layernorm.weight": (head,),
            f"{attention}.key_layernorm.weight": (head,),
        }
        if layer < config["first_k_dense_replace"]:
            shapes |= _mlp_shapes(f"{of_layer}.mlp", width, config["intermediate_size"])
            continue
        shapes[f"{of_layer}.mlp.gate.weight"] = (config["num_experts"], width)
        shapes[f"{of_layer}.mlp.gate.expert_bias"] = (config["num_experts"],)
        shapes |= _mlp_shapes(f"{of_layer}.mlp.shared_experts", width, inner)
        for expert in range(config["num_experts"]):
            shapes |= _mlp_shapes(f"{of_layer}.mlp.experts.{expert}", width, inner)
    return shapes


def _mlp_shapes(name: str, width: int, inner: int) -> dict[str, tuple[int, ...]]:
    """The published name of every weight of a feed-forward network -> its shape."""
    return {
        f"{name}.gate_proj.weight": (inner, width),
        f"{name}.up_proj.weight": (inner, width),
        f"{name}.down_proj.weight": (width, inner),
    }


def _write(
    folder: Path, config: dict[str, Any], shapes: dict[str, tuple[int, ...]], shards: int
) -> int:
    """Writes config.json and random weights of these shapes; the bytes they take."""
    (folder / "config.json").write_text(json.dumps(config))
    files: dict[str, str] = {}
    total = 0
    torch.manual_seed(0)
    for number in range(shards):
        tensors = {
            name: torch.randn(shape, dtype=torch.bfloat16) * 0.02
            for name, shape in list(shapes.items())[number::shards]
        }
        file = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        save_file(tensors, folder / file)
        files |= dict.fromkeys(tensors, file)
        total += sum(tensor.nbytes for tensor in tensors.values())
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    return total
