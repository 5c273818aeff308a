"""From a folder or a hub id to a folder on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eosbench.errors import CheckpointError
from eosbench.places import is_there

DOWNLOADED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "*.py")
OF_TOKENIZERS = tuple(pattern for pattern in DOWNLOADED if pattern != "*.safetensors")


def resolve_folder(
    path_or_hub_id: str,
    revision: str | None = None,
    subfolder: str = "",
    patterns: Sequence[str] = DOWNLOADED,
) -> Path:
    """The local folder of a checkpoint, which is downloaded where it is a hub id.

    Offline mode and the hub's cache work as in transformers.

    Args:
        path_or_hub_id: a folder, or a hub id.
        revision: branch, tag or commit on the hub.
        subfolder: the folder in the repository that is meant.
        patterns: of the files that are downloaded.

    Raises:
        CheckpointError: it is neither a folder nor a hub id that the hub or its cache can deliver,
            or has no such subfolder.
    """
    if not path_or_hub_id.strip():
        raise CheckpointError("the name of a checkpoint is empty: expected a folder or a hub id")
    folder = Path(path_or_hub_id).expanduser()
    if not (is_there(folder) and folder.is_dir()):
        if is_there(folder):
            raise CheckpointError(
                f"{path_or_hub_id} is a file: expected a folder with config.json and "
                "model.safetensors, or a hub id"
            )
        folder = _download(path_or_hub_id, revision, patterns)
    if subfolder and not (folder / subfolder).is_dir():
        raise CheckpointError(f"{path_or_hub_id} has no subfolder {subfolder!r}")
    return folder / subfolder


def _download(hub_id: str, revision: str | None, patterns: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=list(patterns)))
    except (HFValidationError, ValueError) as error:  # a ValueError: a zero byte in the name
        raise CheckpointError(
            f"no such folder: {hub_id} (and it cannot be a hub id: expected 'owner/name')"
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        at = f" at revision {revision!r}" if revision else ""
        raise CheckpointError(
            f"no folder {hub_id}, and the hub did not deliver it{at}: "
            f"{type(error).__name__}. Check the name and the network, or download it first: "
            f"hf download {hub_id}"
        ) from error
