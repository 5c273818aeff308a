"""A base model of transformers with its output layer, made to attend to the whole canvas.

A model that attends causally between blocks is made to attend to its own block and those before it
(block_mask.py); all else is the same.

Two settings make a decoder of transformers bidirectional: `config.is_causal = False` (its mask
functions then build a padding mask and no triangle) and `is_causal = False` on every attention
module (the kernels heed it where there is no mask at all).

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
from model_adapters.backbones.block_mask import block_mask
from model_adapters.backbones.cache_argument import cache_name
from model_adapters.backbones.last_block import LastBlock


class FullCanvasBackbone:
    """A `Backbone` that can also keep keys and values from one pass to the next.

    eosbench/forward/block_cache.py makes use of them.

    Args:
        model: the base model, without its output layer.
        output: the output layer, or the network that stands in its place.
        spec: the facts of the checkpoint.
        tokenizer: its tokenizer, or None.
        keeps_cache: whether the model can keep keys and values.
        first_position: the position id of a sequence's first token.
        whole: the model with its output layer, for training; None is the base model.
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
        whole: PreTrainedModel | None = None,
    ) -> None:
        see_everything(model)
        self.model = model
        self.whole = model if whole is None else whole
        self.last_block = LastBlock(model)
        torch.nn.Module.eval(model)
        self.output = output
        torch.nn.Module.eval(output)
        self.device = next(output.parameters()).device
        self.spec = spec
        self.tokenizer = tokenizer
        self.keeps_cache = keeps_cache
        self._cache_name = cache_name(type(model))
        self.first_position = first_position
        self._attention: str = getattr(model.config, "_attn_implementation", "")
        self._takes_prepared_masks = self._attention in ("sdpa", "eager") and sees_all(model.config)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the output layer's weights."""
        return next(self.output.parameters()).dtype

    def hidden(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        *,
        needed: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past: Cache | None = None,
        block_length: int | None = None,
    ) -> torch.Tensor:
        """[B, T] ids -> [B, T, D]: the last hidden states after the final norm, in raw rows.

        Args:
            input_ids: [B, T], on any device.
            attention_mask: [B, K + T], 1 = token; padding may stand anywhere, and a sequence gets
                the same hidden states with and without it. One without padding is best left out: on
                another device than the CPU nobody looks whether it has any.
            needed: the raw rows that the caller needs, as [B, T] bool or as their places [n] in
                [B, T] flattened; the last block leaves the others unfinished. None: all.
            position_ids: [B, T]; by default each sequence counts its own tokens from 0.
            past: keys and values of K earlier tokens; those of this pass are appended to it.
            block_length: of a block model, another than its own.

        Raises:
            ConfigurationError: there is a `past`, and the model is an encoder, which keeps none.
        """
        if past is not None and not self.keeps_cache:
            raise ConfigurationError(
                f"family {self.spec.family!r} keeps no keys and values: leave out cache"
            )
        cache = {self._cache_name: past, "use_cache": past is not None}
        mask = attention_mask
        if mask is not None and mask.device.type == "cpu" and mask.all():
            mask = None
        mask = None if mask is None else mask.to(self.device)
        length = self.spec.block_length and (block_length or self.spec.block_length)
        if mask is None and length is not None:
            mask = torch.ones_like(input_ids if attention_mask is None else attention_mask)
            mask = mask.to(self.device)
        position_ids = self._position_ids(input_ids, mask, position_ids)
        if mask is not None and position_ids is not None and length is not None:
            mask = block_mask(position_ids, mask, length, self.dtype)
        elif mask is not None and self._takes_prepared_masks:
            mask = self._prepared(mask, input_ids.shape[1])
        with self.last_block.at(needed):
            output = self.model(
                input_ids=input_ids.to(self.device),
                attention_mask=mask,
                position_ids=position_ids,
                **(cache if self.keeps_cache else {}),
            )
        # With a device_map the last layer may be on another device.
        hidden_BTD: torch.Tensor = output.last_hidden_state.to(self.device)
        return hidden_BTD

    def _position_ids(
        self, ids_BT: torch.Tensor, mask_BL: torch.Tensor | None, asked_BT: torch.Tensor | None
    ) -> torch.Tensor | None:
        """The model's position ids [B, T]; None where it counts from 0 by itself."""
        if asked_BT is None and mask_BL is not None:
            asked_BT = positions(mask_BL)[:, -ids_BT.shape[1] :]
        if asked_BT is None and self.first_position:
            asked_BT = torch.arange(ids_BT.shape[1])[None].expand_as(ids_BT)
        if asked_BT is None:
            return None
        return asked_BT.to(self.device) + self.first_position

    def _prepared(self, mask_BL: torch.Tensor, tokens: int) -> torch.Tensor:
        """[B, 1, T, K + T]: the mask of padding as transformers makes it for this attention.

        transformers would look first whether there is padding at all, for which a GPU is waited.
        """
        sees_BTL = mask_BL.bool()[:, None, None, :].expand(-1, 1, tokens, -1)
        if self._attention == "sdpa":
            return sees_BTL
        least = torch.finfo(self.dtype).min
        return torch.zeros_like(sees_BTL, dtype=self.dtype).masked_fill(~sees_BTL, least)

    def unembed(self, hidden: torch.Tensor) -> torch.Tensor:
        """[..., D] -> [..., V]: the output layer, row for row, without a shift."""
        logits: torch.Tensor = self.output(hidden)
        return logits.to(self.device)

    def logits(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """[B, T] ids -> [B, T, V]: row i scores token i."""
        hidden_BTD = self.hidden(input_ids, attention_mask)
        return self.unembed(scoring_rows(hidden_BTD, self.spec.logits_shifted))


def sees_all(config: Any) -> bool:
    """Whether all layers of a model see the whole sequence, and none a window that slides over it.

    Args:
        config: of one of transformers' models.
    """
    layers = getattr(config, "layer_types", None)
    if layers is None:
        return getattr(config, "sliding_window", None) is None
    return set(layers) == {"full_attention"}


def see_everything(model: PreTrainedModel) -> None:
    """Turns causal attention off for good, in the mask and in the kernels."""
    model.config.is_causal = False
    for module in model.modules():
        if hasattr(module, "is_causal"):
            module.is_causal = False  # type: ignore[assignment]


def fingerprint(settings: dict[str, Any], weights: str) -> str:
    """A short digest of the settings that a model is built from and the digest of its weights."""
    return short_digest(json.dumps(settings, sort_keys=True) + weights)
