"""Training of the embedded model: a LLaMA-shaped masked denoiser of three million parameters.

The loss is the cross-entropy at the masked positions of what corruption.py makes of the train
split. Matrices of the blocks are trained by Muon (momentum orthogonalised by Newton-Schulz; K.
Jordan et al. 2024, scaled to AdamW's step size as in arXiv 2502.16982, section 2.2), which needs
fewer steps than AdamW here; embedding, output layer and norms by AdamW. The learning rate warms
up, stays, then falls linearly to zero.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from eosbench.recipe.corruption import batches, draw_masks, loss_weights, tokenize_train_split
from eosbench.recipe.warm_start import warm_start


@dataclass(frozen=True)
class PretrainConfig:
    """Settings of the training; the defaults are those of the checkpoint in the package."""

    steps: int = 7_500
    tokens_per_batch: int = 3_072
    documents: int = 300_000
    canvas: int = 256
    block_length: int = 32
    matrix_learning_rate: float = 3e-3
    learning_rate: float = 1.5e-3
    warmup: int = 100
    decay_share: float = 0.7
    width: int = 192
    layers: int = 5
    heads: int = 4
    mlp_width: int = 576
    max_length: int = 1_024
    log_every: int = 50
    snapshot_every: int = 200
    bfloat16: bool = True
    seed: int = 0


def new_model(config: PretrainConfig, vocab_size: int) -> LlamaForCausalLM:
    """The model with random weights; every position attends to every other."""
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
    # Read by transformers' mask factory: every position attends to every other.
    llama.is_causal = False
    model = LlamaForCausalLM(llama)
    # On rows this short its backward pass is the fastest on a CPU.
    model.set_attn_implementation("eager")
    return model


def denoising_loss(
    model: LlamaForCausalLM, ids_BT: torch.Tensor, weight_BT: torch.Tensor, mask_id: int
) -> torch.Tensor:
    """The weighted mean cross-entropy at the masked positions, a scalar.

    Masked are those of a weight above zero; only they are unembedded.

    Args:
        model: the denoiser.
        ids_BT: input ids without masks.
        weight_BT: see `loss_weights`.
        mask_id: what stands at masked positions.
    """
    masked_BT = weight_BT > 0
    noisy_BT = ids_BT.masked_fill(masked_BT, mask_id)
    hidden_BTD = model.model(input_ids=noisy_BT, is_causal=False).last_hidden_state
    logits_NV = model.lm_head(hidden_BTD[masked_BT]).float()
    losses_N = functional.cross_entropy(logits_NV, ids_BT[masked_BT], reduction="none")
    return (losses_N * weight_BT[masked_BT]).sum() / weight_BT.sum()


def optimizers(model: LlamaForCausalLM, config: PretrainConfig) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for the rest."""
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    theirs = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in theirs]
    return [
        torch.optim.Muon(
            matrices,
            lr=config.matrix_learning_rate,
            weight_decay=0.01,
            adjust_lr_fn="match_rms_adamw",
        ),
        torch.optim.AdamW(others, lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=0.01),
    ]


def learning_rate_share(step: int, config: PretrainConfig) -> float:
    """The factor of the learning rates at a step.

    It warms up, stays, then falls linearly to zero over the last `decay_share` of the steps.

    Example:
        >>> config = PretrainConfig(steps=1_000, warmup=100, decay_share=0.5)
        >>> [learning_rate_share(step, config) for step in (49, 300, 750, 1_000)]
        [0.5, 1.0, 0.5, 0.0]
    """
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
        config: all settings; the same settings and seed give the same data and masks. `bfloat16`
            autocast pays on GPUs and on CPUs with AMX or AVX512-BF16.
        log_path: receives a JSON line every `log_every` steps.
        teacher: a trained backbone of the same shape to start from, None for random weights.
        start: a snapshot of an earlier run to go on from (weights alone), None for random weights.
        snapshot: receives the weights so far (safetensors) every `snapshot_every` steps, for a look
            while it runs.
        device: where to train.
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
    steppers = optimizers(model, config)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(stepper, lambda step: learning_rate_share(step, config))
        for stepper in steppers
    ]
    running, started, step = 0.0, time.monotonic(), 0
    feed = batches(
        rows,
        tokens=config.tokens_per_batch,
        canvas=config.canvas,
        eos_id=tokenizer.eos_token_id,
        rng=rng,
        progress=lambda: step / config.steps,
    )
    for path in filter(None, (log_path, snapshot)):
        path.parent.mkdir(parents=True, exist_ok=True)
    with (
        Progress() as progress,
        log_path.open("w" if start is None else "a", encoding="utf-8") as log,
    ):
        bar = progress.add_task("embedded model", total=config.steps)
        for step in range(1, config.steps + 1):
            ids_BT, prompt_B = next(feed)
            masked_BT = draw_masks(ids_BT, prompt_B, block_length=config.block_length, rng=rng)
            weight_BT = loss_weights(ids_BT, masked_BT, eos_id=tokenizer.eos_token_id)
            with torch.autocast(device, dtype=torch.bfloat16, enabled=config.bfloat16):
                loss = denoising_loss(
                    model, ids_BT.to(device), weight_BT.to(device), tokenizer.mask_token_id
                )
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for stepper, schedule in zip(steppers, schedules, strict=True):
                stepper.step()
                schedule.step()
                stepper.zero_grad(set_to_none=True)
            running += loss.item()
            progress.advance(bar)
            if step % config.log_every == 0:
                mean = round(running / config.log_every, 4)
                line = {"step": step, "loss": mean, "seconds": round(time.monotonic() - started, 1)}
                log.write(json.dumps(line) + "\n")
                log.flush()
                progress.update(bar, description=f"embedded model, loss {mean}")
                running = 0.0
            if snapshot is not None and step % config.snapshot_every == 0:
                save_file(model.state_dict(), snapshot)
    model.eval()
    return model
