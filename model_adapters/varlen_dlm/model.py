"""The lm-eval model `varlen_dlm`: a diffusion language model with a predicted canvas.

    lm_eval --model varlen_dlm --tasks eos_upper_bound,gsm8k
    lm_eval --model varlen_dlm --tasks gsm8k \
        --model_args pretrained=GSAI-ML/LLaDA-8B-Instruct,method=classification,predictor=heads/cls

Here stands what lm-eval calls for generation and for a run; likelihood_model.py has the rest.
Generation requests are answered in answers.py and strategy_answers.py. Every finished request goes
to lm-eval's response cache at once, so that a killed run with --use_cache goes on where it was.
"""

from __future__ import annotations

import logging
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import CacheHook
from lm_eval.utils import simple_parse_args_string

from eosbench.backbone import Backbone
from eosbench.errors import ConfigurationError, report_errors_plainly
from eosbench.predictors import FittedPredictor, LengthReader, load_predictor
from eosbench.strategies import Strategy, load_strategy
from model_adapters import load_backbone
from model_adapters.varlen_dlm.answers import Answerer, BoundAnswers
from model_adapters.varlen_dlm.arguments import Arguments
from model_adapters.varlen_dlm.block_models import check_method, on_model
from model_adapters.varlen_dlm.bounds import Bounds
from model_adapters.varlen_dlm.fingerprint import predictor_digest, settings_fingerprint
from model_adapters.varlen_dlm.flags import with_flags
from model_adapters.varlen_dlm.generation_requests import read_requests
from model_adapters.varlen_dlm.likelihood_model import LikelihoodModel
from model_adapters.varlen_dlm.model_info import model_info
from model_adapters.varlen_dlm.parsing import parse_arguments
from model_adapters.varlen_dlm.processes import Processes
from model_adapters.varlen_dlm.references import check_places, references_of
from model_adapters.varlen_dlm.response_cache import ResponseCache
from model_adapters.varlen_dlm.run_costs import in_a_run
from model_adapters.varlen_dlm.shares import Share
from model_adapters.varlen_dlm.strategy_answers import StrategyAnswers

logger = logging.getLogger(__name__)


