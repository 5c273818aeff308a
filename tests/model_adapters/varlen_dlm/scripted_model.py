"""`varlen_dlm` over a scripted backbone that answers questions by heart, and the requests that
lm-eval would send it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lm_eval.api.instance import Instance

from eosbench.predictors import load_predictor
from eosbench.predictors.reader import LengthReader
from model_adapters.varlen_dlm.model import VarLenDLM
from model_adapters.varlen_dlm.parsing import parse_arguments
from tests.fakes import EOS, FIRST_BYTE, ByteTokenizer, Script, ScriptedBackbone, table

ASK = FIRST_BYTE + ord("?")
Reply = str | Sequence[int]


def ids(text: str) -> list[int]:
    return ByteTokenizer().encode(text)


def knows(replies: Mapping[str, Reply]) -> Script:
    """Logits that say, after a question (all up to its question mark), the reply to it and then
    EOS, from the left.
    """

    def script(ids_T: torch.Tensor) -> torch.Tensor:
        start = ids_T.tolist().index(ASK) + 1
        reply = replies[ByteTokenizer().decode(ids_T[:start], skip_special_tokens=True)]
        said = ids(reply) if isinstance(reply, str) else list(reply)
        tokens = [*ids_T[:start].tolist(), *said, *[EOS] * len(ids_T)][: len(ids_T)]
        return table(
            tokens, [0.9 - 0.001 * at for at in range(len(tokens))], ByteTokenizer.vocab_size
        )

    return script


def backbone_of(script: Script | Mapping[str, Reply], **options: Any) -> ScriptedBackbone:
    chosen = knows(script) if isinstance(script, Mapping) else script
    return ScriptedBackbone(chosen, tokenizer=ByteTokenizer(), **options)


def model_of(backbone: ScriptedBackbone, **given: Any) -> VarLenDLM:
    """The adapter on this backbone; by default a fixed window of 16 that is denoised a token at a
    time.
    """
    arguments = parse_arguments(
        {"pretrained": "scripted", "device": "cpu", "max_gen_toks": 16, "block_length": 0} | given
    )
    if arguments.decides_while_decoding:
        return VarLenDLM.sharing(arguments, backbone, LengthReader(backbone, {}))
    fitted = load_predictor(
        arguments.method,
        arguments.predictor_folder(),
        backbone=backbone,
        canvas=arguments.max_gen_toks,
        options=arguments.options,
    )
    return VarLenDLM.sharing(
        arguments, backbone, LengthReader(backbone, {arguments.method: fitted})
    )


def asked(
    context: str, document: int | None = 0, repeats: int = 1, task: str = "task", **kwargs: Any
) -> Instance:
    """A generate_until request."""
    return Instance("generate_until", {}, (context, kwargs), 0, (task, document, repeats))


def pair(context: str, continuation: str, document: int = 0, task: str = "task") -> Instance:
    """A loglikelihood request."""
    return Instance("loglikelihood", {}, (context, continuation), 0, (task, document, 1))


def benchmark(
    context: str, reference: str, fraction: float = 0.0, document: int = 0, **kwargs: Any
) -> Instance:
    """An EOS upper-bound request, as the tasks send it."""
    arguments = {
        "until": [],
        "do_sample": False,
        "eos_upper_bound": {"fraction": fraction, "document": context},
    }
    return asked(context, document, **(arguments | {"reference": reference} | kwargs))
