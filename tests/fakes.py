"""A backbone whose logits are written by hand and a tokenizer of bytes: what uses them can be
tested by eye, in milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from eosbench.backbone import BackboneSpec, scoring_rows

MASK, EOS, BOS, SEP = 0, 1, 2, 3
FIRST_BYTE = 4
GARBAGE = 1e4  # what stands in rows of padding: whoever reads one gets absurd numbers

Script = Callable[[torch.Tensor], torch.Tensor]


class ByteTokenizer:
    """Ids 0 to 3 are <mask>, <eos>, <bos>, <sep>; id 4 + b is byte b."""

    mask_token, eos_token, bos_token, sep_token, pad_token = (
        "<mask>",
        "<eos>",
        "<bos>",
        "<sep>",
        "<eos>",
    )
    mask_token_id, eos_token_id, bos_token_id, sep_token_id, pad_token_id = MASK, EOS, BOS, SEP, EOS
    vocab_size = FIRST_BYTE + 256
    name_or_path = "byte-tokenizer"
    chat_template = "<bos>{prompt}<sep>"

    def __len__(self) -> int:
        return self.vocab_size

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        ids: list[int] = []
        while text:
            for token, index in (("<mask>", MASK), ("<eos>", EOS), ("<bos>", BOS), ("<sep>", SEP)):
                if text.startswith(token):
                    ids.append(index)
                    text = text[len(token) :]
                    break
            else:
                ids.extend(FIRST_BYTE + byte for byte in text[0].encode())
                text = text[1:]
        return [BOS, *ids] if add_special_tokens else ids

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = False) -> str:
        names = ("<mask>", "<eos>", "<bos>", "<sep>")
        out = b""
        for index in map(int, ids):
            if index >= FIRST_BYTE:
                out += bytes([index - FIRST_BYTE])
            elif not skip_special_tokens:
                out += names[index].encode()
        return out.decode(errors="replace")

    def batch_decode(
        self, batch: Iterable[Iterable[int]], skip_special_tokens: bool = False
    ) -> list[str]:
        return [self.decode(ids, skip_special_tokens) for ids in batch]

    def __call__(
        self, text: str | Sequence[str], add_special_tokens: bool = False, **_: Any
    ) -> dict[str, Any]:
        if isinstance(text, str):
            return {"input_ids": self.encode(text, add_special_tokens)}
        return {"input_ids": [self.encode(one, add_special_tokens) for one in text]}

    def apply_chat_template(
        self, messages: Sequence[dict[str, str]], tokenize: bool = False, **_: Any
    ) -> Any:
        text = "<bos>" + "\n".join(message["content"] for message in messages) + "<sep>"
        return self.encode(text) if tokenize else text


class ScriptedBackbone:
    """The Backbone protocol over logits written by hand.

    `script` gets the real tokens of one row, a LongTensor [T], and returns logits [T, V] where row
    i scores token i; a table [T, V] stands for a script that returns its first rows whatever it
    reads. Hidden states are those logits and the output layer is the identity, so `width ==
    vocab_size`; with `logits_shifted` the hidden rows are the raw ones. `passes` collects the (ids,
    mask) of every call. With `takes_positions` tokens may stand anywhere: the script reads them at
    their places, with masks between them.
    """

    def __init__(
        self,
        script: Script | torch.Tensor,
        *,
        vocab_size: int = ByteTokenizer.vocab_size,
        mask_id: int = MASK,
        eos_ids: Iterable[int] = (EOS,),
        pad_id: int = EOS,
        max_length: int = 4096,
        logits_shifted: bool = False,
        takes_positions: bool = False,
        tokenizer: Any = None,
    ) -> None:
        self.script: Script = (
            (lambda ids_T: script[: len(ids_T)]) if isinstance(script, torch.Tensor) else script
        )
        self.tokenizer = tokenizer
        self.passes: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.spec = BackboneSpec(
            family="scripted",
            mask_id=mask_id,
            eos_ids=frozenset(eos_ids),
            pad_id=pad_id,
            max_length=max_length,
            vocab_size=vocab_size,
            width=vocab_size,
            logits_shifted=logits_shifted,
            fingerprint="0123456789abcdef",
            name="scripted",
            takes_positions=takes_positions,
        )

    device = torch.device("cpu")
    dtype = torch.float32

    def hidden(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        *,
        needed: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        mask_BT = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        self.passes.append((input_ids.clone(), mask_BT.clone()))
        if position_ids is not None:
            return self._scattered(input_ids, mask_BT.bool(), position_ids)
        hidden_BTD = torch.full((*input_ids.shape, self.spec.width), GARBAGE)
        for row, (ids_T, real_T) in enumerate(zip(input_ids, mask_BT.bool(), strict=True)):
            logits_TV = self.script(ids_T[real_T]).to(torch.float32)
            # Raw row i scores token i + 1; nothing is read off the last one.
            if self.spec.logits_shifted:
                logits_TV = torch.cat([logits_TV[1:], torch.full_like(logits_TV[:1], GARBAGE)])
            hidden_BTD[row, real_T] = logits_TV
        return hidden_BTD

    def _scattered(
        self, ids_BT: torch.Tensor, real_BT: torch.Tensor, position_BT: torch.Tensor
    ) -> torch.Tensor:
        assert self.spec.takes_positions and not self.spec.logits_shifted
        hidden_BTD = torch.full((*ids_BT.shape, self.spec.width), GARBAGE)
        for row, real_T in enumerate(real_BT):
            places = position_BT[row, real_T]
            spread = torch.full((int(places.max()) + 1,), self.spec.mask_id)
            spread[places] = ids_BT[row, real_T]
            hidden_BTD[row, real_T] = self.script(spread).to(torch.float32)[places]
        return hidden_BTD

    def unembed(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden

    def logits(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        return scoring_rows(self.hidden(input_ids, attention_mask), self.spec.logits_shifted)


class SmallMemory(ScriptedBackbone):
    """Runs out of memory at more than `most` rows, or at any number, with an error of someone's
    choice.
    """

    most = 2
    error: Exception = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    def hidden(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        *,
        needed: torch.Tensor | None = None,
    ) -> torch.Tensor:
        if len(input_ids) > self.most:
            raise self.error
        return super().hidden(input_ids, attention_mask, needed=needed)


def table(tokens: Sequence[int], confidences: Sequence[float], vocab_size: int) -> torch.Tensor:
    """[T, V] logits whose softmax gives token tokens[i] the probability confidences[i] and shares
    the rest evenly.
    """
    logits_TV = torch.zeros(len(tokens), vocab_size)
    for row, (token, confidence) in enumerate(zip(tokens, confidences, strict=True)):
        logits_TV[row] = torch.log(torch.tensor((1.0 - confidence) / (vocab_size - 1)))
        logits_TV[row, token] = torch.log(torch.tensor(confidence))
    return logits_TV
