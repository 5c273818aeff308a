"""`denoise`: prompts in, decoded canvases and their cost out. Start reading here.

    from eosbench.decoding import DecodeConfig, denoise
    result = denoise(backbone, [prompt_ids], DecodeConfig(gen_length=64, block_length=16))
    result.sequences[0]                          # the 64 tokens of the canvas

One decoding goes like this. A masked diffusion model reads a sequence in which some tokens are
masks, and says for every position which token it holds likely there. An answer begins as a canvas:
`gen_length` masks behind the prompt, and before a suffix where a gap is to be filled. A forward
pass scores the masks of the canvas's first block. The tokens that the model is most confident of
stay, the other positions are masks still, and the next pass scores them again, now that it sees
more. When a block is full the next one follows. What stands before the first EOS of the full canvas
is the text.

benchmarks/reference.py has that loop in thirty lines of plain torch, for one prompt at a time, as
the scripts of published models run it. `denoise` gives the same tokens sooner, because many prompts
share a pass and the model computes no more than what the loop reads (docs/engine.md). Its parts:

    config.py        DecodeConfig: blocks, steps, thresholds, temperature, guidance, caches
    fixed_canvas.py  the loop above, for one sequence: its policy
    sequence.py      Sequence: one prompt and its canvas while it is decoded
    engine.py        Engine: pass after pass, until every sequence is done. In each pass
    scheduler.py       the Scheduler says which sequences are in it,
    model_runner.py    the ModelRunner lays them out and runs the model,
    sampler.py         the sampler's functions choose tokens (by the options of sampling.py),
    policy.py          and each sequence's policy says which tokens stay

window.py goes on from here: windows of a canvas, retries in larger ones, and answers. Models that
were trained in blocks have policies and a runner of their own (block_rules.py, sub_blocks.py,
block_runner.py).
"""

from __future__ import annotations

from collections import Counter, abc
from dataclasses import dataclass, field

import torch

from eosbench.backbone import Backbone, NoiseCanvas
from eosbench.decoding.config import REMASKING, DecodeConfig, require
from eosbench.decoding.engine import Engine
from eosbench.decoding.noise import denoise_noise, require_no_suffix
from eosbench.decoding.scheduler import FULL_ENOUGH
from eosbench.decoding.sequence import Ids, Sequence
from eosbench.digest import torch_seed_from

__all__ = ["REMASKING", "DecodeConfig", "DenoiseResult", "Ids", "denoise"]


@dataclass
class DenoiseResult:
    """The decoded canvases of a batch, and their cost.

    A pass over a batch is one forward pass of the batch, and one of every row (sequence) in it.
    Token-positions are the real tokens that went through the model, scored positions those that
    went through the output layer: padding does not count, guidance counts twice.

    Attributes:
        sequences: the tokens of the canvases, a 1-D LongTensor per prompt.
        forward_passes: the passes of the batch.
        row_forward_passes: the passes of each sequence.
        row_token_positions: the token-positions of each sequence.
        row_scored_positions: the scored positions of each sequence.
    """

    sequences: list[torch.Tensor]
    forward_passes: int = 0
    row_forward_passes: list[int] = field(default_factory=list)
    row_token_positions: list[int] = field(default_factory=list)
    row_scored_positions: list[int] = field(default_factory=list)
    row_passes_by_kind: list[Counter[str]] = field(default_factory=list)

    @property
    def token_positions(self) -> int:
        """The token-positions of all sequences."""
        return sum(self.row_token_positions)


def denoise(
    backbone: Backbone,
    prompts: abc.Sequence[Ids],
    config: DecodeConfig,
    *,
    canvases: abc.Sequence[Ids] | None = None,
    suffixes: abc.Sequence[Ids] | None = None,
    seeds: abc.Sequence[int] | None = None,
    batch_size: int | None = None,
) -> DenoiseResult:
    """Decodes one canvas per prompt.

    A canvas depends on its prompt, its suffix, its seed and what it holds at the start, and not on
    the batch.

    Args:
        backbone: the model.
        prompts: token ids, of any lengths.
        config: how canvases are decoded.
        canvases: what each holds at the start: `gen_length` ids, the mask id where nothing stands.
            By default all of them are masked.
        suffixes: token ids behind each canvas, which then fills the gap between prompt and suffix.
            By default there are none.
        seeds: one per prompt, for temperature and random remasking; by default a hash of prompt and
            suffix.
        batch_size: sequences per pass at most, those of like length together; by default all of
            them, whatever their lengths.

    Raises:
        ConfigurationError: a prompt that leaves no room for its canvas in the model's positions, a
            canvas of another length than `gen_length`, another number of canvases, suffixes or
            seeds than of prompts, or a suffix where the family cannot see one.
    """
    for name, given in (("canvases", canvases), ("suffixes", suffixes), ("seeds", seeds)):
        require(
            given is None or len(given) == len(prompts),
            f"{len(given or ())} {name} for {len(prompts)} prompts: expected one each",
        )
    if isinstance(backbone, NoiseCanvas):
        for index, suffix in enumerate([] if suffixes is None else suffixes):
            require_no_suffix(backbone.spec, suffix, index)
        return _denoise_noise(backbone, prompts, config, canvases, seeds)
    sequences = []
    for index, prompt in enumerate(prompts):
        canvas = None if canvases is None else torch.as_tensor(canvases[index])
        if canvas is not None:
            require(
                canvas.shape == (config.gen_length,),
                f"sequence {index}: canvas of shape {list(canvas.shape)}: expected "
                f"gen_length={config.gen_length} ids",
            )
        sequence = Sequence(
            backbone.spec,
            prompt,
            config,
            index=index,
            canvas=canvas,
            suffix=() if suffixes is None else suffixes[index],
            seed=None if seeds is None else seeds[index],
        )
        sequences.append(sequence)
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
