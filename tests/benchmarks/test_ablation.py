"""The ablation's plan, without its hours: commands that parse, stages done once, a table."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmarks import ablation
from benchmarks.ablation import RECIPES, Plan, Stage
from benchmarks.ablation_results import CANVASES, METHODS, finished
from benchmarks.ablation_tables import SECTIONS, differences, summary
from benchmarks.made_runs import make_run
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


def test_the_tables_have_eos_false_and_join_seeds_where_there_are_several() -> None:
    found = (("eos_only", 0, 0.7), ("eos_only", 1, 0.9), ("hazard", 0, 0.25))
    rows = pd.DataFrame(
        [
            {"recipe": recipe, "seed": seed, "eos_top1.u00": 1.0, "eos_false.u00": false}
            for recipe, seed, false in found
        ]
    )
    title, _, head, _, joined, single = summary(rows).splitlines()
    assert title == "## Ends at step zero"  # and nothing of sections without a number
    cells = dict(zip(head.split(" | "), joined.split(" | "), strict=True))
    assert cells["eos_false"] == "0.80 ± 0.14"
    assert (cells["eos_top1"], cells["seeds"]) == ("1.00 ± 0.00", "2")
    cells = dict(zip(head.split(" | "), single.split(" | "), strict=True))
    assert (cells["eos_false"], cells["seeds"], cells["eos_mrr"]) == ("0.25", "1", "–")


def test_every_number_of_the_tables_stands_in_one_table_that_fits_a_page() -> None:
    columns = [column for section in SECTIONS for column in section.columns]
    assert len(columns) == len(set(columns))
    assert all(len(section.columns) <= 7 for section in SECTIONS)
    known = {"overshoot.smartcrop.u00", "compute_ratio.logit.u00", "exact_match.512", "text_loss"}
    known |= {"coverage.classification.length_ood_u00", "coverage.logit.domain_ood_u00", "seconds"}
    assert known <= set(columns)


def finished_model(folder: Path, name: str, *, canvas: int | None = None) -> None:
    """A model as the ablation leaves it, its numbers made up."""
    seed = name.rpartition("-")[2]
    model, found = folder / "models" / name, folder / "results" / name
    model.mkdir(parents=True)
    record = {"steps": 600, "seconds": 200.0, "metrics": {"eval_loss": 0.5 + int(seed)}}
    (model / "training.json").write_text(json.dumps(record), encoding="utf-8")
    for method in ("logit", *METHODS):
        place = found / "bounds" / method
        make_run(place, method, fractions=(0.0,), generation=False, seed=len(name) + int(seed))
    (found / "bounds.done").touch()
    if canvas is not None:
        make_run(found / f"canvas-{canvas}" / "fixed", "fixed", fractions=())
        (found / f"canvas-{canvas}.done").touch()


def heads_of_base(folder: Path, overshoot: dict[str, float]) -> Path:
    """Predictors of the base that had these overshoots on their calibration documents."""
    heads = folder / "heads" / "text-0"
    for head, value in overshoot.items():
        (heads / head).mkdir(parents=True)
        config = {"fit": {"scores": {"0": {"overshoot": value}}}}
        (heads / head / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return heads


def test_an_ablation_that_is_not_done_has_the_tables_of_what_is(tmp_path: Path) -> None:
    folder, output = tmp_path / "ablation", tmp_path / "tables"
    for name in ("text-0", "eoseos-0", "eoseos-1"):
        finished_model(folder, name)
    finished_model(folder, "hazard-0", canvas=64)
    finished_model(folder, "policy-0")
    (folder / "results" / "policy-0" / "bounds.done").unlink()  # its bounds are being asked for
    scores = {"classification": 9.0, "concat_regression": 4.0, "average_regression": 5.0}
    heads_of_base(folder, scores)
    assert finished(folder, ["hazard", "eoseos"]) == [
        ("text", 0),
        ("hazard", 0),
        ("eoseos", 0),
        ("eoseos", 1),
    ]
    words = ["--tables-only", "--folder", str(folder), "--output", str(output)]
    assert CliRunner().invoke(ablation.app, words).exit_code == 0
    rows = pd.read_csv(output / "recipes.csv")
    assert rows["recipe"].tolist() == ["text", "eoseos", "eoseos", "hazard"]
    assert rows["text_loss"].tolist() == [0.5, 0.5, 1.5, 0.5]
    text = (output / "recipes.md").read_text("utf-8")
    answers = text.split("## Answers by canvas: exact match")[1]
    assert "| hazard | 1 |" in answers and "eoseos" not in answers.split("##")[0]
    assert "| eoseos | 2 | 1.000 ± 0.707 |" in text.split("## Loss")[1]
    compared = pd.read_csv(output / "head_or_training.csv")
    assert compared["recipe"].tolist() == ["eoseos", "hazard"]
    assert set(compared["head"]) == {"concat_regression"}
    assert set(pd.read_csv(output / "differences.csv")["recipe"]) == {"hazard", "text"}


def test_a_run_writes_the_tables_of_models_of_earlier_runs_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And reads a model again when more of it is done."""
    folder, output = tmp_path / "ablation", tmp_path / "tables"
    (folder / "start").mkdir(parents=True)
    (folder / "start" / "config.json").touch()
    for name in ("text-0", "eoseos-0", "hazard-0"):
        finished_model(folder, name)
    heads_of_base(folder, dict.fromkeys(METHODS[1:], 1.0))

    def run(stage: Stage) -> None:
        if stage.done.name == "canvas-64.done" and not stage.done.exists():
            make_run(stage.done.parent / "canvas-64" / "fixed", "fixed", fractions=())
            stage.done.touch()

    monkeypatch.setattr(Stage, "run", run)
    words = ["--recipes", "hazard", "--seeds", "0", "--folder", str(folder)]
    found = CliRunner().invoke(ablation.app, [*words, "--output", str(output)])
    assert found.exit_code == 0, found.output
    rows = pd.read_csv(output / "recipes.csv").set_index("recipe")
    assert list(rows.index) == ["text", "hazard", "eoseos"]
    assert rows["exact_match.64"].notna().tolist() == [False, True, False]


def test_tables_of_nothing_are_refused(tmp_path: Path) -> None:
    words = ["--tables-only", "--folder", str(tmp_path), "--output", str(tmp_path / "tables")]
    refused = CliRunner().invoke(ablation.app, words)
    assert refused.exit_code == 2 and "finished model" in " ".join(refused.output.split())


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
