"""Names, devices and dtypes that cannot be had are errors that say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from eosbench.errors import CheckpointError
from model_adapters import attends_between_blocks, load_backbone
from tests.golden_files import GOLDEN


def test_names_that_lead_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="no such folder"):
        load_backbone(tmp_path / "nowhere" / "at" / "all")
    with pytest.raises(CheckpointError, match="hf download nobody/nothing"):
        load_backbone("nobody/nothing", revision="main")
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="is a file"):
        load_backbone(tmp_path / "file")


@pytest.mark.parametrize("name", [path.parent.name for path in GOLDEN.glob("*/model.safetensors")])
def test_config_json_alone_says_who_attends_between_blocks(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((GOLDEN / name / "config.json").read_bytes())
    loaded = load_backbone(GOLDEN / name)
    assert attends_between_blocks(str(tmp_path)) == (loaded.spec.attention == "block")
