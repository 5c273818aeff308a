"""A model of transformers that is in memory already, as a checkpoint.

Nothing is copied: the parameters of the backbone are those of the model, where device and dtype
stay the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.core_model_loading import revert_weight_conversion

from eosbench.errors import CheckpointError
from model_adapters.checkpoints.checkpoint import Checkpoint
from model_adapters.checkpoints.pieces import StoredTensor
from model_adapters.checkpoints.token_ids import MaskToken
from model_adapters.checkpoints.weights import Weights, digest, fingerprint_of

IN_MEMORY = Path("in memory")


@dataclass(frozen=True)
class HeldWeights(Weights):
    """The tensors of a model, under the names that its checkpoint has for them.

    Attributes:
        tensors: by name.
    """

    tensors: Mapping[str, torch.Tensor] = field(default_factory=dict)

    def dtype(self) -> torch.dtype:
        """The dtype that most of the values have."""
        sizes: dict[torch.dtype, int] = {}
        for tensor in self.tensors.values():
            sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + tensor.numel()
        return max(sizes, key=sizes.__getitem__)

    def fingerprint(self) -> str:
        """The fingerprint of `read_into` over every tensor."""
        return fingerprint_of({name: digest(name, one) for name, one in self.tensors.items()})

    def _tensors(self, expected: Mapping[str, StoredTensor]) -> Iterator[tuple[str, torch.Tensor]]:
        """Each of these tensors by its name.

        Raises:
            CheckpointError: one of them has another shape.
        """
        for name in sorted(expected):
            found, shape = self.tensors[name], expected[name].shape
            if tuple(found.shape) != tuple(shape):
                raise CheckpointError(
                    f"{self.name}: weight {name} has shape {tuple(found.shape)}, its config asks "
                    f"for {tuple(shape)}"
                )
            yield name, found


def hold(
    model: PreTrainedModel,
    *,
    name: str,
    tokenizer: Any,
    asked_mask: MaskToken | None = None,
) -> Checkpoint:
    """A model as the checkpoint that `save_pretrained` would write.

    Args:
        model: of a family that is known, by transformers' own code or by code of its own.
        name: that it goes by.
        tokenizer: of it.
        asked_mask: the mask token as the user says it.
    """
    config = model.config.to_dict()
    if not config.get("architectures"):
        config["architectures"] = [type(model).__name__]
    generation = getattr(model, "generation_config", None)
    tensors = _tensors_of(model)
    return Checkpoint(
        name,
        IN_MEMORY,
        config,
        tokenizer,
        HeldWeights(name, dict.fromkeys(tensors, IN_MEMORY), tensors=tensors),
        {} if generation is None else generation.to_diff_dict(),
        asked_mask or MaskToken(),
    )


def _tensors_of(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Its weights under their stored names; one that is tied to another stands there once."""
    state = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    ties: Mapping[str, str] | Collection[Any] = getattr(model, "all_tied_weights_keys", None) or {}
    for target, source in dict(ties).items():
        both = target in state and source in state
        if both and state[target].data_ptr() == state[source].data_ptr():
            del state[target]
    return dict(revert_weight_conversion(model, state))
