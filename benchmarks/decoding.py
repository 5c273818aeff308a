"""Decoding: the same tokens from less work.

Logits are taken at the masked positions of the active block alone, and prompts go in batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from benchmarks.measure import Row, Setup
from benchmarks.models import prompts, random_model, trained_model
from benchmarks.reference import generate, generate_blocks
from eosbench.backbone import Backbone
from eosbench.decoding import DecodeConfig, denoise


def one_prompt(setup: Setup) -> list[Row]:
    """One prompt on a small model with LLaDA's vocabulary: the cost of the output layer."""
    vocabulary, width, layers, prompt, canvas, block = (
        (2_000, 64, 2, 20, 16, 8) if setup.quick else (126_464, 512, 8, 120, 64, 16)
    )
    backbone = random_model(vocabulary=vocabulary, width=width, layers=layers)
    ids = torch.randint(0, vocabulary - 2, (prompt,), generator=torch.Generator().manual_seed(0))
    about = f"canvas {canvas}, blocks of {block}, vocabulary {vocabulary:,}"
    return [_against_reference(setup, "decoding", about, backbone, [ids], canvas, block)]


def batch(setup: Setup) -> list[Row]:
    """Prompts of unequal length, all in one batch against one after the other."""
    backbone = trained_model(setup.pretrained)
    count, canvas, block = (4, 16, 8) if setup.quick else (16, 64, 16)
    rows = [prompt for prompt, _ in prompts(backbone, count)]
    row = _against_reference(
        setup, "batching", f"{count} prompts, canvas {canvas}", backbone, rows, canvas, block
    )
    agreement = _agreement(
        trained_model(setup.pretrained, "bfloat16"),
        rows,
        DecodeConfig(gen_length=canvas, block_length=block),
    )
    found = (
        f"{row.found}; in bfloat16 {100 * agreement:.1f} % of the tokens are those of a batch "
        "of one"
    )
    return [replace(row, found=found)]


def kept_keys(setup: Setup) -> list[Row]:
    """Block decoding with kept keys and values against the same loop without, on one prompt."""
    vocabulary, width, layers, prompt, block, blocks = (
        (2_000, 64, 2, 64, 8, 2) if setup.quick else (8_000, 256, 6, 512, 32, 16)
    )
    backbone = random_model(vocabulary=vocabulary, width=width, layers=layers, block_length=block)
    ids = torch.randint(0, vocabulary - 2, (prompt,), generator=torch.Generator().manual_seed(0))
    steps, canvas = block // 4, blocks * block
    config = DecodeConfig(gen_length=canvas, steps_per_block=steps)

    def without() -> torch.Tensor:
        return generate_blocks(backbone, ids, gen_length=canvas, steps_per_block=steps)

    def with_kept_keys() -> torch.Tensor:
        return denoise(backbone, [ids], config).sequences[0]

    same = int(without().equal(with_kept_keys()))
    return [
        Row(
            "kept keys",
            "the same loop without",
            "blocks with kept keys",
            f"prompt {prompt}, {blocks} blocks of {block}, {steps} steps a block",
            setup.alternate(without, with_kept_keys),
            f"same tokens: {same} of 1",
        )
    ]


def _agreement(backbone: Backbone, rows: Sequence[torch.Tensor], config: DecodeConfig) -> float:
    """The share of tokens that one batch and batches of one have in common."""
    together, alone = (
        denoise(backbone, rows, config, batch_size=size).sequences for size in (len(rows), 1)
    )
    return float((torch.stack(together) == torch.stack(alone)).float().mean())


def _against_reference(
    setup: Setup,
    name: str,
    about: str,
    backbone: Backbone,
    rows: Sequence[torch.Tensor],
    canvas: int,
    block: int,
) -> Row:
    """One row: the reference loop on every prompt against `denoise` on all of them."""
    config = DecodeConfig(gen_length=canvas, block_length=block)

    def reference() -> list[torch.Tensor]:
        return [
            generate(backbone, row, gen_length=canvas, steps=canvas, block_length=block)
            for row in rows
        ]

    def ours() -> list[torch.Tensor]:
        return denoise(backbone, rows, config).sequences

    same = sum(ours.equal(theirs) for theirs, ours in zip(reference(), ours(), strict=True))
    ratios = setup.alternate(reference, ours)
    return Row(
        name, "reference loop", "denoise", about, ratios, f"same tokens: {same} of {len(rows)}"
    )
