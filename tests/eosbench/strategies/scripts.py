"""Scripted models whose answer is known however long the canvas is, and jobs for strategies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from eosbench.backbone import Backbone
from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.window import Answer, Job, generate
from eosbench.strategies.protocol import Strategy
from tests.fakes import EOS, ScriptedBackbone, table

V = 60
PROMPT = (9, 9, 9)
VOID = 2  # what a model of VoidPadding says behind the EOS
SURE = 0.95


def saying(
    answer: Sequence[int], confidence: Callable[[int, int], float] = lambda at, length: SURE
) -> ScriptedBackbone:
    """After three tokens of prompt, this answer and then EOS; `confidence` is asked canvas position
    and canvas length.
    """

    def script(ids_T: torch.Tensor) -> torch.Tensor:
        length = len(ids_T) - len(PROMPT)
        said = [answer[at] if at < len(answer) else EOS for at in range(length)]
        return table(
            [*PROMPT, *said],
            [SURE] * len(PROMPT) + [confidence(at, length) for at in range(length)],
            V,
        )

    return ScriptedBackbone(script, vocab_size=V)


def counting(padding: int = EOS) -> ScriptedBackbone:
    """Reads its prompt (first token: where to begin, second: how many) and counts, with an EOS and
    then `padding` behind it; confidences wander with the canvas.
    """

    def script(ids_T: torch.Tensor) -> torch.Tensor:
        start = (ids_T == 9).nonzero()[-1].item() + 1
        length = len(ids_T) - start
        count = [int(ids_T[0]) + at for at in range(int(ids_T[1]))]
        said = [*count, EOS, *[padding] * length][:length]
        sure = [
            0.97 - 0.93 * ((7 * at + 3 * length + int(ids_T[1])) % 11) / 11 for at in range(length)
        ]
        return table([*ids_T[:start].tolist(), *said], [SURE] * start + sure, V)

    return ScriptedBackbone(script, vocab_size=V)


def job(prompt: Sequence[int] = PROMPT, seed: int = 0, **settings: int | float | str | None) -> Job:
    config = DecodeConfig(**settings)  # type: ignore[arg-type]
    return Job(tuple(prompt), config, config.gen_length, seed)


def generated(
    strategy: Strategy, backbone: Backbone, jobs: Sequence[Job], batch_size: int = 16
) -> dict[int, Answer]:
    """The answer of each job by its index."""
    policy, ours = strategy.prepare(backbone, jobs)
    return dict(generate(backbone, ours, batch_size=batch_size, policy=policy))


def answers(
    strategy: Strategy, backbone: ScriptedBackbone, *jobs: Job, batch_size: int = 4
) -> list[Answer]:
    found = generated(strategy, backbone, jobs, batch_size=batch_size)
    assert sorted(found) == list(range(len(jobs)))
    return [found[index] for index in range(len(jobs))]


def canvases(backbone: ScriptedBackbone) -> list[list[int]]:
    """What stood on the canvas at every pass of the one row."""
    return [ids[0, len(PROMPT) :].tolist() for ids, _ in backbone.passes]
