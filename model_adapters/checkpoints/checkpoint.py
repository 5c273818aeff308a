"""A checkpoint folder on disk: config.json, tokenizer, and safetensors that are read one tensor at
a time.

Names are compared before the first value is read, so that a wrong checkpoint fails in
milliseconds. Tensors go straight from the memory-mapped file to the asked device and dtype and
become the model's parameters: there is never a second copy of the weights.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from eosbench.errors import CheckpointError

logger = logging.getLogger(__name__)

_SAMPLE = 1024  # values per tensor that enter the fingerprint
_MASK_TOKENS = ("<|mdm_mask|>", "<|mask|>", "<mask>", "[MASK]")
_END_TOKENS = ("<|endoftext|>", "<|eot_id|>", "<|im_end|>", "<eos>", "</s>")
_DTYPES = {"F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "tokenizer.model")


@dataclass(frozen=True)
class Checkpoint:
    """An opened folder. `files` maps each weight's name to the safetensors file that holds it."""

    name: str
    folder: Path
    config: dict[str, Any]
    tokenizer: Any
    files: Mapping[str, Path]

    def token_ids(self, vocab_size: int) -> tuple[int, frozenset[int], int]:
        """(mask id, end ids, padding id), from config and tokenizer; every id that ends a text is
        an end id, whoever names it.

        Raises:
            CheckpointError: no mask token, no end token, or an id outside the vocabulary.
        """
        special = _special_tokens(self.tokenizer)
        mask = _first(
            self.config.get("mask_token_id"),
            getattr(self.tokenizer, "mask_token_id", None),
            *(special.get(t) for t in _MASK_TOKENS),
        )
        if mask is None:
            raise CheckpointError(
                f"{self.name} has no mask token: expected mask_token_id in config.json or one of {', '.join(_MASK_TOKENS)} "
                "in the tokenizer. A model without one is no masked diffusion model "
                f"(model_type={self.config.get('model_type')!r}): an autoregressive one runs under lm_eval --model hf"
            )
        if getattr(self.tokenizer, "mask_token_id", None) not in (None, mask):
            logger.warning(
                "%s: config.json says mask token %d, its tokenizer %d: %d is used",
                self.name,
                mask,
                self.tokenizer.mask_token_id,
                mask,
            )
        eos = self.config.get("eos_token_id")
        ends = {
            *(eos if isinstance(eos, list) else [eos]),
            getattr(self.tokenizer, "eos_token_id", None),
            *(special.get(t) for t in _END_TOKENS),
        }
        ends.discard(None)
        # BERT's texts end with [SEP].
        ends = ends or {getattr(self.tokenizer, "sep_token_id", None)} - {None}
        if not ends:
            raise CheckpointError(
                f"{self.name} has no end-of-sequence token: expected eos_token_id in config.json or in the tokenizer"
            )
        pad = _first(
            self.config.get("pad_token_id"),
            getattr(self.tokenizer, "pad_token_id", None),
            min(ends),
        )
        for role, token in [("mask", mask), ("padding", pad), *(("end", end) for end in ends)]:
            if not 0 <= token < vocab_size:
                raise CheckpointError(
                    f"{self.name}: {role} token id {token} lies outside the vocabulary of {vocab_size}"
                )
        return mask, frozenset(ends), pad

    def stored_dtype(self) -> torch.dtype:
        """The dtype of the largest tensor: what most of the weights were stored in."""
        sizes: dict[torch.dtype, int] = {}
        for path in sorted(set(self.files.values())):
            names = [name for name, where in self.files.items() if where == path]
            with _open(path) as file:
                for part in map(file.get_slice, names):
                    dtype = _DTYPES.get(part.get_dtype(), torch.float32)
                    sizes[dtype] = sizes.get(dtype, 0) + math.prod(part.get_shape())
        return max(sizes, key=sizes.__getitem__)

    def read_into(
        self,
        model: torch.nn.Module,
        names: Mapping[str, str],
        *,
        device: Callable[[str], torch.device],
        dtype: torch.dtype | None,
        ignored: Collection[str] = (),
    ) -> str:
        """Fills a model built on the meta device and returns a fingerprint of the weights.

        The fingerprint covers every tensor's name, shape and values: all of them up to 1,024, an
        even stride of 1,024 through the flattened tensor beyond that, as stored, so that it depends
        on neither the device nor the dtype asked for.

        Args: model: its parameters are replaced, one by one. names: the checkpoint's name for each
            parameter of `model`, keyed by the parameter's own name. device: where a parameter goes,
            by its own name. dtype: what they are converted to; None keeps what is stored. ignored:
            stored tensors that are no parameters of the model.

        Raises:
            CheckpointError: weights missing, unexpected, of another shape, or unreadable.
        """
        expected = {theirs: (own, model.get_parameter(own).shape) for own, theirs in names.items()}
        stored = self.files.keys() - set(ignored)
        missing, extra = sorted(expected.keys() - stored), sorted(stored - expected.keys())
        if missing or extra:
            raise CheckpointError(
                f"{self.name}: weights do not fit its config.json: missing {_some(missing)}; unexpected {_some(extra)}"
            )
        digests: dict[str, bytes] = {}
        for theirs in sorted(expected, key=lambda name: (self.files[name], name)):
            own, shape = expected[theirs]
            # Opened anew for every tensor: what is mapped into memory and was read counts as
            # resident until the file is closed.
            with _open(self.files[theirs]) as file:
                found = tuple(file.get_slice(theirs).get_shape())
                if found != tuple(shape):
                    raise CheckpointError(
                        f"{self.name}: weight {theirs} has shape {found}, its config.json asks for {tuple(shape)}"
                    )
                tensor = file.get_tensor(theirs)
            digests[theirs] = _digest(theirs, tensor)
            _assign(model, own, tensor.to(device=device(own), dtype=dtype))
        return hashlib.sha256(b"".join(digests[name] for name in sorted(digests))).hexdigest()


