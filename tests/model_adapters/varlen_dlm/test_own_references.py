"""`reference=self`: bounds compared with what the model itself says, which every method reads and
nobody is charged for.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from eosbench.errors import ConfigurationError
from eosbench.records import LengthRecord
from model_adapters.varlen_dlm.model import VarLenDLM
from tests.model_adapters.varlen_dlm.scripted_model import (
    asked,
    backbone_of,
    benchmark,
    ids,
    model_of,
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EOSBENCH_CACHE", str(tmp_path))
    return tmp_path


def records(model: VarLenDLM, *fractions: float) -> list[LengthRecord]:
    requests = [benchmark("q?", "what somebody else wrote", fraction) for fraction in fractions]
    return [
        LengthRecord.from_json(answer)
        for answer in model.generate_until(requests, disable_tqdm=True)
    ]


def test_the_length_is_the_model_s_own() -> None:
    backbone = backbone_of({"q?": "abcdefgh"})
    model = model_of(backbone, method="fixed", reference="self")
    none, half = records(model, 0.0, 0.5)
    assert (none.length, half.length, none.bound) == (8, 8, 16)
    assert (none.revealed, len(half.revealed)) == ([], 4)
    # One generation for both fractions, a token a step up to the EOS.
    assert len(backbone.passes) == 9


def test_what_is_revealed_is_the_model_s_own() -> None:
    backbone = backbone_of({"q?": "abcdefgh"})
    (found,) = records(model_of(backbone, method="logit", variant="top1", reference="self"), 0.5)
    canvas = backbone.passes[-1][0][0, 3:].tolist()
    assert [canvas[at] for at in found.revealed] == [ids("abcdefgh")[at] for at in found.revealed]


def test_every_method_reads_one_generation() -> None:
    records(model_of(backbone_of({"q?": "abcde"}), method="fixed", reference="self"), 0.0)
    backbone = backbone_of({"q?": "abcde"})
    (found,) = records(
        model_of(backbone, method="logit", variant="top1", rounding="none", reference="self"), 0.0
    )
    assert (found.length, found.bound, len(backbone.passes)) == (5, 5, 1)  # step zero alone


def test_nobody_is_charged_for_it() -> None:
    model = model_of(backbone_of({"q?": "abcde"}), method="fixed", reference="self")
    records(model, 0.0)
    assert model.ledger.totals()["task"]["forward_passes"] == 0


def test_an_answer_that_does_not_end_is_censored() -> None:
    (found,) = records(
        model_of(
            backbone_of({"q?": "abcdefghijklmnopqrstuvwxyz"}), method="fixed", reference="self"
        ),
        0.0,
    )
    assert (found.canvas, found.length) == (16, 17)


def test_the_oracle_is_told_of_it_on_any_task() -> None:
    model = model_of(
        backbone_of({"q?": "abcde"}), method="oracle", rounding="none", reference="self"
    )
    assert [found.bound for found in records(model, 0.0)] == [5]
    # Which sends no reference.
    (text,) = model.generate_until([asked("q?", task="gsm8k")], disable_tqdm=True)
    assert (text, model.ledger.totals()["gsm8k"]["mean_window"]) == ("abcde", 5)


def test_other_runs_do_not_touch_the_cache(cache: Path) -> None:
    records(model_of(backbone_of({"q?": "abcde"}), method="fixed"), 0.0)
    model = model_of(backbone_of({"q?": "abcde"}), method="fixed", reference="self")
    model.generate_until([asked("q?", task="gen")], disable_tqdm=True)
    assert not list(cache.iterdir())


def test_settings_tell_the_runs_apart() -> None:
    fingerprints = {
        model_of(backbone_of({}), method="fixed", reference=whose).fingerprint
        for whose in ("task", "self")
    }
    assert len(fingerprints) == 2
    with pytest.raises(
        ConfigurationError, match="unknown reference 'mine': expected one of task, self"
    ):
        model_of(backbone_of({}), reference="mine")
