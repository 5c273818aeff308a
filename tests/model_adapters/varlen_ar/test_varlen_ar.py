"""`varlen_ar`: the answers of lm-eval's own `hf`, and their costs counted by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.__main__ import cli_evaluate
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    GPT2Config,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.models.gpt2 import GPT2LMHeadModel
from typer.testing import CliRunner

from eosbench.cli import app
from eosbench.errors import ConfigurationError
from eosbench.plugin import MODELS
from model_adapters.varlen_ar import VarLenAR
from tests.golden_files import checkpoint
from tests.model_adapters.varlen_ar.chain_model import chain, saved, tokenizer

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}


def gpt2() -> PreTrainedModel:
    config = GPT2Config(
        vocab_size=257, n_embd=32, n_layer=2, n_head=4, n_positions=64, eos_token_id=0
    )
    return GPT2LMHeadModel(config)


def llama() -> PreTrainedModel:
    config = LlamaConfig(
        vocab_size=257,
        **SIZES,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        eos_token_id=0,
        bos_token_id=None,
    )
    return LlamaForCausalLM(config)


def asked(context: str, document: int = 0, **given: Any) -> Instance:
    return Instance("generate_until", {}, (context, given), 0, ("task", document, 1))


def pair(context: str, continuation: str, document: int = 0) -> Instance:
    return Instance("loglikelihood", {}, (context, continuation), 0, ("task", document, 1))


def text(string: str, document: int = 0) -> Instance:
    return Instance("loglikelihood_rolling", {}, (string,), 0, ("task", document, 1))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def of_chain(tmp_path: Path, **given: Any) -> VarLenAR:
    return VarLenAR(chain(), tokenizer=tokenizer(), telemetry=tmp_path / "costs.jsonl", **given)


@pytest.mark.parametrize("make", [gpt2, llama])
def test_answers_are_those_of_hf(make: Callable[[], PreTrainedModel], tmp_path: Path) -> None:
    """A random model saved and loaded by both, prompts of unequal length, a sampled request."""
    torch.manual_seed(0)
    make().eval().save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    given: dict[str, Any] = {"pretrained": str(tmp_path), "device": "cpu", "batch_size": 3}
    ours, theirs = VarLenAR(**given), HFLM(**given)
    prompts = ["a", "What is it?", "one two three", "zz", "Count."]
    sampled = {"do_sample": True, "temperature": 1.0}
    for extra in ({}, {"until": ["q", "\n"]}, sampled):
        requests = [asked(prompt, at, max_gen_toks=9, **extra) for at, prompt in enumerate(prompts)]
        answers = []
        for model in (ours, theirs):
            torch.manual_seed(1)
            answers.append(model.generate_until(requests, disable_tqdm=True))
        assert answers[0] == answers[1] and len(set(answers[0])) > 1
    pairs = [pair("a", "b"), pair("a", "c", 1), pair("Wh", "at is", 2)]
    assert ours.loglikelihood(pairs, True) == theirs.loglikelihood(pairs, True)
    rolling = [text("one two three" * 8), text("zz", 1)]
    assert ours.loglikelihood_rolling(rolling, True) == theirs.loglikelihood_rolling(rolling, True)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_costs_are_those_counted_by_hand(batch_size: int, tmp_path: Path) -> None:
    """After `a` the model says b, c, d, e and ends; after `k` l, m, n, o, which `o` stops; after
    `p` it goes on to the limit. In a batch of three all rows run for eight passes.
    """
    model = of_chain(tmp_path, batch_size=batch_size)
    requests = [
        asked(prompt, at, until=["o"], max_gen_toks=8)
        for at, prompt in enumerate(["xxa", "hello k", "p"])
    ]
    assert model.generate_until(requests, disable_tqdm=True) == ["bcde", "lmn", "qrstuvwx"]
    found = {line["doc_id"]: line for line in lines(tmp_path / "costs.jsonl")}
    # Tokens of the prompt and of the answer with the one that ends it, and whether it was cut.
    by_hand = {0: (3, 5, 0), 1: (7, 4, 0), 2: (1, 8, 1)}
    block = 12 * 257 * 257  # matrices of a block: 3 and 1 of the attention, 4 and 4 of the network
    for document, (prompt, answer, truncated) in by_hand.items():
        line, positions = found[document], prompt + answer - 1
        assert (line["task"], line["kind"], line["window"]) == ("task", "generate", answer)
        assert line["forward_passes"] == answer
        assert line["token_positions"] == positions
        assert (line["truncated"], line["retries"]) == (truncated, 0)
        attended = sum(range(1, prompt + 1)) + sum(prompt + at for at in range(1, answer))
        scored = answer * 2 * 257 * 257
        assert line["flops"] == 2 * block * positions + 4 * 257 * attended + scored
        assert 0 < line["model_seconds"] <= line["seconds"]
    costs = model.get_model_info()["eosbench"]["costs"]["task"]
    assert (costs["requests"], costs["mean_window"]) == (3, (5 + 4 + 8) / 3)
    assert costs["forward_passes"] == 5 + 4 + 8
    assert costs["token_positions"] == (3 + 4) + (7 + 3) + (1 + 7)
    assert costs["truncated"] == 1


def test_flops_are_those_of_torchs_counter(tmp_path: Path) -> None:
    """The counter has the whole square of the prompt's attention, of which a causal model uses the
    half below the diagonal.
    """
    model = of_chain(tmp_path)
    with FlopCounterMode(display=False) as counter:
        model.generate_until([asked("hello k", until=["o"], max_gen_toks=8)], disable_tqdm=True)
    (line,) = lines(tmp_path / "costs.jsonl")
    above_the_diagonal = 4 * 257 * (7 * 7 - 7 * 8 / 2)
    assert counter.get_total_flops() == line["flops"] + above_the_diagonal


def test_likelihoods_cost_a_pass_over_all_but_the_last_token(tmp_path: Path) -> None:
    model = of_chain(tmp_path, batch_size=2)
    model.loglikelihood([pair("abc", "d"), pair("abc", "xy", 1)], disable_tqdm=True)
    one, two = lines(tmp_path / "costs.jsonl")
    assert (one["kind"], one["window"], one["forward_passes"]) == ("loglikelihood", 0, 1)
    assert (one["token_positions"], two["token_positions"]) == (3, 4)
    assert one["flops"] == 2 * 12 * 257 * 257 * 3 + 4 * 257 * 6 + 3 * 2 * 257 * 257
    assert one["seconds"] / 3 == pytest.approx(two["seconds"] / 4)
    # 70 tokens behind the prefix token: windows of 64 and of 6 tokens, in 64 positions.
    model.loglikelihood_rolling([text("a" * 70)], disable_tqdm=True)
    rolling = lines(tmp_path / "costs.jsonl")[-1]
    assert (rolling["kind"], rolling["forward_passes"]) == ("loglikelihood_rolling", 2)
    assert rolling["token_positions"] == 64 + 64


def test_requests_of_one_text_are_told_apart_and_copies_cost_nothing(tmp_path: Path) -> None:
    """The same prompt in two tasks, with other arguments; a copy fills up a process's share."""
    model = of_chain(tmp_path, batch_size=4)
    first, second = asked("ka", 0, max_gen_toks=2), asked("ka", 5, max_gen_toks=3)
    assert model.generate_until([first, second, second], True) == ["bc", "bcd", "bcd"]
    found = sorted((line["doc_id"], line["window"]) for line in lines(tmp_path / "costs.jsonl"))
    assert found == [(0, 2), (5, 3)]


