"""One prompt and its canvas while it is denoised: what stands where, which block is open, and what
it has cost so far.

A row knows nothing of the batch it is in; that is why its answer cannot depend on it. Even its
random numbers come from its seed and the number of its passes alone. It lives on the CPU: a pass
brings it the tokens that stay, a few per pass.

Legend: P tokens of the prompt, C of the canvas, n masked positions of the block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from eosbench.backbone import BackboneSpec
from eosbench.decoding.config import DecodeConfig, require
from eosbench.decoding.sampler import SCHEDULES
from eosbench.digest import torch_seed_from

Ids = Sequence[int] | torch.Tensor


class Row:
    """A prompt, its canvas and its progress.

    Args: spec: of the model that denoises it. prompt: token ids. config: how. index: a number by
        which the caller knows it again; named in errors. canvas: what stands in it at the start,
        `gen_length` ids, the mask id where nothing stands; all masked by default. seed: for
        temperature and random remasking; by default a hash of the prompt. fixes_stop: says whether
        tokens at the start of the canvas end its text at a stop string, whatever follows them.

    Attributes: ids: [P + C], prompt and canvas as they stand. start, end: columns of `ids` between
        which the open block lies. done: nothing is left to do. passes, token_positions,
        scored_positions: forward passes, tokens that went through the model (padding does not
        count,
            guidance counts twice), positions that went through the output layer.
        seconds, model_seconds: its share of the passes' wall time, and of that the part inside the
            model.

    Raises: ConfigurationError: a row that is longer than the model's positions, a canvas of another
        length.
    """

    def __init__(
        self,
        spec: BackboneSpec,
        prompt: Ids,
        config: DecodeConfig,
        *,
        index: int = 0,
        canvas: Ids | None = None,
        seed: int | None = None,
        fixes_stop: Callable[[Sequence[int]], bool] | None = None,
    ) -> None:
        prompt_P = torch.as_tensor(prompt, dtype=torch.long).cpu()
        canvas_C = (
            torch.full((config.gen_length,), spec.mask_id)
            if canvas is None
            else torch.as_tensor(canvas).long().cpu()
        )
        _check(spec, prompt_P, canvas_C, config.gen_length, index)
        self.spec, self.config, self.index = spec, config, index
        self.seed = _seed(prompt_P) if seed is None else seed
        self._fixes_stop = fixes_stop
        self.ids = torch.cat([prompt_P, canvas_C])
        self.prompt_length = len(prompt_P)
        self.passes = self.token_positions = self.scored_positions = 0
        self.seconds = self.model_seconds = 0.0
        self.done = False
        self.start = self.end = self.prompt_length
        self._blocks = config.blocks()
        self._schedule: list[int] = []
        self._step = self._left = 0  # passes over the open block so far, masked positions in it
        self._settled = self.prompt_length  # no masked position before this column
        self._next_block()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def canvas(self) -> torch.Tensor:
        """[C] ids of the canvas as it stands."""
        return self.ids[self.prompt_length :]

    def blind(self) -> torch.Tensor:
        """[P + C] ids with the prompt masked: what guidance compares with."""
        return torch.cat([torch.full((self.prompt_length,), self.spec.mask_id), self.canvas])

    def open(self) -> torch.Tensor:
        """[n] columns of the block that are masked."""
        return self.start + (
            self.ids[self.start : self.end] == self.spec.mask_id
        ).nonzero().squeeze(1)

    @property
    def quota(self) -> int:
        """How many tokens the schedule lets stay in the coming pass."""
        return self._schedule[min(self._step, len(self._schedule) - 1)]

    def generator(self, device: torch.device) -> torch.Generator:
        """The random numbers of the coming pass: the same however often, and in whatever batch, it
        is tried.
        """
        return torch.Generator(device).manual_seed(torch_seed_from(f"{self.seed}/{self.passes}"))

    def fill(self, columns_n: torch.Tensor, tokens_n: torch.Tensor) -> None:
        """Ends a pass: these tokens stay in these columns. Goes on to the next block, or is done."""
        self.ids[columns_n] = tokens_n
        self._left -= len(columns_n)
        self.passes += 1
        self._step += 1
        if self.config.stop_at_eos and self._ended():
            self.done = True
        # The published dual-cache loop looks for what is left only after its second pass: run and
        # counted alike.
        elif (
            not (self.config.cache == "dual" and self.config.threshold and self._step == 1)
            and not self._left
        ):
            self._next_block()

    def _next_block(self) -> None:
        """Opens the next block that has a masked position."""
        for start, end, steps in self._blocks:
            self.start, self.end = self.prompt_length + start, self.prompt_length + end
            self._left = len(self.open())
            if self._left:
                # A block that is partly filled already takes a part of its steps.
                pace = -(-steps * self._left // (end - start))
                self._schedule = SCHEDULES[self.config.schedule](torch.tensor([self._left]), pace)[
                    0
                ].tolist()
                self._step = 0
                self.done = self.config.stop_at_eos and (self._ended() or self._stopped())
                return
        self.done = True

    def _ended(self) -> bool:
        """An EOS stands before the first masked position: nothing that is still to come can change
        the text before it.
        """
        for token in self.ids[self._settled : self.end].tolist():
            if token == self.spec.mask_id:
                return False
            if token in self.spec.eos_ids:
                return True
            self._settled += 1
        return False

    def _stopped(self) -> bool:
        """The tokens before the first masked position hold a stop string: asked once a block, since
        it decodes them.
        """
        settled = self.ids[self.prompt_length : self._settled].tolist()
        return self._fixes_stop is not None and len(settled) > 0 and self._fixes_stop(settled)


def _check(
    spec: BackboneSpec, prompt: torch.Tensor, canvas: torch.Tensor, gen_length: int, index: int
) -> None:
    shapes = f"prompt of shape {list(prompt.shape)} and canvas of shape {list(canvas.shape)}"
    require(prompt.dim() == 1, f"row {index}: {shapes}: expected a prompt of one dimension")
    require(
        canvas.shape == (gen_length,),
        f"row {index}: {shapes}: expected a canvas of gen_length={gen_length} ids",
    )
    require(
        len(prompt) > 0 or not spec.logits_shifted,
        f"row {index}: {spec.family} needs a prompt of at least one token",
    )
    require(
        len(prompt) + gen_length <= spec.max_length,
        f"row {index}: a prompt of {len(prompt)} tokens leaves no room for gen_length={gen_length} "
        f"in the model's {spec.max_length} positions: shorten the prompt or the canvas",
    )


def _seed(prompt: torch.Tensor) -> int:
    return torch_seed_from(prompt.numpy().tobytes())
