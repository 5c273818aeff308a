"""What transformers' Trainer would do wrong by itself, or what could go around it."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from eosbench.training import parse, train
from eosbench.training.denoiser import Denoiser
from eosbench.training.muon import muon_with_adamw
from eosbench.training.trainer import largest_list
from model_adapters import load_trainable
from tests.golden_files import GOLDEN

REPOSITORY = Path(__file__).resolve().parents[3]


def batch(model: Any, tokens: int = 12) -> dict[str, torch.Tensor]:
    """Two rows; the last four tokens are masked."""
    rng = torch.Generator().manual_seed(0)
    targets_BT = torch.randint(10, 100, (2, tokens), generator=rng)
    masked_BT = (torch.arange(tokens) >= tokens - 4).expand(2, -1)
    return {
        "ids": targets_BT.masked_fill(masked_BT, model.spec.mask_id),
        "targets": targets_BT,
        "kinds": torch.ones_like(targets_BT),
        "masked": masked_BT,
        "weights": masked_BT.float(),
        "prompt": torch.zeros(2, dtype=torch.long),
        "length": torch.full((2,), tokens),
    }


@pytest.mark.parametrize("name", ["diffugpt-tiny", "dream-tiny", "llada-tiny"])
def test_a_masked_target_is_scored_by_the_row_that_scores_it(name: str) -> None:
    """Logits of shifted families: raw row i - 1 scores token i. Where the input at i is what is
    masked and the row at i is read, a visible token would be copied.
    """
    model = load_trainable(GOLDEN / name)
    given = batch(model)
    with torch.no_grad():
        loss = Denoiser(model)(**given)["loss"]
        logits_BTV = model.backbone.logits(given["ids"])  # row i scores token i
    log_p = logits_BTV.log_softmax(dim=2)
    where = given["masked"]
    expected = -log_p[where].gather(1, given["targets"][where][:, None]).mean()
    torch.testing.assert_close(loss, expected)

    other = copy.copy(given)
    other["targets"] = given["targets"].clone()
    other["targets"][~where] = 7  # no visible token is a target
    with torch.no_grad():
        torch.testing.assert_close(Denoiser(model)(**other)["loss"], loss, rtol=0, atol=0)


def test_the_whole_computation_is_inside_of_what_accelerate_casts(start: Path) -> None:
    """A loss that calls the model's parts around `forward` would silently stay in float32."""
    model = load_trainable(start)
    denoiser, seen = Denoiser(model), []
    model.model.lm_head.register_forward_hook(lambda *parts: seen.append(parts[2].dtype))
    given = batch(model)
    from accelerate import Accelerator

    prepared = Accelerator(cpu=True, mixed_precision="bf16").prepare_model(denoiser)
    loss = prepared(**given)["loss"]
    assert seen == [torch.bfloat16]
    assert loss.dtype == torch.float32
    assert Denoiser.accepts_loss_kwargs is False


def test_every_weight_has_one_optimizer(start: Path) -> None:
    model = load_trainable(start).model
    optimizer = muon_with_adamw(
        model, largest_list(model), matrix_learning_rate=1e-3, learning_rate=1e-3
    )
    owned = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(owned) == sorted(id(p) for p in model.parameters())
    muon = {p.shape for group in optimizer.parts["muon"].param_groups for p in group["params"]}
    assert (896, 32) not in muon  # neither embedding nor output layer


def test_two_optimizers_as_one_keep_their_state_and_follow_one_schedule(start: Path) -> None:
    model = load_trainable(start).model
    rates = {"matrix_learning_rate": 4e-3, "learning_rate": 2e-3}
    one = muon_with_adamw(model, largest_list(model), **rates)
    schedule = torch.optim.lr_scheduler.LambdaLR(one, lambda step: 1 / (1 + step))
    model.get_input_embeddings().weight.sum().backward()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    one.step()
    schedule.step()
    assert [group["lr"] for group in one.param_groups] == [2e-3, 1e-3]
    other = muon_with_adamw(model, largest_list(model), **rates)
    other.load_state_dict(one.state_dict())
    assert [group["lr"] for group in other.param_groups] == [2e-3, 1e-3]
    other.param_groups[0]["lr"] = 7.0
    assert other.parts["muon"].param_groups[0]["lr"] == 7.0
    states = [part.state_dict()["state"] for part in (one, other) for part in part.parts.values()]
    assert states[0].keys() == states[2].keys() and states[1].keys() == states[3].keys()


# Under --cpu accelerate starts one process, however many are asked for; --multi_gpu starts them,
# and without a GPU they run on the CPU.
TWO = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
TWO += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
TWO += ["--main_process_port", "0", "-m", "eosbench", "train"]


def logged(record: dict[str, Any]) -> list[float]:
    return [line["loss"] for line in record["log"] if "loss" in line]


def test_two_processes_train_like_one_with_two_micro_batches(
    quick: list[str], tmp_path: Path
) -> None:
    """DDP over gloo: each process has its own micro-batches, the gradients are their mean."""
    words = ["eospad", *quick, "--max_steps", "3", "--held_out_documents", "3"]
    done = subprocess.run(
        [sys.executable, *TWO, *words, "--output", str(tmp_path / "two")],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    again = ["--gradient_accumulation_steps", "2", "--output", str(tmp_path / "one")]
    train(*parse([*words, *again]), load=load_trainable)
    one, two = (
        json.loads((tmp_path / name / "training.json").read_text()) for name in ("one", "two")
    )
    assert logged(two) == pytest.approx(logged(one), rel=1e-5)
    assert two["metrics"] == pytest.approx(one["metrics"], rel=1e-4, nan_ok=True)
    assert two["micro_batches"] == one["micro_batches"] == 2
