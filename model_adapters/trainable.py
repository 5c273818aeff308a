"""A checkpoint whose weights are trained: a backbone with gradients, new tokens, and the way back.

    model = load_trainable("diffusionfamily/diffugpt-s", device="cuda")
    pad_id, = model.add_tokens(["<|pad|>"])                      # starts as the mean of the others
    hidden_BTD = model.hidden(ids_BT, token_BT)                  # row i scores token i
    model.export("out/eospad")                                   # loads by its own family

Two kinds of checkpoints become masked diffusion models here. An autoregressive model (GPT-2, LLaMA,
Qwen) gets a mask token; its logits stay shifted by one, as in DiffuGPT and DiffuLLaMA (2410.17891).
An encoder that was published without the head that predicts tokens gets one (missing_parts.py).

Legend: B batch, T tokens, V vocabulary, D width.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from eosbench.backbone import BackboneSpec, scoring_rows
from eosbench.errors import CheckpointError
from model_adapters.backbones import FullCanvasBackbone, Placement, assemble, refuse_stored
from model_adapters.checkpoints import Blueprint, Checkpoint, open_checkpoint, own_name
from model_adapters.dtypes import device_of, dtype_of
from model_adapters.export import export_checkpoint
from model_adapters.families import family_file, family_of
from model_adapters.loading import base_and_adapter
from model_adapters.missing_parts import eos_id_of, has_mask, with_head

logger = logging.getLogger(__name__)

MASK_TOKEN = "<|mask|>"  # what an autoregressive model's tokenizer is given


@dataclass(eq=False)
class Trainable:
    """A whole model of transformers with gradients, and all that is needed to write it back.

    Attributes:
        backbone: the same weights behind the Backbone protocol.
        model: the whole model, output layer included: its parameters are what an optimizer gets.
        plan: its family's blueprint.
        checkpoint: what it was read from; `config` and `tokenizer` are those that are written.
        eos_id: the id that ends an answer.
    """

    backbone: FullCanvasBackbone
    model: PreTrainedModel
    plan: Blueprint
    checkpoint: Checkpoint
    eos_id: int

    @property
    def spec(self) -> BackboneSpec:
        """Facts of the model as it is now, new tokens included."""
        return self.backbone.spec

    @property
    def tokenizer(self) -> Any:
        """Its tokenizer, or None."""
        return self.checkpoint.tokenizer

    def hidden(
        self,
        ids_BT: torch.Tensor,
        token_BT: torch.Tensor | None = None,
        seen_B1TT: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """[B, T] ids -> [B, T, D], with gradients: row i is the state that scores token i.

        Args:
            ids_BT: token ids.
            token_BT: 1 where there is a token, 0 at padding on the right; None: everywhere.
            seen_B1TT: what is added to the attention scores, 0 where a query sees a key and the
                smallest number of the dtype where not; None: every token sees every token.
        """
        if seen_B1TT is None:
            hidden_BTD = self.backbone.hidden(ids_BT, token_BT)
        else:
            first = self.plan.first_position
            positions_1T = torch.arange(ids_BT.shape[1], device=ids_BT.device)[None] + first
            hidden_BTD = self.backbone.model(
                input_ids=ids_BT,
                attention_mask=seen_B1TT,
                position_ids=positions_1T.expand_as(ids_BT),
                **({"use_cache": False} if self.plan.keeps_cache else {}),
            ).last_hidden_state
        return scoring_rows(hidden_BTD, self.spec.logits_shifted)

    def unembed(self, hidden_ND: torch.Tensor) -> torch.Tensor:
        """[..., D] -> [..., V], row for row."""
        return self.backbone.unembed(hidden_ND)

    def to(self, device: torch.device) -> None:
        """Moves the weights, and tells the backbone, which brings its inputs there."""
        self.model.to(device)  # type: ignore[arg-type]
        self.backbone.device = device

    def add_tokens(self, names: Sequence[str]) -> list[int]:
        """Ids of these special tokens, which join the vocabulary where it lacks them.

        A new token takes the next row that the tokenizer does not use; where there is none, the
        matrices grow. Its rows start as the mean of those that the tokenizer knew before
        (Hewitt 2021, "Initializing new word embeddings for pretrained language models"). No other
        row changes.

        Raises:
            CheckpointError: a checkpoint without a tokenizer.
        """
        if self.tokenizer is None:
            raise CheckpointError(
                f"{self.checkpoint.name} has no tokenizer: {', '.join(names)} cannot be added"
            )
        known = len(self.tokenizer)
        new = [name for name in names if name not in self.tokenizer.get_vocab()]
        self.tokenizer.add_tokens(_special(new), special_tokens=True)
        ids: list[int] = self.tokenizer.convert_tokens_to_ids(list(names))
        self._grow(len(self.tokenizer))
        _start_as_mean(self.model, [index for index in ids if index >= known], known)
        return ids

    def ends_with(self, ids: Iterable[int]) -> None:
        """Has these ids end a text too, in the model's spec and in the config that is written."""
        ends = self.spec.eos_ids | set(ids)
        others = sorted(ends - {self.eos_id})
        config = {**self.checkpoint.config, "eos_token_id": [self.eos_id, *others]}
        self.checkpoint = replace(self.checkpoint, config=config)
        self.backbone.spec = replace(self.spec, eos_ids=frozenset(ends))

    def export(
        self, folder: str | Path, *, dtype: str = "auto", max_shard_size: str = "5GB"
    ) -> None:
        """Writes config, tokenizer and safetensors in the format of the checkpoint's family.

        Args:
            folder: made if need be.
            dtype: of the weights; "auto" is what each tensor was stored in.
            max_shard_size: of one file.
        """
        export_checkpoint(
            folder,
            self.model,
            self.plan,
            self.checkpoint,
            dtype=dtype_of(dtype),
            max_shard_size=max_shard_size,
        )

    def _grow(self, size: int) -> None:
        """Makes room for `size` tokens in embeddings and output layer."""
        if size <= self.spec.vocab_size:
            return
        if not _tied(self.model):
            self.model.config.tie_word_embeddings = False  # or resizing ties what was stored apart
        self.model.resize_token_embeddings(size, mean_resizing=False)
        config = {**self.checkpoint.config, "vocab_size": size}
        if "embedding_size" in config:  # LLaDA's
            config["embedding_size"] = size
        self.checkpoint = replace(self.checkpoint, config=config)
        self.backbone.output = self.plan.head(self.model)
        self.backbone.spec = replace(self.spec, vocab_size=size)


