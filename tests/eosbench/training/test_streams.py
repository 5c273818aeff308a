"""Streamed text: every document once, in the same batches for any number of workers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from eosbench.errors import ConfigurationError
from eosbench.training.batch import make_batch
from eosbench.training.streams import SPREAD, Lane, TextBatches, held_out_text, open_text
from eosbench.training.trainer import only

TEXTS = [f"document {n} " + "x" * (n % 17) for n in range(90)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("texts")
    rows = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS)
    (folder / "a.jsonl").write_text(rows)
    (folder / "a.txt").write_text("\n\n".join(TEXTS))
    import pandas as pd

    pd.DataFrame({"text": TEXTS}).to_parquet(folder / "a.parquet")
    return {suffix: str(folder / f"a{suffix}") for suffix in (".jsonl", ".txt", ".parquet")}


def characters(texts: list[str]) -> list[list[int]]:
    return [[ord(letter) for letter in text] for text in texts]


def lane(data: Any, **settings: Any) -> Lane:
    given = {"lane": 0, "lanes": 1, "column": "text", "size": 12, "pack": False, **settings}
    return Lane(data, encode=characters, **given)


def once(found: Lane) -> Iterator[Any]:
    """The pieces of the first round."""
    return found._packed(0) if found.pack else found._cut(0)


@pytest.mark.parametrize("suffix", [".jsonl", ".txt", ".parquet"])
def test_every_document_is_read_once_whatever_its_length(
    files: dict[str, str], suffix: str
) -> None:
    pieces = list(once(lane(open_text(files[suffix]), shuffle=20)))
    text = "".join(chr(token) for piece in pieces for token in piece.response)
    assert len(text) == sum(map(len, TEXTS))
    whole, held = [], ""
    for piece in pieces:
        assert len(piece.response) <= 12
        held += "".join(map(chr, piece.response))
        if held in TEXTS:
            whole, held = [*whole, held], ""
    assert Counter(whole) == Counter(TEXTS)
    assert whole != TEXTS  # shuffled


def test_the_last_piece_of_a_document_ends_and_the_others_do_not(files: dict[str, str]) -> None:
    pieces = list(once(lane(open_text(files[".jsonl"]), size=10)))
    for piece in pieces:
        text = "".join(map(chr, piece.response))
        last = any(whole.endswith(text) for whole in TEXTS)
        assert not piece.ends or last
    assert 60 < sum(piece.ends for piece in pieces) <= len(TEXTS)


def test_packed_text_has_no_end_and_no_gap(files: dict[str, str]) -> None:
    pieces = list(once(lane(open_text(files[".jsonl"]), pack=True)))
    assert {len(piece.response) for piece in pieces[:-1]} == {12}
    assert not any(piece.ends for piece in pieces)
    assert sum(len(piece.response) for piece in pieces) == sum(map(len, TEXTS))


def test_lanes_share_no_document_and_lose_none(files: dict[str, str]) -> None:
    data = open_text(files[".jsonl"])
    seen: Counter[str] = Counter()
    for index in range(4):
        own = once(lane(data, lane=index, lanes=4, size=99))
        seen.update("".join(map(chr, piece.response)) for piece in own)
    assert seen == Counter(TEXTS)


def test_a_lane_goes_on_from_the_start_in_another_order(files: dict[str, str]) -> None:
    pieces = lane(open_text(files[".jsonl"]), size=99).pieces()
    first, second = ([tuple(one.response) for one in islice(pieces, 90)] for _ in range(2))
    assert first != second and sorted(first) == sorted(second)


def batches(data: Any, tokenizer: Any, **settings: Any) -> TextBatches:
    make = partial(
        make_batch, layout="eoseos", noise="uniform", eos_id=1, mask_id=0, pad_id=1
    )  # fmt: skip
    given = {"seed": 0, "steps": 12, "per_step": 2, "rows": 2, "canvas": 16, **settings}
    return TextBatches(data, tokenizer, make=make, **given)


def test_workers_and_processes_give_the_batches_of_one(
    files: dict[str, str], tokenizer: Any
) -> None:
    data = batches(open_text(files[".jsonl"]), tokenizer)
    alone = [data[index]["targets"] for index in range(24)]
    for index in (5, 17, 3):  # as a resumed run or another process asks
        fresh = batches(open_text(files[".jsonl"]), tokenizer)
        assert torch.equal(fresh[index]["targets"], alone[index])
    loader = torch.utils.data.DataLoader(
        data, batch_size=1, collate_fn=only, num_workers=2, multiprocessing_context="fork"
    )
    assert all(torch.equal(b["targets"], alone[i]) for i, b in enumerate(loader))


def test_a_worker_of_several_reads_no_lane_of_another(
    files: dict[str, str], tokenizer: Any
) -> None:
    data = batches(open_text(files[".jsonl"]), tokenizer, per_step=1)
    for index in range(0, 12, SPREAD):  # the first of as many workers as there are lanes
        data[index]
    assert list(data._open) == [0]


def test_held_out_documents_are_not_trained_on(files: dict[str, str], tokenizer: Any) -> None:
    data = open_text(files[".jsonl"])
    held_out = held_out_text(data, tokenizer, "text", most=10, size=99)
    assert [tokenizer.decode(one.response) for one in held_out] == TEXTS[:10]
    trained = ["".join(map(chr, piece.response)) for piece in once(lane(data, size=99, skip=10))]
    assert Counter(trained) == Counter(TEXTS[10:])


def test_errors_say_what_to_type(files: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="the columns are text"):
        next(lane(open_text(files[".jsonl"]), column="body").pieces())
    with pytest.raises(
        ConfigurationError, match=r"Expected an id on the Hugging Face hub or files"
    ):
        open_text(str(tmp_path / "missing.jsonl"))
    with pytest.raises(ConfigurationError, match="too few documents"):
        next(lane(open_text(files[".jsonl"]), lane=95, lanes=100).pieces())
