"""`varlen_dlm` on models that attend causally between blocks, and on one whose canvas is noise."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance

from eosbench.backbone import scoring_rows
from eosbench.errors import ConfigurationError, PredictorError
from eosbench.fitting import FitData, FitJob, Passes, TrainingSettings, fit_all
from eosbench.fitting.examples import Example
from eosbench.forward import run_step_zero
from eosbench.predictors import FittedPredictor, save_folder
from eosbench.predictors.average_regression import AverageRegression
from eosbench.predictors.prompt_length import PromptLength
from eosbench.records import Prompt
from model_adapters import load_backbone
from model_adapters.varlen_dlm.model import VarLenDLM
from tests.golden_files import GOLDEN

BLOCK_MODELS = ("sdar-tiny", "llada2-tiny", "stable-diffcoder-tiny", "fast-dllm-v2-tiny")
ALL = (*BLOCK_MODELS, "diffusion-gemma-tiny")


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    """A golden checkpoint with a tokenizer, which some are published without here."""

    def copied(name: str) -> Path:
        shutil.copytree(GOLDEN / name, tmp_path / name)
        for file in ("tokenizer.json", "tokenizer_config.json"):
            if not (tmp_path / name / file).exists():
                shutil.copy(GOLDEN / "llada-moe-tiny" / file, tmp_path / name / file)
        return tmp_path / name

    return copied


def model(pretrained: Path, **given: Any) -> VarLenDLM:
    return VarLenDLM(pretrained=str(pretrained), max_gen_toks=24, device="cpu", **given)


def asked(count: int = 5, **kwargs: Any) -> list[Instance]:
    """Requests of unequal prompts."""
    texts = [
        " ".join(f"w{20 + 7 * at + step}" for step in range(3 + 6 * at)) for at in range(count)
    ]
    return [
        Instance("generate_until", {}, (text, {"until": [], **kwargs}), at, ("task", at, 1))
        for at, text in enumerate(texts)
    ]


def costs(one: VarLenDLM) -> dict[str, Any]:
    return dict(one.get_model_info()["eosbench"]["costs"]["task"])


@pytest.mark.parametrize("method", ["blocks", "fixed"])
@pytest.mark.parametrize("name", ALL)
def test_answers_do_not_depend_on_the_batch(folder: Any, name: str, method: str) -> None:
    pretrained = folder(name)
    alone, together = (
        model(pretrained, method=method, batch_size=size).generate_until(asked(), True)
        for size in (1, 5)
    )
    assert alone == together and any(alone)


@pytest.mark.parametrize("name", BLOCK_MODELS)
def test_fixed_fills_all_blocks_and_blocks_end_by_themselves(folder: Any, name: str) -> None:
    pretrained = folder(name)
    runs = {method: model(pretrained, method=method) for method in ("fixed", "blocks")}
    texts = {method: one.generate_until(asked(), True) for method, one in runs.items()}
    assert texts["fixed"] == texts["blocks"]  # the text before the first end is the same
    fixed, blocks = costs(runs["fixed"]), costs(runs["blocks"])
    assert fixed["token_positions"] >= blocks["token_positions"]
    assert fixed["mean_window"] == 24
    info = runs["blocks"].get_model_info()["eosbench"]
    assert info["backbone"]["attention"] == "block"
    assert info["decoding"]["block_length"] == runs["blocks"].backbone.spec.block_length


def test_a_bound_from_the_prompt_is_a_cap(folder: Any) -> None:
    pretrained = folder("sdar-tiny")
    whole = model(pretrained, method="blocks")
    capped = model(pretrained, method="oracle", rounding="none")
    texts = whole.generate_until(asked(), True)
    cut = capped.generate_until(asked(reference="w7 w8 w9 w10 w11"), True)
    assert all(text.startswith(short) for text, short in zip(texts, cut, strict=True))
    assert costs(capped)["mean_window"] == 5 and costs(capped)["truncated"] >= 1
    assert costs(capped)["token_positions"] < costs(whole)["token_positions"]


def test_the_length_of_the_prompt_is_a_cap(folder: Any, tmp_path: Path) -> None:
    """exp(log 6) - 1 = 5 tokens, whatever the prompt."""
    pretrained = folder("sdar-tiny")
    own = PromptLength(intercept=math.log(6), per_token=0.0, per_log_token=0.0, longest=9)
    fitted = FittedPredictor("prompt_length", own)
    save_folder(tmp_path / "p", fitted, backbone=load_backbone(pretrained), canvas=24)
    capped = model(
        pretrained, method="prompt_length", predictor=str(tmp_path / "p"), rounding="none"
    )
    capped.generate_until(asked(), True)
    assert costs(capped)["mean_window"] == 5


CAPS = ("mean", "max", "random", "prompt_length", "distilbert", "average_regression")
FITTED_WITH = {"average_regression": {"pooling": "prompt"}}


@pytest.fixture(scope="module")
def caps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of all methods that read the prompt alone, fitted on one block model."""
    folder = tmp_path_factory.mktemp("caps")
    documents = [
        Example(f"w{at % 30}", tuple(range(3 + at % 30)), tuple(range(1 + at % 12)))
        for at in range(80)
    ]
    fit_all(
        [FitJob(method, folder / method, FITTED_WITH.get(method, {})) for method in CAPS],
        passes=Passes(load_backbone(GOLDEN / "llada2-tiny"), canvas=24),
        data=FitData(documents[:50], documents[50:]),
        training=TrainingSettings(epochs=1),
    )
    return folder