def load_trainable(
    path_or_hub_id: str | Path,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    revision: str | None = None,
    attn_implementation: str | None = None,
    dropout: float = 0.0,
    trust_remote_code: bool = False,
) -> Trainable:
    """Loads a checkpoint for training.

    It may be of any family of `load_backbone` that runs on transformers' own models, an
    autoregressive model, or an encoder without a head.

    Args:
        path_or_hub_id, revision, attn_implementation: as for `load_backbone`.
        device: where the weights go.
        dtype: of the weights; mixed precision keeps them in float32.
        dropout: of every layer that has one, whatever the config says (GPT-2's says 0.1).
        trust_remote_code: lets the tokenizer's own code run.

    Raises:
        CheckpointError: missing, unreadable, of no supported family, or without an end token.
    """
    placement = Placement(device_of(device))
    folder, name, adapter = base_and_adapter(str(path_or_hub_id), revision, "", None)
    checkpoint = open_checkpoint(folder, name=name, trust_remote_code=trust_remote_code)
    refuse_stored(checkpoint.config, name)
    family = family_of(checkpoint.config, checkpoint.weight_names, name)
    if family_file(family).blueprint(checkpoint).starts_as_noise:
        raise CheckpointError(
            f"{name} is of the family {family}, whose canvas starts as noise: the recipes mask "
            "tokens, and it has no mask token"
        )
    lacks_mask = not has_mask(checkpoint)
    checkpoint = replace(checkpoint, adapter=adapter)
    with tempfile.TemporaryDirectory() as made:
        checkpoint, inner = with_head(checkpoint, Path(made))
        eos_id = eos_id_of(checkpoint)
        if lacks_mask:
            told = {**checkpoint.config, "mask_token_id": eos_id, "logits_shifted": True}
            checkpoint = replace(checkpoint, config=told)
        plan = family_file(family).blueprint(checkpoint)
        plan = plan if inner is None else replace(plan, stored_name=inner)
        backbone = assemble(
            checkpoint,
            plan,
            family=family,
            placement=placement,
            dtype=dtype_of(dtype),
            attn_implementation=attn_implementation,
        )
    assert isinstance(backbone, FullCanvasBackbone)  # the others start as noise
    if inner is not None:  # written under the names of a model with a head, and nothing else
        plan = replace(plan, stored_name=own_name)
        checkpoint = replace(checkpoint, weights=replace(checkpoint.weights, files={}))
    model = Trainable(backbone, backbone.whole, plan, checkpoint, eos_id)
    for parameter in model.model.parameters():
        parameter.requires_grad_(True)
    _set_dropout(model.model, dropout)
    if lacks_mask:
        _add_mask(model)
    return model


def _add_mask(model: Trainable) -> None:
    (mask_id,) = model.add_tokens([MASK_TOKEN])
    model.tokenizer.mask_token = MASK_TOKEN
    config = {**model.checkpoint.config, "mask_token_id": mask_id}
    model.checkpoint = replace(model.checkpoint, config=config)
    model.backbone.spec = replace(model.spec, mask_id=mask_id)
    logger.warning(
        "%s has no mask token: %s was added with id %d, its rows start as the mean of the others",
        model.checkpoint.name,
        MASK_TOKEN,
        mask_id,
    )


def _set_dropout(model: torch.nn.Module, share: float) -> None:
    """Sets every dropout of a model, modules and the numbers that attention kernels read."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = share
        for name in ("attention_dropout", "dropout_prob"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, share)


def _special(names: Sequence[str]) -> list[Any]:
    from tokenizers import AddedToken

    return [AddedToken(name, special=True, normalized=False) for name in names]


def _tied(model: PreTrainedModel) -> bool:
    embeddings, output = model.get_input_embeddings(), model.get_output_embeddings()
    return output is not None and output.weight is embeddings.weight


@torch.no_grad()
def _start_as_mean(model: PreTrainedModel, ids: Sequence[int], known: int) -> None:
    """Rows of new tokens in embeddings, output layer and its bias, from the first `known` rows."""
    output: Any = model.get_output_embeddings()
    embeddings: Any = model.get_input_embeddings()
    matrices = {id(matrix): matrix for matrix in (embeddings.weight, output.weight)}
    for matrix_VD in matrices.values():
        matrix_VD[list(ids)] = matrix_VD[:known].mean(dim=0)
    bias_V = getattr(output, "bias", None)
    if bias_V is not None:
        bias_V[list(ids)] = bias_V[:known].mean()
