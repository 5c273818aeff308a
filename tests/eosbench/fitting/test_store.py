"""Features on disk: whose they are, what a killed fit finds, and that nothing broken is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from eosbench.errors import ConfigurationError
from eosbench.fitting.examples import FitData
from eosbench.fitting.features import extract
from eosbench.fitting.fit import fit_all
from eosbench.fitting.jobs import FitJob
from eosbench.fitting.passes import Passes, one_fraction_each
from eosbench.fitting.store import FeatureStore, bytes_per_sample
from eosbench.fitting.train import TrainingSettings
from eosbench.predictors import FittedPredictor, build
from eosbench.predictors.protocol import Kept, LearnedPredictor
from tests.eosbench.toy import CANVAS, toy_backbone, toy_examples

KEPT = {"pooled": Kept((3,), torch.float32), "few": Kept((2, 2), torch.bfloat16)}
SAMPLES = one_fraction_each(toy_examples(32, seed=0), (0.0, 0.5))


def store(root: Path, **changes: Any) -> FeatureStore:
    return FeatureStore(
        root, **{"backbone": toy_backbone(), "samples": SAMPLES, "canvas": CANVAS, **changes}
    )


def learner(method: str = "average_regression") -> LearnedPredictor:
    return build(method, backbone=toy_backbone(), canvas=CANVAS)  # type: ignore[return-value]


def unfitted() -> FittedPredictor:
    return FittedPredictor("average_regression", learner())


class Share:
    """One of two processes that take turns in this test instead of running at once."""

    world_size = 2

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def wait(self) -> None:
        pass

    def everyones(self, obj: Any) -> list[Any]:
        return [obj]


def test_what_was_written_is_read_again_and_the_rest_is_missing(tmp_path: Path) -> None:
    first = store(tmp_path)
    first.open(KEPT)
    assert first.missing(KEPT) == list(range(32))
    pooled_BD, few_BKD = (
        torch.tensor([[1.5, -2, 3e-8], [4, 5, 6]]),
        torch.tensor([[[1.0, 2], [3, 4]], [[5, 6], [7, -0.5]]]),
    )
    first.write([3, 30], {"pooled": pooled_BD, "few": few_BKD})

    again = store(tmp_path)
    again.open(KEPT)
    assert again.missing(KEPT) == [row for row in range(32) if row not in (3, 30)]
    found = again.read(list(KEPT), [30, 3])
    assert torch.equal(found["pooled"], pooled_BD.flip(0)) and torch.equal(
        found["few"].float(), few_BKD.flip(0)
    )
    assert found["few"].dtype == torch.bfloat16


@pytest.mark.parametrize(
    "changes",
    [
        {"canvas": CANVAS - 1},
        {"samples": SAMPLES[::-1]},
        {"samples": one_fraction_each(toy_examples(32, seed=0), (0.0, 0.25))},
        {"samples": one_fraction_each(toy_examples(32, seed=1), (0.0, 0.5))},
    ],
)
def test_a_store_is_one_model_s_on_one_canvas_and_data_set(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    assert store(tmp_path).folder == store(tmp_path).folder != store(tmp_path, **changes).folder


def test_bytes_per_sample_do_not_grow_with_the_canvas() -> None:
    """By hand, for a width of 29: two means in float32, 16 and 64 positions in bfloat16, and 64
    indices in int32.
    """
    sizes = {
        method: bytes_per_sample(learner(method).kept)
        for method in ("average_regression", "concat_regression", "classification")
    }
    assert sizes == {
        "average_regression": 2 * 29 * 4,
        "concat_regression": 16 * 29 * 2,
        "classification": 64 * 29 * 2 + 64 * 4,
    }


def test_a_killed_extraction_goes_on_where_it_was(tmp_path: Path) -> None:
    """Killed in the third of four passes: the next run makes two, and the numbers are those of a
    run in one go.
    """

    class KilledError(Exception):
        pass

    class Killed(FeatureStore):
        def write(self, rows: Any, features: Any) -> None:
            if sum(self._done["pooled"]) == 16:
                raise KilledError
            super().write(rows, features)

    with pytest.raises(KilledError):
        extract(
            Killed(tmp_path, backbone=toy_backbone(), samples=SAMPLES, canvas=CANVAS),
            [unfitted()],
            Passes(toy_backbone(), CANVAS, batch_size=8),
        )
    backbone, later, whole = toy_backbone(), store(tmp_path), store(tmp_path / "whole")
    extract(later, [unfitted()], Passes(backbone, CANVAS, batch_size=8))
    assert len(backbone.passes) == 2  # type: ignore[attr-defined]
    extract(whole, [unfitted()], Passes(toy_backbone(), CANVAS, batch_size=8))
    rows = list(range(32))
    assert torch.equal(
        later.read(["pooled"], rows)["pooled"], whole.read(["pooled"], rows)["pooled"]
    )


def test_two_processes_fill_one_store(tmp_path: Path) -> None:
    for rank in (0, 1):
        backbone, own = toy_backbone(), store(tmp_path)
        if rank == 1:  # in truth both read what is missing before either writes
            own.missing = lambda names: list(range(32))  # type: ignore[method-assign]
        extract(own, [unfitted()], Passes(backbone, CANVAS, batch_size=8, workers=Share(rank)))
        assert len(backbone.passes) == 2  # type: ignore[attr-defined]
    filled, alone = store(tmp_path), store(tmp_path / "alone")
    filled.open(learner().kept)
    assert filled.missing(["pooled"]) == []
    extract(alone, [unfitted()], Passes(toy_backbone(), CANVAS, batch_size=8))
    rows = list(range(32))
    assert torch.equal(
        filled.read(["pooled"], rows)["pooled"], alone.read(["pooled"], rows)["pooled"]
    )


def test_a_later_fit_of_another_method_and_seed_runs_no_pass_over_the_training_documents(
    tmp_path: Path,
) -> None:
    def passes(method: str, seed: int) -> int:
        backbone, examples = toy_backbone(), toy_examples(32, seed=0)
        fit_all(
            [FitJob(method, tmp_path / f"{method}{seed}", seed=seed)],
            passes=Passes(backbone, CANVAS, batch_size=8),
            data=FitData(examples, examples[:20]),
            training=TrainingSettings(epochs=1),
            fractions=(0.0,),
            store=tmp_path / "store",
        )
        return len(backbone.passes)  # type: ignore[attr-defined]

    assert passes("average_regression", 0) == 4 + 3  # 32 documents, then 20 for the calibration
    assert passes("average_regression", 1) == 3
    assert passes("classification", 0) == 3


def test_a_fit_of_what_reads_the_prompt_alone_runs_no_pass(tmp_path: Path) -> None:
    backbone, examples = toy_backbone(), toy_examples(32, seed=0)
    fit_all(
        [FitJob("distilbert", tmp_path / "head", {"encoder": "scratch"})],
        passes=Passes(backbone, CANVAS, batch_size=8),
        data=FitData(examples, examples[:20]),
        training=TrainingSettings(epochs=1),
        fractions=(0.0,),
        store=tmp_path / "store",
    )
    assert len(backbone.passes) == 0  # type: ignore[attr-defined]


def test_numbers_that_are_not_finite_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    broken, output = toy_backbone(), tmp_path / "heads"
    real = broken.hidden
    broken.hidden = lambda *given, **more: real(*given, **more) * float("nan")  # type: ignore[method-assign]
    with pytest.raises(
        ConfigurationError,
        match=r"the hidden states of document \d+ \('n\d+.*'\) hold NaN or infinite numbers",
    ):
        fit_all(
            [FitJob("average_regression", output)],
            passes=Passes(broken, CANVAS),
            data=FitData(toy_examples(32, seed=0), toy_examples(20, seed=1)),
            fractions=(0.0,),
            store=tmp_path / "store",
        )
    assert not output.exists()
    found = FeatureStore(
        tmp_path / "store",
        backbone=broken,
        samples=one_fraction_each(toy_examples(32, seed=0), (0.0,)),
        canvas=CANVAS,
    )
    found.open(learner().kept)
    assert len(found.missing(["pooled"])) == 32
