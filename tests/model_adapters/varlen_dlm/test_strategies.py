"""Strategies through the adapter: `method=` picks them, their options are model arguments, and they
say what they cost.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eosbench.errors import ConfigurationError
from eosbench.strategies import STRATEGIES, load_strategy
from eosbench.strategies.void_expansion import VoidExpansion
from eosbench.training.layout import filler_names
from model_adapters import load_backbone, load_trainable
from model_adapters.varlen_dlm.model import VarLenDLM
from model_adapters.varlen_dlm.parsing import parse_arguments
from tests.eosbench.strategies.scripts import generated, job
from tests.fakes import MASK
from tests.golden_files import checkpoint, load_golden
from tests.model_adapters.varlen_dlm.scripted_model import asked, backbone_of, benchmark, model_of

# Where a scripted model has to be told something: the token that VoidPadding needs.
OPTIONS: dict[str, dict[str, Any]] = {"void_expansion": {"void_token": 250}}
REPLIES = {"One?": "a", "Two?": "bc", "Long?": "abcdefghijklmnop"}


@pytest.mark.parametrize("method", STRATEGIES)
def test_texts_come_back_in_order_and_end_before_the_eos(method: str) -> None:
    options = {"max_gen_toks": 64, "block_length": 8, "batch_size": 2}
    model = model_of(backbone_of(REPLIES), method=method, **options | OPTIONS.get(method, {}))
    requests = [asked(prompt, document) for document, prompt in enumerate(REPLIES)]
    assert model.generate_until(requests) == list(REPLIES.values())


@pytest.mark.parametrize("method", STRATEGIES)
def test_stop_strings_and_canvas_are_the_request_s(method: str) -> None:
    backbone = backbone_of(REPLIES)
    options = {"max_gen_toks": 64, "block_length": 4}
    model = model_of(backbone, method=method, **options | OPTIONS.get(method, {}))
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
            model_of(backbone, method=method, **OPTIONS.get(method, {})).generate_until(
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
        (
            {"method": "blocks", "tau": 0.5},
            "'blocks' has no option tau, which is for method=logit or ",
        ),
        (
            {"method": "daedal", "eos_check_tokens": "many"},
            "eos_check_tokens='many': expected a whole number",
        ),
        (
            {"method": "void_expansion", "initial_gen_length": 64, "max_gen_length": 32},
            "no multiple of 32 lies between initial_gen_length=64 and max_gen_length=32",
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


def test_a_model_without_a_void_token_is_refused_when_it_is_loaded() -> None:
    given = {"pretrained": str(checkpoint("llada-trained")), "method": "void_expansion"}
    with pytest.raises(ConfigurationError, match="train one with eosbench train eospad"):
        VarLenDLM(**given, device="cpu")


def test_a_model_of_void_padding_through_the_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A golden case of the published sampler: its text, its canvas and its cost."""
    golden = load_golden("llada-void")
    case = golden.settings["void"][1]
    prompt, output = (golden.tensors[f"void.1.{name}"][0].tolist() for name in ("prompt", "output"))
    model = VarLenDLM(
        pretrained=str(checkpoint("llada-void")),
        method="void_expansion",
        device="cpu",
        initial_gen_length=16,
        max_gen_toks=128,
        block_length=16,
        telemetry=str(tmp_path / "costs.jsonl"),
    )
    monkeypatch.setattr(model, "tok_encode", lambda text: prompt)
    [text] = model.generate_until([asked(case["text"])])
    assert text == golden.backbone.tokenizer.decode(output[len(prompt) : -1])
    (line,) = map(json.loads, (tmp_path / "costs.jsonl").read_text(encoding="utf-8").splitlines())
    found = line["window"], line["forward_passes"], line["token_positions"]
    assert found == (case["selected_canvas"], case["forward_passes"], case["token_positions"])


def test_a_checkpoint_that_eosbench_train_gave_its_padding(tmp_path: Path) -> None:
    """The token that the recipe `eospad` adds is found, and is never placed."""
    trainable = load_trainable(checkpoint("llada-trained"))
    [void_id] = trainable.add_tokens(filler_names("eospad"))
    trainable.ends_with([void_id])
    trainable.export(tmp_path)
    backbone = load_backbone(tmp_path)
    strategy = load_strategy("void_expansion", {"initial_gen_length": 8, "max_gen_length": 16})
    assert isinstance(strategy, VoidExpansion) and strategy.void_id(backbone) == void_id == 622
    one = job([2, 50, 60, 3], gen_length=16, block_length=8)
    answer = generated(strategy, backbone, [one])[0]
    assert void_id not in answer.canvas and answer.cost.forward_passes == 2 + 16


def test_a_request_may_not_ask_for_it_either() -> None:
    model = model_of(backbone_of(REPLIES), method="daedal")
    with pytest.raises(
        ConfigurationError,
        match=r"task task, document 0: method 'daedal' cannot work with threshold=0\.8",
    ):
        model.generate_until([asked("One?", threshold=0.8)])


def test_a_suffix_stands_behind_the_answer() -> None:
    """A request may carry the text behind the gap; methods that do not look at it are refused."""
    backbone = backbone_of(REPLIES)
    model = model_of(backbone, method="fixed", rounding="none")
    [text] = model.generate_until([asked("Two?", suffix="zz", max_gen_toks=2)])
    assert text == "bc"
    behind = model.tok_encode("zz", add_special_tokens=False)
    assert all(ids[0, -2:].tolist() == behind for ids, _ in backbone.passes)
    assert {ids.shape[1] for ids, _ in backbone.passes} == {len(model.tok_encode("Two?")) + 2 + 2}


@pytest.mark.parametrize(
    ("method", "given", "message"),
    [
        ("daedal", {"suffix": "zz"}, "method 'daedal' decides a length without a look at the suf"),
        (
            "logit",
            {"suffix": "zz"},
            "behind the answer: expected one of .*fixed, oracle.*cal",
        ),
        ("fixed", {"suffix": 3}, "suffix=3: expected the text behind the answer"),
        (
            "fixed",
            {"suffix": "z" * 4090},
            "a suffix of 4090 tokens leaves no room for a prompt: expected 4079 at most",
        ),
    ],
)
def test_suffixes_that_cannot_be_used(method: str, given: dict[str, Any], message: str) -> None:
    model = model_of(backbone_of(REPLIES), method=method)
    with pytest.raises(ConfigurationError, match=message):
        model.generate_until([asked("One?", **given)])
