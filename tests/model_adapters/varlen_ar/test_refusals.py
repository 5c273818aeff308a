"""What `varlen_ar` cannot run: one line each, before any weights are read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eosbench.errors import CheckpointError, ConfigurationError, EosbenchError
from model_adapters.checkpoints import trained_causally
from model_adapters.varlen_ar import VarLenAR
from tests.golden_files import GOLDEN
from tests.model_adapters.varlen_ar.chain_model import saved

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> str:
    return saved(tmp_path_factory.mktemp("chain"))


def refused(kind: type[EosbenchError], *given: Any, **arguments: Any) -> str:
    with pytest.raises(kind) as caught:
        VarLenAR(*given, device="cpu", **arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", sorted(one.name for one in GOLDEN.iterdir()))
def test_every_published_diffusion_model_is_sent_to_varlen_dlm(name: str) -> None:
    """Those of GPT-2's and LLaMA's shape too, which transformers would load without a word."""
    folder = GOLDEN / name
    if not (folder / "config.json").is_file():
        pytest.skip("these are cases on another checkpoint")
    message = refused(CheckpointError, str(folder))
    assert f"{folder} is a diffusion language model (family " in message
    assert message.endswith(
        f"run it with lm_eval --model varlen_dlm --model_args pretrained={folder}"
    )


def test_what_training_makes_of_a_stock_architecture(tmp_path: Path) -> None:
    """The record of `eosbench train` tells a GPT-2 that fills in masks from one that does not."""
    folder, record = saved(tmp_path), tmp_path / "training.json"
    for settings, causal in (({"noise": "causal"}, True), ({"layout": "eospad"}, False)):
        record.write_text(json.dumps({"recipe": "x", "settings": settings}), encoding="utf-8")
        assert trained_causally(tmp_path) is causal
        if causal:
            assert VarLenAR(folder).device.type in ("cpu", "cuda")  # none is asked for
        else:
            assert "is a diffusion language model (family a2d)" in refused(CheckpointError, folder)
    for foreign in ("[]", "{}", '{"recipe": 1, "settings": 2}', "no JSON"):
        record.write_text(foreign, encoding="utf-8")
        assert trained_causally(tmp_path) is None
    record.unlink()
    assert trained_causally(tmp_path) is None


def test_models_that_are_not_there(tmp_path: Path) -> None:
    assert "varlen_ar needs a model: say pretrained=" in refused(ConfigurationError)
    assert "varlen_ar needs a model: say pretrained=" in refused(ConfigurationError, " ")
    assert "no such folder: /no/such/folder" in refused(CheckpointError, "/no/such/folder")
    assert f"{__file__} is a file: expected a folder" in refused(CheckpointError, __file__)
    message = refused(CheckpointError, str(tmp_path))
    assert f"{tmp_path} cannot be loaded: Unrecognized model" in message
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    assert "config.json cannot be read" in refused(CheckpointError, str(tmp_path))
    assert "embedded is a diffusion language model" in refused(CheckpointError, "embedded")


@pytest.mark.parametrize("name", ["method", "alpha", "max_gen_toks", "temperature"])
def test_arguments_of_varlen_dlm(name: str, chain: str) -> None:
    message = refused(ConfigurationError, chain, **{name: "fixed"})
    assert f"varlen_ar has no argument {name}: it belongs to varlen_dlm" in message


def test_unknown_arguments(chain: str) -> None:
    message = refused(ConfigurationError, chain, colour="red")
    assert "varlen_ar has no argument colour: expected telemetry, an argument of" in message
    assert "dtype='half_float': expected auto" in refused(
        ConfigurationError, chain, dtype="half_float"
    )
    assert VarLenAR(chain, device="cpu", dtype="half", attn_implementation="eager").rank == 0


def test_the_command_line_ends_with_that_line() -> None:
    folder = GOLDEN / "diffugpt-tiny"
    command = [
        sys.executable,
        "-m",
        "lm_eval",
        "--model",
        "varlen_ar",
        "--tasks",
        "varlen_instruct",
    ]
    command += ["--model_args", f"pretrained={folder}", "--limit", "1"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode != 0
    assert f"eosbench: {folder} is a diffusion language model" in done.stderr
    assert "Traceback" not in done.stderr
