"""LoRA adapters: small matrices that are merged into the weights of a checkpoint as they are read.

An adapter names the modules of the model that it was trained on. Those are the checkpoint's own
names, or transformers'. The arithmetic is peft's: it runs on a skeleton that has nothing but the
adapted modules, one stored tensor at a time, so that memory holds the weights once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers.pytorch_utils import Conv1D

from eosbench.errors import CheckpointError, ConfigurationError
from model_adapters.checkpoints.blueprint import Blueprint
from model_adapters.checkpoints.pieces import Piece
from model_adapters.checkpoints.weights import Weights

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_LORA = (".lora_A.", ".lora_B.", ".lora_embedding_A", ".lora_embedding_B", ".lora_magnitude_vector")


@dataclass(frozen=True)
class Adapter:
    """An opened adapter folder.

    Attributes:
        name: the path or hub id that it was asked for by.
        folder: where it is.
        config: its adapter_config.json.
    """

    name: str
    folder: Path
    config: Mapping[str, Any]

    @property
    def base(self) -> str | None:
        """The path or hub id of the model that it was trained on, where it says so."""
        return self.config.get("base_model_name_or_path")

    def merged_into(self, weights: Weights, plan: Blueprint, parameters: list[str]) -> Weights:
        """The weights with the adapter merged into every tensor as it is read.

        Args:
            weights: of the checkpoint.
            plan: its blueprint.
            parameters: transformers' names of the model's parameters.

        Raises:
            CheckpointError: the adapter cannot be read, is no LoRA, or has modules that the
                checkpoint does not have.
            ConfigurationError: peft is not installed.
        """
        state = self._tensors()
        skeleton = _skeleton(self, state)
        places = {name: plan.stored_name(name) for name in parameters}
        changes: dict[str, list[_Change]] = {}
        unknown: list[str] = []
        for module in sorted({*_modules(state), *_replaced(state)}):
            parameter = module if module in state else f"{module}.weight"
            stored = parameter if parameter in weights.files else places.get(parameter, ())
            pieces = [Piece(stored)] if isinstance(stored, str) else [*stored]
            if len(pieces) != 1:
                unknown.append(module)
                continue
            change = _Change(skeleton, module, state.get(parameter), pieces[0].rows)
            changes.setdefault(pieces[0].name, []).append(change)
        if unknown:
            raise CheckpointError(
                f"peft={self.name}: the checkpoint has no weight, or none of its own, for "
                f"{', '.join(unknown[:8])}: was the adapter trained on {self.base!r}?"
            )
        return replace(weights, changes={name: _all_of(of) for name, of in changes.items()})

    def _tensors(self) -> dict[str, torch.Tensor]:
        """Its tensors by their names without peft's prefix."""
        if self.config.get("peft_type") != "LORA":
            raise CheckpointError(
                f"peft={self.name} is a {self.config.get('peft_type')} adapter: expected LORA"
            )
        path = self.folder / WEIGHTS
        if not path.is_file():
            raise CheckpointError(
                f"peft={self.name} lacks {WEIGHTS}: other formats can run code, save the adapter "
                "again as safetensors"
            )
        try:
            found = load_file(path)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} is no readable safetensors file: {error}") from error
        return {name.removeprefix(_PREFIX): tensor for name, tensor in found.items()}


def holds_an_adapter_alone(folder: Path) -> bool:
    """Whether a folder has an adapter in it and no weights of a model."""
    return (folder / CONFIG).is_file() and not any(folder.glob("model*.safetensors*"))


