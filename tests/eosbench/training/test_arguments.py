"""Recipes, files and flags: what is said last holds, and what is wrong is one line."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainingArguments

from eosbench.errors import ConfigurationError
from eosbench.training import Settings, describe, parse, recipe_names
from eosbench.training.arguments import COMMON, RECIPES, read_file
from eosbench.training.checks import CHOICES
from eosbench.training.layout import LAYOUTS
from eosbench.training.noise import NOISES
from eosbench.training.objectives import OBJECTIVES
from eosbench.training.pairs import WINDOWS
from eosbench.training.weights import ROW_NORMS


def written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("recipe", recipe_names())
def test_every_recipe_is_settings_and_arguments_and_says_what_it_is(recipe: str) -> None:
    name, settings, _ = parse([recipe])
    assert name == recipe
    assert len(describe(recipe)) > 20
    said = read_file(RECIPES / f"{recipe}.yaml")
    names = {field.name for field in dataclasses.fields(Settings)}
    for key in names & said.keys():
        value = getattr(settings, key)
        assert value == said[key] or json.loads(value) == said[key], key


def test_the_table_of_recipes_is_there() -> None:
    expected = "text eoseos eospad rainbow first_step eos_only hazard curriculum annealed weighted"
    expected += " contrastive consistency policy exact embedded causal"
    assert set(recipe_names()) == set(expected.split())


def test_what_is_said_last_holds(tmp_path: Path) -> None:
    file = written(tmp_path / "my.yaml", "recipe: weighted\neos_weight: 4\nlearning_rate: 1e-4\n")
    name, settings, arguments = parse([file, "--filler_weight", "0.5"])
    assert name == "my"
    assert (settings.eos_weight, settings.filler_weight, settings.layout) == (4.0, 0.5, "eoseos")
    assert arguments.learning_rate == 1e-4  # a word to YAML, a number here
    common = read_file(COMMON)
    assert arguments.weight_decay == common["weight_decay"]
    assert parse([file, "--eos_weight=2", "--learning-rate", "3e-4"])[2].learning_rate == 3e-4


def test_json_files_and_lists(tmp_path: Path) -> None:
    said = {
        "data": ["a.jsonl", "b.jsonl"],
        "bf16": False,
        "shares": {"list": 0.5},
        "revision": None,
    }
    _, settings, arguments = parse([written(tmp_path / "a.json", json.dumps(said))])
    assert settings.data == ["a.jsonl", "b.jsonl"]
    assert json.loads(settings.shares) == {"list": 0.5}
    assert not arguments.bf16


def test_every_field_of_the_trainer_is_a_flag() -> None:
    from eosbench.training.arguments import _parser

    flags = {option for action in _parser()._actions for option in action.option_strings}
    for field in dataclasses.fields(TrainingArguments):
        assert not field.init or f"--{field.name}" in flags
    assert not {f.name for f in dataclasses.fields(Settings)} & {
        f.name for f in dataclasses.fields(TrainingArguments)
    }


def test_the_run_s_own_folder_lies_in_the_output() -> None:
    assert parse(["text", "--output", "out/a"])[2].output_dir == "out/a/run"
    assert parse(["text", "--output_dir", "elsewhere"])[2].output_dir == "elsewhere"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "expected one of annealed, causal, consistency"),
        (["eospda"], "no recipe 'eospda', did you mean 'eospad'?"),
        (
            ["text", "--leraning_rate", "1"],
            "unknown name 'leraning_rate', did you mean 'learning_rate'?",
        ),
        (["text", "--layuot", "text"], "unknown name 'layuot', did you mean 'layout'?"),
        (["text", "--learn", "1"], "unknown name 'learn'"),
        (["text", "--max_steps", "many"], "max_steps.*invalid int value: 'many'"),
        (
            ["text", "--layout", "eospda"],
            "--layout eospda, did you mean 'eospad'?: expected one of",
        ),
        (["text", "--canvas", "0"], "--canvas 0: expected at least 1"),
        (["text", "--dropout", "2"], "--dropout 2.0: expected 0 to 1"),
        (["text", "--shares", "[1]"], "expected JSON, a number a family"),
        (["text", "--objective", "policy"], "needs an end, which the layout text has not"),
        (["policy", "--draws", "1"], "policy compares at least 2 draws"),
        (["text", "--label_smoothing_factor", "0.1"], "leave it out"),
        (["text", "--prompt_column", "a", "b"], "one for each of the 1 sources"),
        (["text", "--eval_strategy", "sometimes"], "sometimes"),
        (["missing.yaml"], "missing.yaml cannot be read"),
    ],
)
def test_mistakes_are_one_line(words: list[str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says.replace("?", r"\?")) as found:
        parse(words)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("learning_rat: 1", "my.yaml: unknown name 'learning_rat', did you mean 'learning_rate'"),
        ("max_steps: soon", "my.yaml: .*invalid int value: 'soon'"),
        ("- a\n- b", "holds list, expected names with values"),
        ("a: [", "my.yaml cannot be read"),
        ("recipe: nothing", "no recipe 'nothing'"),
        ("layout: {a: 1}", "--layout"),
    ],
)
def test_a_bad_file_is_one_line_that_names_it(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as found:
        parse([written(tmp_path / "my.yaml", text)])
    assert "\n" not in str(found.value)


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    settings = parse([written(tmp_path / "my.yaml", "")])[1]
    assert settings == Settings()


def test_the_choices_are_those_of_the_code() -> None:
    own: dict[str, Any] = {
        "layout": LAYOUTS,
        "noise": NOISES,
        "windows": WINDOWS,
        "row_norm": ROW_NORMS,
        "objective": OBJECTIVES,
    }
    assert {name: tuple(values) for name, values in own.items()} == {
        name: CHOICES[name] for name in own
    }
