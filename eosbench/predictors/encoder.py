"""Text encoders of transformers: loaded whole from a checkpoint, or built again from a folder.

An encoder is any model of transformers' `AutoModel` whose every token sees the whole text:
DistilBERT, BERT (and MiniLM), RoBERTa, ModernBERT, DeBERTa-v2, and the transformer inside a
sentence-transformers folder. Weights are read from safetensors alone, code from transformers alone.
A checkpoint gives all weights of the body or ends in an error that names those that are missing; a
pooler, which nothing here reads, is neither loaded nor missed.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from tokenizers import Tokenizer
from torch import nn
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING, MODEL_MAPPING

from eosbench.digest import digest_of_parts
from eosbench.errors import ConfigurationError, PredictorError
from eosbench.predictors.encoder_weights import check_weights

# Tokens of a text where neither the model nor its tokenizer says how many it holds.
USUAL_TOKENS = 512
# What transformers says of a tokenizer without a limit is far above this.
NO_LIMIT = 10**9
# Settings of a config that describe no network, or only where it came from.
NOT_OF_THE_NETWORK = (
    "_name_or_path",
    "architectures",
    "auto_map",
    "dtype",
    "id2label",
    "label2id",
    "transformers_version",
)

__all__ = ["Encoder", "config_of", "fast", "longest_text", "pretrained", "rebuilt"]


@dataclass(frozen=True)
class Encoder:
    """A text encoder with its tokenizer.

    Attributes:
        model: the body, in evaluation mode; `last_hidden_state` is what is read of it.
        tokenizer: cuts a text from the left to the tokens that the model holds, so that the
            question behind few-shot examples stays.
        settings: what builds the body again, as JSON: its `config`, and of a checkpoint the
            `commit` on the hub and a digest of its `weights`.
    """

    model: Any
    tokenizer: Tokenizer
    settings: Mapping[str, Any]


def pretrained(name: str, revision: str | None = None) -> Encoder:
    """The encoder of a checkpoint.

    Args:
        name: a folder, or a hub id.
        revision: branch, tag or commit on the hub.

    Raises:
        ConfigurationError: its tokenizer has no tokenizer.json.
        PredictorError: the checkpoint cannot be had or read, is no encoder, or lacks weights.
    """
    config = config_of(name, revision)
    kind, keywords = _class_of(config, name)
    where = {"revision": revision, "subfolder": _subfolder(name)}
    with _in_one_line(name), _quiet():
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            name, trust_remote_code=False, **where
        )
        model, info = kind.from_pretrained(
            name,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # they are named below
            output_loading_info=True,
            **keywords,
            **where,
        )
    check_weights(name, model, info)
    inner = fast(tokenizer)
    words = inner.get_vocab_size(with_added_tokens=False)
    if words > model.get_input_embeddings().num_embeddings:
        raise PredictorError(
            f"the encoder {name!r} has a tokenizer of {words} tokens and embeddings of "
            f"{model.get_input_embeddings().num_embeddings}: expected the tokenizer that it was "
            "trained with"
        )
    inner.no_padding()
    limit = longest_text(model, tokenizer.model_max_length)
    inner.enable_truncation(limit, direction="left")
    inner.encode_special_tokens = True
    described = {
        setting: value
        for setting, value in json.loads(model.config.to_json_string()).items()
        if setting not in NOT_OF_THE_NETWORK
    }
    settings = {
        "config": described,
        "commit": getattr(config, "_commit_hash", None),
        "weights": digest_of_parts(
            tensor.contiguous().numpy().tobytes() for tensor in model.state_dict().values()
        ),
    }
    return Encoder(model.eval(), inner, settings)


def config_of(name: str, revision: str | None = None) -> Any:
    """The config of an encoder's checkpoint, without its weights.

    Args:
        name, revision: see `pretrained`.

    Raises:
        PredictorError: the checkpoint cannot be had, or is no encoder.
    """
    with _in_one_line(name), _quiet():
        config = transformers.AutoConfig.from_pretrained(
            name, revision=revision, subfolder=_subfolder(name), trust_remote_code=False
        )
    _class_of(config, name)
    return config


def rebuilt(settings: Mapping[str, Any], tokenizer: str) -> Encoder:
    """The encoder that these settings describe, with random weights.

    Args:
        settings: of an Encoder.
        tokenizer: the text of its tokenizer.json.
    """
    config = transformers.AutoConfig.for_model(**settings["config"])
    kind, keywords = _class_of(config, config.model_type)
    inner = Tokenizer.from_str(tokenizer)
    inner.encode_special_tokens = True
    return Encoder(kind(config, **keywords).eval(), inner, settings)


def fast(tokenizer: Any) -> Tokenizer:
    """A copy of the fast tokenizer inside a transformers tokenizer.

    Raises:
        ConfigurationError: there is none.
    """
    inner = getattr(tokenizer, "backend_tokenizer", None)
    if inner is None:
        raise ConfigurationError(
            "distilbert needs a fast tokenizer (tokenizer.json), and this checkpoint has none: "
            "name a pretrained encoder with the option encoder=distilbert-base-uncased"
        )
    return Tokenizer.from_str(inner.to_str())


def longest_text(model: Any, of_tokenizer: float = NO_LIMIT) -> int:
    """The tokens of the longest text that an encoder holds, special tokens included.

    RoBERTa and its relatives count positions from behind their padding id, so that a table of 514
    holds 512 tokens.

    Args:
        model: the encoder.
        of_tokenizer: `model_max_length` of its tokenizer.
    """
    limits = [getattr(model.config, "max_position_embeddings", None), of_tokenizer]
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            before = 0 if module.padding_idx is None else module.padding_idx + 1
            limits.append(module.num_embeddings - before)
    known = [int(limit) for limit in limits if limit is not None and 0 < limit < NO_LIMIT]
    return min(known, default=USUAL_TOKENS)


def _subfolder(name: str) -> str:
    """The transformer's own folder in one of sentence-transformers that keeps it apart."""
    folder = Path(name)
    modules = folder / "modules.json"
    if not modules.is_file() or (folder / "config.json").is_file():
        return ""
    first = json.loads(modules.read_text(encoding="utf-8"))[0]
    return str(first["path"])


