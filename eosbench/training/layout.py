"""A training row: a prompt, an answer, and what stands behind it up to the end of the window.

| layout | behind the answer |
| --- | --- |
| `text` | more text: no end is ever seen |
| `eos` | EOS, then masks that no loss looks at |
| `eoseos` | EOS to the end of the window (LLaDA, 2502.09992, section 2.3) |
| `eospad` | EOS once, then PAD (VoidPadding, 2606.17999) |
| `rainbow` | EOS once, then a cycle of fillers (Rainbow Padding, 2510.03680) |

Every position has a kind, so that weights and metrics need not compare token ids: an EOS inside an
answer is text.

Legend: B rows, T tokens of prompt and window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

PROMPT, TEXT, END, FILLER, NOTHING = range(5)  # kinds of positions
LAYOUTS = ("text", "eos", "eoseos", "eospad", "rainbow")
RAINBOW = 7  # fillers in a cycle, as published


@dataclass(frozen=True)
class Document:
    """A tokenized document.

    Attributes:
        prompt: ids that stay visible, special tokens included; none for plain text.
        response: ids of the answer, or of a piece of text.
        family: what kind of document it is; documents of all families are drawn by their shares.
        ends: whether the text ends behind `response`; a piece that was cut off does not.
    """

    prompt: Sequence[int]
    response: Sequence[int]
    family: str = ""
    ends: bool = True

    @property
    def length(self) -> int:
        """Tokens of the response, L."""
        return len(self.response)


@dataclass(frozen=True)
class Rows:
    """Rows of one batch before noise, padded on the right.

    Attributes:
        ids_BT: clean token ids.
        kind_BT: PROMPT, TEXT, END, FILLER or NOTHING; padding is NOTHING.
        token_BT: False at padding.
        prompt_B: tokens of the prompts.
        length_B: index of the end from the start of the response; the window's size where the row
            has none.
    """

    ids_BT: torch.Tensor
    kind_BT: torch.Tensor
    token_BT: torch.Tensor
    prompt_B: torch.Tensor
    length_B: torch.Tensor


def filler_names(layout: str) -> list[str]:
    """Special tokens that a layout needs beside the EOS.

    Example:
        >>> filler_names("eospad"), len(filler_names("rainbow")), filler_names("eoseos")
        (['<|pad|>'], 7, [])
    """
    if layout == "eospad":
        return ["<|pad|>"]
    if layout == "rainbow":
        return [f"<|pad_{index}|>" for index in range(RAINBOW)]
    return []


def behind(
    size: int, layout: str, *, eos_id: int, mask_id: int, fillers: Sequence[int]
) -> tuple[list[int], list[int]]:
    """(ids, kinds) of the `size` positions behind an answer that ends.

    Args:
        size: how many.
        layout: one of LAYOUTS but `text`, which has other documents there.
        eos_id, mask_id: ids.
        fillers: ids of `filler_names(layout)`.

    Example:
        >>> behind(4, "rainbow", eos_id=1, mask_id=0, fillers=[7, 8])
        ([1, 7, 8, 7], [2, 3, 3, 3])
    """
    if size <= 0:
        return [], []
    cycle = {"eos": [mask_id], "eoseos": [eos_id]}.get(layout, list(fillers))
    kind = NOTHING if layout == "eos" else FILLER
    filled = [cycle[index % len(cycle)] for index in range(size - 1)]
    return [eos_id, *filled], [END] + [kind] * (size - 1)


def room_behind(rng: torch.Generator, length: int, canvas: int) -> int:
    """Positions behind an answer of `length` tokens: none, a few, or anything up to the canvas.

    A model that has seen one size of window is lost on others, and one that has only seen windows
    with room is lost on those cut to exactly the answer.
    """
    kind, share = torch.rand(2, generator=rng).tolist()
    if kind < 0.3:
        return 0
    most = 8 if kind < 0.7 else canvas
    return int(share * (min(most, max(canvas - length, 0)) + 1))


def lay_out(
    documents: Sequence[Document],
    sizes: Sequence[int],
    layout: str,
    *,
    eos_id: int,
    mask_id: int,
    pad_id: int,
    fillers: Sequence[int] = (),
    more: Sequence[Document] = (),
) -> Rows:
    """Rows of these documents, each up to its size, padded to the longest.

    Args:
        documents: B of them.
        sizes: tokens of each row, prompt included. A document that does not end has nothing behind
            it, and its row is shorter.
        layout: one of LAYOUTS.
        eos_id, mask_id, pad_id: ids.
        fillers: ids of `filler_names(layout)`.
        more: documents whose text goes on behind the answers, for the layout `text`.
    """
    B, T = len(documents), max(sizes)
    ids_BT = torch.full((B, T), pad_id)
    kind_BT = torch.full((B, T), NOTHING)
    token_BT = torch.zeros(B, T, dtype=torch.bool)
    length_B = torch.tensor([document.length for document in documents])
    flowing = [token for document in more for token in (*document.prompt, *document.response)]
    for row, (document, size) in enumerate(zip(documents, sizes, strict=True)):
        text = [*document.prompt, *document.response]
        room = size - len(text)
        ids, kinds = [*text], [PROMPT] * len(document.prompt) + [TEXT] * document.length
        if layout == "text":
            ids, kinds = ids + flowing[:room], kinds + [TEXT] * min(room, len(flowing))
            flowing = flowing[room:]
        elif document.ends:
            tail, tail_kinds = behind(room, layout, eos_id=eos_id, mask_id=mask_id, fillers=fillers)
            ids, kinds = ids + tail, kinds + tail_kinds
        ids_BT[row, : len(ids)] = torch.tensor(ids)
        kind_BT[row, : len(kinds)] = torch.tensor(kinds)
        token_BT[row, : len(ids)] = True
        if END not in kinds:
            length_B[row] = len(ids) - len(document.prompt)
    return Rows(
        ids_BT=ids_BT,
        kind_BT=kind_BT,
        token_BT=token_BT,
        prompt_B=torch.tensor([len(document.prompt) for document in documents]),
        length_B=length_B,
    )