@pytest.mark.parametrize("method", CAPS)
def test_fitted_methods_that_read_the_prompt_alone_are_caps(caps: Path, method: str) -> None:
    """The answer that is generated is the start of the uncapped one, in the window of the bound."""
    pretrained = GOLDEN / "llada2-tiny"
    capped = model(pretrained, method=method, predictor=str(caps / method), rounding="none")
    benchmark = {"eos_upper_bound": {"fraction": 0.0, "document": "d"}, "reference": "w7 w8 w9 w4"}
    (record,) = [json.loads(text) for text in capped.generate_until(asked(1, **benchmark), True)]
    assert 1 <= record["bound"] < 24 and record["length"] == 4
    whole = model(pretrained, method="fixed").generate_until(asked(1), True)
    assert whole[0].startswith(capped.generate_until(asked(1), True)[0])
    assert costs(capped)["mean_window"] == record["bound"]


def test_a_canvas_of_noise_is_as_long_as_the_bound(folder: Any) -> None:
    one = model(folder("diffusion-gemma-tiny"), method="oracle", rounding="none")
    seen: list[tuple[int, int]] = []
    denoise = one.backbone.denoise_noise  # type: ignore[attr-defined]

    def watched(prompt: Any, **given: Any) -> Any:
        seen.append((given["canvas_length"], given["max_new_tokens"]))
        return denoise(prompt, **given)

    one.backbone.denoise_noise = watched  # type: ignore[attr-defined]
    one.generate_until(asked(2, reference="w7 w8 w9 w10 w11 w12"), True)
    assert seen == [(6, 6), (6, 6)]