class VarLenDLM(LikelihoodModel):
    """A diffusion language model and a method that finds the length of its canvas.

    The canvas is cut to a predicted length, or changes its length while it is denoised.

    Args:
        model_args: see model_adapters.varlen_dlm.arguments.Arguments.

    Raises:
        ConfigurationError: an unknown argument, or a value that cannot work.
        CheckpointError: no such checkpoint, or one of no supported family.
        PredictorError: no such predictor, or one that was fitted for another backbone or canvas.
    """

    def __init__(self, **model_args: Any) -> None:
        report_errors_plainly()
        self._load(parse_arguments(model_args))

    @classmethod
    def of(cls, arguments: Arguments) -> VarLenDLM:
        """The model of arguments that are checked already; it raises what the class raises."""
        model = cls.__new__(cls)
        model._load(arguments)
        return model

    @classmethod
    def create_from_arg_obj(
        cls, arg_dict: dict[str, Any], additional_config: dict[str, Any] | None = None
    ) -> VarLenDLM:
        """The model of `--model_args`, as a mapping, and of lm-eval's own flags."""
        report_errors_plainly()
        return cls(**with_flags(arg_dict, additional_config or {}))

    @classmethod
    def create_from_arg_string(
        cls, arg_string: str, additional_config: dict[str, Any] | None = None
    ) -> VarLenDLM:
        """The model of `--model_args`, as name=value,name=value, and of lm-eval's own flags."""
        return cls.create_from_arg_obj(simple_parse_args_string(arg_string), additional_config)

    @classmethod
    def sharing(
        cls, arguments: Arguments, backbone: Backbone, reader: LengthReader, rule: str = ""
    ) -> VarLenDLM:
        """One of several runs on one backbone and one reader, which share step zero.

        Args:
            arguments: of this run.
            backbone: loaded already.
            reader: holds the predictors of all runs.
            rule: the name of this run's predictor in the reader, by default its method.
        """
        model = cls.__new__(cls)
        processes = Processes(arguments.device)
        model._set_up(arguments, processes, backbone, reader, rule or arguments.method)
        return model

    def another(self) -> VarLenDLM:
        """A model of the same settings on the same backbone and reader, which has no run yet."""
        return self.sharing(self.arguments, self.backbone, self.reader, self._rule)

    def _load(self, arguments: Arguments) -> None:
        """Loads the backbone and the predictor."""
        check_places(arguments)
        processes = Processes(arguments.device)
        backbone = load_backbone(**arguments.loading(), device=processes.device)
        predictors = {}
        if arguments.predictor_folder() is None:
            check_method(arguments, backbone.spec)
        if not arguments.decides_while_decoding:
            predictors[arguments.method] = load_predictor(
                arguments.method,
                arguments.predictor_folder(),
                backbone=backbone,
                canvas=arguments.max_gen_toks,
                options=arguments.options,
            )
        reader = LengthReader(backbone, predictors, first_positions=arguments.first_positions)
        self._set_up(arguments, processes, backbone, reader, arguments.method)

    def _set_up(
        self,
        arguments: Arguments,
        processes: Processes,
        backbone: Backbone,
        reader: LengthReader,
        rule: str,
    ) -> None:
        arguments = on_model(arguments, backbone.spec)
        super().__init__(arguments, backbone, processes)
        self.reader, self._rule = reader, rule
        self.method: FittedPredictor | Strategy
        self.answers: Answerer
        if arguments.decides_while_decoding:
            self.method = load_strategy(arguments.method, arguments.options)
            self.method.prepare(backbone, [])  # refuses a model that it cannot work on
            self.answers = StrategyAnswers(arguments, backbone, self.method, self.ledger)
        else:
            self.method = reader.predictors[rule]
            _check_promise(arguments, self.method)
            references = references_of(arguments.reference, backbone, arguments.seed)
            bounds = Bounds(arguments, backbone, reader, rule, references)
            self.answers = BoundAnswers(bounds, backbone, self.ledger)
        check_method(arguments, backbone.spec, self.method)
        info = self.method.info if isinstance(self.method, FittedPredictor) else {}
        self.fingerprint = settings_fingerprint(
            backbone.spec,
            arguments,
            predictor_digest(arguments.predictor_folder()),
            info.get("options", {}),
        )
        self.cache = ResponseCache(self.cache_hook, self.fingerprint)
        _check_backbone(arguments, backbone)

    @property
    def rank(self) -> int:
        """The number of this process, which lm-eval reads where the requests of a run are over."""
        self.costs.rank_was_read()
        return super().rank

    def barrier(self) -> None:
        """Waits for all processes; afterwards each knows what all of them spent."""
        self.processes.wait()
        self.costs.share()

    def set_cache_hook(self, cache_hook: CacheHook) -> None:
        """Takes lm-eval's response cache, at the beginning of a run that has one.

        Raises:
            CacheError: it was filled under other settings.
        """
        self._take_cache_hook(cache_hook)
        self.costs.begin()

    def _take_cache_hook(self, cache_hook: CacheHook) -> None:
        self.cache = ResponseCache(cache_hook, self.fingerprint)
        super().set_cache_hook(cache_hook)

    def get_model_info(self) -> dict[str, Any]:
        """The part of the results file's `config` that describes this run."""
        costs = self.costs.totals()
        self._end_run()
        info = model_info(self.arguments, self.backbone, self.method, self.fingerprint, costs)
        return {"eosbench": info}

    def gather_object(self, obj: Any, dst: int = 0) -> list[Any] | None:
        """The objects of all processes on process `dst`, None elsewhere.

        lm-eval collects samples and metrics so when all requests are answered, and asks process
        `dst` alone for the description of the run.
        """
        if self.rank != dst:
            self._end_run()
        return super().gather_object(obj, dst)

    def _end_run(self) -> None:
        """Keeps nothing of this run for the next one: neither its costs nor its response cache."""
        self.costs.end()
        self._take_cache_hook(CacheHook(None))

    @in_a_run
    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """The text that answers each request, or the record of one that asks for a bound."""
        share = Share.of(requests)
        spec = self.backbone.spec
        asked = read_requests(
            share.own, self.tok_encode, self.arguments, spec.max_length, self.prefix_token_id
        )
        for request in asked:
            request.length_beside_key = self.answers.length_beside_key(request)
            request.answer = self.cache.find(
                request.instance, request.length_beside_key, request.draw(spec)
            )
        pending = [request for request in asked if request.answer is None]
        self.answers.prepare(pending, progress=not disable_tqdm and self.rank == 0)
        with self._bar(self.arguments.method, len(pending), disable_tqdm) as bar:
            for request in self.answers.answer(pending):
                self.cache.put(
                    request.instance, request.answer, request.length_beside_key, request.draw(spec)
                )
                bar.update()
        return share.spread([request.answer or "" for request in asked])


def _check_promise(arguments: Arguments, fitted: FittedPredictor) -> None:
    """Refuses a promise that the predictor cannot keep, and warns of one without a meaning."""
    fitted.check_promise(arguments.usual_promise, canvas=arguments.max_gen_toks)
    if fitted.calibration is None and arguments.alpha not in (None, Arguments.alpha):
        logger.warning(
            "method %s has no calibration scores here: alpha=%g has no meaning",
            fitted.method,
            arguments.alpha,
        )


def _check_backbone(arguments: Arguments, backbone: Backbone) -> None:
    """Refuses a checkpoint without a tokenizer, and a canvas that leaves no room for a prompt."""
    if backbone.tokenizer is None:
        raise ConfigurationError(
            f"checkpoint {arguments.pretrained} has no tokenizer: put its files "
            "(tokenizer.json, ...) beside config.json, or give another one with tokenizer="
        )
    if arguments.max_gen_toks >= backbone.spec.max_length:
        raise ConfigurationError(
            f"max_gen_toks={arguments.max_gen_toks} leaves no room for a prompt: "
            f"the model has {backbone.spec.max_length} positions"
        )
