"""A model whose canvas starts as noise and that denoises it after rules of its own.

There is no mask token: every position holds some token at every moment, and those that the model is
sure of are kept from pass to pass. The rules are those of transformers' `generate`; what is ours is
that the canvas is as long as asked, and that a request's random numbers come from its seed alone.

Legend: B batch, T tokens, C canvas, V vocabulary, D width.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel

from eosbench.backbone import BackboneSpec, Denoised
from eosbench.errors import ConfigurationError
from eosbench.forward import positions

# Settings of transformers' generate that a caller may replace.
SETTINGS = ("max_denoising_steps", "t_min", "t_max", "stability_threshold", "confidence_threshold")


class NoiseCanvasBackbone:
    """A `Backbone` that denoises a whole answer by itself (`eosbench.backbone.NoiseCanvas`).

    Args:
        model: transformers' model with its output layer and `generate`.
        spec: its facts; `block_length` is the canvas that it was trained on.
        tokenizer: the checkpoint's, or None.
    """

    def __init__(self, model: PreTrainedModel, *, spec: BackboneSpec, tokenizer: Any) -> None:
        self.model: Any = model.eval()
        self.spec, self.tokenizer = spec, tokenizer

    @property
    def device(self) -> torch.device:
        """The device of the output layer."""
        device: torch.device = self.model.lm_head.weight.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the output layer's weights."""
        dtype: torch.dtype = self.model.lm_head.weight.dtype
        return dtype

    def hidden(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        *,
        needed: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """[B, T] ids of prompts -> [B, T, D]: the encoder's last hidden states, all of them.

        Args:
            input_ids: [B, T], prompts without a canvas.
            attention_mask: [B, T], 1 = token.
            needed: no matter, all rows are computed.
        """
        ids_BT = input_ids.to(self.device)
        mask_BT = torch.ones_like(ids_BT) if attention_mask is None else attention_mask.to(ids_BT)
        found = self.model.model.encoder(
            input_ids=ids_BT, attention_mask=mask_BT, position_ids=positions(mask_BT)
        )
        states_BTD: torch.Tensor = found.last_hidden_state
        return states_BTD

    def unembed(self, hidden: torch.Tensor) -> torch.Tensor:
        """[..., D] -> [..., V]: the output layer and its soft cap, row for row."""
        cap = self.model.final_logit_softcapping
        logits: torch.Tensor = torch.tanh(self.model.lm_head(hidden).float() / cap) * cap
        return logits

    def logits(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """No logits: they exist for a canvas behind a prompt alone.

        Raises:
            ConfigurationError: always; it says what to call.
        """
        raise ConfigurationError(
            f"family {self.spec.family!r} scores a canvas behind a prompt, not a sequence: call "
            "canvas_logits(prompt, canvas)"
        )

    @torch.no_grad()
    def canvas_logits(
        self,
        prompt: Sequence[int] | torch.Tensor,
        canvas: Sequence[int] | torch.Tensor,
        self_conditioning: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """[C, V]: the logits of one pass over a canvas.

        Args:
            prompt: its ids.
            canvas: C ids.
            self_conditioning: [C, V], what the pass is told of the one before it; None is nothing.
        """
        ids_1T, canvas_1C = self._ids(prompt)[None], self._ids(canvas)[None]
        told = None if self_conditioning is None else self_conditioning[None].to(self.device)
        with self._canvas_of(canvas_1C.shape[1]):
            found = self.model(
                input_ids=ids_1T, decoder_input_ids=canvas_1C, self_conditioning_logits=told
            )
        logits_CV: torch.Tensor = found.logits[0]
        return logits_CV

    def denoise_noise(
        self,
        prompt: Sequence[int] | torch.Tensor,
        *,
        canvas_length: int,
        max_new_tokens: int,
        seed: int,
        entropy_bound: float | None = None,
        **settings: Any,
    ) -> Denoised:
        """An answer after the published rules, canvas after canvas until one holds an end.

        Args:
            prompt: its ids.
            canvas_length: C, tokens of every canvas.
            max_new_tokens: of the answer, rounded up to whole canvases.
            seed: of its random numbers; those of torch stay as they are.
            entropy_bound: how unsure the tokens that a pass keeps may be together; None is the
                checkpoint's.
            settings: others of SETTINGS; what is not given is the checkpoint's.

        Raises:
            ConfigurationError: an unknown setting.
        """
        if unknown := sorted(settings.keys() - set(SETTINGS)):
            raise ConfigurationError(
                f"{', '.join(unknown)}: no settings of {self.spec.family!r}, which has "
                f"entropy_bound, {', '.join(SETTINGS)}"
            )
        given = {name: value for name, value in settings.items() if value is not None}
        if entropy_bound is not None:
            kind = type(self.model.generation_config.sampler_config)
            given["sampler_config"] = kind(entropy_bound=float(entropy_bound))
        prompt_1T = self._ids(prompt)[None]
        devices = [self.device] if self.device.type == "cuda" else []
        with (
            torch.random.fork_rng(devices),
            warnings.catch_warnings(),
            self._canvas_of(canvas_length),
            _counted(self.model.model) as passes,
        ):
            # The first call imports torch's compiler, which warns of parts of itself.
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.manual_seed(seed)
            found = self.model.generate(
                prompt_1T,
                max_new_tokens=max_new_tokens,
                eos_token_id=sorted(self.spec.eos_ids),
                pad_token_id=self.spec.pad_id,
                return_dict_in_generate=True,
                **given,
            )
        tokens_N = found.sequences[0, prompt_1T.shape[1] :].cpu()
        return Denoised(tokens_N, tuple(passes))

    def _ids(self, ids: Sequence[int] | torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(ids, dtype=torch.long, device=self.device)

    @contextmanager
    def _canvas_of(self, length: int) -> Iterator[None]:
        """Within it the model's canvas has so many tokens."""
        own = self.model.config.canvas_length
        self.model.config.canvas_length = length
        try:
            yield
        finally:
            self.model.config.canvas_length = own


@contextmanager
def _counted(model: Any) -> Iterator[list[int]]:
    """Within it a list of the decoder's passes over each canvas, which the encoder begins."""
    passes: list[int] = []

    def count(*_: Any) -> None:
        passes[-1] += 1

    hooks = [
        model.encoder.register_forward_hook(lambda *_: passes.append(0)),
        model.decoder.register_forward_hook(count),
    ]
    try:
        yield passes
    finally:
        for hook in hooks:
            hook.remove()
