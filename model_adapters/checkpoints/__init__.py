"""Checkpoint folders, and the blueprint by which a family describes its own."""

from __future__ import annotations

from model_adapters.checkpoints.blueprint import (
    Blueprint,
    checked_config,
    own_name,
    require_settings,
    rope_parameters,
    stock_config,
)
from model_adapters.checkpoints.checkpoint import Checkpoint, open_checkpoint, read_json
from model_adapters.checkpoints.held import hold
from model_adapters.checkpoints.lora import Adapter, holds_an_adapter_alone, open_adapter
from model_adapters.checkpoints.pieces import (
    Piece,
    Stored,
    StoredTensor,
    stacked_experts,
    stored_tensors,
)
from model_adapters.checkpoints.token_ids import MaskToken, TokenIds
from model_adapters.checkpoints.tokenizer import holds_tokenizer, open_tokenizer
from model_adapters.checkpoints.training import RECORD, trained_causally
from model_adapters.checkpoints.weights import Weights, find_weights

__all__ = [
    "RECORD",
    "Adapter",
    "Blueprint",
    "Checkpoint",
    "MaskToken",
    "Piece",
    "Stored",
    "StoredTensor",
    "TokenIds",
    "Weights",
    "checked_config",
    "find_weights",
    "hold",
    "holds_an_adapter_alone",
    "holds_tokenizer",
    "open_adapter",
    "open_checkpoint",
    "open_tokenizer",
    "own_name",
    "read_json",
    "require_settings",
    "rope_parameters",
    "stacked_experts",
    "stock_config",
    "stored_tensors",
    "trained_causally",
]
