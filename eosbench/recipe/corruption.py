"""The training data of the embedded model: documents padded to windows of every size, and masked.

    rows = tokenize_train_split(tokenizer, 200_000)
    rng = torch.Generator().manual_seed(0)
    ids_BT, prompt_B = next(batches(rows, tokens=3_072, canvas=256, eos_id=1, rng=rng))
    masked_BT = draw_masks(ids_BT, prompt_B, block_length=32, rng=rng)

The corruption is LLaDA's (arXiv 2502.09992, section 2.3, supervised fine-tuning): the prompt
stays, response tokens are masked, the canvas is filled up with EOS. What differs is what the
embedded benchmark asks for:

- windows of every size. A model that has seen one canvas length is lost on others, so each
  document is padded with a drawn number of EOS: none for a third of them (a window cut to
  exactly the answer), a few, or as many as fill any window up to the whole canvas;
- masks as they occur in use. A quarter of the rows is fully masked (step zero, what all
  predictors read), a quarter is masked the way semi-autoregressive blocks leave it (a clean
  prefix, one half-denoised block, masks to the end), the rest at a uniform ratio.

Rows of one batch have equal length by choosing the padding, so nothing is ever padded with
tokens that must be hidden.

Legend: B rows, T tokens of prompt and window.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch

from eosbench.documents import NOT_EXACT, instruct_stream

SHARES = {  # of a family among the rows; 1 where nothing is said
    **dict.fromkeys(NOT_EXACT, 1 / 3),  # whose words no training can predict
    **dict.fromkeys(("copy", "reverse"), 1 / 2),  # learnt first
    **dict.fromkeys(("yes_no", "rows", "sums"), 3),  # learnt last
}
SHORTEST_LIMIT = 24  # tokens: a table of one record, one sum with its answer
_SORTED_AT_ONCE = 2_048  # rows among which those of like length are looked for


@dataclass(frozen=True)
class Row:
    """One tokenized document: its family, prompt ids (special tokens included) and response ids."""

    family: str
    prompt: list[int]
    response: list[int]


def tokenize_train_split(tokenizer: Any, size: int) -> list[Row]:
    """The first `size` documents of the train split."""
    documents = list(islice(instruct_stream("train"), size))
    families = [document.family for document in documents]
    prompts = tokenizer([document.prompt for document in documents])
    responses = tokenizer([document.response for document in documents], add_special_tokens=False)
    ids = zip(families, prompts["input_ids"], responses["input_ids"], strict=True)
    return [Row(family, prompt, response) for family, prompt, response in ids]


def batches(
    rows: Sequence[Row],
    *,
    tokens: int,
    canvas: int,
    eos_id: int,
    rng: torch.Generator,
    progress: Callable[[], float] = lambda: 1.0,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless batches of (input ids [B, T], prompt lengths [B]).

    Args:
        rows: the documents.
        tokens: B * T, about.
        canvas: C, the longest window in tokens.
        eos_id: fills each row up to T.
        rng: of all draws.
        progress: the share of the training that is done, see `longest_answer`.
    """
    families: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=_length):
        families[row.family].append(row)
    while True:
        drawn = _drawn(families, longest_answer(progress(), canvas), rng)
        lengths = [
            len(row.prompt) + _length(row) + _padding(rng, _length(row), canvas) for row in drawn
        ]
        groups = _of_like_length(lengths, tokens)
        for group in torch.randperm(len(groups), generator=rng).tolist():
            members = groups[group]
            ids_BT = torch.full((len(members), lengths[members[-1]]), eos_id)
            for at, index in enumerate(members):
                ids = drawn[index].prompt + drawn[index].response
                ids_BT[at, : len(ids)] = torch.tensor(ids)
            yield ids_BT, torch.tensor([len(drawn[index].prompt) for index in members])


def _drawn(families: Mapping[str, Sequence[Row]], longest: int, rng: torch.Generator) -> list[Row]:
    """Rows of families in their shares; a quarter have any length, the others up to `longest`.

    Each family is sorted by the length of its answers.
    """
    share_F = torch.tensor([SHARES.get(name, 1.0) for name in families])
    rows_F, drawn = list(families.values()), []
    chosen = torch.multinomial(share_F, _SORTED_AT_ONCE, replacement=True, generator=rng)
    for family in chosen.tolist():
        rows = rows_F[family]
        any_length, place = torch.rand(2, generator=rng, dtype=torch.float64).tolist()
        allowed = len(rows)
        if any_length >= 0.25:
            allowed = max(1, bisect_right(rows, longest, key=_length))
        drawn.append(rows[int(place * allowed)])
    return drawn


