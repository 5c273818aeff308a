"""Tokenizers of bytes: as an autoregressive model has it, without a mask, and as an encoder."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast


def autoregressive_tokenizer() -> PreTrainedTokenizerFast:
    """257 tokens: id 0 ends a text, the others are bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<|endoftext|>": 0, **{byte: 1 + index for index, byte in enumerate(alphabet)}}
    bytes_ = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bytes_.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=bytes_, eos_token="<|endoftext|>", clean_up_tokenization_spaces=False
    )


def masked_tokenizer() -> PreTrainedTokenizerFast:
    """The same with a mask and a separator, as an encoder has it."""
    tokenizer = autoregressive_tokenizer()
    tokenizer.add_special_tokens({"mask_token": "[MASK]", "sep_token": "[SEP]"})
    return tokenizer
