"""A world in which lengths can be read: a scripted backbone that knows its answers' length, with
documents and a word tokenizer.

A prompt is `<bos> n filler... <sep>` for a number n; the answer has n tokens plus a little noise
that nothing can see. On the masked canvas the backbone's EOS logit crosses from low to high at n,
which is all that the learned methods need; the prompt's text says n as a word, which is all that a
text encoder needs.
"""

from __future__ import annotations

import random

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from eosbench.backbone import Backbone
from eosbench.fitting.examples import Example
from tests.fakes import BOS, EOS, MASK, SEP, ScriptedBackbone

CANVAS = 32
LARGEST = 24
NOISE = 4
FIRST_NUMBER = 4
V = FIRST_NUMBER + LARGEST + 1


def says_its_length(ids_T: torch.Tensor) -> torch.Tensor:
    """[T, V] logits; on the canvas EOS rises from -4 to 4 around the number in the prompt."""
    start = ids_T.tolist().index(SEP) + 1
    number = int(ids_T[1]) - FIRST_NUMBER
    index_T = torch.arange(len(ids_T)) - start
    logits_TV = torch.sin(torch.arange(len(ids_T))[:, None] * 0.9 + torch.arange(V)[None] * 1.3)
    logits_TV[:, EOS] = torch.where(
        index_T >= 0, (index_T - number + 0.5).clamp(-4, 4), torch.tensor(-4.0)
    )
    return logits_TV


def toy_tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {"<mask>": MASK, "<eos>": EOS, "<bos>": BOS, "<sep>": SEP} | {
        f"n{n}": FIRST_NUMBER + n for n in range(LARGEST + 1)
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<mask>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, mask_token="<mask>", eos_token="<eos>", bos_token="<bos>"
    )


def toy_backbone() -> Backbone:
    return ScriptedBackbone(
        says_its_length, vocab_size=V, takes_positions=True, tokenizer=toy_tokenizer()
    )


def toy_examples(size: int, seed: int) -> list[Example]:
    rng = random.Random(seed)
    examples = []
    for index in range(size):
        number, filler = rng.randint(1, LARGEST), rng.randint(0, 3)
        length = number + rng.randint(0, NOISE)
        prompt = (BOS, FIRST_NUMBER + number, *([FIRST_NUMBER] * filler), SEP)
        text = f"n{number}" + " n0" * filler
        examples.append(
            Example(
                text, prompt, tuple(FIRST_NUMBER + (index + at) % LARGEST for at in range(length))
            )
        )
    return examples
