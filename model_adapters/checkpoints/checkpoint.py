"""A checkpoint folder on disk: config.json, the tokenizer, and the weights."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eosbench.errors import CheckpointError
from model_adapters.checkpoints.token_ids import TokenIds, find_token_ids
from model_adapters.checkpoints.weights import Weights, find_weights

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "tokenizer.model")


@dataclass(frozen=True)
class Checkpoint:
    """An opened folder.

    Attributes:
        name: the path or hub id that it was asked for by.
        folder: where it is.
        config: its config.json.
        tokenizer: its transformers tokenizer, or None.
        weights: its stored tensors.
    """

    name: str
    folder: Path
    config: dict[str, Any]
    tokenizer: Any
    weights: Weights

    @property
    def weight_names(self) -> Collection[str]:
        """Names of the stored tensors."""
        return self.weights.files.keys()

    def token_ids(self, vocab_size: int) -> TokenIds:
        """The ids of mask, ends and padding, as `find_token_ids` finds them."""
        return find_token_ids(self.name, self.config, self.tokenizer, vocab_size=vocab_size)


def open_checkpoint(folder: Path, *, name: str, trust_remote_code: bool = False) -> Checkpoint:
    """Reads config.json, the tokenizer and the headers of the weights.

    Args:
        folder: where they are.
        name: the path or hub id that the user typed.
        trust_remote_code: lets the tokenizer's own code run.

    Raises:
        CheckpointError: config.json or the weights are missing, or one of the files is broken.
    """
    config_path = folder / "config.json"
    if not config_path.is_file():
        raise CheckpointError(
            f"{name} holds no config.json: expected a checkpoint folder (config.json, "
            "model.safetensors) or a hub id"
        )
    try:
        config = json.loads(config_path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{config_path} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise CheckpointError(
            f"{config_path} holds {type(config).__name__}, expected a JSON object"
        )
    tokenizer = _tokenizer(folder, trust_remote_code)
    return Checkpoint(name, folder, config, tokenizer, find_weights(name, folder))


def _tokenizer(folder: Path, trust_remote_code: bool) -> Any:
    """The folder's tokenizer, or None.

    The plain config keeps transformers from asking whether the model's own code may run.
    """
    present = [name for name in _TOKENIZER_FILES if (folder / name).is_file()]
    if not present:
        return None
    from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerFast

    try:
        if "tokenizer.json" in present and "tokenizer_config.json" not in present:
            fast: Any = PreTrainedTokenizerFast
            return fast(tokenizer_file=str(folder / "tokenizer.json"))
        return AutoTokenizer.from_pretrained(
            folder, config=PreTrainedConfig(), trust_remote_code=trust_remote_code
        )
    except Exception as error:  # tokenizers raises bare Exception on a broken file
        raise CheckpointError(f"the tokenizer in {folder} cannot be loaded: {error}") from error
