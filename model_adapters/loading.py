"""From a folder or hub id to a backbone.

Find the checkpoint, recognise its family, assemble the model that the family's file describes.
Nothing here knows how a family names its weights; nothing in a family's file knows where a
checkpoint lives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from eosbench.command_lines import command_line, model_args_text
from eosbench.errors import CheckpointError, ConfigurationError
from model_adapters.asked_tokenizer import other_tokenizer, tokenizer_of
from model_adapters.dtypes import device_of, dtype_of
from model_adapters.families import family_file, family_of, recognised, why_unsupported
from model_adapters.hub import resolve_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from eosbench.backbone import Backbone
    from model_adapters.checkpoints import Adapter, Blueprint, Checkpoint

__all__ = ["attends_between_blocks", "base_and_adapter", "load_backbone"]


def load_backbone(
    path_or_hub_id: str | Path | PreTrainedModel,
    device: str = "cpu",
    dtype: str = "float32",
    revision: str | None = None,
    trust_remote_code: bool = False,
    attn_implementation: str | None = None,
    device_map: str | Mapping[str, Any] | None = None,
    logits_shifted: bool | None = None,
    block_length: int | None = None,
    mask_token: str | None = None,
    mask_token_id: int | None = None,
    peft: str | Path | None = None,
    load_in_4bit: bool = False,
    load_in_8bit: bool = False,
    subfolder: str = "",
    tokenizer: Any = None,
    add_bos_token: bool | None = None,
    max_length: int | None = None,
    max_memory_per_gpu: int | str | None = None,
    max_cpu_memory: int | str | None = None,
    mixed_precision_dtype: str | None = None,
) -> Backbone:
    """Loads a diffusion language model behind the Backbone protocol.

    Args:
        path_or_hub_id: a folder that holds config.json and safetensors, or a Hugging Face hub id
            ("GSAI-ML/LLaDA-8B-Instruct"). One that holds a LoRA adapter alone stands for the model
            that it was trained on, with the adapter. A model of transformers that is in memory
            already is taken too, with its weights as they are.
        device: where the weights go, as torch names it.
        dtype: float32, bfloat16, float16, float64, another name that torch has for one of them, or
            "auto" for the dtype of the stored weights.
        revision: branch, tag or commit, for hub ids only.
        trust_remote_code: lets a checkpoint's own code run: its tokenizer's, and the model's where
            the family is unknown. The families of the table always run on transformers' own models.
        attn_implementation: as in transformers ("sdpa", which is the default, "eager",
            "flash_attention_2").
        device_map: as in transformers ("auto", "balanced", ..., or module -> device): spreads the
            layers over several GPUs.
        logits_shifted: whether raw row i scores token i + 1; None leaves it to the checkpoint.
        block_length: tokens of a block, for a model that attends causally between blocks; None
            leaves it to the checkpoint and its family.
        mask_token, mask_token_id: name or id of the mask token, where the checkpoint does not say
            it right.
        peft: folder or hub id of a LoRA adapter, which is merged into the weights.
        load_in_4bit, load_in_8bit: make the weights small with bitsandbytes.
        subfolder: the folder in the repository that holds the checkpoint.
        tokenizer: a tokenizer of transformers, or the folder or hub id of one, in place of the
            checkpoint's own.
        add_bos_token: whether texts begin with the BOS token; None leaves it to the tokenizer.
        max_length: tokens of a prompt and its canvas together; None is what the model was made for.
        max_memory_per_gpu, max_cpu_memory: the most that a `device_map` may take there, in bytes or
            as "10GiB".
        mixed_precision_dtype: of the products inside the model (torch's autocast).

    Raises:
        ConfigurationError: a device, dtype or attention that this machine or torch does not have.
        CheckpointError: a checkpoint that is missing, unreadable, of no supported family, or of
            the recipe `causal`.
    """
    device_, dtype_ = device_of(device), dtype_of(dtype)

    from eosbench.forward import bound_threads, keep_freed_memory
    from model_adapters import backbones
    from model_adapters.checkpoints import (
        MaskToken,
        hold,
        open_adapter,
        open_checkpoint,
        trained_causally,
    )

    bits = backbones.bits_asked(load_in_4bit, load_in_8bit)
    if device_.type == "cpu":
        keep_freed_memory()
    asked_mask = MaskToken(mask_token, mask_token_id)
    other = other_tokenizer(tokenizer, revision, subfolder, trust_remote_code, add_bos_token)
    if isinstance(path_or_hub_id, str | Path):
        folder, name, adapter = base_and_adapter(str(path_or_hub_id), revision, subfolder, peft)
        if trained_causally(folder):
            _refuse_causal(name)
        checkpoint = open_checkpoint(
            folder,
            name=name,
            trust_remote_code=trust_remote_code,
            asked_mask=asked_mask,
            tokenizer=other,
            add_bos_token=add_bos_token,
        )
    else:
        held = path_or_hub_id
        name = held.name_or_path or type(held).__name__
        adapter = None if peft is None else open_adapter(resolve_folder(str(peft)), str(peft))
        if other is None:
            other = tokenizer_of(held.name_or_path or "", trust_remote_code, add_bos_token)
        checkpoint = hold(held, name=name, tokenizer=other, asked_mask=asked_mask)
        trust_remote_code = False  # its code ran already; here it runs on transformers' own model
    memory = backbones.memory_limits(max_memory_per_gpu, max_cpu_memory)
    how: dict[str, Any] = {
        "placement": backbones.Placement(device_, device_map, memory),
        "dtype": dtype_,
        "attn_implementation": attn_implementation,
    }
    backbone: Any
    if trust_remote_code and _only_its_own_code_fits(checkpoint):
        _refuse_for_own_code(peft=adapter, load_in_bits=bits)
        shifted = bool(logits_shifted)
        backbone = backbones.assemble_own_code(checkpoint, logits_shifted=shifted, **how)
    else:
        backbones.refuse_stored(checkpoint.config, name)
        family = family_of(checkpoint.config, checkpoint.weight_names, name)
        plan = family_file(family).blueprint(checkpoint)
        if logits_shifted is not None:
            plan = replace(plan, logits_shifted=logits_shifted)
        if block_length is not None:
            plan = replace(plan, block_length=_block_length(block_length, plan, family))
        checkpoint = replace(checkpoint, adapter=adapter)
        backbone = backbones.assemble(checkpoint, plan, family=family, bits=bits, **how)
    if max_length is not None:
        backbones.set_longest(backbone, max_length)
    if mixed_precision_dtype is not None:
        backbones.set_mixed_precision(
            backbone, dtype_of(mixed_precision_dtype, "mixed_precision_dtype") or backbone.dtype
        )
    found: Backbone = backbone
    if found.device.type == "cpu":
        bound_threads(found.spec)
    return found


def attends_between_blocks(
    path_or_hub_id: str, revision: str | None = None, subfolder: str = ""
) -> bool:
    """Whether a checkpoint attends causally between blocks, by its config.json alone.

    Args:
        path_or_hub_id, revision, subfolder: as for `load_backbone`; no weights are downloaded.

    Raises:
        CheckpointError: there is no such checkpoint, or its config.json cannot be read.
    """
    from model_adapters.checkpoints import read_json
    from model_adapters.families import BLOCK_FAMILIES, recognised

    here = f"{subfolder}/config.json" if subfolder else "config.json"
    folder = resolve_folder(path_or_hub_id, revision, subfolder, patterns=(here,))
    config = folder / "config.json"
    return config.is_file() and recognised(read_json(config), ()) in BLOCK_FAMILIES


def base_and_adapter(
    path_or_hub_id: str, revision: str | None, subfolder: str, peft: str | Path | None
) -> tuple[Path, str, Adapter | None]:
    """The folder of the model, the name it goes by, and the adapter that is to be merged into it.

    Raises:
        CheckpointError: one of them is not there.
        ConfigurationError: `path_or_hub_id` is an adapter, and `peft` another.
    """
    from model_adapters.checkpoints import holds_an_adapter_alone, open_adapter

    folder = resolve_folder(path_or_hub_id, revision, subfolder)
    if not holds_an_adapter_alone(folder):
        if peft is None:
            return folder, path_or_hub_id, None
        return folder, path_or_hub_id, open_adapter(resolve_folder(str(peft)), str(peft))
    if peft is not None:
        raise ConfigurationError(
            f"pretrained={path_or_hub_id} holds a LoRA adapter alone, and peft={peft} another: "
            "merge one of them into its model first"
        )
    adapter = open_adapter(folder, path_or_hub_id)
    if not adapter.base:
        raise CheckpointError(
            f"{path_or_hub_id} holds a LoRA adapter alone, and its adapter_config.json does not "
            f"say for which model: give pretrained=THE MODEL,peft={path_or_hub_id}"
        )
    try:
        return resolve_folder(adapter.base), adapter.base, adapter
    except CheckpointError as error:
        raise CheckpointError(
            f"{path_or_hub_id} holds a LoRA adapter alone, for the model {adapter.base!r}, which "
            f"is not at hand ({error}): give pretrained=THAT MODEL,peft={path_or_hub_id}"
        ) from error


def _refuse_for_own_code(**asked: Any) -> None:
    """Refuses what a model that runs by its own code cannot be loaded with."""
    for name, value in asked.items():
        if value is not None:
            raise ConfigurationError(
                f"{name}: only the supported families can be loaded so, and this model runs by "
                "its own code"
            )


def _refuse_causal(name: str) -> NoReturn:
    """Refuses a model that writes one token after another.

    Raises:
        CheckpointError: always.
    """
    instead = ("--model", "varlen_ar", "--model_args", model_args_text(pretrained=name))
    raise CheckpointError(
        f"{name} was trained to write one token after another (recipe causal in its training.json) "
        f"and fills in no masks: run it with {command_line('lm_eval', *instead)}"
    )


def _only_its_own_code_fits(checkpoint: Checkpoint) -> bool:
    if recognised(checkpoint.config, checkpoint.weight_names):
        return False
    unfit = why_unsupported(checkpoint.config)
    return unfit is None or unfit.own_code_fits


def _block_length(asked: int, plan: Blueprint, family: str) -> int:
    """The block length that was asked for.

    Raises:
        ConfigurationError: a family with full attention, which has no blocks, or no length.
    """
    if plan.block_length is None:
        raise ConfigurationError(
            f"block_length={asked}: family {family!r} attends to the whole canvas and has no "
            "blocks to load it with: say it in DecodeConfig(block_length=...)"
        )
    if asked < 1:
        raise ConfigurationError(f"block_length={asked}: expected at least 1")
    return asked
