"""Documents and few-shot examples of the public data sets, as lm-eval's YAML files name them.

The data sets are those of eosbench/documents/public.py. Few-shot examples are those of lm-eval's
task of the same data, so that both are asked in one context. lm-eval wants them when it makes a
task, needed or not; the samplers here are empty then and fetch their examples when the first one is
drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
from lm_eval.api.samplers import ContextSampler, FirstNSampler

from eosbench.documents import DATA_SETS, public_documents, published_rows
from eosbench.errors import ConfigurationError

Examples = Sequence[dict[str, Any]]


def published_documents(data: str, split: str = "test", **_: Any) -> dict[str, datasets.Dataset]:
    """The documents of one use, as lm-eval's `custom_dataset`.

    --metadata '{"split": "calibration"}' chooses another use than `test`.
    """
    documents = [vars(document) for document in public_documents(DATA_SETS[data], split)]
    return {"test": datasets.Dataset.from_list(documents)}


class Gsm8kExamples(ContextSampler):
    """Examples drawn from the published train split, with the seed that lm-eval sets (--seed)."""

    def sample(self, n: int, *args: Any, **kwargs: Any) -> Examples:
        """`n` examples."""
        self.df = self.df or [
            vars(document) for document in published_rows(DATA_SETS["gsm8k"], "train")
        ]
        return super().sample(n, *args, **kwargs)


class MathExamples(FirstNSampler):
    """The four examples of Lewkowycz et al. (2022), appendix D.2.

    The paper is Solving Quantitative Reasoning Problems with Language Models (arXiv 2206.14858).
    """

    def sample(self, n: int, *args: Any, **kwargs: Any) -> Examples:
        """The first `n` of them."""
        self.df = self.df or minerva_examples()
        return super().sample(n, *args, **kwargs)


class MbppExamples(FirstNSampler):
    """The three examples of Austin et al. (2021): tasks 2 to 4 of the split `prompt`.

    The paper is Program Synthesis with Large Language Models (arXiv 2108.07732).
    """

    def sample(self, n: int, *args: Any, **kwargs: Any) -> Examples:
        """The first `n` of them."""
        self.df = self.df or [
            vars(document) for document in published_rows(DATA_SETS["mbpp"], "prompt")[1:4]
        ]
        return super().sample(n, *args, **kwargs)


def minerva_examples() -> list[dict[str, Any]]:
    """The examples that come with lm-eval's minerva_math, as `prompt` and `response`.

    Raises:
        ConfigurationError: a package that minerva_math requires is missing.
    """
    try:
        from lm_eval.tasks.minerva_math.utils import list_fewshot_samples
    except Exception as error:  # it raises what it likes where sympy or math_verify is missing
        raise ConfigurationError(
            "the few-shot examples of MATH come with lm-eval's minerva_math, which cannot be "
            f"imported ({error}): pip install 'eosbench[math]', or leave out --num_fewshot"
        ) from error
    template = DATA_SETS["math"]
    return [
        {"prompt": template.prompt.format_map(row), "response": template.response.format_map(row)}
        for row in list_fewshot_samples()
    ]
