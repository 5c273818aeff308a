"""The plain loop that eosbench is compared with, as published evaluation scripts are written.

One prompt at a time, logits of the whole sequence in every pass, softmax in float64 over the whole
vocabulary; likelihood from a fixed number of random masks, whatever the length of the target. Slow
on purpose and only here: eosbench/decoding/denoise.py gives the same tokens,
eosbench/likelihood/likelihood.py the same expectation.

Legend: B masked copies, T prompt + canvas, L tokens of the target, V vocabulary.
"""

from __future__ import annotations

import torch

from eosbench.backbone import Backbone


@torch.no_grad()
def generate(
    backbone: Backbone, prompt: torch.Tensor, *, gen_length: int, steps: int, block_length: int
) -> torch.Tensor:
    """Denoises one canvas block by block, keeping the most confident tokens of every step.

    Args:
        prompt: ids.
        gen_length: C, tokens of the canvas.
        steps: forward passes; the number of blocks divides it.
        block_length: tokens of a block; it divides `gen_length`.

    Returns:
        The ids of the canvas [C].
    """
    mask_id = backbone.spec.mask_id
    ids_1T = torch.cat([prompt, torch.full((gen_length,), mask_id)])[None]
    blocks = gen_length // block_length
    for block in range(blocks):
        start = len(prompt) + block * block_length
        end = start + block_length
        masked = int((ids_1T[0, start:end] == mask_id).sum())
        for step in range(steps // blocks):
            share = masked // (steps // blocks) + (step < masked % (steps // blocks))
            logits_1TV = backbone.logits(ids_1T)
            tokens_1T = logits_1TV.argmax(dim=-1)
            probability_1TV = torch.softmax(logits_1TV.to(torch.float64), dim=-1)
            confidence_1T = probability_1TV.gather(-1, tokens_1T[..., None]).squeeze(-1)
            confidence_1T[ids_1T != mask_id] = -torch.inf
            confidence_1T[:, end:] = -torch.inf
            chosen = confidence_1T[0].topk(share).indices
            ids_1T[0, chosen] = tokens_1T[0, chosen]
    return ids_1T[0, len(prompt) :]


@torch.no_grad()
def generate_blocks(
    backbone: Backbone, prompt: torch.Tensor, *, gen_length: int, steps_per_block: int
) -> torch.Tensor:
    """Denoises block after block of a block model, with no keys and values kept.

    Every pass runs everything up to the end of the open block, as LLaDA2's published loop does, and
    places as many of the surest tokens as the step has to.

    Args:
        backbone: a model that attends causally between blocks; its blocks divide the prompt.
        prompt: ids.
        gen_length: C, tokens of the canvas, in whole blocks.
        steps_per_block: passes over a block; they divide it.

    Returns:
        The ids of the canvas [C].
    """
    mask_id, length = backbone.spec.mask_id, backbone.spec.block_length or gen_length
    ids_T = torch.cat([prompt, torch.full((gen_length,), mask_id)])
    for start in range(len(prompt), len(ids_T), length):
        end = start + length
        is_open_1T = torch.zeros(1, end, dtype=torch.bool)
        is_open_1T[0, start:end] = True
        for _ in range(steps_per_block):
            hidden_1TD = backbone.hidden(ids_T[None, :end], needed=is_open_1T)
            logits_LV = backbone.unembed(hidden_1TD[0, start:end]).to(torch.float64)
            confidence_L, tokens_L = logits_LV.softmax(dim=-1).max(dim=-1)
            confidence_L[ids_T[start:end] != mask_id] = -torch.inf
            chosen = confidence_L.topk(length // steps_per_block).indices
            ids_T[start + chosen] = tokens_L[chosen]
    return ids_T[len(prompt) :]


@torch.no_grad()
def log_likelihood(
    backbone: Backbone,
    prompt: torch.Tensor,
    target: torch.Tensor,
    *,
    masks: int,
    batch_size: int,
    generator: torch.Generator,
) -> float:
    """The mean over random masks of the bound on log p(target | prompt), in nats.

    The number of masked tokens runs evenly through 1..L from a random start; which tokens are
    masked is random in every copy.

    Args:
        prompt: ids.
        target: ids [L].
        masks: how many random masks.
        batch_size: B; it divides `masks`.
        generator: the source of all draws.
    """
    length = len(target)
    total = 0.0
    for _ in range(masks // batch_size):
        first = int(torch.randint(1, length + 1, (1,), generator=generator))
        last = first + (batch_size - 1) * length / batch_size
        counts_B = torch.linspace(first, last, batch_size).round().long()
        counts_B = (counts_B - 1) % length + 1
        order_BL = torch.rand(batch_size, length, generator=generator).argsort(dim=1)
        masked_BL = order_BL < counts_B[:, None]
        ids_BT = torch.cat([prompt, target]).repeat(batch_size, 1)
        ids_BT[:, len(prompt) :][masked_BL] = backbone.spec.mask_id
        log_p_BLV = backbone.logits(ids_BT)[:, len(prompt) :].log_softmax(dim=-1)
        log_p_BL = log_p_BLV.gather(-1, target.repeat(batch_size, 1)[..., None]).squeeze(-1)
        total += float((log_p_BL * masked_BL * (length / counts_B)[:, None]).sum() / batch_size)
    return total / (masks // batch_size)
