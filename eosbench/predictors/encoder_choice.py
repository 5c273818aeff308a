"""The encoder that the options of `distilbert` name: new, of a checkpoint, or of a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer
from torch import nn
from transformers import DistilBertConfig, DistilBertModel

from eosbench.errors import ConfigurationError, PredictorError
from eosbench.predictors.encoder import Encoder, fast, longest_text, pretrained, rebuilt

if TYPE_CHECKING:
    from eosbench.backbone import Backbone

SCRATCH = "scratch"
SMALL = {"n_layers": 2, "dim": 64, "n_heads": 4, "hidden_dim": 256}
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
FINE_TUNING_RATE, FINE_TUNING_RATE_OF_LARGE = 5e-5, 2e-5
LARGE = 200_000_000  # weights beside the embeddings

__all__ = ["SCRATCH", "TOKENIZER", "chosen_encoder", "name_and_revision", "rate_of"]


def name_and_revision(
    encoder: str, revision: str | None, train_encoder: bool
) -> tuple[str, str | None]:
    """The name of an encoder without its revision, and that.

    Args:
        encoder, revision, train_encoder: the options.

    Raises:
        ConfigurationError: two revisions, one where there is none, or a new encoder that is not to
            be trained.
    """
    if not isinstance(train_encoder, bool):
        raise ConfigurationError(f"train_encoder={train_encoder!r}: expected true or false")
    # A command line reads a name of digits as a number.
    encoder, revision = str(encoder), None if revision is None else str(revision)
    folder = Path(encoder).expanduser()
    is_folder = folder.is_dir()
    name, _, asked = (str(folder), "", "") if is_folder else encoder.partition("@")
    if asked and revision not in (None, asked):
        raise ConfigurationError(
            f"encoder={encoder} and encoder_revision={revision}: expected one revision"
        )
    if revision and (name == SCRATCH or is_folder):
        raise ConfigurationError(
            f"encoder_revision={revision}: expected a hub id beside it, and {encoder!r} is none"
        )
    if name == SCRATCH and not train_encoder:
        raise ConfigurationError(
            "train_encoder=false: a new encoder knows nothing yet: name a pretrained one "
            "(encoder=distilbert-base-uncased), or leave the option out"
        )
    return name, asked or revision


def chosen_encoder(
    name: str,
    revision: str | None,
    settings: Mapping[str, Any] | None,
    files: Mapping[str, str] | None,
    backbone: Backbone,
) -> Encoder:
    """The encoder of a predictor.

    Args:
        name: hub id or folder of a checkpoint, or "scratch".
        revision: of a hub id.
        settings: what builds the encoder of a predictor's folder again; None outside of one.
        files: the text files of that folder, by name.
        backbone: lends its tokenizer to a new encoder.

    Raises:
        ConfigurationError: no fast tokenizer to start from.
        PredictorError: the checkpoint cannot be had, is no encoder or lacks weights, or the folder
            lacks the tokenizer.
    """
    if settings is not None:
        if not files or TOKENIZER not in files:
            raise PredictorError(
                f"the distilbert predictor's folder has no {TOKENIZER}: fit it again"
            )
        if "config" in settings:
            return rebuilt(settings, files[TOKENIZER])
        return _new(settings, Tokenizer.from_str(files[TOKENIZER]))
    if name == SCRATCH:
        tokenizer = fast(backbone.tokenizer)
        shape = {**SMALL, "vocab_size": tokenizer.get_vocab_size(), "pad_token_id": 0}
        return _new(shape, tokenizer)
    return pretrained(name, revision)


def _new(shape: Mapping[str, Any], tokenizer: Tokenizer) -> Encoder:
    """A DistilBERT of this shape with random weights, which reads the beginning of a text."""
    model = DistilBertModel(DistilBertConfig(**shape))
    tokenizer.no_padding()
    tokenizer.enable_truncation(longest_text(model))
    return Encoder(model, tokenizer, {name: getattr(model.config, name) for name in SHAPE})


def rate_of(encoder: nn.Module) -> float:
    """The learning rate of a pretrained encoder: lower for a large one.

    Embeddings do not count, which are most of a multilingual model.
    """
    weights = sum(
        parameter.numel()
        for name, parameter in encoder.named_parameters()
        if "embeddings" not in name
    )
    return FINE_TUNING_RATE if weights <= LARGE else FINE_TUNING_RATE_OF_LARGE
