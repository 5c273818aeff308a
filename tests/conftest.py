"""Fixtures for every room.

Heavy imports stay inside them, so that tests of the light rooms start without torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.real_data import BUILDER, offline_cache

if TYPE_CHECKING:
    from tests.golden_files import Golden


@pytest.fixture(params=["llada-tiny", "llada-tiny-gqa", "llada-trained"])
def llada(request: pytest.FixtureRequest) -> Golden:
    """Each golden checkpoint of the LLaDA family in turn."""
    from tests.golden_files import load_golden

    return load_golden(request.param)


@pytest.fixture
def public_rows(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes `datasets` read the published rows without a network; skips where there are none."""
    if not BUILDER.is_file():
        pytest.skip(f"the public data sets' rows are not here: {BUILDER} is missing")
    import datasets

    home = offline_cache()
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", home / "datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return home
