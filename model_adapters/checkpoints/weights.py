"""The weights of a checkpoint: safetensors files that are read one tensor at a time.

Names are compared before the first value is read, so that a wrong checkpoint fails in
milliseconds. Tensors go straight from the memory-mapped file to the asked device and dtype and
become the model's parameters: there is never a second copy of the weights.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from eosbench.errors import CheckpointError
from model_adapters.checkpoints.pieces import Stored, StoredTensor, put, stored_tensors

_SAMPLE = 1024  # values per tensor that enter the fingerprint
_READ_AT_ONCE = 2**26  # bytes that are read before a file is closed and opened again
_DTYPES = {"F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


Change = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Weights:
    """The stored tensors of a checkpoint.

    Attributes:
        name: of the checkpoint, for messages.
        files: name of every stored tensor -> the safetensors file that holds it.
        changes: name of a stored tensor -> what is done to it as it is read (an adapter).
    """

    name: str
    files: Mapping[str, Path]
    changes: Mapping[str, Change] = field(default_factory=dict)

    def dtype(self) -> torch.dtype:
        """The dtype that most of the stored bytes have."""
        sizes: dict[torch.dtype, int] = {}
        for path in sorted(set(self.files.values())):
            names = [name for name, where in self.files.items() if where == path]
            with _open(path) as file:
                for part in map(file.get_slice, names):
                    dtype = _DTYPES.get(part.get_dtype(), torch.float32)
                    sizes[dtype] = sizes.get(dtype, 0) + math.prod(part.get_shape())
        return max(sizes, key=sizes.__getitem__)

    def read_into(
        self,
        model: torch.nn.Module,
        names: Mapping[str, Stored],
        *,
        device: Callable[[str], torch.device],
        dtype: torch.dtype | None,
        ignored: Collection[str] = (),
    ) -> str:
        """Fills a model built on the meta device and returns a fingerprint of the weights.

        The fingerprint covers every tensor's name, shape and values: all of them up to 1,024, an
        even stride of 1,024 through the flattened tensor beyond that, as stored, so that it depends
        on neither the device nor the dtype asked for.

        Args:
            model: its parameters are replaced, one by one.
            names: a parameter's or a stored buffer's name in `model` -> its stored name, or the
                pieces that it is made of.
            device: a parameter's name in `model` -> where it goes.
            dtype: the dtype that tensors are converted to; None keeps the stored one.
            ignored: stored tensors that are no parameters of the model.

        Raises:
            CheckpointError: weights are missing, unexpected, of another shape, or unreadable.
        """
        own = {
            **dict(model.named_parameters(remove_duplicate=False)),
            **dict(model.named_buffers()),
        }
        expected = stored_tensors(names, {name: own[name].shape for name in names})
        self._check_names(expected.keys(), self.files.keys() - set(ignored))
        digests: dict[str, bytes] = {}
        for stored, tensor in self._tensors(expected):
            kept = dtype or tensor.dtype
            changed = self.changes.get(stored, _unchanged)(tensor)
            digests[stored] = digest(stored, changed)
            for place in expected[stored].places:
                put(model, place, changed, device=device(place.own), dtype=kept)
        return fingerprint_of(digests)

    def fingerprint(self) -> str:
        """The fingerprint of `read_into` over every stored tensor, without a model."""
        digests = {}
        for stored, path in self.files.items():
            with _open(path) as file:
                digests[stored] = digest(stored, file.get_tensor(stored))
        return fingerprint_of(digests)

    def _check_names(self, expected: Collection[str], stored: Collection[str]) -> None:
        missing, extra = sorted({*expected} - {*stored}), sorted({*stored} - {*expected})
        if missing or extra:
            raise CheckpointError(
                f"{self.name}: weights do not fit its config.json: "
                f"missing {_some(missing)}; unexpected {_some(extra)}"
            )

    def _tensors(self, expected: Mapping[str, StoredTensor]) -> Iterator[tuple[str, torch.Tensor]]:
        """Each of these tensors by its stored name, file after file.

        All that is mapped into memory and was read counts as resident until nothing refers to the
        file any more. A tensor that becomes a parameter as it stands may do so for good, and the
        file is opened for it alone; for pieces, which are copied, it is opened anew now and then.

        Raises:
            CheckpointError: one of them has another shape.
        """
        order = sorted(
            expected, key=lambda name: (self.files[name], expected[name].is_parameter, name)
        )
        left = deque(order)
        while left:
            path, read = self.files[left[0]], 0
            with _open(path) as file:
                while read < _READ_AT_ONCE:
                    stored = left.popleft()
                    tensor = self._read(file, stored, expected[stored].shape)
                    read += tensor.nbytes
                    yield stored, tensor
                    del tensor
                    if not left or self.files[left[0]] != path or expected[left[0]].is_parameter:
                        break

    def _read(self, file: Any, stored: str, shape: tuple[int, ...]) -> torch.Tensor:
        header = file.get_slice(stored)
        found, kind = tuple(header.get_shape()), header.get_dtype()
        if kind not in _DTYPES:
            raise CheckpointError(
                f"{self.name}: weight {stored} is stored as {kind}, expected one of "
                f"{', '.join(_DTYPES)}: weights that are quantised are not read here"
            )
        if found != shape:
            raise CheckpointError(
                f"{self.name}: weight {stored} has shape {found}, its config.json asks for {shape}"
            )
        tensor: torch.Tensor = file.get_tensor(stored)
        return tensor


def _unchanged(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


def find_weights(name: str, folder: Path) -> Weights:
    """The weights in a folder: one safetensors file, or the shards that an index names.

    Args:
        name: of the checkpoint, for messages.
        folder: where the files are.

    Raises:
        CheckpointError: a file is missing or broken.
    """
    shards = _shards(folder)
    absent = sorted(shard.name for shard in shards if not shard.is_file())
    if absent:
        raise CheckpointError(f"{folder} lacks weights: no {_some(absent)}{_other_formats(folder)}")
    files: dict[str, Path] = {}
    for shard in sorted(shards):
        with _open(shard) as file:
            files.update(dict.fromkeys(file.keys(), shard))
    return Weights(name, files)


def _shards(folder: Path) -> set[Path]:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return {folder / "model.safetensors"}
    try:
        named = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        return {folder / shard for shard in named}
    except (ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"{index} is no index of shards: {type(error).__name__}: {error}"
        ) from error


def _other_formats(folder: Path) -> str:
    found: list[str] = []
    for pattern in ("*.bin", "*.pt", "*.pth"):
        found += [path.name for path in folder.glob(pattern)]
    if not found:
        return ""
    return f" (found {_some(found)}: convert them to safetensors, other formats can run code)"


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is no readable safetensors file: {error}. Download it again"
        ) from error


def digest(name: str, tensor: torch.Tensor) -> bytes:
    """The part of a fingerprint that a tensor is: its name, its shape and some of its values."""
    flat = tensor.flatten()
    sample = flat[:: max(1, flat.numel() // _SAMPLE)][:_SAMPLE].to("cpu", torch.float32)
    content = f"{name}{list(tensor.shape)}".encode() + sample.numpy().tobytes()
    return hashlib.sha256(content).digest()


def fingerprint_of(digests: Mapping[str, bytes]) -> str:
    """The fingerprint of weights, from the digests of their tensors."""
    return hashlib.sha256(b"".join(digests[name] for name in sorted(digests))).hexdigest()


def _some(names: list[str], most: int = 8) -> str:
    if not names:
        return "none"
    left = len(names) - most
    return ", ".join(names[:most]) + (f" and {left} more" if left > 0 else "")
