"""The last transformer block, made to work at chosen positions alone.

After the last block's attention no position depends on another one. So its output projection and
its feed-forward network, three quarters of the block's matrix products in LLaMA, are needed only at
the positions whose hidden states are needed. Forward hooks take the chosen positions out before
these parts and put the results back after them; other positions keep their residual.

Legend: B batch, T tokens, N chosen positions, D width.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import torch

# First and last submodule of each part that works position by position: in LLaMA and Qwen, GPT-2,
# ModernBERT, BERT and RoBERTa.
PARTS = (
    ("self_attn.o_proj", "self_attn.o_proj"),
    ("attn.c_proj", "attn.c_proj"),
    ("attn.Wo", "attn.Wo"),
    ("mlp", "mlp"),
    ("attention.output.dense", "attention.output.dense"),
    ("intermediate", "output.dense"),
)


class LastBlock:
    """Hooks on the last of a model's blocks.

    A block that has none of the known parts computes everything, as before.

    Args:
        model: a base model of transformers.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self._index_N: torch.Tensor | None = None
        self._shape: tuple[int, ...] = ()
        for first, last in _parts(model):
            first.register_forward_pre_hook(self._take)
            last.register_forward_hook(self._put_back)

    @contextmanager
    def at(self, needed: torch.Tensor | None) -> Iterator[None]:
        """Within it a pass over [B, T] ids is right at the needed rows alone.

        Args:
            needed: [B, T] bool, or the rows' places [N] in [B, T] flattened, each once. None: all.
        """
        if needed is not None and needed.dtype == torch.bool:
            needed = needed.flatten().nonzero()[:, 0]
        self._index_N = needed
        try:
            yield
        finally:
            self._index_N = None

    def _take(
        self, _module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, ...] | None:
        """[B, T, D] -> [1, N, D]: the states at the chosen positions, as one sequence."""
        if self._index_N is None:
            return None
        states_BTD, *others = inputs
        index_N = self._index_N.to(states_BTD.device)
        self._shape = tuple(states_BTD.shape[:2])
        return states_BTD.flatten(0, 1).index_select(0, index_N)[None], *others

    def _put_back(
        self, _module: torch.nn.Module, _inputs: Any, states_1ND: torch.Tensor
    ) -> torch.Tensor | None:
        """[1, N, D] -> [B, T, D]: the results at the chosen positions, 0 elsewhere."""
        if self._index_N is None:
            return None
        states_BTD = states_1ND.new_zeros(*self._shape, states_1ND.shape[-1])
        index_N = self._index_N.to(states_1ND.device)
        states_BTD.flatten(0, 1).index_copy_(0, index_N, states_1ND[0])
        return states_BTD


def blocks(model: torch.nn.Module) -> torch.nn.ModuleList:
    """A model's transformer blocks: the largest list of modules in it."""
    lists = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    return max(lists, key=matrix_weights)


def active_share(config: Any) -> Fraction:
    """The share of its experts that a token of the model runs through; 1 where it has none.

    Args:
        config: of one of transformers' models.
    """
    names = ("num_experts", "n_routed_experts")
    experts = next((getattr(config, name) for name in names if getattr(config, name, None)), None)
    chosen = getattr(config, "num_experts_per_tok", None) or getattr(config, "top_k_experts", 0)
    return Fraction(chosen, experts) if experts and chosen else Fraction(1)


def matrix_weights(*modules: torch.nn.Module, active: Fraction = Fraction(1)) -> int:
    """The number of weights in matrices, without norms and biases; a shared weight counts once.

    Args:
        modules: that have them.
        active: the share of the experts of a mixture, whose matrices are stacked, that counts.
    """
    matrices = {id(weight): weight for module in modules for weight in module.parameters()}
    dense = sum(weight.numel() for weight in matrices.values() if weight.ndim == 2)
    experts = sum(weight.numel() for weight in matrices.values() if weight.ndim == 3)
    return dense + int(experts * active)


def chosen_weights(model: torch.nn.Module, *, active: Fraction = Fraction(1)) -> int:
    """The number of a model's weights in matrices that run at the chosen positions alone."""
    chosen = (module for part in _parts(model) for module in part)
    return matrix_weights(*chosen, active=active)


def _parts(model: torch.nn.Module) -> list[tuple[torch.nn.Module, torch.nn.Module]]:
    modules = dict(blocks(model)[-1].named_modules())
    return [
        (modules[first], modules[last])
        for first, last in PARTS
        if first in modules and last in modules
    ]
