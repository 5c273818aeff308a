"""A transformers base model plus its output layer or head, made to look at the whole canvas.

Two settings make a decoder of transformers bidirectional: `config.is_causal = False` (its mask
functions then build a padding mask and no triangle) and `is_causal = False` on every attention
module (the kernels read it where there is no mask at all).

Legend: B batch, T tokens of this pass, K tokens kept from an earlier pass, V vocabulary, D width.
"""

from __future__ import annotations

import json
from typing import Any

import torch
from transformers import Cache, PreTrainedModel

from eosbench.backbone import BackboneSpec, scoring_rows
from eosbench.digest import short_digest
from eosbench.errors import ConfigurationError
from eosbench.forward import positions
from model_adapters.backbones.last_block import LastBlock


class FullCanvasBackbone:
    """A `Backbone` that can also keep keys and values from one pass to the next
    (eosbench/forward/block_cache.py).
    """

    def __init__(
        self,
        model: PreTrainedModel,
        output: torch.nn.Module,
        *,
        spec: BackboneSpec,
        tokenizer: Any,
        keeps_cache: bool = True,
        first_position: int = 0,
    ) -> None:
        see_everything(model)
        self.model = model
        self.last_block = LastBlock(model)
        torch.nn.Module.eval(model)
        self.output = output
        torch.nn.Module.eval(output)
        self.device = next(output.parameters()).device
        self.spec = spec
        self.tokenizer = tokenizer
        self.keeps_cache = keeps_cache
        self.first_position = first_position

    @property
    def dtype(self) -> torch.dtype:
        return next(self.output.parameters()).dtype

    def hidden(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        *,
        needed: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past: Cache | None = None,
    ) -> torch.Tensor:
        """[B, T] ids -> [B, T, D], last hidden state after the final norm.

        Args: input_ids: [B, T], on any device. attention_mask: [B, K + T], 1 = token; padding may
            stand anywhere, and a row gives the same answer with or without it. read: [B, T] bool,
            the rows that somebody reads: the others are left unfinished by the last block. None:
            all. position_ids: [B, T]; by default each row counts its own tokens from 0. past: keys
            and values of K earlier tokens; this pass's are appended to it.

        Raises:
            ConfigurationError: `past` for an encoder, which keeps none.
        """
        if past is not None and not self.keeps_cache:
            raise ConfigurationError(
                f"family {self.spec.family!r} keeps no keys and values: leave out cache"
            )
        mask = None if attention_mask is None else attention_mask.to(self.device)
        if position_ids is None and mask is not None:
            position_ids = positions(mask)[:, -input_ids.shape[1] :]
        if position_ids is None and self.first_position:
            position_ids = torch.arange(input_ids.shape[1])[None].expand_as(input_ids)
        with self.last_block.at(needed):
            output = self.model(
                input_ids=input_ids.to(self.device),
                attention_mask=mask,
                position_ids=None
                if position_ids is None
                else position_ids.to(self.device) + self.first_position,
                **(
                    {"past_key_values": past, "use_cache": past is not None}
                    if self.keeps_cache
                    else {}
                ),
            )
        # Where device_map put the last layer elsewhere.
        hidden_BTD: torch.Tensor = output.last_hidden_state.to(self.device)
        return hidden_BTD

    def unembed(self, hidden: torch.Tensor) -> torch.Tensor:
        """[..., D] -> [..., V], row for row."""
        logits: torch.Tensor = self.output(hidden)
        return logits.to(self.device)

    def logits(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """[B, T] ids -> [B, T, V]: row i scores token i."""
        return self.unembed(
            scoring_rows(self.hidden(input_ids, attention_mask), self.spec.logits_shifted)
        )


def see_everything(model: PreTrainedModel) -> None:
    """Turns causal attention off for good, in the mask and in the kernels."""
    model.config.is_causal = False
    for module in model.modules():
        if hasattr(module, "is_causal"):
            module.is_causal = False  # type: ignore[assignment]


def fingerprint(settings: dict[str, Any], weights: str) -> str:
    """16 hex digits over what the model is built from and the digest of its weights."""
    return short_digest(json.dumps(settings, sort_keys=True) + weights)
