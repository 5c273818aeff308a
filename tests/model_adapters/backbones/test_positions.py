"""Tokens that are told where they stand: what transformers' own model makes of the same ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from eosbench.backbone import scoring_rows
from eosbench.canvas_view import CanvasView
from eosbench.forward import run_step_zero
from eosbench.records import Prompt
from model_adapters import load_backbone
from tests.model_adapters.stock_models import DECODER, ENCODER, GPT2, close, published, stock

PLACES = torch.tensor([[0, 1, 2, 3, 6, 20]])
IDS = torch.tensor([[5, 6, 7, 0, 0, 0]])
MODELS: dict[str, dict[str, Any]] = {
    "bert": ENCODER,
    "roberta": ENCODER,
    "modernbert": ENCODER,
    "qwen3": {**DECODER, "head_dim": 8},
    "qwen2": DECODER,
    "llama": DECODER,
    "gpt2": GPT2,
}


@pytest.mark.parametrize("model_type", MODELS)
def test_logits_at_told_positions(model_type: str, tmp_path: Path) -> None:
    model = published(tmp_path, stock(model_type, **MODELS[model_type]))
    backbone: Any = load_backbone(tmp_path)
    assert backbone.spec.takes_positions
    mask = torch.ones_like(IDS)
    if "bert" not in model_type:  # a mask that is added lets a causal model see everything
        mask = torch.zeros(1, 1, 6, 6)
    first = 2 if model_type == "roberta" else 0
    with torch.no_grad():
        expected = model(input_ids=IDS, attention_mask=mask, position_ids=PLACES + first).logits
        found = backbone.hidden(IDS, torch.ones_like(IDS), position_ids=PLACES)
        close(backbone.unembed(found), expected)
        elsewhere = backbone.hidden(IDS, torch.ones_like(IDS))
    assert (found[0, -1] - elsewhere[0, -1]).abs().max() > 1e-4  # the position counts
    step = run_step_zero(backbone, [Prompt("", (5, 6, 7), (0,) * 18)], view=CanvasView.of("grid:3"))
    if not backbone.spec.logits_shifted:  # 0, round(17 / 4) = 4 and 17
        run = torch.tensor([[0, 1, 2, 3, 7, 20]])
        with torch.no_grad():
            states = backbone.hidden(IDS, torch.ones_like(IDS), position_ids=run)
        own = scoring_rows(states, logits_shifted=False)[0, 3:]
        close(step.read("canvas_hidden_BCD")[0, [0, 4, 17]], own)


def test_flash_attention_takes_gaps_for_the_borders_of_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is not installed here, its name alone is given to a model that was built."""
    from model_adapters.backbones import assembly

    published(tmp_path, stock("llama", **DECODER))
    built = assembly._on_meta

    def named_flash(plan: Any, attention: Any) -> Any:
        model = built(plan, attention)
        model.base_model.config._attn_implementation_internal = "flash_attention_2"
        return model

    monkeypatch.setattr(assembly, "_on_meta", named_flash)
    assert not load_backbone(tmp_path).spec.takes_positions
