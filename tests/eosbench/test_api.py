"""`eosbench.load`: the bounds, tokens and costs that lm-eval gets from `varlen_dlm`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import lm_eval
import lm_eval.evaluator
import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.tasks import TaskManager

import eosbench
from eosbench.bounds import Coverage, Promise, Shortfall
from eosbench.errors import ConfigurationError, EosbenchError, PredictorError
from eosbench.plugin import tasks_folder
from eosbench.predictors import METHODS
from eosbench.records import LengthRecord
from eosbench.strategies import STRATEGIES
from tests.golden_files import GOLDEN, checkpoint

REPOSITORY = Path(__file__).resolve().parents[2]
QUESTION, LIST = "Is 89 an even number?", "Count from 3 to 9."
COUNTED = ("window", "forward_passes", "token_positions", "flops", "truncated", "retries")
TRAINED = {"pretrained": str(GOLDEN / "llada-trained"), "max_gen_toks": 32, "block_length": 16}


@pytest.fixture(autouse=True)
def no_description_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lm_eval.evaluator, "add_env_info", lambda results: None)


@cache
def manager() -> TaskManager:
    return TaskManager(include_path=str(tasks_folder()), include_defaults=False)


def load(**given: Any) -> eosbench.Model:
    return eosbench.load(**{"device": "cpu", **given})


def evaluated(model: eosbench.Model, *tasks: str, **options: Any) -> dict[str, Any]:
    return lm_eval.simple_evaluate(
        model.as_lm(),
        tasks=list(tasks),
        task_manager=manager(),
        bootstrap_iters=0,
        **{"limit": 3, **options},
    )


def asked(samples: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any], str, Any]]:
    """The context, the generation arguments, the reference and the answer of each sample."""
    for sample in samples:
        ((context, given),) = sample["arguments"]
        yield context, given, sample["target"], sample["resps"][0][0]


@pytest.mark.parametrize("method", [*METHODS, *STRATEGIES])
def test_generate_gives_what_lm_eval_gets(method: str) -> None:
    given_here = {} if method in STRATEGIES else {"tokens_per_step": 8}
    if method == "void_expansion":  # the embedded model pads with EOS
        given_here = {"pretrained": checkpoint("llada-void")}
    model = load(method=method, **given_here)
    results = evaluated(model, "varlen_instruct", limit=2)
    samples = results["samples"]["varlen_instruct"]
    contexts, given, references, answers = zip(*asked(samples), strict=True)
    found = model.generate(
        contexts, references=references if method == "oracle" else None, **given[0]
    )
    assert [answer.text for answer in found] == list(answers)
    costs = results["config"]["eosbench"]["costs"]["varlen_instruct"]
    for name in COUNTED[1:]:
        assert sum(getattr(answer.cost, name) for answer in found) == pytest.approx(costs[name])
    assert sum(answer.window for answer in found) / 2 == pytest.approx(costs["mean_window"])
    for answer in found:
        decoded = model.backbone.tokenizer.decode(answer.tokens, skip_special_tokens=True)
        assert decoded.startswith(answer.text)


def test_gaps_are_filled_between_prefix_and_suffix() -> None:
    """The same gap alone, among others, and as a request of lm-eval that carries its suffix."""
    model = load(**TRAINED, method="cal")
    prefixes, suffixes = ["Count from 3 to 9. 3 4", "Is 8"], [" 7 8 9", " an even number?"]
    found = model.infill(prefixes, suffixes, max_new_tokens=8)
    for prefix, suffix, gap in zip(prefixes, suffixes, found, strict=True):
        [alone] = model.infill(prefix, suffix, max_new_tokens=8)
        assert (gap.text, gap.tokens, gap.window) == (alone.text, alone.tokens, alone.window)
        given = {"suffix": suffix, "max_gen_toks": 8}
        request = Instance("generate_until", {}, (prefix, given), 0, ("task", 0, 1))
        assert model.as_lm().generate_until([request]) == [gap.text]
        assert 1 <= gap.window <= 8 and gap.cost.truncated == 0
    [fixed] = load(**TRAINED, method="fixed").infill(prefixes[:1], suffixes[:1], max_new_tokens=5)
    assert fixed.window == fixed.cost.forward_passes == 5
    # A gap of five tokens between the tokens of both texts, at each of five passes.
    ids = [model.backbone.tokenizer.encode(text) for text in (prefixes[0], suffixes[0])]
    assert fixed.cost.token_positions == 5 * (5 + sum(map(len, ids)))
    with pytest.raises(ConfigurationError, match="1 suffixes for 2 prompts: expected one for each"):
        model.infill(prefixes, suffixes[:1])


@pytest.mark.parametrize("method", METHODS)
def test_bounds_are_those_of_the_benchmark_at_u_0(method: str) -> None:
    model = load(method=method)
    samples = evaluated(model, "eos_upper_bound_u00")["samples"]["eos_upper_bound_u00"]
    contexts, given, _, answers = zip(*asked(samples), strict=True)
    told = [one["reference"] for one in given] if method == "oracle" else None
    records = [LengthRecord.from_json(answer) for answer in answers]
    found = model.predict_lengths(contexts, references=told)
    for length, record in zip(found, records, strict=True):
        assert (length.bound, length.clamped) == (record.bound, record.clamped)
        assert length.prediction == pytest.approx(record.prediction)
        assert length.calibrated == pytest.approx(record.calibrated)
        assert length.cost.forward_passes == int(bool(METHODS[method].needs))


def test_settings_reach_bounds_and_answers() -> None:
    prompts = [QUESTION, LIST]
    promised = load(shortfall=2.0, rounding="none").predict_lengths(prompts)
    assert {length.promise for length in promised} == {Promise(Shortfall(2.0))}
    usual = load().predict_lengths(prompts)
    assert {length.promise for length in usual} == {Promise(Coverage(0.05))}
    assert [length.bound for length in promised] != [length.bound for length in usual]
    assert {length.promise for length in load(method="fixed").predict_lengths(prompts)} == {None}
    answers = load(method="fixed").generate(prompts, max_new_tokens=8, steps=2)
    assert [answer.window for answer in answers] == [8, 8]
    assert {answer.cost.forward_passes for answer in answers} <= {1, 2}


def test_a_chat_is_rendered_as_transformers_does_it() -> None:
    chats = [[{"role": "user", "content": text}] for text in (QUESTION, LIST)]
    model = load()
    tokenizer = model.backbone.tokenizer
    texts = [
        tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        for chat in chats
    ]
    found = model.generate([*chats, *texts])
    assert [answer.tokens for answer in found[:2]] == [answer.tokens for answer in found[2:]]
    results = evaluated(model, "varlen_instruct", apply_chat_template=True, limit=2)
    samples = results["samples"]["varlen_instruct"]
    prompts = [[{"role": "user", "content": sample["doc"]["prompt"]}] for sample in samples]
    answers = [answer for *_, answer in asked(samples)]
    assert [answer.text for answer in model.generate(prompts)] == answers


def test_one_prompt_stands_for_a_list_of_one() -> None:
    model = load()
    chat = [{"role": "user", "content": QUESTION}]
    for lone in (QUESTION, chat):
        (answer,), (length,) = model.generate(lone), model.predict_lengths(lone)
        assert answer.tokens == model.generate([lone])[0].tokens
        assert length.bound == model.predict_lengths([lone])[0].bound
    assert model.generate([]) == [] == model.predict_lengths([])


def test_answers_come_in_the_order_of_the_prompts() -> None:
    model = load(rounding="none")
    prompts = ["Spell the word banana with hyphens between all of its letters.", QUESTION, LIST]
    together = model.predict_lengths(prompts)
    alone = [model.predict_lengths([prompt])[0].bound for prompt in prompts]
    assert [length.bound for length in together] == alone
    answers = [answer.text for answer in model.generate(prompts)]
    assert answers == [model.generate([prompt])[0].text for prompt in prompts]


def test_a_stop_string_ends_a_text() -> None:
    model = load()
    (whole,), (cut,) = model.generate(LIST), model.generate(LIST, until=["5"])
    assert "5" in whole.text and cut.text == whole.text[: whole.text.index("5")]


def test_as_lm_shares_the_backbone_and_has_runs_of_its_own() -> None:
    model = load()
    model.generate([QUESTION])
    first, second = model.as_lm(), model.as_lm()
    assert first.backbone is second.backbone is model.backbone
    results = [evaluated(model, "varlen_instruct", limit=1) for _ in range(2)]
    one = model.as_lm()
    for _ in range(2):
        results.append(
            lm_eval.simple_evaluate(
                one, tasks=["varlen_instruct"], task_manager=manager(), limit=1, bootstrap_iters=0
            )
        )
    costs = [each["config"]["eosbench"]["costs"] for each in results]
    assert [list(cost) for cost in costs] == [["varlen_instruct"]] * 4
    assert {cost["varlen_instruct"]["requests"] for cost in costs} == {1}


@pytest.mark.parametrize("method", STRATEGIES)
def test_a_strategy_says_that_it_has_no_bound(method: str) -> None:
    given = {"pretrained": checkpoint("llada-void")} if method == "void_expansion" else {}
    with pytest.raises(ConfigurationError, match=rf"{method}.*no bound.*use generate") as caught:
        load(method=method, **given).predict_lengths([QUESTION])
    assert "\n" not in str(caught.value)


def test_the_oracle_is_told_or_says_what_it_needs() -> None:
    model = load(method="oracle", rounding="none")
    with pytest.raises(PredictorError, match=r"oracle.*reference"):
        model.predict_lengths([QUESTION])
    length = len(model.backbone.tokenizer("No", add_special_tokens=False)["input_ids"])
    (told,) = model.predict_lengths([QUESTION], references=["No"])
    assert (told.bound, told.promise) == (length, None)


@pytest.mark.parametrize(
    ("prompts", "given", "message"),
    [
        ([3], {}, "prompt 0 is of type int: expected a text, or a list of messages"),
        ([QUESTION, [{"role": "user"}]], {}, "prompt 1 is of type list"),
        (7, {}, "prompts of type int: expected a list"),
        ([QUESTION], {"max_tokns": 3}, "no generation argument max_tokns: expected"),
        ([QUESTION], {"max_new_tokens": 0}, r"^prompt '.*\?': max_new_tokens=0: expected"),
        ([QUESTION], {"references": []}, "0 references for 1 prompts"),
        ([[{"role": "user", "content": QUESTION}]], {}, "has no chat template"),
    ],
)
def test_prompts_that_cannot_be_used(prompts: Any, given: dict[str, Any], message: str) -> None:
    with pytest.raises(EosbenchError, match=message) as caught:
        load(**TRAINED).generate(prompts, **given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"methd": "logit"}, "no argument methd"),
        ({"method": "logitt"}, "unknown method 'logitt'"),
        ({"pretrained": "no/such/folder"}, "no/such/folder"),
        ({"predictor": "no/such/head"}, "no/such/head"),
        ({"method": "classification", **TRAINED}, "needs a fitted predictor"),
    ],
)
def test_a_model_that_cannot_be_loaded(given: dict[str, Any], message: str) -> None:
    with pytest.raises(EosbenchError, match=message):
        load(**given)


def test_values_of_torch_and_pathlib_are_taken() -> None:
    named = {**TRAINED, "pretrained": Path(TRAINED["pretrained"])}
    model = eosbench.load(**named, device=torch.device("cpu"), dtype=torch.bfloat16)
    assert model.backbone.dtype == torch.bfloat16
    assert repr(model) == f"<eosbench.Model {TRAINED['pretrained']}, method fixed>"


def test_importing_eosbench_loads_nothing_and_takes_no_time() -> None:
    program = (
        "import sys, time; began = time.perf_counter(); import eosbench\n"
        "took = time.perf_counter() - began; loaded = set(sys.modules)\n"
        "print(took, *sorted(loaded & {'torch', 'lm_eval', 'importlib.metadata', 'eosbench.api'}))"
        "\nprint(*dir(eosbench))"
    )
    seconds = []
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        )
        first, names = done.stdout.splitlines()
        took, *loaded = first.split()
        assert loaded == []
        assert set(eosbench.__all__) <= set(names.split())
        seconds.append(float(took))
    assert min(seconds) < 0.002
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        eosbench.lode  # noqa: B018
