"""Likelihood requests of lm-eval, each with what is known of its answer so far.

The requests are of the types `loglikelihood` and `loglikelihood_rolling`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lm_eval.api.instance import Instance
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from eosbench.backbone import BackboneSpec
from eosbench.errors import ConfigurationError
from eosbench.forward import Cost
from eosbench.likelihood import Likelihood

Encode = Callable[..., list[int]]  # (text, add_special_tokens=...) -> token ids


@dataclass(frozen=True)
class Window:
    """A target that is scored after a context: a whole continuation, or a part of a long text.

    Attributes:
        context: token ids.
        target: token ids.
    """

    context: Sequence[int]
    target: Sequence[int]

    def fitted(self, max_length: int) -> Window:
        """The same with its context cut from the left to what fits beside the target.

        Raises:
            ConfigurationError: the target leaves no room for a context.
        """
        room = max_length - len(self.target)
        if room < 1:
            raise ConfigurationError(
                f"a continuation of {len(self.target)} tokens leaves no room for a context: "
                f"the model has {max_length} positions"
            )
        return Window(self.context[-room:], self.target)


@dataclass
class LikelihoodRequest:
    """One request, whose windows are scored in any order.

    Attributes:
        instance: lm-eval's.
        windows: one for a continuation; for a rolling text the disjoint ones that cover it, none
            where it is empty.
        scored: windows done so far.
        value: log-likelihood of these windows together, in nats.
        variance: of `value`, in nats squared.
        is_greedy: whether greedy decoding gives all of these windows, where that was asked for.
        cost: of these windows together.
    """

    instance: Instance
    windows: Sequence[Window]
    scored: int = 0
    value: float = 0.0
    variance: float = 0.0
    is_greedy: bool = True
    cost: Cost = field(default_factory=Cost)

    @classmethod
    def continuation(cls, instance: Instance, encode: Encode, prefix_id: int) -> LikelihoodRequest:
        """A `loglikelihood` request in token ids, cut where lm-eval cuts it.

        Special tokens that the tokenizer puts around a prompt stay with the context. An empty
        context is the prefix token, which is not scored where the continuation begins with it.

        Args:
            instance: of (context, continuation).
            encode: the model's `tok_encode`.
            prefix_id: the token that stands for an empty context.
        """
        context, continuation = instance.args
        text = context.rstrip()
        plain = encode(text, add_special_tokens=False, context=context)
        both = encode(context + continuation, add_special_tokens=False, context=context)
        target = both[len(plain) :]
        if text:
            return cls(instance, [Window(encode(text, context=context), target)])
        if target[:1] == [prefix_id]:
            target = target[1:]
        return cls(instance, [Window([prefix_id], target)])

    @classmethod
    def rolling(
        cls, instance: Instance, encode: Encode, prefix_id: int, max_length: int
    ) -> LikelihoodRequest:
        """A `loglikelihood_rolling` request in the disjoint windows of lm-eval.

        Args:
            instance: of one text.
            encode: the model's `tok_encode`.
            prefix_id: the token that stands before the text.
            max_length: the model's positions.
        """
        (text,) = instance.args
        overlapping = get_rolling_token_windows(
            token_list=encode(text, add_special_tokens=False),
            prefix_token=prefix_id,
            max_seq_len=max_length - 1,
            context_len=1,
        )
        return cls(instance, [Window(*make_disjoint_window(window)) for window in overlapping])

    def fitted(self, spec: BackboneSpec) -> list[Window]:
        """Its windows, cut to the model's positions, or an error that names the document.

        Raises:
            ConfigurationError: one of them cannot be scored.
        """
        try:
            if any(spec.mask_id in window.target for window in self.windows):
                raise ConfigurationError(
                    f"a continuation holds the mask token {spec.mask_id}, which has no likelihood"
                )
            return [window.fitted(spec.max_length) for window in self.windows]
        except ConfigurationError as error:
            where = f"task {self.instance.task_name}, document {self.instance.doc_id}"
            raise ConfigurationError(f"{where}: {error}") from error

    def add(self, likelihood: Likelihood, cost: Cost) -> None:
        """Counts one scored window."""
        self.scored += 1
        self.value += likelihood.value
        self.variance += likelihood.standard_error**2
        self.is_greedy = self.is_greedy and bool(likelihood.is_greedy)
        self.cost = self.cost + cost

    @property
    def is_done(self) -> bool:
        """Whether all windows are scored."""
        return self.scored == len(self.windows)

    @property
    def standard_error(self) -> float:
        """Of `value`, in nats; windows are estimated independently."""
        return math.sqrt(self.variance)

    @property
    def answer(self) -> float | tuple[float, bool]:
        """The answer in the form that lm-eval expects for a request of this type."""
        if self.instance.request_type == "loglikelihood_rolling":
            return self.value
        return self.value, self.is_greedy
