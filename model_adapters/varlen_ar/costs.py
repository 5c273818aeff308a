"""The cost of an autoregressive model's answer, its keys and values kept.

The first pass runs the prompt and gives the first token; every other pass runs one token, the one
that the pass before it gave, and sees all before it. A request is charged as if it were alone: what
a batch spends on padding, or on a row that is done while others are not, is in the seconds.

Legend: P tokens of a prompt, G tokens of an answer with the token that ends it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from lm_eval.models.huggingface import stop_sequences_criteria

from eosbench.backbone import BackboneSpec
from eosbench.forward import Cost, estimated_flops

__all__ = ["answer_tokens", "generation_cost", "likelihood_cost"]


def answer_tokens(
    new_tokens: Sequence[int], tokenizer: Any, stop: Sequence[str], eos_ids: Collection[int]
) -> tuple[int, bool]:
    """G, and whether the answer ended by itself: at an EOS, or where a stop string was complete.

    lm-eval's own criterion says when a stop string is complete. A batch goes on until all of its
    rows are done, so that more tokens may follow.

    Args:
        new_tokens: ids behind the prompt, of one row of a batch.
        tokenizer: of the model.
        stop: the stop strings.
        eos_ids: ids that end a text.
    """
    ends = [at + 1 for at, token in enumerate(new_tokens) if token in eos_ids]
    count, ended = (ends[0], True) if ends else (len(new_tokens), False)
    text = tokenizer.decode(new_tokens[:count])
    for string in stop:
        if string not in text:
            continue
        is_complete = stop_sequences_criteria(tokenizer, [string], 0, 1)
        for so_far in range(1, count + 1):
            if is_complete(torch.tensor([new_tokens[:so_far]]), None).all():
                count, ended = so_far, True
                break
    return count, ended


def generation_cost(spec: BackboneSpec, prompt: int, count: int, *, beams: int = 1) -> Cost:
    """The passes, token-positions and FLOPs of an answer.

    A pass scores one position. Its token attends to all before it and to itself.

    Args:
        spec: of the model.
        prompt: P.
        count: G.
        beams: rows that are searched side by side, each of which is run.

    Example:
        >>> spec = BackboneSpec("gpt2", -1, frozenset({0}), 0, 64, 300, 32, True, "")
        >>> cost = generation_cost(spec, prompt=5, count=3)
        >>> cost.window, cost.forward_passes, cost.token_positions
        (3, 3, 7)
    """
    attended = prompt * (prompt + 1) // 2 + sum(prompt + at for at in range(1, count))
    positions = prompt + max(0, count - 1)
    return Cost(
        window=count,
        forward_passes=beams * count,
        token_positions=beams * positions,
        flops=beams
        * estimated_flops(spec, positions, count, count, attended_positions=float(attended)),
    )


def likelihood_cost(spec: BackboneSpec, lengths: Sequence[int]) -> Cost:
    """The cost of one pass over each of some texts, all of whose positions are scored.

    Args:
        spec: of the model.
        lengths: tokens of each; `hf` leaves out the last one, which no other token needs.
    """
    total = Cost()
    for length in lengths:
        attended = length * (length + 1) / 2
        flops = estimated_flops(spec, length, 1, length, attended_positions=attended)
        total += Cost(forward_passes=1, token_positions=length, flops=flops)
    return total
