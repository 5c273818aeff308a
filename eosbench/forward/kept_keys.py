"""Keys and values of committed blocks, kept from pass to pass for sequences that share passes.

Where attention is causal between blocks, nothing that is still to come changes what was computed of
a committed block: what is kept is exact. Every sequence has a slot, a row of each layer's buffer,
in which the keys of its column t stand at place t. A pass writes the keys of its own tokens behind
the longest kept row, so that nothing is copied but them; what is to be kept of them goes to its
place when the pass is over.

Legend: S slots, R rows of a pass, H heads, K kept columns, T columns of a pass, W width of a head.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import torch
from transformers import Cache
from transformers.cache_utils import DynamicLayer

_GROWTH = 128  # places by which a buffer grows at least


class KeptKeys:
    """The kept keys and values of all layers.

    Its owners are whatever names a sequence; one that was not let go keeps its slot.
    """

    def __init__(self) -> None:
        self._slots: dict[Hashable, int] = {}
        self._layers: list[_Layer] = []

    def __contains__(self, owner: Hashable) -> bool:
        return owner in self._slots

    def slots(self, owners: Sequence[Hashable]) -> list[int]:
        """The slots of these owners; those who have none get one."""
        for owner in owners:
            self._slots.setdefault(owner, len(self._slots))
        return [self._slots[owner] for owner in owners]

    def cache(self, slots: list[int], slot_R: torch.Tensor, kept: int) -> Cache:
        """A cache for one pass of rows who see up to `kept` places of their slots.

        Args:
            slots: the slots of the rows, in their order.
            slot_R: the same on the model's device.
            kept: K, the most places that one of them sees.
        """
        for layer in self._layers:
            layer.begin(slots, slot_R, kept)

        def new_layer() -> _Layer:
            layer = _Layer()
            self._layers.append(layer)
            layer.begin(slots, slot_R, kept)
            return layer

        make_cache: Any = Cache
        cache: Cache = make_cache(layer_class_to_replicate=new_layer)
        cache.layers.extend(self._layers)
        return cache

    def keep(self, row: int, owner: Hashable, first: int, stop: int) -> None:
        """Puts the keys of the last pass's tokens in `row` at the places from `first` to `stop`."""
        for layer in self._layers:
            layer.keep(row, self._slots[owner], first, stop)

    def let_go(self, owner: Hashable) -> None:
        """Frees the slot of an owner, if it has one; the last slot takes its place."""
        if owner not in self._slots:
            return
        slot, last = self._slots.pop(owner), len(self._slots)
        if slot == last:
            return
        for layer in self._layers:
            layer.move(last, slot)
        mover = next(other for other, place in self._slots.items() if place == last)
        self._slots[mover] = slot


class _Layer(DynamicLayer):
    """One layer's buffers [S, H, places, W], and the keys and values of the pass under way."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.keys: Any = None
        self.values: Any = None
        self._rows: list[int] = []
        self._row_R: torch.Tensor = torch.empty(0, dtype=torch.long)
        self._kept = 0
        self._new: tuple[torch.Tensor, torch.Tensor] | None = None

    def begin(self, slots: list[int], slot_R: torch.Tensor, kept: int) -> None:
        """Tells which slots the rows of the coming pass have, and how many places they see."""
        self._rows, self._row_R, self._kept, self._new = slots, slot_R, kept, None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """[R, H, T, W] of the pass -> [R, H, K + T, W], what is kept before them."""
        self._new = key_states, value_states
        if not self._kept:
            return key_states, value_states
        stop = self._kept + key_states.shape[2]
        self._grow(max(self._rows) + 1, stop, key_states)
        if self._rows == list(range(len(self._rows))):
            rows = len(self._rows)
            self.keys[:rows, :, self._kept : stop] = key_states
            self.values[:rows, :, self._kept : stop] = value_states
            return self.keys[:rows, :, :stop], self.values[:rows, :, :stop]
        index_R = self._row_R.to(key_states.device)
        kept = (buffer[index_R, :, : self._kept] for buffer in (self.keys, self.values))
        both = zip(kept, (key_states, value_states), strict=True)
        keys, values = (torch.cat(pair, dim=2) for pair in both)
        return keys, values

    def keep(self, row: int, slot: int, first: int, stop: int) -> None:
        """Copies the first tokens of a row of the pass to their places in a slot."""
        assert self._new is not None, "there was no pass to keep keys of"
        keys, values = self._new
        self._grow(slot + 1, stop, keys)
        self.keys[slot, :, first:stop] = keys[row, :, : stop - first]
        self.values[slot, :, first:stop] = values[row, :, : stop - first]

    def move(self, source: int, target: int) -> None:
        """Copies one slot over another."""
        if self.keys is not None and source < len(self.keys):
            self.keys[target], self.values[target] = self.keys[source], self.values[source]

    def get_seq_length(self) -> int:
        """The places that the rows of the pass under way see."""
        return self._kept

    def _grow(self, slots: int, places: int, like: torch.Tensor) -> None:
        """Makes room for so many slots and places."""
        if self.keys is None:
            empty = like.new_zeros(slots, like.shape[1], places + _GROWTH, like.shape[3])
            self.keys, self.values, self.is_initialized = empty, torch.zeros_like(empty), True
            return
        has_slots, heads, has_places, width = self.keys.shape
        if slots <= has_slots and places <= has_places:
            return
        wanted = places + _GROWTH if places > has_places else has_places
        larger = (max(slots, has_slots), heads, wanted, width)
        keys, values = self.keys, self.values
        self.keys, self.values = keys.new_zeros(larger), values.new_zeros(larger)
        self.keys[:has_slots, :, :has_places] = keys
        self.values[:has_slots, :, :has_places] = values
