"""Generation requests of lm-eval (`generate_until`), checked before anything is computed.

A request is a context and its generation arguments. Contexts that do not fit are cut from the left,
as lm-eval's own models do it, with one warning that counts them. Everything that cannot work is an
error that names the task and the document.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from lm_eval.api.instance import Instance

from eosbench.decoding import DecodeConfig, Job
from eosbench.digest import torch_seed_from
from eosbench.errors import ConfigurationError
from model_adapters.varlen_dlm.arguments import DECODING, Arguments
from model_adapters.varlen_dlm.stop_strings import fixes_stop, holds_stop, text_before_stop

logger = logging.getLogger(__name__)

# The names that lm-eval's own models know.
CANVAS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
SAMPLING = ("do_sample", "temperature", "seed")
KNOWN = {"until", *CANVAS, *SAMPLING, "eos_upper_bound", "reference", *DECODING}


@dataclass(eq=False)
class GenerationRequest:
    """One request, checked, and its answer as soon as there is one.

    Attributes:
        instance: lm-eval's.
        ids: prompt token ids, cut to what fits.
        canvas: C, the most tokens that the answer may have.
        until: stop strings.
        settings: how a whole canvas is denoised.
        seed: of this request's random numbers; the repeats of a sampled request differ.
        benchmark: the arguments of a request of the EOS upper-bound benchmark, None for one that
            wants a text.
        reference: the reference answer, where the task sent one.
        cut: prompt tokens that were dropped on the left.
        think_end: what ends the model's reasoning, which is no part of its answer; None: it has
            none.
        length_beside_key: L, where the answer depends on it and the key of lm-eval's response cache
            does not.
        answer: the text, or the benchmark's record; None until it is there.
    """

    instance: Instance
    ids: tuple[int, ...]
    canvas: int
    until: tuple[str, ...]
    settings: DecodeConfig
    seed: int
    benchmark: Mapping[str, Any] | None
    reference: str | None
    cut: int
    think_end: int | str | None = None
    length_beside_key: int | None = None
    answer: str | None = None

    @property
    def task(self) -> str:
        """The name of the task that it belongs to."""
        return str(self.instance.task_name)

    @property
    def document(self) -> int | None:
        """The number of its document in the task."""
        number: int | None = self.instance.doc_id
        return number

    @property
    def given(self) -> Mapping[str, Any]:
        """Its generation arguments."""
        _, given = self.instance.args
        arguments: Mapping[str, Any] = given
        return arguments

    @property
    def carries_reference(self) -> bool:
        """Whether the reference is among its arguments, of which lm-eval makes a cache key."""
        return "reference" in self.given

    @property
    def is_one_of_several_draws(self) -> bool:
        """Whether its repeats have other answers."""
        is_random = self.settings.temperature > 0 or self.settings.remasking == "random"
        return is_random and self.instance.repeats not in (None, 1)

    def job(self, tokenizer: Any, window: int) -> Job:
        """The request as decoding takes it, in a window of so many tokens."""
        stops = fixes_stop_here = None
        if self.until:
            end = self.think_end
            stops = partial(holds_stop, tokenizer, self.until, think_end=end)
            fixes_stop_here = partial(fixes_stop, tokenizer, self.until, think_end=end)
        return Job(
            self.ids, self.settings, window, self.seed, stops=stops, fixes_stop=fixes_stop_here
        )

    def text(self, tokenizer: Any, tokens: Sequence[int]) -> str:
        """The answer that tokens of a response say."""
        return text_before_stop(tokenizer, tokens, self.until, think_end=self.think_end)


def read_requests(
    instances: Sequence[Instance],
    encode: Callable[[str], list[int]],
    arguments: Arguments,
    max_length: int,
) -> list[GenerationRequest]:
    """The requests in order, or an error before any work is done.

    Args:
        instances: lm-eval's.
        encode: from a context to token ids.
        arguments: of the model, for whatever a request does not say.
        max_length: the model's positions.

    Raises:
        ConfigurationError: an empty prompt, a canvas of 0 or beyond the model's positions, or a bad
            value among the generation arguments.
    """
    repeats: Counter[str] = Counter()
    requests = []
    for instance in instances:
        name = _name(instance, arguments)
        numbered = f"{repeats[name]}/{name}"
        requests.append(_read(instance, encode, arguments, max_length, numbered))
        repeats[name] += 1
    _warn(requests, max_length)
    return requests


def _name(instance: Instance, arguments: Arguments) -> str:
    """Everything that the random numbers of a request depend on, beside its repeat."""
    context, given = instance.args
    seed = given.get("seed", arguments.seed)
    parts = [seed, instance.task_name, instance.doc_id, context, given]
    return json.dumps(parts, sort_keys=True, default=str)


def _warn(requests: Sequence[GenerationRequest], max_length: int) -> None:
    """Warns of generation arguments that are ignored, and of prompts that were cut."""
    ignored: set[str] = set()
    for request in requests:
        ignored |= set(request.given) - KNOWN
    if ignored:
        logger.warning(
            "varlen_dlm ignores the generation arguments %s; it knows %s",
            sorted(ignored),
            sorted(KNOWN),
        )
    cut = [request.cut for request in requests if request.cut]
    if cut:
        logger.warning(
            "%d of %d prompts did not fit beside their canvas into %d positions and lost up to %d "
            "tokens on the left",
            len(cut),
            len(requests),
            max_length,
            max(cut),
        )


def _read(
    instance: Instance,
    encode: Callable[[str], list[int]],
    arguments: Arguments,
    max_length: int,
    name: str,
) -> GenerationRequest:
    context, given = instance.args
    where = f"task {instance.task_name}, document {instance.doc_id}"
    asked = [given[name] for name in CANVAS if given.get(name) is not None]
    canvas = _canvas(next(iter(asked), arguments.max_gen_toks), max_length, where)
    ids = encode(context) if context.strip() else []
    if not ids:
        raise ConfigurationError(f"{where}: the prompt is empty; a DLM needs a prompt to answer")
    # The same prompt for every method: one that all of them can read.
    room = max_length - max(canvas, arguments.max_gen_toks)
    try:
        settings = arguments.for_request(canvas, given).decode_config(canvas, _temperature(given))
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from error
    return GenerationRequest(
        instance=instance,
        ids=tuple(ids[-room:]),
        canvas=canvas,
        until=_until(given.get("until"), where),
        settings=settings,
        seed=torch_seed_from(name),
        benchmark=given.get("eos_upper_bound"),
        reference=given.get("reference", getattr(instance, "reference", None)),
        cut=max(0, len(ids) - room),
        think_end=arguments.think_end_token,
    )


def _canvas(value: Any, max_length: int, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < max_length:
        raise ConfigurationError(
            f"{where}: max_gen_toks={value!r}: expected a whole number of tokens from 1 to "
            f"{max_length - 1}, which leaves room for a prompt in the model's {max_length} "
            "positions"
        )
    return value


def _until(value: Any, where: str) -> tuple[str, ...]:
    strings = value if isinstance(value, list | tuple) else [value or ""]
    if not all(isinstance(string, str) for string in strings):
        raise ConfigurationError(
            f"{where}: until={value!r}: expected a string or a list of strings"
        )
    return tuple(string for string in strings if string)


def _temperature(given: Mapping[str, Any]) -> float:
    """The temperature of a request; 0 takes the likeliest tokens.

    As in lm-eval, a request without `do_sample` samples if it has a temperature.
    """
    sample, value = given.get("do_sample"), given.get("temperature")
    if sample not in (True, False, None):
        raise ConfigurationError(f"do_sample={sample!r}: expected true or false")
    if sample is False:
        return 0.0
    if value is None:
        return 1.0 if sample else 0.0
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"temperature={value!r}: expected a number") from error
