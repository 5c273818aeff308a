"""The engine: sequences share forward passes, and one that is done makes room for the next.

    engine = Engine(backbone, batch_size=16)
    engine.add(Sequence(backbone.spec, prompt_ids, config, index=7))
    for sequence in engine:              # as they finish; more may be added meanwhile
        sequence.index, sequence.canvas

Each pass goes through four hands: the scheduler (scheduler.py) says who is in it, the model runner
(model_runner.py) lays them out and runs the model, the sampler (sampler.py) chooses tokens, and the
policy of each sequence (policy.py) decides which of them stay and what it asks of the next pass.
The output layer, which is most of the work where the vocabulary is large, is applied to the
positions that a step asks for, and to no others.

Legend: N positions of all steps of a pass, n those of one, V vocabulary.
"""

from __future__ import annotations

import time
from collections import abc, deque
from functools import partial

import torch

from eosbench.backbone import Backbone
from eosbench.decoding.block_runner import BlockRunner
from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.model_runner import HiddenStates, ModelRunner
from eosbench.decoding.policy import Scores
from eosbench.decoding.sampler import choose_tokens, precise
from eosbench.decoding.sampling import Sampling
from eosbench.decoding.scheduler import FULL_ENOUGH, Batch, Scheduler
from eosbench.decoding.sequence import Sequence
from eosbench.forward import BatchSize, TimedBackbone, logits_in_pieces, read_together

# Tokens and their confidences, each [N].
Chosen = tuple[torch.Tensor, torch.Tensor]


