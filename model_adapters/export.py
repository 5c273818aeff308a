"""Export of a LlamaModel to LLaDA's published format: config.json and model.safetensors.

It is the inverse of model_adapters/families/llada.py: a folder that is written here loads there,
and in LLaDA's own published code. Nothing else is written.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaModel

from eosbench.errors import ConfigurationError
from model_adapters.families import family_file

LLADA = family_file("llada")


def save_llada(
    folder: str | Path,
    model: LlamaModel,
    output_weight: torch.Tensor,
    *,
    mask_id: int,
    eos_id: int,
    pad_id: int | None = None,
    dtype: torch.dtype = torch.bfloat16,
) -> None:
    """Writes config.json and model.safetensors into `folder`, which is made if need be.

    Args:
        folder: where to write.
        model: the trained blocks, embeddings and final norm.
        output_weight: [V, D], the output layer; `model.embed_tokens.weight` itself for tied
            weights.
        mask_id: id of the mask token.
        eos_id: id that ends a text.
        pad_id: id of padding; `eos_id` by default, as in LLaDA.
        dtype: the dtype that the weights are stored in.

    Raises:
        ConfigurationError: the output layer has another shape than the embeddings, or the model
            has weights that LLaDA does not have, such as biases.
    """
    if output_weight.shape != model.embed_tokens.weight.shape:
        expected = list(model.embed_tokens.weight.shape)
        raise ConfigurationError(
            f"output layer of shape {list(output_weight.shape)}: expected the embeddings' shape "
            f"{expected}"
        )
    parameters: dict[str, torch.Tensor] = {
        f"model.{name}": value for name, value in model.named_parameters()
    }
    tied = output_weight is model.embed_tokens.weight
    if not tied:
        parameters["lm_head.weight"] = output_weight
    names = LLADA.weight_names(model.config.num_hidden_layers)
    if unknown := sorted(parameters.keys() - names.keys()):
        raise ConfigurationError(
            f"weights that LLaDA's format has no name for: {', '.join(unknown)}"
        )

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = llada_config(
        model.config,
        tied=tied,
        mask_id=mask_id,
        eos_id=eos_id,
        pad_id=eos_id if pad_id is None else pad_id,
        dtype=dtype,
    )
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    tensors = {
        names[name]: value.detach().to("cpu", dtype).contiguous()
        for name, value in parameters.items()
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def llada_config(
    config: LlamaConfig, *, tied: bool, mask_id: int, eos_id: int, pad_id: int, dtype: torch.dtype
) -> dict[str, Any]:
    """LLaDA's config.json of a LlamaConfig; the arguments are those of `save_llada`."""
    return {
        "architectures": ["LLaDAModelLM"],
        "model_type": "llada",
        "torch_dtype": str(dtype).removeprefix("torch."),
        "d_model": config.hidden_size,
        "n_heads": config.num_attention_heads,
        "n_kv_heads": config.num_key_value_heads,
        "n_layers": config.num_hidden_layers,
        "mlp_hidden_size": config.intermediate_size,
        "max_sequence_length": config.max_position_embeddings,
        "rope_theta": dict(config.rope_parameters or {})["rope_theta"],
        "rms_norm_eps": config.rms_norm_eps,
        "vocab_size": config.vocab_size,
        "embedding_size": config.vocab_size,
        "weight_tying": tied,
        "mask_token_id": mask_id,
        "eos_token_id": eos_id,
        "pad_token_id": pad_id,
        **{name: allowed[0] for name, allowed in LLADA.REQUIRED.items()},
    }
