"""Model arguments: what lm-eval's command line may send, and every way to get them wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eosbench.errors import ConfigurationError
from model_adapters.varlen_dlm.arguments import Arguments
from model_adapters.varlen_dlm.parsing import parse_arguments


def parsed(**given: Any) -> Arguments:
    return parse_arguments(given)


def test_defaults_are_the_embedded_model() -> None:
    arguments = parsed()
    assert (arguments.is_embedded, arguments.method, arguments.max_gen_toks) == (
        True,
        "classification",
        256,
    )
    assert parsed(pretrained="some/model").method == "fixed"


def test_strings_and_numbers_become_their_type() -> None:
    arguments = parsed(
        steps="64",
        alpha="0.1",
        cfg_scale=1,
        trust_remote_code="True",
        telemetry="~/x.jsonl",
        mc_num=8.0,
        method="logit",
        q="0.3",
    )
    assert (arguments.steps, arguments.alpha, arguments.cfg_scale, arguments.trust_remote_code) == (
        64,
        0.1,
        1.0,
        True,
    )
    assert arguments.telemetry == Path.home() / "x.jsonl"
    assert isinstance(arguments.cfg_scale, float)
    assert (arguments.mc_num, arguments.options) == (8, {"q": 0.3})


def test_what_loading_is_told() -> None:
    plain = parsed(pretrained="some/model").loading()
    assert (plain["path_or_hub_id"], plain["device_map"], plain["logits_shifted"]) == (
        "some/model",
        None,
        None,
    )
    told = parsed(
        pretrained="m",
        parallelize=True,
        logits_shifted="False",
        attn_implementation="eager",
        revision="v1",
    ).loading()
    assert (told["device_map"], told["logits_shifted"]) == ("auto", False)
    assert (told["attn_implementation"], told["revision"]) == ("eager", "v1")
    assert (
        parsed(pretrained="m", device_map="balanced", parallelize="True").loading()["device_map"]
        == "balanced"
    )
    assert parsed().loading()["path_or_hub_id"].endswith("embedded/model")


def test_none_has_a_meaning_where_there_is_one() -> None:
    assert parsed(alpha=None).alpha is None
    assert parsed(alpha="none").alpha is None
    assert parsed(rounding=None).rounding == "none"  # lm-eval's command line reads rounding=none so
    assert parsed(rounding="none").rounding == "none"
    assert parsed(batch_size=None, max_gen_toks=None) == parsed()


@pytest.mark.parametrize("batch_size", ["auto", "auto:4"])
def test_auto_batch_size(batch_size: str) -> None:
    assert parsed(batch_size=batch_size).batch_size == 32


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"step": 3}, r"no argument step; it knows pretrained, .*steps.*telemetry"),
        ({"b": 1, "a": 1}, r"no argument a, b;"),
        ({"method": "best"}, r"unknown method 'best': expected one of logit, .*oracle"),
        ({"rounding": "up"}, r"unknown rounding 'up': expected one of pow2, block, none"),
        ({"overflow": "crash"}, r"unknown overflow 'crash': expected one of accept, retry"),
        ({"steps": "abc"}, r"steps='abc': expected a whole number"),
        ({"steps": 2.5}, r"steps=2.5: expected a whole number"),
        ({"steps": True}, r"steps=True: expected a whole number"),
        ({"steps": float("inf")}, r"steps=inf: expected a whole number"),
        ({"steps": 0}, r"steps=0: expected 8 \(one per block\) to 256"),
        ({"steps": 4}, r"steps=4: expected 8"),
        ({"alpha": 2}, r"alpha=2.0: expected above 0 and below 1"),
        ({"alpha": "x"}, r"alpha='x': expected a number"),
        ({"alpha": "nan"}, r"alpha=nan: expected above 0"),
        ({"shortfall": 0}, r"shortfall=0.0: expected a number of tokens above 0"),
        (
            {"groups": "family"},
            r"unknown groups 'family': expected one of prompt, prediction, or none",
        ),
        (
            {"groups": "prompt", "alpha": None},
            r"groups=prompt keeps a promise in each group, and alpha=none promises nothing",
        ),
        *(
            (
                {**given, **promise},
                rf"method '{method}' has no calibration scores here to keep {said} with: "
                "leave that out, or .*predictor=",
            )
            for method, given in (
                ("fixed", {"method": "fixed"}),
                ("fixed", {"pretrained": "some/model"}),
                ("oracle", {"method": "oracle"}),
                ("logit", {"pretrained": "some/model", "method": "logit"}),
                ("logit", {"method": "logit", "variant": "top1"}),
                ("smartcrop", {"method": "smartcrop", "tau": 0.5}),
            )
            for promise, said in (
                ({"shortfall": 2}, "shortfall=2.0"),
                ({"groups": "prompt"}, "groups=prompt"),
                ({"shortfall": 2, "groups": "prediction"}, "shortfall=2.0, groups=prediction"),
                ({"promise": "cheapest", "overflow": "retry"}, "promise=cheapest"),
            )
        ),
        (
            {"promise": "cheap", "overflow": "retry"},
            r"unknown promise 'cheap': expected cheapest, or none; a coverage is promised by alpha",
        ),
        (
            {"promise": "cheapest"},
            r"promise=cheapest needs overflow=retry: with overflow=accept a window that is too "
            r"short costs an answer",
        ),
        (
            {"promise": "cheapest", "overflow": "retry", "shortfall": 2},
            r"promise=cheapest .* keeps no shortfall=2.0: give one of them",
        ),
        (
            {"promise": "cheapest", "overflow": "retry", "alpha": "none"},
            r"promise=cheapest .* keeps no alpha=None: give one of them",
        ),
        ({"trust_remote_code": "maybe"}, r"trust_remote_code='maybe': expected True or False"),
        ({"max_gen_toks": 0}, r"max_gen_toks=0: expected at least 1"),
        ({"batch_size": 0}, r"batch_size=0: expected at least 1"),
        ({"mc_num": -1}, r"mc_num=-1: expected at least 1"),
        ({"block_length": -1}, r"block_length=-1: expected a number of tokens, or 0"),
        ({"steps": 64, "tokens_per_step": 2}, r"steps and tokens_per_step say the same thing"),
        ({"tokens_per_step": 0}, r"tokens_per_step=0: expected at least 1"),
        ({"remasking": "none"}, r"remasking='none': expected one of low_confidence, random"),
        ({"threshold": 2}, r"threshold=2.0: expected above 0 and up to 1"),
        ({"cfg_scale": -1}, r"cfg_scale=-1.0: expected 0 or more"),
        ({"cache": "fast"}, r"cache='fast': expected None or one of"),
    ],
)
def test_what_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_arguments(given)


def test_the_canvas_and_what_a_request_says() -> None:
    arguments = parsed(max_gen_toks=256, block_length=32, steps=64)
    config = arguments.decode_config(256)
    assert (config.gen_length, config.block_length, config.steps) == (256, 32, 64)
    small = arguments.for_request(16, {"until": ["x"]}).decode_config(16, 0.5)
    assert (small.gen_length, small.block_length, small.steps, small.temperature) == (
        16,
        16,
        16,
        0.5,
    )
    assert arguments.for_request(64, {"tokens_per_step": 4}).decode_config(64).steps == 16
    assert parsed(tokens_per_step=2).for_request(64, {"steps": "8"}).decode_config(64).steps == 8
    # A block takes a step at least.
    assert parsed(tokens_per_step=100).decode_config(256).steps == 8
    assert parsed(block_length=0).decode_config(40).block_length == 40
    with pytest.raises(ConfigurationError, match="block_length='x'"):
        arguments.for_request(64, {"block_length": "x"})


def test_settings_are_what_answers_depend_on() -> None:
    base = parsed(method="classification").settings()
    assert (
        parsed(
            method="classification", batch_size=3, device="cpu", telemetry="x", revision="main"
        ).settings()
        == base
    )
    for changed in (
        {"steps": 64},
        {"alpha": 0.1},
        {"groups": "prompt"},
        {"promise": "cheapest", "overflow": "retry"},
        {"rounding": "none"},
        {"overflow": "retry"},
        {"seed": 1},
        {"method": "logit"},
    ):
        assert parse_arguments({"method": "classification", **changed}).settings() != base
