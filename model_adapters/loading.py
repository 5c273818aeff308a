"""From a folder or hub id to a backbone: find the checkpoint, recognise its family, build what the family's file describes.

To add a family, write one file with `recognises` and `blueprint` (model_adapters/checkpoints/blueprint.py) and add one row to FAMILIES:
docs/families.md. Nothing here knows how a family names its weights; nothing in a family's file knows where a checkpoint lives.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eosbench.errors import CheckpointError, ConfigurationError
from model_adapters.families.unsupported import why_unsupported

if TYPE_CHECKING:
    import torch

    from eosbench.backbone import Backbone

DOWNLOADED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "*.py")
DTYPES = ("float32", "bfloat16", "float16", "float64")

# Name of a family's file -> the checkpoints it is for. The first whose `recognises` says yes builds the backbone.
FAMILIES: dict[str, str] = {
    "llada": "LLaDA-8B-Base, -Instruct, LLaDA-1.5, dLLM-Var",
    "dream": "Dream-v0, Dream-Coder, DiffuCoder",
    "diffugpt": "DiffuGPT-s, -m",
    "diffullama": "DiffuLLaMA",
    "masked_encoder": "BERT, RoBERTa, ModernBERT",
    "a2d": "Qwen3, Qwen2, LLaMA or GPT-2 with a mask token",
}


def family_of(config: dict[str, Any], weights: Collection[str] = (), name: str = "") -> str:
    """Name of the family that a checkpoint belongs to, by its config.json and the names of its weights.

    Raises:
        CheckpointError: none of the table; where the family is known, with the reason why it does not fit.

    Example:
        >>> family_of({"model_type": "llada", "architectures": ["LLaDAModelLM"]})
        'llada'
    """
    found = _recognised(config, weights)
    unfit = why_unsupported(config, name if found == "a2d" else None)
    if found and unfit is None:
        return found
    says = f"config.json says model_type={config.get('model_type')!r}, architectures={config.get('architectures')!r}"
    supported = "; ".join(f"{family} ({checkpoints})" for family, checkpoints in FAMILIES.items())
    if unfit:
        raise CheckpointError(f"{name or 'this checkpoint'} is {unfit.name} ({says}): {unfit.reason}. Supported: {supported}")
    raise CheckpointError(
        f"no supported family: {says}; expected one of: {supported}. A model that brings its own code and returns logits for "
        "every position can be run with trust_remote_code=True"
    )


def _recognised(config: dict[str, Any], weights: Collection[str]) -> str | None:
    return next((name for name in FAMILIES if _file(name).recognises(config, weights)), None)


def _file(family: str) -> Any:
    return importlib.import_module(f"model_adapters.{family}")


def load_backbone(
    path_or_hub_id: str | Path,
    device: str = "cpu",
    dtype: str = "float32",
    revision: str | None = None,
    trust_remote_code: bool = False,
    attn_implementation: str | None = None,
    device_map: str | Mapping[str, Any] | None = None,
    logits_shifted: bool | None = None,
) -> Backbone:
    """Loads a diffusion language model behind the Backbone protocol.

    Args:
        path_or_hub_id: a folder that holds config.json and safetensors, or a Hugging Face hub id ("GSAI-ML/LLaDA-8B-Instruct").
        device: where the weights go, as torch names it.
        dtype: float32, bfloat16, float16, float64, or "auto" for what the checkpoint was stored in.
        revision: branch, tag or commit, for hub ids only.
        trust_remote_code: lets a checkpoint's own code run: its tokenizer's, and the model's where the family is unknown. The
            families of the table are always transformers' own models.
        attn_implementation: as in transformers ("sdpa", which is the default, "eager", "flash_attention_2").
        device_map: as in transformers ("auto", "balanced", ..., or module -> device): spreads the layers over several GPUs.
        logits_shifted: whether raw row i scores token i + 1, where the checkpoint does not say it right.

    Raises:
        ConfigurationError: a device, dtype or attention that this machine or torch does not have.
        CheckpointError: a checkpoint that is missing, unreadable or of no supported family.
    """
    device_, dtype_ = _device(device), _dtype(dtype)
    folder, name = resolve_folder(str(path_or_hub_id), revision), str(path_or_hub_id)

    from eosbench.forward.memory import keep_freed_memory
    from model_adapters.backbones.assembly import assemble
    from model_adapters.backbones.placement import Placement
    from model_adapters.checkpoints.checkpoint import open_checkpoint

    if device_.type == "cpu":
        keep_freed_memory()
    placement = Placement(device_, device_map)
    checkpoint = open_checkpoint(folder, name=name, trust_remote_code=trust_remote_code)
    backbone: Backbone
    unfit = why_unsupported(checkpoint.config, None)
    if trust_remote_code and not _recognised(checkpoint.config, checkpoint.files) and (unfit is None or unfit.own_code_fits):
        from model_adapters.backbones.remote_code import build

        return build(
            checkpoint,
            placement=placement,
            dtype=dtype_,
            attn_implementation=attn_implementation,
            logits_shifted=bool(logits_shifted),
        )
    family = family_of(checkpoint.config, checkpoint.files, name)
    plan = _file(family).blueprint(checkpoint)
    if logits_shifted is not None:
        plan = replace(plan, logits_shifted=logits_shifted)
    backbone = assemble(
        checkpoint, plan, family=family, placement=placement, dtype=dtype_, attn_implementation=attn_implementation
    )
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
