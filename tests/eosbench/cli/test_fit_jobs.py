"""The jobs of `eosbench fit`: methods, seeds, options and folders, as they were typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eosbench.canvas_view import FULL, CanvasView
from eosbench.cli.fit_jobs import asked_jobs
from eosbench.errors import ConfigurationError


def test_options_of_a_fit_have_the_types_of_the_method() -> None:
    def options(method: str, *pairs: str) -> dict[str, Any]:
        (job,) = asked_jobs(method, Path("x"), [0], list(pairs), [FULL])
        return dict(job.options)

    assert options("distilbert", "encoder=2024", "train_encoder=0") == {
        "encoder": "2024",  # a folder, whose name is no number
        "train_encoder": False,
    }
    assert options("distilbert", "encoder_revision=none") == {"encoder_revision": None}
    assert options("classification", "hidden=1e2", "tau=1") == {"hidden": 100, "tau": 1.0}
    with pytest.raises(ConfigurationError, match="hidden='half': expected a whole number"):
        options("classification", "hidden=half")
    with pytest.raises(ConfigurationError, match="'logit' has no option depth"):
        options("logit", "depth=3")


def test_methods_that_read_the_model_get_the_part_of_the_canvas(tmp_path: Path) -> None:
    """The methods that read the model get it, and the folder says so."""
    grid = CanvasView.of("grid:31")
    jobs = asked_jobs("classification,distilbert", tmp_path, [0], [], [grid])
    assert [job.options for job in jobs] == [{"step_zero": "grid:31"}, {}]
    assert [job.output.name for job in jobs] == ["classification-grid-31", "distilbert"]
    (alone,) = asked_jobs("logit", tmp_path, [0], [], [FULL])
    assert (alone.options, alone.output) == ({}, tmp_path)
    several = asked_jobs("logit,mean", tmp_path, [0, 1], [], [FULL, grid])
    assert [(str(job.output.relative_to(tmp_path)), job.seed) for job in several] == [
        ("seed-0/logit", 0),
        ("seed-0/logit-grid-31", 0),
        ("seed-0/mean", 0),
        ("seed-1/logit", 1),
        ("seed-1/logit-grid-31", 1),
        ("seed-1/mean", 1),
    ]
    with pytest.raises(ConfigurationError, match="--step_zero grid:9 beside --option step_zero="):
        asked_jobs("logit", tmp_path, [0], ["step_zero=grid:8"], [CanvasView.of("grid:9")])
