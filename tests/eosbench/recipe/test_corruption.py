"""What the embedded model is trained on: masks never touch a prompt, windows come in every size,
and rows stay what they were.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eosbench.documents.instruct import instruct_stream
from eosbench.recipe.corruption import (
    SHARES,
    Row,
    batches,
    draw_masks,
    longest_answer,
    loss_weights,
    tokenize_train_split,
)

EOS = 1


class Bytes:
    """A tokenizer whose ids are bytes, 100 before a prompt."""

    def __call__(
        self, texts: list[str], add_special_tokens: bool = True
    ) -> dict[str, list[list[int]]]:
        return {
            "input_ids": [
                ([100] if add_special_tokens else []) + list(text.encode()) for text in texts
            ]
        }


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    prompts=st.lists(st.integers(1, 20), min_size=1, max_size=6),
    window=st.integers(1, 60),
)
def test_a_prompt_is_never_masked_and_every_row_has_something_to_learn(
    seed: int, prompts: list[int], window: int
) -> None:
    prompt_B = torch.tensor(prompts)
    ids_BT = torch.zeros(len(prompts), max(prompts) + window, dtype=torch.long)
    masked_BT = draw_masks(ids_BT, prompt_B, block_length=16, rng=rng(seed))
    for masked_T, prompt in zip(masked_BT, prompts, strict=True):
        assert not masked_T[:prompt].any()
        assert masked_T.any()


def test_a_quarter_of_the_rows_is_step_zero_and_another_follows_the_blocks() -> None:
    rows, prompt, window, block = 4_000, 3, 64, 16
    masked_BW = draw_masks(
        torch.zeros(rows, prompt + window, dtype=torch.long),
        torch.full((rows,), prompt),
        block_length=block,
        rng=rng(),
    )[:, prompt:]
    whole = masked_BW.all(dim=1).float().mean()
    # 0.25, and the rare uniform or blockwise row that is masked by chance.
    assert 0.24 < whole < 0.30
    blocks_BK = masked_BW.view(rows, window // block, block)
    clean_then_masked = (
        (~blocks_BK[:, 0].any(dim=1)) & blocks_BK[:, -1].all(dim=1) & ~blocks_BK[:, 1].all(dim=1)
    )
    # First block done, second half denoised, last untouched.
    assert clean_then_masked.float().mean() > 0.04


def test_almost_a_third_of_the_windows_is_cut_to_the_answer_and_none_exceeds_the_canvas() -> None:
    answer, canvas = 20, 64
    rows = [Row("copy", [7] * 5, [9] * answer) for _ in range(2_000)]
    windows = []
    # One row a batch.
    for ids_BT, prompt_B in batches(rows, tokens=1, canvas=canvas, eos_id=EOS, rng=rng()):
        windows.append(ids_BT.shape[1] - int(prompt_B[0]))
        if len(windows) == len(rows):
            break
    cut = windows.count(answer) / len(rows)
    assert 0.29 < cut < 0.40  # 0.30, and those whose drawn padding is 0
    assert min(windows) == answer
    assert max(windows) == canvas
    assert sum(window > answer + 8 for window in windows) / len(rows) > 0.2


def test_a_batch_holds_whole_rows_filled_up_with_eos() -> None:
    rows = [Row("copy", [50 + n] * (1 + n % 3), [60 + n] * (1 + n % 7)) for n in range(40)]
    known = {tuple(row.prompt): row.response for row in rows}
    seen = 0
    for ids_BT, prompt_B in islice(batches(rows, tokens=64, canvas=32, eos_id=EOS, rng=rng()), 30):
        assert ids_BT.numel() <= 64 or len(ids_BT) == 1
        for ids_T, prompt in zip(ids_BT.tolist(), prompt_B.tolist(), strict=True):
            answer = known[tuple(ids_T[:prompt])]
            assert ids_T[prompt : prompt + len(answer)] == answer
            assert set(ids_T[prompt + len(answer) :]) <= {EOS}
            seen += 1
    assert seen > 40  # every row in the first round, then the next


def test_families_have_their_shares_whatever_the_documents_are_like() -> None:
    lengths = {"sums": 20, "copy": 9, "list": 5}
    rows = [
        Row(family, [n], [60 + n] * length)
        for n, (family, length) in enumerate(lengths.items())
        for _ in range(10)
    ]
    seen: Counter[int] = Counter()
    for ids_BT, _ in islice(batches(rows, tokens=2_000, canvas=32, eos_id=EOS, rng=rng()), 100):
        seen.update(ids_BT[:, 0].tolist())
    total = sum(SHARES.get(family, 1.0) for family in lengths)
    for n, family in enumerate(lengths):
        assert abs(seen[n] / seen.total() - SHARES.get(family, 1.0) / total) < 0.05


def test_answers_are_short_at_first_but_for_a_quarter_and_of_all_lengths_at_the_end() -> None:
    rows = [Row("copy", [length], [9] * length) for length in range(1, 201)]
    shares = {}
    for progress in (0.0, 1.0):
        fed = batches(
            rows,
            tokens=5_000,
            canvas=256,
            eos_id=EOS,
            rng=rng(),
            progress=lambda progress=progress: progress,
        )
        drawn = [length for ids_BT, _ in islice(fed, 100) for length in ids_BT[:, 0].tolist()]
        shares[progress] = sum(length <= longest_answer(0.0, 256) for length in drawn) / len(drawn)
    assert 0.75 < shares[0.0] < 0.82  # three quarters, and 24 of 200 lengths among the rest
    assert 0.08 < shares[1.0] < 0.16


def test_padding_counts_a_tenth_and_a_short_answer_more_a_token_than_a_long_one() -> None:
    ids_BT = torch.tensor([[5, 7, EOS, EOS, EOS], [5, 7, 7, 7, EOS]])
    masked_BT = torch.tensor([[False, True, True, True, True], [False, True, False, True, False]])
    weight_BT = loss_weights(ids_BT, masked_BT, eos_id=EOS)
    short, long = 2.2**-0.5, 2.0**-0.5
    expected = torch.tensor([[0, short, short, short / 10, short / 10], [0, long, 0, long, 0]])
    torch.testing.assert_close(weight_BT, expected)


def test_rows_are_the_documents_of_the_train_split() -> None:
    rows = tokenize_train_split(Bytes(), 20)
    for row, document in zip(rows, islice(instruct_stream("train"), 20), strict=True):
        assert (row.family, row.prompt, row.response) == (
            document.family,
            [100, *document.prompt.encode()],
            list(document.response.encode()),
        )
