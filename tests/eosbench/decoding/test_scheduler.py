"""The scheduler: who joins a batch, how many passes that takes, and that no answer depends
on it.
"""

from __future__ import annotations

import random

import torch

from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.denoise import denoise
from eosbench.decoding.engine import Engine
from eosbench.decoding.scheduler import Scheduler
from eosbench.decoding.sequence import Sequence
from eosbench.decoding.window import Job, generate
from tests.fakes import ScriptedBackbone, table
from tests.golden_files import load_golden

V = 12


def left_to_right(ids_T: torch.Tensor) -> torch.Tensor:
    return table([5] * len(ids_T), [0.9 - 0.01 * at for at in range(len(ids_T))], V)


def row(length: int, index: int = 0, temperature: float = 0.0) -> Sequence:
    """A row of `length` tokens, one of them the prompt's."""
    spec = ScriptedBackbone(left_to_right, vocab_size=V).spec
    return Sequence(
        spec, [4 + index], DecodeConfig(gen_length=length - 1, temperature=temperature), index=index
    )


def test_a_long_row_that_does_not_fit_lets_shorter_ones_pass() -> None:
    backbone = ScriptedBackbone(left_to_right, vocab_size=V)
    batch = Engine(backbone, batch_size=2)
    for added in (row(9, 0), row(7, 1), row(7, 2)):
        batch.add(added)
    order, canvases = [], []
    for done in batch:
        order.append(done.index)
        canvases.append(done.canvas.tolist())
        if done.index == 1:  # as a retry in a larger window comes
            batch.add(row(40, 3))
    # 0 and 1 run 6 passes. Then 3 would make 49 of 80 tokens, 2 makes 16 of 18: it takes the place,
    # and 3 comes last. Waiting for 3 would have taken two passes more.
    assert [[int(ids[0]) - 4 for ids in passed] for passed, _ in backbone.passes] == (
        [[0, 1]] * 6 + [[0, 2]] * 2 + [[2]] * 4 + [[3]] * 39
    )
    assert order == [1, 0, 2, 3]
    assert canvases == [[5] * 6, [5] * 8, [5] * 6, [5] * 39]


def test_long_rows_that_wait_run_together() -> None:
    backbone = ScriptedBackbone(left_to_right, vocab_size=V)
    batch = Engine(backbone, batch_size=2)
    for added in (row(5, 0), row(4, 1), row(4, 2)):
        batch.add(added)
    for done in batch:
        if done.index < 2:
            batch.add(row(16, 3 + done.index))
    assert [sorted(int(ids[0]) - 4 for ids in passed) for passed, _ in backbone.passes][-15:] == [
        [3, 4]
    ] * 15


def test_the_longest_that_fits_is_taken_whatever_waits() -> None:
    """Against looking at every waiting row."""
    draw = random.Random(7)
    for _ in range(300):
        waiting = [row(draw.randint(2, 30), index) for index in range(draw.randint(0, 12))]
        inside = [row(draw.randint(2, 30)) for _ in range(draw.randint(0, 4))]
        full_enough = draw.choice([0.0, 0.3, 0.75, 0.9, 1.0])

        def fits(
            one: Sequence, inside: list[Sequence] = inside, full_enough: float = full_enough
        ) -> bool:
            lengths = [len(other) for other in (*inside, one)]
            return not inside or sum(lengths) >= full_enough * len(lengths) * max(lengths)

        rows = Scheduler(full_enough)
        for one in waiting:
            rows.add(one)
        expected = max(filter(fits, waiting), key=lambda one: (len(one), -one.index), default=None)
        assert rows.take(inside) is expected


def test_rows_of_another_kind_are_taken_when_the_batch_is_empty() -> None:
    rows, (warm, cold) = Scheduler(0.75), (row(5, 0, temperature=1.0), row(9, 1))
    rows.add(warm)
    rows.add(cold)
    assert rows.take([row(9, 2)]) is cold
    assert rows.take([row(9, 2)]) is None
    assert rows.take([]) is warm
    assert rows.take([]) is None


def test_retries_give_the_same_answers_at_any_batch_size() -> None:
    golden = load_golden("llada-trained")
    prompts = [tuple(golden.tensors[f"generate.{n}.prompt"][0].tolist()) for n in range(6)]
    jobs = [
        Job(prompt, DecodeConfig(gen_length=32, block_length=8), window=4) for prompt in prompts
    ]
    alone, together = (
        dict(generate(golden.backbone, jobs, batch_size=size, overflow="retry")) for size in (1, 3)
    )
    assert sum(answer.cost.retries for answer in alone.values()) > 3
    assert [alone[n].canvas for n in range(6)] == [together[n].canvas for n in range(6)]


def test_a_row_that_is_done_when_it_comes_needs_no_place() -> None:
    backbone = ScriptedBackbone(left_to_right, vocab_size=V)
    assert (
        denoise(backbone, [[4]], DecodeConfig(gen_length=2), canvases=[[5, 6]]).forward_passes == 0
    )
