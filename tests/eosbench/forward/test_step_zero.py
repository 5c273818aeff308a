"""Step zero on logits written by hand: what is read where, and that a document does not depend on
its batch.
"""

from __future__ import annotations

import pytest
import torch

from eosbench.errors import ConfigurationError, PredictorError
from eosbench.forward import step_zero as module
from eosbench.forward.step_zero import run_step_zero, text_only
from eosbench.records import Prompt
from tests.fakes import EOS, MASK, ScriptedBackbone
from tests.golden_files import load_golden

V = 8


def by_position(ids_T: torch.Tensor) -> torch.Tensor:
    """Logits that depend on the position, the token there and its neighbour: nothing can be
    mistaken for anything else.
    """
    T = len(ids_T)
    grid_TV = (
        torch.arange(T)[:, None] * 0.37
        + torch.arange(V)[None] * 1.7
        + ids_T[:, None] * 0.11
        + ids_T.roll(1)[:, None] * 0.05
    )
    return torch.sin(grid_TV) * 3


def prompt(ids: list[int], canvas: list[int]) -> Prompt:
    return Prompt("text", tuple(ids), tuple(canvas))


SHORT, LONG = (
    prompt([4, 5], [MASK, 6, MASK, MASK]),
    prompt([7, 4, 6, 5, 5], [MASK, MASK, 5, MASK, MASK, MASK]),
)


@pytest.mark.parametrize("logits_shifted", [False, True])
def test_eos_is_read_at_each_canvas_position(logits_shifted: bool) -> None:
    backbone = ScriptedBackbone(
        by_position, vocab_size=V, eos_ids=(EOS, 3), logits_shifted=logits_shifted
    )
    step = run_step_zero(backbone, [SHORT, LONG])
    for row, one in enumerate((SHORT, LONG)):
        logits_TV = by_position(torch.tensor(one.ids + one.canvas))
        for index in range(len(one.canvas)):
            logits = logits_TV[len(one.ids) + index].tolist()
            spoken = {token: logits[token] for token in range(V) if token != MASK}
            probability = (
                torch.tensor(list(spoken.values()))
                .softmax(0)[[list(spoken).index(EOS), list(spoken).index(3)]]
                .sum()
            )
            above = sum(
                value > max(spoken[EOS], spoken[3])
                for token, value in spoken.items()
                if token not in (EOS, 3)
            )
            assert step.read("eos_probability_BC")[row, index] == pytest.approx(
                probability.item(), abs=1e-6
            )
            assert step.read("eos_rank_BC")[row, index] == 1 + above


def test_masks_and_what_is_proven() -> None:
    step = run_step_zero(ScriptedBackbone(by_position, vocab_size=V), [SHORT, LONG])
    assert step.at_least_B == [2, 3]
    assert step.read("masked_BC").int().tolist() == [[1, 0, 1, 1, 0, 0], [1, 1, 0, 1, 1, 1]]
    assert step.read("canvas_mask_BC").int().tolist() == [[1, 1, 1, 1, 0, 0], [1] * 6]
    assert step.read("prompt_mask_BP").int().tolist() == [[1, 1, 0, 0, 0], [1] * 5]
    assert step.open_BC().int().tolist() == [[0, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1]]


def test_one_pass_serves_all() -> None:
    backbone = ScriptedBackbone(by_position, vocab_size=V)
    run_step_zero(backbone, [SHORT, LONG])
    assert len(backbone.passes) == 1


@pytest.mark.parametrize("logits_shifted", [False, True])
def test_a_batch_of_one_equals_a_batch_of_many(logits_shifted: bool) -> None:
    backbone = ScriptedBackbone(by_position, vocab_size=V, logits_shifted=logits_shifted)
    both, alone = run_step_zero(backbone, [SHORT, LONG]), run_step_zero(backbone, [SHORT])
    assert torch.equal(both.read("canvas_hidden_BCD")[0, :4], alone.read("canvas_hidden_BCD")[0])
    assert torch.equal(both.read("prompt_hidden_BPD")[0, :2], alone.read("prompt_hidden_BPD")[0])
    assert torch.equal(both.read("eos_probability_BC")[0, :4], alone.read("eos_probability_BC")[0])


def test_a_batch_of_one_equals_a_batch_of_many_on_a_real_model() -> None:
    backbone = load_golden("llada-trained").backbone
    prompts = [prompt([2, *range(10, 10 + size), 3], [0] * 16) for size in (3, 9, 20)]
    many = run_step_zero(backbone, prompts)
    for row, one in enumerate(prompts):
        alone = run_step_zero(backbone, [one])
        torch.testing.assert_close(
            many.read("canvas_hidden_BCD")[row],
            alone.read("canvas_hidden_BCD")[0],
            atol=1e-4,
            rtol=1e-4,
        )
        torch.testing.assert_close(
            many.read("eos_probability_BC")[row],
            alone.read("eos_probability_BC")[0],
            atol=1e-5,
            rtol=1e-4,
        )


def test_the_mask_token_never_counts() -> None:
    logits_TV = torch.zeros(4, V)
    logits_TV[:, MASK] = 50.0
    logits_TV[:, EOS] = 1.0
    step = run_step_zero(ScriptedBackbone(logits_TV, vocab_size=V), [prompt([4, 4], [MASK, MASK])])
    assert step.read("eos_rank_BC").tolist() == [[1, 1]]
    e = 2.718281828
    assert step.read("eos_probability_BC")[0, 0] == pytest.approx(e / (e + V - 2), abs=1e-6)


def test_small_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = ScriptedBackbone(by_position, vocab_size=V)
    whole = run_step_zero(backbone, [SHORT, LONG])
    monkeypatch.setattr(module, "LOGITS_AT_ONCE", 3 * V)
    parts = run_step_zero(backbone, [SHORT, LONG])
    assert torch.equal(whole.read("eos_probability_BC"), parts.read("eos_probability_BC"))
    assert torch.equal(whole.read("eos_rank_BC"), parts.read("eos_rank_BC"))


def test_only_what_is_needed_is_kept() -> None:
    backbone = ScriptedBackbone(by_position, vocab_size=V)
    assert run_step_zero(backbone, [SHORT], needs=["hidden"]).eos_probability_BC is None
    assert run_step_zero(backbone, [SHORT], needs=["eos"]).canvas_hidden_BCD is None
    with pytest.raises(PredictorError, match="no canvas_hidden_BCD"):
        text_only([SHORT], MASK).read("canvas_hidden_BCD")
    assert text_only([SHORT], MASK).at_least_B == [2]


def test_what_does_not_fit() -> None:
    backbone = ScriptedBackbone(by_position, vocab_size=V, max_length=8)
    with pytest.raises(
        ConfigurationError, match=r"5 tokens and a canvas of 6 exceed the backbone's 8 .*at most 3"
    ):
        run_step_zero(backbone, [SHORT, LONG])
    with pytest.raises(ConfigurationError, match="at least one prompt"):
        run_step_zero(backbone, [])
    with pytest.raises(ConfigurationError, match="canvas of at least one"):
        run_step_zero(backbone, [prompt([4], [])])
