"""Models and arguments that `varlen_ar` refuses, in one line each that says what to do instead.

`hf` would end with the traceback of whatever came to grief in transformers, or run a diffusion
language model of GPT-2's or LLaMA's shape from left to right without a word.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from eosbench import embedded
from eosbench.command_lines import command_line, model_args_text
from eosbench.errors import CheckpointError, ConfigurationError, EosbenchError
from model_adapters import resolve_folder
from model_adapters.checkpoints import RECORD, find_weights, read_json, trained_causally
from model_adapters.families import recognised
from model_adapters.varlen_dlm import Arguments

CONFIG = "config.json"
TOLD_BY = (CONFIG, RECORD, "*.safetensors.index.json")

__all__ = ["check_arguments", "check_checkpoint", "plain_errors"]


def check_arguments(pretrained: Any, given: Mapping[str, Any]) -> None:
    """Refuses a missing model, and a dtype that torch does not have."""
    if pretrained is None or not str(pretrained).strip():
        raise ConfigurationError(
            "varlen_ar needs a model: say pretrained=, a folder or hub id of an autoregressive one"
        )
    dtype = given.get("dtype")
    known = not isinstance(dtype, str) or isinstance(getattr(torch, dtype, None), torch.dtype)
    if not known and dtype != "auto":
        raise ConfigurationError(
            f"dtype={dtype!r}: expected auto, or a name that torch has for one: float32, bfloat16, "
            "float16"
        )


def check_checkpoint(name: str, revision: str | None = None, subfolder: str = "") -> None:
    """Refuses a checkpoint that is not there, and a diffusion language model.

    Args:
        name: the folder or hub id; of the latter the weights are not downloaded yet.
        revision: branch, tag or commit on the hub.
        subfolder: the folder in it.

    Raises:
        CheckpointError: it is missing, or config.json, training.json or the names of the weights
            say that it fills in masks.
    """
    patterns = [f"{subfolder}/{one}".lstrip("/") for one in TOLD_BY]
    if name == embedded.NAME:
        folder = embedded.MODEL
    else:
        folder = resolve_folder(name, revision, subfolder, patterns)
    if not (folder / CONFIG).is_file():
        return  # an adapter, or a file of another format, which `hf` may know
    config = read_json(folder / CONFIG)
    family = recognised(config, _weight_names(name, folder))
    if family == "a2d" and not str(config.get("model_type")).lower().startswith("a2d"):
        family = None  # a stock architecture, which training alone makes a diffusion model
    if family is None and trained_causally(folder) is False:
        family = "a2d"
    if family is not None:
        instead = ("--model", "varlen_dlm", "--model_args", model_args_text(pretrained=name))
        raise CheckpointError(
            f"{name} is a diffusion language model (family {family}) and writes no token after "
            f"another: run it with {command_line('lm_eval', *instead)}"
        )


def _weight_names(name: str, folder: Path) -> Collection[str]:
    """The names of the stored tensors, where they are at hand."""
    try:
        return find_weights(name, folder).files.keys()
    except CheckpointError:
        return ()


@contextmanager
def plain_errors(pretrained: Any, given: Mapping[str, Any]) -> Iterator[None]:
    """Errors of `hf` and of transformers while a model is loaded, in one line each.

    Args:
        pretrained: the model.
        given: the other model arguments, all of which `hf` hands to transformers that it does not
            know.

    Raises:
        ConfigurationError: an argument that nothing knows.
        CheckpointError: a model that transformers cannot load.
    """
    try:
        yield
    except EosbenchError:
        raise
    except TypeError as error:
        unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if unknown is None or unknown[1] not in given:
            raise
        raise ConfigurationError(_unknown(unknown[1])) from error
    except (OSError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{pretrained} cannot be loaded: {reason}") from error


def _unknown(name: str) -> str:
    if name in [one.name for one in fields(Arguments)]:
        return (
            f"varlen_ar has no argument {name}: it belongs to varlen_dlm, and an autoregressive "
            "model has no canvas and no method. Leave it out; what a request may say "
            "(max_gen_toks, temperature) goes into --gen_kwargs"
        )
    return (
        f"varlen_ar has no argument {name}: expected telemetry, an argument of lm-eval's hf, or "
        "one of transformers' from_pretrained"
    )
