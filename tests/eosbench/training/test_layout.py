"""What stands behind an answer, position by position."""

from __future__ import annotations

import pytest
import torch

from eosbench.training.layout import (
    END,
    FILLER,
    NOTHING,
    PROMPT,
    TEXT,
    Document,
    Rows,
    filler_names,
    lay_out,
)

MASK, EOS, PAD = 0, 1, 99
ASKED = Document([5, 6], [7, 8])


def laid(layout: str, *documents: Document, size: int = 8, **more: object) -> Rows:
    return lay_out(
        documents,
        [size] * len(documents),
        layout,
        eos_id=EOS,
        mask_id=MASK,
        pad_id=PAD,
        fillers=[20, 21, 22][: max(1, len(filler_names(layout)))],
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("layout", "ids", "kind"),
    [
        ("eos", [5, 6, 7, 8, EOS, MASK, MASK, MASK], NOTHING),
        ("eoseos", [5, 6, 7, 8, EOS, EOS, EOS, EOS], FILLER),
        ("eospad", [5, 6, 7, 8, EOS, 20, 20, 20], FILLER),
        ("rainbow", [5, 6, 7, 8, EOS, 20, 21, 22], FILLER),
    ],
)
def test_the_end_is_said_once_and_then_what_the_layout_says(
    layout: str, ids: list[int], kind: int
) -> None:
    rows = laid(layout, ASKED)
    assert rows.ids_BT.tolist() == [ids]
    assert rows.kind_BT.tolist() == [[PROMPT] * 2 + [TEXT] * 2 + [END] + [kind] * 3]
    assert (rows.prompt_B.tolist(), rows.length_B.tolist()) == ([2], [2])
    assert rows.token_BT.all()


def test_a_base_never_sees_an_end() -> None:
    rows = laid("text", ASKED, more=[Document([9], [10, 11]), Document([12], [13])])
    assert rows.ids_BT.tolist() == [[5, 6, 7, 8, 9, 10, 11, 12]]
    assert EOS not in rows.ids_BT and END not in rows.kind_BT
    assert rows.length_B.tolist() == [6]


def test_a_text_that_was_cut_off_has_no_end_and_nothing_behind_it() -> None:
    rows = laid("eoseos", Document([5], [7, 8], ends=False), ASKED)
    assert rows.ids_BT[0].tolist() == [5, 7, 8, *[PAD] * 5]
    assert rows.token_BT[0].tolist() == [True] * 3 + [False] * 5
    assert END not in rows.kind_BT[0]
    assert rows.length_B.tolist() == [2, 2]


def test_an_end_of_text_that_a_document_spells_is_text() -> None:
    """Kinds are laid out, not read off the ids."""
    rows = laid("eoseos", Document([5], [EOS, 8]))
    assert rows.kind_BT[0, :4].tolist() == [PROMPT, TEXT, TEXT, END]


def test_a_window_cut_to_the_answer_has_no_end() -> None:
    rows = laid("eoseos", ASKED, size=4)
    assert END not in rows.kind_BT
    assert rows.length_B.tolist() == [2]


def test_rainbow_s_fillers_take_turns_from_the_first_behind_the_end() -> None:
    names = filler_names("rainbow")
    assert len(names) == len(set(names)) == 7
    rows = lay_out(
        [Document([], [5])], [18], "rainbow", eos_id=EOS, mask_id=MASK, pad_id=PAD,
        fillers=range(20, 27),
    )  # fmt: skip
    assert rows.ids_BT[0, 2:].tolist() == [*range(20, 27), *range(20, 27), 20, 21]
    assert torch.equal(rows.kind_BT[0, 2:], torch.full((16,), FILLER))
