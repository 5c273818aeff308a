"""Whole runs at a tiny size: every recipe, what is written, and going on after a kill."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from eosbench.errors import ConfigurationError
from eosbench.training import parse, recipe_names, train
from eosbench.training.trainer import DenoisingTrainer
from model_adapters import load_backbone, load_trainable

ENDS = {"eospad": 1, "rainbow": 7}


def run(words: list[str], output: Path) -> dict[str, Any]:
    """training.json of a run."""
    folder = train(*parse([*words, "--output", str(output)]), load=load_trainable)
    record: dict[str, Any] = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    return record


def losses(record: dict[str, Any]) -> list[float]:
    return [line["loss"] for line in record["log"] if "loss" in line]


@pytest.mark.parametrize("recipe", sorted({*recipe_names()} - {"causal"}))  # test_causal.py
def test_every_recipe_trains_and_what_it_writes_loads(
    recipe: str, quick: list[str], start: Path, tmp_path: Path
) -> None:
    small = ["--held_out", "none", "--bf16", "false", "--export_dtype", "auto"]
    extra = small if recipe == "embedded" else []
    record = run([recipe, *quick, *extra], tmp_path / "out")
    assert record["recipe"] == recipe and record["steps"] == 4
    assert len(losses(record)) == 4 and all(map(torch.isfinite, torch.tensor(losses(record))))
    assert 0 <= record["metrics"]["eval_eos_false"] <= 1

    trained = load_backbone(tmp_path / "out")
    before = load_backbone(start)
    assert trained.spec.fingerprint != before.spec.fingerprint
    assert len(trained.spec.eos_ids) == 1 + ENDS.get(recipe, 0)
    assert trained.tokenizer("1 2 3")["input_ids"] == before.tokenizer("1 2 3")["input_ids"]


def test_what_is_written_holds_no_pickle_and_says_how_it_came_about(
    quick: list[str], start: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    record = run(["eospad", *quick, "--seed", "3"], out)
    written = {path.name for path in out.iterdir() if path.is_file()}
    assert written >= {"config.json", "model.safetensors", "training.json", "README.md"}
    assert not {path.suffix for path in out.iterdir()} & {".bin", ".pt", ".pth", ".pkl"}
    modes = {path.name: path.stat().st_mode for path in out.iterdir() if path.is_file()}
    assert set(modes.values()) == {modes["training.json"]}
    checkpoints = list((out / "run").glob("checkpoint-*"))
    assert [path.name for path in checkpoints] == ["checkpoint-4"]
    assert not (checkpoints[0] / "training_args.bin").exists()

    config = json.loads((out / "config.json").read_text())
    assert config["eos_token_id"] == [1, 896] and config["vocab_size"] == 897
    assert record["seed"] == 3
    assert record["start"]["fingerprint"] == load_backbone(start).spec.fingerprint
    assert record["data"]["documents"] + record["data"]["held_out"] <= 60
    card = (out / "README.md").read_text()
    assert "recipe eospad" in card and record["data"]["digest"] in card and "eos_false" in card


def test_a_new_token_starts_as_the_mean_and_no_other_row_changes(start: Path) -> None:
    """The seed's code wrote ones over the mask's embedding."""
    model = load_trainable(start)
    before = model.model.get_input_embeddings().weight.detach().clone()
    (pad_id,) = model.add_tokens(["<|pad|>"])
    after = model.model.get_input_embeddings().weight.detach()
    assert torch.equal(after[: len(before)], before)
    torch.testing.assert_close(after[pad_id], before.mean(dim=0))


class Kill(TrainerCallback):
    """Ends the process at once when a step is done, as a signal would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self.step:
            os._exit(9)


