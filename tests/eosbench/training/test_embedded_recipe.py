"""The embedded model's recipe: the losses of the script that it replaces, and where it starts."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from eosbench.documents import NAMES
from eosbench.recipe.warm_start import new_model, warm_start
from eosbench.training import parse, train
from model_adapters import load_backbone, load_trainable, save_llada
from tests.golden_files import GOLDEN

# Written by eosbench/recipe/pretrain.py before this recipe took its place.
RUNS = json.loads(
    (Path(__file__).parents[2] / "fixtures" / "pretrain_losses.json").read_text(encoding="utf-8")
)["runs"]


def shaped(settings: dict[str, Any], vocabulary: int) -> Any:
    shape = {name: settings[name] for name in ("width", "layers", "heads", "mlp_width")}
    torch.manual_seed(settings["seed"])
    return new_model(vocabulary, **shape)


@pytest.mark.parametrize("run", RUNS, ids=["one chunk", "two chunks"])
def test_the_losses_are_those_of_the_script_that_it_replaces(
    run: dict[str, Any], tokenizer: Any, tmp_path: Path
) -> None:
    """The same batches, masks, weights, optimizers and schedules.

    The first loss, before any update, is equal to 1e-6, and so are all where the processor is of
    the kind that the script ran on. Another kind rounds float32 products otherwise, which every
    step takes further: 2e-5 was seen after 40.
    """
    old = run["settings"]
    model = shaped(old, len(tokenizer))
    save_llada(
        tmp_path / "start",
        model.model,
        model.lm_head.weight,
        mask_id=tokenizer.mask_token_id,
        eos_id=tokenizer.eos_token_id,
        dtype=torch.float32,
    )
    tokenizer.save_pretrained(tmp_path / "start")
    flags = {
        "pretrained": tmp_path / "start",
        "output": tmp_path / "out",
        "limit": old["documents"],
        "batch_tokens": old["tokens_per_batch"],
        "max_steps": old["steps"],
        "warmup_steps": old["warmup"],
        "seed": old["seed"],
        "bf16": "false",
        "held_out_documents": 0,
        "logging_steps": 1,
        "disable_tqdm": "true",
        "save_strategy": "no",
    }
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    out = train(*parse(["embedded", *words]), load=load_trainable)
    log = json.loads((out / "training.json").read_text())["log"]
    losses = [line["loss"] for line in log if "loss" in line]
    assert losses[0] == pytest.approx(run["losses"][0], abs=1e-6)
    assert losses == pytest.approx(run["losses"], rel=1e-4)
    uniform = math.log(len(tokenizer))
    assert losses[0] < uniform + 0.2 and min(losses[-5:]) < uniform - 0.4


def test_every_position_sees_every_other(start: Path) -> None:
    model = load_trainable(start)
    ids = torch.arange(1, 9)[None]
    other = ids.clone()
    other[0, -1] = 40
    with torch.no_grad():
        one, two = (model.hidden(x)[0, 0] for x in (ids, other))
    assert not torch.allclose(one, two, atol=1e-4)


def test_no_two_names_start_alike(tokenizer: Any) -> None:
    """The teacher knows none of them: as means of their letters they were the same, and a model
    never told them apart.
    """
    model = new_model(len(tokenizer))
    warm_start(model, tokenizer, load_backbone(GOLDEN / "llada-trained"))
    for matrix in (model.model.embed_tokens.weight, model.lm_head.weight):
        ids = [tokenizer(f" {name}", add_special_tokens=False)["input_ids"][0] for name in NAMES]
        similar_NN = torch.corrcoef(matrix[ids].detach()) - torch.eye(len(ids))
        assert similar_NN.max() < 0.9
