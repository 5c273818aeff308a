"""Features of training documents: what learned methods need of step zero, extracted once.

While the backbone runs, each method keeps only what it asks for (`LearnedPredictor.kept`), in a
store on disk (store.py): an epoch of training costs nothing next to a pass, memory does not grow
with the data set, and a fit that is killed goes on where it was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import torch

from eosbench.canvas_view import FULL
from eosbench.fitting.passes import Passes, Sample, batches, needs_of
from eosbench.fitting.store import FeatureStore
from eosbench.predictors import METHODS, FittedPredictor, Kept, LearnedPredictor, build

__all__ = ["extract", "filled_store"]


@contextmanager
def filled_store(
    root: Path | None,
    samples: Sequence[Sample],
    learners: Sequence[FittedPredictor],
    passes: Passes,
) -> Iterator[FeatureStore]:
    """A store with what these learners keep of the samples.

    One that stays on disk also gets what every method keeps by default, so that one pass over the
    whole canvas serves them all. Where none of these learners reads the model, there is no pass.

    Args:
        root: folder of stores; None keeps features in a temporary folder.
        samples: the training documents, each at its fraction.
        learners: predictors with weights.
        passes: how the documents go through the backbone.
    """
    wanted = list(learners)
    whole_canvas = passes.view == FULL and passes.backbone.spec.attention == "full"
    if root is not None and whole_canvas and needs_of(learners):
        wanted += _usual_learners(passes)
    with TemporaryDirectory(prefix="eosbench-features-") as temporary:
        folder = Path(passes.workers.everyones(temporary)[0]) if root is None else root
        store = FeatureStore(
            folder,
            backbone=passes.backbone,
            samples=samples,
            canvas=passes.canvas,
            view=passes.view,
        )
        extract(store, wanted, passes)
        yield store
        passes.workers.wait()


def extract(store: FeatureStore, learners: Collection[FittedPredictor], passes: Passes) -> None:
    """Fills the store with what these learners keep of its samples, in one pass for all.

    What is there already is not computed again.
    """
    kept: dict[str, Kept] = {}
    # Learners that keep arrays of one name keep the same numbers.
    writers: list[FittedPredictor] = []
    for learner in learners:
        if not set(_kept(learner)) <= set(kept):
            writers.append(learner)
            kept |= _kept(learner)
    workers = passes.workers
    if workers.rank == 0:
        store.open(kept)
    workers.wait()
    store.open(kept, create=False)
    writers = [learner for learner in writers if store.missing(_kept(learner))]
    rows = store.missing({name for learner in writers for name in _kept(learner)})
    workers.wait()  # before anyone writes, everyone has read what is missing
    if rows:
        needs = needs_of(writers)
        for indices, batch in batches(
            passes, store.samples, needs=needs, label="features", rows=rows, told=True
        ):
            for learner in writers:
                store.write(indices, cast(LearnedPredictor, learner.predictor).features(batch))
    workers.wait()


def _usual_learners(passes: Passes) -> list[FittedPredictor]:
    """The learned methods that read the DLM, with their default options."""
    names = [name for name, row in METHODS.items() if row.fitting == "weights" and row.needs]
    with torch.random.fork_rng():
        return [
            FittedPredictor(name, build(name, backbone=passes.backbone, canvas=passes.canvas))
            for name in names
        ]


def _kept(learner: FittedPredictor) -> Mapping[str, Kept]:
    return cast(LearnedPredictor, learner.predictor).kept
