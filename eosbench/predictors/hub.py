"""Predictors on the Hugging Face Hub: `predictor=owner/name`, or `owner/name@revision`."""

from __future__ import annotations

import functools
import re
from pathlib import Path

from eosbench.errors import PredictorError
from eosbench.places import is_there

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
FILES = ["*.json", "*.safetensors", "README.md"]


@functools.lru_cache(maxsize=64)
def local_folder(predictor: str) -> Path:
    """The folder of a predictor: itself, or the snapshot of a hub repository in the local cache.

    Raises:
        PredictorError: it looks like a hub id, and is neither here nor there.
    """
    path = Path(predictor).expanduser()
    if is_there(path) or not HUB_ID.fullmatch(predictor):
        return path
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    repository, _, revision = predictor.partition("@")
    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=FILES))
    except (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        OSError,
    ) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise PredictorError(
            f"no predictor folder '{predictor}' here, and it cannot be had from the Hugging Face "
            f"Hub either ({reason}): make it with eosbench fit, or check the name and the network"
        ) from error


def push(folder: Path, repository: str, *, private: bool = False) -> str:
    """Uploads a predictor folder to the hub, as it is.

    Args:
        folder: made by eosbench fit.
        repository: owner/name; it is made where it does not exist.
        private: whether a new repository is private.

    Returns:
        The address of the repository.

    Raises:
        PredictorError: no such folder, or the hub refuses.
    """
    if not (folder / "config.json").is_file():
        raise PredictorError(f"'{folder}' holds no predictor: fit it first")
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    hub = HfApi()
    try:
        created = hub.create_repo(repository, private=private, exist_ok=True)
        hub.upload_folder(
            folder_path=folder,
            repo_id=created.repo_id,
            allow_patterns=FILES,
            commit_message="eosbench fit",
        )
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise PredictorError(f"'{folder}' could not be pushed to {repository}: {error}") from error
    return str(created)
