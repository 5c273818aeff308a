"""Text encoders of every architecture: loaded whole, fitted, saved, loaded again, or refused."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel, T5Config, T5ForConditionalGeneration

from eosbench.errors import ConfigurationError, PredictorError
from eosbench.fitting.examples import FitData
from eosbench.fitting.fit import fit_all
from eosbench.fitting.jobs import FitJob, check_jobs
from eosbench.fitting.passes import Passes, Sample, to_prompt
from eosbench.fitting.rates import Rates
from eosbench.fitting.train import TrainingSettings
from eosbench.forward.step_zero import text_only
from eosbench.predictors import FittedPredictor, build, load_predictor
from eosbench.predictors.distilbert import DistilBert
from eosbench.predictors.encoder import longest_text, pretrained
from eosbench.predictors.reader import LengthReader
from eosbench.records import Prompt
from tests.eosbench.predictors.encoders import CONFIGS, HOLDS, save_encoder, tokenizer
from tests.eosbench.toy import CANVAS, MASK, toy_backbone, toy_examples

BACKBONE = toy_backbone()
PROMPTS = [
    to_prompt(Sample(example, 0.0), canvas=CANVAS, mask_id=MASK)
    for example in toy_examples(6, seed=3)
]


def prompts(*texts: str) -> list[Prompt]:
    return [Prompt(text, (2, 4, 3), (MASK,) * CANVAS) for text in texts]


def text_encoder(folder: Path, **options: Any) -> Any:
    return build(
        "distilbert",
        backbone=BACKBONE,
        canvas=CANVAS,
        options={"encoder": str(folder), **options},
    )


def lengths(fitted: Any, batch: list[Prompt]) -> list[float]:
    return [prediction.length for prediction in fitted.predict(text_only(batch, MASK))]


def change_weights(folder: Path, change: Any) -> None:
    weights = folder / "model.safetensors"
    save_file(change(load_file(weights)), weights, metadata={"format": "pt"})


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("architecture", CONFIGS)
def test_fitted_saved_and_loaded_again(architecture: str, trained: bool, tmp_path: Path) -> None:
    """The folder needs its checkpoint no more, and says which it was, without its place."""
    encoder = save_encoder(tmp_path / "tiny-encoder", architecture)
    options = {"encoder": str(encoder), "train_encoder": trained}
    (report,) = fit_all(
        [FitJob("distilbert", tmp_path / "p", options)],
        passes=Passes(BACKBONE, CANVAS),
        data=FitData(toy_examples(40, seed=0), toy_examples(20, seed=1)),
        fractions=(0.0,),
        training=TrainingSettings(epochs=2),
    )
    assert report.training is not None
    for file in encoder.iterdir():
        file.unlink()
    fitted = load_predictor("distilbert", tmp_path / "p", backbone=BACKBONE, canvas=CANVAS)
    again = load_predictor("distilbert", tmp_path / "p", backbone=BACKBONE, canvas=CANVAS)
    assert lengths(fitted, PROMPTS) == lengths(again, PROMPTS)
    assert len(set(lengths(fitted, PROMPTS))) > 1
    assert lengths(fitted, PROMPTS) == pytest.approx(
        [lengths(fitted, [prompt])[0] for prompt in PROMPTS], abs=1e-3
    )
    config = (tmp_path / "p" / "config.json").read_text(encoding="utf-8")
    card = (tmp_path / "p" / "README.md").read_text(encoding="utf-8")
    assert str(tmp_path) not in config + card
    assert json.loads(config)["options"]["encoder"] == "tiny-encoder"
    assert "`tiny-encoder`" in card and ("fine-tuned" in card) == trained


@pytest.mark.parametrize("architecture", CONFIGS)
def test_what_is_saved_predicts_as_what_was_fitted(architecture: str, tmp_path: Path) -> None:
    """The scores of the fit are those of the weights in memory, the second those of the folder."""
    from eosbench.predictors.folder import save_folder

    encoder = save_encoder(tmp_path / "e", architecture)
    before = FittedPredictor("distilbert", text_encoder(encoder))
    save_folder(tmp_path / "p", before, backbone=BACKBONE, canvas=CANVAS)
    after = load_predictor("distilbert", tmp_path / "p", backbone=BACKBONE, canvas=CANVAS)
    assert lengths(before, PROMPTS) == lengths(after, PROMPTS)


@pytest.mark.parametrize("architecture", CONFIGS)
def test_the_body_is_that_of_transformers(architecture: str, tmp_path: Path) -> None:
    """Mean states as transformers' own AutoModel and tokenizer give them, text by text."""
    folder = save_encoder(tmp_path, architecture)
    own = text_encoder(folder, train_encoder=False)
    features = own.features(text_only(prompts("n3 n0", "n7 n1 n1 n2"), MASK))
    reference = transformers.AutoModel.from_pretrained(folder).eval()
    read = transformers.AutoTokenizer.from_pretrained(folder)
    for row, text in enumerate(("n3 n0", "n7 n1 n1 n2")):
        ids = torch.tensor([read(text)["input_ids"]])
        with torch.no_grad():
            hidden_TD = reference(ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
        found_D = features[own.array][row]
        torch.testing.assert_close(found_D, hidden_TD.mean(dim=0), atol=1e-5, rtol=1e-5)
        assert features[f"{own.array}_tokens"][row].item() == ids.shape[1]


@pytest.mark.parametrize("architecture", CONFIGS)
def test_a_text_is_cut_to_what_the_encoder_holds(architecture: str, tmp_path: Path) -> None:
    """24 tokens, special ones included, of which the last stand: the question behind examples."""
    own = text_encoder(save_encoder(tmp_path, architecture))
    assert own.text.longest == HOLDS
    fits, long = "n1 " * 22, "n2 " * 30 + "n1 " * 22
    assert own.cut([fits, long, fits + "n1"]) == (2, HOLDS)
    ids_BT, tokens_B1 = own.text.ids([fits, long])
    assert ids_BT[0].tolist() == ids_BT[1].tolist()
    assert tokens_B1.tolist() == [[24], [54]]
    assert all(0 <= length <= CANVAS for length in lengths(own, prompts(fits, long, "")))


def test_the_smaller_limit_counts() -> None:
    """RoBERTa's published table of 514 positions holds 512 tokens."""
    size = {"hidden_size": 2, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = transformers.RobertaConfig(**size, vocab_size=5, max_position_embeddings=514)
    model = transformers.RobertaModel(config)
    assert longest_text(model) == longest_text(model, 10**30) == 512
    assert longest_text(model, 384) == 384


def test_the_limit_of_the_tokenizer(tmp_path: Path) -> None:
    own = text_encoder(save_encoder(tmp_path, model_max_length=10))
    assert own.text.longest == 10
    assert own.cut(["n1 " * 8, "n1 " * 9]) == (1, 10)


def test_names_of_special_tokens_in_a_text_are_text(tmp_path: Path) -> None:
    own = text_encoder(save_encoder(tmp_path))
    ids_BT, _ = own.text.ids(["n1 [SEP] n1"])
    assert ids_BT[0].tolist().count(3) == 1


def test_cut_prompts_are_counted_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In the fit and in the evaluation."""
    folder = save_encoder(tmp_path / "e", model_max_length=4)
    with caplog.at_level(logging.WARNING):
        fit_all(
            [FitJob("distilbert", tmp_path / "p", {"encoder": str(folder)})],
            passes=Passes(BACKBONE, CANVAS),
            data=FitData(toy_examples(40, seed=0), toy_examples(20, seed=1)),
            fractions=(0.0,),
            training=TrainingSettings(epochs=1),
        )
    # A text has as many words as its filler and one; four tokens hold two of them.
    train, calibration = (
        sum(len(example.prompt_text.split()) > 2 for example in toy_examples(size, seed=seed))
        for size, seed in ((40, 0), (20, 1))
    )
    assert f"{train} of 40 train prompts are longer than the 4 tokens" in caplog.text
    config = json.loads((tmp_path / "p" / "config.json").read_text(encoding="utf-8"))
    assert config["fit"]["cut_prompts"] == {"train": train, "calibration": calibration}
    fitted = load_predictor("distilbert", tmp_path / "p", backbone=BACKBONE, canvas=CANVAS)
    batch = prompts("n1 n1 n1", "n1")
    list(LengthReader(BACKBONE, {"distilbert": fitted}).read("distilbert", batch, 2))
    assert "1 of 2 prompts are longer than the 4 tokens" in caplog.text


def test_a_checkpoint_with_another_head_gives_its_body(tmp_path: Path) -> None:
    """No weight of the body is random: those that a masked language model has are taken."""
    folder = save_encoder(tmp_path, "Bert", "ForMaskedLM")
    body = pretrained(str(folder)).model.state_dict()
    stored = load_file(folder / "model.safetensors")
    assert body
    for name, tensor in body.items():
        assert torch.equal(tensor, stored[f"bert.{name}"])
    assert not any(name.startswith("pooler") for name in body)


def test_a_folder_of_sentence_transformers(tmp_path: Path) -> None:
    """With the transformer in a folder of its own, as old versions wrote it."""
    save_encoder(tmp_path / "0_Transformer")
    modules = [{"idx": 0, "name": "0", "path": "0_Transformer", "type": "Transformer"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    assert pretrained(str(tmp_path)).settings["config"]["model_type"] == "bert"


@pytest.mark.parametrize("architecture", CONFIGS)
def test_missing_weights_are_named(architecture: str, tmp_path: Path) -> None:
    folder = save_encoder(tmp_path, architecture)
    lost = {}

    def without_a_layer(tensors: dict[str, Any]) -> dict[str, Any]:
        layer = next(name.rpartition(".1.")[0] for name in tensors if ".1." in name) + ".1."
        lost.update({name: one for name, one in tensors.items() if name.startswith(layer)})
        return {name: one for name, one in tensors.items() if name not in lost}

    change_weights(folder, without_a_layer)
    with pytest.raises(PredictorError, match=r"does not hold the weights of the .* it lacks") as e:
        text_encoder(folder)
    assert sorted(lost)[0] in str(e.value) and f"and {len(lost) - 3} more" in str(e.value)
    assert "\n" not in str(e.value)


def test_weights_of_another_architecture_shape_or_depth(tmp_path: Path) -> None:
    other = save_encoder(tmp_path / "other", "DistilBert")
    bert = save_encoder(tmp_path / "bert")
    whole = load_file(bert / "model.safetensors")
    change_weights(bert, lambda _: load_file(other / "model.safetensors"))
    with pytest.raises(PredictorError, match=r"lacks .*and \d\d more"):
        text_encoder(bert)
    shape = "encoder.layer.0.output.dense.weight"
    change_weights(bert, lambda _: {**whole, shape: torch.zeros(3, 3)})
    with pytest.raises(PredictorError, match=f"it holds in another shape {shape}"):
        text_encoder(bert)
    deeper = {
        name.replace("layer.1.", "layer.2."): tensor.clone()
        for name, tensor in whole.items()
        if "layer.1." in name
    }
    change_weights(bert, lambda _: {**whole, **deeper})
    with pytest.raises(PredictorError, match=r"it holds beside them encoder\.layer\.2\."):
        text_encoder(bert)


def test_what_is_no_encoder_is_refused(tmp_path: Path) -> None:
    small = {"vocab_size": 30, "n_embd": 8, "n_layer": 1, "n_head": 1}
    GPT2LMHeadModel(GPT2Config(**small)).save_pretrained(tmp_path / "gpt2")
    t5 = T5Config(vocab_size=30, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    T5ForConditionalGeneration(t5).save_pretrained(tmp_path / "t5")
    for name in ("gpt2", "t5"):
        tokenizer().save_pretrained(tmp_path / name)
        with pytest.raises(PredictorError, match=rf"is a '{name}', which is no text encoder"):
            text_encoder(tmp_path / name)


def test_what_can_be_refused_is_refused_before_a_model_is_loaded(tmp_path: Path) -> None:
    save_encoder(tmp_path / "good")
    GPT2LMHeadModel(GPT2Config(vocab_size=30, n_embd=8, n_layer=1, n_head=1)).save_pretrained(
        tmp_path / "gpt2"
    )

    def check(**options: Any) -> None:
        check_jobs([FitJob("distilbert", tmp_path / "p", options)])

    check(encoder=str(tmp_path / "good"))
    with pytest.raises(PredictorError, match="no text encoder"):
        check(encoder=str(tmp_path / "gpt2"))
    with pytest.raises(PredictorError, match="cannot be loaded"):
        check(encoder=str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="knows nothing yet"):
        check(train_encoder=False)
    with pytest.raises(ConfigurationError, match="has no option encodr"):
        check(encodr="x")


def test_checkpoints_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(PredictorError, match=r"'.*nowhere' cannot be loaded \(.*\): check the"):
        text_encoder(tmp_path / "nowhere")
    folder = save_encoder(tmp_path / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(PredictorError, match=r"cannot be loaded \(.*safetensors"):
        text_encoder(folder)
    config = folder / "config.json"
    config.write_text(json.dumps({"model_type": "mine", "auto_map": {}}), encoding="utf-8")
    with pytest.raises(PredictorError, match=r"cannot be loaded \(.*mine"):
        text_encoder(folder)


def test_revisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_encoder(tmp_path / "e")
    asked: list[tuple[str, str | None]] = []

    def from_here(name: str, revision: str | None) -> Any:
        asked.append((name, revision))
        return pretrained(str(folder))

    monkeypatch.setattr("eosbench.predictors.encoder_choice.pretrained", from_here)
    for options in (
        {"encoder": "owner/name"},
        {"encoder": "owner/name@v2"},
        {"encoder": "owner/name", "encoder_revision": "v2"},
        {"encoder": "owner/name@v2", "encoder_revision": "v2"},
        {"encoder": "owner/name", "encoder_revision": 1234567},
    ):
        own = build("distilbert", backbone=BACKBONE, canvas=CANVAS, options=options)
        assert own.options["encoder"] == "owner/name"
        assert own.options["encoder_revision"] == asked[-1][1]
    revisions = [None, "v2", "v2", "v2", "1234567"]
    assert asked == [("owner/name", revision) for revision in revisions]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "a/b@v1", "encoder_revision": "v2"}, "expected one revision"),
        ({"encoder_revision": "v2"}, "expected a hub id beside it"),
        ({"train_encoder": False}, "a new encoder knows nothing yet"),
        ({"encoder": "a/b", "train_encoder": "maybe"}, "expected true or false"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        DistilBert(backbone=BACKBONE, canvas=CANVAS, **options)


def test_a_frozen_encoder_stays_as_it_is_and_a_fine_tuned_one_does_not(tmp_path: Path) -> None:
    folder = save_encoder(tmp_path / "e")
    before = pretrained(str(folder)).model.state_dict()
    for trained in (True, False):
        place = tmp_path / f"{trained}"
        fit_all(
            [FitJob("distilbert", place, {"encoder": str(folder), "train_encoder": trained})],
            passes=Passes(BACKBONE, CANVAS),
            data=FitData(toy_examples(40, seed=0), toy_examples(20, seed=1)),
            fractions=(0.0,),
            training=TrainingSettings(epochs=2),
        )
        after = load_file(place / "model.safetensors")
        same = [torch.equal(one, after[f"module.encoder.{name}"]) for name, one in before.items()]
        assert not any(same) if trained else all(same)


def test_rates_rise_and_fall(tmp_path: Path) -> None:
    """Of 20 steps the first 2 rise: half of 5e-5, then 5e-5, then down to 0 along a line."""
    rates = Rates.of(text_encoder(save_encoder(tmp_path)), steps=20)
    assert rates.schedule is not None
    seen = []
    for _ in range(20):
        rates.optimizer.step()
        rates.schedule.step()
        seen.append([group["lr"] for group in rates.optimizer.param_groups])
    assert seen[0] == pytest.approx([2.5e-5, 5e-4]) and seen[1] == pytest.approx([5e-5, 1e-3])
    assert seen[10] == pytest.approx([2.5e-5, 5e-4]) and seen[19] == pytest.approx([0, 0])
    scratch = build("distilbert", backbone=BACKBONE, canvas=CANVAS)
    constant = Rates.of(scratch, steps=20)  # type: ignore[arg-type]
    assert constant.schedule is None
    assert [group["lr"] for group in constant.optimizer.param_groups] == [1e-3]


def test_numbers_of_a_fine_tuning_are_its_own_unless_said(tmp_path: Path) -> None:
    own = text_encoder(save_encoder(tmp_path))
    said = TrainingSettings(epochs=9)
    assert said.course(own.fine_tuning) == TrainingSettings(9, 32, 2).course(None)
    assert said.course(None) == TrainingSettings(9, 64, 8).course(own.fine_tuning)
