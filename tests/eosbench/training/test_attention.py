"""Ratio 0 is the causal model to the last bit, ratio 1 the full canvas, in both attentions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedConfig

from eosbench.backbone import scoring_rows
from eosbench.training.attention import additive, draw_seen
from eosbench.training.schedule import ramp
from model_adapters import load_trainable
from tests.eosbench.training.tokenizers import autoregressive_tokenizer

CONFIGS = {
    "gpt2": GPT2Config(
        vocab_size=300,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=64,
        eos_token_id=0,
        bos_token_id=0,
    ),
    "llama": LlamaConfig(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        eos_token_id=0,
    ),
}


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def saved(config: PreTrainedConfig, folder: Path) -> Path:
    """An autoregressive checkpoint without a mask token, with random weights."""
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).eval().save_pretrained(folder)
    autoregressive_tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("kind", sorted(CONFIGS))
def test_ratio_zero_is_the_causal_model_and_ratio_one_the_full_canvas(
    kind: str, attention: str, tmp_path: Path
) -> None:
    folder = saved(CONFIGS[kind], tmp_path / kind)
    model = load_trainable(folder, attn_implementation=attention)
    ids_BT = torch.randint(4, 250, (2, 24), generator=rng())
    token_BT = torch.ones_like(ids_BT)

    stock = AutoModelForCausalLM.from_pretrained(folder, attn_implementation=attention).eval()
    with torch.no_grad():
        plain = stock.base_model(input_ids=ids_BT).last_hidden_state
        causal = additive(draw_seen(24, 0.0, rng()), token_BT, torch.float32)
        ours = model.hidden(ids_BT, token_BT, causal)
        assert torch.equal(ours, scoring_rows(plain, True))
        full = additive(draw_seen(24, 1.0, rng()), token_BT, torch.float32)
        torch.testing.assert_close(
            model.hidden(ids_BT, token_BT, full), model.hidden(ids_BT), atol=1e-5, rtol=1e-5
        )
        assert not torch.allclose(model.hidden(ids_BT), ours, atol=1e-3)


def test_padding_is_seen_by_nobody(tmp_path: Path) -> None:
    model = load_trainable(saved(CONFIGS["gpt2"], tmp_path / "gpt2"))
    ids_BT = torch.randint(4, 250, (1, 12), generator=rng())
    token_BT = torch.arange(12)[None] < 8
    other_BT = ids_BT.clone()
    other_BT[0, 8:] = 5
    seen = additive(draw_seen(12, 0.5, rng()), token_BT, torch.float32)
    with torch.no_grad():
        one, two = (model.hidden(ids, token_BT, seen)[0, :8] for ids in (ids_BT, other_BT))
    assert torch.equal(one, two)


def test_every_entry_above_the_diagonal_is_drawn_with_the_ratio() -> None:
    seen_TT = draw_seen(300, 0.3, rng())
    above = torch.ones(300, 300, dtype=torch.bool).triu(1)
    assert seen_TT[~above].all()
    assert abs(seen_TT[above].float().mean().item() - 0.3) < 0.01
    assert not torch.equal(seen_TT, draw_seen(300, 0.3, rng(1)))


def test_annealing_begins_with_one_share_and_ends_at_full() -> None:
    assert [ramp(step, 4) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert ramp(0, 0) == 1.0
