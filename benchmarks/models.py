"""The models that the benchmarks run on, and prompts for them."""

from __future__ import annotations

import functools

import torch
from transformers import LlamaConfig, LlamaModel

from eosbench import embedded
from eosbench.backbone import Backbone, BackboneSpec
from eosbench.documents import encode_prompt, encode_response, instruct_documents
from model_adapters import load_backbone
from model_adapters.backbones import FullCanvasBackbone


def random_model(
    *, vocabulary: int, width: int, layers: int, block_length: int | None = None
) -> FullCanvasBackbone:
    """A LLaDA-shaped model with random weights, the same in every run.

    Args:
        vocabulary: number of ids.
        width: of the model.
        layers: transformer blocks.
        block_length: of a model that attends causally between blocks and decodes them as SDAR does.
    """
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // 64),
        max_position_embeddings=1024,
    )
    spec = BackboneSpec(
        family="llada",
        mask_id=vocabulary - 1,
        eos_ids=frozenset({vocabulary - 2}),
        pad_id=vocabulary - 2,
        max_length=1024,
        vocab_size=vocabulary,
        width=width,
        logits_shifted=False,
        fingerprint="random",
        layers=layers,
        attention="full" if block_length is None else "block",
        block_length=block_length,
        block_rule="" if block_length is None else "sdar",
    )
    return FullCanvasBackbone(
        LlamaModel(config),
        torch.nn.Linear(width, vocabulary, bias=False),
        spec=spec,
        tokenizer=None,
    )


@functools.cache
def trained_model(pretrained: str, dtype: str = "float32") -> Backbone:
    """The embedded model, or another with a tokenizer."""
    return load_backbone(
        str(embedded.MODEL) if pretrained == embedded.NAME else pretrained, dtype=dtype
    )


def prompts(
    backbone: Backbone, count: int, response_tokens: int = 0
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The first prompts of the test split whose answers have so many tokens, with these answers."""
    found: list[tuple[torch.Tensor, torch.Tensor]] = []
    for document in instruct_documents("test"):
        answer = encode_response(backbone.tokenizer, document.response)
        if len(found) == count:
            break
        if len(answer) >= response_tokens:
            prompt = encode_prompt(backbone.tokenizer, document.prompt, False)
            found.append((torch.tensor(prompt), torch.tensor(answer)))
    return found
