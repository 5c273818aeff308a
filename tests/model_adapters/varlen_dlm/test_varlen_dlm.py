"""What lm-eval gets from `varlen_dlm`: texts, likelihoods and records, on backbones written by hand
and on golden checkpoints.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lm_eval.api.instance import Instance
from tokenizers import Tokenizer, models, pre_tokenizers

from eosbench.bounds.calibration import Calibration
from eosbench.predictors import load_predictor
from eosbench.predictors.fixed import Fixed
from eosbench.predictors.folder import save_folder
from eosbench.records import LengthRecord, Prompt
from model_adapters import load_backbone
from model_adapters.varlen_dlm.model import VarLenDLM
from tests.fakes import BOS, EOS, FIRST_BYTE, SEP, ByteTokenizer
from tests.golden_files import GOLDEN, load_golden
from tests.model_adapters.varlen_dlm.scripted_model import (
    asked,
    backbone_of,
    benchmark,
    ids,
    model_of,
    pair,
)

V = ByteTokenizer.vocab_size
TRAINED = {
    "pretrained": str(GOLDEN / "llada-trained"),
    "device": "cpu",
    "max_gen_toks": 64,
    "block_length": 16,
}


def texts(model: VarLenDLM, *requests: Instance) -> list[str]:
    return model.generate_until(list(requests), disable_tqdm=True)


# Where an answer ends.


def test_an_answer_ends_at_eos_then_at_a_stop_string() -> None:
    after_eos = [*ids("42"), EOS, *ids("Q:!")]
    model = model_of(
        backbone_of(
            {"eos?": after_eos, "stop?": "4. Q: no", "both?": [*ids("4 Q: a"), EOS, *ids("secret")]}
        )
    )
    assert texts(
        model,
        asked("eos?", until=["Q:"]),
        asked("stop?", 1, until=["Q:"]),
        asked("stop?", 2, until=["Q:", "."]),
        asked("stop?", 3, until="."),
        asked("stop?", 4, until=[]),
        asked("stop?", 5),
        asked("both?", 6, until=["Q:"]),
        asked("both?", 7, until=["secret", ""]),
    ) == ["42", "4. ", "4", "4", "4. Q: no", "4. Q: no", "4 ", "4 Q: a"]


def test_every_end_token_ends_a_text() -> None:
    reply = [*ids("42"), SEP, *ids("Q: more")]
    assert texts(model_of(backbone_of({"q?": reply}, eos_ids=(EOS, SEP))), asked("q?")) == ["42"]
    assert texts(model_of(backbone_of({"q?": reply})), asked("q?")) == ["42Q: more"]


def test_lladas_end_of_turn_is_an_end_token(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(GOLDEN / "llada-trained", folder)
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text(
        tokenizer.read_text(encoding="utf-8").replace("<sep>", "<|eot_id|>"), encoding="utf-8"
    )
    assert load_backbone(folder).spec.eos_ids == {EOS, SEP}


def test_a_stop_string_that_is_a_special_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ByteTokenizer, "added_tokens_decoder", {SEP: "<sep>"}, raising=False)
    model = model_of(backbone_of({"q?": [*ids("42"), SEP, *ids("more")]}))
    assert texts(model, asked("q?", until=["<sep>"])) == ["42"]


@pytest.mark.parametrize("name", ["max_gen_toks", "max_new_tokens"])
def test_each_request_has_its_own_canvas(name: str) -> None:
    backbone = backbone_of({"q?": "abcdefghij"})
    answers = texts(
        model_of(backbone), asked("q?", **{name: 3}), asked("q?", 1, **{name: 7}), asked("q?", 2)
    )
    assert answers == ["abc", "abcdefg", "abcdefghij"]
    assert {length - 3 for _, mask in backbone.passes for length in mask.sum(dim=1).tolist()} == {
        3,
        7,
        16,
    }


def test_each_request_decodes_as_it_says() -> None:
    backbone = backbone_of({"q?": "abcdefgh"})
    model = model_of(backbone, max_gen_toks=8, tokens_per_step=1)
    assert (
        texts(model, asked("q?", steps=2), asked("q?", 1, tokens_per_step=2), asked("q?", 2))
        == ["abcdefgh"] * 3
    )
    assert model.ledger.totals()["task"]["forward_passes"] == 2 + 4 + 8


# Sampling.


def dice(ids_T: torch.Tensor) -> torch.Tensor:
    """Any of 16 letters, equally likely."""
    logits_TV = torch.full((len(ids_T), V), -30.0)
    logits_TV[:, FIRST_BYTE + ord("a") : FIRST_BYTE + ord("a") + 16] = 0.0
    return logits_TV


def test_a_sampled_answer_depends_on_its_request_alone() -> None:
    requests = [asked("q" * (1 + n % 3), n, do_sample=True, temperature=1.0) for n in range(6)]
    answers = texts(model_of(backbone_of(dice), batch_size=1), *requests)
    assert len(set(answers)) == 6
    assert texts(model_of(backbone_of(dice), batch_size=4), *requests) == answers
    assert texts(model_of(backbone_of(dice), batch_size=3), *reversed(requests)) == answers[::-1]
    assert texts(model_of(backbone_of(dice)), requests[3]) == [answers[3]]


def test_repeats_of_a_sampled_request_differ_and_seeds_too() -> None:
    request = asked("q", repeats=3, do_sample=True, temperature=1.0)
    drawn = texts(model_of(backbone_of(dice)), *[request] * 3)
    assert len(set(drawn)) == 3
    assert texts(model_of(backbone_of(dice)), *[request] * 3) == drawn
    assert not set(texts(model_of(backbone_of(dice), seed=1), *[request] * 3)) & set(drawn)


@pytest.mark.parametrize(
    ("kwargs", "samples"),
    [
        ({}, False),
        ({"do_sample": False, "temperature": 1.0}, False),
        ({"temperature": 0.0}, False),
        ({"temperature": 1.0}, True),
        ({"do_sample": True}, True),
    ],
)
def test_when_a_request_samples(kwargs: dict[str, Any], samples: bool) -> None:
    request = asked("q", repeats=2, **kwargs)
    one, other = texts(model_of(backbone_of(dice)), request, request)
    assert (one != other) == samples


def test_copies_that_fill_up_a_process_share_are_not_computed() -> None:
    backbone = backbone_of({"a?": "yes", "b?": "no"})
    first, last = asked("a?", 0), asked("b?", 1)
    model = model_of(backbone, batch_size=1, stop_at_eos=False)
    assert texts(model, first, last, last, last) == ["yes", "no", "no", "no"]
    assert model.ledger.totals()["task"]["requests"] == 2
    assert model.ledger.totals()["task"]["forward_passes"] == len(backbone.passes) == 2 * 16
    likely = pair("a?", "yes")
    scored = model.loglikelihood([likely, likely], disable_tqdm=True)
    assert scored[0] == scored[1]
    assert model.ledger.totals()["task"]["requests"] == 3
    drawn = texts(model_of(backbone_of(dice)), *[asked("q", repeats=2, temperature=1.0)] * 4)
    assert drawn[0] != drawn[1]
    assert drawn[2] == drawn[3] == drawn[0]


# A real model.


@pytest.mark.parametrize(
    ("batch_size", "cases"), [(1, (5, 11, 14)), (7, (3, 5, 7, 11, 12, 14, 16))]
)
def test_golden_answers_at_any_batch_size(batch_size: int, cases: tuple[int, ...]) -> None:
    golden = load_golden("llada-trained")
    tokenizer = golden.backbone.tokenizer
    model = VarLenDLM(**TRAINED, batch_size=batch_size)
    requests, expected = [], []
    for case in cases:
        prompt = golden.tensors[f"generate.{case}.prompt"][0].tolist()
        output = golden.tensors[f"generate.{case}.output"][0].tolist()[len(prompt) :]
        context = tokenizer.decode(prompt)
        assert model.tok_encode(context) == prompt
        requests.append(asked(context, case))
        expected.append(tokenizer.decode(output[: output.index(EOS)]))
    assert all(expected)
    assert texts(model, *requests) == expected


# Likelihoods.


def word_folder(folder: Path) -> Path:
    """llada-tiny with a tokenizer whose words are its ids: t17 is 17."""
    shutil.copytree(GOLDEN / "llada-tiny", folder)
    vocabulary = {f"t{index}": index for index in range(320)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="t0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_golden_likelihoods(tmp_path: Path) -> None:
    golden = load_golden("llada-tiny")
    model = VarLenDLM(pretrained=str(word_folder(tmp_path / "tiny")), device="cpu", max_gen_toks=16)
    cases = golden.settings["loglikelihood"]
    requests = []
    for case in range(len(cases)):
        words = [
            " ".join(
                f"t{index}" for index in golden.tensors[f"loglikelihood.{case}.{part}"].tolist()
            )
            for part in ("prompt", "target")
        ]
        requests.append(pair(words[0], " " + words[1], case))
    scored = model.loglikelihood(requests, disable_tqdm=True)
    assert [value for value, _ in scored] == pytest.approx(
        [case["exact"] for case in cases], abs=1e-4
    )
    totals = model.ledger.totals()["task"]
    assert totals["requests"] == len(cases) == 5
    assert totals["forward_passes"] >= 1 + 3 + 7 + 31 + 127


def by_position(ids_T: torch.Tensor) -> torch.Tensor:
    """At position p each of the letters a to j has probability p/100, whatever stands elsewhere."""
    share_T1 = torch.arange(len(ids_T))[:, None] / 100
    p_TV = ((1 - 10 * share_T1) / (V - 10)).repeat(1, V)
    p_TV[:, FIRST_BYTE + ord("a") : FIRST_BYTE + ord("a") + 10] = share_T1
    return p_TV.log()


def crowded(ids_T: torch.Tensor) -> torch.Tensor:
    """The more tokens are known, the surer every position is of the letters."""
    logits_TV = torch.zeros(len(ids_T), V)
    logits_TV[:, FIRST_BYTE + ord("a") : FIRST_BYTE + ord("a") + 10] = 0.3 * float(
        (ids_T != 0).sum()
    )
    return logits_TV


def test_likelihoods_by_hand() -> None:
    backbone = backbone_of(by_position)
    model = model_of(backbone)
    requests = [
        pair("", "ab", 0),
        pair("aa", "bc", 1),
        pair("aa ", "c", 2),
        pair("  ", "c", 3),
        pair("aa", "", 4),
    ]
    values = [value for value, _ in model.loglikelihood(requests, disable_tqdm=True)]
    other = (1 - 0.3) / (V - 10)  # a space at position 3
    # After the prefix token, at positions 1 and 2.
    assert values[0] == pytest.approx(math.log(0.01 * 0.02), abs=1e-5)
    assert values[1] == pytest.approx(math.log(0.03 * 0.04), abs=1e-5)  # after <bos>, a, a
    # The trailing space belongs to the continuation.
    assert values[2] == pytest.approx(math.log(other * 0.04), abs=1e-5)
    assert values[3] == pytest.approx(
        math.log((1 - 0.1) / (V - 10) * (1 - 0.2) / (V - 10) * 0.03), abs=1e-5
    )
    assert values[4] == 0.0
    assert model.prefix_token_id == BOS
    assert all(tokens[0, 0] in (BOS, ids("a")[0]) for tokens, _ in backbone.passes)


def test_greedy_and_what_likelihoods_cost() -> None:
    backbone = backbone_of({"q?": "yes"})
    model = model_of(backbone, batch_size=1)
    scored = model.loglikelihood([pair("q?", "yes", 0), pair("q?", "no", 1)], disable_tqdm=True)
    assert [greedy for _, greedy in scored] == [True, False]
    totals = model.ledger.totals()["task"]
    # "yes": 7 sets of its 3 tokens and 2 greedy passes over <bos>q?yes, whose first choice stands
    # in the set of all; "no": 3 sets over <bos>q?no, and a miss at once
    assert totals["forward_passes"] == len(backbone.passes) == 7 + 2 + 3
    assert totals["token_positions"] == 9 * 6 + 3 * 5
    assert 0 < totals["model_seconds"] < totals["seconds"]
    assert (totals["requests"], totals["mean_window"], totals["truncated"]) == (2, 0.0, 0)


def test_equal_pairs_are_computed_once_however_far_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_adapters.varlen_dlm.scores.AT_ONCE", 1)
    backbone = backbone_of(by_position)
    scored = model_of(backbone).loglikelihood(
        [pair("a", "b", 0), pair("aa", "c", 1), pair("a", "b", 2)], disable_tqdm=True
    )
    assert len(backbone.passes) == 2
    assert scored[0] == scored[2] != scored[1]


def test_windows_of_several_texts_share_passes() -> None:
    backbone = backbone_of(by_position)
    requests = [
        Instance("loglikelihood_rolling", {}, (text,), 0, ("task", n, 1))
        for n, text in enumerate(("ab", "cd"))
    ]
    values = model_of(backbone).loglikelihood_rolling(requests, disable_tqdm=True)
    assert values == pytest.approx([math.log(0.01 * 0.02)] * 2, abs=1e-5)
    # Of 3 sets each, the one of all tokens is the same copy.
    assert [len(rows) for rows, _ in backbone.passes] == [5]


def test_long_contexts_are_cut_from_the_left(caplog: pytest.LogCaptureFixture) -> None:
    backbone = backbone_of(by_position, max_length=6)
    model = model_of(backbone, max_gen_toks=2)
    with caplog.at_level(logging.WARNING):
        scored = model.loglikelihood(
            [pair("jjabcd", "ef", 0), pair("ab", "c", 1)], disable_tqdm=True
        )
    assert scored[0][0] == pytest.approx(math.log(0.04 * 0.05), abs=1e-5)
    assert "1 of 2 contexts" in caplog.text
    assert backbone.passes[0][0][0, :4].tolist() == ids("abcd")
    with pytest.raises(ValueError, match="leaves no room for a context"):
        model.loglikelihood([pair("a", "abcdef")], disable_tqdm=True)


def test_rolling_windows_by_hand() -> None:
    backbone = backbone_of(by_position, max_length=5)
    model = model_of(backbone, max_gen_toks=2)
    requests = [
        Instance("loglikelihood_rolling", {}, (text,), 0, ("task", document, 1))
        for document, text in enumerate(("abcdefghij", "ab", ""))
    ]
    long, short, empty = model.loglikelihood_rolling(requests, disable_tqdm=True)
    # [BOS] abcd and d | efgh at positions 1 to 4, then fgh | ij at 3 and 4
    assert long == pytest.approx(
        2 * math.log(0.01 * 0.02 * 0.03 * 0.04) + math.log(0.03 * 0.04), abs=1e-4
    )
    assert short == pytest.approx(math.log(0.01 * 0.02), abs=1e-5)
    assert empty == 0.0
    starts = {
        tuple(tokens[row, :3].tolist())
        for tokens, _ in backbone.passes
        for row in range(len(tokens))
    }
    assert tuple(ids("fgh")) in starts
    totals = model.ledger.totals()["task"]
    assert (totals["requests"], totals["forward_passes"]) == (3, 15 + 15 + 3 + 3)


def test_likelihoods_of_ids() -> None:
    model = model_of(backbone_of(by_position))
    assert model._loglikelihood_tokens([(("", ""), ids("a"), ids("b"))])[0][0] == pytest.approx(
        math.log(0.01), abs=1e-5
    )


# Prompts.


def test_special_tokens_are_not_doubled() -> None:
    model = model_of(backbone_of(dice))
    chat = model.apply_chat_template([{"role": "user", "content": "hi"}])
    assert chat == "<bos>hi<sep>"
    assert model.tok_encode(chat) == [BOS, *ids("hi"), SEP]
    assert model.tok_encode("hi") == [BOS, *ids("hi")]
    assert model.tok_encode("hi", add_special_tokens=False) == ids("hi")
    assert model._encode_pair(chat, "ab") == ([BOS, *ids("hi"), SEP], ids("ab"))
    assert model._encode_pair("hi", " ab") == ([BOS, *ids("hi")], ids(" ab"))


def test_long_prompts_are_cut_from_the_left(caplog: pytest.LogCaptureFixture) -> None:
    backbone = backbone_of({"cd?": "yes"}, max_length=7)
    model = model_of(backbone, max_gen_toks=4)
    with caplog.at_level(logging.WARNING):
        assert texts(model, asked("abcd?"), asked("cd?", 1)) == ["yes"] * 2
    assert "2 of 2 prompts" in caplog.text
    assert "up to 3 tokens" in caplog.text  # <bos>, a, b
    assert backbone.passes[0][0][0, :3].tolist() == ids("cd?")


def test_unknown_generation_arguments_are_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        texts(model_of(backbone_of({"q?": "yes"})), asked("q?", num_beams=3, until=[]))
    assert "ignores the generation arguments ['num_beams']" in caplog.text


# Bounds and records.


def record(model: VarLenDLM, *requests: Instance) -> LengthRecord:
    return LengthRecord.from_json(texts(model, *requests)[0])


def test_a_record_by_hand() -> None:
    backbone = backbone_of({"q?": "abcde"})
    model = model_of(backbone, method="logit", variant="top1", rounding="pow2")
    found = record(model, benchmark("q?", "abcde"))
    assert (found.method, found.fraction, found.canvas, found.prompt_length) == (
        "logit",
        0.0,
        16,
        3,
    )
    assert (found.length, found.prediction, found.bound, found.clamped) == (5, 5.0, 8, False)
    assert (found.eos_rank, found.revealed) == (1, [])
    assert found.eos_prob == pytest.approx(0.9 - 0.001 * (2 + 5), abs=0.01)
    assert found.eos_false == 0.0
    assert len(found.eos_probability or []) == 16
    assert len(backbone.passes) == 1
    assert backbone.passes[0][0][0].tolist() == [BOS, *ids("q?"), *[0] * 16]


def test_ends_before_the_end_are_counted() -> None:
    """The model would answer "ab" and end; the reference has five tokens."""
    found = record(model_of(backbone_of({"q?": "ab"}), method="logit"), benchmark("q?", "abcde"))
    assert (found.eos_rank, found.eos_false) == (1, 3 / 5)
    silent = record(model_of(backbone_of({"q?": "ab"}), method="fixed"), benchmark("q?", "abcde"))
    assert (silent.eos_rank, silent.eos_false) == (None, None)


def test_revealed_tokens_stand_in_the_canvas() -> None:
    backbone = backbone_of({"q?": "abcdefgh"})
    found = record(
        model_of(backbone, method="logit", variant="top1"), benchmark("q?", "abcdefgh", 0.5)
    )
    canvas = backbone.passes[0][0][0, 3:].tolist()
    assert len(found.revealed) == 4
    assert [at for at, token in enumerate(canvas) if token] == found.revealed
    assert [canvas[at] for at in found.revealed] == [ids("abcdefgh")[at] for at in found.revealed]


@pytest.mark.parametrize(
    "options", [{"method": "logit", "variant": "top1"}, {"method": "logit"}, {"method": "fixed"}]
)
def test_a_predictor_never_sees_the_reference(options: dict[str, str]) -> None:
    answers = []
    for reference in ("abcde", "zz", "a much longer text than any canvas here holds"):
        backbone = backbone_of({"q?": "abcde"})
        found = record(model_of(backbone, **options), benchmark("q?", reference))
        assert found.length == len(reference)
        seen = [ids_BT[0].tolist() for ids_BT, _ in backbone.passes]
        answers.append(
            (found.prediction, found.calibrated, found.bound, found.eos_probability, seen)
        )
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize("fraction", [0.0, 0.5])
def test_what_a_predictor_is_shown(fraction: float, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Prompt] = []
    predict = Fixed.predict
    monkeypatch.setattr(
        Fixed, "predict", lambda self, batch: shown.extend(batch.prompts) or predict(self, batch)
    )
    record(model_of(backbone_of({"q?": "abcd"})), benchmark("q?", "abcd", fraction))
    (prompt,) = shown
    assert (prompt.ids, prompt.text, prompt.fraction, prompt.reference_length) == (
        (BOS, *ids("q?")),
        "q?",
        fraction,
        None,
    )
    assert [token for token in prompt.canvas if token] == [
        token for token in ids("abcd") if token in prompt.canvas
    ]
    assert sum(token != 0 for token in prompt.canvas) == int(fraction * 4)


def test_the_oracle_is_told() -> None:
    model = model_of(backbone_of({"q?": "abcde"}), method="oracle", rounding="none")
    assert record(model, benchmark("q?", "abc")).bound == 3
    # A window of the reference's length.
    assert texts(model, asked("q?", reference="abcd")) == ["abcd"]


def test_a_canvas_of_the_request() -> None:
    model = model_of(backbone_of({"q?": "abcde"}), method="fixed")
    found = record(model, benchmark("q?", "abcdefgh", max_gen_toks=6))
    assert (found.canvas, found.bound) == (6, 6)


# What a run says of itself.


def test_model_info_and_costs_by_hand() -> None:
    backbone = backbone_of({"q?": "abcde"})
    model = model_of(
        backbone,
        method="logit",
        variant="top1",
        rounding="none",
        overflow="retry",
        alpha=0.1,
        stop_at_eos=False,
    )
    assert texts(model, asked("q?", 0, task="gen"), asked("q?", 1, task="gen", max_gen_toks=4)) == [
        "abcde",
        "abcd",
    ]
    record(model, benchmark("q?", "abcde"))
    info = model.get_model_info()["eosbench"]
    assert json.loads(json.dumps(info)) == info
    assert info["backbone"] == {
        "name": "scripted",
        "family": "scripted",
        "fingerprint": "0123456789abcdef",
        "attention": "full",
        "dtype": "float32",
        "mask_id": 0,
        "eos_ids": [1],
        "pad_id": 1,
    }
    assert (info["schema"], info["method"], info["rounding"], info["overflow"]) == (
        1,
        "logit",
        "none",
        "retry",
    )
    assert info["canvas"] == 16
    assert info["method_options"]["variant"] == "top1"
    assert (info["predictor"], info["calibration"], info["fingerprint"]) == (
        None,
        None,
        model.fingerprint,
    )
    assert info["decoding"]["steps"] is None
    generated, predicted = info["costs"]["gen"], info["costs"]["task"]
    # The prompt has 3 tokens. First request: step zero says 5, the window of 5 holds no EOS, so 10
    # with one token kept at each of 5 more passes. Second one: step zero over a canvas of 4, a
    # window of 4, which is all the canvas.
    assert generated["requests"] == 2
    assert generated["mean_window"] == (10 + 4) / 2
    assert generated["forward_passes"] == (1 + 5 + 5) + (1 + 4)
    assert generated["token_positions"] == (19 + 5 * 8 + 5 * 13) + (7 + 4 * 7)
    assert (generated["retries"], generated["truncated"]) == (1, 1)
    assert (
        predicted["mean_window"],
        predicted["forward_passes"],
        predicted["token_positions"],
    ) == (5, 1, 19)


def test_a_calibration_is_reported() -> None:
    backbone = backbone_of({"q?": "abcde"})
    model = model_of(backbone, method="logit", variant="top1", rounding="none", alpha=0.1)
    object.__setattr__(model.method, "calibration", Calibration({0.0: [2.0] * 20}, scale="linear"))  # type: ignore[dict-item]
    assert record(model, benchmark("q?", "abcde")).bound == 7
    assert model.get_model_info()["eosbench"]["calibration"] == {
        "kind": "split_conformal",
        "alpha": 0.1,
        "samples": 20,
    }


def test_a_mean_shortfall_within_groups_is_reported(tmp_path: Path) -> None:
    """50 of the table's documents have prompts of 3 tokens, as "q?" has: of them only the margin is
    taken.
    """
    backbone = backbone_of({"q?": "abcde"})
    scores_N, prompts_N = np.repeat([4.0, 9.0], 50), np.repeat([3.0, 30.0], 50)
    table = Calibration({0.0: scores_N}, "linear", np.full(100, 9.0), prompts_N, {"prompt": [10.0]})
    rule = load_predictor("logit", backbone=backbone, canvas=16, options={"variant": "top1"})
    save_folder(tmp_path / "logit", replace(rule, calibration=table), backbone=backbone, canvas=16)
    promised = {"predictor": str(tmp_path / "logit"), "shortfall": 1, "groups": "prompt"}
    model = model_of(backbone, method="logit", rounding="none", **promised)
    found = record(model, benchmark("q?", "abcde"))
    assert found.calibrated == pytest.approx(5 + 4 - (51 - 16) / 50)
    said = model.get_model_info()["eosbench"]["calibration"]
    assert said == {"kind": "risk_control", "shortfall": 1.0, "groups": "prompt", "samples": 100}


def test_what_a_folder_says_of_its_fit_is_reported() -> None:
    """What repeats of one fit share, and the seed in which they differ; folders of before name no
    settings, some nothing.
    """
    model = model_of(backbone_of({"q?": "abcde"}), method="logit", variant="top1")
    assert model.get_model_info()["eosbench"]["predictor_fit"] is None
    data = {
        "source": "x",
        "train": {"documents": 9, "digest": "aa"},
        "calibration": {"digest": "bb"},
        "censored": 0,
    }
    info = {
        "fit": {"seed": 2, "training": {"epochs": 5}, "scores": {}},
        "data": data,
        "calibration": {"scale": "log"},
    }
    object.__setattr__(model.method, "info", info)
    said = {"seed": 2, "train": "aa", "calibration": "bb", "scale": "log"}
    assert model.get_model_info()["eosbench"]["predictor_fit"] == said
    object.__setattr__(
        model.method, "info", {**info, "fit": {"seed": 2, "settings": {"epochs": 60}}}
    )
    assert model.get_model_info()["eosbench"]["predictor_fit"] == {**said, "epochs": 60}
    object.__setattr__(model.method, "info", {"fit": {"seed": 1}, "calibration": None})
    assert model.get_model_info()["eosbench"]["predictor_fit"] == {"seed": 1, "scale": None}


def test_telemetry_has_a_line_per_request(tmp_path: Path) -> None:
    model = model_of(
        backbone_of({"q?": "abcde"}),
        telemetry=str(tmp_path / "costs.jsonl"),
        method="logit",
        variant="top1",
    )
    texts(model, asked("q?", 5), benchmark("q?", "abcde", document=6))
    model.loglikelihood([pair("q?", "abcde", 7)], disable_tqdm=True)
    lines = [json.loads(line) for line in (tmp_path / "costs.jsonl").read_text().splitlines()]
    found = [
        (line["kind"], line["doc_id"], line["window"], line.get("bound"), line.get("prediction"))
        for line in lines
    ]
    assert found == [
        ("predict", 6, 8, 8, 5.0),
        ("generate", 5, 5, 5, 5.0),
        ("loglikelihood", 7, 0, None, None),
    ]


def test_telemetry_says_how_uncertain_a_likelihood_is(tmp_path: Path) -> None:
    model = model_of(backbone_of(crowded), telemetry=str(tmp_path / "costs.jsonl"), mc_num=9)
    model.loglikelihood([pair("a", "abcdefghij", 0), pair("a", "abc", 1)], disable_tqdm=True)
    rolling = [Instance("loglikelihood_rolling", {}, ("abcdefghij",), 0, ("task", 2, 1))]
    model.loglikelihood_rolling(rolling, disable_tqdm=True)
    lines = [json.loads(line) for line in (tmp_path / "costs.jsonl").read_text().splitlines()]
    errors = {line["doc_id"]: line["standard_error"] for line in lines}
    assert errors[0] > 1e-3 and errors[1] == 0 and errors[2] > 1e-3
