"""Fixtures for every room. Heavy imports stay inside them, so that tests of the light rooms start without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.golden_files import Golden


@pytest.fixture(params=["llada-tiny", "llada-tiny-gqa", "llada-trained"])
def llada(request: pytest.FixtureRequest) -> Golden:
    """Each golden checkpoint of the LLaDA family in turn."""
    from tests.golden_files import load_golden

    return load_golden(request.param)
