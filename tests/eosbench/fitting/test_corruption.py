"""What the embedded model is trained on: masks never touch a prompt, windows come in every size, and rows stay what they were."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eosbench.fitting.corruption import Row, batches, draw_masks, tokenize_train_split
from eosbench.instruct import stream

EOS = 1


class Bytes:
    """A tokenizer whose ids are bytes, 100 before a prompt."""

    def __call__(self, texts: list[str], add_special_tokens: bool = True) -> dict[str, list[list[int]]]:
        return {"input_ids": [([100] if add_special_tokens else []) + list(text.encode()) for text in texts]}


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), prompts=st.lists(st.integers(1, 20), min_size=1, max_size=6), window=st.integers(1, 60))
def test_a_prompt_is_never_masked_and_every_row_has_something_to_learn(seed: int, prompts: list[int], window: int) -> None:
    prompt_B = torch.tensor(prompts)
    ids_BT = torch.zeros(len(prompts), max(prompts) + window, dtype=torch.long)
    masked_BT = draw_masks(ids_BT, prompt_B, block_length=16, rng=rng(seed))
    for masked_T, prompt in zip(masked_BT, prompts, strict=True):
        assert not masked_T[:prompt].any()
        assert masked_T.any()


def test_a_quarter_of_the_rows_is_step_zero_and_another_follows_the_blocks() -> None:
    rows, prompt, window, block = 4_000, 3, 64, 16
    masked_BW = draw_masks(
        torch.zeros(rows, prompt + window, dtype=torch.long), torch.full((rows,), prompt), block_length=block, rng=rng()
    )[:, prompt:]
    whole = masked_BW.all(dim=1).float().mean()
    assert 0.24 < whole < 0.30  # 0.25, and the rare uniform or blockwise row that is masked by chance
    blocks_BK = masked_BW.view(rows, window // block, block)
    clean_then_masked = (~blocks_BK[:, 0].any(dim=1)) & blocks_BK[:, -1].all(dim=1) & ~blocks_BK[:, 1].all(dim=1)
    assert clean_then_masked.float().mean() > 0.04  # first block done, second half denoised, last untouched


def test_a_third_of_the_windows_is_cut_to_the_answer_and_none_exceeds_the_canvas() -> None:
    answer, canvas = 20, 64
    rows = [Row([7] * 5, [9] * answer) for _ in range(2_000)]
    windows = []
    for ids_BT, prompt_B in batches(rows, tokens=1, canvas=canvas, eos_id=EOS, rng=rng()):  # one row a batch
        windows.append(ids_BT.shape[1] - int(prompt_B[0]))
        if len(windows) == len(rows):
            break
    cut = windows.count(answer) / len(rows)
    assert 0.36 < cut < 0.47  # 0.35, and those whose drawn padding is 0
    assert min(windows) == answer
    assert max(windows) == canvas
    assert sum(window > answer + 8 for window in windows) / len(rows) > 0.07


def test_a_batch_holds_whole_rows_filled_up_with_eos() -> None:
    rows = [Row([50 + n] * (1 + n % 3), [60 + n] * (1 + n % 7)) for n in range(40)]
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


def test_families_are_thinned_or_repeated() -> None:
    rows = tokenize_train_split(Bytes(), 200)
    trained = Counter(bytes(row.prompt[1:]).decode() for row in rows)
    for family, share in {"list": 1 / 3, "story": 1 / 3, "sums": 2, "rows": 2, "copy": 1, "yes_no": 1}.items():
        drawn = [document.prompt for document in islice(stream("train"), 200) if document.family == family]
        assert sum(trained[prompt] for prompt in set(drawn)) == int(share * len(drawn))
    assert rows[0].prompt == [100, *next(stream("train")).prompt.encode()]
    assert rows[0].response == list(next(stream("train")).response.encode())
