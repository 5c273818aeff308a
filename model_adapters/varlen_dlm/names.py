"""Names that `varlen_dlm` does not have: other names of its arguments, and those that it refuses.

docs/arguments.md shows both beside the arguments of lm-eval's `hf`; a test compares them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from eosbench.errors import ConfigurationError

# Names of the canvas's length in a request; the first that is given counts. The first is that of
# the published scripts of LLaDA, which no task says; the others are those of lm-eval's own models,
# in their order.
CANVAS = ("gen_length", "max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")

# Another name -> the argument; a request may say those of decoding, too.
OF_DECODING = {"diffusion_steps": "steps", "cfg": "cfg_scale"}
OTHER_NAMES = {
    **{name: "max_gen_toks" for name in CANVAS if name != "max_gen_toks"},
    "model_path": "pretrained",
    "torch_dtype": "dtype",
    **OF_DECODING,
}


@dataclass(frozen=True)
class Refusal:
    """An argument of `hf` that `varlen_dlm` does not have.

    Attributes:
        why: the reason, in one line.
        accepted: values that ask for nothing but what happens anyway; None: any value does.
    """

    why: str
    accepted: Collection[str] | None = ("none", "false")

    def accepts(self, value: Any) -> bool:
        """Whether nothing has to be done for a value."""
        return self.accepted is None or str(value).lower() in self.accepted


_STORED_QUANTISED = (
    "weights that are stored quantised are not read: take the checkpoint that they were made from, "
    "and load_in_4bit=True or load_in_8bit=True"
)
REFUSED: Mapping[str, Refusal] = {
    "backend": Refusal(
        "no family of diffusion language models has an encoder and a decoder",
        ("none", "default", "causal"),
    ),
    "truncation": Refusal("a prompt that does not fit is always cut from the left", None),
    "logits_cache": Refusal("equal requests are always computed once", None),
    "softmax_dtype": Refusal(
        "probabilities are always computed in float64",
        ("none", "float", "float32", "torch.float32", "double", "float64", "torch.float64"),
    ),
    "use_fast_tokenizer": Refusal("transformers 5 has fast tokenizers alone", None),
    "offload_folder": Refusal("weights are never moved to a disk", None),
    "tp_plan": Refusal(
        "tensor parallelism needs a plan, which no family has: parallelize=True spreads one model "
        "over all GPUs, accelerate launch gives each of them one"
    ),
    "delta": Refusal(
        "no diffusion language model is published as delta weights: add them to the model's and "
        "save the sum"
    ),
    "autogptq": Refusal(_STORED_QUANTISED),
    "gptqmodel": Refusal(_STORED_QUANTISED),
    "gguf_file": Refusal("weights are read from safetensors alone"),
    "low_cpu_mem_usage": Refusal("weights are always streamed in, one tensor at a time", None),
    "use_safetensors": Refusal("weights are read from safetensors alone", ("none", "true")),
    "token": Refusal("log in with hf auth login, or set the environment variable HF_TOKEN"),
    "cache_dir": Refusal("set the environment variable HF_HOME"),
    "local_files_only": Refusal("set the environment variable HF_HUB_OFFLINE=1"),
    "bnb_4bit_compute_dtype": Refusal("products of weights in 4 bits are computed in dtype="),
    "alg": Refusal(
        "Dream's own sampler is remasking=entropy,schedule=time,block_length=0 (or origin, "
        "maskgit_plus, topk_margin in the place of entropy)"
    ),
}


def in_own_names(given: Mapping[str, Any], kept: Collection[str] = ()) -> dict[str, Any]:
    """The arguments under their own names, without those that ask for nothing.

    Args:
        given: as they were typed.
        kept: names that mean something else here: options of the method.

    Raises:
        ConfigurationError: an argument that is refused, or two names of one argument with
            different values.

    >>> in_own_names({"gen_length": 64, "logits_cache": False})
    {'max_gen_toks': 64}
    """
    named: dict[str, Any] = {}
    typed: dict[str, str] = {}
    for name, value in given.items():
        refusal = None if name in kept else REFUSED.get(name)
        if refusal is not None:
            if not refusal.accepts(value):
                raise ConfigurationError(f"varlen_dlm does not take {name}: {refusal.why}")
            continue
        own = name if name in kept else OTHER_NAMES.get(name, name)
        if named.get(own) is not None and value is None:  # None says nothing
            continue
        if named.get(own) is not None and str(named[own]) != str(value):
            raise ConfigurationError(
                f"{typed[own]}={named[own]} and {name}={value} say the same thing: give one of them"
            )
        named[own], typed[own] = value, name
    return named


def refuse_alg(given: Mapping[str, Any]) -> None:
    """Refuses Dream's `alg` among the generation arguments of a request, as among the model's.

    Ignored with a warning, as other unknown names there, it would leave another sampler's scores.

    Raises:
        ConfigurationError: it is there; the message says what to write.
    """
    if given.get("alg") is not None:
        in_own_names({"alg": given["alg"]})
