"""What the embedded model is trained on: documents of the train split, padded to windows of every size and masked as in use.

    rows = tokenize_train_split(tokenizer, 200_000)
    ids_BT, prompt_B = next(batches(rows, tokens=3_072, canvas=256, eos_id=1, rng=torch.Generator().manual_seed(0)))
    masked_BT = draw_masks(ids_BT, prompt_B, block_length=32, rng=torch.Generator().manual_seed(0))

The corruption is LLaDA's (arXiv 2502.09992, section 2.3, supervised fine-tuning): the prompt stays, response tokens are masked,
the canvas is filled up with EOS. What differs is what the embedded benchmark asks for:

- windows of every size. A model that has seen one canvas length is lost on others, so each document is padded with a drawn
  number of EOS: none for a third of them (a window cut to exactly the answer), a few, or as many as fill any window up to the
  whole canvas;
- masks as they occur in use. A quarter of the rows is fully masked (step zero, what all predictors read), a quarter is masked
  the way semi-autoregressive blocks leave it (a clean prefix, one half-denoised block, masks to the end), the rest at a uniform
  ratio.

Rows of one batch have equal length by choosing the padding, so nothing is ever padded with tokens that must be hidden.

Legend: B rows, T tokens of prompt and window.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import torch

from eosbench.instruct import NOT_EXACT, Instruction, stream

SHARES = {  # of a family's documents that are trained on; 1 where nothing is said
    **dict.fromkeys(NOT_EXACT, 1 / 3),  # whose words no training can predict
    **dict.fromkeys(("rows", "spell", "sums", "count"), 2),  # learnt last
}
_SORTED_AT_ONCE = 4_096  # rows among which those of like length are looked for


@dataclass(frozen=True)
class Row:
    """One tokenized document: prompt ids (special tokens included) and response ids."""

    prompt: list[int]
    response: list[int]


def tokenize_train_split(tokenizer: Any, size: int) -> list[Row]:
    """The first `size` documents of the train split, those of each family thinned or repeated as SHARES says."""
    by_family: dict[str, list[Instruction]] = defaultdict(list)
    for document in islice(stream("train"), size):
        by_family[document.family].append(document)
    documents = [d for family, drawn in by_family.items() for d in _share(drawn, SHARES.get(family, 1))]
    prompts = tokenizer([document.prompt for document in documents])["input_ids"]
    responses = tokenizer([document.response for document in documents], add_special_tokens=False)["input_ids"]
    return [Row(prompt, response) for prompt, response in zip(prompts, responses, strict=True)]


def _share(documents: list[Instruction], share: float) -> list[Instruction]:
    """The first part of the documents, or all of them more than once."""
    return list(islice(cycle(documents), int(share * len(documents))))


def batches(
    rows: Sequence[Row], *, tokens: int, canvas: int, eos_id: int, rng: torch.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless batches of (input ids [B, T], prompt lengths [B]) of about `tokens` = B * T; EOS fills each row up to T."""
    while True:
        order = torch.randperm(len(rows), generator=rng).tolist()
        for start in range(0, len(order), _SORTED_AT_ONCE):
            chunk = [rows[index] for index in order[start : start + _SORTED_AT_ONCE]]
            lengths = [len(r.prompt) + len(r.response) + _padding(rng, len(r.response), canvas) for r in chunk]
            by_length = sorted(range(len(chunk)), key=lengths.__getitem__)
            groups: list[list[int]] = [[]]
            for index in by_length:
                if groups[-1] and (len(groups[-1]) + 1) * lengths[index] > tokens:
                    groups.append([])
                groups[-1].append(index)
            for group in torch.randperm(len(groups), generator=rng).tolist():
                members = groups[group]
                ids_BT = torch.full((len(members), lengths[members[-1]]), eos_id)
                for row, index in enumerate(members):
                    ids = chunk[index].prompt + chunk[index].response
                    ids_BT[row, : len(ids)] = torch.tensor(ids)
                yield ids_BT, torch.tensor([len(chunk[index].prompt) for index in members])


def draw_masks(ids_BT: torch.Tensor, prompt_B: torch.Tensor, *, block_length: int, rng: torch.Generator) -> torch.Tensor:
    """Which positions are masked, [B, T] bool: never the prompt, at least one position a row."""
    B, T = ids_BT.shape
    canvas_index_BT = torch.arange(T)[None] - prompt_B[:, None]
    in_canvas_BT = canvas_index_BT >= 0
    kind_B1, ratio_B1 = torch.rand(B, 1, generator=rng), torch.rand(B, 1, generator=rng)
    noise_BT = torch.rand(B, T, generator=rng)
    masked_BT = noise_BT < ratio_B1
    # semi-autoregressive: everything before `first` is clean, the block from there is half denoised, the rest is masked
    window_B1 = T - prompt_B[:, None]
    first_B1 = (torch.rand(B, 1, generator=rng) * window_B1 / block_length).floor() * block_length
    blockwise_BT = (canvas_index_BT >= first_B1) & (masked_BT | (canvas_index_BT >= first_B1 + block_length))
    masked_BT = torch.where(kind_B1 < 0.25, torch.ones_like(masked_BT), torch.where(kind_B1 < 0.5, blockwise_BT, masked_BT))
    masked_BT &= in_canvas_BT
    empty_B = ~masked_BT.any(dim=1)
    masked_BT[empty_B, -1] = True
    return masked_BT


def _padding(rng: torch.Generator, length: int, canvas: int) -> int:
    """How many EOS follow the answer: none, a few, or anything up to the canvas."""
    kind, share = torch.rand(2, generator=rng).tolist()
    if kind < 0.35:
        return 0
    most = 8 if kind < 0.88 else canvas
    return int(share * (min(most, max(canvas - length, 0)) + 1))
