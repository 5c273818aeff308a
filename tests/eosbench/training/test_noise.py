"""Masks never touch a prompt, occur as in use, and spare nothing behind the answer."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eosbench.training.noise import NOISES, draw_masks


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(
    noise: str,
    prompts: list[int],
    window: int,
    seed: int = 0,
    length: int | None = None,
    **more: object,
) -> tuple[torch.Tensor, torch.Tensor]:
    prompt_B = torch.tensor(prompts)
    open_BT = torch.arange(max(prompts) + window)[None] >= prompt_B[:, None]
    length_B = torch.full((len(prompts),), window if length is None else length)
    return draw_masks(noise, open_BT, prompt_B, length_B, rng=rng(seed), **more)  # type: ignore[arg-type]


@settings(max_examples=50, deadline=None)
@given(
    noise=st.sampled_from(NOISES),
    seed=st.integers(0, 10_000),
    prompts=st.lists(st.integers(1, 20), min_size=1, max_size=6),
    window=st.integers(1, 60),
)
def test_a_prompt_is_never_masked_and_every_row_has_something_to_learn(
    noise: str, seed: int, prompts: list[int], window: int
) -> None:
    masked_BT, share_B = drawn(noise, prompts, window, seed, block_length=16)
    for masked_T, prompt in zip(masked_BT, prompts, strict=True):
        assert not masked_T[:prompt].any()
        assert masked_T.any()
    assert ((share_B >= 0) & (share_B <= 1)).all()


def test_a_quarter_of_the_rows_is_step_zero_and_another_follows_the_blocks() -> None:
    rows, prompt, window, block = 4_000, 3, 64, 16
    masked_BW = drawn("in_use", [prompt] * rows, window, block_length=block)[0][:, prompt:]
    whole = masked_BW.all(dim=1).float().mean()
    # 0.25, and the rare uniform or blockwise row that is masked by chance.
    assert 0.24 < whole < 0.30
    blocks_BK = masked_BW.view(rows, window // block, block)
    clean_then_masked = (
        (~blocks_BK[:, 0].any(dim=1)) & blocks_BK[:, -1].all(dim=1) & ~blocks_BK[:, 1].all(dim=1)
    )
    # First block done, second half denoised, last untouched.
    assert clean_then_masked.float().mean() > 0.04


@pytest.mark.parametrize("noise", ["uniform", "in_use", "full"])
def test_fillers_are_masked_as_often_as_text(noise: str) -> None:
    """The seed's code put at most 5 % of its masks on fillers: an empty canvas was never seen."""
    masked_BT, _ = drawn(noise, [2] * 4_000, 40, length=10)
    text, behind = masked_BT[:, 2:12].float().mean(), masked_BT[:, 12:].float().mean()
    assert behind > text - 0.03
    assert masked_BT[:, 2:].all(dim=1).float().mean() > 0.2  # step zero


def test_a_suffix_goes_to_the_end_of_the_window_from_any_place_of_the_answer() -> None:
    length, window = 4, 12
    masked_BT, _ = drawn("suffix", [3] * 2_000, window, length=length, full_share=0.0)
    first_B = masked_BT.int().argmax(dim=1) - 3
    assert set(first_B.tolist()) == set(range(length + 1))  # the end itself is always masked
    for masked_T, first in zip(masked_BT, first_B.tolist(), strict=True):
        assert masked_T.tolist() == [False] * (3 + first) + [True] * (window - first)
    shares = torch.bincount(first_B).float() / len(first_B)
    torch.testing.assert_close(shares, torch.full((5,), 0.2), atol=0.04, rtol=0)


def test_the_drawn_share_is_that_of_the_masks() -> None:
    masked_BT, share_B = drawn("uniform", [2] * 200, 2_000, full_share=0.25)
    torch.testing.assert_close(masked_BT[:, 2:].float().mean(dim=1), share_B, atol=0.05, rtol=0)
    assert 0.15 < (share_B == 1).float().mean() < 0.35


def test_padding_is_never_masked() -> None:
    open_BT = torch.tensor([[False, True, True, False, False]])
    for noise in NOISES:
        for seed in range(20):
            masked_BT, _ = draw_masks(
                noise, open_BT, torch.tensor([1]), torch.tensor([2]), rng=rng(seed)
            )
            assert masked_BT.any() and not (masked_BT & ~open_BT).any()
