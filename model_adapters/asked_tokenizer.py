"""A tokenizer that does not come from the folder of the weights.

The user names another one, or the model is in memory and has no folder.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from eosbench.errors import CheckpointError, ConfigurationError, shown
from model_adapters.hub import OF_TOKENIZERS, resolve_folder

__all__ = ["other_tokenizer", "tokenizer_of"]

logger = logging.getLogger(__name__)


def other_tokenizer(
    asked: Any,
    revision: str | None,
    subfolder: str,
    trust_remote_code: bool,
    add_bos_token: bool | None,
) -> Any:
    """The tokenizer that the user asks for in place of the checkpoint's; None: no other one.

    As in lm-eval's `hf`, revision and subfolder are looked for in its repository, too.

    Raises:
        CheckpointError: it is not there, or broken.
    """
    if asked is None:
        return None
    if not isinstance(asked, str | Path):
        if not hasattr(asked, "get_vocab"):
            raise ConfigurationError(
                f"tokenizer={shown(asked)}: expected a folder, a hub id, or a tokenizer of "
                "transformers"
            )
        return asked
    from model_adapters.checkpoints import holds_tokenizer, open_tokenizer

    folder = resolve_folder(str(asked), revision, patterns=OF_TOKENIZERS)
    if subfolder and holds_tokenizer(folder / subfolder):
        folder = folder / subfolder
    found = open_tokenizer(
        folder,
        name=str(asked),
        trust_remote_code=trust_remote_code,
        add_bos_token=add_bos_token,
    )
    if found is None:
        raise CheckpointError(
            f"tokenizer={asked}: expected a folder or a hub id with tokenizer.json, "
            "tokenizer_config.json, vocab.json or tokenizer.model"
        )
    return found


def tokenizer_of(name: str, trust_remote_code: bool, add_bos_token: bool | None) -> Any:
    """The tokenizer of the checkpoint that a model in memory came from; None where it has none."""
    from model_adapters.checkpoints import open_tokenizer

    try:
        folder = resolve_folder(name, patterns=OF_TOKENIZERS)
    except CheckpointError as error:
        logger.info("no tokenizer for the model in memory: %s", error)
        return None
    return open_tokenizer(
        folder, name=name, trust_remote_code=trust_remote_code, add_bos_token=add_bos_token
    )
