"""A checkpoint folder on disk: config.json, the tokenizer, and the weights."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eosbench.errors import CheckpointError
from model_adapters.checkpoints.lora import Adapter
from model_adapters.checkpoints.token_ids import MaskToken, TokenIds, find_token_ids
from model_adapters.checkpoints.tokenizer import name_mask, open_tokenizer
from model_adapters.checkpoints.weights import Weights, find_weights


@dataclass(frozen=True)
class Checkpoint:
    """An opened folder.

    Attributes:
        name: the path or hub id that it was asked for by.
        folder: where it is.
        config: its config.json.
        tokenizer: its transformers tokenizer, or None.
        weights: its stored tensors.
        generation: its generation_config.json, empty where there is none.
        asked_mask: the mask token as the user says it.
        adapter: the LoRA adapter that is merged into the weights, or None.
    """

    name: str
    folder: Path
    config: dict[str, Any]
    tokenizer: Any
    weights: Weights
    generation: Mapping[str, Any] = field(default_factory=dict)
    asked_mask: MaskToken = field(default_factory=MaskToken)
    adapter: Adapter | None = None

    @property
    def weight_names(self) -> Collection[str]:
        """Names of the stored tensors."""
        return self.weights.files.keys()

    def token_ids(self, vocab_size: int, *, masked: bool = True) -> TokenIds:
        """The ids of mask, ends and padding, as `find_token_ids` finds them.

        Args:
            vocab_size: V.
            masked: whether the family has a mask token.
        """
        found = find_token_ids(
            self.name,
            {**(self.config.get("text_config") or {}), **self.config},
            self.tokenizer,
            vocab_size=vocab_size,
            generation=self.generation,
            asked_mask=self.asked_mask,
            masked=masked,
        )
        name_mask(self.tokenizer, found.mask_id)
        return found


def open_checkpoint(
    folder: Path,
    *,
    name: str,
    trust_remote_code: bool = False,
    asked_mask: MaskToken | None = None,
    tokenizer: Any = None,
    add_bos_token: bool | None = None,
) -> Checkpoint:
    """Reads config.json, the tokenizer and the headers of the weights.

    Args:
        folder: where they are.
        name: the path or hub id that the user typed.
        trust_remote_code: lets the tokenizer's own code run.
        asked_mask: the mask token as the user says it.
        tokenizer: in place of the folder's own.
        add_bos_token: whether texts begin with the BOS token; None leaves it to the tokenizer.

    Raises:
        CheckpointError: config.json or the weights are missing, or one of the files is broken.
    """
    config_path, generation_path = folder / "config.json", folder / "generation_config.json"
    if not config_path.is_file():
        raise CheckpointError(
            f"{name} holds no config.json: expected a checkpoint folder (config.json, "
            "model.safetensors) or a hub id"
        )
    if tokenizer is None:
        tokenizer = open_tokenizer(
            folder, name=name, trust_remote_code=trust_remote_code, add_bos_token=add_bos_token
        )
    return Checkpoint(
        name,
        folder,
        read_json(config_path),
        tokenizer,
        find_weights(name, folder),
        read_json(generation_path) if generation_path.is_file() else {},
        asked_mask or MaskToken(),
    )


def read_json(path: Path) -> dict[str, Any]:
    """The object that a JSON file of a checkpoint holds.

    Raises:
        CheckpointError: it cannot be read, or holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} holds {type(found).__name__}, expected a JSON object")
    return found
