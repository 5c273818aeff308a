"""A sequence: one prompt and its canvas while it is decoded, and what that has cost so far.

A suffix may stand behind the canvas. It is seen like the prompt and never denoised: the canvas then
fills a gap.

A sequence knows nothing of the batch it is in; that is why its answer cannot depend on it. Even its
random numbers come from its seed and the number of its passes alone. It lives on the CPU: a pass
brings it the tokens that stay, a few per pass.

Legend: P tokens of the prompt, C of the canvas, S of the suffix, n chosen positions of the canvas.
"""

from __future__ import annotations

from collections import Counter, abc, defaultdict
from dataclasses import dataclass, replace

import torch

from eosbench.backbone import BackboneSpec
from eosbench.decoding.block_settings import check_settings
from eosbench.decoding.config import DecodeConfig, require
from eosbench.decoding.fixed_canvas import FixedCanvas
from eosbench.decoding.policy import Policy, Scores, Step
from eosbench.digest import torch_seed_from
from eosbench.forward import Cost, estimated_flops

Ids = abc.Sequence[int] | torch.Tensor
SaysStop = abc.Callable[[abc.Sequence[int]], bool]  # whether a text of these tokens ends
Watch = abc.Callable[["Sequence"], None]  # is shown a sequence after each of its passes


@dataclass
class Usage:
    """The passes of a sequence over canvases of one length; with guidance positions count twice."""

    passes: int = 0
    token_positions: int = 0
    scored_positions: int = 0
    read_positions: int = 0
    attended_positions: int = 0


