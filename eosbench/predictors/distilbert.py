"""`distilbert`: a text encoder on the prompt alone, without the diffusion model.

It shows what the length owes to the prompt. The head names a power-of-two bucket (`head="classes"`;
the length is the upper edge of the bucket) or a length (`head="regression"`). With
`encoder="scratch"`, the default, a small DistilBERT is trained from nothing on the tokenizer of the
backbone and needs no network. Any other encoder is a hub id (`encoder="owner/name@revision"`) or a
folder (eosbench/predictors/encoder.py): a head reads the mean of its states and the number of the
prompt's tokens. The encoder is fine-tuned together with the head, or stays as it is
(`train_encoder=False`), and runs once per document then. Tokenizer, shape and weights of the
encoder are kept in the predictor folder, so that loading asks no hub.

Legend: B batch, T tokens, D width, K buckets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional
from transformers import DistilBertModel

from eosbench.digest import short_digest
from eosbench.errors import ConfigurationError
from eosbench.metrics import bucket
from eosbench.predictors.config import public_name
from eosbench.predictors.encoder import config_of
from eosbench.predictors.encoder_choice import (
    SCRATCH,
    TOKENIZER,
    chosen_encoder,
    name_and_revision,
    rate_of,
)
from eosbench.predictors.encoder_input import EncoderInput
from eosbench.predictors.heads import LogLengthLoss, device_of, lengths
from eosbench.predictors.protocol import Features, FineTuning, Kept
from eosbench.predictors.text_networks import PretrainedText, ScratchText
from eosbench.records import LengthPrediction

if TYPE_CHECKING:
    from eosbench.backbone import Backbone
    from eosbench.forward import StepZero

HEADS = ("classes", "regression")
HEAD_RATE = 1e-3


class DistilBert:
    """Length from the text of the prompt.

    Args:
        backbone: lends its tokenizer to a new `encoder="scratch"`.
        canvas: C, the longest answer it predicts.
        head: "classes" or "regression".
        encoder: hub id (or `id@revision`) or folder of a pretrained encoder, or "scratch".
        encoder_revision: branch, tag or commit of a hub id.
        train_encoder: fine-tune a pretrained encoder; else it stays as it is, and only the head is
            trained.
        encoder_config: what builds the encoder again, filled in by the first construction; a
            folder brings it.
        files: the text of the tokenizer, from a folder.

    Raises:
        ConfigurationError: an unknown head, options that do not fit, or no fast tokenizer to start
            from.
        PredictorError: the pretrained encoder cannot be had, is no encoder or lacks weights, or the
            folder lacks the tokenizer.
    """

    def __init__(
        self,
        *,
        backbone: Backbone,
        canvas: int,
        head: str = "regression",
        encoder: str = SCRATCH,
        encoder_revision: str | None = None,
        train_encoder: bool = True,
        encoder_config: Mapping[str, Any] | None = None,
        files: Mapping[str, str] | None = None,
    ) -> None:
        if head not in HEADS:
            raise ConfigurationError(
                f"distilbert head {head!r}: expected one of {', '.join(HEADS)}"
            )
        name, revision = encoder, encoder_revision
        if encoder_config is None:
            name, revision = name_and_revision(encoder, encoder_revision, train_encoder)
        self.canvas, self.head = canvas, head
        self.edges = [min(2**k, canvas) for k in range(int(bucket(canvas)) + 1)]
        out = len(self.edges) if head == "classes" else 1
        middle = 0.0 if head == "classes" else math.log1p(canvas) / 2
        body = chosen_encoder(name, revision, encoder_config, files, backbone)
        self.options: dict[str, Any] = {"head": head, "encoder": public_name(name)}
        self.module: ScratchText | PretrainedText
        if isinstance(body.model, DistilBertModel) and "config" not in body.settings:
            self.module = ScratchText(body.model, out).eval()
        else:
            self.module = PretrainedText(body.model, out, middle).eval()
            self.options |= {"encoder_revision": revision, "train_encoder": train_encoder}
        self.options["encoder_config"] = dict(body.settings)
        self.pad_id = body.model.config.pad_token_id or 0
        self.text = EncoderInput(body.tokenizer)
        self.frozen = name != SCRATCH and not train_encoder
        self.fine_tuning: FineTuning | None = None
        self.learning_rate = HEAD_RATE
        if self.frozen:
            body.model.requires_grad_(False)
        elif isinstance(self.module, PretrainedText):
            self.learning_rate = rate_of(body.model)
            self.fine_tuning = FineTuning(self.module.head, HEAD_RATE)
        self.log_length_loss = LogLengthLoss("smooth_l1", quantile=0.5)
        self.level = self.log_length_loss.level
        self.files = {TOKENIZER: body.tokenizer.to_str()}
        self.array, self.kept = self._arrays(body.settings.get("weights", ""))

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> None:
        """Refuses options that cannot work, before a backbone is loaded; weights are not read.

        Raises:
            ConfigurationError: options that do not fit.
            PredictorError: the pretrained encoder cannot be had, or is no encoder.
        """
        name, revision = name_and_revision(
            str(options.get("encoder", SCRATCH)),
            options.get("encoder_revision"),
            options.get("train_encoder", True),
        )
        if name != SCRATCH:
            config_of(name, revision)

    def predict(self, batch: StepZero) -> list[LengthPrediction]:
        """The predicted length of every prompt, from 0 to C."""
        with torch.no_grad():
            output_BK = self._output(self.features(batch))
        if self.head == "regression":
            return lengths(output_BK.squeeze(1), self.canvas)
        return [
            LengthPrediction(float(self.edges[index])) for index in output_BK.argmax(dim=1).tolist()
        ]

    @torch.no_grad()
    def features(self, batch: StepZero) -> Features:
        """Token ids [B, T] of the prompts, -1 behind a text, and their numbers [B, 1].

        Of an encoder that is not trained, its mean states [B, D] instead of the ids.
        """
        ids_BT, tokens_B1 = self.text.ids([prompt.text for prompt in batch.prompts])
        if isinstance(self.module, ScratchText):
            return {self.array: ids_BT}
        if not self.frozen:
            return {self.array: ids_BT, f"{self.array}_tokens": tokens_B1}
        mean_BD = self.module.mean(*self._on_device(ids_BT))
        return {self.array: mean_BD, f"{self.array}_tokens": tokens_B1}

    def log_length(self, features: Features) -> torch.Tensor:
        """[B]: predicted log(1 + length)."""
        output_BK = self._output(features)
        if self.head == "regression":
            return output_BK.squeeze(1)
        edge_K = torch.tensor(self.edges, device=output_BK.device)
        return edge_K[output_BK.argmax(dim=1)].float().log1p()

    def loss(self, features: Features, length_B: torch.Tensor) -> torch.Tensor:
        """The mean loss of the batch, a scalar; of buckets, the cross-entropy."""
        output_BK = self._output(features)
        if self.head == "regression":
            return self.log_length_loss(output_BK.squeeze(1), length_B)
        target_B = torch.from_numpy(bucket(length_B.cpu().numpy())).to(output_BK.device)
        return functional.cross_entropy(output_BK.float(), target_B)

    def cut(self, texts: Sequence[str]) -> tuple[int, int]:
        """The number of texts that are cut because they are longer than T tokens, and T."""
        return self.text.cut(texts), self.text.longest

    def _arrays(self, weights: str) -> tuple[str, dict[str, Kept]]:
        """The name of the first array of features, and all of them.

        A name stands for its content: how texts are cut, and what an encoder that is not trained
        says of them.
        """
        digest = short_digest(f"{weights if self.frozen else ''}{self.files[TOKENIZER]}", digits=8)
        tokens = Kept((1,), torch.int32)
        if self.frozen:
            width = self.module.encoder.config.hidden_size
            name = f"mean_{digest}"
            return name, {name: Kept((width,), torch.float32), f"{name}_tokens": tokens}
        name = f"text_{digest}"
        kept = {name: Kept((self.text.longest,), torch.int32)}
        if isinstance(self.module, PretrainedText):
            kept[f"{name}_tokens"] = tokens
        return name, kept

    def _output(self, features: Features) -> torch.Tensor:
        """[B, K] from what `features` gives."""
        device, first = device_of(self.module), features[self.array]
        tokens_B1 = features.get(f"{self.array}_tokens", first[:, :1]).to(device)
        if self.frozen:
            assert isinstance(self.module, PretrainedText)
            return self.module.from_mean(first.to(device).float(), tokens_B1)
        output_BK: torch.Tensor = self.module(*self._on_device(first), tokens_B1)
        return output_BK

    def _on_device(self, ids_BT: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids [B, T] up to the longest text, and where a text stands."""
        text_BT, device = ids_BT >= 0, device_of(self.module)
        # Of nothing but empty texts: one position that no text stands on.
        longest = max(1, int(text_BT.sum(dim=1).max()))
        text_BT = text_BT[:, :longest].to(device)
        ids_BT = ids_BT[:, :longest].long().to(device)
        return ids_BT.where(text_BT, self.pad_id), text_BT
