"""A stop string is settled once no continuation can move the end of the text; rows that end there
have the full run's text.
"""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial
from operator import itemgetter
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.window import Job, generate
from model_adapters.varlen_dlm.stop_strings import fixes_stop, holds_stop, text_before_stop
from tests.fakes import ByteTokenizer
from tests.golden_files import load_golden
from tests.model_adapters.varlen_dlm.scripted_model import asked, backbone_of, ids, model_of
from tests.word_tokenizers import sentencepiece_like

first = itemgetter(0)


@pytest.mark.parametrize(
    ("text", "until", "fixed"),
    [
        ("yes\n\nno more", ["\n\n"], True),
        ("yes\n\nno m", ["\n\n"], False),  # "no" is where the longest stop string may end
        ("yes no and more", ["\n\n"], False),
        # The longer one begins before and may still come.
        ("a b, and so on", ["b", "a b and so on and so forth"], False),
        ("a b, ...........", ["b"], False),  # nothing that ends a run of bytes
    ],
)
def test_a_stop_string_counts_once_enough_follows(text: str, until: list[str], fixed: bool) -> None:
    assert fixes_stop(ByteTokenizer(), until, ids(text)) is fixed


def byte_fallback() -> Any:
    """Single bytes decode together, as in LLaMA's tokenizer: one that is no character makes its
    whole run unreadable.
    """
    pieces = [(f"<0x{byte:02X}>", 0.0) for byte in (0x0A, 0xC3, 0xA9, 0x80)] + [
        ("▁a", 0.0),
        ("b", 0.0),
        ("▁", 0.0),
        ("Q", 0.0),
    ]
    tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0), *pieces], unk_id=0, byte_fallback=True))
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def tidy() -> Any:
    """Words whose decoder joins punctuation to what precedes it, as BERT's does."""
    words = ["[UNK]", "do", "n't", ".", ",", "'", "s", "##ing", "1", "?"]
    tokenizer = Tokenizer(
        models.WordPiece({word: index for index, word in enumerate(words)}, unk_token="[UNK]")
    )
    tokenizer.decoder = decoders.WordPiece(cleanup=True)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=True)


def special() -> Any:
    tokenizer = Tokenizer(
        models.WordLevel({"<unk>": 0, "yes": 1, "no": 2, "<end>": 3}, unk_token="<unk>")
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, additional_special_tokens=["<end>"])


@pytest.mark.parametrize(
    ("tokenizer", "until"),
    [
        (byte_fallback(), ["\n", "é", "\n\nQ", "a", "b a"]),
        (tidy(), [" ", ".", "do ", " n't", "1, 1", "'s"]),
        (ByteTokenizer(), ["\n", "ab", "é", "bab"]),
        (special(), ["<end>", "no yes"]),
    ],
    ids=["byte fallback", "tidied spaces", "bytes", "special token"],
)
def test_no_continuation_moves_a_settled_stop(tokenizer: Any, until: list[str]) -> None:
    draw, settled = random.Random(11), 0
    alphabet = ids("ab é\n1") if isinstance(tokenizer, ByteTokenizer) else range(1, len(tokenizer))
    for _ in range(1500):
        tokens = draw.choices(alphabet, k=24)
        stops = draw.sample(until, draw.randint(1, 2))
        at = draw.randint(1, 22)
        if fixes_stop(tokenizer, stops, tokens[:at]):
            settled += 1
            assert holds_stop(tokenizer, stops, tokens)
            assert text_before_stop(tokenizer, tokens[:at], stops) == text_before_stop(
                tokenizer, tokens, stops
            )
    assert settled > 100


def test_a_special_token_that_stops_ends_a_window_even_at_its_end() -> None:
    assert holds_stop(special(), ["<end>"], [1, 3])
    assert not holds_stop(special(), ["<end>"], [1, 2])


@pytest.mark.parametrize("overflow", ["accept", "retry"])
def test_no_block_is_entered_behind_a_stop_string(overflow: str) -> None:
    replies = {"a?": "yes.\nQ: and then some more text", "b?": "no"}
    request, passes = [asked("a?", 0, until=["\nQ"]), asked("b?", 1, until=["\nQ"])], {}
    for stop in (False, True):
        model = model_of(
            backbone_of(replies),
            max_gen_toks=48,
            block_length=8,
            overflow=overflow,
            stop_at_eos=stop,
        )
        assert model.generate_until(request, True) == ["yes.", "no"]
        passes[stop] = model.ledger.totals()["task"]
    # "yes.\nQ: and then" is settled at the end of the second block; "no" ends with its EOS, in the
    # third pass.
    assert (passes[False]["forward_passes"], passes[True]["forward_passes"]) == (2 * 48, 16 + 3)
    assert passes[True]["truncated"] == passes[True]["retries"] == 0


def test_the_text_is_that_of_the_full_run() -> None:
    """Stop strings taken from the model's own answers, where the first quarter of the text ends."""
    golden = load_golden("llada-trained")
    tokenizer = golden.backbone.tokenizer
    prompts = [
        tuple(golden.tensors[f"generate.{case}.prompt"][0].tolist()) for case in range(0, 18, 3)
    ]
    settings = DecodeConfig(gen_length=64, block_length=8)
    whole = [
        answer.tokens
        for _, answer in sorted(
            generate(golden.backbone, [Job(one, settings, 64) for one in prompts]), key=first
        )
    ]
    spoken = [tokenizer.decode(tokens, skip_special_tokens=True) for tokens in whole]
    untils = [[text[len(text) // 4 :][:2]] for text in spoken]
    passes = {}
    for rule in (None, fixes_stop):
        jobs = [
            Job(
                prompt,
                replace(settings, stop_at_eos=True),
                64,
                fixes_stop=rule and partial(rule, tokenizer, until),
            )
            for prompt, until in zip(prompts, untils, strict=True)
        ]
        answers = [answer for _, answer in sorted(generate(golden.backbone, jobs), key=first)]
        passes[rule] = sum(answer.cost.forward_passes for answer in answers)
        for answer, full, until in zip(answers, whole, untils, strict=True):
            assert text_before_stop(tokenizer, answer.tokens, until) == text_before_stop(
                tokenizer, full, until
            )
    assert passes[fixes_stop] < passes[None]


def test_a_stop_string_that_begins_with_the_blank_of_a_word() -> None:
    tokenizer = sentencepiece_like("first")
    before = tokenizer("def f(x):", add_special_tokens=False)["input_ids"]
    tokens = tokenizer("    for i in y:  x", add_special_tokens=False)["input_ids"]
    assert text_before_stop(tokenizer, tokens, [":"], before=before) == "    for i in y"
    assert text_before_stop(tokenizer, tokens, ["    for"], before=before) == ""
    assert holds_stop(tokenizer, ["    for"], tokens, before=before)
    assert not holds_stop(tokenizer, ["     for"], tokens, before=before)
