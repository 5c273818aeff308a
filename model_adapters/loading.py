"""From a folder or hub id to a backbone: find the checkpoint, recognise its family, let the family's file build it.

To add a family, write one file with a function `build(checkpoint, *, device, dtype, attn_implementation) -> Backbone` and add one
row to FAMILIES. Nothing here knows how a family names its weights; nothing in a family's file knows where a checkpoint lives.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eosbench.errors import CheckpointError, ConfigurationError

if TYPE_CHECKING:
    import torch

    from eosbench.backbone import Backbone

DOWNLOADED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "*.py")
DTYPES = ("float32", "bfloat16", "float16", "float64")


@dataclass(frozen=True)
class Family:
    """One row: the file that builds the family and what its checkpoints call themselves in config.json."""

    module: str
    architectures: tuple[str, ...]
    model_types: tuple[str, ...]


FAMILIES: dict[str, Family] = {
    "llada": Family("model_adapters.llada", architectures=("LLaDAModelLM",), model_types=("llada",)),
}


def family_of(config: dict[str, Any]) -> str:
    """Name of the family that a config.json belongs to: by its architectures, or by its model_type where it names none.

    Raises:
        CheckpointError: no family of the table.

    Example:
        >>> family_of({"model_type": "llada", "architectures": ["LLaDAModelLM"]})
        'llada'
    """
    found, model_type = set(config.get("architectures") or ()), config.get("model_type")
    for name, family in FAMILIES.items():
        if found & set(family.architectures) or (not found and model_type in family.model_types):
            return name
    supported = "; ".join(f"{name} ({', '.join(family.architectures)})" for name, family in FAMILIES.items())
    raise CheckpointError(
        f"no supported family: config.json says model_type={model_type!r}, architectures={sorted(found)}; "
        f"expected one of: {supported}"
    )


def load_backbone(
    path_or_hub_id: str | Path,
    device: str = "cpu",
    dtype: str = "float32",
    revision: str | None = None,
    trust_remote_code: bool = False,
    attn_implementation: str = "sdpa",
) -> Backbone:
    """Loads a diffusion language model behind the Backbone protocol.

    Args:
        path_or_hub_id: a folder that holds config.json and safetensors, or a Hugging Face hub id ("GSAI-ML/LLaDA-8B-Instruct").
        device: where the weights go, as torch names it.
        dtype: float32, bfloat16, float16, float64, or "auto" for what the checkpoint was stored in.
        revision: branch, tag or commit, for hub ids only.
        trust_remote_code: lets a checkpoint's own tokenizer code run. Model code from a checkpoint is never run.
        attn_implementation: as in transformers ("sdpa", "eager", "flash_attention_2").

    Raises:
        ConfigurationError: a device or dtype that this machine or torch does not have.
        CheckpointError: a checkpoint that is missing, unreadable or of no supported family.
    """
    device_, dtype_ = _device(device), _dtype(dtype)
    folder = resolve_folder(str(path_or_hub_id), revision)

    from model_adapters.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(folder, name=str(path_or_hub_id), trust_remote_code=trust_remote_code)
    family = importlib.import_module(FAMILIES[family_of(checkpoint.config)].module)
    backbone: Backbone = family.build(checkpoint, device=device_, dtype=dtype_, attn_implementation=attn_implementation)
    return backbone


def resolve_folder(path_or_hub_id: str, revision: str | None = None) -> Path:
    """The local folder of a checkpoint, downloading it where it is a hub id (offline mode and the hub's cache are honoured).

    Raises:
        CheckpointError: neither a folder nor something the hub (or its cache) can deliver.
    """
    folder = Path(path_or_hub_id).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise CheckpointError(
            f"{path_or_hub_id} is a file: expected a folder with config.json and model.safetensors, or a hub id"
        )

    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(path_or_hub_id, revision=revision, allow_patterns=list(DOWNLOADED)))
    except HFValidationError as error:
        raise CheckpointError(f"no such folder: {path_or_hub_id} (and it cannot be a hub id: expected 'owner/name')") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        at = f" at revision {revision!r}" if revision else ""
        raise CheckpointError(
            f"no folder {path_or_hub_id}, and the hub did not deliver it{at}: {type(error).__name__}. "
            f"Check the name and the network, or download it first: hf download {path_or_hub_id}"
        ) from error


def _device(device: str) -> torch.device:
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(
            f"device {device!r} cannot be used here ({reason}): expected 'cpu', 'cuda', 'cuda:0', 'mps', ..."
        ) from error
    return torch.device(device)


def _dtype(dtype: str) -> torch.dtype | None:
    """None stands for "auto": what the checkpoint was stored in."""
    import torch

    name = str(dtype).removeprefix("torch.")
    if name == "auto":
        return None
    if name not in DTYPES:
        raise ConfigurationError(f"dtype {dtype!r}: expected auto or one of {', '.join(DTYPES)}")
    found: torch.dtype = getattr(torch, name)
    return found
