"""Generation requests of lm-eval (`generate_until`), checked before anything is computed.

A request is a context and its generation arguments. Contexts that do not fit are cut from the left,
as lm-eval's own models do it, with one warning that counts them. Everything that cannot work is an
error that names the task and the document, or quotes the prompt where it was typed or came from
Python.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from reprlib import Repr
from typing import TYPE_CHECKING, Any

from lm_eval.api.instance import Instance

from eosbench.backbone import BackboneSpec
from eosbench.decoding import DecodeConfig, Job, Watch
from eosbench.digest import torch_seed_from
from eosbench.errors import ConfigurationError
from eosbench.forward import Cost
from model_adapters.varlen_dlm.arguments import Arguments
from model_adapters.varlen_dlm.request_words import KNOWN, RequestWords
from model_adapters.varlen_dlm.stop_strings import fixes_stop, holds_stop, text_before_stop
from model_adapters.varlen_dlm.suffixes import suffix_ids

if TYPE_CHECKING:
    import torch

    from model_adapters.varlen_dlm.bounds import Bounded

logger = logging.getLogger(__name__)

NAMED = 5  # documents that a warning names; it counts all
PROMPTS = "prompts"  # the task of prompts that no task of lm-eval sent
QUOTED = Repr()  # of a prompt in a message: its beginning and its end
QUOTED.maxstring = 60


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
        suffix: token ids behind the answer, which fills a gap then.
        think_end: what ends the model's reasoning, which is no part of its answer; None: it has
            none.
        length_beside_key: L, where the answer depends on it and the key of lm-eval's response cache
            does not.
        answer: the text, or the benchmark's record; None until it is there.
        tokens: of a text, those before the EOS.
        cost: of the answer; None until it is there.
        bounded: its bound, where it wants a text and the method predicts one; None until then.
        watch: is shown its sequence after each pass.
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
    suffix: tuple[int, ...] = ()
    think_end: int | str | None = None
    length_beside_key: int | None = None
    answer: str | None = None
    tokens: Sequence[int] = ()
    cost: Cost | None = None
    bounded: Bounded | None = None
    watch: Watch | None = None

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
    def where(self) -> str:
        """The request in the words of a message."""
        return _where(self.instance)

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

    def draw(self, spec: BackboneSpec) -> str | None:
        """The name of the draw that its answer is; None where nothing of it is random.

        It depends on the task, the document, the repeat, the prompt and the arguments.
        """
        starts_as_noise = spec.mask_id < 0
        return str(self.seed) if self.settings.is_random or starts_as_noise else None

    def job(self, tokenizer: Any, window: int, first_ND: torch.Tensor | None = None) -> Job:
        """The request as decoding takes it.

        Args:
            tokenizer: reads tokens for stop strings.
            window: the tokens that are decoded at first.
            first_ND: see `Job`.
        """
        stops = fixes_stop_here = None
        if self.until:
            stops = partial(holds_stop, tokenizer, self.until, **self._around)
            fixes_stop_here = partial(fixes_stop, tokenizer, self.until, **self._around)
        return Job(
            self.ids,
            self.settings,
            window,
            self.seed,
            stops=stops,
            fixes_stop=fixes_stop_here,
            suffix=self.suffix,
            watch=self.watch,
            first_ND=first_ND,
        )

    def text(self, tokenizer: Any, tokens: Sequence[int]) -> str:
        """The answer that tokens of a response say."""
        return text_before_stop(tokenizer, tokens, self.until, **self._around)

    @property
    def _around(self) -> dict[str, Any]:
        return {"before": self.ids, "think_end": self.think_end}


def read_requests(
    instances: Sequence[Instance],
    encode: Callable[..., list[int]],
    arguments: Arguments,
    max_length: int,
    prefix_id: int | None = None,
) -> list[GenerationRequest]:
    """The requests in order, or an error before any work is done.

    Args:
        instances: lm-eval's.
        encode: from a context to token ids; with `add_special_tokens=False`, from a suffix.
        arguments: of the model, for whatever a request does not say.
        max_length: the model's positions.
        prefix_id: the token that stands for a prompt without tokens; None refuses such a prompt.

    Raises:
        ConfigurationError: a canvas of 0 or beyond the model's positions, or a bad value among the
            generation arguments.
    """
    begin = [] if prefix_id is None else [prefix_id]
    repeats: Counter[str] = Counter()
    requests = []
    for instance in instances:
        words = _words(instance)
        name = _name(instance, words, arguments)
        numbered = f"{repeats[name]}/{name}"
        requests.append(_read(instance, words, encode, begin, arguments, max_length, numbered))
        repeats[name] += 1
    _warn(requests, max_length)
    _warn_of_temperature(requests, arguments)
    return requests


def _where(instance: Instance) -> str:
    """The task and the document of a request, or its prompt where there is no task."""
    if instance.task_name == PROMPTS:
        prompt, _ = instance.args
        return f"prompt {QUOTED.repr(prompt) if prompt.strip() else instance.doc_id}"
    return f"task {instance.task_name}, document {instance.doc_id}"


def _words(instance: Instance) -> RequestWords:
    _, given = instance.args
    try:
        return RequestWords.of(given)
    except ConfigurationError as error:
        raise ConfigurationError(f"{_where(instance)}: {error}") from error


def _name(instance: Instance, words: RequestWords, arguments: Arguments) -> str:
    """Everything that the random numbers of a request depend on, beside its repeat."""
    context, _ = instance.args
    seed = arguments.seed if words.seed is None else words.seed
    parts = [seed, instance.task_name, instance.doc_id, context, words.given]
    return json.dumps(parts, sort_keys=True, default=str)


def _warn(requests: Sequence[GenerationRequest], max_length: int) -> None:
    """Warns of arguments that are ignored, and of prompts that are empty or were cut."""
    _warn_of_empty(requests)
    ignored: set[str] = set()
    several: dict[str, int] = {}
    for request in requests:
        ignored |= set(request.given) - KNOWN
        lengths = RequestWords.of(request.given).lengths
        if len(set(lengths.values())) > 1:
            several = dict(lengths)
    if ignored:
        logger.warning(
            "varlen_dlm ignores the generation arguments %s; it knows %s",
            sorted(ignored),
            sorted(KNOWN),
        )
    if several:
        logger.warning(
            "several lengths of an answer are asked for, of which the first counts: %s", several
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


def _warn_of_temperature(requests: Sequence[GenerationRequest], arguments: Arguments) -> None:
    """Warns where requests say that nothing is drawn, and the model's arguments say otherwise."""
    greedy = sum(request.settings.temperature == 0 for request in requests)
    if arguments.temperature > 0 and greedy:
        logger.warning(
            "%d of %d requests say do_sample=False or temperature=0, which goes over the model "
            "argument temperature=%s: --gen_kwargs do_sample=True,temperature=%s goes over both",
            greedy,
            len(requests),
            arguments.temperature,
            arguments.temperature,
        )


