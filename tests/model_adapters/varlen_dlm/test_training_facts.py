"""What a results file says of a model that `eosbench train` made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model_adapters.varlen_dlm.training_record import training_record

RECORD: dict[str, Any] = {
    "recipe": "eospad",
    "seed": 1,
    "steps": 600,
    "start": {"name": "base", "fingerprint": "00" * 8},
    "data": {"digest": "11" * 8},
    "settings": {"layout": "eospad", "output": "out/one"},
    "arguments": {"learning_rate": 1e-4, "seed": 1, "data_seed": None},
}


def facts(folder: Path, **changed: Any) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    (folder / "training.json").write_text(json.dumps(RECORD | changed), encoding="utf-8")
    return training_record(str(folder), None)


def test_recipe_seed_steps_and_data_are_told(tmp_path: Path) -> None:
    found = facts(tmp_path / "a")
    assert (found["recipe"], found["training_seed"], found["training_steps"]) == ("eospad", 1, 600)
    assert (found["training_start"], found["training_data"]) == ("00" * 8, "11" * 8)


def test_settings_but_for_seeds_and_places_tell_runs_apart(tmp_path: Path) -> None:
    one = facts(tmp_path / "a")["training_settings"]
    arguments = {**RECORD["arguments"], "seed": 2}
    settings = {**RECORD["settings"], "output": "out/two"}
    assert facts(tmp_path / "a", arguments=arguments, settings=settings)["training_settings"] == one
    other = {**RECORD["arguments"], "learning_rate": 1e-3}
    assert facts(tmp_path / "a", arguments=other)["training_settings"] != one


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"recipe": "x"}', '{"data": 1}'])
def test_a_file_of_somebody_else_tells_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / "training.json").write_text(text)
    assert training_record(str(tmp_path), None) == {}


def test_other_models_tell_nothing(tmp_path: Path) -> None:
    assert training_record(str(tmp_path), None) == {}
