"""Trains the embedded diffusion language model: a LLaMA-shaped masked denoiser of about three million parameters.

The objective is LLaDA's (arXiv 2502.09992, section 2.2 and 2.3, supervised fine-tuning): the prompt stays, response tokens are
masked, the canvas is filled up with EOS, and the loss is the cross-entropy at the masked positions. What differs is what the
embedded benchmark asks of it:

- windows of every size. A model that has seen one canvas length is lost on others, so each document is padded with a drawn
  number of EOS: none for a third of them (a window cut to exactly the answer), a few, or as many as fill any window up to the
  whole canvas;
- masks as they occur in use. A quarter of the rows is fully masked (step zero, what all predictors read), a quarter is masked
  the way semi-autoregressive blocks leave it (a clean prefix, one half-denoised block, masks to the end), the rest at a uniform
  ratio.

Rows of one batch have equal length by choosing the padding, so nothing is ever padded with tokens that must be hidden. AdamW;
the learning rate warms up, stays flat, then falls linearly to zero.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from eosbench.instruct import stream


@dataclass(frozen=True)
class PretrainConfig:
    """Settings of the embedded model's training; the defaults are what made the checkpoint in the package."""

    steps: int = 3_200
    tokens_per_batch: int = 2_048
    documents: int = 100_000
    canvas: int = 256
    block_length: int = 32
    learning_rate: float = 1.5e-3
    warmup: int = 100
    decay_share: float = 0.6
    width: int = 192
    layers: int = 5
    heads: int = 4
    mlp_width: int = 576
    max_length: int = 1_024
    log_every: int = 50
    snapshot_every: int = 200
    bfloat16: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Row:
    """One tokenized document: prompt ids (special tokens included) and response ids."""

    prompt: list[int]
    response: list[int]


def tokenize_train_split(tokenizer: PreTrainedTokenizerFast, size: int) -> list[Row]:
    documents = list(islice(stream("train"), size))
    prompts = tokenizer([document.prompt for document in documents])["input_ids"]
    responses = tokenizer([document.response for document in documents], add_special_tokens=False)["input_ids"]
    return [Row(prompt, response) for prompt, response in zip(prompts, responses, strict=True)]


def _padding(rng: torch.Generator, length: int, canvas: int) -> int:
    """How many EOS follow the answer: none, a few, or anything up to the canvas."""
    kind, share = torch.rand(2, generator=rng).tolist()
    if kind < 0.35:
        return 0
    most = 8 if kind < 0.88 else canvas
    return int(share * (min(most, max(canvas - length, 0)) + 1))


def batches(
    rows: list[Row], config: PretrainConfig, eos_id: int, rng: torch.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless batches of (input ids [B, T], prompt lengths [B]); EOS fills each row up to the batch's length T."""
    while True:
        order = torch.randperm(len(rows), generator=rng).tolist()
        for start in range(0, len(order), 4_096):
            chunk = [rows[index] for index in order[start : start + 4_096]]
            lengths = [len(r.prompt) + len(r.response) + _padding(rng, len(r.response), config.canvas) for r in chunk]
            by_length = sorted(range(len(chunk)), key=lengths.__getitem__)
            groups: list[list[int]] = [[]]
            for index in by_length:
                if groups[-1] and (len(groups[-1]) + 1) * lengths[index] > config.tokens_per_batch:
                    groups.append([])
                groups[-1].append(index)
            for group in torch.randperm(len(groups), generator=rng).tolist():
                members = groups[group]
                total = lengths[members[-1]]
                ids_BT = torch.full((len(members), total), eos_id)
                for row, index in enumerate(members):
                    ids = chunk[index].prompt + chunk[index].response
                    ids_BT[row, : len(ids)] = torch.tensor(ids)
                yield ids_BT, torch.tensor([len(chunk[index].prompt) for index in members])


def draw_masks(ids_BT: torch.Tensor, prompt_B: torch.Tensor, block_length: int, rng: torch.Generator) -> torch.Tensor:
    """Which positions are masked, [B, T] bool: never the prompt, at least one position a row."""
    B, T = ids_BT.shape
    canvas_index_BT = torch.arange(T)[None] - prompt_B[:, None]
    in_canvas_BT = canvas_index_BT >= 0
    kind_B1, ratio_B1 = torch.rand(B, 1, generator=rng), torch.rand(B, 1, generator=rng)
    noise_BT = torch.rand(B, T, generator=rng)
    masked_BT = noise_BT < ratio_B1
    # semi-autoregressive: everything before `first` is clean, the block from there is half denoised, the rest is masked
    window_B1 = T - prompt_B[:, None]
    first_B1 = (torch.rand(B, 1, generator=rng) * window_B1 / block_length).floor() * block_length
    blockwise_BT = (canvas_index_BT >= first_B1) & (masked_BT | (canvas_index_BT >= first_B1 + block_length))
    masked_BT = torch.where(kind_B1 < 0.25, torch.ones_like(masked_BT), torch.where(kind_B1 < 0.5, blockwise_BT, masked_BT))
    masked_BT &= in_canvas_BT
    empty_B = ~masked_BT.any(dim=1)
    masked_BT[empty_B, -1] = True
    return masked_BT


def new_model(config: PretrainConfig, vocab_size: int) -> LlamaForCausalLM:
    llama = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=config.width,
        intermediate_size=config.mlp_width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        max_position_embeddings=config.max_length,
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=False,
        use_cache=False,
    )
    llama.is_causal = False  # read by transformers' mask factory: every position attends to every other
    return LlamaForCausalLM(llama)


