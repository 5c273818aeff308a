"""Batches: what they hold, and that they are functions of the seed and the index alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
import torch
from accelerate.data_loader import prepare_data_loader

from eosbench.training.batch import Batch, make_batch
from eosbench.training.layout import END, PROMPT, TEXT, Document
from eosbench.training.pairs import PairBatches
from eosbench.training.schedule import geometric, ramp, staircase
from eosbench.training.trainer import only

MASK, EOS, PAD = 0, 1, 2


def make(**settings: Any) -> Any:
    given = {"layout": "eoseos", "noise": "uniform", **settings}
    return partial(make_batch, eos_id=EOS, mask_id=MASK, pad_id=PAD, **given)


def documents(count: int = 40) -> list[Document]:
    return [Document([50 + n] * (1 + n % 3), [60 + n] * (1 + n % 7), "copy") for n in range(count)]


def pairs(given: Sequence[Document] | None = None, **settings: Any) -> PairBatches:
    own = {"seed": 0, "steps": 30, "tokens": 64, "canvas": 32, "make": make(), **settings}
    return PairBatches(documents() if given is None else given, **own)


def same(one: Batch, other: Batch) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_almost_a_third_of_the_windows_is_cut_to_the_answer_and_none_exceeds_the_canvas() -> None:
    answer, canvas, count = 20, 64, 2_000
    rows = [Document([7] * 5, [9] * answer) for _ in range(count)]
    data = pairs(rows, tokens=1, canvas=canvas, steps=count)  # one row a batch
    windows = [batch["ids"].shape[1] - 5 for batch in (data[index] for index in range(count))]
    cut = windows.count(answer) / count
    assert 0.29 < cut < 0.40  # 0.30, and those whose drawn padding is 0
    assert min(windows) == answer
    assert max(windows) == canvas
    assert sum(window > answer + 8 for window in windows) / count > 0.2


def test_a_batch_holds_whole_rows_filled_up_with_eos() -> None:
    data, seen = pairs(), 0
    known = {tuple(one.prompt): list(one.response) for one in documents()}
    for batch in (data[index] for index in range(30)):
        assert batch["targets"].numel() <= 64 or len(batch["targets"]) == 1
        for ids_T, kind_T in zip(batch["targets"], batch["kinds"], strict=True):
            answer = known[tuple(ids_T[kind_T == PROMPT].tolist())]
            assert ids_T[kind_T == TEXT].tolist() == answer
            assert set(ids_T[kind_T >= END].tolist()) <= {EOS}
            seen += 1
    assert seen > 40  # every row in the first round, then the next


def test_the_model_reads_masks_where_it_is_asked_and_the_text_elsewhere() -> None:
    for batch in (pairs()[index] for index in range(10)):
        masked_BT = batch["masked"]
        assert (batch["ids"][masked_BT] == MASK).all()
        assert torch.equal(batch["ids"][~masked_BT], batch["targets"][~masked_BT])
        assert torch.equal(batch["weights"] > 0, masked_BT)  # no visible token is a target


def test_families_have_their_shares_whatever_the_documents_are_like() -> None:
    lengths, shares = {"sums": 20, "copy": 9, "list": 5}, {"sums": 3.0, "copy": 0.5}
    rows = [
        Document([n], [60 + n] * length, family)
        for n, (family, length) in enumerate(lengths.items())
        for _ in range(10)
    ]
    data, seen = pairs(rows, tokens=2_000, shares=shares, steps=100), Counter[int]()
    for batch in (data[index] for index in range(100)):
        seen.update(batch["targets"][:, 0].tolist())
    total = sum(shares.get(family, 1.0) for family in lengths)
    for n, family in enumerate(lengths):
        assert abs(seen[n] / seen.total() - shares.get(family, 1.0) / total) < 0.05


def test_answers_are_short_at_first_but_for_a_quarter_and_of_all_lengths_at_the_end() -> None:
    rows = [Document([length], [9] * length) for length in range(1, 201)]
    shares = {}
    for progress in (0.0, 1.0):
        longest = partial(lambda step, at: geometric(at, 256), at=progress)
        data = pairs(rows, tokens=5_000, canvas=256, steps=100, longest=longest)
        drawn = [length for index in range(100) for length in data[index]["targets"][:, 0].tolist()]
        shares[progress] = sum(length <= geometric(0.0, 256) for length in drawn) / len(drawn)
    assert 0.75 < shares[0.0] < 0.82  # three quarters, and 24 of 200 lengths among the rest
    assert 0.08 < shares[1.0] < 0.16


def test_a_curriculum_goes_by_optimizer_steps_however_many_micro_batches_they_have() -> None:
    """A counter of calls in the data would run four times as fast."""
    asked: list[int] = []

    def longest(step: int) -> int:
        asked.append(step)
        return staircase(step, start=2, every=10)

    data = pairs(steps=2_000, per_step=4, tokens=4_000, longest=longest, free_share=0.0)
    batches = [data[index] for index in range(400)]
    assert max(asked) == max(index // 4 for index in range(400) if index // 4 in asked) < 100
    assert max(int(batch["length"].max()) for batch in batches[:4]) >= 2
    early = [(batch["kinds"] == TEXT).sum(dim=1).max() for batch in batches[:4]]
    late = [(batch["kinds"] == TEXT).sum(dim=1).max() for batch in batches[-4:]]
    assert max(early) <= 2 and max(late) == 7


def test_attention_is_annealed_by_optimizer_steps() -> None:
    data = pairs(make=make(anneal_steps=4), per_step=3, steps=6)
    for index in range(18):
        batch, step = data[index], index // 3
        assert ("seen" in batch) == (step < 3)
        if step < 3 and batch["ids"].shape[1] > 20:
            T = batch["ids"].shape[1]
            above = torch.ones(T, T, dtype=torch.bool).triu(1)
            assert abs(batch["seen"][above].float().mean() - ramp(step, 4)) < 0.15


@pytest.mark.parametrize("layout", ["eoseos", "text"])
def test_a_batch_depends_on_seed_and_index_alone(layout: str) -> None:
    settings = {"make": make(layout=layout), "flows": layout == "text"}
    data = pairs(**settings)
    batches = [data[index] for index in range(12)]
    for index in (7, 3, 11, 0, 11):
        assert same(data[index], batches[index])  # in any order
    assert same(pairs(**settings)[5], batches[5])  # and without those before
    assert not same(pairs(seed=1, **settings)[5], batches[5])
    with pytest.raises(IndexError):
        data[30]


@pytest.mark.parametrize("workers", [1, 2])
def test_two_data_workers_give_the_batches_of_one(workers: int) -> None:
    data = pairs(steps=8)
    loader = torch.utils.data.DataLoader(
        data,
        batch_size=1,
        collate_fn=only,
        num_workers=workers,
        multiprocessing_context="fork",
    )
    assert all(same(batch, pairs()[index]) for index, batch in enumerate(loader))


def test_two_processes_give_the_batches_of_one() -> None:
    data = pairs(steps=4, per_step=2)
    alone = [data[index] for index in range(8)]
    for rank in range(2):
        loader = torch.utils.data.DataLoader(pairs(steps=4, per_step=2), collate_fn=only)
        own = prepare_data_loader(loader, num_processes=2, process_index=rank, put_on_device=False)
        for step, batch in enumerate(own):
            assert same(batch, alone[2 * step + rank])
        assert step == 3


def test_two_views_are_two_maskings_of_the_same_rows() -> None:
    batch = pairs(make=make(noise="suffix", views=2))[0]
    one, other = (dict(zip(batch, halves, strict=True)) for halves in zip(
        *(value.chunk(2) if name != "views" else (value, value) for name, value in batch.items()),
        strict=True,
    ))  # fmt: skip
    assert torch.equal(one["targets"], other["targets"])
    assert torch.equal(one["length"], other["length"])
    assert not torch.equal(one["masked"], other["masked"])


@pytest.mark.parametrize(("windows", "size"), [("full", 32), ("exact", 7)])
def test_other_windows(windows: str, size: int) -> None:
    data = pairs([Document([5], [6] * 7), Document([5, 5], [6] * 7)], windows=windows, tokens=500)
    batch = data[0]
    widths = batch.get("token", torch.ones_like(batch["masked"])).sum(dim=1) - batch["prompt"]
    assert set(widths.tolist()) == {size}
    if "token" in batch:
        assert not batch["masked"][~batch["token"]].any()
        assert not batch["weights"][~batch["token"]].any()
