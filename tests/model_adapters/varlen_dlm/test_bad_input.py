"""Everything a user can get wrong between the command line and the first answer ends in an error
that says what to do.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from eosbench.errors import (
    CheckpointError,
    ConfigurationError,
    EosbenchError,
    PredictorError,
    report_errors_plainly,
)
from eosbench.predictors import load_predictor
from eosbench.predictors.folder import save_folder
from model_adapters.varlen_dlm.model import VarLenDLM
from tests.golden_files import GOLDEN
from tests.model_adapters.varlen_dlm.scripted_model import (
    asked,
    backbone_of,
    benchmark,
    model_of,
    pair,
)

REPOSITORY = Path(__file__).resolve().parents[3]
TRAINED = str(GOLDEN / "llada-trained")


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        (
            {"pretrained": TRAINED, "dtype": "foo"},
            ConfigurationError,
            r"dtype 'foo': expected auto or one of float32",
        ),
        (
            {"pretrained": TRAINED, "device": "tpu9"},
            ConfigurationError,
            r"device 'tpu9' cannot be used here",
        ),
        (
            {"pretrained": "no/such/folder/here"},
            CheckpointError,
            r"no such folder: no/such/folder/here",
        ),
        (
            {"pretrained": TRAINED, "max_gen_toks": 512},
            ConfigurationError,
            r"max_gen_toks=512 leaves no room.*512 positions",
        ),
        (
            {"pretrained": TRAINED, "method": "classification"},
            PredictorError,
            r"needs a fitted predictor: pass its folder",
        ),
        (
            {"pretrained": TRAINED, "method": "mean", "predictor": "none-here"},
            PredictorError,
            r"no predictor folder 'none-here'",
        ),
        (
            {"pretrained": TRAINED, "method": "logit", "variant": "best"},
            ConfigurationError,
            r"logit variant 'best'",
        ),
        (
            {"pretrained": TRAINED, "method": "fixed", "tau": 0.5},
            ConfigurationError,
            r"method 'fixed' has no option tau",
        ),
        (
            {"pretrained": str(GOLDEN / "llada-tiny"), "max_gen_toks": 16},
            ConfigurationError,
            r"has no tokenizer: put its files",
        ),
    ],
)
def test_models_that_cannot_be_made(
    given: dict[str, Any], kind: type[EosbenchError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        VarLenDLM(**({"device": "cpu", "max_gen_toks": 64} | given))


def test_a_hub_id_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        CheckpointError,
        match=r"no folder nobody/nothing, and the hub did not deliver it.*hf download",
    ):
        VarLenDLM(pretrained="nobody/nothing", device="cpu")


def test_a_checkpoint_without_a_mask_token(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(GOLDEN / "llada-trained", folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    del config["mask_token_id"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    text = (folder / "tokenizer.json").read_text(encoding="utf-8").replace("<mask>", "<blank>")
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    with pytest.raises(
        CheckpointError, match=r"has no mask token: expected mask_token_id in config.json"
    ):
        VarLenDLM(pretrained=str(folder), device="cpu", max_gen_toks=64)


def fitted_folder(folder: Path, backbone: Any, canvas: int) -> Path:
    save_folder(
        folder,
        load_predictor("logit", backbone=backbone, canvas=canvas),
        backbone=backbone,
        canvas=canvas,
    )
    return folder


def test_a_predictor_of_another_backbone_method_or_canvas(tmp_path: Path) -> None:
    folder = fitted_folder(tmp_path / "logit", backbone_of({"q?": "yes"}), 64)
    given = {"pretrained": TRAINED, "device": "cpu", "max_gen_toks": 64, "predictor": str(folder)}
    with pytest.raises(
        PredictorError,
        match=r"was fitted for backbone 0123456789abcdef, this one is .*eosbench fit",
    ):
        VarLenDLM(**given, method="logit")
    with pytest.raises(
        PredictorError, match=r"is a 'logit', asked for is 'mean': choose method=logit"
    ):
        VarLenDLM(**given, method="mean")
    backbone = backbone_of({"q?": "yes"})
    with pytest.raises(PredictorError, match=r"a canvas of 64, this one is 16: .* --canvas 16$"):
        model_of(backbone, method="logit", predictor=str(folder))
    with pytest.raises(ConfigurationError, match=r"was fitted with q=0.5, asked for is 0.25"):
        model_of(backbone, method="logit", predictor=str(folder), max_gen_toks=64, q=0.25)
    model = model_of(backbone, method="logit", predictor=str(folder), max_gen_toks=64)
    with pytest.raises(
        ConfigurationError, match=r"task task: max_gen_toks=32 .* fitted for a canvas of 64"
    ):
        model.generate_until([benchmark("q?", "yes", max_gen_toks=32)], disable_tqdm=True)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            asked("q?", 3, max_gen_toks=0),
            r"document 3: max_gen_toks=0: expected a whole number of tokens from 1 to 39",
        ),
        (
            asked("q?", 3, max_gen_toks=40),
            r"document 3: max_gen_toks=40: expected .* the model's 40 positions",
        ),
        (asked("q?", 3, max_gen_toks="many"), r"max_gen_toks='many'"),
        (asked("q?", 3, max_gen_toks=True), r"max_gen_toks=True"),
        (asked("q?", 3, until=[1]), r"document 3: until=\[1\]: expected a string or a list"),
        (asked("q?", 3, until=5), r"until=5"),
        (asked("q?", 3, temperature="hot"), r"document 3: temperature='hot': expected a number"),
        (asked("q?", 3, temperature=-1.0), r"document 3: temperature=-1.0: expected 0 or more"),
        (asked("q?", 3, do_sample="perhaps"), r"do_sample='perhaps': expected true or false"),
        (asked("q?", 3, steps="abc"), r"document 3: steps='abc': expected a whole number"),
        (asked("q?", 3, steps=0), r"document 3: steps=0: expected 1"),
        (asked("q?", 3, threshold=3), r"document 3: threshold=3.0"),
        (
            asked("q?", 3, eos_upper_bound={"fraction": 0.0}),
            r"task task: its requests need a reference and a fraction",
        ),
        (
            asked("q?", 3, eos_upper_bound={}, reference="yes"),
            r"task task: its requests need a reference and a fraction",
        ),
        (
            benchmark("q?", "yes", fraction=1.5),
            r"unmasked fraction 1.5: expected a number from 0 to 1",
        ),
    ],
)
def test_requests_that_cannot_be_answered(request_: Any, message: str) -> None:
    backbone = backbone_of({"q?": "yes"}, max_length=40)
    with pytest.raises(ConfigurationError, match=message):
        model_of(backbone).generate_until([asked("q?"), request_], disable_tqdm=True)
    assert backbone.passes == []  # known before anything is computed


def test_a_canvas_that_leaves_no_room() -> None:
    with pytest.raises(
        ConfigurationError,
        match=r"max_gen_toks=16 leaves no room for a prompt: the model has 16 positions",
    ):
        model_of(backbone_of({"q?": "yes"}, max_length=16))


def test_the_oracle_needs_a_reference() -> None:
    with pytest.raises(
        PredictorError, match=r"reads the reference length, and this request carries none"
    ):
        model_of(backbone_of({"q?": "yes"}), method="oracle").generate_until(
            [asked("q?")], disable_tqdm=True
        )


def test_a_request_without_a_reference_is_named_before_any_work() -> None:
    backbone = backbone_of({"q?": "yes", "r?": "no"})
    without = asked("r?", 7)
    benchmarked = benchmark("q?", "yes", fraction=0.0)
    with pytest.raises(PredictorError, match=r"task task, document 7: method 'oracle' reads"):
        model_of(backbone, method="oracle").generate_until(
            [benchmarked, without], disable_tqdm=True
        )
    assert backbone.passes == []


def test_a_model_without_chat_template(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(backbone_of({"q?": "yes"}))
    monkeypatch.setattr(model.tokenizer, "chat_template", None, raising=False)
    with pytest.raises(
        ConfigurationError, match=r"has no chat template: leave out --apply_chat_template"
    ):
        model.apply_chat_template([{"role": "user", "content": "hi"}])


def test_a_continuation_that_cannot_be_scored_is_named_before_any_work() -> None:
    backbone = backbone_of({"q?": "yes"}, max_length=40)
    model = model_of(backbone)
    requests = [pair("q?", "yes", 0), pair("q?", "very long" * 5, 7)]
    with pytest.raises(ConfigurationError, match=r"task task, document 7: a continuation of 45 "):
        model.loglikelihood(requests, disable_tqdm=True)
    with pytest.raises(ConfigurationError, match=r"mask token 0, which has no likelihood"):
        model._loglikelihood_tokens([(("", ""), [70], [71, 0])])
    assert backbone.passes == []


def test_weights_that_are_no_weights(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(GOLDEN / "llada-trained", folder)
    save_file({"some": torch.zeros(2)}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"weights do not fit its config.json"):
        VarLenDLM(pretrained=str(folder), device="cpu", max_gen_toks=64)


LIKE_LM_EVAL = """
import sys
import lm_eval.api.model
from eosbench.errors import report_errors_plainly
from model_adapters.varlen_dlm import VarLenDLM
flags = {"batch_size": 1, "max_batch_size": None, "device": "cpu"}
lm = VarLenDLM.create_from_arg_string(sys.argv[1], flags)
"""


def test_a_command_line_ends_with_one_message() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIKE_LM_EVAL, f"pretrained={TRAINED},max_gen_toks=64,stepz=3"],
        cwd=REPOSITORY,
        env={name: value for name, value in os.environ.items() if name != "EOSBENCH_TRACEBACK"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()[-2:]
    assert lines[0].startswith("eosbench: varlen_dlm has no argument stepz; it knows pretrained, ")
    assert lines[1] == "(EOSBENCH_TRACEBACK=1 shows where)"
    assert "Traceback" not in done.stderr


def test_a_traceback_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EOSBENCH_TRACEBACK", "1")
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    report_errors_plainly()
    assert sys.excepthook is sys.__excepthook__


def test_other_errors_keep_their_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("EOSBENCH_TRACEBACK", raising=False)
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    report_errors_plainly()
    first = sys.excepthook
    report_errors_plainly()
    assert sys.excepthook is first  # once is enough
    for error in (RuntimeError("a bug"), ConfigurationError("a typing error")):
        sys.excepthook(type(error), error, None)
    printed = capsys.readouterr().err
    assert "RuntimeError: a bug" in printed
    assert "eosbench: a typing error\n(EOSBENCH_TRACEBACK=1" in printed
    assert "ConfigurationError" not in printed
