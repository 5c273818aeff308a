"""The last block at chosen positions: the same hidden states there, for fewer FLOPs.

Legend: B batch, T tokens, D width, M width of the feed-forward network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from eosbench.backbone import raw_rows, scoring_rows
from model_adapters import load_backbone
from tests.golden_files import load_golden
from tests.model_adapters.stock_models import (
    DECODER,
    ENCODER,
    GPT2,
    IDS_BT,
    published,
    stock,
)

D, M, HEAD = 16, 24, 8
QWEN3 = {**DECODER, "head_dim": HEAD}
FAMILIES = [  # weights behind the last block's attention, by hand
    ("llama", DECODER, D * D + 3 * D * M),
    ("qwen2", DECODER, D * D + 3 * D * M),
    ("qwen3", QWEN3, D * D + 3 * D * M),
    ("gpt2", GPT2, D * D + 2 * D * 4 * D),
    ("bert", ENCODER, D * D + 2 * D * M),
    ("roberta", ENCODER, D * D + 2 * D * M),
    ("modernbert", ENCODER, D * D + 3 * D * M),
]
NEEDED_BT = (IDS_BT * 7 % 5 < 2).clone()
MASK_BT = torch.ones_like(IDS_BT)
MASK_BT[0, :3] = 0


def flops(backbone: Any, needed_BT: torch.Tensor | None) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        backbone.hidden(IDS_BT, needed=needed_BT)
    return int(counter.get_total_flops())


@pytest.mark.parametrize(
    ("model_type", "settings", "weights"), FAMILIES, ids=[name for name, *_ in FAMILIES]
)
def test_states_that_are_read_are_those_of_the_whole_pass(
    tmp_path: Path, model_type: str, settings: dict[str, Any], weights: int
) -> None:
    published(tmp_path, stock(model_type, **settings))
    backbone = load_backbone(tmp_path, attn_implementation="eager")
    with torch.no_grad():
        whole_BTD = backbone.hidden(IDS_BT, MASK_BT)
        some_BTD = backbone.hidden(IDS_BT, MASK_BT, needed=NEEDED_BT)
        torch.testing.assert_close(some_BTD[NEEDED_BT], whole_BTD[NEEDED_BT], atol=1e-5, rtol=0)
        # Something was left out.
        assert not torch.allclose(some_BTD[~NEEDED_BT], whole_BTD[~NEEDED_BT], atol=1e-3)
        # And only then.
        torch.testing.assert_close(backbone.hidden(IDS_BT, MASK_BT), whole_BTD, atol=0, rtol=0)
    assert backbone.spec.last_parameters == weights
    unread = int((~NEEDED_BT).sum())
    assert 0 < unread < NEEDED_BT.numel()
    assert flops(backbone, None) - flops(backbone, NEEDED_BT) == 2 * weights * unread


@pytest.mark.parametrize("name", ["llada-tiny", "llada-tiny-gqa", "dream-tiny", "diffugpt-tiny"])
def test_published_checkpoints(name: str) -> None:
    backbone = load_golden(name).backbone
    with torch.no_grad():
        whole_BTD = backbone.hidden(IDS_BT, MASK_BT)
        some_BTD = backbone.hidden(IDS_BT, MASK_BT, needed=NEEDED_BT)
    torch.testing.assert_close(some_BTD[NEEDED_BT], whole_BTD[NEEDED_BT], atol=1e-5, rtol=0)


def test_a_pass_that_fails_leaves_the_next_one_whole() -> None:
    backbone = load_golden("llada-tiny").backbone
    with torch.no_grad():
        whole_BTD = backbone.hidden(IDS_BT)
        with pytest.raises(IndexError):
            backbone.hidden(IDS_BT + 10_000, needed=NEEDED_BT)
        torch.testing.assert_close(backbone.hidden(IDS_BT), whole_BTD, atol=0, rtol=0)


@given(
    st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=3), st.booleans()
)
def test_rows_that_are_not_read_do_not_matter(where: list[list[bool]], shifted: bool) -> None:
    where_BT = torch.tensor(where)
    raw_BTD = torch.arange(where_BT.numel()).reshape(*where_BT.shape, 1).float()
    raw_N = raw_rows(*where_BT.nonzero(as_tuple=True), width=where_BT.shape[1], shifted=shifted)
    garbled_BTD = torch.full_like(raw_BTD, -1.0)
    garbled_BTD.flatten(0, 1)[raw_N] = raw_BTD.flatten(0, 1)[raw_N]
    wanted_ND = scoring_rows(raw_BTD, shifted)[where_BT]
    assert scoring_rows(garbled_BTD, shifted)[where_BT].equal(wanted_ND)
    assert raw_BTD.flatten(0, 1)[raw_N].equal(wanted_ND)


def test_rows_that_are_needed_may_be_named_by_their_places() -> None:
    backbone = load_golden("llada-tiny").backbone
    with torch.no_grad():
        by_mask_BTD = backbone.hidden(IDS_BT, MASK_BT, needed=NEEDED_BT)
        places_N = NEEDED_BT.flatten().nonzero()[:, 0]
        by_place_BTD = backbone.hidden(IDS_BT, MASK_BT, needed=places_N)
    assert by_place_BTD.equal(by_mask_BTD)
