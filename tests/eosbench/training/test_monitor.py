"""Step zero on held-out documents, on a backbone whose logits are written by hand."""

from __future__ import annotations

import math

import pytest
import torch

from eosbench.training.layout import Document
from eosbench.training.monitor import FRACTIONS, read_held_out, summary
from tests.fakes import EOS, MASK, ScriptedBackbone, table

CANVAS = 8


def backbone(says: list[int]) -> ScriptedBackbone:
    """Says these tokens behind a prompt of two, each with probability 0.9."""
    return ScriptedBackbone(table([9, 9, *says], [0.9] * (2 + len(says)), 12), vocab_size=12)


def read(says: list[int], *documents: Document) -> dict[str, float]:
    return summary(read_held_out(backbone(says), documents, canvas=CANVAS, batch_size=2))


def test_a_model_that_knows_the_end() -> None:
    found = read([5, 6, 7, *[EOS] * 5], Document([9, 9], [5, 6, 7]))
    assert (found["eos_top1"], found["eos_mrr"], found["eos_false"]) == (1, 1, 0)
    assert found["eos_prob"] == pytest.approx(0.9, abs=0.01)
    assert (found["coverage"], found["overshoot"]) == (1, 0)
    assert found["loss"] == pytest.approx(-math.log(0.9), abs=1e-4)


def test_a_model_that_says_eos_everywhere() -> None:
    """Perfect in the three published metrics, and useless."""
    found = read([EOS] * CANVAS, Document([9, 9], [5, 6, 7]), Document([9, 9], [5, 6]))
    assert (found["eos_top1"], found["eos_mrr"]) == (1, 1)
    assert (found["eos_false"], found["coverage"]) == (1, 0)


def test_both_fractions_are_read_and_the_loss_is_over_the_masked_tokens_of_both() -> None:
    script = backbone([5, 6, 7, 8, *[EOS] * 4])
    readings = read_held_out(script, [Document([9, 9], [5, 6, 3, 8])], canvas=CANVAS)
    assert [one.fraction for one in readings] == list(FRACTIONS) == [0.0, 0.5]
    assert [one.tokens for one in readings] == [4, 2]
    found = summary(readings)
    assert found["loss"] == pytest.approx(sum(one.loss for one in readings) / 6)
    assert {"eos_false", "eos_false_u50"} <= found.keys()


def test_two_evaluations_read_the_same_canvases() -> None:
    """The masks follow from the documents: a moving share would move the loss by itself."""
    documents = [Document([9, 9], [4, 5, 6, 7][: 1 + n]) for n in range(4)]
    passes = []
    for size in (1, 3):
        script = backbone([5] * CANVAS)
        read_held_out(script, documents, canvas=CANVAS, batch_size=size)
        passes.append([row.tolist() for ids_BT, _ in script.passes for row in ids_BT])
    assert passes[0] == passes[1]
    assert sum(row.count(MASK) for row in passes[0]) == 2 * 4 * CANVAS - (0 + 1 + 1 + 2)


def test_without_an_index_for_the_end_there_is_no_number() -> None:
    found = read([5] * CANVAS, Document([9, 9], [5] * CANVAS))
    assert math.isnan(found["eos_top1"]) and found["eos_false"] == 0
    assert torch.tensor(found["coverage"]) == 1
