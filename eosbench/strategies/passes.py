"""Many canvases that change length, each after its own rules, through shared forward passes.

A strategy writes its rules for one prompt as a generator: it yields the canvas it wants to look at,
gets back what the model says of it, and returns the canvas when it is done.

    def steps(job):
        seen = yield Look(canvas_C, masked_N)       # one forward pass
        canvas_C[masked_N] = seen.first.tokens_N
        return canvas_C

`run` has more rows under way than a pass takes and puts those of like length into each, since
canvases grow apart: padding stands on the left and is masked, and a row that is done makes room for
the next one. Rows share passes and nothing else, so no answer depends on the batch. The continuous
batch of eosbench/decoding/engine.py scores one block of a canvas of fixed length; these rules look
where they like, and decide from what they see how long the canvas is that they look at next.

Legend: R rows of a pass, P prompt, C canvas of one row, T columns, N positions of one canvas, D width, V vocabulary.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby

import torch

from eosbench.backbone import Backbone, raw_rows, scoring_rows
from eosbench.decoding import Answer, DecodeConfig, Job, answer_of, choose_tokens, require
from eosbench.forward import (
    BatchSize,
    Cost,
    TimedBackbone,
    estimated_flops,
    left_pad,
    logits_in_pieces,
    without_prompt,
)

FULL_ENOUGH = 0.75  # how much of a padded batch must be tokens

__all__ = ["FULL_ENOUGH", "Look", "Scores", "Seen", "Steps", "run"]


@dataclass(frozen=True, eq=False)
class Look:
    """A forward pass over the prompt and this canvas [C], and the positions [N] that are certainly
    asked for.
    """

    canvas_C: torch.Tensor
    positions_N: torch.Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))


@dataclass(frozen=True, eq=False)
class Scores:
    """What a pass says of N canvas positions, on the CPU.

    Attributes: tokens_N, confidence_N: the token for each position (drawn, where there is a
        temperature) and its probability. ends_N: True where the likeliest token, without any
        drawing, is one that ends a text. end_confidence_N: the probability of that token; 0 where
        it does not end a text.
    """

    tokens_N: torch.Tensor
    confidence_N: torch.Tensor
    ends_N: torch.Tensor
    end_confidence_N: torch.Tensor


@dataclass(frozen=True, eq=False)
class Seen:
    """The answer to a Look: scores of its positions, and on demand of others in the same pass,
    where nothing is drawn.
    """

    first: Scores
    score: Callable[[torch.Tensor], Scores]


Steps = Generator[Look, Seen, torch.Tensor]


def run(
    backbone: Backbone, jobs: Sequence[Job], steps: Callable[[Job], Steps], *, batch_size: int
) -> Iterator[tuple[int, Answer]]:
    """(index of the job, its answer), as rows finish; longer prompts first, so that neighbours are
    alike.

    Args: backbone: the model. jobs: in any order. steps: starts the rules of a job. batch_size:
        rows per forward pass at most; halved, with a warning, when they do not fit into memory.

    Raises: ConfigurationError: a prompt that leaves no room for its canvas, or an empty one where
        the family needs one.
    """
    timed, size = TimedBackbone(backbone), BatchSize(batch_size)
    order = sorted(
        range(len(jobs)), key=lambda index: (_kind(jobs[index]), -len(jobs[index].prompt))
    )
    for _, group in groupby(order, key=lambda index: _kind(jobs[index])):
        waiting, underway = deque(group), list[_Underway]()
        while waiting or underway:
            while waiting and len(underway) < 2 * size.limit:
                index = waiting.popleft()
                underway.append(_Underway(backbone, index, jobs[index], steps(jobs[index])))
            started, in_model, rows = (
                time.perf_counter(),
                timed.seconds,
                _alike(underway, size.limit),
            )
            with size.halved_if_out_of_memory(len(rows)) as attempt:
                seen = _pass(timed, rows)
            if not attempt.succeeded:  # no row has been told anything: fewer of them look again
                continue
            for row, one in zip(rows, seen, strict=True):
                row.go_on(one)
            for row in rows:
                row.cost.seconds += (time.perf_counter() - started) / len(rows)
                row.cost.model_seconds += (timed.seconds - in_model) / len(rows)
            yield from ((row.index, row.answer()) for row in rows if row.done)
            underway = [row for row in underway if not row.done]


def _kind(job: Job) -> tuple[float, float]:
    """What rows of one pass must have in common."""
    return job.settings.cfg_scale, job.settings.temperature


def _alike(rows: Sequence[_Underway], limit: int) -> list[_Underway]:
    """As many rows as possible, up to the limit, that fill a padded batch well enough; the longest
    of equally many.
    """
    longest_first = sorted(rows, key=len, reverse=True)
    best: list[_Underway] = []
    for start, longest in enumerate(longest_first):
        batch: list[_Underway] = []
        tokens = 0
        for row in longest_first[start : start + limit]:
            tokens += len(row)
            if tokens < FULL_ENOUGH * len(longest) * (len(batch) + 1):
                break
            batch.append(row)
        best = max(best, batch, key=len)
        if len(best) >= min(limit, len(rows) - start - 1):  # no later start has more
            break
    return best


class _Underway:
    """A job under way: where its rules look next, and what it has cost so far."""

    def __init__(self, backbone: Backbone, index: int, job: Job, steps: Steps) -> None:
        spec, gen_length = backbone.spec, job.settings.gen_length
        require(
            bool(job.prompt) or not spec.logits_shifted,
            f"row {index}: {spec.family} needs a prompt of at least one token",
        )
        require(
            len(job.prompt) + gen_length <= spec.max_length,
            f"row {index}: a prompt of {len(job.prompt)} tokens leaves no room for gen_length={gen_length} "
            f"in the model's {spec.max_length} positions: shorten the prompt or the canvas",
        )
        self.index, self.job, self.spec, self.settings = index, job, spec, job.settings
        self.prompt_P = torch.tensor(job.prompt, dtype=torch.long)
        self.cost, self.scored, self.done = Cost(), 0, False
        self._steps = steps
        self.look = next(steps)

    def __len__(self) -> int:
        """Tokens of the coming pass."""
        return len(self.prompt_P) + len(self.look.canvas_C)

    def generator(self, device: torch.device) -> torch.Generator:
        """The random numbers of the coming pass, however often it is tried."""
        return torch.Generator(device).manual_seed(self.job.seed + self.cost.forward_passes)

    def go_on(self, seen: Seen) -> None:
        """Takes what a pass said, asks for more of it, and pays for the pass."""
        positions, canvas, self.scored = (
            len(self),
            len(self.look.canvas_C),
            len(self.look.positions_N),
        )
        try:
            self.look = self._steps.send(seen)
        except StopIteration as finished:
            self.look, self.done = Look(finished.value), True
        rows = 2 if self.settings.cfg_scale else 1
        self.cost.forward_passes += 1
        self.cost.token_positions += rows * positions
        self.cost.flops += estimated_flops(
            self.spec, rows * positions, rows, rows * self.scored, read_positions=rows * canvas
        )

    def answer(self) -> Answer:
        self.cost.window = len(self.look.canvas_C)
        return answer_of(self.look.canvas_C.tolist(), self.job, self.spec.eos_ids, self.cost)


@torch.no_grad()
def _pass(backbone: Backbone, rows: Sequence[_Underway]) -> list[Seen]:
    """One forward pass of all rows, and what it says to each."""
    spec, settings, device = backbone.spec, rows[0].settings, backbone.device
    ids_RT, mask_RT = left_pad(
        [torch.cat([row.prompt_P, row.look.canvas_C]) for row in rows], spec.pad_id
    )
    canvas_R = torch.tensor([len(row.look.canvas_C) for row in rows])
    is_canvas_RT = torch.arange(ids_RT.shape[1]) >= ids_RT.shape[1] - canvas_R[:, None]
    if settings.cfg_scale:
        ids_RT = torch.cat([ids_RT, without_prompt(ids_RT, canvas_R, spec.mask_id)])
        mask_RT, is_canvas_RT = (
            torch.cat([mask_RT, mask_RT]),
            torch.cat([is_canvas_RT, is_canvas_RT]),
        )
    read_RT = raw_rows(is_canvas_RT, spec.logits_shifted)
    hidden_RTD = scoring_rows(
        backbone.hidden(ids_RT.to(device), mask_RT.to(device), needed=read_RT), spec.logits_shifted
    )
    hidden = hidden_RTD.chunk(2) if settings.cfg_scale else (hidden_RTD,)

    def select(place: int, positions_N: torch.Tensor) -> list[torch.Tensor]:
        # Counted from the right.
        columns_N = (positions_N - len(rows[place].look.canvas_C)).to(device)
        return [hidden_RTD[place, columns_N] for hidden_RTD in hidden]

    def score(place: int, positions_N: torch.Tensor) -> Scores:
        rows[place].scored += len(positions_N)
        return _scores(backbone, select(place, positions_N), settings)

    chosen = [select(place, row.look.positions_N) for place, row in enumerate(rows)]
    if settings.temperature > 0:  # each row draws from its own generator
        first = [
            _scores(backbone, part, settings, row.generator(device))
            for part, row in zip(chosen, rows, strict=True)
        ]
    else:
        together = _scores(
            backbone, [torch.cat(parts) for parts in zip(*chosen, strict=True)], settings
        )
        first = _split(together, [len(row.look.positions_N) for row in rows])
    return [Seen(first[place], partial(score, place)) for place in range(len(rows))]


@torch.no_grad()
def _scores(
    backbone: Backbone,
    selected: Sequence[torch.Tensor],
    settings: DecodeConfig,
    generator: torch.Generator | None = None,
) -> Scores:
    """Scores of N positions from their hidden states [N, D], with guidance two of them; tokens are
    drawn if from a generator.
    """
    mask_id, eos_ids = (
        backbone.spec.mask_id,
        torch.tensor(sorted(backbone.spec.eos_ids), device=backbone.device),
    )
    pieces = []
    for logits_NV in logits_in_pieces(backbone, selected, settings.cfg_scale):
        likeliest_N, probability_N = choose_tokens(logits_NV.clone(), mask_id=mask_id)
        tokens_N, confidence_N = likeliest_N, probability_N
        if generator is not None:
            tokens_N, confidence_N = choose_tokens(
                logits_NV, mask_id=mask_id, temperature=settings.temperature, generator=generator
            )
        ends_N = torch.isin(likeliest_N, eos_ids)
        pieces.append((tokens_N, confidence_N, ends_N, probability_N * ends_N))
    return Scores(*(torch.cat(parts).cpu() for parts in zip(*pieces, strict=True)))


def _split(scores: Scores, counts: Sequence[int]) -> list[Scores]:
    values = (scores.tokens_N, scores.confidence_N, scores.ends_N, scores.end_confidence_N)
    return [
        Scores(*part)
        for part in zip(*(values_N.split(list(counts)) for values_N in values), strict=True)
    ]
