"""Strategies through the adapter: `method=` picks them, their options are model arguments, and they
say what they cost.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eosbench.errors import ConfigurationError
from eosbench.strategies import STRATEGIES
from model_adapters.varlen_dlm.parsing import parse_arguments
from tests.fakes import MASK
from tests.model_adapters.varlen_dlm.scripted_model import asked, backbone_of, benchmark, model_of

REPLIES = {"One?": "a", "Two?": "bc", "Long?": "abcdefghijklmnop"}


@pytest.mark.parametrize("method", STRATEGIES)
def test_texts_come_back_in_order_and_end_before_the_eos(method: str) -> None:
    model = model_of(
        backbone_of(REPLIES), method=method, max_gen_toks=64, block_length=8, batch_size=2
    )
    requests = [asked(prompt, document) for document, prompt in enumerate(REPLIES)]
    assert model.generate_until(requests) == list(REPLIES.values())


@pytest.mark.parametrize("method", STRATEGIES)
def test_stop_strings_and_canvas_are_the_request_s(method: str) -> None:
    backbone = backbone_of(REPLIES)
    model = model_of(backbone, method=method, max_gen_toks=64, block_length=4)
    assert model.generate_until(
        [asked("Long?", until=["d"]), asked("Long?", 1, max_gen_toks=5)]
    ) == ["abc", "abcde"]
    prompt = len(model.tok_encode("Long?"))
    assert (
        max(
            ids_BT.shape[1]
            for ids_BT, mask in backbone.passes
            if mask.all() and ids_BT[0, -1] == MASK
        )
        <= prompt + 64
    )


def test_a_request_for_a_bound_is_one_clear_error_before_anything_is_computed() -> None:
    for method in STRATEGIES:
        backbone = backbone_of(REPLIES)
        expected = (
            rf"task task asks for a bound before the first token is decoded, but method '{method}' "
            "decides the length while decoding and predicts none: run it on generation tasks "
            r"\(varlen_instruct"
        )
        with pytest.raises(ConfigurationError, match=expected):
            model_of(backbone, method=method).generate_until(
                [asked("One?"), benchmark("One?", "a")]
            )
        assert not backbone.passes


def test_costs_reach_results_and_telemetry(tmp_path: Path) -> None:
    backbone = backbone_of({"Two?": "bc"})
    model = model_of(
        backbone,
        method="blocks",
        max_gen_toks=16,
        block_length=2,
        telemetry=str(tmp_path / "costs.jsonl"),
    )
    assert model.generate_until([asked("Two?")]) == ["bc"]
    (line,) = map(json.loads, (tmp_path / "costs.jsonl").read_text(encoding="utf-8").splitlines())
    # blocks of 2, the second begins with the EOS: three passes of one token each, over BOS and four
    # tokens of prompt
    positions = 2 * (5 + 2) + (5 + 4)
    assert (line["kind"], line["window"], line["forward_passes"], line["token_positions"]) == (
        "generate",
        4,
        3,
        positions,
    )
    assert "bound" not in line and "prediction" not in line
    (costs,) = model.get_model_info()["eosbench"]["costs"].values()
    assert (
        costs["requests"],
        costs["mean_window"],
        costs["forward_passes"],
        costs["token_positions"],
    ) == (1, 4, 3, positions)


def test_the_results_file_names_every_option() -> None:
    info = model_of(
        backbone_of(REPLIES), method="daedal", initial_gen_length="32"
    ).get_model_info()["eosbench"]
    assert info["method"] == "daedal"
    assert (
        info["method_options"]["initial_gen_length"] == 32
        and info["method_options"]["expansion_factor"] == 8
    )
    assert info["predictor"] is info["calibration"] is info["rounding"] is info["overflow"] is None


def test_every_option_changes_the_fingerprint() -> None:
    changes: list[dict[str, Any]] = [
        {"method": "blocks"},
        {"method": "daedal"},
        {"method": "rho_eos"},
        {"method": "daedal", "initial_gen_length": 32},
        {"method": "daedal", "low_conf_threshold": 0.2},
        {"method": "rho_eos", "scheduler": "const"},
        {"method": "rho_eos", "low_density_threshold": 0.3},
    ]
    assert len({model_of(backbone_of(REPLIES), **change).fingerprint for change in changes}) == len(
        changes
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"method": "daedal", "overflow": "retry"},
            "'daedal' decides the length while decoding.*overflow='retry' has no meaning",
        ),
        (
            {"method": "blocks", "predictor": "heads/x"},
            "predictor='heads/x' has no meaning for it, leave it out",
        ),
        ({"method": "blocks", "alpha": "none"}, "alpha=None has no meaning for it, leave it out"),
        (
            {"method": "daedal", "rounding": "block"},
            "rounding='block' has no meaning for it, leave it out",
        ),
        (
            {"method": "rho_eos", "reference": "self"},
            "reference='self' has no meaning for it, leave it out",
        ),
        ({"method": "daedal", "steps": 64}, "method 'daedal' cannot work with steps=64"),
        (
            {"method": "rho_eos", "tokens_per_step": 2},
            "method 'rho_eos' cannot work with steps=128",
        ),
        (
            {"method": "rho_eos", "low_conf_threshold": 0.2},
            "method 'rho_eos' has no option low_conf_threshold",
        ),
        ({"method": "blocks", "tau": 0.5}, "method 'blocks' has no option tau: expected none"),
        (
            {"method": "daedal", "eos_check_tokens": "many"},
            "eos_check_tokens='many': expected a whole number",
        ),
        (
            {"method": "best"},
            "unknown method 'best': expected one of logit, .*, blocks, daedal, rho_eos",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_loaded(
    given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_arguments({"pretrained": "nowhere"} | given)


def test_a_request_may_not_ask_for_it_either() -> None:
    model = model_of(backbone_of(REPLIES), method="daedal")
    with pytest.raises(
        ConfigurationError,
        match=r"task task, document 0: method 'daedal' cannot work with threshold=0\.8",
    ):
        model.generate_until([asked("One?", threshold=0.8)])
