"""lm-eval's `generate_until` requests, read once and checked before anything is computed.

A request is (context, generation kwargs). Contexts that do not fit are cut from the left, as lm-eval's own models do, with one
warning that counts them; everything that cannot work is an error that names task and document.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lm_eval.api.instance import Instance

from eosbench.decoding import DecodeConfig
from eosbench.errors import ConfigurationError
from model_adapters.arguments import Arguments

logger = logging.getLogger(__name__)

DECODING = ("steps", "tokens_per_step", "block_length", "remasking", "cfg_scale", "threshold", "cache")
KNOWN = {"until", "max_gen_toks", "do_sample", "temperature", "eos_upper_bound", "reference", "seed", *DECODING}


@dataclass(frozen=True)
class Request:
    """One request as the adapter works on it.

    Attributes:
        task, document: where it comes from, for telemetry and messages.
        ids: prompt token ids, cut to what fits.
        canvas: C, the most tokens the answer may have.
        until: stop strings.
        settings: how a whole canvas is denoised.
        seed: of this request's random numbers; the repeats of a sampled request differ.
        benchmark: the arguments of an EOS upper-bound request, None for plain generation.
        reference: the reference answer where the task sent one.
        cut: prompt tokens dropped on the left.
    """

    task: str
    document: int | None
    ids: tuple[int, ...]
    canvas: int
    until: tuple[str, ...]
    settings: DecodeConfig
    seed: int
    benchmark: Mapping[str, Any] | None
    reference: str | None
    cut: int


def read_requests(
    instances: Sequence[Instance], encode: Callable[[str], list[int]], arguments: Arguments, max_length: int
) -> list[Request]:
    """All requests, or an error before any work is done.

    Raises:
        ConfigurationError: an empty prompt, a canvas of 0 or beyond the context, a bad value among the generation kwargs.
    """
    repeats: Counter[str] = Counter()
    ignored: set[str] = set()
    read = []
    for instance in instances:
        context, kwargs = instance.args
        name = json.dumps([context, kwargs], sort_keys=True, default=str)
        read.append(
            _read(instance, encode, arguments, max_length, f"{kwargs.get('seed', arguments.seed)}/{repeats[name]}/{name}")
        )
        repeats[name] += 1
        ignored |= set(kwargs) - KNOWN
    if ignored:
        logger.warning("varlen_dlm ignores the generation arguments %s; it knows %s", sorted(ignored), sorted(KNOWN))
    cut = [request.cut for request in read if request.cut]
    if cut:
        logger.warning(
            "%d of %d prompts were longer than the context and lost up to %d tokens on the left", len(cut), len(read), max(cut)
        )
    return read


def _read(instance: Instance, encode: Callable[[str], list[int]], arguments: Arguments, max_length: int, name: str) -> Request:
    context, kwargs = instance.args
    where = f"task {instance.task_name}, document {instance.doc_id}"
    canvas = _canvas(kwargs.get("max_gen_toks", arguments.max_gen_toks), max_length, where)
    if not context.strip():
        raise ConfigurationError(f"{where}: the prompt is empty; a DLM needs a prompt to answer")
    ids = encode(context)
    room = max_length - max(canvas, arguments.max_gen_toks)
    benchmark = kwargs.get("eos_upper_bound")
    return Request(
        task=str(instance.task_name),
        document=instance.doc_id,
        ids=tuple(ids[-room:]),
        canvas=canvas,
        until=_until(kwargs.get("until"), where),
        settings=_settings(kwargs, arguments, canvas, where),
        seed=int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big"),
        benchmark=benchmark,
        reference=kwargs.get("reference"),
        cut=max(0, len(ids) - room),
    )


def _canvas(value: Any, max_length: int, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < max_length:
        raise ConfigurationError(
            f"{where}: max_gen_toks={value!r}: expected a whole number of tokens from 1 to {max_length - 1}, "
            f"which leaves room for a prompt in the model's {max_length} positions"
        )
    return value


def _until(value: Any, where: str) -> tuple[str, ...]:
    strings = [value] if isinstance(value, str) else list(value or [])
    if not all(isinstance(string, str) for string in strings):
        raise ConfigurationError(f"{where}: until={value!r}: expected a string or a list of strings")
    return tuple(string for string in strings if string)


def _settings(kwargs: Mapping[str, Any], arguments: Arguments, canvas: int, where: str) -> DecodeConfig:
    chosen = {name: kwargs.get(name, getattr(arguments, name)) for name in DECODING}
    sample = kwargs.get("do_sample", False)
    temperature = (
        float(kwargs.get("temperature", 1.0 if sample else 0.0)) if sample in (True, None) or "do_sample" not in kwargs else 0.0
    )
    per_step = chosen.pop("tokens_per_step")
    if per_step:
        chosen["steps"] = -(-canvas // per_step)
    block = chosen["block_length"] or canvas
    if chosen["steps"]:
        chosen["steps"] = min(chosen["steps"], canvas)
    try:
        return DecodeConfig(gen_length=canvas, temperature=temperature, **{**chosen, "block_length": min(block, canvas)})
    except (ConfigurationError, TypeError) as error:
        raise ConfigurationError(f"{where}: {error}") from error


def cut_at_stop(text: str, until: Sequence[str]) -> str:
    """The text before the stop string that comes first.

    >>> cut_at_stop("42. Q: next", ["Q:", "."])
    '42'
    """
    return text[: min((text.index(stop) for stop in until if stop in text), default=len(text))]
