"""lm-eval's flags and model arguments of the same name, as its evaluator hands them over."""

from __future__ import annotations

from typing import Any

import pytest

from eosbench.errors import ConfigurationError
from model_adapters.varlen_dlm.flags import with_flags
from model_adapters.varlen_dlm.model import VarLenDLM
from tests.golden_files import GOLDEN

TRAINED = str(GOLDEN / "llada-trained")
# Lm-eval 0.4.13's command line without any flag.
UNTYPED = {"batch_size": 1, "max_batch_size": None, "device": "cuda:0"}


@pytest.mark.parametrize(
    "typed",
    [
        {},
        {"device": "cpu"},
        {"batch_size": "3"},
        {"max_batch_size": 8},
        {"device": "cpu", "batch_size": 3},
    ],
)
def test_a_model_is_made_where_both_say_the_same_or_one_says_nothing(typed: dict[str, Any]) -> None:
    text = f"pretrained={TRAINED},max_gen_toks=64,device=cpu,batch_size=3,max_batch_size=8"
    model = VarLenDLM.create_from_arg_string(text, UNTYPED | typed)
    asked = model.arguments
    assert (asked.device, asked.batch_size, asked.max_batch_size, asked.pretrained) == (
        "cpu",
        3,
        8,
        TRAINED,
    )
    as_mapping = VarLenDLM.create_from_arg_obj(
        {"pretrained": TRAINED, "max_gen_toks": 64, "device": "cpu"}, UNTYPED | typed
    )
    assert as_mapping.arguments.device == "cpu" and as_mapping.arguments.batch_size == int(
        typed.get("batch_size", 1)
    )


@pytest.mark.parametrize(
    ("given", "typed", "message"),
    [
        (
            {"device": "cpu"},
            {"device": "mps"},
            r"device=cpu stands in --model_args and --device says mps: give one of them",
        ),
        (
            {"batch_size": 4},
            {"batch_size": "auto"},
            r"batch_size=4 stands in --model_args and --batch_size says auto",
        ),
        (
            {"max_batch_size": 4},
            {"max_batch_size": 8},
            r"max_batch_size=4 stands in --model_args and --max_batch_size says 8",
        ),
    ],
)
def test_a_flag_that_contradicts_is_refused(
    given: dict[str, Any], typed: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        VarLenDLM.create_from_arg_obj(given, UNTYPED | typed)


def test_flags_alone_pass_as_they_are() -> None:
    assert with_flags({"method": "fixed"}, UNTYPED) == {
        "method": "fixed",
        "batch_size": 1,
        "device": "cuda:0",
    }
