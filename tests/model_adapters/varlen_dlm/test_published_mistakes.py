"""What published evaluation scripts of diffusion language models get wrong, each as a test of
`varlen_dlm`.

What has longer tests elsewhere: killed runs and several processes (test_killed_run.py), response
caches of other methods (test_response_cache.py), ids of each family (test_families.py), golden
texts at any batch size (test_varlen_dlm.py).
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from lm_eval.api.instance import Instance

from tests.fakes import EOS, FIRST_BYTE, MASK, ByteTokenizer
from tests.model_adapters.varlen_dlm.scripted_model import asked, backbone_of, ids, model_of, pair

V = ByteTokenizer.vocab_size


def test_one_request_at_a_time_is_not_all_that_fits_a_pass() -> None:
    backbone = backbone_of({"a?": "yes", "b?": "no", "c?": "maybe"})
    model = model_of(backbone, batch_size=3)
    assert model.generate_until([asked(f"{name}?", n) for n, name in enumerate("abc")], True) == [
        "yes",
        "no",
        "maybe",
    ]
    assert len(backbone.passes[0][0]) == 3


def test_one_process_is_enough_and_is_the_first_of_one() -> None:
    model = model_of(backbone_of({"a?": "yes"}))
    assert (model.rank, model.world_size) == (0, 1)
    assert model.generate_until([asked("a?")], True) == ["yes"]


def test_text_after_the_first_eos_is_dropped() -> None:
    model = model_of(backbone_of({"a?": [*ids("yes"), EOS, *ids("and more")]}), stop_at_eos=False)
    assert model.generate_until([asked("a?")], True) == ["yes"]


def test_stop_strings_are_each_request_s_own() -> None:
    model = model_of(backbone_of({"a?": "x.y;z"}), batch_size=3)
    requests = [asked("a?", 0, until=["."]), asked("a?", 1, until=[";"]), asked("a?", 2, until=[])]
    assert model.generate_until(requests, True) == ["x", "x.y", "x.y;z"]


def test_padding_is_never_attended_to() -> None:
    """The scripted backbone sees the tokens that the mask lets through: with padding among them its
    answer would be another.
    """

    def counts(ids_T: torch.Tensor) -> torch.Tensor:
        logits_TV = torch.zeros(len(ids_T), V)
        logits_TV[:, FIRST_BYTE + ord("0") + len(ids_T) % 10] = 9.0
        return logits_TV

    backbone = backbone_of(counts)
    found = model_of(backbone, batch_size=4).generate_until(
        [asked("q" * n, n, max_gen_toks=4) for n in (1, 3, 4)], True
    )
    # <bos>, the prompt, a canvas of 4.
    assert found == [str((1 + n + 4) % 10) * 4 for n in (1, 3, 4)]
    assert any(0 in mask for _, mask in backbone.passes)


def test_max_gen_toks_is_obeyed() -> None:
    model = model_of(backbone_of({"a?": "abcdefgh"}))
    assert model.generate_until(
        [asked("a?", 0, max_gen_toks=2), asked("a?", 1, max_gen_toks=5)], True
    ) == ["ab", "abcde"]


def test_guidance_reaches_likelihoods() -> None:
    def script(ids_T: torch.Tensor) -> torch.Tensor:
        logits_TV = torch.zeros(len(ids_T), V)
        logits_TV[:, ids("y")[0]] = 1.0 if ids_T[0] == MASK else 2.0
        return logits_TV

    values = [
        model_of(backbone_of(script), cfg_scale=scale).loglikelihood([pair("a", "y")], True)[0][0]
        for scale in (0.0, 1.0)
    ]
    # 1 + 2 (2 - 1) = 3.
    expected = [logit - math.log(math.exp(logit) + V - 1) for logit in (2.0, 3.0)]
    assert values == pytest.approx(expected, abs=1e-5)


def test_ids_are_the_checkpoint_s_own() -> None:
    """Another end token and another mask token, as the spec has them, and none of LLaDA's."""
    reply = [*ids("42"), 200, *ids("more")]
    assert model_of(backbone_of({"a?": reply}, eos_ids=(200,))).generate_until(
        [asked("a?")], True
    ) == ["42"]


def test_what_is_counted_tells_the_prompt_from_the_answer(tmp_path: Path) -> None:
    """Two prompts, one answer: token-positions differ by the prompt, the window does not; no number
    mixes the two.
    """
    model = model_of(
        backbone_of({"a?": "yes", "aaaaaaaa?": "yes"}), telemetry=str(tmp_path / "costs.jsonl")
    )
    model.generate_until([asked("a?", 0), asked("aaaaaaaa?", 1)], True)
    lines = sorted(
        map(json.loads, (tmp_path / "costs.jsonl").read_text().splitlines()),
        key=lambda line: line["doc_id"],
    )
    assert [line["window"] for line in lines] == [16, 16]
    assert (
        lines[1]["token_positions"] - lines[0]["token_positions"] == 7 * lines[0]["forward_passes"]
    )


def test_rolling_likelihoods_do_not_raise() -> None:
    model = model_of(backbone_of(lambda ids_T: torch.zeros(len(ids_T), V)))
    (value,) = model.loglikelihood_rolling(
        [Instance("loglikelihood_rolling", {}, ("abc",), 0, ("task", 0, 1))], True
    )
    assert value == pytest.approx(-3 * math.log(V), abs=1e-4)


def test_a_sampled_likelihood_is_the_same_in_every_run_and_batch_and_knows_its_error(
    tmp_path: Path,
) -> None:
    def script(ids_T: torch.Tensor) -> torch.Tensor:
        logits_TV = torch.zeros(len(ids_T), V)
        logits_TV[:, ids("a")[0]] = (ids_T != MASK).float().sum()
        return logits_TV

    requests, found = (
        [pair("q", "aabababbab", 0), pair("q", "ab", 1), pair("qqq", "bababaaab", 2)],
        [],
    )
    for batch_size in (1, 8):
        path = tmp_path / f"{batch_size}.jsonl"
        model = model_of(backbone_of(script), batch_size=batch_size, mc_num=16, telemetry=str(path))
        found.append(model.loglikelihood(requests, True))
        errors = {
            line["doc_id"]: line["standard_error"]
            for line in map(json.loads, path.read_text().splitlines())
        }
        assert errors[0] > 0 and errors[1] == 0 and errors[2] > 0
    assert [value for value, _ in found[0]] == pytest.approx(
        [value for value, _ in found[1]], abs=1e-4
    )
