"""The lm-eval model `varlen_ar`: lm-eval's own `hf`, with what each answer costs.

    lm_eval --model varlen_ar --tasks gsm8k --output_path results/qwen \
        --model_args pretrained=Qwen/Qwen2.5-7B-Instruct,telemetry=costs.jsonl

So that an autoregressive model stands beside diffusion language models in one report. Arguments and
answers are those of `hf`, whose code gives them; nothing of it is written again. What runs is
counted on its way: the rows of a batch by the texts that go to the tokenizer, the tokens of their
answers by what comes out of `generate` (costs.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import CacheHook
from lm_eval.models.huggingface import HFLM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from eosbench.errors import ConfigurationError, report_errors_plainly
from eosbench.forward import Cost, Ledger
from model_adapters.varlen_ar.costs import answer_tokens, generation_cost, likelihood_cost
from model_adapters.varlen_ar.facts import spec_of
from model_adapters.varlen_ar.model_info import model_info
from model_adapters.varlen_ar.refusals import check_arguments, check_checkpoint, plain_errors
from model_adapters.varlen_dlm import Processes, RunCosts, in_a_run, is_copy

Tokenized = tuple[Any, list[int], list[int]]  # of a pair: its texts, the context, the continuation


class Context(str):
    """The text of a request, which knows the request; None where it is a copy."""

    instance: Instance | None = None


class VarLenAR(HFLM):  # type: ignore[misc]  # lm_eval has no types
    """`hf`, with the costs of every request.

    Args:
        pretrained: a folder or hub id of a decoder, or a model of transformers.
        telemetry: a JSONL file that gets the cost of every request.
        arguments: all others of `hf`. The device is a GPU where there is one, else the CPU.

    Raises:
        ConfigurationError: an encoder-decoder, a file that cannot be written, or an unknown
            argument.
        CheckpointError: a model that is missing or cannot be loaded, or a diffusion language model.
    """

    def __init__(
        self, pretrained: Any = None, *, telemetry: str | Path | None = None, **arguments: Any
    ) -> None:
        report_errors_plainly()
        self.ledger = Ledger(None if telemetry is None else Path(telemetry).expanduser())
        check_arguments(pretrained, arguments)
        if isinstance(pretrained, str):
            check_checkpoint(
                pretrained, arguments.get("revision"), arguments.get("subfolder") or ""
            )
        arguments.setdefault("device", "cuda" if torch.cuda.is_available() else "cpu")
        with plain_errors(pretrained, arguments):
            super().__init__(pretrained, **arguments)
        if self.backend != "causal":
            raise ConfigurationError(
                f"varlen_ar counts what a decoder costs, and {self.pretrained_name} has an encoder "
                f"too (backend={self.backend}): run it with --model hf"
            )
        self.given = arguments
        self.spec = spec_of(
            self.model, self.tokenizer, name=self.pretrained_name, max_length=self.max_length
        )
        self.costs = RunCosts(self.ledger, Processes(str(self.device)))
        self._rows: list[Instance | None] = []
        self._lengths: list[int] = []
        self._model_seconds, self._since = 0.0, time.perf_counter()

    @property
    def rank(self) -> int:
        """The number of this process, which lm-eval reads where the requests of a run are over."""
        costs = self.__dict__.get("costs")  # `hf` reads it while it is made
        if costs is not None:
            costs.rank_was_read()
        return int(super().rank)

    @property
    def pretrained_name(self) -> str:
        """The name of the model, whether it was loaded here or came in memory."""
        return str(getattr(self.model, "name_or_path", "") or self.pretrained)

    # What lm-eval asks.

    @in_a_run
    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """The text that answers each request, as `hf` gives it."""
        self._since = time.perf_counter()
        copies = is_copy(requests)
        known = [_knowing(one, copy) for one, copy in zip(requests, copies, strict=True)]
        answers: list[str] = super().generate_until(known, disable_tqdm=disable_tqdm)
        return answers

    @in_a_run
    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """The log-likelihood of every continuation and whether it is the greedy one."""
        with self._charging(requests) as lengths:
            answers: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm)
            lengths += [[length] for length in self._lengths]
        return answers

    @in_a_run
    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """The log-likelihood of every text, window by window."""
        with self._charging(requests) as lengths:
            answers: list[float] = super().loglikelihood_rolling(requests, disable_tqdm)
            lengths += [self._window_lengths(one.args[0]) for one in requests]
        return answers

    def get_model_info(self) -> dict[str, Any]:
        """The description of the model that `hf` gives, and the part that the report reads."""
        costs = self.costs.totals()
        self.costs.end()
        return {**super().get_model_info(), "eosbench": model_info(self, costs)}

    def set_cache_hook(self, cache_hook: CacheHook) -> None:
        """Takes lm-eval's response cache, at the beginning of a run that has one."""
        super().set_cache_hook(cache_hook)
        self.costs.begin()

    def barrier(self) -> None:
        """Waits for all processes; afterwards each knows what all of them spent."""
        super().barrier()
        self.costs.share()

    def gather_object(self, obj: Any, dst: int = 0) -> list[Any] | None:
        """The objects of all processes on process `dst`, None elsewhere.

        lm-eval collects samples and metrics so, and asks process `dst` alone for the description of
        the run.
        """
        if self.rank != dst:
            self.costs.end()
        found: list[Any] | None = super().gather_object(obj, dst)
        return found

    # What `hf` does on the way.

    def tok_batch_encode(
        self, strings: Sequence[str], *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and attention mask of a batch, whose requests are remembered row by row."""
        self._rows = [getattr(one, "instance", None) for one in strings]
        encoded: tuple[torch.Tensor, torch.Tensor] = super().tok_batch_encode(
            [str(one) for one in strings], *args, **kwargs
        )
        return encoded

    def _model_generate(
        self, context: torch.Tensor, max_length: int, stop: list[str], **settings: Any
    ) -> torch.Tensor:
        """The ids of a batch and of its answers, which are charged."""
        with self._in_model():
            ids_BT: torch.Tensor = super()._model_generate(context, max_length, stop, **settings)
        prompts = settings["attention_mask"].sum(dim=1).tolist()
        new_BG = ids_BT[:, context.shape[1] :].tolist()
        now = time.perf_counter()
        seconds, model_seconds = (now - self._since) / len(new_BG), self._model_seconds
        self._since, self._model_seconds = now, 0.0
        for instance, prompt, new_tokens in zip(self._rows, prompts, new_BG, strict=True):
            if instance is None:
                continue
            count, ended = answer_tokens(new_tokens, self.tokenizer, stop, self.spec.eos_ids)
            cost = generation_cost(
                self.spec, prompt, count, beams=int(settings.get("num_beams") or 1)
            )
            cost.truncated, cost.seconds = int(not ended), seconds
            cost.model_seconds = model_seconds / len(new_BG)
            self._add(instance, "generate", cost)
        return ids_BT

    def _loglikelihood_tokens(
        self, requests: list[Tokenized], *args: Any, **kwargs: Any
    ) -> list[tuple[float, bool]]:
        """The log-likelihoods of pairs, whose lengths are remembered."""
        self._lengths = [self._length(context, target) for _, context, target in requests]
        answers: list[tuple[float, bool]] = super()._loglikelihood_tokens(requests, *args, **kwargs)
        return answers

    def _model_call(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The logits of a batch, in a time that is counted."""
        with self._in_model():
            logits_BTV: torch.Tensor = super()._model_call(*args, **kwargs)
        return logits_BTV

    # How it is charged.

    @contextmanager
    def _in_model(self) -> Iterator[None]:
        started = time.perf_counter()
        yield
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self._model_seconds += time.perf_counter() - started

    @contextmanager
    def _charging(self, requests: list[Instance]) -> Iterator[list[list[int]]]:
        """Charges each request the passes over texts of the lengths that come to stand in a list.

        Seconds are shared out by tokens.
        """
        started, self._model_seconds = time.perf_counter(), 0.0
        lengths: list[list[int]] = []
        yield lengths
        seconds, everything = time.perf_counter() - started, sum(map(sum, lengths)) or 1
        copies = is_copy(requests)
        for instance, own, copy in zip(requests, lengths, copies, strict=True):
            if copy:
                continue
            cost, share = likelihood_cost(self.spec, own), sum(own) / everything
            cost.seconds, cost.model_seconds = share * seconds, share * self._model_seconds
            self._add(instance, instance.request_type, cost)
        self._model_seconds = 0.0

    def _add(self, instance: Instance, kind: str, cost: Cost) -> None:
        self.ledger.add(str(instance.task_name), instance.doc_id, kind, cost)

    def _length(self, context: Sequence[int], target: Sequence[int]) -> int:
        """The tokens of a pair that `hf` runs: all but the last, as far as there is room."""
        longest: int = self.max_length + 1
        return min(len(context) + len(target), longest) - 1

    def _window_lengths(self, text: str) -> list[int]:
        """The tokens of each window of a text, as `hf` cuts it."""
        windows = get_rolling_token_windows(
            token_list=self.tok_encode(text),
            prefix_token=self.prefix_token_id,
            max_seq_len=self.max_length,
            context_len=1,
        )
        return [self._length(*make_disjoint_window(window)) for window in windows]


def _knowing(instance: Instance, copy: bool) -> Instance:
    """The request with a text that knows it."""
    text, given = instance.args
    context = Context(text)
    context.instance = None if copy else instance
    return Instance(
        instance.request_type, instance.doc, (context, given), instance.idx, instance.metadata
    )
