"""Predictors by hub id, with the hub's client replaced: nothing here needs a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from eosbench.errors import PredictorError
from eosbench.predictors.card import model_card
from eosbench.predictors.hub import local_folder, push


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    local_folder.cache_clear()
    yield
    local_folder.cache_clear()


def test_a_hub_id_is_a_snapshot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[str, Any]] = []

    def download(repository: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((repository, revision))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert local_folder("someone/heads") == local_folder("someone/heads@v1.0") == tmp_path
    assert asked == [("someone/heads", None), ("someone/heads", "v1.0")]


def test_a_folder_that_is_here_is_never_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("heads/cls").mkdir(parents=True)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", None)
    assert local_folder("heads/cls") == Path("heads/cls")
    assert local_folder("just-a-name") == Path("just-a-name")
    assert local_folder("a/path/of/three") == Path("a/path/of/three")


def test_neither_here_nor_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: Any, **__: Any) -> str:
        raise LocalEntryNotFoundError("no connection\nand more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(
        PredictorError,
        match=r"no predictor folder 'someone/heads' here, and .* \(no connection\): make it with",
    ):
        local_folder("someone/heads")


def test_a_push_uploads_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[dict[str, Any]] = []

    class Hub:
        def create_repo(self, repository: str, **more: Any) -> Any:
            calls.append({"create": repository, **more})
            return huggingface_hub.RepoUrl(f"https://huggingface.co/{repository}")

        def upload_folder(self, **more: Any) -> None:
            calls.append(more)

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    with pytest.raises(PredictorError, match="holds no predictor: fit it first"):
        push(tmp_path, "someone/heads")
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    assert push(tmp_path, "someone/heads") == "https://huggingface.co/someone/heads"
    assert calls[0] == {"create": "someone/heads", "private": False, "exist_ok": True}
    assert (calls[1]["folder_path"], calls[1]["repo_id"]) == (tmp_path, "someone/heads")


def test_the_card_says_on_what_it_was_fitted_and_how_it_scored() -> None:
    card = model_card(
        {
            "method": "classification",
            "canvas": 64,
            "options": {"tau": 0.5},
            "backbone": {"name": "owner/dlm", "fingerprint": "0123"},
            "data": {
                "source": "gsm8k:train",
                "train": {"documents": 300, "digest": "aa"},
                "calibration": {"documents": 40, "digest": "bb"},
                "censored": 7,
            },
            "fit": {
                "alpha": 0.05,
                "scores": {
                    "0": {"rmse": 12.345, "coverage": 0.95, "overshoot": 8.0, "saved": 30.0}
                },
            },
        }
    )
    for line in (
        "base_model: owner/dlm",
        "# classification: length predictor for owner/dlm",
        "`tau=0.5`",
        "Source: gsm8k:train.",
        "Trained on 300 documents (digest `aa`)",
        "calibrated on 40 others (digest `bb`). 7 were left out",
        "| unmasked | rmse | coverage | overshoot | shortfall | saved |",
        "| 0 | 12.3 | 0.95 | 8 | – | 30 |",
        "--model_args pretrained=owner/dlm,max_gen_toks=64,method=classification,predictor=",
    ):
        assert line in card
    assert card.startswith("---\nlibrary_name: eosbench\n")
