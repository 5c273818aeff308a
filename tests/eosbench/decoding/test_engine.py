"""Sequences that join and leave between two passes: on logits written by hand, and against
LLaDA's published outputs.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
import torch

from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.denoise import denoise
from eosbench.decoding.engine import Engine
from eosbench.decoding.sequence import Sequence
from tests.fakes import EOS, MASK, ScriptedBackbone, SmallMemory, table
from tests.golden_files import load_golden

V = 12
SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"steps": 32},
    {"threshold": 0.6},
    {"cfg_scale": 0.5},
    {"temperature": 0.5},
    {"remasking": "random"},
    {"cache": "prefix"},
    {"cache": "dual", "threshold": 0.8},
    {"temperature": 0.8, "top_p": 0.9, "top_k": 20},
    {"temperature": 0.8, "top_p": 0.9, "remasking": "entropy", "schedule": "time"},
    {"repetition_penalty": 1.3},
    {"temperature": 0.5, "repetition_penalty": 1.3, "cfg_scale": 0.5},
    {"logits_eos_inf": True},
    {"confidence_eos_eot_inf": True},
    {"remasking": "origin", "schedule": "time"},
)


def left_to_right(ids_T: torch.Tensor) -> torch.Tensor:
    """Every position says 5, the leftmost the surest, whatever stands there."""
    return table([5] * len(ids_T), [0.9 - 0.01 * at for at in range(len(ids_T))], V)


def rows(backbone: ScriptedBackbone, *windows: int, block: int | None = None) -> list[Sequence]:
    """A row per window, with a prompt of one token that is the row's index + 4."""
    configs = [
        DecodeConfig(gen_length=window, block_length=block and min(block, window))
        for window in windows
    ]
    return [
        Sequence(backbone.spec, [4 + index], config, index=index)
        for index, config in enumerate(configs)
    ]


def run(
    backbone: ScriptedBackbone, added: list[Sequence], batch_size: int, full_enough: float = 0.0
) -> list[int]:
    """Indices in the order in which rows are done."""
    batch = Engine(backbone, batch_size, full_enough=full_enough)
    for row in added:
        batch.add(row)
    return [row.index for row in batch]


def seen(backbone: ScriptedBackbone) -> list[list[int]]:
    """Who was in each pass, by the prompt's token."""
    return [sorted(int(row[0]) - 4 for row in ids) for ids, _ in backbone.passes]


def test_a_finished_row_leaves_and_the_next_takes_its_place() -> None:
    backbone = ScriptedBackbone(left_to_right, vocab_size=V)
    assert run(backbone, rows(backbone, 4, 2, 3, 1), batch_size=2) == [2, 0, 1, 3]
    # The longest first: 0 with 4 passes, beside it 2 with 3; then 1 with 2, and 3 as soon as 0 is
    # done
    assert seen(backbone) == [[0, 2], [0, 2], [0, 2], [0, 1], [1, 3]]


def test_rows_of_one_batch_stand_in_different_blocks() -> None:
    backbone = ScriptedBackbone(left_to_right, vocab_size=V)
    added = rows(backbone, 6, 4, 4, block=2)
    batch = Engine(backbone, batch_size=2, full_enough=0.0)
    for row in added:
        batch.add(row)
    assert sorted(row.index for row in batch) == [0, 1, 2]
    # In pass 5 row 0 begins its third block and row 2, which has just come in, its first.
    ids, mask = backbone.passes[4]
    assert [row[real.bool()].tolist() for row, real in zip(ids, mask, strict=True)] == [
        [4, 5, 5, 5, 5, MASK, MASK],
        [6, MASK, MASK, MASK, MASK],
    ]
    assert all(row.canvas.tolist() == [5] * len(row.canvas) for row in added)


def test_a_row_that_would_mostly_be_padding_waits() -> None:
    backbone = ScriptedBackbone(left_to_right, vocab_size=V)
    run(backbone, rows(backbone, 19, 14, 8, 8), batch_size=4, full_enough=0.75)
    # 20 and 15 tokens fill 35/40; with 9 more it would be 44/60. When 0 and 1 are gone, 2 and 3 run
    # together.
    assert seen(backbone)[0] == [0, 1]
    assert seen(backbone)[-1] == [2, 3]


