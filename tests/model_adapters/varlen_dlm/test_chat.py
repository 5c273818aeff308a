"""Chat templates, system instructions and few-shot examples as turns, through lm-eval's own
evaluation.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lm_eval.evaluator
import pytest
import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from eosbench.errors import ConfigurationError
from tests.fakes import BOS, EOS, MASK, SEP, ByteTokenizer, ScriptedBackbone
from tests.golden_files import GOLDEN
from tests.model_adapters.varlen_dlm.scripted_model import model_of

V = 622
TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}[{{ message['role'] }}]{{ message['content'] }}<sep>{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
TASK = """
task: tiny_chat
custom_dataset: !function documents.documents
test_split: test
fewshot_split: train
fewshot_config: {sampler: first_n}
output_type: generate_until
description: Spell.
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
target_delimiter: " "
fewshot_delimiter: "|"
generation_kwargs: {until: []}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
"""
FUNCTIONS = """
import datasets

def documents(**_):
    rows = [{"question": f"Spell {word}.", "answer": "-".join(word)} for word in ("ab", "cd", "ef")]
    train, test = datasets.Dataset.from_list(rows[:2]), datasets.Dataset.from_list(rows[2:])
    return {"train": train, "test": test}
"""


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    """One that adds <bos> to a text, and whose chat template does so too."""
    found = PreTrainedTokenizerFast(
        tokenizer_file=str(GOLDEN / "llada-trained" / "tokenizer.json"),
        bos_token="<bos>",
        eos_token="<eos>",
        mask_token="<mask>",
        sep_token="<sep>",
        chat_template=TEMPLATE,
    )
    found.backend_tokenizer.post_processor = TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", BOS)]
    )
    return found


def hf(tokenizer: PreTrainedTokenizerFast) -> Any:
    return SimpleNamespace(tokenizer=tokenizer, chat_template_args={})


@pytest.fixture
def manager(tmp_path: Path) -> TaskManager:
    (tmp_path / "chat.yaml").write_text(TASK, encoding="utf-8")
    (tmp_path / "documents.py").write_text(FUNCTIONS, encoding="utf-8")
    return TaskManager(include_path=str(tmp_path), include_defaults=False)


def silent(ids_T: torch.Tensor) -> torch.Tensor:
    logits_TV = torch.zeros(len(ids_T), V)
    logits_TV[:, EOS] = 9.0
    return logits_TV


@pytest.mark.parametrize(
    ("chat", "multiturn", "expected"),
    [
        (
            True,
            True,
            "<bos>[system]Be brief.|Spell.<sep>"
            "[user]Spell ab.<sep>[assistant]a-b<sep>[user]Spell cd.<sep>[assistant]c-d<sep>"
            "[user]Spell ef.<sep>[assistant]",
        ),
        (
            True,
            False,
            "<bos>[system]Be brief.|Spell.<sep>"
            "[user]Spell ab. a-b|Spell cd. c-d|Spell ef.<sep>[assistant]",
        ),
        (False, False, "Be brief.|Spell.Spell ab. a-b|Spell cd. c-d|Spell ef."),
    ],
    ids=["turns", "one turn", "plain"],
)
def test_prompts(
    chat: bool,
    multiturn: bool,
    expected: str,
    tokenizer: PreTrainedTokenizerFast,
    manager: TaskManager,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lm_eval.evaluator, "add_env_info", lambda results: None)
    backbone = ScriptedBackbone(silent, vocab_size=V, tokenizer=tokenizer, max_length=512)
    results = lm_eval.evaluator.simple_evaluate(
        model_of(backbone),
        tasks=["tiny_chat"],
        task_manager=manager,
        num_fewshot=2,
        system_instruction="Be brief.",
        apply_chat_template=chat,
        fewshot_as_multiturn=multiturn,
        bootstrap_iters=0,
    )
    assert results is not None
    (sample,) = results["samples"]["tiny_chat"]
    context = sample["arguments"][0][0]
    assert context.replace("\n", "") == expected
    ids = backbone.passes[0][0][0].tolist()
    prompt = ids[: ids.index(MASK)]
    assert tokenizer.decode(prompt[1:]) == context.removeprefix("<bos>")
    assert prompt[0] == BOS
    assert prompt.count(BOS) == 1
    assert prompt.count(SEP) == context.count("<sep>")
    assert results["config"]["eosbench"]["costs"]["tiny_chat"]["requests"] == 1


NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('no system turns here') }}{% endif %}"
)


def turns(*roles: str) -> list[dict[str, str]]:
    return [{"role": role, "content": f"Said by {role}."} for role in roles]


def test_a_template_without_system_turns_is_given_the_others(
    tokenizer: PreTrainedTokenizerFast, caplog: pytest.LogCaptureFixture
) -> None:
    tokenizer.chat_template = NO_SYSTEM + TEMPLATE
    model = model_of(ScriptedBackbone(silent, vocab_size=V, tokenizer=tokenizer))
    plain = "<bos>[user]Said by user.<sep>[assistant]"
    assert model.apply_chat_template(turns("user")) == plain
    assert not caplog.records
    for _ in range(2):
        assert model.apply_chat_template(turns("system", "user")) == plain
        assert HFLM.apply_chat_template(hf(tokenizer), turns("system", "user")) == plain
    (warning,) = [one for one in caplog.records if one.name.startswith("model_adapters")]
    assert "refuses a system turn (no system turns here): --system_instruction" in warning.message


def test_a_system_instruction_for_a_template_without_system_turns(
    tokenizer: PreTrainedTokenizerFast, manager: TaskManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lm_eval.evaluator, "add_env_info", lambda results: None)
    tokenizer.chat_template = NO_SYSTEM + TEMPLATE
    results = lm_eval.evaluator.simple_evaluate(
        model_of(ScriptedBackbone(silent, vocab_size=V, tokenizer=tokenizer, max_length=512)),
        tasks=["tiny_chat"],
        task_manager=manager,
        system_instruction="Be brief.",
        apply_chat_template=True,
        bootstrap_iters=0,
    )
    assert results is not None
    (sample,) = results["samples"]["tiny_chat"]
    assert sample["arguments"][0][0] == "<bos>[user]Spell ef.<sep>[assistant]"


@pytest.mark.parametrize("roles", [("user", "user"), ("system", "user", "user"), ("system",)])
def test_a_template_that_refuses_turns(
    roles: tuple[str, ...], tokenizer: PreTrainedTokenizerFast
) -> None:
    tokenizer.chat_template = (
        NO_SYSTEM + "{% if messages | length == 2 %}{{ nothing.here }}{% endif %}"
    )
    model = model_of(ScriptedBackbone(silent, vocab_size=V, tokenizer=tokenizer))
    message = rf"refuses the turns {', '.join(roles)} \(.*\): leave out --apply_chat_template"
    with pytest.raises(ConfigurationError, match=message):
        model.apply_chat_template(turns(*roles))


def test_a_turn_that_is_left_open_is_continued(tokenizer: PreTrainedTokenizerFast) -> None:
    """lm-eval's `gen_prefix` is the beginning of the assistant's turn."""
    model = model_of(ScriptedBackbone(silent, vocab_size=V, tokenizer=tokenizer))
    open_turn = model.apply_chat_template(turns("user", "assistant"), add_generation_prompt=False)
    assert open_turn == "<bos>[user]Said by user.<sep>[assistant]Said by assistant."
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    with pytest.raises(ConfigurationError, match=r"refuses the turns user, assistant"):
        model.apply_chat_template(turns("user", "assistant"), add_generation_prompt=False)


def test_a_template_is_chosen_by_name(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.chat_template = {"default": TEMPLATE, "short": "{{ messages[0]['content'] }}"}
    model = model_of(ScriptedBackbone(silent, vocab_size=V, tokenizer=tokenizer))
    names = []
    for chosen, expected in (
        (True, "<bos>[user]Said by user.<sep>[assistant]"),
        ("short", "Said by user."),
        (False, "<bos>[user]Said by user.<sep>[assistant]"),
    ):
        model.chat_template(chosen)
        names.append(model.tokenizer_name)
        assert model.apply_chat_template(turns("user")) == expected
    assert names[0] == names[2] != names[1]


def test_requests_that_are_cached_depend_on_what_the_template_is_given() -> None:
    def name(**given: Any) -> str:
        model = model_of(ScriptedBackbone(silent, tokenizer=ByteTokenizer()), **given)
        return model.tokenizer_name

    assert name() == name(enable_thinking=None) != name(enable_thinking=False)
    assert name() != name(chat_template_args={"effort": "low"})
