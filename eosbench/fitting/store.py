"""Features on disk: memory-mapped arrays of one backbone over one list of samples.

    store = FeatureStore(folder, backbone=backbone, samples=samples, canvas=256)
    store.open(kept)
    todo = store.missing(kept)     # rows that some array lacks, also after a kill in the middle
    store.write(rows, features)
    store.read(names, rows)        # {"pooled": [B, 2D], ...}

The name of a folder is a hash of all that the numbers depend on, so a store is never read for
another model, canvas, part of a canvas, fraction or data set. Arrays are `<name>.npy` with a row a
sample, and beside each `<name>.done.npy` says which rows are there; a row counts only once its
numbers are written. Bytes per sample are the sum over `kept`; the hidden tensor of a whole canvas
is never kept. Several processes on one machine fill one store, each its own rows.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from eosbench.backbone import Backbone
from eosbench.canvas_view import FULL, CanvasView
from eosbench.digest import digest_of_json, digest_of_parts
from eosbench.errors import ConfigurationError
from eosbench.fitting.passes import Sample
from eosbench.places import writing
from eosbench.predictors import Features, Kept

VERSION = 1
DESCRIPTION = "store.json"


__all__ = ["FeatureStore", "bytes_per_sample"]


class FeatureStore:
    """Arrays [N, ...] over N samples, below `root`.

    Args:
        root: folder of stores; each has a folder of its own in it.
        backbone: the model whose hidden states they are.
        samples: N of them; their order is that of the rows.
        canvas: C, in tokens.
        view: the part of the canvas that step zero ran.
    """

    def __init__(
        self,
        root: Path,
        *,
        backbone: Backbone,
        samples: Sequence[Sample],
        canvas: int,
        view: CanvasView = FULL,
    ) -> None:
        self.samples = samples
        facts = {
            "version": VERSION,
            "backbone": backbone.spec.fingerprint,
            "dtype": str(backbone.dtype).removeprefix("torch."),
            "canvas": canvas,
            "samples": len(samples),
            "digest": _digest(samples),
        }
        if not view.covers(canvas):
            facts["step_zero"] = str(view)
        self.folder = root.expanduser() / digest_of_json(facts)
        self._facts = {**facts, "backbone_name": backbone.spec.name}
        self._arrays: dict[str, NDArray[Any]] = {}
        self._done: dict[str, NDArray[np.bool_]] = {}
        self._kept: dict[str, Kept] = {}

    def open(self, kept: Mapping[str, Kept], *, create: bool = True) -> None:
        """Makes arrays accessible.

        Args:
            kept: name -> shape and type of a row.
            create: make the arrays that are missing; of several processes one does.

        Raises:
            ConfigurationError: an array on disk has another shape than is asked for.
        """
        with writing(f"the feature store {self.folder}"):
            self.folder.mkdir(parents=True, exist_ok=True)
        for name, one in kept.items():
            shape, dtype = (len(self.samples), *one.shape), _stored(one.dtype)
            data, done = self.folder / f"{name}.npy", self.folder / f"{name}.done.npy"
            if create and not done.is_file():
                _create(data, shape, dtype)
                _create(done, (len(self.samples),), np.dtype(np.bool_))
            self._arrays[name] = np.lib.format.open_memmap(data, mode="r+")
            self._done[name] = np.lib.format.open_memmap(done, mode="r+")
            self._kept[name] = one
            if self._arrays[name].shape != shape or self._arrays[name].dtype != dtype:
                raise ConfigurationError(
                    f"{data} holds something else than {shape} {dtype}: "
                    f"remove the folder {self.folder}"
                )
        if create and not (self.folder / DESCRIPTION).is_file():
            (self.folder / DESCRIPTION).write_text(
                json.dumps(self._facts, indent=2) + "\n", encoding="utf-8"
            )

    def missing(self, names: Collection[str]) -> list[int]:
        """Rows that at least one of these arrays lacks."""
        if not names:
            return []
        complete_N = np.logical_and.reduce([self._done[name] for name in names])
        return [int(row) for row in np.flatnonzero(~complete_N)]

    def write(self, rows: Sequence[int], features: Features) -> None:
        """Puts features [B, ...] into B rows.

        Raises:
            ConfigurationError: a number that is not finite; the document is named, and nothing of
                the batch is written.
        """
        for values in features.values():
            if not torch.isfinite(values).all():
                broken = rows[int((~torch.isfinite(values)).flatten(1).any(dim=1).int().argmax())]
                prompt = self.samples[broken].example.prompt_text
                raise ConfigurationError(
                    f"the hidden states of document {broken} ({prompt[:60]!r}) hold NaN or "
                    "infinite numbers: the model's dtype cannot hold them (try --dtype bfloat16 or "
                    "float32), or its weights are broken"
                )
        for name, values in features.items():
            array = self._arrays[name]
            array[list(rows)] = _to_numpy(values.to(self._kept[name].dtype))
            array.flush()  # type: ignore[attr-defined]  # a memory map
            self._done[name][list(rows)] = True

    def read(self, names: Collection[str], rows: Sequence[int]) -> dict[str, torch.Tensor]:
        """Features [B, ...] of B rows, as they were kept."""
        return {
            name: _to_torch(self._arrays[name][list(rows)], self._kept[name].dtype)
            for name in names
        }


def bytes_per_sample(kept: Mapping[str, Kept]) -> int:
    """The bytes that one sample takes on disk.

    >>> bytes_per_sample({"pooled": Kept((8192,), torch.float32)})
    32768
    """
    return sum(math.prod(one.shape) * one.dtype.itemsize for one in kept.values())


def _digest(samples: Sequence[Sample]) -> str:
    return digest_of_parts(map(_facts_of, samples), digits=64)


def _facts_of(sample: Sample) -> str:
    """All that the features of a sample depend on, beside the store's own facts."""
    example = sample.example
    facts = [example.prompt_text, example.prompt_ids, example.response_ids, sample.fraction]
    return json.dumps(facts if sample.reveal == "random" else [*facts, sample.reveal])


def _create(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Makes an array of zeros, which gets its name only when it is whole.

    On most file systems it takes no space before it is written.
    """
    unfinished = path.with_suffix(".unfinished")
    np.lib.format.open_memmap(unfinished, mode="w+", dtype=dtype, shape=shape).flush()
    unfinished.replace(path)


def _stored(dtype: torch.dtype) -> np.dtype[Any]:
    """The type of an array on disk; numpy has no bfloat16, whose bits are stored as int16."""
    if dtype == torch.bfloat16:
        return np.dtype(np.int16)
    return torch.empty(0, dtype=dtype).numpy().dtype


def _to_numpy(values: torch.Tensor) -> NDArray[Any]:
    values = values.cpu().contiguous()
    return values.view(torch.int16).numpy() if values.dtype == torch.bfloat16 else values.numpy()


def _to_torch(values: NDArray[Any], dtype: torch.dtype) -> torch.Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    return tensor.view(torch.bfloat16) if dtype == torch.bfloat16 else tensor
