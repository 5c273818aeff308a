"""Fixtures for the tests of model_adapters."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.golden_files import GOLDEN


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the golden checkpoint llada-tiny, to be spoilt."""
    shutil.copytree(GOLDEN / "llada-tiny", tmp_path / "copy")
    return tmp_path / "copy"