def _of_like_length(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Groups of indices, each filled up to its longest member with at most so many tokens.

    >>> _of_like_length([4, 9, 5, 4], tokens=12)
    [[0, 3], [2], [1]]
    """
    groups: list[list[int]] = [[]]
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if groups[-1] and (len(groups[-1]) + 1) * lengths[index] > tokens:
            groups.append([])
        groups[-1].append(index)
    return groups


def _length(row: Row) -> int:
    return len(row.response)


def longest_answer(progress: float, canvas: int) -> int:
    """The curriculum: the most tokens that an answer has, for three quarters of the rows.

    It goes from a single record or one sum, for a tenth of the training, to the whole canvas after
    six tenths. Trained on all lengths from the start, 11,500 steps long, this model never found out
    that names are copied.

    Args:
        progress: the share of the training that is done.
        canvas: C, in tokens.

    Example:
        >>> [longest_answer(progress, 256) for progress in (0.0, 0.1, 0.35, 0.6, 1.0)]
        [24, 24, 78, 256, 256]
    """
    grown = min(1.0, max(0.0, 2 * progress - 0.2))
    return int(SHORTEST_LIMIT * math.pow(canvas / SHORTEST_LIMIT, grown))


def draw_masks(
    ids_BT: torch.Tensor, prompt_B: torch.Tensor, *, block_length: int, rng: torch.Generator
) -> torch.Tensor:
    """[B, T]: True at masked positions: never in the prompt, at least one a row.

    Args:
        ids_BT: input ids.
        prompt_B: prompt lengths in tokens.
        block_length: tokens of the blocks that leave a clean prefix behind.
        rng: of all draws.
    """
    B, T = ids_BT.shape
    canvas_index_BT = torch.arange(T)[None] - prompt_B[:, None]
    in_canvas_BT = canvas_index_BT >= 0
    kind_B1, ratio_B1 = torch.rand(B, 1, generator=rng), torch.rand(B, 1, generator=rng)
    noise_BT = torch.rand(B, T, generator=rng)
    masked_BT = noise_BT < ratio_B1
    # semi-autoregressive: everything before `first` is clean, the block from there is half
    # denoised, the rest is masked
    window_B1 = T - prompt_B[:, None]
    first_B1 = (torch.rand(B, 1, generator=rng) * window_B1 / block_length).floor() * block_length
    blockwise_BT = (canvas_index_BT >= first_B1) & (
        masked_BT | (canvas_index_BT >= first_B1 + block_length)
    )
    masked_BT = torch.where(
        kind_B1 < 0.25,
        torch.ones_like(masked_BT),
        torch.where(kind_B1 < 0.5, blockwise_BT, masked_BT),
    )
    masked_BT &= in_canvas_BT
    empty_B = ~masked_BT.any(dim=1)
    masked_BT[empty_B, -1] = True
    return masked_BT


def loss_weights(ids_BT: torch.Tensor, masked_BT: torch.Tensor, *, eos_id: int) -> torch.Tensor:
    """[B, T] float32: the weight of each masked position in the loss; zero elsewhere.

    The mean over all masked positions would be one over the padding and the longest answers: a
    one-word answer would have no say. So EOS behind the first counts a tenth, and a row whose
    positions weigh w together is divided by the square root of w.
    """
    eos_BT = ids_BT == eos_id
    behind_BT = eos_BT & eos_BT.roll(1, dims=1)
    weight_BT = masked_BT * torch.where(behind_BT, 0.1, 1.0)
    return weight_BT / weight_BT.sum(dim=1, keepdim=True).clamp_min(0.1).sqrt()


def _padding(rng: torch.Generator, length: int, canvas: int) -> int:
    """The number of EOS behind an answer: none, a few, or anything up to the canvas."""
    kind, share = torch.rand(2, generator=rng).tolist()
    if kind < 0.3:
        return 0
    most = 8 if kind < 0.7 else canvas
    return int(share * (min(most, max(canvas - length, 0)) + 1))
