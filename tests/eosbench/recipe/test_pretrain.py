"""The recipe of the embedded model at a small size: it sees the whole canvas, learns, and is the
same when run again.
"""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from eosbench import embedded
from eosbench.documents.wordlists import NAMES
from eosbench.recipe.pretrain import PretrainConfig, new_model, optimizers, pretrain
from eosbench.recipe.warm_start import warm_start
from model_adapters import load_backbone
from model_adapters.checkpoints.checkpoint import open_checkpoint
from tests.golden_files import GOLDEN

TINY = dataclasses.replace(
    PretrainConfig(),
    steps=40,
    tokens_per_batch=512,
    documents=300,
    width=32,
    layers=1,
    heads=2,
    mlp_width=64,
    warmup=5,
    log_every=10,
    snapshot_every=20,
    bfloat16=False,
)


@pytest.fixture(scope="module")
def tokenizer() -> object:
    return open_checkpoint(embedded.MODEL, name="embedded").tokenizer


def test_it_learns_and_a_second_run_is_the_same(tokenizer: object, tmp_path: Path) -> None:
    first = pretrain(
        tokenizer, TINY, tmp_path / "one.jsonl", snapshot=tmp_path / "snapshot.safetensors"
    )
    again = pretrain(tokenizer, TINY, tmp_path / "two.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "one.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 30, 40]
    uniform = math.log(len(tokenizer))  # type: ignore[arg-type]
    assert lines[0]["loss"] < uniform + 0.1
    assert lines[-1]["loss"] < uniform - 1.0
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    assert load_file(tmp_path / "snapshot.safetensors").keys() == first.state_dict().keys()


def test_every_position_sees_every_other() -> None:
    torch.manual_seed(0)
    model = new_model(TINY, 50).eval()
    ids = torch.arange(1, 9)[None]
    other = ids.clone()
    other[0, -1] = 40
    with torch.no_grad():
        one, two = (
            model.model(input_ids=x, is_causal=False).last_hidden_state[0, 0] for x in (ids, other)
        )
    assert not torch.allclose(one, two, atol=1e-4)


def test_every_weight_has_one_optimizer() -> None:
    model = new_model(TINY, 50)
    owned = [
        id(p)
        for optimizer in optimizers(model, TINY)
        for group in optimizer.param_groups
        for p in group["params"]
    ]
    assert sorted(owned) == sorted(id(p) for p in model.parameters())
    muon = {p.shape for group in optimizers(model, TINY)[0].param_groups for p in group["params"]}
    assert (50, 32) not in muon  # neither embedding nor output layer


def test_no_two_names_start_alike(tokenizer: object) -> None:
    """The teacher knows none of them: as means of their letters they were the same, and a model
    never told them apart.
    """
    config = dataclasses.replace(TINY, width=192, heads=4, layers=5, mlp_width=576)
    model = new_model(config, len(tokenizer))  # type: ignore[arg-type]
    warm_start(model, tokenizer, load_backbone(GOLDEN / "llada-trained"))  # type: ignore[arg-type]
    for matrix in (model.model.embed_tokens.weight, model.lm_head.weight):
        ids = [tokenizer(f" {name}", add_special_tokens=False)["input_ids"][0] for name in NAMES]  # type: ignore[operator]
        similar_NN = torch.corrcoef(matrix[ids].detach()) - torch.eye(len(ids))
        assert similar_NN.max() < 0.9
