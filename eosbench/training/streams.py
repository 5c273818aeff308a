"""Plain text of any size, streamed: from the hub, or from parquet, JSONL, CSV and text files.

    lane = Lane(open_text("HuggingFaceFW/fineweb"), lane=0, lanes=8, pack=True, ...)
    next(lane.pieces())

A stream is cut into lanes: lane k reads every so-manieth document, shuffles them block by block,
and makes pieces of them. Micro-batch m always comes from the same lane, whichever process or
worker asks for it, so two workers or processes give the batches of one, none reads another's
documents, and a resumed run goes on where it stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from eosbench.digest import torch_seed_from
from eosbench.errors import ConfigurationError
from eosbench.training.batch import Batch, MakeBatch
from eosbench.training.layout import Document
from eosbench.training.texts import encode_all

logger = logging.getLogger(__name__)

SPREAD = 4  # lanes a micro-batch of a step: so many workers of a process read nothing in vain
READERS = {".parquet": "parquet", ".jsonl": "json", ".json": "json", ".csv": "csv", ".txt": "text"}
READ_AT_ONCE = 64


def open_text(source: str, *, config: str = "default", split: str = "train") -> Any:
    """A streamed data set: of the hub, of a file, or of files by a pattern ("data/*.parquet").

    A text file's documents are its paragraphs, with empty lines between them.

    Raises:
        ConfigurationError: it cannot be had.
    """
    import datasets

    suffix = Path(source).suffix
    try:
        if suffix in READERS:
            extra = {"sample_by": "paragraph"} if suffix == ".txt" else {}
            return datasets.load_dataset(
                READERS[suffix], data_files=source, split="train", streaming=True, **extra
            )
        return datasets.load_dataset(source, config, split=split, streaming=True)
    except Exception as error:  # whatever hub, cache and file readers raise
        raise ConfigurationError(
            f"the text of {source} (configuration {config}, split {split}) cannot be had: "
            f"{type(error).__name__}: {error}. Expected an id on the Hugging Face hub or files "
            f"that end in {', '.join(READERS)}"
        ) from error


class Lane:
    """One lane of a streamed text, read again from the start when it ends.

    Args:
        data: as `open_text` gives it.
        lane, lanes: which of how many.
        column: that holds the text.
        encode: texts -> ids.
        size: tokens of a piece, at most.
        pack: join documents to pieces of exactly `size` tokens, none of which ends; otherwise every
            document is cut by itself, and its last piece ends.
        shuffle: documents that are shuffled together.
        seed: of that.
    """

    def __init__(
        self,
        data: Any,
        *,
        lane: int,
        lanes: int,
        column: str,
        encode: Callable[[list[str]], list[list[int]]],
        size: int,
        pack: bool,
        shuffle: int = 1_000,
        seed: int = 0,
        skip: int = 0,
    ) -> None:
        from datasets.distributed import split_dataset_by_node

        self.data = split_dataset_by_node(data.skip(skip) if skip else data, lane, lanes)
        self.lane, self.column, self.encode = lane, column, encode
        self.size, self.pack, self.shuffle, self.seed = size, pack, max(1, shuffle), seed

    def pieces(self) -> Iterator[Document]:
        """Without end.

        Raises:
            ConfigurationError: the lane holds no text.
        """
        round_ = 0
        while True:
            found = False
            for document in self._packed(round_) if self.pack else self._cut(round_):
                found = True
                yield document
            if not found:
                raise ConfigurationError(
                    f"--data: lane {self.lane} of the text holds nothing to train on: it has too "
                    "few documents for so many processes and accumulation steps"
                )
            round_ += 1

    def _cut(self, round_: int) -> Iterator[Document]:
        for ids in self._documents(round_):
            for start in range(0, len(ids), self.size):
                ends = start + self.size > len(
                    ids
                )  # a piece as long as the window has no end in it
                yield Document((), ids[start : start + self.size], ends=ends)

    def _packed(self, round_: int) -> Iterator[Document]:
        held: list[int] = []
        for ids in self._documents(round_):
            held += ids
            while len(held) >= self.size:
                yield Document((), held[: self.size], ends=False)
                held = held[self.size :]
        if held:
            yield Document((), held, ends=False)

    def _documents(self, round_: int) -> Iterator[list[int]]:
        """Ids of each document, shuffled within blocks."""
        block: list[str] = []
        blocks = 0
        for rows in self.data.iter(batch_size=READ_AT_ONCE):
            if self.column not in rows:
                raise ConfigurationError(
                    f"--text_column {self.column}: the columns are {', '.join(rows)}"
                )
            block += [str(text) for text in rows[self.column] if text]
            while len(block) >= self.shuffle:
                yield from self._shuffled(block[: self.shuffle], round_, blocks)
                block, blocks = block[self.shuffle :], blocks + 1
        yield from self._shuffled(block, round_, blocks)

    def _shuffled(self, texts: list[str], round_: int, block: int) -> Iterator[list[int]]:
        name = f"{self.seed} {self.lane} {round_} {block}"
        rng = torch.Generator().manual_seed(torch_seed_from(name))
        order = torch.randperm(len(texts), generator=rng).tolist()
        for start in range(0, len(order), READ_AT_ONCE):
            yield from self.encode([texts[index] for index in order[start : start + READ_AT_ONCE]])


class TextBatches(torch.utils.data.Dataset[Batch]):
    """Batches of streamed text; item i is micro-batch i of the run.

    Args:
        data, column, pack, shuffle: as for `Lane`.
        tokenizer: of the model.
        make: `make_batch` with a recipe's settings.
        seed: of everything that is drawn.
        steps, per_step: as for `PairBatches`.
        rows: of a micro-batch.
        canvas: tokens of a window.
        skip: documents at the beginning that are not trained on (they are held out).
    """

    def __init__(
        self,
        data: Any,
        tokenizer: Any,
        *,
        make: MakeBatch,
        seed: int,
        steps: int,
        per_step: int = 1,
        rows: int = 16,
        canvas: int = 256,
        column: str = "text",
        pack: bool = False,
        shuffle: int = 1_000,
        skip: int = 0,
    ) -> None:
        self.data, self.tokenizer, self.make = data, tokenizer, make
        self.seed, self.steps, self.per_step = seed, steps, per_step
        self.rows, self.canvas, self.column = rows, canvas, column
        self.pack, self.shuffle, self.skip = pack, shuffle, skip
        self._open: dict[int, tuple[Iterator[Document], int]] = {}

    def __len__(self) -> int:
        return self.steps * self.per_step

    def __getitem__(self, index: int) -> Batch:
        step, place = divmod(index, self.per_step)
        documents = self._rows(place * SPREAD + step % SPREAD, step // SPREAD)
        rng = torch.Generator().manual_seed(torch_seed_from(f"{self.seed} {index}"))
        sizes = [self.canvas] * len(documents)
        return self.make(documents, sizes, step=step, rng=rng)

    def _rows(self, lane: int, turn: int) -> list[Document]:
        """The rows of a lane's so-manieth turn."""
        if lane not in self._open or self._open[lane][1] > turn:
            self._open[lane] = (self._lane(lane).pieces(), 0)
        pieces, at = self._open[lane]
        for _ in range((turn - at) * self.rows):
            next(pieces)
        self._open[lane] = (pieces, turn + 1)
        return [next(pieces) for _ in range(self.rows)]

    def _lane(self, lane: int) -> Lane:
        return Lane(
            self.data,
            lane=lane,
            lanes=self.per_step * SPREAD,
            column=self.column,
            encode=lambda texts: encode_all(self.tokenizer, texts),
            size=self.canvas,
            pack=self.pack,
            shuffle=self.shuffle,
            seed=self.seed,
            skip=self.skip,
        )


def held_out_text(
    data: Any, tokenizer: Any, column: str, *, most: int, size: int
) -> list[Document]:
    """The first `most` documents of a text that fit on `size` positions: what training skips.

    A document is its own answer, with no prompt before it.
    """
    texts: list[str] = []
    for rows in data.take(most).iter(batch_size=READ_AT_ONCE):
        if column not in rows:
            raise ConfigurationError(f"--text_column {column}: the columns are {', '.join(rows)}")
        texts += [str(text) for text in rows[column] if text]
    found = [Document((), ids) for ids in encode_all(tokenizer, texts) if 0 < len(ids) < size]
    return found
