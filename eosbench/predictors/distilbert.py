"""`distilbert`: a DistilBERT encoder on the text of the prompt alone, without the diffusion model.

It shows what the length owes to the prompt. The head names a power-of-two bucket (`head="classes"`;
the length is the upper edge of the bucket) or a length (`head="regression"`). The encoder is a
pretrained one by hub id or folder (`encoder="distilbert-base-uncased"`), or, with
`encoder="scratch"`, the default, a small one that is trained from nothing on the tokenizer of the
backbone and needs no network. Tokenizer and shape of the encoder are kept in the predictor folder,
so that loading asks no hub.

Legend: B batch, T tokens, D width, K buckets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional
from transformers import DistilBertConfig, DistilBertModel

from eosbench.digest import short_digest
from eosbench.errors import ConfigurationError, PredictorError
from eosbench.metrics import bucket
from eosbench.predictors.heads import LogLengthLoss, device_of, lengths, masked_mean
from eosbench.predictors.protocol import Features, Kept
from eosbench.records import LengthPrediction

if TYPE_CHECKING:
    from eosbench.backbone import Backbone
    from eosbench.forward import StepZero

HEADS = ("classes", "regression")
SCRATCH = {"n_layers": 2, "dim": 64, "n_heads": 4, "hidden_dim": 256}
SHAPE = (
    "vocab_size",
    "max_position_embeddings",
    "n_layers",
    "dim",
    "n_heads",
    "hidden_dim",
    "sinusoidal_pos_embds",
    "pad_token_id",
)
TOKENIZER = "tokenizer.json"


class TextHead(nn.Module):
    """A network [B, T] ids -> [B, K] bucket logits or [B, 1] log(1 + length).

    It is an encoder, its mean over the text, and a linear layer.
    """

    def __init__(self, encoder: DistilBertModel, out: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.config.dim, out)

    def forward(self, ids_BT: torch.Tensor, text_BT: torch.Tensor) -> torch.Tensor:
        """[B, K] or [B, 1]; `text_BT` is True at tokens, False at padding."""
        hidden_BTD = self.encoder(input_ids=ids_BT, attention_mask=text_BT.long()).last_hidden_state
        output_BK: torch.Tensor = self.head(masked_mean(hidden_BTD, text_BT))
        return output_BK


class DistilBert:
    """Length from the text of the prompt.

    Args:
        backbone: lends its tokenizer to a new `encoder="scratch"`.
        canvas: C, the longest answer it predicts.
        head: "classes" or "regression".
        encoder: hub id or folder of a pretrained DistilBERT, or "scratch".
        encoder_config: shape of the encoder, filled in by the first construction; a folder brings
            it.
        files: the text of the tokenizer, from a folder.

    Raises:
        ConfigurationError: an unknown head, or no fast tokenizer to start from.
        PredictorError: the pretrained encoder cannot be had, or the folder lacks the tokenizer.
    """

    def __init__(
        self,
        *,
        backbone: Backbone,
        canvas: int,
        head: str = "regression",
        encoder: str = "scratch",
        encoder_config: Mapping[str, Any] | None = None,
        files: Mapping[str, str] | None = None,
    ) -> None:
        if head not in HEADS:
            raise ConfigurationError(
                f"distilbert head {head!r}: expected one of {', '.join(HEADS)}"
            )
        self.canvas, self.head = canvas, head
        self.edges = [min(2**k, canvas) for k in range(int(bucket(canvas)) + 1)]
        if encoder_config is not None:
            if not files or TOKENIZER not in files:
                raise PredictorError(
                    f"the distilbert predictor's folder has no {TOKENIZER}: fit it again"
                )
            self.tokenizer = Tokenizer.from_str(files[TOKENIZER])
            model = _new_encoder(encoder_config)
        elif encoder == "scratch":
            self.tokenizer = _fast(backbone.tokenizer)
            model = _new_encoder(
                {**SCRATCH, "vocab_size": self.tokenizer.get_vocab_size(), "pad_token_id": 0}
            )
        else:
            self.tokenizer, model = _pretrained(encoder)
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(model.config.max_position_embeddings)
        self.module = TextHead(model, len(self.edges) if head == "classes" else 1).eval()
        self.learning_rate = 1e-3 if encoder == "scratch" else 5e-5
        self.log_length_loss = LogLengthLoss("smooth_l1", quantile=0.5)
        self.level = self.log_length_loss.level
        self.files = {TOKENIZER: self.tokenizer.to_str()}
        self.array = f"text_{short_digest(self.files[TOKENIZER], digits=8)}"
        self.kept = {self.array: Kept((model.config.max_position_embeddings,), torch.int32)}
        shape = {name: getattr(model.config, name) for name in SHAPE}
        self.options: dict[str, Any] = {"head": head, "encoder": encoder, "encoder_config": shape}

    def predict(self, batch: StepZero) -> list[LengthPrediction]:
        """The predicted length of every prompt, from 0 to C."""
        with torch.no_grad():
            output_BK = self._forward(self._encode(batch))
        if self.head == "regression":
            return lengths(output_BK.squeeze(1), self.canvas)
        return [
            LengthPrediction(float(self.edges[index])) for index in output_BK.argmax(dim=1).tolist()
        ]

    def features(self, batch: StepZero) -> Features:
        """Token ids [B, T] of the prompts, -1 behind a text."""
        return {self.array: self._encode(batch)}

    def log_length(self, features: Features) -> torch.Tensor:
        """[B]: predicted log(1 + length)."""
        output_BK = self._forward(features[self.array])
        if self.head == "regression":
            return output_BK.squeeze(1)
        edge_K = torch.tensor(self.edges, device=output_BK.device)
        return edge_K[output_BK.argmax(dim=1)].float().log1p()

    def loss(self, features: Features, length_B: torch.Tensor) -> torch.Tensor:
        """The mean loss of the batch, a scalar; of buckets, the cross-entropy."""
        output_BK = self._forward(features[self.array])
        if self.head == "regression":
            return self.log_length_loss(output_BK.squeeze(1), length_B)
        target_B = torch.from_numpy(bucket(length_B.cpu().numpy())).to(output_BK.device)
        return functional.cross_entropy(output_BK.float(), target_B)

    def _encode(self, batch: StepZero) -> torch.Tensor:
        """[B, T] ids for a T that any text fits after truncation; -1 behind a text."""
        encodings = self.tokenizer.encode_batch([prompt.text for prompt in batch.prompts])
        ids_BT = torch.full((len(encodings), self.kept[self.array].shape[0]), -1, dtype=torch.int32)
        for row, encoding in enumerate(encodings):
            ids_BT[row, : len(encoding.ids)] = torch.tensor(encoding.ids, dtype=torch.int32)
        return ids_BT

    def _forward(self, ids_BT: torch.Tensor) -> torch.Tensor:
        text_BT = ids_BT >= 0
        # Of nothing but empty texts: one position that no text stands on.
        longest = max(1, int(text_BT.sum(dim=1).max()))
        ids_BT = ids_BT[:, :longest].clamp(min=0).long().to(device_of(self.module))
        output_BK: torch.Tensor = self.module(ids_BT, text_BT[:, :longest].to(ids_BT.device))
        return output_BK


def _new_encoder(shape: Mapping[str, Any]) -> DistilBertModel:
    return DistilBertModel(DistilBertConfig(**shape))


def _pretrained(encoder: str) -> tuple[Tokenizer, DistilBertModel]:
    from transformers import AutoTokenizer

    try:
        model = DistilBertModel.from_pretrained(encoder, use_safetensors=True, dtype=torch.float32)
        return _fast(AutoTokenizer.from_pretrained(encoder)), model
    except OSError as error:
        raise PredictorError(
            f"the encoder {encoder!r} cannot be loaded ({error}): check the name and the network, "
            "or train a small one with the option encoder=scratch"
        ) from error


def _fast(tokenizer: Any) -> Tokenizer:
    """A copy of the fast tokenizer inside a transformers tokenizer."""
    inner = getattr(tokenizer, "backend_tokenizer", None)
    if inner is None:
        raise ConfigurationError(
            "distilbert needs a fast tokenizer (tokenizer.json), and this checkpoint has none: "
            "name a pretrained encoder with the option encoder=distilbert-base-uncased"
        )
    return Tokenizer.from_str(inner.to_str())
