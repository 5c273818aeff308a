"""The stored tensors that a parameter is made of, where it is not one of them as it stands.

A parameter is then, as a matrix whose rows are counted through, some pieces on top of each other:
the experts of a mixture are stored one by one and run as one tensor, the rows of a fused projection
are queries, keys and values. A piece goes straight into its place, so that no second copy exists.

Legend: E experts, I their inner width, D width.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

_EXPERTS = re.compile(r"(.*\.experts)\.(gate_up_proj|down_proj)$")


@dataclass(frozen=True)
class Piece:
    """A stored tensor, or some of its rows.

    Attributes:
        name: of the stored tensor.
        rows: the first row and the one behind the last; None is the whole tensor.
    """

    name: str
    rows: tuple[int, int] | None = None


# What a family's file says of a parameter: the stored tensor that it is, or the pieces it is made
# of. No pieces: it is computed, not stored.
Stored = str | Sequence[Piece]


@dataclass(frozen=True)
class Place:
    """The parameter that a piece belongs to, and its first row there. None: it is the parameter."""

    own: str
    start: int | None
    piece: Piece


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of the checkpoint: the shape that it must have, and where it belongs."""

    shape: tuple[int, ...]
    places: Sequence[Place]

    @property
    def is_parameter(self) -> bool:
        """Whether it is a parameter as it stands."""
        return any(place.start is None for place in self.places)


def stacked_experts(name: str, experts: int) -> Stored:
    """The experts of a layer as they are published, one by one, for the stacked tensor's name.

    The rows of an expert's `gate_up_proj` are those of its gate and of its up projection.

    Example:
        >>> [piece.name for piece in stacked_experts("mlp.experts.gate_up_proj", 1)]
        ['mlp.experts.0.gate_proj.weight', 'mlp.experts.0.up_proj.weight']
        >>> stacked_experts("mlp.gate.weight", 1)
        'mlp.gate.weight'
    """
    found = _EXPERTS.match(name)
    if found is None:
        return name
    of_layer, stacked = found.groups()
    parts = ("gate_proj", "up_proj") if stacked == "gate_up_proj" else (stacked,)
    return [
        Piece(f"{of_layer}.{expert}.{part}.weight") for expert in range(experts) for part in parts
    ]


def stored_tensors(
    names: Mapping[str, Stored], shapes: Mapping[str, torch.Size]
) -> dict[str, StoredTensor]:
    """Every stored tensor that these parameters are made of.

    Args:
        names: what each parameter is made of, keyed by its own name.
        shapes: of the parameters.
    """
    places: dict[str, list[Place]] = {}
    for own, stored in names.items():
        start = 0
        for piece in [Piece(stored)] if isinstance(stored, str) else stored:
            whole = isinstance(stored, str)
            places.setdefault(piece.name, []).append(Place(own, None if whole else start, piece))
            start += 0 if whole else _rows(piece, stored, shapes[own])
    return {
        name: StoredTensor(_shape(there, names, shapes), there) for name, there in places.items()
    }


def _rows(piece: Piece, pieces: Stored, shape: torch.Size) -> int:
    """The number of rows of its parameter that a piece is; whole tensors have equal shares."""
    if piece.rows is not None:
        return piece.rows[1] - piece.rows[0]
    return int(math.prod(shape[:-1]) if len(shape) > 1 else shape[0]) // len(pieces)


def _shape(
    places: Sequence[Place], names: Mapping[str, Stored], shapes: Mapping[str, torch.Size]
) -> tuple[int, ...]:
    """The shape that a stored tensor must have for what is made of it."""
    own = shapes[places[0].own]
    if places[0].start is None:
        return tuple(own)
    piece = places[0].piece
    rows = max(place.piece.rows[1] for place in places if place.piece.rows) if piece.rows else 0
    rows = rows or _rows(piece, names[places[0].own], own)
    return (rows, own[-1]) if len(own) > 1 else (rows,)


def put(
    model: torch.nn.Module,
    place: Place,
    tensor: torch.Tensor,
    *,
    device: torch.device,
    dtype: torch.dtype | None,
) -> None:
    """Puts a stored tensor where it belongs in the model, in this dtype (None: its own).

    A parameter made of pieces comes into being with the first of them. Buffers keep their dtype.
    """
    owner, _, leaf = place.own.rpartition(".")
    module = model.get_submodule(owner)
    now: torch.Tensor = getattr(module, leaf)
    is_buffer = leaf in module._buffers
    kept = now.dtype if is_buffer else dtype or tensor.dtype
    if place.start is None:
        value = tensor.to(device=device, dtype=kept)
    elif now.is_meta:
        value = torch.empty(now.shape, device=device, dtype=kept)
    else:
        value = now.data
    if place.start is not None:
        first, stop = place.piece.rows or (0, len(tensor))
        rows = value.flatten(0, -2) if value.ndim > 1 else value
        rows[place.start : place.start + stop - first] = tensor[first:stop]
    if is_buffer:
        module._buffers[leaf] = value
    elif value is not now.data:
        setattr(module, leaf, _parameter(value, now))


def _parameter(value: torch.Tensor, like: torch.Tensor) -> torch.nn.Parameter:
    """A parameter of the kind that stood in its place: one of bitsandbytes' becomes small now."""
    kind: Any = type(like)
    if kind is torch.nn.Parameter:
        return torch.nn.Parameter(value, requires_grad=False)
    settings = {name: told for name, told in like.__dict__.items() if name != "SCB"}
    parameter: torch.nn.Parameter = kind(value, requires_grad=False, **settings).to(value.device)
    return parameter
