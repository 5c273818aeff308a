"""The denoising loop: prompts and a canvas of mask tokens in, response tokens and what they cost out.

    from eosbench.decoding import DecodeConfig, denoise
    result = denoise(backbone, [prompt_ids], DecodeConfig(gen_length=64, block_length=16))

The canvas is denoised block by block from the left. Every pass scores the masked positions of the block, and the most confident
of them stay. Rows of a batch share passes and nothing else: prompts are padded on the left and the padding is masked, each row
has its own random numbers, and a row that has finished its block leaves the batch. The output layer, which is most of the work
where the vocabulary is large, is applied to the masked positions of the block alone.

Legend: B prompts, R rows still denoised, T columns (longest prompt + canvas), L columns of a block, N masked positions, D width,
V vocabulary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from eosbench.backbone import Backbone
from eosbench.errors import ConfigurationError
from eosbench.kv_cache import CACHES, BlockPasses
from eosbench.scoring import left_pad, logits_in_pieces, without_prompt
from eosbench.unmasking import CONFIDENCES, SCHEDULES, above_threshold, choose_tokens, most_confident, precise

REMASKING = ("low_confidence", "random", *CONFIDENCES)

Ids = Sequence[int] | torch.Tensor


@dataclass(frozen=True)
class DecodeConfig:
    """How a canvas is denoised.

    Args:
        gen_length: C, tokens of the canvas.
        steps: forward passes for the whole canvas, shared out over the blocks; None is one token per pass.
        block_length: tokens that are denoised together; None is the whole canvas. The last block may be shorter.
        remasking: "low_confidence" keeps the most confident tokens of a pass, "entropy" those of the least entropy, "topk_margin"
            those furthest ahead of the second, "random" any. Dream's maskgit_plus is low_confidence.
        schedule: how many tokens a pass keeps: "even" shares them out, "time" is Dream's (eosbench/dream_rules.py).
        temperature: 0 takes the most likely token, above it tokens are drawn.
        cfg_scale: weight of classifier-free guidance, whose passes run every row twice, once with its prompt masked.
        threshold: keep every token at least this confident (and always one), instead of an even number per step.
        cache: "prefix" or "dual" (see eosbench/kv_cache.py), which change the output.

    Raises:
        ConfigurationError: a value or a combination that cannot work.
    """

    gen_length: int = 128
    steps: int | None = None
    block_length: int | None = None
    remasking: str = "low_confidence"
    schedule: str = "even"
    temperature: float = 0.0
    cfg_scale: float = 0.0
    threshold: float | None = None
    cache: str | None = None

    def __post_init__(self) -> None:
        _require(self.gen_length >= 1, f"gen_length={self.gen_length}: expected at least 1")
        block = self.block_length
        _require(
            block is None or 1 <= block <= self.gen_length, f"block_length={block}: expected 1 to gen_length={self.gen_length}"
        )
        blocks, most = -(-self.gen_length // (block or self.gen_length)), self.gen_length
        _require(
            self.steps is None or blocks <= self.steps <= most,
            f"steps={self.steps}: expected {blocks} (one per block) to {most} (one per token of the canvas)",
        )
        _require(self.remasking in REMASKING, f"remasking={self.remasking!r}: expected one of {', '.join(REMASKING)}")
        _require(self.schedule in SCHEDULES, f"schedule={self.schedule!r}: expected one of {', '.join(SCHEDULES)}")
        _require(self.temperature >= 0, f"temperature={self.temperature}: expected 0 or more")
        _require(self.cfg_scale >= 0, f"cfg_scale={self.cfg_scale}: expected 0 or more")
        _require(self.threshold is None or 0 < self.threshold <= 1, f"threshold={self.threshold}: expected above 0 and up to 1")
        _require(
            self.threshold is None or self.remasking == "low_confidence",
            f"threshold={self.threshold} with remasking={self.remasking!r}: a threshold needs remasking='low_confidence'",
        )
        _require(self.cache is None or self.cache in CACHES, f"cache={self.cache!r}: expected None or one of {', '.join(CACHES)}")

    def blocks(self) -> Iterator[tuple[int, int, int]]:
        """(start, end, steps) of every block, steps in proportion to its length.

        Example:
            >>> list(DecodeConfig(gen_length=40, steps=20, block_length=16).blocks())
            [(0, 16, 8), (16, 32, 8), (32, 40, 4)]
        """
        length, steps = self.gen_length, self.gen_length if self.steps is None else self.steps
        for start in range(0, length, self.block_length or length):
            end = min(start + (self.block_length or length), length)
            yield start, end, steps * end // length - steps * start // length


@dataclass
class DenoiseResult:
    """Response tokens, one 1-D LongTensor per prompt, and their cost.

    A pass over a batch is one forward pass of the batch and one of every row that was in it. Token-positions are the real tokens
    that went through the model, scored positions those that went through the output layer: padding does not count, guidance
    counts twice.
    """

    sequences: list[torch.Tensor]
    forward_passes: int = 0
    row_forward_passes: list[int] = field(default_factory=list)
    row_token_positions: list[int] = field(default_factory=list)
    row_scored_positions: list[int] = field(default_factory=list)

    @property
    def token_positions(self) -> int:
        return sum(self.row_token_positions)


@torch.no_grad()
def denoise(
    backbone: Backbone,
    prompts: Sequence[Ids],
    config: DecodeConfig,
    *,
    canvases: Sequence[Ids] | None = None,
    seeds: Sequence[int] | None = None,
) -> DenoiseResult:
    """Denoises one canvas per prompt.

    Args:
        backbone: the model.
        prompts: token ids, of any lengths.
        config: how.
        canvases: what each canvas holds at the start (gen_length ids, the mask id where nothing stands); all masked by default.
        seeds: one per row, for temperature and random remasking; by default a hash of the prompt. A row's answer depends on its
            prompt, canvas and seed, not on the batch it is in.

    Raises:
        ConfigurationError: a row that is longer than the model's positions, a canvas of another length, too few seeds.
    """
    if not prompts:
        return DenoiseResult([])
    rows = [torch.as_tensor(prompt, dtype=torch.long).cpu() for prompt in prompts]
    ids_BT, mask_BT = _lay_out(backbone, rows, config.gen_length, canvases)
    seeds = [_seed(row) for row in rows] if seeds is None else seeds
    _require(len(seeds) == len(rows), f"{len(seeds)} seeds for {len(rows)} prompts: expected one each")
    generators = [torch.Generator(backbone.device).manual_seed(seed) for seed in seeds]

    canvas = ids_BT.shape[1] - config.gen_length  # column of canvas position 0
    passes_B = torch.zeros(len(rows), dtype=torch.long)
    tokens_B = torch.zeros(len(rows), dtype=torch.long)
    scored_B = torch.zeros(len(rows), dtype=torch.long)
    forward_passes = 0
    for start, end, steps in config.blocks():
        block = slice(canvas + start, canvas + end)
        run = BlockPasses(backbone, block.start, block.stop, config.cache)
        schedule_BS = SCHEDULES[config.schedule]((ids_BT[:, block] == backbone.spec.mask_id).sum(dim=1), steps)
        active_R = (ids_BT[:, block] == backbone.spec.mask_id).any(dim=1).nonzero().squeeze(1)
        step = 0
        while len(active_R):
            hidden, cost_R = _guided_pass(run, ids_BT[active_R], mask_BT[active_R], config)
            masked_RL = ids_BT[active_R, block] == backbone.spec.mask_id
            drawn = [generators[row] for row in active_R.tolist()]
            tokens_RL, confidence_RL = _choose(backbone, hidden, masked_RL, drawn, config)
            if config.threshold is None:
                stays_RL = most_confident(confidence_RL, masked_RL, schedule_BS[active_R, step])
            else:
                stays_RL = above_threshold(confidence_RL, masked_RL, config.threshold)
            ids_BT[active_R, block] = torch.where(stays_RL, tokens_RL, ids_BT[active_R, block])
            forward_passes, step = forward_passes + 1, step + 1
            passes_B[active_R.cpu()] += 1
            tokens_B[active_R.cpu()] += cost_R.cpu()
            scored_B[active_R.cpu()] += len(hidden) * masked_RL.sum(dim=1).cpu()
            left_R = (masked_RL & ~stays_RL).any(dim=1).nonzero().squeeze(1)
            # The published dual-cache loop looks for what is left only after its second pass: run and counted alike.
            if len(left_R) < len(active_R) and not (config.cache == "dual" and config.threshold and step == 1):
                run.keep_rows(torch.cat([left_R, left_R + len(active_R)]) if config.cfg_scale else left_R)
                active_R = active_R[left_R]
    sequences = list(ids_BT[:, canvas:].cpu())
    return DenoiseResult(sequences, forward_passes, passes_B.tolist(), tokens_B.tolist(), scored_B.tolist())


def _lay_out(
    backbone: Backbone, prompts: Sequence[torch.Tensor], gen_length: int, canvases: Sequence[Ids] | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """[B, T] ids and mask: padding, prompt, canvas. Padding on the left gives every row's canvas the same columns."""
    spec, rows = backbone.spec, []
    _require(canvases is None or len(canvases) == len(prompts), f"{len(canvases or ())} canvases for {len(prompts)} prompts")
    for row, prompt in enumerate(prompts):
        canvas = torch.full((gen_length,), spec.mask_id) if canvases is None else torch.as_tensor(canvases[row]).long().cpu()
        shapes = f"prompt of shape {list(prompt.shape)} and canvas of shape {list(canvas.shape)}"
        _require(prompt.dim() == 1, f"row {row}: {shapes}: expected a prompt of one dimension")
        _require(canvas.shape == (gen_length,), f"row {row}: {shapes}: expected a canvas of gen_length={gen_length} ids")
        _require(len(prompt) > 0 or not spec.logits_shifted, f"row {row}: {spec.family} needs a prompt of at least one token")
        _require(
            len(prompt) + gen_length <= spec.max_length,
            f"prompt {row} has {len(prompt)} tokens, which leaves no room for gen_length={gen_length} "
            f"in the model's {spec.max_length} positions: shorten the prompt or the canvas",
        )
        rows.append(torch.cat([prompt, canvas]))
    ids_BT, mask_BT = left_pad(rows, spec.pad_id)
    return ids_BT.to(backbone.device), mask_BT.to(backbone.device)


