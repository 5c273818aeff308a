"""`eosbench fit --method cal`: the constants of the length bias, as a command."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from eosbench.cli import app
from eosbench.documents import encode_prompt, encode_response
from eosbench.errors import ConfigurationError
from eosbench.strategies import Gap, load_strategy
from tests.golden_files import GOLDEN, load_golden

TEXTS = [
    (f"Count from 1 to {last}.", " ".join(map(str, range(1, last + 1)))) for last in (3, 9, 30)
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "counts.jsonl"
    rows = [json.dumps({"prompt": prompt, "response": answer}) for prompt, answer in TEXTS]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def fit(*words: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["fit", *map(str, words)])


def test_the_constants_of_a_model(data: Path, tmp_path: Path) -> None:
    """The confidences are those of passes over each gap by hand, and the line works when typed."""
    golden, output = GOLDEN / "llada-trained", tmp_path / "heads" / "cal"
    done = fit(
        *("--method", "cal", "--pretrained", golden, "--data", data),
        *("--canvas", "96", "--seed", "7", "--output", output),
    )
    assert done.exit_code == 0, (done.output, done.exception)
    record = json.loads((output / "config.json").read_text(encoding="utf-8"))
    assert record["method"] == "cal" and record["data"]["documents"] == len(TEXTS)
    backbone = load_golden("llada-trained").backbone
    assert record["backbone"]["fingerprint"] == backbone.spec.fingerprint
    means = dict(zip(record["lengths"], record["confidences"], strict=True))
    for length in (1, 24):
        found = []
        for prompt, answer in TEXTS:
            ids = encode_prompt(backbone.tokenizer, prompt, chat=False)
            gap = Gap.drawn(ids, encode_response(backbone.tokenizer, answer), seed=7)
            if abs(length - gap.length) <= 4:
                continue
            row = [*gap.prefix, *[backbone.spec.mask_id] * length, *gap.suffix]
            logits_TV = backbone.logits(torch.tensor([row]))[0]
            masked_lV = logits_TV[len(gap.prefix) :][:length].float()
            found.append(masked_lV.softmax(dim=-1).amax(dim=-1).mean().item())
        assert means[length] == pytest.approx(sum(found) / len(found), abs=1e-5)
    options = record["options"]
    assert sorted(options) == [f"bias_{name}" for name in "abcde"]
    assert load_strategy("cal", options).options["bias_c"] == options["bias_c"]
    b_of_1 = options["bias_a"] * math.exp(-options["bias_b"])
    b_of_1 += options["bias_c"] * math.exp(-options["bias_d"]) + options["bias_e"]
    assert f"{b_of_1:.3f}" in done.output
    line = done.output[done.output.index("Next: lm_eval") :]
    assert f"method=cal,bias_a={options['bias_a']}," in line and "varlen_instruct" in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "logit,cal"], "--method logit,cal: cal has five constants and no predictor"),
        (["--method", "cal", "--epochs", "3"], "--epochs: --method cal fits five constants"),
        (["--method", "cal", "--step_zero", "grid:8"], "--step_zero: --method cal fits five"),
        (["--method", "cal", "--seed", "0,1"], "--seed with commas: --method cal fits five"),
        (
            ["--method", "cal", "--pretrained", str(GOLDEN / "llada2-tiny")],
            "'cal' looks at a whole canvas, and llada2 attends causally between blocks",
        ),
    ],
)
def test_what_it_has_no_use_for(words: list[str], message: str, data: Path, tmp_path: Path) -> None:
    done = fit(*words, "--data", data, "--canvas", "32", "--output", tmp_path / "cal")
    assert isinstance(done.exception, ConfigurationError) and message in str(done.exception)
    assert not (tmp_path / "cal").exists()
