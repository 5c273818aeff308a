"""A suffix behind the canvas: seen like the prompt, never denoised, counted like every token."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from eosbench.decoding import DecodeConfig, Job, denoise, generate
from eosbench.decoding.sequence import Sequence
from eosbench.errors import ConfigurationError
from tests.fakes import EOS, MASK, ScriptedBackbone, table
from tests.golden_files import load_golden

V = 40
PROMPT, SUFFIX = [9, 9, 9], [31, 32]


def between(ids_T: torch.Tensor) -> torch.Tensor:
    """Says for every position the number of tokens before it, and is surer to the left; it says EOS
    where no suffix ends the row.
    """
    sees_suffix = int(ids_T[-1]) in SUFFIX
    said = [at if sees_suffix else EOS for at in range(len(ids_T))]
    return table(said, [0.95 - 0.01 * at for at in range(len(ids_T))], V)


def test_a_gap_is_filled_between_what_stays() -> None:
    backbone = ScriptedBackbone(between, vocab_size=V)
    config = DecodeConfig(gen_length=4, block_length=2)
    result = denoise(backbone, [PROMPT, PROMPT], config, suffixes=[SUFFIX, []], batch_size=1)
    assert [canvas.tolist() for canvas in result.sequences] == [[3, 4, 5, 6], [EOS] * 4]
    rows = [ids[0].tolist() for ids, _ in backbone.passes if len(ids[0]) == 9]
    assert rows == [
        [*PROMPT, *[3, 4, 5, 6][:stand], *[MASK] * (4 - stand), *SUFFIX] for stand in range(4)
    ]
    assert result.row_token_positions == [4 * (3 + 4 + 2), 4 * (3 + 4)]
    # Scored: the masks of the open block, and nothing of the suffix.
    assert result.row_scored_positions == [2 + 1 + 2 + 1] * 2


def test_guidance_masks_the_suffix_with_the_prompt() -> None:
    backbone = ScriptedBackbone(between, vocab_size=V)
    config = DecodeConfig(gen_length=2, cfg_scale=1.0)
    result = denoise(backbone, [PROMPT], config, suffixes=[SUFFIX])
    first, _ = backbone.passes[0]
    assert first.tolist() == [[*PROMPT, MASK, MASK, *SUFFIX], [MASK] * 7]
    assert result.row_token_positions == [2 * 2 * 7]


def test_a_canvas_changes_its_length_before_the_suffix() -> None:
    spec = ScriptedBackbone(between, vocab_size=V).spec
    sequence = Sequence(spec, PROMPT, DecodeConfig(gen_length=4), suffix=SUFFIX)
    sequence.resize(torch.tensor([5, 6]))
    assert sequence.ids.tolist() == [*PROMPT, 5, 6, *SUFFIX]
    sequence.place(torch.tensor([1]), torch.tensor([7]))
    assert (sequence.canvas.tolist(), len(sequence)) == ([5, 7], 7)
    assert sequence.blind().tolist() == [MASK, MASK, MASK, 5, 7, MASK, MASK]
    other = Sequence(spec, [*PROMPT, *SUFFIX], DecodeConfig(gen_length=4))
    without = Sequence(spec, PROMPT, DecodeConfig(gen_length=4))
    assert sequence.seed != without.seed != other.seed


@pytest.mark.parametrize(
    "settings", [{}, {"cfg_scale": 0.5}, {"cache": "dual"}, {"cache": "prefix"}]
)
def test_batches_change_no_gap(settings: dict[str, Any]) -> None:
    """Prompts and suffixes of unequal length on a real model, with caches and guidance too."""
    golden = load_golden("llada-trained")
    prompts = [golden.tensors[f"daedal.{case}.prompt"][0].tolist() for case in (0, 3, 5, 7)]
    suffixes = [prompts[1][1:5], [], prompts[2][1:8], prompts[0][1:3]]
    config = DecodeConfig(gen_length=12, block_length=6, **settings)
    together = denoise(golden.backbone, prompts, config, suffixes=suffixes)
    for index, (prompt, suffix) in enumerate(zip(prompts, suffixes, strict=True)):
        alone = denoise(golden.backbone, [prompt], config, suffixes=[suffix])
        assert together.sequences[index].tolist() == alone.sequences[0].tolist()
        assert together.row_token_positions[index] == alone.token_positions


def test_a_gap_needs_no_end() -> None:
    """It is neither truncated nor tried in a larger window."""
    backbone = ScriptedBackbone(between, vocab_size=V)
    jobs = [Job(tuple(PROMPT), DecodeConfig(gen_length=8), 4, suffix=tuple(SUFFIX))]
    [(_, answer)] = generate(backbone, jobs, overflow="retry")
    assert (answer.canvas, answer.ended) == ([3, 4, 5, 6], True)
    assert (answer.cost.truncated, answer.cost.retries, answer.cost.window) == (0, 0, 4)


def test_no_room() -> None:
    backbone = ScriptedBackbone(between, vocab_size=V, max_length=8)
    with pytest.raises(
        ConfigurationError,
        match="a prompt of 3 tokens and a suffix of 2 leaves no room for gen_length=4 in the mod",
    ):
        denoise(backbone, [PROMPT], DecodeConfig(gen_length=4), suffixes=[SUFFIX])


def test_another_number_of_suffixes() -> None:
    backbone = ScriptedBackbone(between, vocab_size=V)
    with pytest.raises(ConfigurationError, match="1 suffixes for 2 prompts: expected one each"):
        denoise(backbone, [PROMPT, PROMPT], DecodeConfig(gen_length=4), suffixes=[SUFFIX])


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ("sdar-tiny", "'sdar' attends causally between blocks and cannot see a suffix"),
        ("diffusion-gemma-tiny", "'diffusion_gemma' denoises what follows a prompt and cannot see"),
    ],
)
def test_families_that_cannot_see_a_suffix(family: str, message: str) -> None:
    golden = load_golden(family)
    config = DecodeConfig(gen_length=4)
    with pytest.raises(ConfigurationError, match=message):
        denoise(golden.backbone, [[5, 6]], config, suffixes=[[7]])
    with pytest.raises(ConfigurationError, match=message):
        list(generate(golden.backbone, [Job((5, 6), config, 4, suffix=(7,))]))