def _class_of(config: Any, name: str) -> tuple[Any, dict[str, Any]]:
    """The class of an encoder's body, and its keywords.

    Raises:
        PredictorError: a model that is no text encoder.
    """
    sees_all = getattr(config, "use_bidirectional_attention", None) in (True, "all")
    decodes = getattr(config, "is_encoder_decoder", False) or getattr(config, "is_decoder", False)
    kinds: Any = None
    if not decodes and (type(config) in MODEL_FOR_MASKED_LM_MAPPING or sees_all):
        kinds = MODEL_MAPPING.get(type(config), None)
    kind = kinds[0] if isinstance(kinds, (tuple, list)) else kinds
    takes = () if kind is None else inspect.signature(kind.forward).parameters
    if not {"input_ids", "attention_mask"} <= set(takes):
        raise PredictorError(
            f"the encoder {name!r} is a {config.model_type!r}, which is no text encoder: expected "
            "a model whose every token sees the whole text, as DistilBERT, BERT, RoBERTa, "
            "ModernBERT, DeBERTa-v2 or a sentence-transformers model of these"
        )
    has_pooler = "add_pooling_layer" in inspect.signature(kind).parameters
    return kind, {"add_pooling_layer": False} if has_pooler else {}


@contextmanager
def _in_one_line(name: str) -> Iterator[None]:
    """Turns whatever transformers raises of a checkpoint into one line.

    Raises:
        PredictorError: with the first line of that error.
    """
    try:
        yield
    except (
        OSError,
        ValueError,
        RuntimeError,
        ImportError,
        KeyError,
        TypeError,
        SafetensorError,
    ) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".: ")
        raise PredictorError(
            f"the encoder {name!r} cannot be loaded ({reason}): check the name and the network, "
            "or train a small one with the option encoder=scratch"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps transformers from listing weights that are checked here, and from its progress bar."""
    logging = transformers.utils.logging
    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()
