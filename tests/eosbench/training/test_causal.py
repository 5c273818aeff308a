"""The recipe `causal`: transformers' own loss of a causal model, a checkpoint that `hf` reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from eosbench import embedded
from eosbench.errors import CheckpointError, ConfigurationError
from eosbench.recipe import make_causal_start
from eosbench.recipe.autoregressive import new_gpt2
from eosbench.training import parse, train
from eosbench.training.arguments import read_file
from eosbench.training.batch import make_batch
from eosbench.training.denoiser import Denoiser
from eosbench.training.layout import Document
from eosbench.training.pairs import PairBatches
from model_adapters import load_backbone, load_trainable
from model_adapters.varlen_ar import VarLenAR

REPOSITORY = Path(__file__).resolve().parents[3]
DOCUMENTS = [
    Document([2, 20, 21, 3], [30, 31, 32]),
    Document([2, 22, 3], [33]),
    Document([2, 23, 24, 25, 26, 3], [34, 35, 36, 37, 38]),
]


@pytest.fixture(scope="module")
def causal_start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny GPT-2 with the embedded tokenizer."""
    folder = tmp_path_factory.mktemp("causal") / "start"
    make_causal_start(folder, width=32, layers=2, heads=2, mlp_width=64, max_length=512)
    return folder


@pytest.fixture
def quick_causal(causal_start: Path) -> list[str]:
    return [
        *("causal", "--pretrained", str(causal_start), "--limit", "60", "--canvas", "48"),
        *("--batch_tokens", "256", "--max_steps", "30", "--logging_steps", "10"),
        *("--learning_rate", "3e-3", "--warmup_steps", "0", "--disable_tqdm", "true"),
    ]


def batch_of(**given: Any) -> dict[str, torch.Tensor]:
    sizes = [len(one.prompt) + one.length + 1 for one in DOCUMENTS]
    rng = torch.Generator().manual_seed(0)
    settings = {"layout": "eos", "noise": "causal", "eos_id": 1, "mask_id": 0, "pad_id": 1}
    return make_batch(DOCUMENTS, sizes, step=0, rng=rng, **{**settings, **given})


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_loss_is_transformers_own(attention: str, causal_start: Path) -> None:
    """Over the answers and their ends: labels of -100 stand at prompts and padding."""
    batch = batch_of()
    ours = Denoiser(load_trainable(causal_start, attn_implementation=attention))
    model = AutoModelForCausalLM.from_pretrained(causal_start).eval()
    counts_BT = batch["weights"] > 0
    assert counts_BT.sum() == sum(one.length + 1 for one in DOCUMENTS)
    labels_BT = batch["targets"].masked_fill(~counts_BT, -100)
    with torch.no_grad():
        expected = model(batch["ids"], attention_mask=batch["token"].long(), labels=labels_BT).loss
        loss = ours.eval()(**batch)["loss"]
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)


def test_rows_hold_prompt_answer_and_end_and_nothing_masked() -> None:
    batch = batch_of()
    assert batch["ids"][0].tolist() == [2, 20, 21, 3, 30, 31, 32, 1, *[1] * 4]
    assert batch["weights"][0].tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 4
    assert batch["seen"].equal(torch.ones(12, 12).tril().bool())


def test_a_first_token_is_no_target() -> None:
    """No state scores it without a look at it."""
    text = [Document([], [30, 31, 32], ends=False)]
    rng = torch.Generator().manual_seed(0)
    batch = make_batch(
        text, [3], step=0, rng=rng, layout="text", noise="causal", eos_id=1, mask_id=0, pad_id=1
    )
    assert batch["weights"].tolist() == [[0.0, 1.0, 1.0]]


def test_windows_end_with_the_answer() -> None:
    def kept(documents: Any, sizes: Any, **_: Any) -> Any:
        return [(len(d.prompt) + d.length, size) for d, size in zip(documents, sizes, strict=True)]

    batches = PairBatches(DOCUMENTS, make=kept, seed=0, steps=1, windows="ended", canvas=32)
    assert {size - whole for whole, size in batches[0]} == {1}


def test_a_run_writes_a_model_that_hf_reads(quick_causal: list[str], tmp_path: Path) -> None:
    output = tmp_path / "out"
    folder = train(*parse([*quick_causal, "--output", str(output)]), load=load_trainable)
    record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    losses = [line["loss"] for line in record["log"] if "loss" in line]
    assert record["recipe"] == "causal" and record["metrics"] == {} and len(losses) == 3
    assert losses[-1] < losses[0] - 0.5
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "An autoregressive language model" in card and "--model varlen_ar" in card
    model = VarLenAR(str(folder), device="cpu")
    prompt = model.apply_chat_template([{"role": "user", "content": "Is 8912 even?"}])
    instance = Instance("generate_until", {}, (prompt, {"max_gen_toks": 4}), 0, ("t", 0, 1))
    assert len(model.generate_until([instance], disable_tqdm=True)) == 1
    assert model.get_model_info()["eosbench"]["backbone"]["recipe"] == "causal"
    # <bos>, the text and <sep>, as in training; digits one by one.
    framed = PreTrainedTokenizerFast.from_pretrained(embedded.MODEL)("Is 8912 even?")["input_ids"]
    assert model.tok_encode(prompt) == framed
    with pytest.raises(
        CheckpointError, match=r"fills in no masks: run it with .* --model varlen_ar"
    ):
        load_backbone(folder)
    assert load_trainable(folder).spec.logits_shifted  # what `annealed` starts from


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--objective", "first_end"], "--objective first_end: --noise causal trains an autoreg"),
        (["--anneal_steps", "10"], "--anneal_steps 10: --noise causal trains"),
        (["--held_out", "instruct:calibration"], "which has no step zero: leave it out"),
        (["--noise", "casual"], "--noise casual, did you mean 'causal'?"),
    ],
)
def test_settings_that_look_at_masks(flags: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(["causal", *flags])
    assert message in str(caught.value)


def test_a_denoiser_is_refused(start: Path, tmp_path: Path) -> None:
    words = [
        "causal",
        "--pretrained",
        str(start),
        "--limit",
        "20",
        "--output",
        str(tmp_path / "out"),
    ]
    with pytest.raises(ConfigurationError, match=r"\(llada\) score their own: start from an autor"):
        train(*parse(words), load=load_trainable)


def test_the_twin_has_the_size_of_the_embedded_model_and_its_documents() -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(embedded.MODEL)
    twin = new_gpt2(tokenizer).num_parameters()
    own = load_trainable(embedded.MODEL).model.num_parameters()  # type: ignore[operator]
    assert twin == pytest.approx(own, rel=0.01)
    ours = read_file(REPOSITORY / "benchmarks" / "causal.yaml")
    theirs = read_file(REPOSITORY / "eosbench" / "training" / "recipes" / "embedded.yaml")
    of_masks = {"layout", "noise", "block_length", "windows", "filler_weight", "held_out"}
    shared = {name: value for name, value in theirs.items() if name not in of_masks}
    assert {"data", "shares", "max_steps", "optimizer"} <= shared.keys()
    assert {name: ours[name] for name in shared} == shared
    parse([str(REPOSITORY / "benchmarks" / "causal.yaml")])
