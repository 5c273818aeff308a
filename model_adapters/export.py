"""Writes models in the published format of their family.

config.json, tokenizer and safetensors are written, and nothing that could run code.

`export_checkpoint` is the inverse of loading for every family (`Blueprint.stored_name` read
backwards): what was loaded and written again has the same tensors and the same fingerprint.
`save_llada` writes a LlamaModel that came from nowhere in LLaDA's format, which loads here and in
LLaDA's own published code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import save_torch_state_dict
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaModel, PreTrainedModel

from eosbench.errors import ConfigurationError
from eosbench.places import give_usual_mode
from model_adapters.checkpoints import Blueprint, Checkpoint, StoredTensor, stored_tensors
from model_adapters.families import family_file

LLADA = family_file("llada")


def export_checkpoint(
    folder: str | Path,
    model: PreTrainedModel,
    plan: Blueprint,
    checkpoint: Checkpoint,
    *,
    dtype: torch.dtype | None = None,
    max_shard_size: str = "5GB",
) -> None:
    """Writes config.json, the tokenizer and the weights into `folder`, which is made if need be.

    Tensors of the source that the model has no use for (buffers, heads of other tasks) are copied
    as they are. Of tied weights as many copies are written as were read.

    Args:
        folder: where to.
        model: the whole model.
        plan: its blueprint: what a weight is called in the family's format.
        checkpoint: what it came from, with the config and the tokenizer that are written.
        dtype: what weights are stored in; None: each in what it was read in, new ones in float32.
        max_shard_size: of one file, in words of huggingface_hub.

    Raises:
        ConfigurationError: a weight that the family's format has no name for.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = _tensors(model, plan, checkpoint, dtype)
    save_torch_state_dict(tensors, folder, max_shard_size=max_shard_size)
    give_usual_mode(*folder.glob("*.safetensors"))
    config = dict(checkpoint.config)
    if dtype is not None:
        name = "dtype" if "dtype" in config else "torch_dtype"
        config[name] = str(dtype).removeprefix("torch.")
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    if checkpoint.generation:
        text = json.dumps(dict(checkpoint.generation), indent=1) + "\n"
        (folder / "generation_config.json").write_text(text, encoding="utf-8")
    if checkpoint.tokenizer is not None:
        checkpoint.tokenizer.save_pretrained(folder)


def _tensors(
    model: PreTrainedModel, plan: Blueprint, checkpoint: Checkpoint, dtype: torch.dtype | None
) -> dict[str, torch.Tensor]:
    """Every tensor of the file, by its stored name, on the CPU; no two share memory."""
    own = {
        **dict(model.named_parameters(remove_duplicate=False)),
        **{name: buffer for name, buffer in model.named_buffers() if name in model.state_dict()},
    }
    left_out = _written_as_another(model, plan, checkpoint)
    names = {name: plan.stored_name(name) for name in own.keys() - left_out}
    names = {name: stored for name, stored in names.items() if stored}
    shapes = {name: own[name].shape for name in names}
    found: dict[str, torch.Tensor] = {}
    for stored, tensor in stored_tensors(names, shapes).items():
        found[stored] = _gathered(tensor, own, dtype)
    for path in sorted(set(checkpoint.weights.files.values())):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  # it is no mapping
                if name not in found:
                    found[name] = file.get_tensor(name)
                elif dtype is None:
                    found[name] = found[name].to(file.get_tensor(name).dtype)
    return found


def _gathered(
    stored: StoredTensor, own: Mapping[str, torch.Tensor], dtype: torch.dtype | None
) -> torch.Tensor:
    """A stored tensor, copied from the parameter that it is or from those that hold its rows."""
    first = own[stored.places[0].own].detach()
    if stored.is_parameter:
        return first.to("cpu", dtype, copy=True).contiguous()
    tensor = torch.empty(stored.shape, dtype=dtype or first.dtype)
    for place in stored.places:
        value = own[place.own].detach()
        rows = value.flatten(0, -2) if value.ndim > 1 else value
        begin, end = place.piece.rows or (0, len(tensor))
        start = place.start or 0
        tensor[begin:end] = rows[start : start + end - begin].cpu()
    return tensor


def _written_as_another(
    model: PreTrainedModel, plan: Blueprint, checkpoint: Checkpoint
) -> set[str]:
    """The names of tied weights that stand in the file under the name of their partner alone."""
    tied = dict(model.all_tied_weights_keys)
    partner = tied | {source: target for target, source in tied.items()}
    files = checkpoint.weights.files
    stored = {name for name in partner if plan.stored_name(name) in files}
    return {
        name for name in partner if name not in stored and (name in tied or partner[name] in stored)
    }


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
    give_usual_mode(folder / "model.safetensors")


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