def warm_start(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, teacher: Any) -> None:
    """Takes over the blocks of a trained backbone of the same shape; its vocabulary may differ.

    Tokens that both vocabularies have keep their rows of the embedding and of the output layer; a new token starts as the mean of
    the rows of the pieces that the teacher's own tokenizer cuts it into.
    """
    known = teacher.tokenizer.get_vocab()
    with torch.no_grad():
        for index in range(len(tokenizer)):
            token = str(tokenizer.convert_ids_to_tokens(index))
            text = tokenizer.convert_tokens_to_string([token])
            ids = [known[token]] if token in known else teacher.tokenizer(text, add_special_tokens=False)["input_ids"]
            model.model.embed_tokens.weight[index] = teacher.model.embed_tokens.weight[ids].mean(dim=0)
            model.lm_head.weight[index] = teacher.output.weight[ids].mean(dim=0)
    blocks = {name: tensor for name, tensor in teacher.model.state_dict().items() if not name.startswith("embed_tokens")}
    model.model.load_state_dict(blocks, strict=False)


def denoising_loss(model: LlamaForCausalLM, ids_BT: torch.Tensor, masked_BT: torch.Tensor, mask_id: int) -> torch.Tensor:
    """Mean cross-entropy at the masked positions; only they are unembedded."""
    noisy_BT = ids_BT.masked_fill(masked_BT, mask_id)
    hidden_BTD = model.model(input_ids=noisy_BT, is_causal=False).last_hidden_state
    logits_NV = model.lm_head(hidden_BTD[masked_BT]).float()
    return functional.cross_entropy(logits_NV, ids_BT[masked_BT])


def learning_rate_share(step: int, config: PretrainConfig) -> float:
    """Warm up, stay, then fall linearly to zero over the last `decay_share` of the steps."""
    decay_steps = max(1.0, config.steps * config.decay_share)
    return min(1.0, (step + 1) / config.warmup, (config.steps - step) / decay_steps)


def pretrain(
    tokenizer: PreTrainedTokenizerFast,
    config: PretrainConfig,
    log_path: Path,
    *,
    teacher: Any = None,
    start: Path | None = None,
    snapshot: Path | None = None,
    device: str = "cpu",
) -> LlamaForCausalLM:
    """Trains and returns the model in float32.

    Args:
        tokenizer: with mask, EOS and the special tokens that frame a prompt.
        config: all settings; the same settings and seed give the same data and masks.
        log_path: receives a JSON line every `log_every` steps.
        teacher: a trained backbone of the same shape to start from, None for random weights.
        start: a snapshot of an earlier run to go on from (weights alone), None for random weights.
        snapshot: receives the weights so far (safetensors) every `snapshot_every` steps, for a look while it runs.
        device: where to train; `bfloat16` autocast pays on GPUs and on CPUs with AMX only.
    """
    torch.manual_seed(config.seed)
    rng = torch.Generator().manual_seed(config.seed)
    rows = tokenize_train_split(tokenizer, config.documents)
    model = new_model(config, len(tokenizer))
    if teacher is not None:
        warm_start(model, tokenizer, teacher)
    if start is not None:
        model.load_state_dict(load_file(start))
    model.to(torch.device(device)).train()  # type: ignore[arg-type]
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_share(step, config))
    feed = batches(rows, config, tokenizer.eos_token_id, rng)
    running, started = 0.0, time.monotonic()
    for path in filter(None, (log_path, snapshot)):
        path.parent.mkdir(parents=True, exist_ok=True)
    with Progress() as progress, log_path.open("w" if start is None else "a", encoding="utf-8") as log:
        bar = progress.add_task("embedded model", total=config.steps)
        for step in range(1, config.steps + 1):
            ids_BT, prompt_B = next(feed)
            masked_BT = draw_masks(ids_BT, prompt_B, config.block_length, rng)
            with torch.autocast(device, dtype=torch.bfloat16, enabled=config.bfloat16):
                loss = denoising_loss(model, ids_BT.to(device), masked_BT.to(device), tokenizer.mask_token_id)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            running += loss.item()
            progress.advance(bar)
            if step % config.log_every == 0:
                line = {
                    "step": step,
                    "loss": round(running / config.log_every, 4),
                    "seconds": round(time.monotonic() - started, 1),
                }
                log.write(json.dumps(line) + "\n")
                log.flush()
                progress.update(bar, description=f"embedded model, loss {line['loss']}")
                running = 0.0
            if snapshot is not None and step % config.snapshot_every == 0:
                save_file(model.state_dict(), snapshot)
    model.eval()
    return model
