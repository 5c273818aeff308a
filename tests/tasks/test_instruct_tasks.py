"""The packaged tasks through stock lm-eval, on a small trained checkpoint and on `dummy`."""

from __future__ import annotations

import copy
import json
import math
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import lm_eval
import numpy as np
import pytest
import transformers
from lm_eval.tasks import TaskManager

import eosbench.plugin
from eosbench import metrics
from eosbench.documents.instruct import instruct_documents
from eosbench.errors import ConfigurationError
from eosbench.records import LengthRecord
from tests.golden_files import GOLDEN

LLADA, CANVAS, LIMIT = GOLDEN / "llada-trained", 64, 3
FRACTIONS = {
    "eos_upper_bound_u00": 0.0,
    "eos_upper_bound_u25": 0.25,
    "eos_upper_bound_u50": 0.5,
    "eos_upper_bound_u75": 0.75,
}
METRICS = {
    "coverage",
    "overshoot",
    "shortfall",
    "saved",
    "rmse",
    "exact",
    "bucket_accuracy",
    "accuracy",
    "eos_top1",
    "eos_prob",
    "eos_mrr",
    "eos_false",
    "compute_ratio",
    "censored",
}


def manager(**metadata: str) -> TaskManager:
    return TaskManager(
        include_defaults=False, include_path=str(eosbench.plugin.tasks_folder()), metadata=metadata
    )


@pytest.fixture(scope="module")
def tasks() -> dict[str, Any]:
    return dict(manager().load([*FRACTIONS, "varlen_instruct"])["tasks"])


@pytest.fixture(scope="module")
def outcome() -> dict[str, Any]:
    """Everything through lm_eval.simple_evaluate, once."""
    eosbench.plugin.add_model()
    with pytest.MonkeyPatch.context() as patch:
        # Asks pip and nvidia-smi for seconds.
        patch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)
        found = lm_eval.simple_evaluate(
            model="varlen_dlm",
            model_args={"pretrained": str(LLADA), "max_gen_toks": CANVAS, "method": "logit"},
            tasks=["eos_upper_bound", "varlen_instruct"],
            task_manager=manager(),
            limit=LIMIT,
            log_samples=True,
        )
    assert isinstance(found, dict)
    return found


def requests(task: Any, rank_kwargs: dict[str, Any] | None = None) -> list[Any]:
    task.build_all_requests(limit=8, rank=0, world_size=1, **(rank_kwargs or {}))
    return list(task.instances)


def test_the_tasks_are_found(tasks: dict[str, Any]) -> None:
    found = manager()
    assert {*FRACTIONS, "varlen_instruct"} <= set(found.all_subtasks)
    assert {name: task.get_config("num_fewshot") for name, task in tasks.items()} == dict.fromkeys(
        tasks, 0
    )


@pytest.mark.parametrize("name", FRACTIONS)
def test_requests_carry_fraction_and_reference(name: str, tasks: dict[str, Any]) -> None:
    for request, document in zip(requests(tasks[name]), instruct_documents("test", 8), strict=True):
        context, arguments = request.args
        assert context == document.prompt and arguments["reference"] == document.response
        assert arguments["eos_upper_bound"]["fraction"] == FRACTIONS[name]
        # What lm-eval's response cache and sample logs need.
        assert json.loads(json.dumps(arguments)) == arguments


