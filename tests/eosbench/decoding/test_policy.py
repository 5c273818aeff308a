"""The contract between engine and policies, on toy policies: probes, edits, growth, draws."""

from __future__ import annotations

import pytest
import torch

from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.engine import Engine
from eosbench.decoding.policy import Policy, Step, Steps
from eosbench.decoding.scheduler import Scheduler
from eosbench.decoding.sequence import Sequence
from eosbench.decoding.window import Job, generate
from eosbench.errors import ConfigurationError
from eosbench.strategies import load_strategy
from tests.eosbench.strategies.scripts import generated
from tests.fakes import EOS, MASK, ScriptedBackbone, table
from tests.golden_files import load_golden

V = 12
NOTHING = torch.empty(0, dtype=torch.long)


def fives(ids_T: torch.Tensor) -> torch.Tensor:
    """Every position says 5, the surer the shorter the sequence is."""
    return table([5] * len(ids_T), [0.9 - 0.05 * len(ids_T)] * len(ids_T), V)


def decode(backbone: ScriptedBackbone, policy: Policy, **settings: int) -> Sequence:
    config = DecodeConfig(gen_length=6, **settings)  # type: ignore[arg-type]
    sequence = Sequence(backbone.spec, [4], config, policy=policy)
    engine = Engine(backbone)
    engine.add(sequence)
    assert list(engine) == [sequence]
    return sequence


class Probing:
    """Looks at canvases of 6, 4 and 2 masks, and fills the surest."""

    def decode(self, sequence: Sequence) -> Steps:
        surest: dict[float, int] = {}
        for length in (6, 4, 2):
            sequence.resize(sequence.masks(length))
            scores = yield Step(NOTHING, whole_canvas=True)
            (logits_NV,) = scores.logits(torch.arange(length))
            surest[float(logits_NV.softmax(dim=-1).max())] = length
        sequence.resize(sequence.masks(surest[max(surest)]))
        masked_N = sequence.masked(0, len(sequence.canvas))
        scores = yield Step(masked_N)
        sequence.place(masked_N, scores.tokens_N)


def test_a_policy_looks_at_canvases_before_it_chooses_one_and_pays_for_the_looks() -> None:
    backbone = ScriptedBackbone(fives, vocab_size=V)
    sequence = decode(backbone, Probing())
    assert [ids.shape[1] for ids, _ in backbone.passes] == [7, 5, 3, 3]
    assert sequence.canvas.tolist() == [5, 5]
    assert (sequence.passes, sequence.token_positions) == (4, 7 + 5 + 3 + 3)
    assert sequence.scored_positions == 6 + 4 + 2 + 2


class Editing:
    """Fills the canvas, then puts another token where one stands."""

    def decode(self, sequence: Sequence) -> Steps:
        everywhere = torch.arange(len(sequence.canvas))
        scores = yield Step(everywhere)
        sequence.place(everywhere, scores.tokens_N)
        yield Step(everywhere)
        sequence.place(torch.tensor([1]), torch.tensor([7]))


def test_a_policy_may_score_and_replace_tokens_that_stand() -> None:
    sequence = decode(ScriptedBackbone(fives, vocab_size=V), Editing())
    assert sequence.canvas.tolist() == [5, 7, 5, 5, 5, 5]
    assert sequence.scored_positions == 12


class Growing:
    """Puts a mask before a text that has its EOS."""

    def decode(self, sequence: Sequence) -> Steps:
        sequence.resize(torch.tensor([7, EOS, MASK]))
        assert sequence.ended()
        sequence.resize(torch.cat([sequence.masks(1), sequence.canvas]))
        assert not sequence.ended()
        masked_N = sequence.masked(0, len(sequence.canvas))
        scores = yield Step(masked_N)
        sequence.place(masked_N, scores.tokens_N)


def test_an_end_is_looked_for_anew_on_another_canvas() -> None:
    sequence = decode(ScriptedBackbone(fives, vocab_size=V), Growing())
    assert sequence.canvas.tolist() == [5, 7, EOS, 5]


class TooLong:
    """Asks for more than the model has positions for."""

    def decode(self, sequence: Sequence) -> Steps:
        yield Step(NOTHING)
        sequence.resize(sequence.masks(20))


def test_a_canvas_that_outgrows_the_model_is_refused() -> None:
    backbone = ScriptedBackbone(fives, vocab_size=V, max_length=10)
    with pytest.raises(ConfigurationError, match=r"1 tokens leaves no room for gen_length=20.*10"):
        decode(backbone, TooLong())


def test_all_places_are_given_anew_when_a_canvas_has_changed_its_length() -> None:
    backbone = ScriptedBackbone(fives, vocab_size=V)
    config = DecodeConfig(gen_length=9)
    sequences = [
        Sequence(backbone.spec, [4], config, index=index, canvas=[MASK] * length)
        for index, length in enumerate((9, 9, 3, 3))
    ]
    scheduler = Scheduler()
    for sequence in sequences:
        scheduler.add(sequence)
    for _ in range(2):
        batch = scheduler.schedule(limit=2)
        assert batch is not None and [one.index for one in batch.sequences] == [0, 1]
    # Now 0 is as short as 2 and 3: they run together, and 1, which would be alone, waits.
    sequences[0].resize(sequences[0].masks(3))
    batch = scheduler.schedule(limit=3)
    assert batch is not None and [one.index for one in batch.sequences] == [0, 2, 3]


def test_one_seed_rule_holds_for_windows_and_strategies() -> None:
    """`blocks` with one block draws what a window of that length draws."""
    logits_TV = torch.zeros(40, V)
    logits_TV[:, EOS] = -1e9
    config = DecodeConfig(gen_length=8, temperature=1.0)
    jobs = [Job((4, 4), config, window=8, seed=seed) for seed in (1, 2)]
    backbone = ScriptedBackbone(logits_TV, vocab_size=V)
    windows = dict(generate(backbone, jobs))
    blocks = generated(load_strategy("blocks"), backbone, jobs)
    assert windows[0].canvas == blocks[0].canvas != windows[1].canvas == blocks[1].canvas


@pytest.mark.parametrize("cache", ["prefix", "dual"])
def test_canvases_that_grow_with_a_cache_give_the_same_at_any_batch_size(cache: str) -> None:
    golden = load_golden("llada-trained")
    prompts = [golden.tensors[f"generate.{case}.prompt"][0].tolist() for case in range(6)]
    config = DecodeConfig(gen_length=48, block_length=8, cache=cache)
    jobs = [Job(tuple(prompt), config, config.gen_length) for prompt in prompts]
    found = [
        generated(load_strategy("blocks"), golden.backbone, jobs, batch_size=size)
        for size in (1, 4)
    ]
    alone, together = found
    for index in range(len(jobs)):
        one, other = alone[index], together[index]
        assert one.canvas == other.canvas
        assert one.cost.forward_passes == other.cost.forward_passes
        assert one.cost.token_positions == other.cost.token_positions
    assert len({answer.cost.window for answer in alone.values()}) > 1
