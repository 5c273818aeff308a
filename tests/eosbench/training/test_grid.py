"""Micro-batches on a grid of the canvas: their positions and targets by hand, their loss too."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from eosbench.canvas_view import grid_positions
from eosbench.errors import ConfigurationError
from eosbench.training import parse, train
from eosbench.training.batch import Batch, make_batch
from eosbench.training.denoiser import Denoiser
from eosbench.training.layout import END, FILLER, TEXT, Document
from eosbench.training.pairs import PairBatches
from model_adapters import load_trainable
from tests.golden_files import checkpoint

MASK, EOS, PAD = 0, 1, 2
CANVAS, POINTS = 32, 6
GRID = [0, 1, 5, 11, 20, 31]  # round(31 * (k / 5) ** 2)
WEIGHTS = {"eos": 16.0, "filler": 0.5}
DOCUMENTS = [Document([50, 51], [60, 61, 62, 63, 64]), Document([52], list(range(70, 82)))]


def make(**settings: Any) -> Any:
    given = {"layout": "eoseos", "noise": "uniform", "weights": WEIGHTS}
    given |= {"eos_id": EOS, "mask_id": MASK, "pad_id": PAD}
    return partial(make_batch, **{**given, **settings})


def grid_batch(documents: list[Document], **settings: Any) -> Batch:
    sizes = [len(one.prompt) + CANVAS for one in documents]
    rng = torch.Generator().manual_seed(0)
    return make(**settings)(documents, sizes, step=0, rng=rng, grid=POINTS)


def test_a_grid_batch_by_hand() -> None:
    assert grid_positions(CANVAS, POINTS) == GRID
    batch = grid_batch(DOCUMENTS)
    assert batch["grid"].tolist() == [POINTS]
    # Prompts of 2 and 1 tokens; answers of 5 and 12, their ends at canvas 5 and 12.
    for row, (prompt, kinds, weights) in enumerate(
        (
            (2, [TEXT, TEXT, END, FILLER, FILLER, FILLER], [1, 1, 16, 0.5, 0.5, 0.5]),
            (1, [TEXT, TEXT, TEXT, TEXT, FILLER, FILLER], [1, 1, 1, 1, 0.5, 0.5]),
        )
    ):
        at = [prompt + index for index in GRID]
        assert batch["masked"][row].nonzero().flatten().tolist() == at
        assert batch["kinds"][row, at].tolist() == kinds
        assert batch["weights"][row, at].tolist() == weights
        assert batch["weights"][row].sum() == sum(weights)  # and none elsewhere
        assert (batch["ids"][row, prompt : prompt + CANVAS] == MASK).all()  # nothing is revealed
        assert batch["ids"][row, :prompt].tolist() == list(DOCUMENTS[row].prompt)
    assert batch["targets"][0, [2, 3, 7, 13]].tolist() == [60, 61, EOS, EOS]
    assert batch["targets"][1, [1, 2, 6, 12]].tolist() == [70, 71, 75, 81]


def test_a_canvas_shorter_than_the_grid_runs_whole() -> None:
    """The canvas of an answer that was cut ends where it was cut."""
    cut = Document([50], [60, 61, 62], ends=False)
    batch = grid_batch([cut, DOCUMENTS[0]])
    assert batch["masked"][0].nonzero().flatten().tolist() == [1, 2, 3]


def pairs(**settings: Any) -> PairBatches:
    given = {"seed": 0, "steps": 400, "tokens": 256, "canvas": CANVAS, "make": make()}
    return PairBatches(DOCUMENTS * 20, **{**given, "grid": POINTS, **settings})


def test_a_share_of_the_micro_batches_runs_on_a_grid_and_none_by_default() -> None:
    data = pairs(grid_share=0.25)
    on_grid = ["grid" in data[index] for index in range(400)]
    assert abs(sum(on_grid) / 400 - 0.25) < 0.09  # four standard errors
    assert not any("grid" in batch for batch in map(pairs().__getitem__, range(50)))
    assert any(on_grid[:40]) and not all(on_grid[:40])
    for index in (7, 3, 11, 0):  # a function of seed and index, as all batches are
        one, other = data[index], pairs(grid_share=0.25)[index]
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


def by_hand(model: Any, batch: Batch, *, gaps: bool = True) -> torch.Tensor:
    """The loss of a grid batch, row by row: packed tokens, their positions, cross-entropy.

    Without `gaps` the packed tokens are counted from 0, as a pass without positions does.
    """
    shift, total, weight = int(model.spec.logits_shifted), 0.0, 0.0
    for row in range(len(batch["ids"])):
        prompt = int(batch["prompt"][row])
        scoring = [max(0, prompt + index - shift) for index in GRID]
        run = sorted({*range(prompt), *scoring})
        positions = torch.tensor([run if gaps else list(range(len(run)))])
        hidden_1RD = model.backbone.hidden(batch["ids"][row, run][None], position_ids=positions)
        logits_NV = model.unembed(hidden_1RD[0, [run.index(place) for place in scoring]]).float()
        at = [prompt + index for index in GRID]
        losses_N = functional.cross_entropy(logits_NV, batch["targets"][row, at], reduction="none")
        total = total + (losses_N * batch["weights"][row, at]).sum()
        weight = weight + batch["weights"][row, at].sum()
    return total / weight


@pytest.mark.parametrize("name", ["llada-trained", "diffugpt-tiny"])
def test_the_loss_of_a_grid_is_the_one_computed_by_hand(name: str) -> None:
    """The second model's logits are shifted: the position before a point scores it."""
    model = load_trainable(checkpoint(name))
    assert model.spec.logits_shifted == (name == "diffugpt-tiny")
    ids = {"mask_id": model.spec.mask_id, "eos_id": model.eos_id}
    rows = [Document([9, 8, 7], [5, 6, 5, 6]), Document([9], [4] * 11)]
    batch = grid_batch(rows, **ids)
    expected = by_hand(model, batch)
    found = Denoiser(model)(**batch)["loss"]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert abs(by_hand(model, batch, gaps=False) - expected) > 1e-3  # positions matter
    expected.backward()
    gradients = {name: one.grad for name, one in model.model.named_parameters()}
    model.model.zero_grad(set_to_none=True)
    found.backward()
    for name, one in model.model.named_parameters():
        if gradients[name] is not None:
            torch.testing.assert_close(one.grad, gradients[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hazard", "--grid_share", "0.5"], "--objective first_end"),
        (["consistency", "--grid_share", "0.5"], "--consistency_weight"),
        (["annealed", "--grid_share", "0.5"], "--anneal_steps"),
        (["causal", "--grid_share", "0.5"], "--noise causal"),
        (["text", "--grid_share", "0.5"], "layout text"),
        (["eoseos", "--grid_share", "1.5"], "expected 0 to 1"),
        (["eoseos", "--grid_share", "0.5", "--grid", "1"], "at least 2"),
    ],
)
def test_what_cannot_be_trained_on_a_grid_is_one_line(words: list[str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as error:
        parse(words)
    assert "\n" not in str(error.value)


def test_a_model_that_takes_no_positions_is_refused(tmp_path: Path) -> None:
    words = ["eoseos", "--pretrained", str(checkpoint("sdar-tiny")), "--grid_share", "0.5"]
    with pytest.raises(ConfigurationError, match="leaves out"):
        train(*parse([*words, "--output", str(tmp_path / "out")]), load=load_trainable)


def test_streamed_text_has_no_grid(quick: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one two three\n" * 50, encoding="utf-8")
    words = ["eoseos", *quick, "--data", str(tmp_path / "a.txt"), "--grid_share", "0.5"]
    with pytest.raises(ConfigurationError, match="streamed text"):
        train(*parse([*words, "--output", str(tmp_path / "out")]), load=load_trainable)