def test_what_is_revealed_depends_on_the_document_alone(tasks: dict[str, Any]) -> None:
    """Neither on the prompt's format nor on the fraction: the seed is the document's."""

    def seeds(name: str, **format_kwargs: Any) -> list[str]:
        return [
            request.args[1]["eos_upper_bound"]["document"]
            for request in requests(tasks[name], format_kwargs)
        ]

    def template(history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        return "<user>" + "".join(message["content"] for message in history) + "<answer>"

    plain = seeds("eos_upper_bound_u50")
    assert len(set(plain)) == 8
    assert plain == seeds("eos_upper_bound_u25")
    assert plain == seeds("eos_upper_bound_u50", system_instruction="Be brief.")
    templated = {
        "apply_chat_template": True,
        "chat_template": template,
        "fewshot_as_multiturn": False,
        "tokenizer_name": "any",
    }
    assert plain == seeds("eos_upper_bound_u50", **templated)
    assert requests(tasks["eos_upper_bound_u50"], templated)[0].args[0].startswith("<user>")


def test_metadata_chooses_the_split() -> None:
    """`lm_eval --metadata '{"split": "length_ood"}'`."""
    task = manager(split="length_ood").load(["eos_upper_bound_u00"])["tasks"]["eos_upper_bound_u00"]
    assert [doc["id"] for doc in task.test_docs()] == [
        document.id for document in instruct_documents("length_ood")
    ]


@pytest.mark.parametrize("split", ["length_ood", "domain_ood"])
def test_the_ood_splits_have_groups_of_their_own(split: str) -> None:
    """Names of their own keep their results apart from those of the test split.

    --metadata that is meant for others does not reach them.
    """
    found = manager(split="calibration").load([f"eos_upper_bound_{split}"])["tasks"]
    asked = {name: requests(task)[0].args[1]["eos_upper_bound"] for name, task in found.items()}
    assert {name: request["fraction"] for name, request in asked.items()} == {
        f"eos_upper_bound_{split}_u{percent:02d}": percent / 100 for percent in (0, 25, 50, 75)
    }
    for task in found.values():
        assert [doc["id"] for doc in task.test_docs()] == [
            document.id for document in instruct_documents(split)
        ]


def test_prefix_variants() -> None:
    found = manager().load(["eos_upper_bound_prefix"])["tasks"]
    asked = {name: requests(task)[0].args[1]["eos_upper_bound"] for name, task in found.items()}
    assert {name: (request["fraction"], request["reveal"]) for name, request in asked.items()} == {
        f"eos_upper_bound_prefix_u{percent}": (percent / 100, "prefix") for percent in (25, 50, 75)
    }


def test_generation_asks_what_has_one_answer(tasks: dict[str, Any]) -> None:
    found = list(tasks["varlen_instruct"].test_docs())
    assert {doc["family"] for doc in found} == {
        d.family for d in instruct_documents("test", 10)
    } - {"list", "story"}
    assert len(found) == 800


@pytest.mark.parametrize("name", [*FRACTIONS, "eos_upper_bound"])
def test_every_metric_has_a_value_and_an_error(name: str, outcome: dict[str, Any]) -> None:
    results = outcome["results"][name]
    assert {
        key.removesuffix(",none")
        for key in results
        if key.endswith(",none") and "_stderr" not in key
    } == METRICS
    for metric in METRICS:
        assert isinstance(results[f"{metric},none"], float), metric
        assert isinstance(results[f"{metric}_stderr,none"], float), metric


def test_samples_are_length_records(outcome: dict[str, Any]) -> None:
    for name, fraction in FRACTIONS.items():
        samples = outcome["samples"][name]
        assert len(samples) == LIMIT
        for sample, document in zip(samples, instruct_documents("test", LIMIT), strict=True):
            record = LengthRecord.from_json(sample["resps"][0][0])
            assert (record.method, record.fraction, record.canvas) == ("logit", fraction, CANVAS)
            beyond = record.length > CANVAS  # what would be revealed there is not on the canvas
            assert beyond or len(record.revealed) == math.floor(fraction * record.length)
            assert 1 <= record.bound <= CANVAS and (record.eos_prob is None) == (
                record.length >= CANVAS
            )
            assert sample["doc"]["id"] == document.id


def test_results_are_the_metrics_of_the_samples(outcome: dict[str, Any]) -> None:
    for name in FRACTIONS:
        records = [
            LengthRecord.from_json(sample["resps"][0][0]) for sample in outcome["samples"][name]
        ]
        bound, length, canvas, prompt = (
            [getattr(record, field) for record in records]
            for field in ("bound", "length", "canvas", "prompt_length")
        )
        expected = {
            "coverage": metrics.coverage(bound, length, canvas),
            "overshoot": metrics.overshoot(bound, length, canvas),
            "shortfall": metrics.shortfall(bound, length, canvas),
            "saved": metrics.saved(bound, canvas, length),
            "rmse": metrics.rmse(bound, length, canvas),
            "exact": metrics.exact(bound, length, canvas),
            "bucket_accuracy": metrics.bucket_accuracy(bound, length, canvas),
            "accuracy": metrics.accuracy(
                bound, length, canvas, [record.revealed for record in records]
            ),
            "compute_ratio": metrics.compute_ratio(bound, prompt, canvas, length),
            "censored": metrics.censored(length, canvas) / LIMIT,
        }
        for metric, value in expected.items():
            assert float(outcome["results"][name][f"{metric},none"]) == pytest.approx(
                value, nan_ok=True
            ), (name, metric)


PLAIN = (
    dict,
    list,
    tuple,
    str,
    int,
    float,
    bool,
    type(None),
    np.float64,
)  # lm-eval's own are numpy's


def types_in(value: Any) -> set[type]:
    """The types of a value and of all that it holds."""
    parts: list[Any] = []
    if isinstance(value, dict):
        parts = [*value, *value.values()]
    elif isinstance(value, list | tuple):
        parts = list(value)
    return {type(value)}.union(*(types_in(part) for part in parts))


def test_results_are_plain_values(outcome: dict[str, Any]) -> None:
    """Loggers (W&B, Trackio) begin with a deep copy, and others pickle, or write YAML."""
    assert types_in(outcome) <= set(PLAIN)
    for copied in (copy.deepcopy(outcome), pickle.loads(pickle.dumps(outcome))):
        assert repr(copied) == repr(outcome)
    arguments = outcome["samples"]["eos_upper_bound_u25"][0]["arguments"][0][1]
    assert copy.deepcopy(arguments)["eos_upper_bound"]["fraction"] == 0.25


def test_a_group_is_the_mean_over_its_fractions(outcome: dict[str, Any]) -> None:
    for metric in ("coverage", "saved", "rmse", "accuracy"):
        parts = [float(outcome["results"][name][f"{metric},none"]) for name in FRACTIONS]
        assert float(outcome["results"]["eos_upper_bound"][f"{metric},none"]) == pytest.approx(
            sum(parts) / 4
        )


def test_generation_is_scored_by_exact_match(outcome: dict[str, Any]) -> None:
    samples = outcome["samples"]["varlen_instruct"]
    hits = [float(sample["resps"][0][0] == sample["doc"]["response"]) for sample in samples]
    assert float(outcome["results"]["varlen_instruct"]["exact_match,none"]) == sum(hits) / LIMIT


def test_costs_of_every_task_are_reported(outcome: dict[str, Any]) -> None:
    costs = outcome["config"]["eosbench"]["costs"]
    assert {task: cost["requests"] for task, cost in costs.items()} == dict.fromkeys(
        [*FRACTIONS, "varlen_instruct"], LIMIT
    )
    assert {costs[name]["forward_passes"] for name in FRACTIONS} == {LIMIT}


def test_a_target_that_is_no_text_is_an_error(
    tasks: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """lm-eval turns a template's "[1, 2]" into a list, whose number of tokens would be another."""
    task = tasks["eos_upper_bound_u00"]
    doc = {"prompt": "Write this as JSON: 1, 2.", "response": "[1, 2]"}
    assert task.construct_requests(doc, "any").args[1]["reference"] == "[1, 2]"
    monkeypatch.setattr(task.config, "doc_to_target", "{{response}}")
    with pytest.raises(ConfigurationError, match="is a list, expected text"):
        task.construct_requests(doc, "any")


def test_another_model_is_told_which_one_to_run() -> None:
    with pytest.raises(
        ConfigurationError, match=r"expected a length record.*only --model varlen_dlm has"
    ):
        lm_eval.simple_evaluate(
            model="dummy", tasks=["eos_upper_bound_u00"], task_manager=manager(), limit=1
        )


@pytest.mark.filterwarnings("default")  # lm-eval's and transformers' own
def test_an_autoregressive_model_answers_texts_and_no_bounds(tmp_path: Path) -> None:
    """`--model hf` runs the generation task as it stands.

    Where a bound is asked for, it is stopped before it generates.
    """
    config = transformers.GPT2Config(
        vocab_size=622, n_embd=16, n_layer=1, n_head=2, bos_token_id=2, eos_token_id=1
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path)
    words = str(GOLDEN / "llada-trained" / "tokenizer.json")
    transformers.PreTrainedTokenizerFast(
        tokenizer_file=words, eos_token="<eos>", pad_token="<eos>"
    ).save_pretrained(tmp_path)
    run = partial(
        lm_eval.simple_evaluate,
        model="hf",
        model_args={"pretrained": str(tmp_path)},
        gen_kwargs={"max_gen_toks": 4},
        device="cpu",
        task_manager=manager(),
        limit=2,
    )
    assert run(tasks=["varlen_instruct"])["results"]["varlen_instruct"]["sample_len"] == 2
    with pytest.raises(
        ConfigurationError,
        match=r"cannot answer an eos_upper_bound request.*only --model varlen_dlm has",
    ):
        run(tasks=["eos_upper_bound_u00"])


def test_the_oracle_is_told_the_length_of_a_text_beside_its_arguments(
    tasks: dict[str, Any],
) -> None:
    exact = [document for document in instruct_documents("test") if document.exact]
    for request, document in zip(requests(tasks["varlen_instruct"]), exact[:8], strict=True):
        assert request.reference == document.response
        assert request.args[1] == {"until": [], "do_sample": False}


def test_the_packaged_folder_is_the_repository_s() -> None:
    assert (eosbench.plugin.tasks_folder() / "instruct" / "varlen_instruct.yaml").is_file()
