"""Texts as the rows of ids that an encoder reads.

Legend: B batch, T the longest text that the encoder holds.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tokenizers import Encoding, Tokenizer

from eosbench.errors import PredictorError

__all__ = ["EncoderInput"]


class EncoderInput:
    """The way from a text to ids.

    Args:
        tokenizer: one that truncates.

    Attributes:
        longest: T, special tokens included.

    Raises:
        PredictorError: the tokenizer does not say where a text is cut.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        if tokenizer.truncation is None:
            raise PredictorError(
                "the tokenizer.json of a distilbert predictor says no longest text: fit it again"
            )
        self.tokenizer = tokenizer
        self.longest = int(tokenizer.truncation["max_length"])
        self._special = tokenizer.num_special_tokens_to_add(False)

    def ids(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """[B, T] int32 ids, -1 behind a text, and [B, 1] int32: the tokens before it was cut."""
        encodings = self.tokenizer.encode_batch(list(texts))
        ids_BT = torch.full((len(encodings), self.longest), -1, dtype=torch.int32)
        for row, encoding in enumerate(encodings):
            ids_BT[row, : len(encoding.ids)] = torch.tensor(encoding.ids, dtype=torch.int32)
        tokens = [self._tokens(encoding) for encoding in encodings]
        return ids_BT, torch.tensor(tokens, dtype=torch.int32).reshape(-1, 1)

    def cut(self, texts: Sequence[str]) -> int:
        """The number of texts that are longer than T tokens."""
        return sum(bool(one.overflowing) for one in self.tokenizer.encode_batch(list(texts)))

    def _tokens(self, encoding: Encoding) -> int:
        """The tokens of a text; each piece that was cut off carries its own special tokens."""
        cut_off = sum(len(piece.ids) - self._special for piece in encoding.overflowing)
        return len(encoding.ids) + cut_off
