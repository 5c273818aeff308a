"""A tiny untrained model in LLaDA's format with the embedded tokenizer, and documents for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from eosbench import embedded
from eosbench.recipe.warm_start import new_model
from model_adapters import save_llada
from model_adapters.checkpoints import open_checkpoint


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return open_checkpoint(embedded.MODEL, name="embedded").tokenizer


@pytest.fixture(scope="session")
def start(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint to train from; nobody writes into it."""
    folder = tmp_path_factory.mktemp("start") / "tiny"
    torch.manual_seed(0)
    model = new_model(len(tokenizer), width=32, layers=1, heads=2, mlp_width=64)
    save_llada(
        folder,
        model.model,
        model.lm_head.weight,
        mask_id=tokenizer.mask_token_id,
        eos_id=tokenizer.eos_token_id,
        dtype=torch.float32,
    )
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def quick(start: Path) -> list[str]:
    """Flags of a run that takes a second or two."""
    return [
        *("--pretrained", str(start), "--limit", "60", "--canvas", "48"),
        *("--batch_tokens", "256", "--max_steps", "4", "--logging_steps", "1"),
        *("--held_out_documents", "4", "--eval_steps", "4", "--disable_tqdm", "true"),
    ]
