"""Prompts, continuations and references with the names of special tokens, and empty prompts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance

from model_adapters.varlen_dlm.model import VarLenDLM
from tests.fakes import BOS, EOS, FIRST_BYTE, MASK, SEP, ByteTokenizer, ScriptedBackbone
from tests.golden_files import GOLDEN
from tests.model_adapters.varlen_dlm.scripted_model import (
    asked,
    backbone_of,
    benchmark,
    model_of,
    pair,
)

TAG = "The tag <mask> hides <eos>?"
V = ByteTokenizer.vocab_size


def letters(text: str) -> list[int]:
    return [FIRST_BYTE + byte for byte in text.encode()]


def flat(ids_T: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(ids_T), V)


def ending(ids_T: torch.Tensor) -> torch.Tensor:
    logits_TV = torch.zeros(len(ids_T), V)
    logits_TV[:, EOS] = 9.0
    return logits_TV


def test_a_prompt() -> None:
    backbone = ScriptedBackbone(ending, tokenizer=ByteTokenizer())
    model = model_of(backbone)
    assert model.generate_until([asked(TAG)], disable_tqdm=True) == [""]
    ids = backbone.passes[0][0][0].tolist()
    assert ids == [BOS, *letters(TAG), *[MASK] * 16]


def test_a_continuation_and_its_context() -> None:
    model = model_of(ScriptedBackbone(flat, tokenizer=ByteTokenizer()), mc_num=8)
    requests = [pair("a", "b<mask>c", 0), pair(TAG, " <bos>", 1), pair("", "<eos>", 2)]
    answers = model.loglikelihood(requests, disable_tqdm=True)
    lengths = [len("b<mask>c"), len(" <bos>"), len("<eos>")]
    uniform = [-length * torch.log(torch.tensor(float(V))).item() for length in lengths]
    assert [value for value, _ in answers] == pytest.approx(uniform)
    (rolling,) = model.loglikelihood_rolling(
        [Instance("loglikelihood_rolling", {}, ("<mask>",), 0, ("task", 3, 1))],
        disable_tqdm=True,
    )
    assert rolling == pytest.approx(-len("<mask>") * torch.log(torch.tensor(float(V))).item())


def test_a_reference() -> None:
    model = model_of(ScriptedBackbone(ending, tokenizer=ByteTokenizer()), max_gen_toks=32)
    seen = model.answers.bounds.references.of  # type: ignore[attr-defined]
    lengths: list[int] = []
    model.answers.bounds.references.of = lambda request: (
        lengths.append(seen(request).length) or seen(request)
    )  # type: ignore[attr-defined]
    model.generate_until([benchmark("q?", "say <mask>", fraction=0.5)], disable_tqdm=True)
    assert set(lengths) == {len("say <mask>")}


@pytest.mark.parametrize("content", [TAG, "<sep>", "<bos>Hi<sep>", "a <mask>"])
def test_what_a_turn_says_is_text_and_what_the_template_writes_is_not(content: str) -> None:
    model = model_of(backbone_of({"q?": "yes"}))
    prompt = model.apply_chat_template([{"role": "user", "content": content}])
    assert prompt == f"<bos>{content}<sep>"
    assert model.tok_encode(prompt) == [BOS, *letters(content), SEP]


def test_a_chat_that_was_rendered_in_another_process() -> None:
    """lm-eval's --cache_requests keeps prompts on disk: what the template writes is a token."""
    model = model_of(backbone_of({"q?": "yes"}))
    assert model.tok_encode("<bos>a <mask> b<sep>") == [BOS, *letters("a <mask> b"), SEP]
    assert model.tok_encode("Is <bos> a token?") == [BOS, *letters("Is <bos> a token?")]
    assert model.tok_encode("<mask> is one") == [BOS, *letters("<mask> is one")]


def test_the_published_tokenizer() -> None:
    model = VarLenDLM(
        pretrained=str(GOLDEN / "llada-trained"), device="cpu", max_gen_toks=8, mc_num=2
    )
    ids = model.tok_encode(TAG)
    assert model.tokenizer.decode(ids) == TAG
    assert not {0, 1, 2, 3} & set(ids)
    ((value, _),) = model.loglikelihood([pair("a", " <mask>")], disable_tqdm=True)
    assert value < 0


@pytest.mark.parametrize("context", ["", " \n"])
def test_an_empty_prompt_is_answered_counted_and_named(
    context: str, caplog: pytest.LogCaptureFixture
) -> None:
    backbone = ScriptedBackbone(ending, tokenizer=ByteTokenizer())
    requests = [asked("q?", 0), asked(context, 3), asked(context, 3), asked("r?", 4)]
    answers: Any = model_of(backbone).generate_until(requests, disable_tqdm=True)
    assert answers == [""] * 4
    assert "the prompts of 1 documents are empty" in caplog.text
    assert "task task, document 3" in caplog.text and "document 4" not in caplog.text
    rows = [row.tolist() for ids_BT, _ in backbone.passes for row in ids_BT]
    assert [BOS, *letters(context), *[MASK] * 16] in [row[: 17 + len(context)] for row in rows]


def test_an_empty_prompt_for_a_tokenizer_that_adds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its prefix token stands for it, as for an empty context of a continuation."""
    backbone = ScriptedBackbone(ending, tokenizer=ByteTokenizer())
    model = model_of(backbone, add_bos_token=False)
    assert model.generate_until([asked("")], disable_tqdm=True) == [""]
    assert backbone.passes[0][0][0].tolist() == [BOS, *[MASK] * 16]