def open_adapter(folder: Path, name: str) -> Adapter:
    """The adapter in a folder.

    Args:
        folder: where it is.
        name: the path or hub id that the user typed.

    Raises:
        CheckpointError: there is no adapter, or its config is broken.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise CheckpointError(f"peft={name} holds no {CONFIG}: expected a folder with an adapter")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} holds {type(config).__name__}, expected a JSON object")
    return Adapter(name, folder, config)


@dataclass(frozen=True)
class _Change:
    """One module's share of a stored tensor, all of it or some rows."""

    skeleton: torch.nn.Module
    module: str
    replaced: torch.Tensor | None
    rows: tuple[int, int] | None

    def __call__(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensor, in float32 and its own, with the adapter merged into it."""
        first, stop = self.rows or (0, len(tensor))
        before = tensor[first:stop]
        after = self._merged(before) if self.replaced is None else self.replaced.float()
        if after.shape != before.shape:
            raise CheckpointError(
                f"the adapter's {self.module} has shape {tuple(after.shape)}, the checkpoint's has "
                f"{tuple(before.shape)}"
            )
        tensor[first:stop] = after
        return tensor

    def _merged(self, weight: torch.Tensor) -> torch.Tensor:
        layer: Any = self.skeleton.get_submodule(self.module)
        base = layer.get_base_layer()
        empty: torch.nn.Parameter = base.weight
        if empty.shape != weight.shape:
            return empty  # of another shape, which the caller reports
        base.weight = torch.nn.Parameter(weight.clone(), requires_grad=False)
        layer.merge()
        merged: torch.Tensor = base.weight.data
        base.weight = empty
        return merged


def _all_of(changes: list[_Change]) -> Callable[[torch.Tensor], torch.Tensor]:
    def changed(tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.to(torch.float32, copy=True)
        for change in changes:
            tensor = change(tensor)
        return tensor

    return changed


def _modules(state: Mapping[str, torch.Tensor]) -> set[str]:
    """Names of the modules that have LoRA matrices."""
    found = set()
    for name in state:
        for part in _LORA:
            if part in name:
                found.add(name.partition(part)[0])
    return found


def _replaced(state: Mapping[str, torch.Tensor]) -> set[str]:
    """Names of the weights that the adapter holds whole (peft's modules_to_save, biases)."""
    return {name for name in state if not _is_lora(name)}


def _is_lora(name: str) -> bool:
    return any(part in name for part in _LORA)


def _skeleton(adapter: Adapter, state: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """A model of the adapted modules alone, with peft's layers around them.

    Raises:
        ConfigurationError: peft is not installed.
        CheckpointError: peft cannot make sense of the adapter.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict
    except ImportError as error:
        raise ConfigurationError(
            f"peft={adapter.name}: the package peft is not installed: pip install 'eosbench[peft]'"
        ) from error
    root = torch.nn.Module()
    modules = sorted(_modules(state))
    fan_in_fan_out = bool(adapter.config.get("fan_in_fan_out"))
    for module in modules:
        _add(root, module, _plain_layer(module, state, fan_in_fan_out))
    try:
        config = LoraConfig.from_pretrained(str(adapter.folder))
        if config.init_lora_weights not in (True, False, "gaussian"):
            raise ValueError(
                f"init_lora_weights={config.init_lora_weights!r} changed the base model, too: "
                "convert the adapter to plain LoRA with peft when it is saved"
            )
        config.target_modules, config.init_lora_weights = modules, False
        config.layers_to_transform = config.layers_pattern = config.exclude_modules = None
        config.modules_to_save = None
        inject_adapter_in_model(config, root, low_cpu_mem_usage=True)
        lora = {name: value for name, value in state.items() if _is_lora(name)}
        left: Any = set_peft_model_state_dict(root, lora, low_cpu_mem_usage=True)
    except (ValueError, TypeError, KeyError, RuntimeError, NotImplementedError) as error:
        raise CheckpointError(f"peft={adapter.name} cannot be merged: {error}") from error
    if left.unexpected_keys:
        raise CheckpointError(
            f"peft={adapter.name} cannot be merged: peft has no place for "
            f"{', '.join(left.unexpected_keys[:8])}"
        )
    return root.eval()


def _plain_layer(
    module: str, state: Mapping[str, torch.Tensor], fan_in_fan_out: bool
) -> torch.nn.Module:
    """The layer that a module's LoRA matrices belong to, with a weight that takes no memory."""
    layer: torch.nn.Module
    with torch.device("meta"):
        if f"{module}.lora_embedding_A" in state:
            ids = state[f"{module}.lora_embedding_A"].shape[1]
            layer = torch.nn.Embedding(ids, state[f"{module}.lora_embedding_B"].shape[0])
        else:
            width = state[f"{module}.lora_A.weight"].shape[1]
            to = state[f"{module}.lora_B.weight"].shape[0]
            layer = Conv1D(to, width) if fan_in_fan_out else torch.nn.Linear(width, to, bias=False)
    # On a real device, since peft puts its matrices where the weight is.
    one_number = torch.zeros(()).expand(layer.get_parameter("weight").shape)
    layer.weight = torch.nn.Parameter(one_number, requires_grad=False)
    return layer


def _add(root: torch.nn.Module, name: str, layer: torch.nn.Module) -> None:
    """Puts a layer into a tree of modules under its dotted name."""
    *parents, leaf = name.split(".")
    for parent in parents:
        if not hasattr(root, parent):
            root.add_module(parent, torch.nn.Module())
        root = root.get_submodule(parent)
    root.add_module(leaf, layer)
