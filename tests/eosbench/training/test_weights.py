"""Loss weights, worked out by hand."""

from __future__ import annotations

import torch

from eosbench.training.layout import END, FILLER, NOTHING, PROMPT, TEXT
from eosbench.training.weights import loss_weights

KINDS = torch.tensor([[PROMPT, TEXT, END, FILLER, FILLER], [PROMPT, TEXT, TEXT, TEXT, END]])


def test_padding_counts_a_tenth_and_a_short_answer_more_a_token_than_a_long_one() -> None:
    """The embedded model's weights."""
    masked_BT = torch.tensor([[False, True, True, True, True], [False, True, False, True, False]])
    weight_BT = loss_weights(KINDS, masked_BT, torch.ones(2), filler=0.1, row_norm="sqrt")
    short, long = 2.2**-0.5, 2.0**-0.5
    expected = torch.tensor([[0, short, short, short / 10, short / 10], [0, long, 0, long, 0]])
    torch.testing.assert_close(weight_BT, expected)


def test_the_kinds_have_their_weights_and_what_is_seen_has_none() -> None:
    masked_BT = torch.tensor([[False, True, True, True, False], [False, False, True, False, True]])
    weight_BT = loss_weights(KINDS, masked_BT, torch.ones(2), text=2.0, eos=16.0, filler=0.5)
    assert weight_BT.tolist() == [[0, 2, 16, 0.5, 0], [0, 0, 2, 0, 16]]
    assert not loss_weights(torch.tensor([[NOTHING]]), torch.tensor([[True]]), torch.ones(1)).any()


def test_a_row_that_is_masked_little_counts_more() -> None:
    """Weight 1 / t, as LLaDA's equation 3; the seed's code weighed by t."""
    masked_BT = KINDS == TEXT
    weight_BT = loss_weights(KINDS, masked_BT, torch.tensor([0.25, 1.0]), inverse_share=True)
    assert weight_BT[0].tolist() == [0, 4, 0, 0, 0]
    assert weight_BT[1].tolist() == [0, 1, 1, 1, 0]


def test_rows_that_count_the_same() -> None:
    masked_BT = (KINDS == TEXT) | (KINDS == END)
    weight_BT = loss_weights(KINDS, masked_BT, torch.ones(2), row_norm="mean")
    torch.testing.assert_close(weight_BT.sum(dim=1), torch.ones(2))
