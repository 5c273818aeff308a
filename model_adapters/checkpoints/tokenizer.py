"""The tokenizer of a checkpoint, or another one that the user asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eosbench.documents import BEGIN_TOKENS
from eosbench.errors import CheckpointError, ConfigurationError

FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "tokenizer.model")


def open_tokenizer(
    folder: Path,
    *,
    name: str,
    trust_remote_code: bool = False,
    add_bos_token: bool | None = None,
) -> Any:
    """The tokenizer of a folder, or None where it has none.

    Args:
        folder: where its files are.
        name: the path or hub id that the user typed.
        trust_remote_code: lets the tokenizer's own code run.
        add_bos_token: whether texts begin with the BOS token; None leaves it to the tokenizer.

    Raises:
        CheckpointError: one of its files is broken.
        ConfigurationError: a BOS token is asked for, and the tokenizer has none.
    """
    if not holds_tokenizer(folder):
        return None
    if add_bos_token is None:
        return _load(folder, trust_remote_code)
    found = _load(folder, trust_remote_code, add_bos_token=add_bos_token)
    if found.bos_token is not None or not add_bos_token:
        return found
    special = {str(token) for token in found.added_tokens_decoder.values() if token.special}
    begin = next((token for token in BEGIN_TOKENS if token in special), None)
    if begin is None:
        raise ConfigurationError(
            f"add_bos_token=True: the tokenizer of {name} has no BOS token (none of "
            f"{', '.join(BEGIN_TOKENS)}): leave it out"
        )
    return _load(folder, trust_remote_code, add_bos_token=True, bos_token=begin)


def name_mask(tokenizer: Any, mask_id: int) -> None:
    """Tells a tokenizer that names no mask token which one it is, so that no text is read as it."""
    if tokenizer is None or mask_id < 0 or tokenizer.mask_token_id == mask_id:
        return
    name = tokenizer.convert_ids_to_tokens(mask_id)
    if name is not None:
        tokenizer.mask_token = name


def holds_tokenizer(folder: Path) -> bool:
    """Whether a folder holds a file of a tokenizer."""
    return any((folder / name).is_file() for name in FILES)


def _load(folder: Path, trust_remote_code: bool, **settings: Any) -> Any:
    """The folder's tokenizer, by transformers.

    The plain config keeps transformers from asking whether the model's own code may run.
    """
    from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerFast

    try:
        if (folder / FILES[0]).is_file() and not (folder / FILES[1]).is_file():
            fast: Any = PreTrainedTokenizerFast
            return fast(tokenizer_file=str(folder / FILES[0]), **settings)
        return AutoTokenizer.from_pretrained(
            folder, config=PreTrainedConfig(), trust_remote_code=trust_remote_code, **settings
        )
    except Exception as error:  # tokenizers raises bare Exception on a broken file
        raise CheckpointError(f"the tokenizer in {folder} cannot be loaded: {error}") from error
