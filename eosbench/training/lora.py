"""Low-rank matrices instead of all weights: peft, an extra (`pip install eosbench[peft]`).

New tokens are trained beside them: their rows in the embeddings and in the output layer. All is
merged before a model is written, so that what is written is a checkpoint like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from eosbench.errors import ConfigurationError

NEW_ROWS = "new_rows"  # the parameter's name in both layers


def add_lora(
    model: Any,
    *,
    rank: int,
    alpha: int,
    targets: Sequence[str] = (),
    new_tokens: Sequence[int] = (),
) -> None:
    """Freezes a model and adds low-rank matrices to its layers, in place.

    Args:
        model: the whole model of transformers.
        rank, alpha: of the matrices (2106.09685).
        targets: names of layers; none: all linear layers but the output layer.
        new_tokens: ids whose rows are trained as well.

    Raises:
        ConfigurationError: peft is not installed, or no layer has such a name.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ConfigurationError("--lora_rank needs peft: pip install 'eosbench[peft]'") from error
    head = "" if targets else _name_of(model, model.get_output_embeddings())
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules=list(targets) or "all-linear",
        exclude_modules=[head] if head else None,
    )
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    try:
        inject_adapter_in_model(config, model)
    except ValueError as error:
        raise ConfigurationError(
            f"--lora_targets {' '.join(targets)}: {' '.join(str(error).split())}"
        ) from error
    if new_tokens:
        _train_rows(model.get_input_embeddings(), model.get_output_embeddings(), new_tokens)


def merge_lora(model: Any) -> None:
    """Adds what was trained to the weights it stands beside and removes it, in place."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            owner, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(owner), leaf, module.get_base_layer())
    embeddings, output = model.get_input_embeddings(), model.get_output_embeddings()
    rows = getattr(embeddings, NEW_ROWS, None)
    if rows is None:
        return
    with torch.no_grad():
        matrices = {id(layer.weight): layer for layer in (embeddings, output)}
        for layer in matrices.values():
            layer.weight[layer.new_ids] += getattr(layer, NEW_ROWS)
    for layer in (embeddings, output):
        delattr(layer, NEW_ROWS)
        layer.new_rows_hook.remove()


def _train_rows(embeddings: Any, output: Any, ids: Sequence[int]) -> None:
    """Gives both layers a trained change of the rows of these tokens; tied layers share it."""
    weight_VD = embeddings.weight
    lookup_V = torch.full((len(weight_VD),), len(ids), device=weight_VD.device)
    lookup_V[list(ids)] = torch.arange(len(ids), device=weight_VD.device)
    change = torch.nn.Parameter(weight_VD.new_zeros(len(ids), weight_VD.shape[1]))
    tied = output.weight is weight_VD
    for layer in (embeddings, output):
        own = change if tied or layer is embeddings else torch.nn.Parameter(change.detach().clone())
        layer.register_parameter(NEW_ROWS, own)
        layer.new_ids = torch.tensor(list(ids), device=weight_VD.device)

    def embedded(layer: Any, given: tuple[torch.Tensor, ...], found_BTD: torch.Tensor) -> Any:
        rows_KD = functional.pad(layer.new_rows, (0, 0, 0, 1))  # the last one is no new token's
        places_BT = lookup_V.to(found_BTD.device)[given[0]]
        return found_BTD + functional.embedding(places_BT, rows_KD).to(found_BTD.dtype)

    def scored(layer: Any, given: tuple[torch.Tensor, ...], found_NV: torch.Tensor) -> Any:
        more_NK = functional.linear(given[0], layer.new_rows)
        places_K = layer.new_ids.to(found_NV.device)
        return found_NV.index_add(-1, places_K, more_NK.to(found_NV.dtype))

    embeddings.new_rows_hook = embeddings.register_forward_hook(embedded)
    output.new_rows_hook = output.register_forward_hook(scored)


def _name_of(model: torch.nn.Module, wanted: Any) -> str:
    names = (name for name, module in model.named_modules() if module is wanted)
    found: str = next(names)
    return found