def test_rows_that_decode_in_another_way_wait_for_a_batch_of_their_own() -> None:
    backbone = ScriptedBackbone(left_to_right, vocab_size=V)
    added = rows(backbone, 3, 3, 3)
    added[1] = Sequence(backbone.spec, [5], replace(added[1].config, temperature=0.1), index=1)
    run(backbone, added, batch_size=3)
    assert {tuple(pass_) for pass_ in seen(backbone)} == {(0, 2), (1,)}


def test_rows_may_be_added_while_others_are_denoised() -> None:
    backbone = ScriptedBackbone(left_to_right, vocab_size=V)
    first, second = rows(backbone, 2, 3)
    batch = Engine(backbone)
    batch.add(first)
    order = []
    for row in batch:
        order.append(row.index)
        if row is first:
            batch.add(second)
    assert order == [0, 1]
    assert second.canvas.tolist() == [5, 5, 5]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_same_tokens_at_any_batch_size(settings: dict[str, Any]) -> None:
    golden = load_golden("llada-tiny")
    generator = torch.Generator().manual_seed(3)
    prompts = [
        torch.randint(2, 290, (length,), generator=generator) for length in (3, 17, 9, 4, 12)
    ]
    config = DecodeConfig(
        gen_length=10,
        block_length=4,
        **(settings | {"steps": 5} if "steps" in settings else settings),
    )
    alone = [denoise(golden.backbone, [prompt], config).sequences[0].tolist() for prompt in prompts]
    for batch_size in (2, 3, None):
        together = denoise(golden.backbone, prompts, config, batch_size=batch_size)
        assert [sequence.tolist() for sequence in together.sequences] == alone


# Stopping at the EOS.


def text(sequence: torch.Tensor) -> list[int]:
    tokens: list[int] = sequence.tolist()
    return tokens[: tokens.index(EOS)] if EOS in tokens else tokens


def test_stopping_at_the_eos_gives_the_published_texts() -> None:
    golden = load_golden("llada-trained")
    cases = golden.settings["generate"]
    prompts = [golden.tensors[f"generate.{n}.prompt"][0] for n in range(len(cases))]
    whole = [
        golden.tensors[f"generate.{n}.output"][0, len(prompt) :] for n, prompt in enumerate(prompts)
    ]
    config = DecodeConfig(gen_length=64, steps=64, block_length=16, stop_at_eos=True)
    result = denoise(golden.backbone, prompts, config, batch_size=6)
    assert [text(sequence) for sequence in result.sequences] == [
        text(sequence) for sequence in whole
    ]
    assert all(MASK not in text(sequence) for sequence in result.sequences)
    # A block that begins behind the EOS is never entered.
    for passes, sequence in zip(result.row_forward_passes, whole, strict=True):
        blocks = min(4, len(text(sequence)) // 16 + 1)
        assert 16 * (blocks - 1) < passes <= min(64, 16 * blocks)
    assert sum(result.row_forward_passes) < 0.7 * 64 * len(prompts)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_stopping_at_the_eos_changes_no_text_under_any_option(settings: dict[str, Any]) -> None:
    golden = load_golden("llada-trained")
    prompts = [golden.tensors[f"generate.{n}.prompt"][0] for n in (0, 3, 5)]
    config = DecodeConfig(
        gen_length=48,
        block_length=16,
        **(settings | {"steps": 24} if "steps" in settings else settings),
    )
    whole, stopped = (
        denoise(golden.backbone, prompts, replace(config, stop_at_eos=stop))
        for stop in (False, True)
    )
    assert list(map(text, stopped.sequences)) == list(map(text, whole.sequences))
    ends = "logits_eos_inf" not in settings  # without an EOS no text ends before its canvas
    assert (stopped.token_positions < whole.token_positions) == ends


def test_what_stands_behind_an_eos_counts_while_anything_before_it_is_masked() -> None:
    """Full attention: position 0 says 5 until position 3, which stands behind the EOS, is there;
    then it says 6.
    """

    def script(ids_T: torch.Tensor) -> torch.Tensor:
        first = 6 if ids_T[4] == 8 else 5
        return table([4, first, EOS, 7, 8], [0.9, 0.3, 0.9, 0.2, 0.8], V)

    for stop in (False, True):
        backbone = ScriptedBackbone(script, vocab_size=V)
        result = denoise(backbone, [[4]], DecodeConfig(gen_length=4, stop_at_eos=stop))
        assert text(result.sequences[0]) == [6]
        # The EOS, then 8 behind it, then 6: nothing masked is left before the EOS, and the pass for
        # 7 is left out.
        assert result.forward_passes == (3 if stop else 4)
        assert result.sequences[0].tolist() == [6, EOS, MASK if stop else 7, 8]


def test_a_canvas_that_has_ended_already_costs_nothing() -> None:
    backbone = ScriptedBackbone(left_to_right, vocab_size=V)
    result = denoise(
        backbone,
        [[4]],
        DecodeConfig(gen_length=4, stop_at_eos=True),
        canvases=[[5, EOS, MASK, MASK]],
    )
    assert (result.sequences[0].tolist(), result.forward_passes) == ([5, EOS, MASK, MASK], 0)


# Batches that do not fit.


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_batch_that_does_not_fit_is_halved_and_nothing_else_changes(
    temperature: float, caplog: pytest.LogCaptureFixture
) -> None:
    prompts, config = (
        [[4 + n] for n in range(8)],
        DecodeConfig(gen_length=4, temperature=temperature),
    )
    small, large = (
        SmallMemory(left_to_right, vocab_size=V),
        ScriptedBackbone(left_to_right, vocab_size=V),
    )
    with caplog.at_level(logging.WARNING):
        found = denoise(small, prompts, config)
    assert [one.tolist() for one in found.sequences] == [
        one.tolist() for one in denoise(large, prompts, config).sequences
    ]
    assert {len(ids) for ids, _ in small.passes} == {2}
    assert [record.args for record in caplog.records] == [(8, 4), (4, 2)]
    assert "did not fit into memory" in caplog.text


def test_one_row_that_does_not_fit_is_an_error_and_so_is_any_other_failure() -> None:
    backbone = SmallMemory(left_to_right, vocab_size=V)
    backbone.most = 0
    with pytest.raises(torch.OutOfMemoryError):
        denoise(backbone, [[4], [5]], DecodeConfig(gen_length=4))
    backbone.error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="mat1"):
        denoise(backbone, [[4], [5]], DecodeConfig(gen_length=4))


