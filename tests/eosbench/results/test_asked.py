"""Runs that differ in what lm-eval alone knows.

They are the chat template, generation arguments and the number of examples in the prompt.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.made_runs import make_baseline, make_run
from eosbench.report.costs import reference_run
from eosbench.results.runs import read_runs, scan

PLAIN, LATER = 1_767_323_045.0, 1_800_000_000.0
CHAT, MULTITURN = "ab" * 32, {"chat_template_sha": "ab" * 32, "fewshot_as_multiturn": True}


def rewrite(path: Path, fields: dict[str, Any], **config: Any) -> None:
    """Puts fields where lm-eval writes them: into the file, or into its `config`."""
    data = json.loads(path.read_text(encoding="utf-8"))
    data |= fields
    data["config"] |= config
    path.write_text(json.dumps(data), encoding="utf-8")


def shots(**by_task: int) -> dict[str, Any]:
    return {"n-shot": by_task}


@pytest.mark.parametrize(
    ("fields", "config", "label"),
    [
        ({"chat_template_sha": CHAT}, {}, "chat_template=abababab"),
        ({"system_instruction_sha": CHAT}, {}, "system_instruction=abababab"),
        ({}, {"gen_kwargs": {"temperature": 0.5}}, "gen_kwargs.temperature=0.5"),
        # As lm-eval of before wrote it.
        ({}, {"gen_kwargs": "temperature=0.5"}, "gen_kwargs=temperature=0.5"),
    ],
)
def test_runs_that_differ_in_how_lm_eval_asked_are_two_with_the_difference_in_their_names(
    tmp_path: Path, fields: dict[str, Any], config: dict[str, Any], label: str
) -> None:
    make_run(tmp_path / "plain", "logit", size=3, samples=False)
    rewrite(
        make_run(tmp_path / "other", "logit", size=3, samples=False, started=LATER),
        fields,
        **config,
    )
    found = scan(tmp_path)
    assert found.skipped == []
    names = sorted(run.name for run in found.runs)
    setting = label.partition("=")[0]
    assert names == sorted([f"logit {setting}=None", f"logit {label}"])
    assert len({run.fingerprint for run in found.runs}) == 2 and all(
        len(run.tasks) == 5 for run in found.runs
    )


def test_a_run_that_lm_eval_asked_plainly_keeps_the_fingerprint_of_its_block(
    tmp_path: Path,
) -> None:
    path = make_run(tmp_path, "logit", size=3, samples=False, fingerprint="f" * 16)
    rewrite(
        path,
        {"chat_template_sha": None, "fewshot_as_multiturn": None, **shots(varlen_instruct=5)},
        gen_kwargs=None,
    )
    (run,) = read_runs(tmp_path)
    assert (run.name, run.fingerprint, run.asked) == ("logit", "f" * 16, {})


def test_runs_asked_alike_are_one_and_the_newest_wins(tmp_path: Path) -> None:
    for folder, size, started in (("old", 4, PLAIN), ("new", 3, LATER)):
        path = make_run(
            tmp_path / folder, "logit", size=size, samples=False, fractions=(0.0,), started=started
        )
        rewrite(
            path,
            MULTITURN | shots(eos_upper_bound_u00=0, varlen_instruct=5),
            gen_kwargs={"temperature": 0.5},
        )
    found = scan(tmp_path)
    (run,) = found.runs
    assert run.name == "logit" and {task.documents for task in run.tasks.values()} == {3}
    assert [item.path.parent.name for item in found.skipped] == ["old"]
    assert all(
        "same settings, of 3 documents instead of 4" in item.reason for item in found.skipped
    )


def test_a_task_with_two_numbers_of_examples_divides_its_run_by_them(tmp_path: Path) -> None:
    rewrite(
        make_run(tmp_path / "a", "logit", size=3, samples=False, fractions=(0.0,)),
        shots(eos_upper_bound_u00=0, varlen_instruct=5),
    )
    path = make_run(tmp_path / "b", "logit", size=3, samples=False, fractions=(), started=LATER)
    rewrite(path, shots(varlen_instruct=0))
    found = scan(tmp_path)
    assert found.skipped == []
    assert {run.name: sorted(run.tasks) for run in found.runs} == {
        "logit num_fewshot=0": ["eos_upper_bound_u00", "varlen_instruct"],
        "logit num_fewshot=5": ["varlen_instruct"],
    }


def test_tasks_of_several_numbers_of_examples_are_one_run_where_none_has_two(
    tmp_path: Path,
) -> None:
    rewrite(
        make_run(
            tmp_path / "a", "logit", size=3, samples=False, fractions=(0.0,), generation=False
        ),
        shots(eos_upper_bound_u00=0),
    )
    rewrite(
        make_run(tmp_path / "b", "logit", size=3, samples=False, fractions=()),
        shots(varlen_instruct=5),
    )
    (run,) = read_runs(tmp_path)
    assert (run.name, len(run.tasks)) == ("logit", 2)


def test_examples_in_turns_of_a_chat_and_in_one_turn_are_two_runs(tmp_path: Path) -> None:
    for folder, in_turns in (("a", True), ("b", False)):
        path = make_run(tmp_path / folder, "logit", size=3, samples=False, fractions=())
        rewrite(path, MULTITURN | {"fewshot_as_multiturn": in_turns} | shots(varlen_instruct=5))
    assert [run.name for run in read_runs(tmp_path)] == [
        "logit num_fewshot=5",
        "logit num_fewshot=5 in one turn",
    ]


def test_runs_of_another_model_are_told_apart_too(tmp_path: Path) -> None:
    make_baseline(tmp_path / "plain", size=3)
    rewrite(make_baseline(tmp_path / "chat", size=3), {"chat_template_sha": CHAT})
    assert [run.name for run in read_runs(tmp_path)] == [
        "tiny/gpt chat_template=None",
        "tiny/gpt chat_template=abababab",
    ]


def test_costs_are_compared_with_a_fixed_canvas_that_was_asked_alike(tmp_path: Path) -> None:
    for method in ("fixed", "logit"):
        make_run(tmp_path / method / "plain", method, size=3, samples=False)
        rewrite(
            make_run(tmp_path / method / "chat", method, size=3, samples=False),
            {"chat_template_sha": CHAT},
        )
    rewrite(
        make_run(tmp_path / "five", "logit", size=3, samples=False, fractions=()),
        shots(varlen_instruct=5),
    )
    runs = read_runs(tmp_path)
    found = {
        run.name: reference_run(run, "varlen_instruct", runs, "fixed")
        for run in runs
        if run.method == "logit"
    }
    assert {name: fixed and fixed.name for name, fixed in found.items()} == {
        "logit chat_template=abababab num_fewshot=None": "fixed chat_template=abababab",
        "logit chat_template=None num_fewshot=unknown": "fixed chat_template=None",
        "logit chat_template=None num_fewshot=5": None,
    }
