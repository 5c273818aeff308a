"""Tokenizers of few words, in which the blank before a word belongs to the word, or to nobody."""

from __future__ import annotations

from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

SPECIAL = ("<unk>", "<s>", "</s>", "<mask>")
TEMPLATE = "{{ bos_token }}{% for turn in messages %}{{ turn['content'] }}</s>{% endfor %}"


def sentencepiece_like(prepend_scheme: str, *, special: bool = True) -> Any:
    """A tokenizer whose tokens carry the blank before a word, as SentencePiece's do."""
    vocabulary = {name: index for index, name in enumerate((*SPECIAL, "▁"))}
    for letter in "abcdefghijklmnopqrstuvwxyz<>/:().":
        vocabulary[letter] = len(vocabulary)
    merges = [("▁", "▁"), ("▁▁", "▁▁"), ("f", "o"), ("fo", "r"), ("▁", "for")]
    for left, right in merges:
        vocabulary.setdefault(left + right, len(vocabulary))
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend_scheme, split=False)
    backend.decoder = decoders.Metaspace(prepend_scheme=prepend_scheme)
    backend.add_special_tokens([AddedToken(name, normalized=False) for name in SPECIAL[:3]])
    backend.add_tokens([AddedToken("<mask>", normalized=False, special=special)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
        chat_template=TEMPLATE,
    )


def wordpiece_like() -> Any:
    """A tokenizer whose decoder puts the blanks between words, as BERT's does."""
    words = ("[UNK]", "[MASK]", "[SEP]", "yes", "no", "##body", "is", "it", "?")
    backend = Tokenizer(
        models.WordPiece({word: index for index, word in enumerate(words)}, unk_token="[UNK]")
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(cleanup=False)
    backend.add_special_tokens(["[UNK]", "[MASK]", "[SEP]"])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="[UNK]", mask_token="[MASK]", sep_token="[SEP]"
    )