def test_beams_are_charged_each(tmp_path: Path) -> None:
    model = of_chain(tmp_path)
    model.generate_until([asked("xk", max_gen_toks=3, num_beams=2)], disable_tqdm=True)
    (line,) = lines(tmp_path / "costs.jsonl")
    assert (line["forward_passes"], line["token_positions"]) == (2 * 3, 2 * (2 + 2))


def test_the_results_file_has_the_block_of_varlen_dlm(tmp_path: Path) -> None:
    model = VarLenAR(saved(tmp_path), device="cpu", max_length=48)
    info = model.get_model_info()
    block = info["eosbench"]
    dlm = {"schema", "version", "backbone", "method", "method_options", "predictor", "canvas"}
    dlm |= {"predictor_fit", "calibration", "rounding", "overflow", "decoding", "fingerprint"}
    assert set(block) == dlm | {"costs"} and info["model_num_parameters"] > 0
    assert block["method"] == "autoregressive" and block["canvas"] == 256
    backbone = block["backbone"]
    assert (backbone["family"], backbone["attention"]) == ("gpt2", "causal")
    assert (backbone["mask_id"], backbone["eos_ids"]) == (None, [0])
    assert json.dumps(block)
    same = VarLenAR(saved(tmp_path), device="cpu", max_length=48, batch_size=7)
    assert same.get_model_info()["eosbench"]["fingerprint"] == block["fingerprint"]
    other = VarLenAR(saved(tmp_path), device="cpu", max_length=40)
    assert other.get_model_info()["eosbench"]["fingerprint"] != block["fingerprint"]
    weights = VarLenAR(gpt2(), tokenizer=tokenizer())
    assert weights.spec.fingerprint != model.spec.fingerprint


def test_an_encoder_decoder_is_refused(tmp_path: Path) -> None:
    config = T5Config(
        vocab_size=257,
        d_model=16,
        d_kv=8,
        d_ff=16,
        num_layers=1,
        num_heads=2,
        decoder_start_token_id=0,
    )
    T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ConfigurationError, match=r"has an encoder too \(backend=seq2seq\): run it"):
        VarLenAR(str(tmp_path), device="cpu")


def test_a_place_that_cannot_be_written_ends_it_before_the_model_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="telemetry="):
        VarLenAR("nowhere", telemetry=tmp_path / "file" / "costs.jsonl")


def test_it_is_registered_as_the_entry_point_names_it() -> None:
    assert MODELS["varlen_ar"] == f"{VarLenAR.__module__.rpartition('.')[0]}:{VarLenAR.__name__}"


def test_beside_a_diffusion_language_model_in_one_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs of lm-eval's own command on one task, and the report's table of both."""
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)  # takes seconds
    dlm = f"pretrained={checkpoint('llada-trained')},max_gen_toks=32,method=fixed"
    models = {"varlen_dlm": dlm, "varlen_ar": f"pretrained={saved(tmp_path / 'model')}"}
    folder = tmp_path / "results"
    for model, given in models.items():
        command = ["lm_eval", "--model", model, "--model_args", given, "--tasks", "varlen_instruct"]
        command += ["--limit", "2", "--device", "cpu", "--gen_kwargs", "max_gen_toks=16"]
        command += ["--log_samples", "--output_path", str(folder / model)]
        monkeypatch.setattr("sys.argv", command)
        cli_evaluate()
    output = tmp_path / "report"
    report = CliRunner().invoke(app, ["report", str(folder), "--output", str(output)])
    assert report.exit_code == 0, report.output
    table = (output / "comparison.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:-1] for line in table.splitlines() if line.startswith("| ")]
    named = {row[0].strip(): [cell.strip() for cell in row] for row in rows}
    assert "causal" in named["autoregressive"] and "full" in named["fixed"]
    assert len(named["autoregressive"]) == len(named["fixed"])
