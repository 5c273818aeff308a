"""Many rows whose canvases change length, each after its own rules, through shared forward passes.

A strategy writes its rules for one prompt as a generator: it yields the canvas it wants to look at, gets back what the model
says of it, and returns the canvas when it is done.

    def steps(job):
        seen = yield Look(canvas_C, masked_N)       # one forward pass
        canvas_C[masked_N] = seen.first.tokens_N
        return canvas_C

`run` puts as many rows as fit into every pass, whatever their lengths: padding stands on the left and is masked, and a row that
is done makes room for the next one. Rows share passes and nothing else, so no answer depends on the batch.

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

from eosbench.backbone import Backbone, scoring_rows
from eosbench.costs import Cost, estimated_flops
from eosbench.decoding import DecodeConfig
from eosbench.errors import ConfigurationError
from eosbench.generation import Answer, Job, answer_of
from eosbench.scoring import left_pad, logits_in_pieces, without_prompt
from eosbench.unmasking import choose_tokens

__all__ = ["Look", "Scores", "Seen", "Steps", "run"]


@dataclass(frozen=True, eq=False)
class Look:
    """A forward pass over the prompt and this canvas [C], and the positions [N] that are certainly asked for."""

    canvas_C: torch.Tensor
    positions_N: torch.Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))


@dataclass(frozen=True, eq=False)
class Scores:
    """What a pass says of N canvas positions, on the CPU.

    Attributes:
        tokens_N, confidence_N: the token for each position (drawn, where there is a temperature) and its probability.
        ends_N: True where the likeliest token, without any drawing, is one that ends a text.
        end_confidence_N: the probability of that token; 0 where it does not end a text.
    """

    tokens_N: torch.Tensor
    confidence_N: torch.Tensor
    ends_N: torch.Tensor
    end_confidence_N: torch.Tensor


@dataclass(eq=False)
class Seen:
    """The answer to a Look: scores of its positions, and of any other position of the same pass on demand."""

    first: Scores
    score: Callable[[torch.Tensor], Scores]


Steps = Generator[Look, Seen, torch.Tensor]


def run(
    backbone: Backbone, jobs: Sequence[Job], steps: Callable[[Job], Steps], *, batch_size: int
) -> Iterator[tuple[int, Answer]]:
    """(index of the job, its answer), as rows finish; jobs of one configuration share passes, shorter prompts first.

    Args:
        backbone: the model.
        jobs: in any order.
        steps: starts the rules of a job.
        batch_size: rows per forward pass.

    Raises:
        ConfigurationError: a prompt that leaves no room for its canvas.
    """
    order = sorted(range(len(jobs)), key=lambda index: (repr(jobs[index].settings), len(jobs[index].prompt)))
    for _, group in groupby(order, key=lambda index: repr(jobs[index].settings)):
        waiting, active = deque(group), list[_Row]()
        while waiting or active:
            started = time.perf_counter()
            while waiting and len(active) < batch_size:
                index = waiting.popleft()
                active.append(_Row(backbone, index, jobs[index], steps(jobs[index])))
            seen = _pass(backbone, active)
            for row, one in zip(active, seen, strict=True):
                row.go_on(backbone, one)
            seconds = (time.perf_counter() - started) / len(active)
            for row in active:
                row.cost.seconds += seconds
            yield from ((row.index, row.answer(backbone)) for row in active if row.done)
            active = [row for row in active if not row.done]


class _Row:
    """A job under way."""

    def __init__(self, backbone: Backbone, index: int, job: Job, steps: Steps) -> None:
        room = backbone.spec.max_length - len(job.prompt)
        if job.settings.gen_length > room:
            raise ConfigurationError(
                f"a prompt of {len(job.prompt)} tokens leaves no room for gen_length={job.settings.gen_length} "
                f"in the model's {backbone.spec.max_length} positions: shorten the prompt or the canvas"
            )
        self.index, self.settings, self.cost, self.scored, self.done = index, job.settings, Cost(), 0, False
        self.prompt_P = torch.tensor(job.prompt, dtype=torch.long)
        self.generator = torch.Generator(backbone.device).manual_seed(job.seed)
        self._steps = steps
        self.look = next(steps)

    def go_on(self, backbone: Backbone, seen: Seen) -> None:
        """Takes what a pass said, asks for more of it, and pays for the pass."""
        positions = len(self.prompt_P) + len(self.look.canvas_C)
        self.scored = len(self.look.positions_N)
        try:
            self.look = self._steps.send(seen)
        except StopIteration as finished:
            self.look, self.done = Look(finished.value), True
        rows = 2 if self.settings.cfg_scale else 1
        self.cost.forward_passes += 1
        self.cost.token_positions += rows * positions
        self.cost.flops += estimated_flops(backbone.spec, rows * positions, rows, rows * self.scored)

    def answer(self, backbone: Backbone) -> Answer:
        self.cost.window = len(self.look.canvas_C)
        return answer_of(self.look.canvas_C.tolist(), backbone.spec.eos_ids, self.cost)


@torch.no_grad()
def _pass(backbone: Backbone, rows: Sequence[_Row]) -> list[Seen]:
    """One forward pass of all rows, and what it says to each."""
    spec, settings = backbone.spec, rows[0].settings
    ids_RT, mask_RT = left_pad([torch.cat([row.prompt_P, row.look.canvas_C]) for row in rows], spec.pad_id)
    if settings.cfg_scale:
        canvas_R = torch.tensor([len(row.look.canvas_C) for row in rows])
        ids_RT = torch.cat([ids_RT, without_prompt(ids_RT, canvas_R, spec.mask_id)])
        mask_RT = torch.cat([mask_RT, mask_RT])
    hidden_RTD = scoring_rows(backbone.hidden(ids_RT.to(backbone.device), mask_RT.to(backbone.device)), spec.logits_shifted)
    hidden = hidden_RTD.chunk(2) if settings.cfg_scale else (hidden_RTD,)

    def select(place: int, positions_N: torch.Tensor) -> list[torch.Tensor]:
        columns_N = (positions_N - len(rows[place].look.canvas_C)).to(backbone.device)  # counted from the right
        return [hidden_RTD[place, columns_N] for hidden_RTD in hidden]

    def score(place: int, positions_N: torch.Tensor) -> Scores:
        rows[place].scored += len(positions_N)
        return _scores(backbone, select(place, positions_N), settings, rows[place].generator)

    wanted = [row.look.positions_N for row in rows]
    if settings.temperature > 0:  # each row draws from its own generator
        first = [_scores(backbone, select(i, wanted[i]), settings, row.generator) for i, row in enumerate(rows)]
    else:
        selected = zip(*(select(place, positions_N) for place, positions_N in enumerate(wanted)), strict=True)
        together = _scores(backbone, [torch.cat(parts) for parts in selected], settings, None)
        first = _split(together, [len(positions_N) for positions_N in wanted])
    return [Seen(first[place], partial(score, place)) for place in range(len(rows))]


def _scores(
    backbone: Backbone, selected: Sequence[torch.Tensor], settings: DecodeConfig, generator: torch.Generator | None
) -> Scores:
    """Scores of N positions from their hidden states [N, D], with guidance two of them."""
    mask_id, temperature = backbone.spec.mask_id, settings.temperature
    pieces = []
    for logits_NV in logits_in_pieces(backbone, selected, settings.cfg_scale):
        drawn = None
        if temperature > 0:
            drawn = choose_tokens(logits_NV.clone(), mask_id=mask_id, temperature=temperature, generator=generator)
        likeliest_N, probability_N = choose_tokens(logits_NV, mask_id=mask_id)
        tokens_N, confidence_N = drawn or (likeliest_N, probability_N)
        ends_N = torch.isin(likeliest_N, torch.tensor(sorted(backbone.spec.eos_ids), device=likeliest_N.device))
        pieces.append((tokens_N, confidence_N, ends_N, probability_N * ends_N))
    return Scores(*(torch.cat(parts).cpu() for parts in zip(*pieces, strict=True)))


def _split(scores: Scores, counts: Sequence[int]) -> list[Scores]:
    parts = zip(
        *(
            values_N.split(list(counts))
            for values_N in (scores.tokens_N, scores.confidence_N, scores.ends_N, scores.end_confidence_N)
        ),
        strict=True,
    )
    return [Scores(*part) for part in parts]
