"""Small checkpoints of transformers' own models: written, edited, and run by hand.

Legend: B batch, T tokens, V vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file

V, T = 48, 12
SMALL = {
    "vocab_size": V,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
DECODER = {
    **SMALL,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
}
GPT2 = {"vocab_size": V, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}
ENCODER = {**SMALL, "max_position_embeddings": 64, "pad_token_id": 1}
IDS_BT = torch.arange(2 * T).reshape(2, T) + 2


def stock(model_type: str, **settings: Any) -> transformers.PreTrainedConfig:
    """transformers' config of a model type."""
    return transformers.AutoConfig.for_model(model_type, **settings)


def published(
    folder: Path, config: transformers.PreTrainedConfig, **says: Any
) -> transformers.PreTrainedModel:
    """Writes a checkpoint with random weights, as transformers does, and returns its model.

    Args:
        folder: where to write.
        config: of the model.
        says: settings that config.json has besides.
    """
    torch.manual_seed(0)
    auto = transformers.AutoModelForCausalLM
    if "bert" in config.model_type:
        auto = transformers.AutoModelForMaskedLM
    model = auto.from_config(config).eval()
    for parameter in model.parameters():  # biases and norms too, so that one that is lost is seen
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    ids = {"mask_token_id": 0, "eos_token_id": 1, "bos_token_id": 1, "pad_token_id": 1}
    edit(folder, **ids | says)
    return model


def edit(folder: Path, **says: Any) -> None:
    """Changes settings of a folder's config.json; "absent" removes one."""
    config = json.loads((folder / "config.json").read_text()) | says
    kept = {name: value for name, value in config.items() if value != "absent"}
    (folder / "config.json").write_text(json.dumps(kept))


def rename(folder: Path, new_name: Callable[[str], str | None], **more: torch.Tensor) -> None:
    """Renames a folder's stored tensors, drops those whose new name is None, and adds others."""
    renamed = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        if (new := new_name(name)) is not None:
            renamed[new] = tensor.clone()
    save_file(renamed | more, folder / "model.safetensors")


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Changes a folder's stored tensors in place."""
    tensors = load_file(folder / "model.safetensors")
    tensors = {name: value.clone() for name, value in tensors.items()}
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@torch.no_grad()
def by_hand(model: transformers.PreTrainedModel, ids_BT: torch.Tensor = IDS_BT) -> torch.Tensor:
    """Raw logits [B, T, V] of a model in which every position attends to every other."""
    full = torch.ones(len(ids_BT), 1, ids_BT.shape[1], ids_BT.shape[1], dtype=torch.bool)
    mask = torch.ones_like(ids_BT) if "bert" in model.config.model_type else full
    logits: torch.Tensor = model(input_ids=ids_BT, attention_mask=mask).logits
    return logits


@torch.no_grad()
def raw(backbone: Any, ids_BT: torch.Tensor = IDS_BT) -> torch.Tensor:
    """Raw logits [B, T, V] of a backbone."""
    logits: torch.Tensor = backbone.unembed(backbone.hidden(ids_BT))
    return logits


def close(got: torch.Tensor, want: torch.Tensor) -> None:
    """Asserts that two tensors are equal but for rounding."""
    torch.testing.assert_close(got, want, atol=1e-4, rtol=0)
