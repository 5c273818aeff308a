"""Passes of block models over very long prompts, in pieces."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from eosbench.decoding import block_runner
from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.denoise import denoise
from model_adapters import load_backbone
from tests.golden_files import GOLDEN

BLOCK_MODELS = ("sdar-tiny", "llada2-tiny", "stable-diffcoder-tiny", "fast-dllm-v2-tiny")


@pytest.mark.parametrize("name", BLOCK_MODELS)
def test_pieces_of_a_prompt_change_no_token_and_no_count(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone: Any = load_backbone(GOLDEN / name, block_length=8)
    generator = torch.Generator().manual_seed(1)
    asked = [torch.randint(3, 200, (length,), generator=generator) for length in (101, 57, 9)]
    config = DecodeConfig(gen_length=20)
    masks: list[int] = []
    hidden = backbone.hidden

    def watched(ids_BT: torch.Tensor, mask_BK: torch.Tensor, **more: Any) -> torch.Tensor:
        masks.append(ids_BT.shape[1] * mask_BK.shape[1])
        return hidden(ids_BT, mask_BK, **more)  # type: ignore[no-any-return]

    backbone.hidden = watched
    whole, largest = denoise(backbone, asked, config), max(masks)
    masks.clear()
    monkeypatch.setattr(block_runner, "PIECE", 19)  # two blocks, and a part of one
    pieces = denoise(backbone, asked, config)
    assert [one.tolist() for one in pieces.sequences] == [one.tolist() for one in whole.sequences]
    assert pieces.row_forward_passes == whole.row_forward_passes
    assert pieces.row_token_positions == whole.row_token_positions
    assert largest >= 96 * 96 and max(masks) < 32 * 128
