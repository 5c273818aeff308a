"""`varlen_dlm`: a diffusion language model with a predicted canvas, as lm-evaluation-harness sees
it.

    lm_eval --model varlen_dlm --tasks eos_upper_bound,gsm8k
    lm_eval --model varlen_dlm --model_args pretrained=GSAI-ML/LLaDA-8B-Instruct,method=classification,predictor=heads/llada-cls
    --tasks ...

What lm-eval calls stands here; how texts and bounds come about is in answers.py and
strategy_answers.py, likelihoods are in scores.py. Every finished request goes to lm-eval's
response cache at once, so that a killed run with --use_cache goes on where it was.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import CacheHook, TemplateLM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window, simple_parse_args_string
from tqdm import tqdm

from eosbench.backbone import Backbone
from eosbench.errors import ConfigurationError, report_errors_plainly
from eosbench.forward import Ledger
from eosbench.predictors import FittedPredictor, LengthReader, load_predictor
from eosbench.strategies import Strategy, load_strategy
from model_adapters import load_backbone
from model_adapters.varlen_dlm.answers import Answers
from model_adapters.varlen_dlm.arguments import Arguments, parse_arguments
from model_adapters.varlen_dlm.chat import render_turns
from model_adapters.varlen_dlm.fingerprint import predictor_digest, settings_fingerprint
from model_adapters.varlen_dlm.flags import with_flags
from model_adapters.varlen_dlm.likelihood_requests import LikelihoodRequest, Window
from model_adapters.varlen_dlm.model_info import model_info
from model_adapters.varlen_dlm.processes import Processes
from model_adapters.varlen_dlm.requests import Request, own_requests, read_requests
from model_adapters.varlen_dlm.response_cache import ResponseCache
from model_adapters.varlen_dlm.scores import Scores
from model_adapters.varlen_dlm.strategy_answers import StrategyAnswers

logger = logging.getLogger(__name__)


class VarLenDLM(TemplateLM):  # type: ignore[misc]  # lm_eval has no types
    """A diffusion language model whose canvas is cut to a predicted length, or grows and shrinks
    while it is denoised.

    Args:
        model_args: see model_adapters.varlen_dlm.arguments.Arguments.

    Raises:
        ConfigurationError: an unknown argument, or a value that cannot work.
        CheckpointError: no such checkpoint, or one of no supported family.
        PredictorError: no such predictor, or one that was fitted for another backbone or canvas.
    """

    def __init__(self, **model_args: Any) -> None:
        report_errors_plainly()
        arguments = parse_arguments(model_args)
        processes = Processes(arguments.device)
        backbone = load_backbone(**arguments.loading(), device=processes.device)
        predictors = {}
        if not arguments.decides_while_decoding:
            predictors[arguments.method] = load_predictor(
                arguments.method,
                arguments.predictor_folder(),
                backbone=backbone,
                canvas=arguments.max_gen_toks,
                options=arguments.options,
            )
        self._set_up(
            arguments, processes, backbone, LengthReader(backbone, predictors), arguments.method
        )

    @classmethod
    def create_from_arg_obj(
        cls, arg_dict: dict[str, Any], additional_config: dict[str, Any] | None = None
    ) -> VarLenDLM:
        """What lm-eval calls with `--model_args` and its own flags, which may say the same thing."""
        report_errors_plainly()
        return cls(**with_flags(arg_dict, additional_config or {}))

    @classmethod
    def create_from_arg_string(
        cls, arg_string: str, additional_config: dict[str, Any] | None = None
    ) -> VarLenDLM:
        return cls.create_from_arg_obj(simple_parse_args_string(arg_string), additional_config)

    @classmethod
    def sharing(
        cls, arguments: Arguments, backbone: Backbone, reader: LengthReader, rule: str = ""
    ) -> VarLenDLM:
        """One run of several on one backbone, whose reader remembers step zero for all that read
        it.

        `rule` names its predictor in the reader, which by default is called as its method.
        """
        model = cls.__new__(cls)
        model._set_up(
            arguments, Processes(arguments.device), backbone, reader, rule or arguments.method
        )
        return model

    def _set_up(
        self,
        arguments: Arguments,
        processes: Processes,
        backbone: Backbone,
        reader: LengthReader,
        rule: str,
    ) -> None:
        super().__init__()
        self.arguments, self.processes, self.backbone, self.reader = (
            arguments,
            processes,
            backbone,
            reader,
        )
        self.ledger = Ledger(arguments.telemetry)
        self.method: FittedPredictor | Strategy
        self.answers: Answers | StrategyAnswers
        if arguments.decides_while_decoding:
            self.method = load_strategy(arguments.method, arguments.options)
            self.answers = StrategyAnswers(arguments, backbone, self.method, self.ledger)
        else:
            self.method = fitted = reader.predictors[rule]
            fitted.check_promise(arguments.promise, canvas=arguments.max_gen_toks)
            if fitted.calibration is None and arguments.alpha not in (None, Arguments.alpha):
                logger.warning(
                    "method %s has no calibration scores here: alpha=%g has no meaning",
                    fitted.method,
                    arguments.alpha,
                )
            self.answers = Answers(arguments, backbone, reader, self.ledger, rule)
        self.scores = Scores(arguments, backbone)
        self._spent_by_all: list[dict[str, dict[str, float]]] | None = None
        self.fingerprint = settings_fingerprint(
            backbone.spec, arguments, predictor_digest(arguments.predictor_folder())
        )
        self.cache = ResponseCache(self.cache_hook, self.fingerprint)
        self.tokenizer = backbone.tokenizer
        if self.tokenizer is None:
            raise ConfigurationError(
                f"checkpoint {arguments.pretrained} has no tokenizer: put its files (tokenizer.json, ...) beside config.json"
            )
        if arguments.max_gen_toks >= backbone.spec.max_length:
            raise ConfigurationError(
                f"max_gen_toks={arguments.max_gen_toks} leaves no room for a prompt: "
                f"the model has {backbone.spec.max_length} positions"
            )

    # What lm-eval asks of any model.

    @property
    def device(self) -> torch.device:
        return self.backbone.device

    @property
    def rank(self) -> int:
        return self.processes.rank

    @property
    def world_size(self) -> int:
        return self.processes.world_size

    def all_gather(self, tensor: torch.Tensor) -> torch.Tensor:
        return self.processes.all_gather(tensor)

    def gather_object(self, obj: Any, dst: int = 0) -> list[Any] | None:
        return self.processes.gather_object(obj, dst)

    def barrier(self) -> None:
        """Waits for all processes; afterwards each knows what all of them spent."""
        self.processes.wait()
        self._spent_by_all = self.processes.everyones(self.ledger.totals())

    @property
    def eot_token_id(self) -> int:
        end = self.tokenizer.eos_token_id
        return min(self.backbone.spec.eos_ids) if end is None else int(end)

    @property
    def prefix_token_id(self) -> int:
        bos = self.tokenizer.bos_token_id
        return self.eot_token_id if bos is None else int(bos)

    @property
    def tokenizer_name(self) -> str:
        return f"{self.arguments.pretrained}__{self.backbone.spec.fingerprint}".replace("/", "__")

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        return render_turns(
            self.tokenizer, self.arguments.pretrained, chat_history, add_generation_prompt
        )

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **kwargs: Any
    ) -> list[int]:
        """Ids; by default with special tokens, unless the text opens with one already because a
        chat template put it there.
        """
        if add_special_tokens is None:
            bos = self.tokenizer.bos_token
            add_special_tokens = not (bos and string.startswith(bos))
        return list(self.tokenizer(string, add_special_tokens=add_special_tokens)["input_ids"])

    def set_cache_hook(self, cache_hook: CacheHook) -> None:
        """Takes lm-eval's response cache, unless it was filled under other settings (CacheError)."""
        self.cache = ResponseCache(cache_hook, self.fingerprint)
        super().set_cache_hook(cache_hook)

    def get_model_info(self) -> dict[str, Any]:
        """What the results file's `config` says of this run."""
        costs = Ledger()
        costs.merge(self._spent_by_all or [self.ledger.totals()])
        info = model_info(
            self.arguments, self.backbone, self.method, self.fingerprint, costs.totals()
        )
        return {"eosbench": info}

    # Requests.

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        own, answered_by = own_requests(requests)
        read = read_requests(
            [requests[index] for index in own],
            self.tok_encode,
            self.arguments,
            self.backbone.spec.max_length,
        )
        lengths = [
            self._told_beside(requests[index], one) for index, one in zip(own, read, strict=True)
        ]
        answers = [
            None if told is None else self.cache.find(requests[own[at]], told)
            for at, told in enumerate(lengths)
        ]
        left = [place for place, answer in enumerate(answers) if answer is None]
        todo = [read[place] for place in left]
        self.answers.prepare(todo, progress=not disable_tqdm and self.rank == 0)
        with self._bar(f"varlen_dlm {self.arguments.method}", len(todo), disable_tqdm) as bar:
            for at, answer in self.answers.answer(todo):
                place, request = left[at], requests[own[left[at]]]
                answers[place] = answer
                # The cache has one place for a request. Of several draws lm-eval puts one there
                # itself, when all are done.
                if not read[place].is_random or request.repeats in (None, 1):
                    self.cache.put("generate_until", request, answer, lengths[place])
                bar.update()
        return [answers[place] or "" for place in answered_by]

    def _told_beside(self, instance: Instance, request: Request) -> int | None:
        """L where the answer depends on it and the request's arguments, of which lm-eval makes its
        key, do not hold it.
        """
        if (
            isinstance(self.answers, StrategyAnswers)
            or self.answers.own is not None
            or "reference" in instance.args[1]
        ):
            return None
        return self.answers.told_length(request)

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Of every continuation the log-likelihood in nats, and whether greedy decoding gives it."""
        own, answered_by = own_requests(requests)
        asked = [self._continuation(requests[index]) for index in own]
        with self._bar("varlen_dlm loglikelihood", len(asked), disable_tqdm) as bar:
            for request in self.scores.answer(asked, greedy=True):
                self._keep(request)
                bar.update()
        return [(asked[place].value, asked[place].is_greedy) for place in answered_by]

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """Of every text the log-likelihood in nats: the sum over disjoint windows, as lm-eval
        defines it, each given what stands before it.
        """
        own, answered_by = own_requests(requests)
        asked = [self._rolling_text(requests[index]) for index in own]
        with self._bar("varlen_dlm rolling", len(asked), disable_tqdm) as bar:
            for request in self.scores.answer(asked, greedy=False):
                self._keep(request)
                bar.update()
        return [asked[place].value for place in answered_by]

    def _loglikelihood_tokens(
        self,
        requests: list[tuple[tuple[str, str], list[int], list[int]]],
        disable_tqdm: bool = False,
        **kwargs: Any,
    ) -> list[tuple[float, bool]]:
        """For callers that bring ids; `loglikelihood` does without."""
        asked = []
        for texts, context, target in requests:
            instance = Instance("loglikelihood", {}, texts, 0)
            asked.append(LikelihoodRequest(instance, [Window(context, target)]))
        for _ in self.scores.answer(asked, greedy=True):
            pass
        return [(request.value, request.is_greedy) for request in asked]

    def _continuation(self, instance: Instance) -> LikelihoodRequest:
        """A `loglikelihood` request in ids, cut where lm-eval cuts them; what the tokenizer adds
        around a prompt stays with the context.
        """
        context, continuation = instance.args
        text = context.rstrip()
        plain = self.tok_encode(text, add_special_tokens=False)
        target = self.tok_encode(context + continuation, add_special_tokens=False)[len(plain) :]
        if text:
            return LikelihoodRequest(instance, [Window(self.tok_encode(text), target)])
        # An empty context is the prefix token, which is not scored where the continuation brings it
        # itself.
        prefix = [self.prefix_token_id]
        if target[:1] == prefix:
            target = target[1:]
        return LikelihoodRequest(instance, [Window(prefix, target)])

    def _rolling_text(self, instance: Instance) -> LikelihoodRequest:
        """A `loglikelihood_rolling` request in lm-eval's disjoint windows, each after what stands
        before it.
        """
        overlapping = get_rolling_token_windows(
            token_list=self.tok_encode(instance.args[0], add_special_tokens=False),
            prefix_token=self.prefix_token_id,
            max_seq_len=self.backbone.spec.max_length - 1,
            context_len=1,
        )
        windows = [Window(*make_disjoint_window(window)) for window in overlapping]
        return LikelihoodRequest(instance, windows)

    def _keep(self, request: LikelihoodRequest) -> None:
        """Counts what a finished request cost, and hands it to lm-eval's response cache."""
        instance = request.instance
        self.ledger.add(
            str(instance.task_name),
            instance.doc_id,
            instance.request_type,
            request.cost,
            standard_error=request.standard_error,
        )
        self.cache.put(instance.request_type, instance, request.answer)

    def _bar(self, text: str, total: int, hidden: bool) -> Any:
        return tqdm(total=total, desc=text, disable=hidden or self.rank != 0)