class FailsOnce:
    """A backbone whose n-th pass runs out of memory; `columns` has the width of every pass that did
    not, `ids` what it read.
    """

    def __init__(self, backbone: Any, at: int) -> None:
        self.backbone, self.at = backbone, at
        self.columns: list[int] = []
        self.ids: list[torch.Tensor] = []
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backbone, name)

    def hidden(self, input_ids: torch.Tensor, *rest: Any, **named: Any) -> torch.Tensor:
        self.calls += 1
        # A cache holds what this pass brought by now.
        hidden_BTD: torch.Tensor = self.backbone.hidden(input_ids, *rest, **named)
        if self.calls == self.at:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.columns.append(input_ids.shape[1])
        self.ids.append(input_ids.clone())
        return hidden_BTD


@pytest.mark.parametrize("at", [1, 3, 5, 6])
@pytest.mark.parametrize("cache", [None, "prefix", "dual"])
def test_a_pass_that_failed_with_a_cache_begins_the_block_anew_from_what_stands(
    cache: str | None, at: int
) -> None:
    golden = load_golden("llada-tiny")
    # Four passes a block, the first over 5 + 8 columns.
    config = DecodeConfig(gen_length=8, block_length=4, cache=cache)
    prompts = [[7, 30, 9, 41, 12], [100, 3, 88, 64, 50]]
    backbone = FailsOnce(golden.backbone, at)
    found, whole = denoise(backbone, prompts, config), denoise(golden.backbone, prompts, config)
    first_of_a_block = at in (1, 5)
    if cache is None or first_of_a_block:
        assert [one.tolist() for one in found.sequences] == [
            one.tolist() for one in whole.sequences
        ]
    # The failed pass is not counted, and the one after it keeps all that stood: one token in every
    # row for each pass of before.
    assert found.row_forward_passes == whole.row_forward_passes == [8, 8]
    again = backbone.ids[at - 1]
    assert (again == golden.backbone.spec.mask_id).sum().item() == len(again) * (8 - (at - 1))
    assert backbone.columns[at - 1] == 13
    interrupted = cache is not None and not first_of_a_block
    # Columns that a later pass of that block would have run.
    kept = 8 if cache == "prefix" and at <= 4 else 4
    assert found.token_positions - whole.token_positions == (2 * (13 - kept) if interrupted else 0)
