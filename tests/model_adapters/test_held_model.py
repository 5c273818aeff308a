"""`pretrained` as a model of transformers that is in memory, and values of another type or size."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from lm_eval.api.instance import Instance
from safetensors.torch import load_file

import eosbench
from eosbench.errors import ConfigurationError, EosbenchError
from eosbench.fitting import read_pairs
from eosbench.results import read_results
from model_adapters import load_backbone
from model_adapters.varlen_dlm import VarLenDLM
from tests.golden_files import GOLDEN
from tests.model_adapters.stock_models import DECODER, ENCODER, GPT2, IDS_BT, published, stock

LONG = "a" * 300
TRAINED = GOLDEN / "llada-trained"
SETTINGS = {"device": "cpu", "max_gen_toks": 32, "block_length": 16}
MIXTURE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8}
MODELS = {
    "qwen2": stock("qwen2", **DECODER),
    "qwen3": stock("qwen3", **DECODER, head_dim=8),
    "qwen3, tied": stock("qwen3", **{**DECODER, "tie_word_embeddings": True}, head_dim=8),
    "llama": stock("llama", **DECODER),
    "gpt2": stock("gpt2", **GPT2),
    "bert": stock("bert", **ENCODER),
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_in_memory_computes_what_its_checkpoint_computes(kind: str, tmp_path: Path) -> None:
    published(tmp_path, MODELS[kind])
    model: Any = transformers.AutoModelForCausalLM
    if kind == "bert":
        model = transformers.AutoModelForMaskedLM
    held = model.from_pretrained(tmp_path)
    stored, in_memory = load_backbone(tmp_path), load_backbone(held, mask_token_id=0)
    assert torch.equal(stored.logits(IDS_BT), in_memory.logits(IDS_BT))
    assert in_memory.spec.fingerprint == stored.spec.fingerprint
    assert (in_memory.spec.mask_id, in_memory.spec.eos_ids) == (0, stored.spec.eos_ids)
    # Nothing is copied.
    held_at = {parameter.data_ptr() for parameter in held.parameters()}
    own: Any = in_memory
    assert {parameter.data_ptr() for parameter in own.model.parameters()} <= held_at


class LLaDAConfig(transformers.PreTrainedConfig):
    model_type = "llada"


class LLaDAModelLM(transformers.PreTrainedModel):
    """Stands for the class that LLaDA's own code brings: its config and its weights' names."""

    config_class = LLaDAConfig
    tensors: dict[str, torch.Tensor]

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.one = torch.nn.Parameter(torch.zeros(1))

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return self.tensors


def own_code_model(folder: Path = TRAINED, **says: Any) -> LLaDAModelLM:
    raw = transformers.PreTrainedConfig.get_config_dict(folder)[0]
    model = LLaDAModelLM(LLaDAConfig(**{**raw, **says}))
    model.tensors = load_file(folder / "model.safetensors")
    return model


def answers(model: VarLenDLM) -> list[str]:
    contexts = ["Count from 3 to 9.", "Is 7 a prime number?"]
    asked = [
        Instance("generate_until", {}, (text, {"until": []}), 0, ("task", number, 1))
        for number, text in enumerate(contexts)
    ]
    return model.generate_until(asked, disable_tqdm=True)


def test_varlen_dlm_takes_a_model_as_hf_does() -> None:
    held = own_code_model()
    held.config._name_or_path = held.name_or_path = str(TRAINED)
    named = VarLenDLM(pretrained=str(TRAINED), **SETTINGS)
    taken = VarLenDLM(pretrained=held, **{**SETTINGS, "dtype": "float32"})
    assert answers(taken) == answers(named)
    assert taken.arguments.method == "fixed"
    info = taken.get_model_info()["eosbench"]
    assert info["backbone"] == named.get_model_info()["eosbench"]["backbone"]
    assert VarLenDLM(pretrained=held, **SETTINGS).backbone.dtype == torch.bfloat16  # its own
    loaded = eosbench.load(held, **SETTINGS, dtype="float32")
    (answer,) = loaded.generate(["Count from 3 to 9."])
    assert answer.text == answers(named)[0]


def test_a_tokenizer_beside_a_model_without_a_name() -> None:
    held = own_code_model()
    with pytest.raises(ConfigurationError, match=r"has no tokenizer.*tokenizer="):
        VarLenDLM(pretrained=held, **SETTINGS)
    taken = VarLenDLM(pretrained=held, tokenizer=str(TRAINED), dtype="float32", **SETTINGS)
    assert answers(taken) == answers(VarLenDLM(pretrained=str(TRAINED), **SETTINGS))


class Large(torch.nn.Module):
    """A model that nobody knows, with a description of a thousand lines."""

    def __repr__(self) -> str:
        return "Large(\n" + "  (layer): Linear()\n" * 1000 + ")"


def refused(call: Callable[[], object], *words: str) -> None:
    with pytest.raises(EosbenchError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and len(message) < 1200, message
    assert LONG not in message and "Linear" not in message
    for word in words:
        assert word in message


def test_a_model_of_no_known_family_is_one_line() -> None:
    model = transformers.AutoModelForCausalLM.from_config(
        stock("opt", vocab_size=48, hidden_size=16, ffn_dim=24, num_hidden_layers=1,
              num_attention_heads=2, max_position_embeddings=64, word_embed_proj_dim=16)
    )  # fmt: skip
    refused(lambda: VarLenDLM(pretrained=model, **SETTINGS), "no supported family", "opt")
    refused(lambda: VarLenDLM(pretrained=Large(), **SETTINGS), "pretrained=<Large>", "PreTrained")


@pytest.mark.parametrize("name", ["pretrained", "predictor", "peft", "tokenizer", "telemetry"])
@pytest.mark.parametrize("value", [LONG, f"owner/{LONG}", "a\0b", LONG * 20], ids=range(4))
def test_a_name_that_is_too_long(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    refused(lambda: VarLenDLM(**{"device": "cpu", name: value}))


@pytest.mark.parametrize(
    "name",
    ["pretrained", "predictor", "peft", "tokenizer", "telemetry", "method", "alpha", "steps",
     "revision", "device", "dtype", "mask_token", "reference", "cache"],
)  # fmt: skip
def test_values_of_another_type(name: str) -> None:
    refused(lambda: VarLenDLM(**{"device": "cpu", name: Large()}), name)


def test_an_empty_name() -> None:
    refused(lambda: VarLenDLM(pretrained="", device="cpu"), "empty")


def test_long_names_of_files_and_folders(tmp_path: Path) -> None:
    refused(lambda: list(read_pairs(LONG + ".jsonl")), "no data file")
    refused(lambda: read_results(tmp_path / LONG), "no results folder")
    shutil.copytree(TRAINED, tmp_path / "here")
    load_backbone(tmp_path / "here")
