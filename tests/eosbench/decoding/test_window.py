"""Generation in windows on logits written by hand: where an answer ends, what a retry keeps, and
what every pass cost.
"""

from __future__ import annotations

import pytest
import torch

from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.window import Answer, Job, generate, window_config
from eosbench.forward.costs import estimated_flops
from tests.fakes import EOS, MASK, ScriptedBackbone, table

V = 30
PROMPT = (9, 9, 9)


def saying(*answer: int, length: int = 64) -> ScriptedBackbone:
    """Denoises any canvas to these tokens and then EOS, the leftmost position first."""
    tokens = [*PROMPT, *answer, *[EOS] * (length - len(answer))]
    return ScriptedBackbone(
        table(tokens, [0.9 - 0.01 * at for at in range(len(tokens))], V), vocab_size=V
    )


def answers(
    backbone: ScriptedBackbone, *jobs: Job, batch_size: int = 4, overflow: str = "accept"
) -> list[Answer]:
    found = dict(generate(backbone, jobs, batch_size=batch_size, overflow=overflow))
    assert sorted(found) == list(range(len(jobs)))
    return [found[index] for index in range(len(jobs))]


def test_an_answer_ends_before_its_first_eos() -> None:
    backbone = saying(10, 11, EOS, 12, 13)
    (answer,) = answers(backbone, Job(PROMPT, DecodeConfig(gen_length=8), window=8))
    assert (answer.tokens, answer.ended) == ([10, 11], True)


def test_every_id_that_ends_a_text_ends_an_answer() -> None:
    tokens = torch.tensor([*PROMPT, 10, 7, 11, EOS])
    backbone = ScriptedBackbone(
        table(tokens.tolist(), [0.9] * 7, V), vocab_size=V, eos_ids=(EOS, 7)
    )
    (answer,) = answers(backbone, Job(PROMPT, DecodeConfig(gen_length=4), window=4))
    assert (answer.tokens, answer.ended) == ([10], True)


def test_a_window_is_all_that_is_denoised() -> None:
    backbone = saying(*range(10, 20))
    (answer,) = answers(backbone, Job(PROMPT, DecodeConfig(gen_length=32), window=4))
    assert (answer.tokens, answer.ended) == ([10, 11, 12, 13], False)
    cost = answer.cost
    assert (cost.window, cost.forward_passes, cost.token_positions) == (4, 4, 4 * (3 + 4))
    assert (cost.truncated, cost.retries) == (1, 0)
    assert {ids.shape[1] for ids, _ in backbone.passes} == {3 + 4}


def test_retry_doubles_the_window_and_keeps_what_is_there() -> None:
    backbone = saying(*range(10, 20))
    (answer,) = answers(
        backbone, Job(PROMPT, DecodeConfig(gen_length=32), window=4), overflow="retry"
    )
    assert (answer.tokens, answer.ended) == (list(range(10, 20)), True)
    canvases = [ids[0, len(PROMPT) :].tolist() for ids, _ in backbone.passes]
    assert canvases[4] == [10, 11, 12, 13, MASK, MASK, MASK, MASK]
    assert canvases[8] == [*range(10, 18), *[MASK] * 8]
    cost = answer.cost
    # 4 tokens in the window of 4, then 4 more in 8, then 8 more in 16, one per pass; the prompt has
    # 3 tokens
    assert (cost.window, cost.retries, cost.truncated) == (16, 2, 0)
    assert cost.forward_passes == len(backbone.passes) == 4 + 4 + 8
    assert cost.token_positions == 4 * (3 + 4) + 4 * (3 + 8) + 8 * (3 + 16)


def test_retry_ends_at_the_canvas() -> None:
    backbone = saying(*[10] * 60)
    (answer,) = answers(
        backbone, Job(PROMPT, DecodeConfig(gen_length=12), window=5), overflow="retry"
    )
    assert (answer.tokens, answer.ended) == ([10] * 12, False)
    assert (answer.cost.window, answer.cost.retries, answer.cost.truncated) == (12, 2, 1)
    assert answer.cost.forward_passes == 5 + 5 + 2


@pytest.mark.parametrize("block_length", [None, 16, 10])
def test_a_retry_goes_on_at_the_pace_of_the_canvas(block_length: int | None) -> None:
    """Two tokens a pass in the first window of 10, in what a larger one adds, and in a block that
    is half filled.
    """
    settings = DecodeConfig(gen_length=40, steps=20, block_length=block_length)
    (answer,) = answers(saying(*range(10, 28)), Job(PROMPT, settings, window=10), overflow="retry")
    assert (answer.tokens, answer.cost.window, answer.cost.forward_passes) == (
        list(range(10, 28)),
        20,
        10,
    )


