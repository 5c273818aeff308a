"""Threads of a pass on a CPU: no more than the processors at hand, nor than the model can use.

torch takes a thread for every core of the machine, also where a container may use two of 64, and
threads that wait for each other spin: they use up the quota, or the cores of another job. And
a small model gains nothing by many threads, since each of its products is over before they have
met.

Whoever sets `OMP_NUM_THREADS` or `MKL_NUM_THREADS`, or calls `torch.set_num_threads` with another
number than torch's own, has chosen, and is left alone.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from eosbench.backbone import BackboneSpec

logger = logging.getLogger(__name__)

CHOSEN_BY = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
# Weights of a transformer block for each thread. Measured on two processors: with half a million
# weights a block, a batch of 16 is 1.6 times faster on two threads than on one; a single row is
# not.
WEIGHTS_OF_A_THREAD = 2**18


@dataclass
class Threads:
    """The number of threads that torch computes with in this process.

    Attributes:
        first: torch's own number, before it was bounded; None until then.
        bounded: the number that it was bounded to; None until then.
        useful: threads that the largest model so far can use.
    """

    first: int | None = None
    bounded: int | None = None
    useful: int = 1

    def bound_for(self, spec: BackboneSpec) -> int:
        """Bounds torch's threads for a model that runs on a CPU, unless the user set them.

        A second model may raise the number again, up to torch's own, and never lowers it.

        Returns:
            the number of threads that torch computes with from now on.
        """
        now, here = torch.get_num_threads(), processors()
        if self.first is None:
            self.first = now
        if any(os.environ.get(name) for name in CHOSEN_BY) or not self._is_torchs_own(now, here):
            return now
        self.useful = max(self.useful, useful_threads(spec))
        chosen = max(1, min(self.first, here, self.useful))
        if chosen != now:
            torch.set_num_threads(chosen)
        if self.bounded is None:
            logger.info(
                "torch computes with %d threads%s: %d processors are at hand, and the model can "
                "use %d (OMP_NUM_THREADS chooses another number)",
                chosen,
                "" if chosen == self.first else f" instead of {self.first}",
                here,
                self.useful,
            )
        self.bounded = chosen
        return chosen

    def _is_torchs_own(self, now: int, here: int) -> bool:
        """Whether nobody but torch, or this bound, has chosen the number.

        torch's own number is that of the processors or, where a core has two of them, of the cores.
        """
        machine = os.cpu_count() or 1
        own = {machine, machine // 2, here, here // 2, 1}
        return now == self.bounded if self.bounded is not None else now in own


_threads = Threads()


def bound_threads(spec: BackboneSpec) -> int:
    """`Threads.bound_for` of this process: call it for every model that runs on a CPU."""
    return _threads.bound_for(spec)


def useful_threads(spec: BackboneSpec) -> int:
    """Threads that a model can use: one for every `WEIGHTS_OF_A_THREAD` weights of a block.

    Example:
        >>> from dataclasses import replace
        >>> spec = BackboneSpec("llada", 0, frozenset(), 0, 64, 600, 192, False, "")
        >>> useful_threads(replace(spec, layers=5, block_parameters=2_200_000))
        2
    """
    if not spec.block_parameters:  # not known
        return os.cpu_count() or 1
    return max(1, round(spec.block_parameters / max(1, spec.layers) / WEIGHTS_OF_A_THREAD))


def processors(root: Path = Path("/")) -> int:
    """Processors that this process may use: its affinity, and the quota of its control groups.

    Args:
        root: the folder below which `proc` and `sys` lie.
    """
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    return max(1, math.floor(min([count, *quotas(root)])))


def quotas(root: Path = Path("/")) -> Iterator[float]:
    """Processors that each control group above this process allows, where it has a limit.

    Both versions of control groups are read. Inside a container the folder of the container's own
    group is the top one.
    """
    for folder in _control_groups(root):
        maximum = _numbers(folder / "cpu.max")  # version 2: quota and period, or "max"
        quota = _numbers(folder / "cpu.cfs_quota_us")  # version 1: -1 is no limit
        period = _numbers(folder / "cpu.cfs_period_us")
        for numbers in (maximum, quota + period):
            if len(numbers) == 2 and min(numbers) > 0:
                yield numbers[0] / numbers[1]


def _control_groups(root: Path) -> Iterator[Path]:
    """The folders of this process's control groups that may limit processors, and those above."""
    mounts = root / "sys" / "fs" / "cgroup"
    try:
        lines = (root / "proc" / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        for mount in (mounts / controllers, mounts / "cpu") if controllers else (mounts,):
            group = mount / path.lstrip("/")
            yield group
            yield from (above for above in group.parents if above.is_relative_to(mount))


def _numbers(file: Path) -> list[float]:
    """The numbers in a file, none where it cannot be read or holds a word."""
    try:
        return [float(word) for word in file.read_text(encoding="utf-8").split()]
    except (OSError, ValueError):
        return []
