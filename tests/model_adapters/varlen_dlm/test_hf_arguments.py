"""The arguments of lm-eval's `hf`: each is taken, with its meaning, or refused with a reason, and
docs/arguments.md says which.
"""

from __future__ import annotations

import inspect
import re
import shutil
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lm_eval._cli.harness import HarnessCLI
from lm_eval.models.huggingface import HFLM
from transformers import AutoTokenizer

from eosbench import embedded
from eosbench.errors import ConfigurationError
from model_adapters import load_backbone
from model_adapters.varlen_dlm.arguments import Arguments
from model_adapters.varlen_dlm.model import VarLenDLM
from model_adapters.varlen_dlm.names import OTHER_NAMES, REFUSED
from model_adapters.varlen_dlm.parsing import parse_arguments
from model_adapters.varlen_dlm.request_words import KNOWN
from tests.golden_files import GOLDEN
from tests.model_adapters.varlen_dlm.scripted_model import asked, backbone_of, model_of, pair

DOCS = Path(__file__).resolve().parents[3] / "docs" / "arguments.md"
OF_HF = set(inspect.signature(HFLM.__init__).parameters) - {"self", "kwargs"}
OWN = {field.name for field in fields(Arguments)}
TRAINED = str(GOLDEN / "llada-trained")


def rows(title: str) -> dict[str, tuple[str, str]]:
    """Every name of the first column of a table of the page, with the cells beside it."""
    text = DOCS.read_text(encoding="utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]
    found = {}
    for line in text.splitlines():
        if line.startswith("| `"):
            names, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            found |= dict.fromkeys(re.findall(r"`-*(\w+)`", names), tuple(cells))
    return found


def test_the_page_says_of_every_argument_of_hf_what_becomes_of_it() -> None:
    said = rows("The arguments of `hf`")
    assert set(said) == OF_HF
    for name, (here, words) in said.items():
        if name in OWN:
            assert here == "taken"
        else:
            assert here == "refused" and words.startswith("because ")
            assert REFUSED[name].why in words.replace("`", "")


def test_the_page_says_of_every_flag_of_lm_eval_what_becomes_of_it() -> None:
    flags = {action.dest for action in HarnessCLI()._subparsers.choices["run"]._actions} - {"help"}
    said = rows("The flags of `lm_eval`")
    assert set(said) == flags
    assert {name for name, (here, _) in said.items() if here != "taken"} == {"seed"}


def test_the_page_shows_every_generation_argument() -> None:
    text = (
        DOCS.read_text(encoding="utf-8").split("\n## Generation arguments\n")[1].split("\n## ")[0]
    )
    assert set(re.findall(r"`(\w+)`", text)) - {"hf", "generation_kwargs"} == KNOWN - {
        "eos_upper_bound",
        "reference",
    }


def test_the_page_shows_every_argument() -> None:
    text = DOCS.read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)`", text))
    shown = set(rows("The arguments of `hf`")) | set(rows("The arguments of `varlen_dlm`"))
    assert OWN - {"options", "held_model"} <= shown  # the two that nobody types
    assert set(rows("The arguments of `varlen_dlm`")) <= OWN
    assert (REFUSED.keys() | OTHER_NAMES.keys()) - {"alg"} <= named


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_asks_for_nothing_passes_and_the_rest_is_refused_with_its_reason(name: str) -> None:
    refusal = REFUSED[name]
    default = inspect.signature(HFLM.__init__).parameters.get(name)
    if default is not None:
        assert parse_arguments({name: default.default}) == parse_arguments({})
    if refusal.accepted is None:
        assert parse_arguments({name: "anything"}) == parse_arguments({})
        return
    for value in refusal.accepted:
        assert parse_arguments({name: value}) == parse_arguments({})
    with pytest.raises(ConfigurationError, match=f"does not take {name}: "):
        parse_arguments({name: "something"})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"dtype": "half"}, {"dtype": "float16"}),
        ({"dtype": "float"}, {"dtype": "float32"}),
        ({"dtype": torch.bfloat16}, {"dtype": "bfloat16"}),
        ({"torch_dtype": "double"}, {"dtype": "float64"}),
        ({"think_end_token": "7"}, {"think_end_token": 7}),
        ({"think_end_token": "</think>"}, {"think_end_token": "</think>"}),
        ({"chat_template_args": '{"effort": "low"}'}, {"chat_template_args": {"effort": "low"}}),
        ({"max_length": "64", "max_gen_toks": 16}, {"max_length": 64}),
        ({"add_bos_token": "true"}, {"add_bos_token": True}),
        ({"prefix_token_id": "3"}, {"prefix_token_id": 3}),
        ({"revision": 2}, {"revision": "2"}),
        ({"max_new_tokens": "64"}, {"max_gen_toks": 64}),
        ({"gen_length": 64, "max_gen_toks": 64}, {"max_gen_toks": 64}),
        ({"gen_length": 64, "max_gen_toks": None}, {"max_gen_toks": 64}),
        ({"max_gen_toks": None, "gen_length": 64}, {"max_gen_toks": 64}),
    ],
)
def test_words_become_values(given: dict[str, Any], expected: dict[str, Any]) -> None:
    arguments = parse_arguments(given)
    assert {name: getattr(arguments, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gen_length": 64, "max_gen_toks": 32}, r"gen_length=64 and max_gen_toks=32 say the same"),
        ({"chat_template_args": "low"}, r"chat_template_args='low': expected a JSON object"),
        ({"enable_thinking": True}, r"say with think_end_token= where the reasoning ends"),
        ({"max_length": 1}, r"max_length=1: expected at least 2"),
        ({"autogptq": True}, r"does not take autogptq: weights that are stored quantised"),
    ],
)
def test_words_that_are_no_values(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_arguments(given)


def test_what_an_answer_depends_on_is_in_its_settings_where_it_is_given() -> None:
    plain = parse_arguments({}).settings()
    for given in (
        {"max_length": 512},
        {"mixed_precision_dtype": "bfloat16"},
        {"tokenizer": "a/b"},
        {"add_bos_token": False},
        {"prefix_token_id": 1},
        {"think_end_token": 7},
        {"enable_thinking": False},
        {"chat_template_args": {"effort": "low"}},
    ):
        ((name, value),) = given.items()
        assert parse_arguments(given).settings() == plain | {name: value}


# With the model.


def loaded(**given: Any) -> Any:
    return load_backbone(TRAINED, **given)


def test_a_longest_sequence() -> None:
    assert loaded(max_length=100).spec.max_length == 100
    with pytest.raises(ConfigurationError, match=r"has learned \d+ positions and no more"):
        load_backbone(str(GOLDEN / "diffugpt-tiny"), max_length=100_000)
    prompt = "count from one to nine " * 20
    model = VarLenDLM(pretrained=TRAINED, device="cpu", max_length=100, max_gen_toks=64)
    seen = model.answers.bounds.masked  # type: ignore[attr-defined]
    model.answers.bounds.masked = lambda request: sizes.append(len(request.ids)) or seen(request)  # type: ignore[attr-defined]
    sizes: list[int] = []
    model.generate_until([asked(prompt)], disable_tqdm=True)
    assert sizes == [36]


def test_another_tokenizer_and_a_subfolder(tmp_path: Path) -> None:
    folder = tmp_path / "repository" / "weights"
    shutil.copytree(TRAINED, folder)
    (folder / "tokenizer.json").unlink()
    other = loaded(tokenizer=str(embedded.MODEL)).tokenizer
    assert other("Hi")["input_ids"] == AutoTokenizer.from_pretrained(embedded.MODEL)("Hi").input_ids
    found = load_backbone(
        str(tmp_path / "repository"), subfolder="weights", tokenizer=loaded().tokenizer
    )
    assert found.tokenizer("Hi")["input_ids"] == loaded().tokenizer("Hi")["input_ids"]
    assert found.spec.fingerprint == loaded().spec.fingerprint


def test_mixed_precision() -> None:
    ids_BT = torch.tensor([[5, 6, 7, 8]])
    plain = loaded().logits(ids_BT)
    mixed = loaded(mixed_precision_dtype="bfloat16").logits(ids_BT)
    assert mixed.dtype == torch.bfloat16 and loaded().dtype == torch.float32
    assert not torch.equal(mixed.float(), plain)
    assert torch.allclose(mixed.float(), plain, atol=0.3)


@pytest.mark.parametrize("add_bos_token", [None, True, False])
def test_prompts_have_the_ids_that_hf_gives_them(add_bos_token: bool | None) -> None:
    model = VarLenDLM(device="cpu", add_bos_token=add_bos_token)
    settings = {} if add_bos_token is None else {"add_bos_token": add_bos_token}
    tokenizer = AutoTokenizer.from_pretrained(embedded.MODEL, **settings)
    hf = SimpleNamespace(
        tokenizer=tokenizer, add_bos_token=add_bos_token, prefix_token_id=tokenizer.bos_token_id
    )
    for text in ("Is 89 an even number?", "", "<bos>Hi"):
        assert model.tok_encode(text) == HFLM.tok_encode(hf, text)


def test_a_tokenizer_that_names_no_bos_token_has_one() -> None:
    tokenizer = loaded(add_bos_token=True).tokenizer
    assert tokenizer("Hi")["input_ids"] == [
        tokenizer.bos_token_id,
        *loaded().tokenizer("Hi")["input_ids"],
    ]
    assert tokenizer.bos_token == "<bos>"


def test_the_token_that_stands_for_an_empty_context() -> None:
    backbone = backbone_of({"q?": "yes"})
    assert model_of(backbone).prefix_token_id == 2
    model = model_of(backbone_of(lambda ids_T: torch.zeros(len(ids_T), 260)), prefix_token_id=70)
    assert model.prefix_token_id == 70
    model.loglikelihood([pair("", "yes")], disable_tqdm=True)
    assert model.backbone.passes[0][0][0, 0] == 70  # type: ignore[attr-defined]


THOUGHTS = "Let me see. Stop. <think>no</think>\n  yes. And more."


@pytest.mark.parametrize(
    ("think_end_token", "expected"),
    [
        (None, "Let me see"),
        ("</think>", "yes"),
        ("</nothing>", "Let me see"),
        (4 + ord(">"), "yes"),  # the last of the four
    ],
)
def test_an_answer_is_what_stands_behind_the_reasoning(think_end_token: Any, expected: str) -> None:
    model = model_of(
        backbone_of({"q?": THOUGHTS}), max_gen_toks=60, think_end_token=think_end_token
    )
    assert model.generate_until([asked("q?", until=["."])], disable_tqdm=True) == [expected]


def test_a_window_is_not_done_while_the_reasoning_goes_on() -> None:
    """A stop string in the reasoning does not end a text that is to be retried."""
    given = {"max_gen_toks": 60, "overflow": "retry", "method": "oracle", "rounding": "none"}
    request = asked("q?", until=["."])
    request.reference = "short"  # type: ignore[attr-defined]
    for think_end_token, expected, widest in ((None, "Let me see", 20), ("</think>", "yes", 60)):
        backbone = backbone_of({"q?": THOUGHTS})
        model = model_of(backbone, think_end_token=think_end_token, **given)
        assert model.generate_until([request], disable_tqdm=True) == [expected]
        assert max(ids_BT.shape[1] for ids_BT, _ in backbone.passes) == len("q?") + 1 + widest


def test_the_chat_template_is_given_what_it_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(
        backbone_of({"q?": "yes"}),
        enable_thinking=False,
        chat_template_args={"effort": "low"},
    )
    seen: dict[str, Any] = {}
    monkeypatch.setattr(
        model.tokenizer, "apply_chat_template", lambda _, **given: seen.update(given) or ""
    )
    model.apply_chat_template([{"role": "user", "content": "Hi"}])
    assert seen == {
        "tokenize": False,
        "add_generation_prompt": True,
        "continue_final_message": False,
        "enable_thinking": False,
        "effort": "low",
    }


def test_no_reasoning_comes_before_a_given_continuation() -> None:
    model = model_of(backbone_of({"q?": "yes"}), enable_thinking=True, think_end_token="</think>")
    with pytest.raises(ConfigurationError, match=r"tasks task score given continuations"):
        model.loglikelihood([pair("q?", "yes")], disable_tqdm=True)
