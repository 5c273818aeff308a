"""The denoising loop: prompts and a canvas of mask tokens in, response tokens and what they cost
out.

    from eosbench.decoding import DecodeConfig, denoise
    result = denoise(backbone, [prompt_ids], DecodeConfig(gen_length=64, block_length=16))

The canvas is denoised block by block from the left. Every pass scores the masked positions of
the block, and the most confident of them stay. Rows of a batch share passes and nothing else:
see eosbench/decoding/sequence.py for a row's progress, eosbench/decoding/engine.py for a pass.
docs/engine.md says what is exact, and why.
"""

from __future__ import annotations

from collections import Counter, abc
from dataclasses import dataclass, field

import torch

from eosbench.backbone import Backbone, NoiseCanvas
from eosbench.decoding.config import REMASKING, DecodeConfig, require
from eosbench.decoding.engine import Engine
from eosbench.decoding.noise import denoise_noise
from eosbench.decoding.scheduler import FULL_ENOUGH
from eosbench.decoding.sequence import Ids, Sequence
from eosbench.digest import torch_seed_from

__all__ = ["REMASKING", "DecodeConfig", "DenoiseResult", "Ids", "denoise"]


@dataclass
class DenoiseResult:
    """Response tokens, one 1-D LongTensor per prompt, and their cost.

    A pass over a batch is one forward pass of the batch and one of every row that was in it.
    Token-positions are the real tokens that went through the model, scored positions those that
    went through the output layer: padding does not count, guidance counts twice.
    """

    sequences: list[torch.Tensor]
    forward_passes: int = 0
    row_forward_passes: list[int] = field(default_factory=list)
    row_token_positions: list[int] = field(default_factory=list)
    row_scored_positions: list[int] = field(default_factory=list)
    row_passes_by_kind: list[Counter[str]] = field(default_factory=list)

    @property
    def token_positions(self) -> int:
        return sum(self.row_token_positions)


def denoise(
    backbone: Backbone,
    prompts: abc.Sequence[Ids],
    config: DecodeConfig,
    *,
    canvases: abc.Sequence[Ids] | None = None,
    seeds: abc.Sequence[int] | None = None,
    batch_size: int | None = None,
) -> DenoiseResult:
    """Denoises one canvas per prompt.

    Args: backbone: the model. prompts: token ids, of any lengths. config: how. canvases: what each
        canvas holds at the start (gen_length ids, the mask id where nothing stands); all masked by
        default. seeds: one per row, for temperature and random remasking; by default a hash of the
        prompt. A row's answer depends on its
            prompt, canvas and seed, not on the batch it is in.
        batch_size: rows per pass at most, those of like length together; by default all of them,
            whatever their lengths.

    Raises: ConfigurationError: a row that is longer than the model's positions, a canvas of another
        length, too few seeds.
    """
    for name, given in (("canvases", canvases), ("seeds", seeds)):
        require(
            given is None or len(given) == len(prompts),
            f"{len(given or ())} {name} for {len(prompts)} prompts: expected one each",
        )
    if isinstance(backbone, NoiseCanvas):
        return _denoise_noise(backbone, prompts, config, canvases, seeds)
    sequences = []
    for index, prompt in enumerate(prompts):
        canvas = None if canvases is None else torch.as_tensor(canvases[index])
        require(
            canvas is None or canvas.shape == (config.gen_length,),
            f"sequence {index}: canvas of shape {list(() if canvas is None else canvas.shape)}: "
            f"expected gen_length={config.gen_length} ids",
        )
        seed = None if seeds is None else seeds[index]
        sequences.append(
            Sequence(backbone.spec, prompt, config, index=index, canvas=canvas, seed=seed)
        )
    engine = Engine(
        backbone,
        batch_size or max(1, len(sequences)),
        full_enough=0.0 if batch_size is None else FULL_ENOUGH,
    )
    for sequence in sequences:
        engine.add(sequence)
    for _ in engine:
        pass
    return DenoiseResult(
        sequences=[one.canvas for one in sequences],
        forward_passes=engine.forward_passes,
        row_forward_passes=[one.passes for one in sequences],
        row_token_positions=[one.token_positions for one in sequences],
        row_scored_positions=[one.scored_positions for one in sequences],
        row_passes_by_kind=[one.passes_by_kind for one in sequences],
    )


def _denoise_noise(
    backbone: NoiseCanvas,
    prompts: abc.Sequence[Ids],
    config: DecodeConfig,
    canvases: abc.Sequence[Ids] | None,
    seeds: abc.Sequence[int] | None,
) -> DenoiseResult:
    """Denoises one answer per prompt with a model whose canvas starts as noise."""
    require(canvases is None, f"canvases: those of {backbone.spec.family!r} start as noise")
    answers = []
    for index, prompt in enumerate(prompts):
        ids = torch.as_tensor(prompt, dtype=torch.long).cpu()
        seed = torch_seed_from(ids.numpy().tobytes()) if seeds is None else seeds[index]
        length, canvas = config.gen_length, config.block_length or config.gen_length
        answer = denoise_noise(
            backbone, ids, config, length=length, canvas=canvas, seed=seed, index=index
        )
        answers.append(answer)
    passes = [answer.cost.forward_passes for answer in answers]
    return DenoiseResult(
        sequences=[answer.tokens for answer in answers],
        forward_passes=sum(passes),
        row_forward_passes=passes,
        row_token_positions=[answer.cost.token_positions for answer in answers],
    )
