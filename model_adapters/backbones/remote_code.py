"""Any other model that its own code computes, run only with trust_remote_code=True: all that is
asked of it is `.logits`.

What such a model does is not known, so it is assumed, and a warning says so: row i scores token
i, attention is full, and `attention_mask` [B, T] masks padding. Hidden states are what goes into
its output layer where it has one whose result is the logits, else the logits themselves.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
import transformers

from eosbench.backbone import BackboneSpec, scoring_rows
from eosbench.errors import CheckpointError, ConfigurationError
from model_adapters.backbones.full_canvas import fingerprint
from model_adapters.backbones.placement import Placement
from model_adapters.checkpoints import Checkpoint, fingerprint_of_files

logger = logging.getLogger(__name__)

# The first that the checkpoint's auto_map knows.
AUTO_CLASSES = ("AutoModelForMaskedLM", "AutoModelForCausalLM", "AutoModel")


class RemoteCodeBackbone:
    """A `Backbone` around a model that returns `.logits`; it keeps no cache."""

    def __init__(
        self, model: Any, *, spec: BackboneSpec, tokenizer: Any, head: torch.nn.Module | None
    ) -> None:
        self.model, self.spec, self.tokenizer, self.head = model.eval(), spec, tokenizer, head

    @property
    def device(self) -> torch.device:
        first: torch.Tensor = next(iter(self.model.parameters()))
        return first.device

    @property
    def dtype(self) -> torch.dtype:
        first: torch.Tensor = next(iter(self.model.parameters()))
        return first.dtype

    def hidden(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        *,
        needed: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """[B, T] ids -> [B, T, D]: the input of the output layer, or the logits where there is none
        (D = V); all of them.
        """
        mask = None if attention_mask is None else attention_mask.to(self.device)
        found, logits_BTV = run(self.model, input_ids.to(self.device), mask, self.head)
        return logits_BTV if found is None else found

    def unembed(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden if self.head is None else self.head(hidden)

    def logits(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        return self.unembed(
            scoring_rows(self.hidden(input_ids, attention_mask), self.spec.logits_shifted)
        )


def run(
    model: Any, ids_BT: torch.Tensor, mask_BT: torch.Tensor | None, head: torch.nn.Module | None
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """What went into the output layer in one pass [B, T, D] (None without one), and the pass's
    logits [B, T, V].
    """
    seen: list[torch.Tensor] = []
    hook = (
        None
        if head is None
        else head.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    )
    try:
        output = model(input_ids=ids_BT, attention_mask=mask_BT)
    finally:
        if hook is not None:
            hook.remove()
    logits = getattr(output, "logits", None)
    if not isinstance(logits, torch.Tensor) or logits.shape[:2] != ids_BT.shape:
        raise CheckpointError(
            f"{type(model).__name__} returned {type(output).__name__} without logits of shape [B, T, V]: it cannot be run here"
        )
    return (seen[0] if seen else None), logits


def build(
    checkpoint: Checkpoint,
    *,
    placement: Placement,
    dtype: torch.dtype | None,
    attn_implementation: str | None,
    logits_shifted: bool,
) -> RemoteCodeBackbone:
    """Loads the model by its own code, weights from safetensors alone.

    Raises:
        CheckpointError: it cannot be loaded or run, or lacks weights or a mask token.
    """
    shift = (
        "row i scores token i + 1, as logits_shifted=True says"
        if logits_shifted
        else "row i scores token i (no shift)"
    )
    logger.warning(
        "%s: unknown family, run by its own code. Assumed: %s, full attention, [B, T] attention masks. Compare a few logits "
        "with the published implementation before you trust a number",
        checkpoint.name,
        shift,
    )
    auto_map = checkpoint.config.get("auto_map") or {}
    auto = getattr(
        transformers,
        next((name for name in AUTO_CLASSES if name in auto_map), "AutoModelForMaskedLM"),
    )
    where = {"device_map": placement.device_map} if placement.device_map is not None else {}
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
    lost = {
        kind: sorted(map(str, info[kind]))
        for kind in ("missing_keys", "unexpected_keys")
        if info.get(kind)
    }
    if lost:
        raise CheckpointError(f"{checkpoint.name}: weights do not fit the model: {lost}")
    if not where:
        model.to(placement.device)
    return _wrapped(checkpoint, model, logits_shifted)


@torch.no_grad()
def _wrapped(checkpoint: Checkpoint, model: Any, logits_shifted: bool) -> RemoteCodeBackbone:
    """Looks at one pass: the size of the vocabulary, and whether the output layer alone makes the
    logits.
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
    mask_id, eos_ids, pad_id = checkpoint.token_ids(vocabulary)
    lengths = ("max_position_embeddings", "max_sequence_length", "n_positions", "max_seq_len")
    max_length = next(
        (int(getattr(model.config, name)) for name in lengths if getattr(model.config, name, None)),
        None,
    )
    if max_length is None:
        raise ConfigurationError(
            f"{checkpoint.name}: config.json has none of {', '.join(lengths)}: add one"
        )
    settings = {
        "family": "remote_code",
        "mask_id": mask_id,
        "config": checkpoint.config,
        "logits_shifted": logits_shifted,
    }
    spec = BackboneSpec(
        family="remote_code",
        mask_id=mask_id,
        eos_ids=eos_ids,
        pad_id=pad_id,
        max_length=max_length,
        vocab_size=vocabulary,
        width=hidden.shape[-1],
        logits_shifted=logits_shifted,
        fingerprint=fingerprint(settings, fingerprint_of_files(checkpoint)),
        name=checkpoint.name,
        layers=int(getattr(model.config, "num_hidden_layers", 0)),
        block_parameters=sum(
            parameter.numel() for parameter in model.parameters() if parameter.ndim == 2
        ),
    )
    return RemoteCodeBackbone(model, spec=spec, tokenizer=checkpoint.tokenizer, head=head)
