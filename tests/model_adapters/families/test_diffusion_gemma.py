"""DiffusionGemma on transformers' own model against what that computed when the files were made.

Legend: C canvas, V vocabulary.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from eosbench.backbone import NoiseCanvas
from eosbench.errors import CheckpointError, ConfigurationError
from model_adapters import load_backbone
from tests.golden_files import GOLDEN, load_golden

NAME = "diffusion-gemma-tiny"
ROWS = json.loads((GOLDEN / NAME / "golden.json").read_text())
OWN = (
    *("max_denoising_steps", "entropy_bound", "t_min", "t_max"),
    *("stability_threshold", "confidence_threshold"),
)
CANVAS = (
    *("prompt", "decoder_input_ids", "logits"),
    *("second_decoder_input_ids", "second_logits"),
)


@pytest.fixture(scope="module")
def backbone() -> Any:
    """The golden checkpoint in float32."""
    return load_golden(NAME).backbone


def test_spec(backbone: Any) -> None:
    spec = backbone.spec
    assert isinstance(backbone, NoiseCanvas)
    assert (spec.family, spec.mask_id, spec.eos_ids, spec.pad_id) == (
        "diffusion_gemma",
        -1,
        {1, 50, 106},
        0,
    )
    assert (spec.attention, spec.block_length, spec.max_length) == ("block", 32, 1024)
    assert (spec.vocab_size, spec.width, spec.layers) == (300, 48, 3)


@pytest.mark.parametrize("row", ROWS["canvas"], ids=lambda row: f"case{row['case']}")
def test_logits_of_two_passes_over_a_canvas(backbone: Any, row: dict[str, Any]) -> None:
    tensors = load_golden(NAME).tensors
    of = {name: tensors[f"canvas.{row['case']}.{name}"][0] for name in CANVAS}
    first_CV = backbone.canvas_logits(of["prompt"], of["decoder_input_ids"])
    torch.testing.assert_close(first_CV, of["logits"], atol=1e-4, rtol=0)
    second_CV = backbone.canvas_logits(
        of["prompt"], of["second_decoder_input_ids"], of["logits"] / 0.8
    )
    torch.testing.assert_close(second_CV, of["second_logits"], atol=1e-4, rtol=0)
    assert backbone.model.config.canvas_length == 32  # as it was


@pytest.mark.parametrize("row", ROWS["generate"], ids=lambda row: f"case{row['case']}")
def test_answers_are_those_of_its_own_generate(backbone: Any, row: dict[str, Any]) -> None:
    tensors, case = load_golden(NAME).tensors, row["case"]
    prompt = tensors[f"generate.{case}.prompt"][0]
    torch.manual_seed(4)
    before = torch.get_rng_state()
    answer = backbone.denoise_noise(
        prompt,
        canvas_length=row["canvas_length"],
        max_new_tokens=row["max_new_tokens"],
        seed=row["seed"],
        **{name: row[name] for name in OWN},
    )
    assert torch.equal(torch.get_rng_state(), before)
    want = tensors[f"generate.{case}.output"][0, len(prompt) :]
    assert answer.tokens.tolist() == want.tolist()
    assert sum(answer.passes_by_canvas) == row["forward_passes"]
    assert len(answer.passes_by_canvas) == row["canvases"]


def test_what_is_not_said_is_the_checkpoints(backbone: Any, tmp_path: Path) -> None:
    prompt = torch.arange(20, 29)
    asked = {"canvas_length": 8, "max_new_tokens": 8, "seed": 5}
    own = {"max_denoising_steps": 48, "entropy_bound": 0.1, "t_min": 0.4, "t_max": 0.8}
    assert torch.equal(
        backbone.denoise_noise(prompt, **asked).tokens,
        backbone.denoise_noise(prompt, **asked, **own).tokens,
    )
    shutil.copytree(GOLDEN / NAME, tmp_path / "copy")
    (tmp_path / "copy" / "generation_config.json").unlink()
    bare = load_backbone(tmp_path / "copy")
    assert bare.spec.eos_ids == {1}
    assert len(bare.denoise_noise(prompt, **asked).passes_by_canvas) == 1  # type: ignore[attr-defined]


def test_prompts_may_be_padded(backbone: Any) -> None:
    ids_BT = torch.arange(20, 44).reshape(2, 12)
    padded = torch.nn.functional.pad(ids_BT, (2, 3))
    mask = torch.nn.functional.pad(torch.ones_like(ids_BT), (2, 3))
    with torch.no_grad():
        want, got = backbone.hidden(ids_BT), backbone.hidden(padded, mask)
    torch.testing.assert_close(got[:, 2:-3], want, atol=1e-4, rtol=0)


def test_what_it_has_not(backbone: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"call canvas_logits\(prompt, canvas\)"):
        backbone.logits(torch.tensor([[5]]))
    with pytest.raises(ConfigurationError, match="temperature: no settings of 'diffusion_gemma'"):
        backbone.denoise_noise([5], canvas_length=4, max_new_tokens=4, seed=0, temperature=1.0)
    with pytest.raises(ConfigurationError, match="has no mask token, and needs none"):
        load_backbone(GOLDEN / NAME, mask_token_id=3)


@pytest.mark.parametrize(
    ("text_config", "message"),
    [
        (
            {},
            r"text_config=\{\} in config.json of .*: expected the sizes of a diffusion_gemma model",
        ),
        (None, "text_config=None in config.json"),
        ("some", "text_config='some' in config.json"),
        ({"num_experts": None}, "config.json does not describe a diffusion_gemma model: sizes are"),
    ],
)
def test_a_config_without_sizes_is_one_line(text_config: Any, message: str, tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / NAME, tmp_path / "copy")
    path = tmp_path / "copy" / "config.json"
    config = json.loads(path.read_text())
    if isinstance(text_config, dict) and text_config:
        text_config = config["text_config"] | text_config
    path.write_text(json.dumps({**config, "text_config": text_config}))
    with pytest.raises(CheckpointError, match=message) as raised:
        load_backbone(tmp_path / "copy")
    assert "\n" not in str(raised.value)