def test_a_window_that_holds_a_stop_string_is_not_retried() -> None:
    job = Job(PROMPT, DecodeConfig(gen_length=32), window=4, stops=lambda tokens: 15 in tokens)
    (answer,) = answers(saying(*range(10, 20)), job, overflow="retry")
    assert (answer.tokens, answer.ended) == (list(range(10, 18)), True)
    assert (answer.cost.window, answer.cost.retries, answer.cost.truncated) == (8, 1, 0)


def test_a_larger_window_draws_anew() -> None:
    """All tokens but EOS and mask are equally likely: equal draws for the old and the new half
    would give equal halves.
    """
    logits_TV = torch.zeros(len(PROMPT) + 32, V)
    logits_TV[:, EOS] = -1e9
    job = Job(PROMPT, DecodeConfig(gen_length=32, temperature=1.0), window=16, seed=5)
    (answer,) = answers(ScriptedBackbone(logits_TV, vocab_size=V), job, overflow="retry")
    same = sum(
        first == second
        for first, second in zip(answer.tokens[:16], answer.tokens[16:], strict=True)
    )
    assert len(answer.tokens) == 32 and same < 8


def test_an_answer_that_fits_is_not_retried() -> None:
    (answer,) = answers(
        saying(10), Job(PROMPT, DecodeConfig(gen_length=12), window=4), overflow="retry"
    )
    assert (answer.tokens, answer.cost.retries, answer.cost.forward_passes) == ([10], 0, 4)


def test_retries_return_to_the_blocks_of_the_canvas() -> None:
    settings = DecodeConfig(gen_length=64, steps=32, block_length=32)
    job = Job(PROMPT, settings, window=8)
    assert (job.config.block_length, job.config.steps) == (8, 4)
    larger = Job(PROMPT, settings, window=64)
    assert larger.config == settings
    backbone = saying(*[10] * 60)
    (answer,) = answers(backbone, Job(PROMPT, settings, window=32), overflow="retry")
    # 16 steps for 32 tokens, then 16 steps for the block of 32 that is left; the first block is
    # done
    assert answer.cost.forward_passes == 16 + 16


@pytest.mark.parametrize("window", [1, 3, 16, 33, 64])
def test_a_window_has_the_pace_of_its_canvas(window: int) -> None:
    config = window_config(DecodeConfig(gen_length=64, steps=16, block_length=16), window)
    assert config.gen_length == window
    assert config.steps == max(-(-window // 4), -(-window // 16))


def test_batches_change_no_answer_and_no_cost() -> None:
    def script(ids_T: torch.Tensor) -> torch.Tensor:
        """Counts up from the prompt's first token; its second one says how many come before EOS."""
        start = (ids_T == 9).nonzero()[-1].item() + 1
        index_T = torch.arange(len(ids_T)) - start
        tokens = [int(ids_T[0]) + i if 0 <= i < int(ids_T[1]) else EOS for i in index_T.tolist()]
        return table(tokens, [0.9 - 0.005 * at for at in range(len(tokens))], V)

    jobs = [
        Job(
            (10 + n % 3, 2 + n, *[9] * (1 + n % 4)),
            DecodeConfig(gen_length=32),
            window=(2, 4, 32)[n % 3],
            seed=n,
        )
        for n in range(9)
    ]
    alone = answers(ScriptedBackbone(script, vocab_size=V), *jobs, batch_size=1, overflow="retry")
    together = answers(
        ScriptedBackbone(script, vocab_size=V), *jobs, batch_size=7, overflow="retry"
    )
    for n, (one, other) in enumerate(zip(alone, together, strict=True)):
        assert one.tokens == [10 + n % 3 + i for i in range(2 + n)]
        assert (one.tokens, one.ended) == (other.tokens, other.ended)
        for field in ("window", "forward_passes", "token_positions", "truncated", "retries"):
            assert getattr(one.cost, field) == getattr(other.cost, field)


def test_guidance_is_charged_twice() -> None:
    job = Job(PROMPT, DecodeConfig(gen_length=4, cfg_scale=1.0), window=4)
    (answer,) = answers(saying(10), job)
    assert answer.cost.token_positions == 2 * 4 * (3 + 4)
    spec = saying().spec
    # each pass scores 4, 3, 2, 1 masked positions, in both of its rows of 7 tokens
    assert answer.cost.flops == estimated_flops(spec, 56, 8, 2 * (4 + 3 + 2 + 1))
