"""The start of the embedded model's autoregressive twin: an untrained GPT-2 with its tokenizer.

    python -m eosbench.recipe.autoregressive build/causal-start
    eosbench train benchmarks/causal.yaml

It has 2.73 million parameters, the embedded model 2.74: as many blocks of the same width, position
embeddings where that has rotary ones, and one matrix for embeddings and output.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from eosbench import embedded

__all__ = ["make_causal_start", "new_gpt2"]


def new_gpt2(
    tokenizer: PreTrainedTokenizerFast,
    *,
    width: int = 192,
    layers: int = 5,
    heads: int = 4,
    mlp_width: int = 840,
    max_length: int = 1_024,
) -> GPT2LMHeadModel:
    """A GPT-2 with random weights for a tokenizer; the defaults are the twin's shape."""
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=width,
        n_layer=layers,
        n_head=heads,
        n_inner=mlp_width,
        n_positions=max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    # For `eosbench train`: the states of the model score the next token.
    config.update({"mask_token_id": tokenizer.mask_token_id, "logits_shifted": True})
    return GPT2LMHeadModel(config)


def make_causal_start(folder: Path, *, seed: int = 0, **shape: int) -> None:
    """Writes the tokenizer of the embedded model and an untrained GPT-2.

    Args:
        folder: where to.
        seed: of the random weights.
        shape: as for `new_gpt2`.
    """
    tokenizer = PreTrainedTokenizerFast.from_pretrained(embedded.MODEL)
    torch.manual_seed(seed)
    new_gpt2(tokenizer, **shape).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m eosbench.recipe.autoregressive", description=__doc__.splitlines()[0]
    )
    parser.add_argument("folder", type=Path, help="where the checkpoint is written")
    parser.add_argument("--seed", type=int, default=0, help="of the random weights")
    arguments = parser.parse_args()
    make_causal_start(arguments.folder, seed=arguments.seed)


if __name__ == "__main__":
    main()