def _guided_pass(
    run: BlockPasses, ids_RT: torch.Tensor, mask_RT: torch.Tensor, config: DecodeConfig
) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
    """Hidden states [R, L, D] of the block, with guidance a second time without prompts, and each row's token-positions [R]."""
    if not config.cfg_scale:
        hidden_RLD, cost_R = run(ids_RT, mask_RT)
        return (hidden_RLD,), cost_R
    response_R = torch.full((len(ids_RT),), config.gen_length, device=ids_RT.device)
    blind_RT = without_prompt(ids_RT, response_R, run.backbone.spec.mask_id)
    hidden, cost = run(torch.cat([ids_RT, blind_RT]), torch.cat([mask_RT, mask_RT]))
    return hidden.chunk(2), 2 * cost[: len(ids_RT)]


def _choose(
    backbone: Backbone,
    hidden: tuple[torch.Tensor, ...],
    masked_RL: torch.Tensor,
    generators: Sequence[torch.Generator],
    config: DecodeConfig,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token and confidence of every masked position of the block; elsewhere neither means anything. [R, L] each."""
    tokens_RL = torch.zeros_like(masked_RL, dtype=torch.long)
    confidence_RL = torch.zeros_like(masked_RL, dtype=precise(masked_RL.device))
    # Without noise rows can be mixed; with it each row draws from its own generator, in pieces that depend on that row alone.
    groups = [slice(None)] if config.temperature == 0 else [slice(row, row + 1) for row in range(len(masked_RL))]
    for group in groups:
        selected = [hidden_RLD[group][masked_RL[group]] for hidden_RLD in hidden]
        generator = generators[group.start or 0]
        chosen = [
            choose_tokens(
                logits_NV,
                mask_id=backbone.spec.mask_id,
                temperature=config.temperature,
                generator=generator,
                confidence=config.remasking,
            )
            for logits_NV in logits_in_pieces(backbone, selected, config.cfg_scale)
        ]
        tokens_RL[group][masked_RL[group]] = torch.cat([tokens_N for tokens_N, _ in chosen])
        confidence_RL[group][masked_RL[group]] = torch.cat([confidence_N for _, confidence_N in chosen])
    if config.remasking == "random":
        for row, generator in enumerate(generators):
            count = int(masked_RL[row].sum())
            confidence_RL[row, masked_RL[row]] = torch.rand(
                count, generator=generator, dtype=confidence_RL.dtype, device=masked_RL.device
            )
    return tokens_RL, confidence_RL


def _seed(prompt: torch.Tensor) -> int:
    return int.from_bytes(hashlib.sha256(prompt.numpy().tobytes()).digest()[:7], "big")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigurationError(message)
