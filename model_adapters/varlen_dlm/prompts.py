"""Prompts from Python, answered as lm-eval's requests are.

    requests = asked(model, ["Is 89 an even number?"], {"max_new_tokens": 64})
    answered(model, requests)     # texts, tokens and costs: those that lm-eval would get
    predicted(model, requests)    # the bounds, before anything is denoised

`eosbench.load` stands on this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from lm_eval.api.instance import Instance

from eosbench.decoding import Sequence as DecodedSequence
from eosbench.errors import ConfigurationError
from model_adapters.varlen_dlm.bounds import Bounded
from model_adapters.varlen_dlm.generation_requests import PROMPTS, GenerationRequest, read_requests
from model_adapters.varlen_dlm.model import VarLenDLM
from model_adapters.varlen_dlm.request_words import KNOWN

Chat: TypeAlias = Sequence[Mapping[str, str]]
TextOrChat: TypeAlias = "str | Chat"
WatchPrompt: TypeAlias = Callable[[int, DecodedSequence], None]


def asked(
    model: VarLenDLM,
    prompts: TextOrChat | Sequence[TextOrChat],
    given: Mapping[str, Any],
    references: Sequence[str] | None = None,
    suffixes: Sequence[str] | None = None,
) -> list[GenerationRequest]:
    """Prompts as requests, checked.

    Args:
        model: that is to answer.
        prompts: texts, which go to the model as they are, or chats, a list of messages with a
            "role" and a "content" each, which the chat template of the checkpoint renders. One
            text or one chat stands for a list of one.
        given: generation arguments, as those of lm-eval's requests.
        references: a reference answer for each prompt, which the method `oracle` reads.
        suffixes: a text for each prompt that stands behind the answer, which fills the gap.

    Raises:
        ConfigurationError: a prompt that is neither, an unknown generation argument or a bad value
            of one, a checkpoint without a chat template, or another number of references or
            suffixes.
    """
    unknown = sorted(set(given) - KNOWN)
    if unknown:
        raise ConfigurationError(
            f"no generation argument {', '.join(unknown)}: expected {', '.join(sorted(KNOWN))}"
        )
    texts = _texts(model, prompts)
    for name, others in (("references", references), ("suffixes", suffixes)):
        if others is not None and len(others) != len(texts):
            raise ConfigurationError(
                f"{len(others)} {name} for {len(texts)} prompts: expected one for each"
            )
    instances = []
    for number, text in enumerate(texts):
        suffix = {} if suffixes is None else {"suffix": suffixes[number]}
        arguments = {**given, **suffix}
        instance = Instance("generate_until", {}, (text, arguments), 0, (PROMPTS, number, 1))
        if references is not None:
            instance.reference = references[number]
        instances.append(instance)
    max_length = model.backbone.spec.max_length
    return read_requests(instances, model.tok_encode, model.arguments, max_length)


def predicted(model: VarLenDLM, requests: Sequence[GenerationRequest]) -> list[Bounded]:
    """The bound of each request, in order.

    Raises:
        ConfigurationError: the method predicts none.
        PredictorError: the method is `oracle`, and a request has no reference.
    """
    by_length = sorted(range(len(requests)), key=lambda at: len(requests[at].ids))
    ordered = [requests[at] for at in by_length]
    model.answers.prepare(ordered)
    bounds = dict(zip(by_length, model.answers.bounds_for_texts(ordered), strict=True))
    return [bounds[at] for at in range(len(requests))]


def answered(
    model: VarLenDLM, requests: Sequence[GenerationRequest], watch: WatchPrompt | None = None
) -> Sequence[GenerationRequest]:
    """The same requests, when each has its answer, its tokens and its cost.

    Args:
        model: that is to answer.
        requests: of `asked`.
        watch: is shown the number of the prompt and its sequence after each pass.
    """
    if watch is not None:
        for number, request in enumerate(requests):
            request.watch = partial(watch, number)
    model.answers.prepare(requests)
    for _ in model.answers.answer(requests):
        pass
    return requests


def _texts(model: VarLenDLM, prompts: TextOrChat | Sequence[TextOrChat]) -> list[str]:
    """Every prompt as the text that goes to the model."""
    if not isinstance(prompts, Sequence):
        raise ConfigurationError(
            f"prompts of type {type(prompts).__name__}: expected a list of texts or of chats"
        )
    alone = isinstance(prompts, str) or (bool(prompts) and _is_chat(prompts))
    several: Sequence[Any] = [prompts] if alone else prompts
    texts = []
    for number, prompt in enumerate(several):
        if isinstance(prompt, str):
            texts.append(prompt)
        elif isinstance(prompt, Sequence) and prompt and _is_chat(prompt):
            texts.append(model.apply_chat_template([dict(message) for message in prompt]))
        else:
            raise ConfigurationError(
                f"prompt {number} is of type {type(prompt).__name__}: expected a text, or a list "
                'of messages as {"role": "user", "content": "..."}'
            )
    return texts


def _is_chat(prompt: Sequence[Any]) -> bool:
    """Whether it is a list of messages, each with a role and a content."""
    return all(
        isinstance(message, Mapping) and {"role", "content"} <= message.keys() for message in prompt
    )