class Sequence:
    """A prompt, its canvas and its progress.

    Args:
        spec: of the model that decodes it.
        prompt: token ids.
        config: how it is decoded; `gen_length` is the longest that the canvas may get.
        policy: the rules by which it is decoded; by default those of a fixed canvas.
        index: a number by which the caller knows it again; errors name it.
        canvas: what stands in it at the start, the mask id where nothing stands; `gen_length` masks
            by default.
        suffix: token ids behind the canvas, which every pass sees; none by default.
        seed: for temperature and random remasking; by default a hash of prompt and suffix.
        stops: says whether a canvas without an EOS holds an end all the same, a stop string.
        fixes_stop: says whether tokens at the start of the canvas hold such an end that nothing
            behind them can move.
        watch: is called with the sequence after each of its passes, and must change nothing.

    Attributes:
        ids: [P + C + S], the prompt, the canvas and the suffix as they stand.
        step: what the policy asks of the coming pass; None when nothing is left to do.
        passes: how many forward passes it has been in.
        drawn: the passes that random numbers were drawn for: one more where the first one was run
            before the sequence began.
        passes_by_kind: how many of them were of which kind (`Step.kind`).
        kept: of a block model, the number of columns whose keys and values are kept.
        retries: how often its window was found too small.
        seconds: its share of the passes' wall time.
        model_seconds: the part of that inside the model.

    Raises:
        ConfigurationError: it is longer than the model's positions, or the prompt or the canvas is
            of another shape.
    """

    def __init__(
        self,
        spec: BackboneSpec,
        prompt: Ids,
        config: DecodeConfig,
        *,
        policy: Policy | None = None,
        index: int = 0,
        canvas: Ids | None = None,
        suffix: Ids = (),
        seed: int | None = None,
        stops: SaysStop | None = None,
        fixes_stop: SaysStop | None = None,
        watch: Watch | None = None,
    ) -> None:
        prompt_P = torch.as_tensor(prompt, dtype=torch.long).cpu()
        suffix_S = torch.as_tensor(suffix, dtype=torch.long).cpu()
        for name, given in (("prompt", prompt_P), ("suffix", suffix_S)):
            require(
                given.dim() == 1,
                f"sequence {index}: {name} of shape {list(given.shape)}: expected one dimension",
            )
        require(
            len(suffix_S) == 0 or spec.attention == "full",
            f"sequence {index}: {spec.family!r} attends causally between blocks and cannot see a "
            "suffix behind the canvas: leave the suffix out, or take a model with full attention",
        )
        require(
            len(prompt_P) > 0 or not spec.logits_shifted,
            f"sequence {index}: {spec.family} needs a prompt of at least one token",
        )
        check_settings(spec, config)
        self.spec, self.config, self.index = spec, config, index
        self.ids = torch.cat([prompt_P, suffix_S])
        self.seed = torch_seed_from(self.ids.numpy().tobytes()) if seed is None else seed
        self.prompt_length, self.suffix_length = len(prompt_P), len(suffix_S)
        self.passes = self.retries = self.kept = 0
        self.drawn = 0
        self.passes_by_kind: Counter[str] = Counter()
        self.seconds = self.model_seconds = 0.0
        # What sequences of one batch have in common: all of the config but lengths and steps.
        self.kind = replace(config, gen_length=1, steps=None, block_length=None)
        self._stops, self._fixes_stop, self._watch = stops, fixes_stop, watch
        self._settled = 0  # no masked position of the canvas before this one, and no EOS
        self._usage: defaultdict[int, Usage] = defaultdict(Usage)
        self.resize(self.masks(config.gen_length) if canvas is None else torch.as_tensor(canvas))
        self._steps = (policy or FixedCanvas()).decode(self)
        self.step: Step | None = next(self._steps, None)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.step is None

    @property
    def canvas(self) -> torch.Tensor:
        """[C] ids of the canvas as it stands."""
        return self.ids[self.prompt_length : len(self.ids) - self.suffix_length]

    @property
    def block(self) -> tuple[int, int]:
        """The canvas positions (start, end) of the open block.

        It is the whole canvas where the coming step names none.
        """
        if self.step is None or self.step.block is None:
            return 0, len(self.canvas)
        return self.step.block

    # For its policy.

    def masks(self, length: int) -> torch.Tensor:
        """[length] mask ids."""
        return torch.full((length,), self.spec.mask_id)

    def masked(self, start: int, end: int) -> torch.Tensor:
        """[n] canvas positions from `start` up to `end` that are masked."""
        return start + (self.canvas[start:end] == self.spec.mask_id).nonzero().squeeze(1)

    def place(self, positions_n: torch.Tensor, tokens_n: torch.Tensor) -> None:
        """Puts these tokens at these canvas positions."""
        self.canvas[positions_n] = tokens_n

    def resize(self, canvas_C: torch.Tensor) -> None:
        """Puts another canvas in the place of this one.

        Raises:
            ConfigurationError: it has another shape than [C], or the model has no room for it.
        """
        require(
            canvas_C.dim() == 1,
            f"sequence {self.index}: canvas of shape {list(canvas_C.shape)}: expected one "
            "dimension",
        )
        self.require_room(len(canvas_C))
        before_P = self.ids[: self.prompt_length]
        behind_S = self.ids[len(self.ids) - self.suffix_length :]
        self.ids = torch.cat([before_P, canvas_C.long().cpu(), behind_S])
        self._settled = 0

    def require_room(self, canvas_length: int) -> None:
        """Refuses a canvas that the model has no positions for.

        Raises:
            ConfigurationError: prompt, canvas and suffix are longer than the model's positions.
        """
        suffix = f" and a suffix of {self.suffix_length}" if self.suffix_length else ""
        require(
            self.prompt_length + canvas_length + self.suffix_length <= self.spec.max_length,
            f"sequence {self.index}: a prompt of {self.prompt_length} tokens{suffix} leaves no "
            f"room for gen_length={canvas_length} in the model's {self.spec.max_length} positions: "
            "shorten the prompt or the canvas",
        )

    def ended(self) -> bool:
        """Whether an EOS stands before the first masked position.

        Nothing that is still to come changes the text before it, unless masks are put there.
        """
        for token in self.canvas[self._settled :].tolist():
            if token == self.spec.mask_id:
                return False
            if token in self.spec.eos_ids:
                return True
            self._settled += 1
        return False

    def stopped(self) -> bool:
        """Whether a stop string before the first masked position ends the text for good.

        Ask seldom: the tokens are decoded for it.
        """
        if self._fixes_stop is None or self.ended():
            return False
        settled = self.canvas[: self._settled].tolist()
        return bool(settled) and self._fixes_stop(settled)

    def has_end(self, upto: int | None = None, *, counts_eos: bool = True) -> bool:
        """Whether the canvas holds an EOS or a stop string, or fills a gap, which needs none.

        Args:
            upto: the canvas position up to which it is looked at; None is all of it.
            counts_eos: whether an EOS counts.
        """
        if self.suffix_length:
            return True
        tokens = self.canvas[:upto].tolist()
        if counts_eos and any(token in self.spec.eos_ids for token in tokens):
            return True
        return self._stops is not None and self._stops(tokens)

    # For the engine.

    def standing(self) -> torch.Tensor:
        """[n] ids of the tokens that stand in prompt, canvas or suffix, each once."""
        standing_n: torch.Tensor = self.ids.unique()
        return standing_n[standing_n != self.spec.mask_id]

    def blind(self) -> torch.Tensor:
        """[P + C + S] ids with prompt and suffix masked: what guidance compares with."""
        before, behind = self.masks(self.prompt_length), self.masks(self.suffix_length)
        return torch.cat([before, self.canvas, behind])

    def generator(self, device: torch.device) -> torch.Generator:
        """The random numbers of the coming pass.

        They are the same however often, and in whatever batch, the pass is tried.
        """
        return torch.Generator(device).manual_seed(torch_seed_from(f"{self.seed}/{self.drawn}"))

    def advance(self, scores: Scores, token_positions: int, *, ran: bool = True) -> None:
        """Ends a pass: the policy takes its scores and says what comes next.

        Args:
            scores: the pass's answer to `step`.
            token_positions: how many tokens of this sequence ran through the model in it.
            ran: False for a pass that was run, and charged, before the sequence began. It counts
                among those that random numbers are drawn for, and costs its output layer alone.
        """
        assert self.step is not None, "a sequence that is done has no pass to end"
        rows = 2 if self.config.cfg_scale else 1
        read = len(self.canvas) if self.step.whole_canvas else len(self.step.positions_N)
        usage = self._usage[len(self.canvas)]
        kind = self.step.kind
        first, stop = self.step.columns or (0, len(self))
        attended = rows * (stop - first) * (self.step.past + stop - first)
        self.drawn += 1
        try:
            self.step = self._steps.send(scores)
        except StopIteration:
            self.step = None
        usage.scored_positions += rows * scores.scored
        if ran:
            self.passes += 1
            self.passes_by_kind[kind] += 1
            usage.passes += 1
            usage.token_positions += token_positions
            usage.read_positions += rows * read
            usage.attended_positions += attended
        if self._watch is not None:
            self._watch(self)

    # For its caller.

    @property
    def token_positions(self) -> int:
        """Tokens that went through the model: padding does not count, guidance counts twice."""
        return sum(usage.token_positions for usage in self._usage.values())

    @property
    def scored_positions(self) -> int:
        """Positions that went through the output layer; guidance counts twice."""
        return sum(usage.scored_positions for usage in self._usage.values())

    @property
    def cost(self) -> Cost:
        """The cost of its passes alone; FLOPs are added up over canvases of different length."""
        rows = 2 if self.config.cfg_scale else 1
        flops, masked_blocks = 0.0, self.spec.attention == "block"
        for usage in self._usage.values():
            flops += estimated_flops(
                self.spec,
                usage.token_positions,
                rows * usage.passes,
                usage.scored_positions,
                read_positions=usage.read_positions,
                attended_positions=usage.attended_positions if masked_blocks else None,
            )
        return Cost(
            window=len(self.canvas),
            forward_passes=self.passes,
            token_positions=self.token_positions,
            flops=flops,
            seconds=self.seconds,
            retries=self.retries,
            model_seconds=self.model_seconds,
        )