def _warn_of_empty(requests: Sequence[GenerationRequest]) -> None:
    """Counts and names the documents with an empty prompt, which are answered all the same."""
    empty = list(
        dict.fromkeys(request.where for request in requests if not request.instance.args[0].strip())
    )
    if empty:
        more = ", ..." if len(empty) > NAMED else ""
        logger.warning(
            "the prompts of %d documents are empty, and the model answers no question there: %s%s",
            len(empty),
            "; ".join(empty[:NAMED]),
            more,
        )


def _read(
    instance: Instance,
    words: RequestWords,
    encode: Callable[..., list[int]],
    begin: list[int],
    arguments: Arguments,
    max_length: int,
    name: str,
) -> GenerationRequest:
    context, given = instance.args
    where = _where(instance)
    ids = encode(context) or begin
    if not ids:
        raise ConfigurationError(f"{where}: the prompt is empty; a DLM needs a prompt to answer")
    try:
        canvas = words.canvas(arguments.max_gen_toks, len(ids), max_length)
        temperature = arguments.temperature_of(words.do_sample, words.temperature)
        settings = arguments.for_request(canvas, given).decode_config(canvas, temperature)
        suffix = suffix_ids(words.suffix, encode, arguments, max_length - canvas)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from error
    # The same prompt for every method: one that all of them can read.
    room = max(1, max_length - max(canvas, arguments.max_gen_toks) - len(suffix))
    return GenerationRequest(
        instance=instance,
        ids=tuple(ids[-room:]),
        canvas=canvas,
        until=words.until,
        settings=settings,
        seed=torch_seed_from(name),
        benchmark=given.get("eos_upper_bound"),
        reference=given.get("reference", getattr(instance, "reference", None)),
        cut=max(0, len(ids) - room),
        suffix=suffix,
        think_end=arguments.think_end_token,
    )
