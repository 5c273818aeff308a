"""`overflow` for every method that predicts a bound, on a scripted model, every pass and window
worked out by hand.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from eosbench.forward.step_zero import StepZero
from eosbench.predictors import METHODS, FittedPredictor
from eosbench.predictors.reader import LengthReader
from eosbench.records import LengthPrediction, LengthRecord
from model_adapters.varlen_dlm.model import VarLenDLM
from model_adapters.varlen_dlm.parsing import parse_arguments
from model_adapters.varlen_dlm.prompts import asked as prompts_asked
from model_adapters.varlen_dlm.prompts import predicted
from tests.fakes import MASK
from tests.model_adapters.varlen_dlm.scripted_model import asked, backbone_of, benchmark, ids

QUESTION, CANVAS = "Long?", 32
REPLY = "abcdefghij"  # 10 tokens: the EOS stands at index 10


class Says:
    """Predicts a bound of our choosing."""

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self.options: dict[str, Any] = {}

    def predict(self, batch: StepZero) -> list[LengthPrediction]:
        return [LengthPrediction(float(self.bound)) for _ in batch.prompts]


def model(method: str, bound: int, overflow: str) -> VarLenDLM:
    backbone = backbone_of({QUESTION: REPLY})
    given = {
        "method": method,
        "overflow": overflow,
        "max_gen_toks": CANVAS,
        "block_length": 0,
        "rounding": "none",
    }
    arguments = parse_arguments({"pretrained": "scripted", "device": "cpu"} | given)
    reader = LengthReader(backbone, {method: FittedPredictor(method, Says(bound))})
    return VarLenDLM.sharing(arguments, backbone, reader)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("bound", "windows"),
    [
        (3, [3, 6, 12]),  # no EOS in 3 nor in 6
        (10, [10, 20]),  # the bound covers the answer, its EOS stands just behind
        (11, [11]),
        (32, [32]),
    ],
)
def test_retry(method: str, bound: int, windows: list[int]) -> None:
    """A window without EOS is doubled, what was denoised stays, and every pass of every window is
    paid for.
    """
    dlm = model(method, bound, "retry")
    assert dlm.generate_until([asked(QUESTION, reference=REPLY)]) == [REPLY]
    prompt, passes, positions, before = len(dlm.tok_encode(QUESTION)), 0, 0, 0
    # A token a pass, from the left, up to the EOS; in a larger window the new tokens alone.
    for window in windows:
        new = min(window, len(REPLY) + 1) - before
        passes, positions, before = passes + new, positions + new * (prompt + window), window
    if dlm.reader.reads_dlm(method):  # step zero, over prompt and canvas
        passes, positions = passes + 1, positions + prompt + CANVAS
    (costs,) = dlm.get_model_info()["eosbench"]["costs"].values()
    assert (costs["mean_window"], costs["retries"], costs["truncated"]) == (
        windows[-1],
        len(windows) - 1,
        0,
    )
    assert (costs["forward_passes"], costs["token_positions"]) == (passes, positions)
    kept = [ids_BT[0, prompt:].tolist() for ids_BT, _ in dlm.backbone.passes]  # type: ignore[attr-defined]
    for smaller, larger in pairwise(windows):
        assert [*ids(REPLY)[:smaller], *[MASK] * (larger - smaller)] in kept


@pytest.mark.parametrize("method", METHODS)
def test_retry_ends_at_the_canvas_and_accept_at_the_bound(method: str) -> None:
    short = model(method, 3, "retry")
    assert short.generate_until([asked(QUESTION, reference=REPLY, max_gen_toks=7)]) == [REPLY[:7]]
    (costs,) = short.get_model_info()["eosbench"]["costs"].values()
    assert (costs["mean_window"], costs["retries"], costs["truncated"]) == (7, 2, 1)  # 3, 6, 7

    cut = model(method, 3, "accept")
    assert cut.generate_until([asked(QUESTION, reference=REPLY)]) == [REPLY[:3]]
    (costs,) = cut.get_model_info()["eosbench"]["costs"].values()
    assert (costs["mean_window"], costs["retries"], costs["truncated"]) == (3, 0, 1)


@pytest.mark.parametrize("method", METHODS)
def test_a_stop_string_ends_an_answer_as_an_eos_does(method: str) -> None:
    """It is in the second window; what would follow it in a third one is not read."""
    dlm = model(method, 3, "retry")
    assert dlm.generate_until([asked(QUESTION, reference=REPLY, until=["zz", "e"])]) == [REPLY[:4]]
    (costs,) = dlm.get_model_info()["eosbench"]["costs"].values()
    assert (costs["mean_window"], costs["retries"], costs["truncated"]) == (6, 1, 0)


@pytest.mark.parametrize(
    ("given", "measured", "decoded"),
    [
        ({}, 16, 11),
        ({"rounding": "auto"}, 16, 11),
        ({"rounding": "pow2"}, 16, 16),
        ({"rounding": "block", "block_length": 12}, 12, 12),
        ({"rounding": "none"}, 11, 11),
    ],
)
def test_bounds_are_rounded_where_they_are_measured_and_windows_are_not(
    given: dict[str, Any], measured: int, decoded: int
) -> None:
    """A bound of 11 tokens. The paper's powers of two stay with the bounds that are measured."""
    arguments = parse_arguments(
        {"pretrained": "scripted", "device": "cpu", "method": "mean", "max_gen_toks": CANVAS}
        | given
    )
    backbone = backbone_of({QUESTION: REPLY})
    reader = LengthReader(backbone, {"mean": FittedPredictor("mean", Says(11))})
    dlm = VarLenDLM.sharing(arguments, backbone, reader)
    (record,) = dlm.generate_until([benchmark(QUESTION, REPLY)])
    (bounded,) = predicted(dlm, prompts_asked(dlm, [QUESTION], {}))
    assert LengthRecord.from_json(record).bound == bounded.bound.bound == measured
    dlm.get_model_info()
    assert dlm.generate_until([asked(QUESTION)]) == [REPLY]
    block = dlm.get_model_info()["eosbench"]
    assert block["costs"]["task"]["mean_window"] == decoded
    rounding = given.get("rounding", "auto")
    both = ("pow2", "none") if rounding == "auto" else (rounding, rounding)
    assert (block["rounding"], block["window_rounding"]) == both