@pytest.mark.parametrize("name", ["sdar-tiny", "diffusion-gemma-tiny"])
@pytest.mark.parametrize(
    "method", ["logit", "smartcrop", "classification", "average_regression", "daedal", "rho_eos"]
)
def test_methods_that_look_at_a_whole_canvas_say_what_to_take(
    folder: Any, name: str, method: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        model(folder(name), method=method)
    message = str(raised.value)
    assert f"method {method!r} looks at the whole canvas" in message and "\n" not in message
    assert "take method=blocks" in message and "average_regression" in message


@pytest.mark.parametrize("method", ["fixed", "oracle"])
@pytest.mark.parametrize("name", ["llada2-tiny", "diffusion-gemma-tiny"])
def test_the_benchmark_runs_on_them(folder: Any, name: str, method: str) -> None:
    one = model(folder(name), method=method, rounding="none")
    benchmark = {"eos_upper_bound": {"fraction": 0.25, "document": "d"}, "reference": "w7 w8 w9 w4"}
    records = [json.loads(text) for text in one.generate_until(asked(2, **benchmark), True)]
    assert [record["bound"] for record in records] == [24 if method == "fixed" else 4] * 2
    assert all(record["eos_rank"] is None for record in records)


@pytest.mark.parametrize("name", ALL)
def test_likelihoods_have_no_published_rule(folder: Any, name: str) -> None:
    one = model(folder(name), method="fixed")
    request = Instance("loglikelihood", {}, ("w7 w8", " w9"), 0, ("task", 0, 1))
    with pytest.raises(ConfigurationError, match="no rule is published"):
        one.loglikelihood([request], True)


def test_the_block_length_is_the_models_own_unless_one_is_typed(folder: Any) -> None:
    pretrained = folder("sdar-tiny")
    own = model(pretrained, method="blocks", stop_at_eos=False)
    other = model(pretrained, method="blocks", stop_at_eos=False, block_length=8)
    assert own.arguments.decode_config(24).block_length is None
    assert other.arguments.decode_config(24).block_length == 8
    assert own.fingerprint != other.fingerprint
    assert own.generate_until(asked(), True) != other.generate_until(asked(), True)


def test_a_typed_block_length_may_be_longer_than_a_requests_canvas(folder: Any) -> None:
    pretrained = folder("sdar-tiny")
    as_typed = model(pretrained, method="blocks", block_length=4)
    own = model(pretrained, method="blocks")
    short = asked(max_gen_toks=3)
    assert as_typed.generate_until(short, True) == own.generate_until(short, True)


def test_steps_of_a_canvas_of_noise_may_be_more_than_its_tokens(folder: Any) -> None:
    one = model(folder("diffusion-gemma-tiny"), method="blocks", steps=60)
    one.generate_until([*asked(1), *asked(1, steps=30)], True)
    assert costs(one)["forward_passes"] == 60 + 30


def test_settings_of_some_block_models(folder: Any) -> None:
    pretrained = folder("llada2-tiny")
    plain = model(pretrained, method="blocks", threshold=0.5, block_length=8)
    edited = model(
        pretrained, method="blocks", threshold=0.5, block_length=8, editing_threshold=0.4
    )
    assert plain.fingerprint != edited.fingerprint
    assert plain.generate_until(asked(), True) != edited.generate_until(asked(), True)
    with pytest.raises(ConfigurationError, match="only llada2 has that"):
        model(folder("sdar-tiny"), method="blocks", editing_threshold=0.4)
    with pytest.raises(ConfigurationError, match="kept exactly anyway"):
        model(folder("stable-diffcoder-tiny"), method="blocks", cache="prefix")


@pytest.mark.parametrize("name", ALL)
def test_features_of_the_prompt_are_its_own_states(folder: Any, name: str) -> None:
    """Pooled over the prompt alone: no pass runs a canvas, and no canvas changes them."""
    backbone = load_backbone(folder(name))
    mask = backbone.spec.mask_id
    prompts = [Prompt("", tuple(range(20, 20 + length)), (mask,) * 8) for length in (5, 11)]
    predictor = AverageRegression(canvas=8, width=backbone.spec.width, pooling="prompt")
    both_B2D = predictor.features(run_step_zero(backbone, prompts))["pooled"]
    width = backbone.spec.width
    assert not both_B2D[:, width:].any()
    with torch.no_grad():
        states_PD = scoring_rows(
            backbone.hidden(torch.tensor([prompts[0].ids])), backbone.spec.logits_shifted
        )[0]
    torch.testing.assert_close(both_B2D[0, :width], states_PD.mean(dim=0), atol=1e-4, rtol=0)
    with pytest.raises(PredictorError, match="step zero holds no canvas_hidden_BCD"):
        AverageRegression(canvas=8, width=width).features(run_step_zero(backbone, prompts))