def open_checkpoint(folder: Path, *, name: str, trust_remote_code: bool = False) -> Checkpoint:
    """Reads config.json, the tokenizer and the headers of the weights.

    Raises:
        CheckpointError: config.json or the weights are missing or broken.
    """
    config_path = folder / "config.json"
    if not config_path.is_file():
        raise CheckpointError(
            f"{name} holds no config.json: expected a checkpoint folder (config.json, model.safetensors) or a hub id"
        )
    try:
        config = json.loads(config_path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{config_path} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise CheckpointError(
            f"{config_path} holds {type(config).__name__}, expected a JSON object"
        )
    return Checkpoint(
        name, folder, config, _tokenizer(folder, trust_remote_code), _weight_files(folder)
    )


def fingerprint_of_files(checkpoint: Checkpoint) -> str:
    """The fingerprint of `read_into`, over every stored tensor."""
    digests = []
    for name in sorted(checkpoint.files):
        with _open(checkpoint.files[name]) as file:
            digests.append(_digest(name, file.get_tensor(name)))
    return hashlib.sha256(b"".join(digests)).hexdigest()


def _weight_files(folder: Path) -> dict[str, Path]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            shards = {
                folder / shard
                for shard in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
            }
        except (ValueError, KeyError, AttributeError) as error:
            raise CheckpointError(
                f"{index} is no index of shards: {type(error).__name__}: {error}"
            ) from error
    else:
        shards = {folder / "model.safetensors"}
    absent = sorted(shard.name for shard in shards if not shard.is_file())
    if absent:
        others = [
            path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern)
        ]
        hint = (
            f" (found {_some(others)}: convert them to safetensors, other formats can run code)"
            if others
            else ""
        )
        raise CheckpointError(f"{folder} lacks weights: no {_some(absent)}{hint}")
    files: dict[str, Path] = {}
    for shard in sorted(shards):
        with _open(shard) as file:
            files.update(dict.fromkeys(file.keys(), shard))
    return files


def _tokenizer(folder: Path, trust_remote_code: bool) -> Any:
    """The folder's tokenizer, or None. The plain config keeps transformers from asking whether
    remote model code may run.
    """
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        return None
    from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerFast

    try:
        if (
            not (folder / "tokenizer_config.json").is_file()
            and (folder / "tokenizer.json").is_file()
        ):
            fast: Any = PreTrainedTokenizerFast
            return fast(tokenizer_file=str(folder / "tokenizer.json"))
        return AutoTokenizer.from_pretrained(
            folder, config=PreTrainedConfig(), trust_remote_code=trust_remote_code
        )
    except Exception as error:  # tokenizers raises bare Exception on a broken file
        raise CheckpointError(f"the tokenizer in {folder} cannot be loaded: {error}") from error


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is no readable safetensors file: {error}. Download it again"
        ) from error


def _assign(model: torch.nn.Module, name: str, value: torch.Tensor) -> None:
    owner, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(owner), leaf, torch.nn.Parameter(value, requires_grad=False))


def _digest(name: str, tensor: torch.Tensor) -> bytes:
    flat = tensor.flatten()
    sample = flat[:: max(1, flat.numel() // _SAMPLE)][:_SAMPLE].to(torch.float32)
    return hashlib.sha256(
        f"{name}{list(tensor.shape)}".encode() + sample.numpy().tobytes()
    ).digest()


def _special_tokens(tokenizer: Any) -> dict[str, int]:
    added = getattr(tokenizer, "added_tokens_decoder", {})
    return {str(token): index for index, token in added.items() if token.special}


def _first(*values: int | None) -> Any:
    return next((value for value in values if value is not None), None)


def _some(names: list[str], most: int = 8) -> str:
    if not names:
        return "none"
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
