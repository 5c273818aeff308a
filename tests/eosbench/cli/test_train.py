"""`eosbench train` on the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from eosbench.cli import app, main
from eosbench.training import recipe_names
from tests.golden_files import GOLDEN

QUICK = ["--limit", "40", "--canvas", "40", "--batch_tokens", "200", "--max_steps", "2"]


def test_without_a_word_it_lists_recipes_and_settings() -> None:
    done = CliRunner().invoke(app, ["train"])
    assert done.exit_code == 0
    assert all(recipe in done.output for recipe in recipe_names())
    assert "--layout" in done.output and "--eos_weight" in done.output


@pytest.mark.parametrize("words", [["train"], ["train", "--help"]])
def test_what_is_listed_loads_no_torch(words: list[str]) -> None:
    code = (
        f"import sys; sys.argv = ['eosbench', *{words}]\n"
        "from eosbench.cli import app\n"
        "try:\n    app()\nexcept SystemExit as leaving:\n    assert not leaving.code\n"
        "assert not {'torch', 'transformers', 'lm_eval'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_recipe_with_flags_is_trained_and_says_what_is_next(tmp_path: Path) -> None:
    flags = ["--pretrained", str(GOLDEN / "llada-trained"), "--output", str(tmp_path / "out")]
    done = CliRunner().invoke(app, ["train", "eoseos", *flags, *QUICK])
    assert done.exit_code == 0, done.output
    assert f"Next: eosbench fit --pretrained {tmp_path / 'out'} --canvas 40" in done.output
    assert (tmp_path / "out" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["eospda"], "did you mean 'eospad'"),
        (["text", "--leraning_rate", "1"], "did you mean 'learning_rate'"),
        (["broken.yaml"], "broken.yaml: unknown name 'nonsense'"),
        (["text", "--pretrained", "nowhere"], "no folder nowhere, and the hub did not deliver it"),
        # The place comes first: there is no such model either.
        (
            ["text", "--pretrained", "nowhere", "--output", "/proc/eosbench/here"],
            "--output /proc/eosbench/here: expected a folder that can be written",
        ),
        (
            ["text", "--pretrained", "nowhere", "--output", "broken.yaml/out"],
            "--output broken.yaml/out: expected a folder that can be written (broken.yaml is a",
        ),
        (
            ["text", "--pretrained", "nowhere", "--output", "."],
            "--output .: it holds broken.yaml and no training.json, so that it is no folder of a",
        ),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    words: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "broken.yaml").write_text("nonsense: 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["eosbench", "train", *words])
    with pytest.raises(SystemExit) as leaving:
        main()
    assert leaving.value.code == 2
    said = capsys.readouterr().err.strip()
    assert says in said and "\n" not in said