class Engine:
    """Iterate over it to decode what was added; it yields each sequence when it is done.

    Args:
        backbone: the model.
        batch_size: sequences per pass at most; halved, with a warning, when they do not fit into
            memory.
        full_enough: the part of a padded batch that must be tokens for another sequence to join it.

    Attributes:
        forward_passes: of the whole batch so far.
    """

    def __init__(
        self, backbone: Backbone, batch_size: int = 16, *, full_enough: float = FULL_ENOUGH
    ) -> None:
        self.backbone = TimedBackbone(backbone)
        self.forward_passes = 0
        self._size = BatchSize(batch_size)
        self._scheduler = Scheduler(full_enough)
        self._runner: ModelRunner | BlockRunner = ModelRunner(self.backbone)
        if backbone.spec.attention == "block":
            self._runner = BlockRunner(self.backbone)
        self._finished: deque[Sequence] = deque()

    @torch.no_grad()
    def add(self, sequence: Sequence, first_ND: torch.Tensor | None = None) -> None:
        """Takes a sequence in.

        Args:
            sequence: the sequence.
            first_ND: hidden states that score the first N positions of its canvas, from a pass over
                the sequence as it stands, which has been run and charged already. Its first pass is
                then left out, where that is all that it would compute (docs/engine.md).
        """
        if first_ND is not None:
            self._begin_from(sequence, first_ND)
        if sequence.done:
            self._finished.append(sequence)
        else:
            self._scheduler.add(sequence)

    @torch.no_grad()
    def __iter__(self) -> abc.Iterator[Sequence]:
        """Yields the sequences as they finish."""
        while True:
            while self._finished:
                yield self._finished.popleft()
            batch = self._scheduler.schedule(self._size.limit)
            if batch is None:
                return
            self._pass(batch)
            self._finished.extend(one for one in batch.sequences if one.done)

    def _begin_from(self, sequence: Sequence, first_ND: torch.Tensor) -> None:
        """Answers the first step of a sequence from a pass that was run before.

        A pass with a cache also keeps keys and values, one with guidance runs without the prompt
        too, and with a suffix it sees what stands behind the canvas: these are run.
        """
        step, config = sequence.step, sequence.config
        if step is None or step.whole_canvas or step.columns or sequence.suffix_length:
            return
        if config.cache or config.cfg_scale:
            return
        count = len(step.positions_N)
        if count > len(first_ND) or not step.positions_N.equal(torch.arange(count)):
            return
        started, in_model = time.perf_counter(), self.backbone.seconds
        hidden_ND = first_ND[:count].to(self.backbone.device)
        (scores,) = self._scores([sequence], HiddenStates((hidden_ND,), count, [None], [0]))
        sequence.advance(scores, 0, ran=False)
        sequence.seconds += time.perf_counter() - started
        sequence.model_seconds += self.backbone.seconds - in_model

    def _pass(self, batch: Batch) -> None:
        """One forward pass; one that does not fit into memory changes no sequence."""
        started, in_model = time.perf_counter(), self.backbone.seconds
        sequences = batch.sequences
        with self._size.halved_if_out_of_memory(len(sequences)) as attempt:
            states = self._runner.run(batch)
            scores = self._scores(sequences, states)
        if not attempt.succeeded:
            self._scheduler.make_room(self._size.limit)
            return
        for one, its_scores, tokens in zip(sequences, scores, states.token_positions, strict=True):
            one.advance(its_scores, tokens)
        seconds = (time.perf_counter() - started) / len(sequences)
        model_seconds = (self.backbone.seconds - in_model) / len(sequences)
        for one in sequences:
            one.seconds += seconds
            one.model_seconds += model_seconds
        self.forward_passes += 1

    def _scores(self, sequences: list[Sequence], states: HiddenStates) -> list[Scores]:
        """The pass's answer to every sequence's step."""
        config = sequences[0].config
        sampling = Sampling.of(config, self.backbone.spec)
        steps = [one.step for one in sequences if one.step is not None]
        counts = [len(step.positions_N) for step in steps]
        hidden = states.of_steps()
        generators = self._generators(sequences)
        penalises = sampling is not None and sampling.penalises
        if config.draws_tokens or penalises:
            seen = [one.standing() if penalises else None for one in sequences]
            chosen_N = self._choose_each(hidden, config, counts, generators, seen)
        else:
            chosen_N = self._choose(hidden, config, sampling)
        likeliest_N = chosen_N
        moved = config.draws_tokens or (sampling is not None and sampling.moves_likeliest)
        if moved and any(step.likeliest for step in steps):
            likeliest_N = self._choose(hidden, config)
        if config.draws_positions:
            chosen_N = chosen_N[0], self._random_confidences(counts, generators)
        distinct = [chosen_N] if likeliest_N is chosen_N else [chosen_N, likeliest_N]
        chosen, likeliest = _split(distinct, counts)
        return [
            Scores(
                chosen[place],
                likeliest[place],
                partial(self._logits, states, place, config),
                self.backbone.spec.mask_id,
            )
            for place in range(len(sequences))
        ]

    def _generators(self, sequences: list[Sequence]) -> list[torch.Generator]:
        """The random numbers of each sequence's pass; none where nothing is drawn."""
        config = sequences[0].config
        if not config.is_random:
            return []
        return [one.generator(self.backbone.device) for one in sequences]

    def _choose_each(
        self,
        hidden: list[torch.Tensor],
        config: DecodeConfig,
        counts: list[int],
        generators: list[torch.Generator],
        seen: list[torch.Tensor | None],
    ) -> Chosen:
        """Tokens for all N positions and their confidences, sequence after sequence.

        Each sequence draws from its own generator, in pieces that depend on it alone, and its own
        tokens are those that a repetition penalty is for.
        """
        sampling = Sampling.of(config, self.backbone.spec)
        parts = zip(*(hidden_ND.split(counts) for hidden_ND in hidden), strict=True)
        drawing = generators if config.draws_tokens else [None] * len(counts)
        chosen = [
            self._choose(part, config, sampling, generator, seen_n)
            for part, generator, seen_n in zip(parts, drawing, seen, strict=True)
        ]
        return _joined(chosen)

    def _choose(
        self,
        hidden: abc.Sequence[torch.Tensor],
        config: DecodeConfig,
        sampling: Sampling | None = None,
        generator: torch.Generator | None = None,
        seen_n: torch.Tensor | None = None,
    ) -> Chosen:
        """The token for each of N positions and its confidence.

        Tokens are drawn from the generator; without one they are the likeliest. Without sampling
        options they are the model's own.
        """
        pieces = [
            choose_tokens(
                logits_NV,
                mask_id=self.backbone.spec.mask_id,
                temperature=0.0 if generator is None else config.temperature,
                generator=generator,
                confidence=config.remasking,
                suppress=config.suppress_tokens,
                sampling=sampling,
                seen_n=seen_n if seen_n is None else seen_n.to(logits_NV.device),
            )
            for logits_NV in logits_in_pieces(self.backbone, hidden, config.cfg_scale)
        ]
        return _joined(pieces)

    def _random_confidences(
        self, counts: list[int], generators: list[torch.Generator]
    ) -> torch.Tensor:
        """[N] random numbers in the place of confidences, from each sequence's own generator."""
        device = self.backbone.device
        confidences = [
            torch.rand(count, generator=generator, dtype=precise(device), device=device)
            for count, generator in zip(counts, generators, strict=True)
        ]
        return torch.cat(confidences)

    def _logits(
        self, states: HiddenStates, place: int, config: DecodeConfig, positions_n: torch.Tensor
    ) -> abc.Iterator[torch.Tensor]:
        """Logits of any canvas positions of one sequence, as pieces [n, V]."""
        hidden = states.of(place, positions_n)
        return logits_in_pieces(self.backbone, hidden, config.cfg_scale)


def _joined(pieces: list[Chosen]) -> Chosen:
    """The tokens and confidences of all pieces."""
    tokens, confidences = zip(*pieces, strict=True)
    return torch.cat(tokens), torch.cat(confidences)


def _split(distinct: abc.Sequence[Chosen], counts: list[int]) -> tuple[list[Chosen], list[Chosen]]:
    """The chosen tokens of each sequence, and its likeliest ones, on the host.

    Args:
        distinct: those that were chosen, and the likeliest where these are others.
        counts: the positions of each sequence.
    """
    parts = [
        list(zip(tokens_N.split(counts), confidence_N.split(counts), strict=True))
        for tokens_N, confidence_N in read_together(distinct)
    ]
    return parts[0], parts[-1]
