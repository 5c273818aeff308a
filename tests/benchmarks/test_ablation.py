"""The ablation's plan, without its hours: commands that parse, stages done once, a table."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks import ablation
from benchmarks.ablation import RECIPES, Plan, Stage
from benchmarks.ablation_tables import CANVASES, differences, summary
from eosbench.training import parse, recipe_names


def plan(folder: Path) -> Plan:
    return Plan(folder, steps=6, base_steps=9, documents=20, calibration=10, limit=4)


def test_every_recipe_goes_on_from_the_base(tmp_path: Path) -> None:
    assert set(RECIPES.split(",")) <= set(recipe_names())
    for recipe in ("text", *RECIPES.split(",")):
        stage = plan(tmp_path).training(recipe, 1)
        name, settings, arguments = parse(stage.command[1:])
        base = recipe == "text"
        start = tmp_path / ("start" if base else "models/text-0")
        assert (name, settings.pretrained) == (recipe, str(start))
        assert (arguments.seed, arguments.max_steps) == (1, 9 if base else 6)
        assert settings.resume


def test_bounds_and_answers_on_every_canvas_are_asked_for(tmp_path: Path) -> None:
    stages = list(plan(tmp_path).evaluation("hazard", 0))
    assert [stage.command[0] for stage in stages] == ["fit"] * 2 + ["sweep"] * (1 + len(CANVASES))
    assert len({stage.done for stage in stages}) == len(stages)
    base = plan(tmp_path).evaluation("text", 0)
    assert [stage.command[0] for stage in base] == ["fit", "fit", "sweep"]


def test_a_stage_is_done_once_and_not_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[Any] = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: ran.append(command))
    stage = Stage(["train", "text"], tmp_path / "a" / "done", apart=True)
    stage.run()
    stage.run()
    assert len(ran) == 1
    monkeypatch.setattr(ablation, "eosbench_command", lambda words, **_: ran.append(words))
    here = Stage(["fit"], tmp_path / "a" / "fitted")
    here.run()
    here.run()
    assert ran[1:] == [["fit"]]

    def fails(command: list[str], check: bool) -> None:
        raise subprocess.CalledProcessError(2, command)

    monkeypatch.setattr(subprocess, "run", fails)
    broken = Stage(["train", "text"], tmp_path / "b", apart=True)
    with pytest.raises(subprocess.CalledProcessError):
        broken.run()
    assert not broken.done.exists()


def test_the_table_has_eos_false_and_joins_seeds() -> None:
    rows = pd.DataFrame(
        [
            {"recipe": "eos_only", "seed": seed, "eos_top1.u00": 1.0, "eos_false.u00": false}
            for seed, false in ((0, 0.7), (1, 0.9))
        ]
    )
    head, _, line = summary(rows).splitlines()
    cells = dict(zip(head.split(" | "), line.split(" | "), strict=True))
    assert cells["eos_false"] == "0.800 ± 0.141"
    assert (cells["eos_top1"], cells["seeds"]) == ("1.000 ± 0.000", "2")


def test_differences_are_paired_by_document_and_averaged_over_seeds() -> None:
    exact = {("eoseos", 0): [0, 0, 1], ("eoseos", 1): [0, 0, 1], ("hazard", 0): [1, 0, 1]}
    exact |= {("hazard", 1): [1, 1, 1]}
    documents = pd.DataFrame(
        [
            {"recipe": recipe, "seed": seed, "document": index, "measure": "exact", "value": value}
            for (recipe, seed), values in exact.items()
            for index, value in enumerate(values)
        ]
    )
    row = differences(documents).iloc[0]
    assert (row["recipe"], row["less"]) == ("hazard", "eoseos")
    assert row["difference"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert row["low"] <= row["difference"] <= row["high"]
    for alone in ("hazard", "eoseos"):
        assert differences(documents[documents["recipe"] == alone]).empty
