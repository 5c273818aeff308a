"""Any other model that its own code computes, run only with trust_remote_code=True.

All that is asked of it is `.logits`. The rest is assumed, and a warning says so: row i scores token
i, attention is full, and `attention_mask` [B, T] masks padding. Hidden states are the input of its
output layer where it has one whose result is the logits, else the logits themselves.

Legend: B batch, T tokens, V vocabulary, D width.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection
from typing import Any

import torch
import transformers

from eosbench.backbone import BackboneSpec, scoring_rows
from eosbench.errors import CheckpointError, ConfigurationError
from model_adapters.backbones.full_canvas import fingerprint
from model_adapters.backbones.placement import Placement
from model_adapters.checkpoints import Checkpoint

logger = logging.getLogger(__name__)

# The first of these that the checkpoint's auto_map knows loads the model.
AUTO_CLASSES = ("AutoModelForMaskedLM", "AutoModelForCausalLM", "AutoModel")
# Settings that name the longest sequence.
LENGTHS = ("max_position_embeddings", "max_sequence_length", "n_positions", "max_seq_len")


class RemoteCodeBackbone:
    """A `Backbone` around a model that returns `.logits`; it keeps no cache.

    Args:
        model: the model, in whatever class its own code has.
        spec: the facts of the checkpoint.
        tokenizer: its tokenizer, or None.
        head: its output layer, or None where nothing but the logits is to be had.
    """

    def __init__(
        self, model: Any, *, spec: BackboneSpec, tokenizer: Any, head: torch.nn.Module | None
    ) -> None:
        self.model, self.spec, self.tokenizer, self.head = model.eval(), spec, tokenizer, head

    @property
    def device(self) -> torch.device:
        """The device of the model's first parameter."""
        first: torch.Tensor = next(iter(self.model.parameters()))
        return first.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the model's first parameter."""
        first: torch.Tensor = next(iter(self.model.parameters()))
        return first.dtype

    def hidden(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        *,
        needed: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """[B, T] ids -> [B, T, D]: the input of the output layer, in raw rows; all of them.

        Where there is no output layer these are the logits, and D = V.
        """
        # Code that nobody has read may have no default for the mask.
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        found, logits_BTV = run(
            self.model, input_ids.to(self.device), mask.to(self.device), self.head
        )
        return logits_BTV if found is None else found

    def unembed(self, hidden: torch.Tensor) -> torch.Tensor:
        """[..., D] -> [..., V]: the output layer, row for row, without a shift."""
        return hidden if self.head is None else self.head(hidden)

    def logits(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """[B, T] ids -> [B, T, V]: row i scores token i."""
        hidden_BTD = self.hidden(input_ids, attention_mask)
        return self.unembed(scoring_rows(hidden_BTD, self.spec.logits_shifted))


def run(
    model: Any, ids_BT: torch.Tensor, mask_BT: torch.Tensor | None, head: torch.nn.Module | None
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """One pass of the model.

    Args:
        model: the model.
        ids_BT: [B, T].
        mask_BT: [B, T], 1 = token, or None.
        head: its output layer, or None.

    Returns:
        The input of the output layer [B, T, D] (None where there is none), and the logits
        [B, T, V].

    Raises:
        CheckpointError: the model returned no logits of that shape.
    """
    seen: list[torch.Tensor] = []
    with contextlib.ExitStack() as hooks:
        if head is not None:
            hook = head.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
            hooks.callback(hook.remove)
        output = model(input_ids=ids_BT, attention_mask=mask_BT)
    logits = getattr(output, "logits", None)
    if not isinstance(logits, torch.Tensor) or logits.shape[:2] != ids_BT.shape:
        raise CheckpointError(
            f"{type(model).__name__} returned {type(output).__name__} without logits of shape "
            "[B, T, V]: it cannot be run here"
        )
    return (seen[0] if seen else None), logits


def assemble_own_code(
    checkpoint: Checkpoint,
    *,
    placement: Placement,
    dtype: torch.dtype | None,
    attn_implementation: str | None,
    logits_shifted: bool,
) -> RemoteCodeBackbone:
    """The backbone of a checkpoint that its own code computes, weights from safetensors alone.

    Args:
        checkpoint: the opened checkpoint.
        placement: the devices that the user asked for.
        dtype: of the weights; None keeps the stored one.
        attn_implementation: as in transformers.
        logits_shifted: whether raw row i scores token i + 1.

    Raises:
        CheckpointError: the model cannot be loaded or run, or lacks weights or a mask token.
        ConfigurationError: its config.json names no longest sequence.
    """
    _warn_of_assumptions(checkpoint.name, logits_shifted)
    auto_map = checkpoint.config.get("auto_map") or {}
    known = [name for name in AUTO_CLASSES if name in auto_map]
    auto = getattr(transformers, known[0] if known else "AutoModelForMaskedLM")
    where: dict[str, Any] = {}
    if placement.device_map is not None:
        where = {"device_map": placement.device_map, "max_memory": placement.max_memory}
    try:
        model, info = auto.from_pretrained(
            checkpoint.folder,
            trust_remote_code=True,
            use_safetensors=True,
            dtype=dtype or "auto",
            attn_implementation=attn_implementation,
            output_loading_info=True,
            **where,
        )
    except Exception as error:  # whatever a checkpoint's own code may raise
        raise CheckpointError(
            f"{checkpoint.name}: its own code does not load it: {type(error).__name__}: {error}"
        ) from error
    missing, extra = info.get("missing_keys"), info.get("unexpected_keys")
    if missing or extra:
        raise CheckpointError(
            f"{checkpoint.name}: weights do not fit the model: "
            f"missing {_listed(missing)}; unexpected {_listed(extra)}"
        )
    if not where:
        model.to(placement.device)
    return _wrapped(checkpoint, model, logits_shifted)


def _warn_of_assumptions(name: str, logits_shifted: bool) -> None:
    shift = "row i scores token i (no shift)"
    if logits_shifted:
        shift = "row i scores token i + 1, as logits_shifted=True says"
    logger.warning(
        "%s: unknown family, run by its own code. Assumed: %s, full attention, [B, T] attention "
        "masks. Compare a few logits with the published implementation before you trust a number",
        name,
        shift,
    )


def _listed(names: Collection[str] | None) -> str:
    return ", ".join(sorted(map(str, names))) if names else "none"


def _longest(checkpoint: Checkpoint, config: Any) -> int:
    """The longest sequence, by the first setting of the model's config that names it."""
    for setting in LENGTHS:
        if length := getattr(config, setting, None):
            return int(length)
    raise ConfigurationError(
        f"{checkpoint.name}: config.json has none of {', '.join(LENGTHS)}: add one"
    )


@torch.no_grad()
def _wrapped(checkpoint: Checkpoint, model: Any, logits_shifted: bool) -> RemoteCodeBackbone:
    """The backbone, after a look at one pass.

    The pass shows the size of the vocabulary, and whether the output layer alone makes the logits.
    """
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    probe_BT = torch.zeros(1, 4, dtype=torch.long, device=next(model.parameters()).device)
    try:
        hidden, logits = run(model.eval(), probe_BT, torch.ones_like(probe_BT), head)
    except (TypeError, RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"{checkpoint.name}: its own code does not run: {type(error).__name__}: {error}"
        ) from error
    if head is None or hidden is None or not torch.equal(head(hidden), logits):
        head, hidden = None, logits
    vocabulary = logits.shape[-1]
    tokens = checkpoint.token_ids(vocabulary)
    settings = {
        "family": "remote_code",
        "mask_id": tokens.mask_id,
        "config": checkpoint.config,
        "logits_shifted": logits_shifted,
    }
    spec = BackboneSpec(
        family="remote_code",
        mask_id=tokens.mask_id,
        eos_ids=tokens.eos_ids,
        declared_eos=tokens.declared_eos,
        pad_id=tokens.pad_id,
        max_length=_longest(checkpoint, model.config),
        vocab_size=vocabulary,
        width=hidden.shape[-1],
        logits_shifted=logits_shifted,
        fingerprint=fingerprint(settings, checkpoint.weights.fingerprint()),
        name=checkpoint.name,
        layers=int(getattr(model.config, "num_hidden_layers", 0)),
        block_parameters=sum(
            parameter.numel() for parameter in model.parameters() if parameter.ndim == 2
        ),
    )
    return RemoteCodeBackbone(model, spec=spec, tokenizer=checkpoint.tokenizer, head=head)
