"""eosbench in five lines of Python: `import eosbench; model = eosbench.load(...)`.

    import eosbench, lm_eval

    model = eosbench.load(
        "GSAI-ML/LLaDA-8B-Instruct", method="classification", predictor="heads/llada-cls",
        device="cuda", dtype="bfloat16",
    )
    model.predict_lengths(["Is 89 an even number?"])
    model.generate(["Is 89 an even number?"], max_new_tokens=512)
    lm_eval.simple_evaluate(model=model.as_lm(), tasks=["gsm8k"])

It stands on the code of the lm-eval model `varlen_dlm`: one prompt and one set of settings have the
same bounds, tokens and costs here and there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eosbench.backbone import Backbone
from eosbench.bounds import Promise
from eosbench.forward import Cost
from eosbench.records import LengthBound
from model_adapters.varlen_dlm import (
    Bounded,
    Chat,
    GenerationRequest,
    TextOrChat,
    VarLenDLM,
    WatchPrompt,
    answered,
    asked,
    parse_arguments,
    predicted,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["Chat", "Generated", "Model", "PredictedLength", "TextOrChat", "load"]


@dataclass(frozen=True)
class PredictedLength(LengthBound):
    """An upper bound on the length of an answer, before its first token is decoded.

    Attributes:
        bound: the bound in tokens, 1 <= bound <= the canvas.
        calibrated: the bound before it was rounded up and clamped.
        clamped: whether the canvas was too small for it.
        prediction: the method's point estimate of the length, in tokens.
        promise: what the bound is calibrated for, e.g. that at most one answer in twenty is
            longer; None where it is not calibrated.
        cost: of this prediction alone, with the pass of the model that it needed.
    """

    prediction: float
    promise: Promise | None
    cost: Cost


@dataclass(frozen=True)
class Generated:
    """An answer.

    Attributes:
        text: the answer, before the first stop string.
        tokens: its token ids, those before the end of the text that the model wrote.
        window: the tokens that were denoised at last.
        cost: of the prediction and the denoising together.
        length: the bound that the first window came from; None where the method predicts none.
    """

    text: str
    tokens: list[int]
    window: int
    cost: Cost
    length: PredictedLength | None = None


class Model:
    """A diffusion language model, and a method that finds the length of its answers.

    `load` makes it.
    """

    def __init__(self, lm: VarLenDLM) -> None:
        self._lm = lm

    def __repr__(self) -> str:
        arguments = self._lm.arguments
        return f"<eosbench.Model {arguments.pretrained}, method {arguments.method}>"

    @property
    def backbone(self) -> Backbone:
        """The diffusion language model itself."""
        return self._lm.backbone

    def predict_lengths(
        self,
        prompts: TextOrChat | Sequence[TextOrChat],
        *,
        max_new_tokens: int | None = None,
        references: Sequence[str] | None = None,
    ) -> list[PredictedLength]:
        """An upper bound on the length of the answer to each prompt, in order.

        They are the bounds that the benchmark `eos_upper_bound` measures where nothing of an answer
        is unmasked, rounded up to powers of two unless `rounding` says otherwise; `generate` does
        not round them.

        Args:
            prompts: texts, or chats as lists of messages; see `generate`.
            max_new_tokens: the canvas, in tokens; by default the model's max_gen_toks.
            references: an answer for each prompt, which the method "oracle" reads.

        Raises:
            ConfigurationError: the method decides the length while it decodes ("blocks", "daedal",
                "rho_eos", "void_expansion", "cal"), or a prompt or a value cannot be used.
            PredictorError: the method is "oracle", and there are no references.

        Example:
            >>> import eosbench
            >>> model = eosbench.load(device="cpu")
            >>> [length] = model.predict_lengths(["Count from 3 to 20."])
            >>> length.bound, round(length.prediction), length.promise.settings()
            (128, 66, {'alpha': 0.05})
            >>> length.cost.forward_passes
            1
        """
        given = {} if max_new_tokens is None else {"max_new_tokens": max_new_tokens}
        requests = asked(self._lm, prompts, given, references)
        return [_predicted_length(bounded) for bounded in predicted(self._lm, requests)]

    def generate(
        self,
        prompts: TextOrChat | Sequence[TextOrChat],
        *,
        max_new_tokens: int | None = None,
        until: Sequence[str] = (),
        references: Sequence[str] | None = None,
        watch: WatchPrompt | None = None,
        **settings: Any,
    ) -> list[Generated]:
        """An answer to each prompt, in order: the one that lm-eval gets from `varlen_dlm`.

        Args:
            prompts: texts, which go to the model as they are, or chats, lists of messages with a
                "role" and a "content", which the chat template of the checkpoint renders. One text
                or one chat stands for a list of one.
            max_new_tokens: the most tokens that an answer may have, the canvas; by default the
                model's max_gen_toks.
            until: strings that end an answer, as the end of a text does.
            references: an answer for each prompt, which the method "oracle" reads.
            watch: is called after each forward pass of each prompt, with the prompt's number and
                its `eosbench.decoding.Sequence`, whose `canvas`, `passes` and `spec` it may read. A
                model whose canvas starts as noise shows none.
            settings: other generation arguments that lm-eval's requests may carry: temperature,
                seed, steps, block_length, threshold and so on.

        Raises:
            ConfigurationError: a prompt that cannot be used, an unknown setting or a bad value.
            PredictorError: the method is "oracle", and there are no references.

        Example:
            >>> import eosbench
            >>> model = eosbench.load(device="cpu")
            >>> [answer] = model.generate([[{"role": "user", "content": "Is 89 an even number?"}]])
            >>> answer.text, answer.window, len(answer.tokens)
            ('No', 2, 1)
            >>> answer.cost.forward_passes
            3
        """
        given = {"until": list(until), **settings}
        if max_new_tokens is not None:
            given["max_new_tokens"] = max_new_tokens
        requests = asked(self._lm, prompts, given, references)
        return _generated(answered(self._lm, requests, watch))

    def infill(
        self,
        prefixes: str | Sequence[str],
        suffixes: str | Sequence[str],
        *,
        max_new_tokens: int | None = None,
        references: Sequence[str] | None = None,
        **settings: Any,
    ) -> list[Generated]:
        """The text that fills the gap between each prefix and its suffix, in order.

        Methods that can do it are "cal", which looks for the length of the gap, "fixed", whose gap
        has max_new_tokens, and "oracle". The answer is all that was put into the gap, or what
        stands before an EOS there.

        Args:
            prefixes: texts before the gaps, which go to the model as they are; one text stands for
                a list of one.
            suffixes: texts behind them, as many.
            max_new_tokens: the most tokens of a gap; by default the model's max_gen_toks.
            references: what was taken out of each gap, whose length the method "oracle" reads.
            settings: other generation arguments, as those of `generate`.

        Raises:
            ConfigurationError: a method that cannot see a suffix, a model that attends causally, a
                text that cannot be used, an unknown setting or a bad value.
            PredictorError: the method is "oracle", and there are no references.

        Example:
            >>> import eosbench
            >>> model = eosbench.load(method="cal", device="cpu")
            >>> [gap] = model.infill("Count from 3 to 9. 3 4", " 7 8 9", max_new_tokens=12)
            >>> 1 <= len(gap.tokens) <= gap.window <= 12
            True
        """
        given = dict(settings)
        if max_new_tokens is not None:
            given["max_new_tokens"] = max_new_tokens
        before = [prefixes] if isinstance(prefixes, str) else prefixes
        behind = [suffixes] if isinstance(suffixes, str) else suffixes
        return _generated(answered(self._lm, asked(self._lm, before, given, references, behind)))

    def as_lm(self) -> VarLenDLM:
        """The lm-eval model of the same settings, on the backbone that is loaded already.

        Example:
            >>> import eosbench, lm_eval  # doctest: +SKIP
            >>> model = eosbench.load()  # doctest: +SKIP
            >>> lm_eval.simple_evaluate(model=model.as_lm(), tasks=["gsm8k"])  # doctest: +SKIP
        """
        return self._lm.another()


def _generated(requests: Sequence[GenerationRequest]) -> list[Generated]:
    """The answers of requests that have one."""
    found = []
    for request in requests:
        cost, bounded = request.cost or Cost(), request.bounded
        length = None if bounded is None else _predicted_length(bounded)
        answer = Generated(request.answer or "", list(request.tokens), cost.window, cost, length)
        found.append(answer)
    return found


def load(
    pretrained: str | Path | PreTrainedModel = "embedded",
    *,
    method: str | None = None,
    predictor: str | Path | None = None,
    device: Any = None,
    dtype: Any = None,
    **arguments: Any,
) -> Model:
    """Loads a diffusion language model, and a method that finds the length of its answers.

    Args:
        pretrained: a folder, a hub id, or a model of transformers that is in memory already and of
            a family that is known; by default the small model that comes with the package.
        method: a name that `eosbench methods` prints; by default the embedded model's own, and
            "fixed", the whole canvas, for any other model.
        predictor: folder or hub id of the fitted predictor, which `eosbench fit` makes; the
            embedded model brings its own.
        device: as torch names it; by default "cuda" where there is a GPU, else "cpu".
        dtype: of the weights, as a name or a torch.dtype; by default float32, and that of a model
            in memory; "auto" keeps the stored one.
        arguments: every other model argument of `varlen_dlm` (max_gen_toks, alpha, rounding,
            overflow, batch_size, the options of the method, ...).

    Raises:
        ConfigurationError: an unknown argument, or a value that cannot work.
        CheckpointError: no such checkpoint, or one of no supported family.
        PredictorError: no such predictor, or one that was fitted for another backbone or canvas.

    Example:
        >>> import eosbench
        >>> eosbench.load(method="daedal", device="cpu")
        <eosbench.Model embedded, method daedal>
    """
    given = {
        "pretrained": pretrained,
        "method": method,
        "predictor": predictor,
        "device": device,
        "dtype": dtype,
        **arguments,
    }
    told = {name: value for name, value in given.items() if value is not None or name in arguments}
    return Model(VarLenDLM.of(parse_arguments(told)))


def _predicted_length(bounded: Bounded) -> PredictedLength:
    return PredictedLength(
        bound=bounded.bound.bound,
        calibrated=bounded.bound.calibrated,
        clamped=bounded.bound.clamped,
        prediction=bounded.prediction.length,
        promise=bounded.promise,
        cost=bounded.cost,
    )
