"""The arguments that say which model runs, with which tokenizer, and how it is spoken to.

They have the names and meanings of lm-eval's `hf` model and of transformers.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from eosbench import embedded
from eosbench.errors import ConfigurationError

logger = logging.getLogger(__name__)

# An answer depends on these, where they are given.
DECIDE_WHERE_GIVEN = (
    "max_length",
    "mixed_precision_dtype",
    "tokenizer",
    "add_bos_token",
    "prefix_token_id",
    "think_end_token",
    "enable_thinking",
    "chat_template_args",
)


@dataclass(frozen=True)
class ModelArguments:
    """The model, its tokenizer and its chats.

    Attributes:
        pretrained: folder or hub id of the diffusion language model; "embedded" is the one that
            comes with the package.
        revision, subfolder: branch, tag or commit on the hub, and a folder in the repository.
        dtype: of the weights, by any name that torch has for it, or "auto".
        mixed_precision_dtype: of the products inside the model, by torch's autocast.
        trust_remote_code, attn_implementation, device_map: as in transformers; see
            model_adapters.load_backbone.
        parallelize: device_map=auto, which spreads the layers over all GPUs.
        max_memory_per_gpu, max_cpu_memory: the most that these layers take there, in bytes or as
            "10GiB".
        max_length: the longest sequence, prompt and canvas; None is the model's own.
        tokenizer: folder or hub id of another tokenizer, or a tokenizer of transformers.
        add_bos_token: whether a prompt begins with the BOS token; None leaves it to the tokenizer.
        prefix_token_id: the token that stands for an empty context; by default BOS, or EOS.
        logits_shifted: whether raw row i of the logits scores token i + 1, where the checkpoint
            does not say it right.
        mask_token, mask_token_id: name or id of the mask token, where the checkpoint does not say
            it.
        peft: folder or hub id of a LoRA adapter, which is merged into the weights.
        load_in_4bit, load_in_8bit: make the weights small with bitsandbytes.
        think_end_token: the text or the id of the token that ends the reasoning; what stands before
            its last occurrence is no part of an answer.
        enable_thinking: given to the chat template.
        chat_template_args: more that is given to the chat template.
        held_model: the model itself, where `pretrained` is one that is in memory already, and not
            the name of a checkpoint. `pretrained` is the name that it goes by, then.

    Raises:
        ConfigurationError: values that cannot stand together.
    """

    pretrained: str = embedded.NAME
    revision: str | None = None
    subfolder: str = ""
    dtype: str = "float32"
    mixed_precision_dtype: str | None = None
    trust_remote_code: bool = False
    attn_implementation: str | None = None
    device_map: str | None = None
    parallelize: bool = False
    max_memory_per_gpu: int | str | None = None
    max_cpu_memory: int | str | None = None
    max_length: int | None = None
    tokenizer: Any = None
    add_bos_token: bool | None = None
    prefix_token_id: int | None = None
    logits_shifted: bool | None = None
    mask_token: str | None = None
    mask_token_id: int | None = None
    peft: str | None = None
    load_in_4bit: bool = False
    load_in_8bit: bool = False
    think_end_token: int | str | None = None
    enable_thinking: bool | None = None
    chat_template_args: Mapping[str, Any] = field(default_factory=dict)
    held_model: Any = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.max_length is not None and self.max_length < 2:
            raise ConfigurationError(
                f"max_length={self.max_length}: expected at least 2, for a prompt and a canvas"
            )
        if self.enable_thinking and self.think_end_token is None:
            raise ConfigurationError(
                "enable_thinking=True makes a model reason before it answers: say with "
                "think_end_token= where the reasoning ends (as for hf)"
            )
        limits = [
            name
            for name in ("max_memory_per_gpu", "max_cpu_memory")
            if getattr(self, name) is not None
        ]
        if limits and self.spread is None:
            logger.warning(
                "%s has no meaning without parallelize=True, which spreads the layers",
                ", ".join(limits),
            )

    @property
    def is_embedded(self) -> bool:
        """Whether the model is the one that comes with the package."""
        return self.pretrained == embedded.NAME and self.held_model is None

    @property
    def spread(self) -> str | None:
        """The device map that spreads the layers over devices; None leaves them on one."""
        return self.device_map or ("auto" if self.parallelize else None)

    @property
    def template_arguments(self) -> dict[str, Any]:
        """The keywords of the chat template."""
        if self.enable_thinking is None:
            return dict(self.chat_template_args)
        return {**self.chat_template_args, "enable_thinking": self.enable_thinking}

    def loading(self) -> dict[str, Any]:
        """The arguments of `load_backbone`, without the device."""
        model = str(embedded.MODEL) if self.is_embedded else self.pretrained
        return {
            "path_or_hub_id": model if self.held_model is None else self.held_model,
            "dtype": self.dtype,
            "mixed_precision_dtype": self.mixed_precision_dtype,
            "revision": self.revision,
            "subfolder": self.subfolder,
            "trust_remote_code": self.trust_remote_code,
            "attn_implementation": self.attn_implementation,
            "device_map": self.spread,
            "max_memory_per_gpu": self.max_memory_per_gpu,
            "max_cpu_memory": self.max_cpu_memory,
            "max_length": self.max_length,
            "tokenizer": self.tokenizer,
            "add_bos_token": self.add_bos_token,
            "logits_shifted": self.logits_shifted,
            "mask_token": self.mask_token,
            "mask_token_id": self.mask_token_id,
            "peft": self.peft,
            "load_in_4bit": self.load_in_4bit,
            "load_in_8bit": self.load_in_8bit,
        }

    def given_settings(self) -> dict[str, Any]:
        """The arguments of this class that an answer depends on and that are given."""
        defaults = {one.name: one.default for one in fields(ModelArguments)}
        defaults["chat_template_args"] = {}
        given = {name: getattr(self, name) for name in DECIDE_WHERE_GIVEN}
        given = {name: value for name, value in given.items() if value != defaults[name]}
        if "tokenizer" in given:
            given["tokenizer"] = _name_of(self.tokenizer)
        return given


def _name_of(tokenizer: Any) -> str:
    """The folder or hub id of a tokenizer, or its class where it has none."""
    if isinstance(tokenizer, str):
        return tokenizer
    return str(getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__)