def _killed(words: list[str], output: Path, step: int) -> None:
    original = DenoisingTrainer.__init__

    def with_kill(self: DenoisingTrainer, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        self.add_callback(Kill(step))

    DenoisingTrainer.__init__ = with_kill  # type: ignore[method-assign]
    run(words, output)


@pytest.mark.parametrize("recipe", ["eospad", "policy", "embedded", "grid"])
def test_killed_at_a_random_step_and_resumed_the_losses_are_bit_equal(
    recipe: str, quick: list[str], tmp_path: Path
) -> None:
    own = ["eoseos", "--grid_share", "0.5", "--grid", "8"] if recipe == "grid" else [recipe]
    words = [*own, *quick, "--max_steps", "10", "--save_steps", "2", "--eval_steps", "5"]
    words += ["--bf16", "false", "--held_out", "none", "--export_dtype", "auto"]
    words += ["--dropout", "0.1", "--gradient_accumulation_steps", "2"]
    whole = run(words, tmp_path / "whole")
    step = random.randint(3, 9)
    child = multiprocessing.get_context("fork").Process(
        target=_killed, args=(words, tmp_path / "killed", step)
    )
    child.start()
    child.join()
    assert child.exitcode == 9, f"at step {step}"
    again = run([*words, "--resume"], tmp_path / "killed")
    assert losses(again) == losses(whole), f"killed at step {step}"
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert again["metrics"] == whole["metrics"]


def test_a_run_is_resumed_under_its_own_settings_alone(quick: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["eoseos", *quick, "--max_steps", "2", "--save_steps", "1"]
    run(words, out)
    with pytest.raises(
        ConfigurationError, match=r"holds a run already: go on with it \(--resume\)"
    ):
        run(words, out)
    with pytest.raises(ConfigurationError, match=r"eos_weight is 2.0, the run in .* has 1.0"):
        run([*words, "--eos_weight", "2", "--resume"], out)
    with pytest.raises(ConfigurationError, match=r"seed is 1, the run in .* has 0"):
        run([*words, "--seed", "1", "--resume"], out)
    assert run([*words, "--resume"], out)["steps"] == 2


def test_to_resume_what_was_never_saved_is_to_start(quick: list[str], tmp_path: Path) -> None:
    words = ["eoseos", *quick, "--max_steps", "2", "--save_strategy", "no"]
    first = run(words, tmp_path / "out")
    assert losses(run([*words, "--resume"], tmp_path / "out")) == losses(first)


def test_accumulated_micro_batches_are_those_of_the_index(quick: list[str], tmp_path: Path) -> None:
    """Two micro-batches a step: the mean of their losses is the step's."""
    still = ["--learning_rate", "0", "--max_steps", "2"]
    two = run(["eoseos", *quick, *still, "--gradient_accumulation_steps", "2"], tmp_path / "two")
    four = run(["eoseos", *quick, *still, "--max_steps", "4"], tmp_path / "four")
    single = losses(four)
    expected = [(single[0] + single[1]) / 2, (single[2] + single[3]) / 2]
    assert losses(two) == pytest.approx(expected, rel=1e-6)


def test_parts_of_the_loss_and_seconds_are_logged(quick: list[str], tmp_path: Path) -> None:
    record = run(["contrastive", *quick], tmp_path / "out")
    lines = [line for line in record["log"] if "loss" in line]
    for line in lines:
        parts = line["loss_denoise"] + 0.1 * line["loss_contrastive"]
        assert line["loss"] == pytest.approx(parts, rel=1e-5)
    assert 0 <= lines[0]["seconds"] <= lines[-1]["seconds"] <= record["seconds"]


def test_epochs_are_steps_by_the_number_of_documents(quick: list[str], tmp_path: Path) -> None:
    flags = ["--max_steps", "-1", "--num_train_epochs", "2", "--batch_tokens", "0"]
    record = run(["eoseos", *quick, *flags, "--per_device_train_batch_size", "20"], tmp_path / "a")
    assert record["steps"] == round(2 * record["data"]["documents"] / 20)


def test_low_rank_matrices_are_merged(quick: list[str], start: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    run(["eospad", *quick, "--lora_rank", "2", "--learning_rate", "1e-2"], tmp_path / "out")
    before, after = (load_file(path / "model.safetensors") for path in (start, tmp_path / "out"))
    assert before.keys() == after.keys()
    changed = {
        name for name in before if not torch.equal(before[name], after[name][: len(before[name])])
    }
    assert any("q_proj" in name for name in changed)
    assert not any("norm" in name or "wte" in name for name in changed)
    # Of the new token both rows were trained: they are the mean of the others no longer.
    for name in ("model.transformer.wte.weight", "model.transformer.ff_out.weight"):
        mean = before[name].mean(dim=0)
        assert not torch.allclose(after[name][-1], mean, atol=1e-4)
        assert torch.equal(after[name][:-1], before[name])


def test_text_files_are_streamed(quick: list[str], tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(f"count {n} " + "1 2 3 " * (n % 9) for n in range(80)))
    flags = ["--data", str(text), "--canvas", "24", "--per_device_train_batch_size", "2"]
    for recipe in ("text", "eospad"):
        record = run([recipe, *quick, *flags], tmp_path / recipe)
        assert record["data"]["streamed"] and record["data"]["held_out"] > 0
        assert len(losses(record)) == 4


def test_a_canvas_must_leave_room(quick: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--canvas 1024 leaves no room"):
        run(["text", *quick, "--canvas", "1024"], tmp_path / "out")
