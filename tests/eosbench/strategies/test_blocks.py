"""`blocks` on a scripted model: which windows it opens, what they hold, and what they cost, worked
out by hand.
"""

from __future__ import annotations

from dataclasses import replace

from eosbench.strategies import load_strategy
from tests.eosbench.strategies.scripts import PROMPT, answers, canvases, job, saying
from tests.fakes import MASK


def test_blocks_follow_until_an_eos_stands() -> None:
    backbone = saying(range(10, 20))
    (answer,) = answers(load_strategy("blocks"), backbone, job(gen_length=32, block_length=4))
    assert (answer.tokens, answer.ended) == (list(range(10, 20)), True)
    # windows of 4, 8 and 12 tokens; each pass fixes one token of the last block
    assert canvases(backbone)[0] == [MASK] * 4
    assert canvases(backbone)[4] == [10, 11, 12, 13, *[MASK] * 4]
    assert canvases(backbone)[8] == [*range(10, 18), *[MASK] * 4]
    cost = answer.cost
    assert (cost.window, cost.truncated, cost.retries) == (12, 0, 0)
    assert cost.forward_passes == len(backbone.passes) == 12
    assert cost.token_positions == 4 * (3 + 4) + 4 * (3 + 8) + 4 * (3 + 12)


def test_blocks_end_at_a_stop_string() -> None:
    stopping = replace(job(gen_length=32, block_length=4), stops=lambda tokens: 15 in tokens)
    (answer,) = answers(load_strategy("blocks"), saying(range(10, 20)), stopping)
    assert (
        answer.ended,
        answer.cost.window,
        answer.cost.forward_passes,
        answer.cost.truncated,
    ) == (True, 8, 8, 0)


def test_an_answer_shorter_than_a_block_costs_a_block() -> None:
    (answer,) = answers(load_strategy("blocks"), saying([10]), job(gen_length=32, block_length=8))
    assert (answer.tokens, answer.cost.window, answer.cost.forward_passes) == ([10], 8, 8)


def test_the_last_block_ends_with_the_canvas() -> None:
    backbone = saying(range(10, 40))
    (answer,) = answers(load_strategy("blocks"), backbone, job(gen_length=10, block_length=4))
    assert (answer.tokens, answer.ended) == (list(range(10, 20)), False)
    assert (answer.cost.window, answer.cost.truncated) == (10, 1)
    assert {len(canvas) for canvas in canvases(backbone)} == {4, 8, 10}


def test_without_a_block_length_it_is_the_whole_canvas() -> None:
    (answer,) = answers(load_strategy("blocks"), saying([10]), job(gen_length=6))
    assert (answer.tokens, answer.cost.window, answer.cost.token_positions) == (
        [10],
        6,
        6 * (len(PROMPT) + 6),
    )


def test_pace_and_threshold_are_those_of_the_decode_settings() -> None:
    two_a_pass = job(gen_length=32, block_length=4, steps=16)
    (answer,) = answers(load_strategy("blocks"), saying(range(10, 20)), two_a_pass)
    assert (answer.tokens, answer.cost.forward_passes) == (list(range(10, 20)), 6)
    a_block_a_pass = job(gen_length=32, block_length=4, threshold=0.9)
    (answer,) = answers(load_strategy("blocks"), saying(range(10, 20)), a_block_a_pass)
    assert (answer.tokens, answer.cost.forward_passes) == (list(range(10, 20)), 3)
