"""A window that is the whole canvas starts from step zero, which was its first pass."""

from __future__ import annotations

from typing import Any

import pytest

from eosbench.predictors import FittedPredictor
from eosbench.predictors.reader import LengthReader
from model_adapters.varlen_dlm.model import VarLenDLM
from model_adapters.varlen_dlm.parsing import parse_arguments
from tests.model_adapters.varlen_dlm.scripted_model import asked, backbone_of, benchmark
from tests.model_adapters.varlen_dlm.test_overflow import CANVAS, QUESTION, REPLY, Says


def costs_of(bound: int, *, keep: bool = False, method: str = "logit", **given: Any) -> Any:
    """The costs of the answer to a question in a window of `bound` tokens, and its prompt's length.

    With `keep` its bound has been asked for before, as in a sweep.
    """
    backbone = backbone_of({QUESTION: REPLY})
    arguments = parse_arguments(
        {
            "pretrained": "scripted",
            "device": "cpu",
            "method": method,
            "max_gen_toks": CANVAS,
            "block_length": 8,
            "rounding": "none",
            **given,
        }
    )
    fitted = {method: FittedPredictor(method, Says(bound))}
    reader = LengthReader(backbone, fitted, keep=keep, first_positions=arguments.first_positions)
    dlm = VarLenDLM.sharing(arguments, backbone, reader)
    if keep:
        dlm.generate_until([benchmark(QUESTION, REPLY)])
    ran = len(backbone.passes)
    assert dlm.generate_until([asked(QUESTION, reference=REPLY)]) == [REPLY]
    costs = dlm.get_model_info()["eosbench"]["costs"]["task"]
    return costs, len(dlm.tok_encode(QUESTION)), len(backbone.passes) - ran


PASSES = len(REPLY) + 1  # a token a pass from the left, up to the EOS


@pytest.mark.parametrize("method", ["logit", "classification"])  # EOS alone; hidden states alone
def test_the_pass_is_charged_once(method: str) -> None:
    costs, prompt, ran = costs_of(CANVAS, method=method)
    assert costs["forward_passes"] == ran == PASSES
    assert costs["token_positions"] == PASSES * (prompt + CANVAS)


def test_a_smaller_window_has_other_logits_and_is_run() -> None:
    costs, *_ = costs_of(CANVAS - 1)
    assert costs["forward_passes"] == 1 + PASSES


@pytest.mark.parametrize("given", [{"cache": "prefix"}, {"cfg_scale": 0.5}])
def test_nothing_is_kept_where_a_first_pass_computes_more(given: dict[str, Any]) -> None:
    assert parse_arguments(given).first_positions == 0
    assert parse_arguments({}).first_positions == 32
    assert parse_arguments({"block_length": 0}).first_positions == 256


def test_a_retry_in_the_whole_canvas_is_run_in_full() -> None:
    costs, *_ = costs_of(CANVAS // 4, overflow="retry")  # of 8 tokens, then 16
    assert (costs["retries"], costs["forward_passes"]) == (1, 1 + PASSES)


def test_a_method_that_reads_nothing_has_no_such_pass() -> None:
    costs, *_ = costs_of(CANVAS, method="max")
    assert costs["forward_passes"] == PASSES


def test_a_sweep_charges_what_a_run_of_its_own_does() -> None:
    """There the bound was asked for before: step zero and the first pass are in memory."""
    costs, prompt, ran = costs_of(CANVAS, keep=True)
    assert (costs["forward_passes"], ran) == (PASSES, PASSES - 1)
    assert costs["token_positions"] == PASSES * (prompt + CANVAS)
