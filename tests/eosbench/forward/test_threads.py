"""The number of threads that torch computes with: by processors, by model, by the user."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from eosbench.backbone import BackboneSpec
from eosbench.forward import threads
from eosbench.forward.threads import Threads, processors, useful_threads
from model_adapters import load_backbone
from tests.golden_files import GOLDEN

SPEC = BackboneSpec("llada", 0, frozenset({1}), 0, 64, 600, 192, False, "", layers=4)
SMALL, LARGE = replace(SPEC, block_parameters=4 * 800_000), replace(SPEC, block_parameters=10**9)


class Machine:
    """A machine with many cores, and torch's threads on it."""

    def __init__(self, patch: pytest.MonkeyPatch, cores: int, here: int, threads: int) -> None:
        self.threads = threads
        for name in threads_are_chosen_by():
            patch.delenv(name, raising=False)
        patch.setattr(os, "cpu_count", lambda: cores)
        patch.setattr("eosbench.forward.threads.processors", lambda: here)
        patch.setattr(torch, "get_num_threads", lambda: self.threads)
        patch.setattr(torch, "set_num_threads", self.set)

    def set(self, number: int) -> None:
        self.threads = number


def threads_are_chosen_by() -> tuple[str, ...]:
    return threads.CHOSEN_BY


@pytest.mark.parametrize(
    ("here", "spec", "expected"),
    [(2, LARGE, 2), (64, LARGE, 64), (64, SMALL, 3), (2, SMALL, 2), (1, LARGE, 1), (64, SPEC, 64)],
)
def test_processors_and_the_model_bound_them(
    here: int, spec: BackboneSpec, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(monkeypatch, cores=64, here=here, threads=64)
    assert Threads().bound_for(spec) == machine.threads == expected


def test_one_thread_for_a_core_of_two_processors_is_torch_s_own_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(monkeypatch, cores=64, here=4, threads=32)
    assert Threads().bound_for(LARGE) == machine.threads == 4


def test_they_are_never_more_than_torch_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, cores=64, here=64, threads=32)
    assert Threads().bound_for(LARGE) == machine.threads == 32


@pytest.mark.parametrize("name", threads.CHOSEN_BY)
def test_the_environment_chooses(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, cores=64, here=2, threads=8)
    monkeypatch.setenv(name, "8")
    assert Threads().bound_for(LARGE) == machine.threads == 8


def test_a_call_of_torch_chooses_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, cores=64, here=2, threads=5)
    assert Threads().bound_for(LARGE) == machine.threads == 5
    machine = Machine(monkeypatch, cores=64, here=2, threads=64)
    bound = Threads()
    assert bound.bound_for(LARGE) == 2
    machine.set(7)
    assert bound.bound_for(SMALL) == machine.threads == 7


def test_a_larger_model_raises_them_and_a_smaller_one_leaves_them(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    machine, bound = Machine(monkeypatch, cores=64, here=16, threads=64), Threads()
    with caplog.at_level(logging.INFO):
        assert [bound.bound_for(spec) for spec in (SMALL, LARGE, SMALL)] == [3, 16, 16]
    assert machine.threads == 16
    (said,) = caplog.messages  # logged once
    assert said.startswith(
        "torch computes with 3 threads instead of 64: 16 processors are at hand, and the model can "
        "use 3 ("
    )


def test_no_other_number_is_named_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Machine(monkeypatch, cores=2, here=2, threads=2)
    with caplog.at_level(logging.INFO):
        assert Threads().bound_for(LARGE) == 2
    assert "torch computes with 2 threads: 2 processors" in caplog.text


def test_what_a_model_can_use() -> None:
    assert useful_threads(SMALL) == 3
    assert useful_threads(replace(SPEC, block_parameters=1000)) == 1


def control_groups(root: Path, membership: str, files: dict[str, str]) -> Path:
    """A folder with what Linux shows of a process's control groups."""
    for name, text in {"proc/self/cgroup": membership, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/", {"cpu.max": "200000 100000"}, 2),
        ("0::/", {"cpu.max": "max 100000"}, 64),
        ("0::/", {"cpu.max": "150000 100000"}, 1),
        ("0::/", {"cpu.max": "50000 100000"}, 1),
        ("0::/", {}, 64),
        ("0::/user.slice/session", {"user.slice/cpu.max": "400000 100000"}, 4),
        (
            "0::/a/b",
            {"a/cpu.max": "800000 100000", "a/b/cpu.max": "300000 100000", "cpu.max": "max 100000"},
            3,
        ),
        # Version 1, in a container: its own group is the top of what it sees.
        (
            "5:devices:/docker/x\n4:cpu,cpuacct:/docker/x",
            {"cpu/cpu.cfs_quota_us": "600000", "cpu/cpu.cfs_period_us": "100000"},
            6,
        ),
        (
            "4:cpu,cpuacct:/job",
            {
                "cpu,cpuacct/job/cpu.cfs_quota_us": "250000",
                "cpu,cpuacct/job/cpu.cfs_period_us": "50000",
            },
            5,
        ),
        ("4:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64),
    ],
)
def test_the_quota_of_control_groups(
    membership: str,
    files: dict[str, str],
    expected: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    found = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    assert processors(control_groups(tmp_path, f"{membership}\n", found)) == expected


def test_affinity_counts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 7}, raising=False)
    assert processors(tmp_path) == 2  # no control groups at all
    files = {"sys/fs/cgroup/cpu.max": "400000 100000"}
    assert processors(control_groups(tmp_path, "0::/", files)) == 2


def test_a_model_that_is_loaded_on_a_cpu_bounds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, cores=64, here=64, threads=64)
    monkeypatch.setattr(threads, "_threads", Threads())
    load_backbone(GOLDEN / "llada-tiny")
    assert machine.threads == 1
