"""Both names of the argument for kept keys and values."""

from __future__ import annotations

import inspect
from typing import Any

from transformers import GPT2Model, LlamaModel, Qwen2Model

from model_adapters.backbones.cache_argument import cache_name


class Before:
    def forward(self, input_ids: Any, past_key_values: Any = None) -> None:
        """As transformers 5.23 names it."""


class After:
    def forward(self, input_ids: Any, cache: Any = None) -> None:
        """As transformers 5.24 names it."""


class Own:
    def forward(self, input_ids: Any, **others: Any) -> None:
        """A model's own code that names neither."""


def test_the_name_is_the_one_that_forward_has() -> None:
    assert [cache_name(one) for one in (Before, After, Own)] == [
        "past_key_values",
        "cache",
        "past_key_values",
    ]


def test_the_models_of_the_installed_transformers_take_it() -> None:
    for model in (LlamaModel, Qwen2Model, GPT2Model):
        assert cache_name(model) in inspect.signature(model.forward).parameters
