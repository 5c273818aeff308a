"""Forward passes over one block of the canvas, with or without a cache.

Full attention has no exact cache: a token anywhere changes the keys and values everywhere. Both
caches are therefore approximations, off by default. A block begins with a pass over everything;
then the keys and values outside the columns that still run are frozen:

    prefix    the columns from the block's start to the end run, all before them are kept
    dual      the block's own columns run, all before and after them are kept

Keys carry their rotary positions, so kept columns need not stand where they came from. Without a
cache the block of every row may stand elsewhere, and `start` and `end` mean nothing.

Legend: B batch, R rows still denoised, T columns (prompt + canvas), N chosen positions, D width.
"""

from __future__ import annotations

from typing import Any

import torch

from eosbench.backbone import Backbone
from eosbench.errors import ConfigurationError
from eosbench.forward.states import states_of

CACHES = ("prefix", "dual")
Where = tuple[torch.Tensor, torch.Tensor]  # rows and columns of positions


def positions(attention_mask: torch.Tensor) -> torch.Tensor:
    """[B, T] mask -> [B, T] position ids.

    Every row counts its own tokens from 0, wherever its padding stands.

    Example:
        >>> positions(torch.tensor([[0, 0, 1, 1], [1, 1, 0, 1]])).tolist()
        [[0, 0, 0, 1], [0, 1, 1, 2]]
    """
    return (attention_mask.long().cumsum(dim=1) - 1).clamp(min=0)


class BlockPasses:
    """The passes over one block; it is called once per pass, with the tokens of all columns.

    Args:
        backbone: the model; for a cache its `hidden` takes `position_ids` [B, T] and `past`, a
            transformers Cache, as well.
        start, end: the columns between which the block of every row lies.
        cache: None, "prefix" or "dual".
    """

    def __init__(self, backbone: Backbone, start: int, end: int, cache: str | None = None) -> None:
        self.backbone = backbone
        self.start, self.end, self.cache = start, end, cache
        self.past: Any = None

    def __call__(
        self,
        ids_RT: torch.Tensor,
        mask_RT: torch.Tensor,
        row_N: torch.Tensor,
        column_N: torch.Tensor,
    ) -> tuple[torch.Tensor, list[int]]:
        """Runs one pass.

        Args:
            ids_RT: the token in every column now, on the host like all of these.
            mask_RT: 1 = token, 0 = padding.
            row_N, column_N: the N positions that are needed, all within the block; one may be
                named twice.

        Returns:
            The hidden states that score these positions [N, D], and the number of tokens of each
            row that ran through the model [R].

        Raises:
            ConfigurationError: there is a cache, and the model keeps none.
        """
        first, stop = 0, ids_RT.shape[1]
        where = row_N, column_N
        if self.cache is None:
            hidden_ND = states_of(self.backbone, ids_RT, mask_RT, where)
        elif self.past is None:
            hidden_ND = self._fill(ids_RT, mask_RT, where)
        else:
            first, stop = self._columns(stop)
            hidden_ND = self._run(ids_RT, mask_RT, where, first, stop)
        tokens_R: list[int] = mask_RT[:, first:stop].sum(dim=1).tolist()
        return hidden_ND, tokens_R

    def keep_rows(self, rows: torch.Tensor) -> None:
        """Drops the rows that are done; `rows` indexes those of the last call."""
        if self.past is not None:
            self.past.batch_select_indices(rows)

    def _columns(self, length: int) -> tuple[int, int]:
        """The first column that still runs, and the one after the last."""
        shifted = self.backbone.spec.logits_shifted  # a token is then scored one column earlier
        first = max(self.start - 1, 0) if shifted else self.start
        return first, length if self.cache == "prefix" else self.end

    def _fill(self, ids_RT: torch.Tensor, mask_RT: torch.Tensor, where: Where) -> torch.Tensor:
        """The first pass: all columns run, and the keys and values of some are kept."""
        from transformers import DynamicCache

        self.past = DynamicCache()
        try:
            hidden_ND = states_of(self.backbone, ids_RT, mask_RT, where, past=self.past)
        except TypeError as error:
            raise ConfigurationError(
                f"cache={self.cache!r}: family {self.backbone.spec.family!r} keeps no cache"
            ) from error
        first, stop = self._columns(ids_RT.shape[1])
        for layer in self.past.layers:
            layer.keys, layer.values = (
                torch.cat([kv[:, :, :first], kv[:, :, stop:]], dim=2)
                for kv in (layer.keys, layer.values)
            )
        return hidden_ND

    def _run(
        self,
        ids_RT: torch.Tensor,
        mask_RT: torch.Tensor,
        where: Where,
        first: int,
        stop: int,
    ) -> torch.Tensor:
        """A later pass: the columns from `first` to `stop` run beside the kept ones."""
        mask_RK = torch.cat([mask_RT[:, :first], mask_RT[:, stop:], mask_RT[:, first:stop]], dim=1)
        hidden_ND = states_of(
            self.backbone,
            ids_RT[:, first:stop],
            mask_RK,
            (where[0], where[1] - first),
            position_ids=positions(mask_RT)[:, first:stop],
            past=self.past,
        )
        self.past.crop(first - stop)  # what this pass appended goes again
        return hidden_ND
