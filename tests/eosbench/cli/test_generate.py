"""`eosbench generate`: what it prints beside what Python gives, and canvases on a screen."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner, Result

import eosbench
from eosbench.cli import commands as cli
from eosbench.cli.generate import bound_in_words
from eosbench.cli.live_canvas import LiveCanvas, visible
from eosbench.decoding import DecodeConfig
from eosbench.decoding.engine import Engine
from eosbench.decoding.sequence import Sequence
from eosbench.errors import ConfigurationError, PredictorError
from tests.fakes import EOS, ByteTokenizer, ScriptedBackbone, table

REPOSITORY = Path(__file__).resolve().parents[3]
PROMPT = "Is 89 an even number?"


@pytest.fixture(scope="module")
def loaded() -> eosbench.Model:
    """The embedded model."""
    return eosbench.load(device="cpu")


@pytest.fixture
def model(loaded: eosbench.Model, monkeypatch: pytest.MonkeyPatch) -> eosbench.Model:
    """The same for Python and for the commands of a test, which load nothing."""
    monkeypatch.setattr(eosbench, "load", lambda *_, **__: loaded)
    return loaded


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli.app, ["generate", *arguments], input=stdin)


def test_it_prints_what_python_gives(model: Any) -> None:
    [answer], [length] = model.generate([PROMPT]), model.predict_lengths([PROMPT])
    assert answer.length.bound == length.bound and answer.length.promise == length.promise
    bound, text, cost = run(PROMPT).output.splitlines()
    assert bound == "bound  2 tokens, from an estimate of 1.0; at most 5 % of answers are longer"
    assert text == answer.text == "No"
    assert re.fullmatch(
        r"cost   a window of 2 tokens, 3 forward passes, 290 token-positions, \d+\.\d\d s", cost
    )
    assert answer.cost.forward_passes == 3 and answer.cost.token_positions == 290


def test_stdin_and_the_chat_template(model: Any) -> None:
    piped = run("-", stdin=PROMPT + "\n").output.splitlines()
    assert piped[:2] == run(PROMPT).output.splitlines()[:2]
    chat = [{"role": "user", "content": PROMPT}]
    [answer] = model.generate([chat])
    assert run(PROMPT, "--apply_chat_template").output.splitlines()[1] == answer.text


def test_flags_are_generation_arguments(model: Any) -> None:
    prompt = "Count from 3 to 9."
    [answer] = model.generate(
        [prompt], max_new_tokens=32, until=["7"], temperature=0.9, top_p=0.9, seed=3, steps=16
    )
    flags = ("--max_new_tokens", "32", "--until", "7", "--temperature", "0.9", "--top_p", "0.9")
    shown = run(prompt, *flags, "--seed", "3", "--gen_kwargs", "steps=16")
    assert shown.exit_code == 0
    assert shown.output.splitlines()[1:-1] == answer.text.splitlines()


def test_steps_are_a_line_a_pass_where_there_is_no_terminal(model: Any) -> None:
    shown: list[tuple[int, list[int]]] = []
    prompt = "Spell the word cat."
    [answer] = model.generate(
        [prompt], watch=lambda number, one: shown.append((number, one.canvas.tolist()))
    )
    assert {number for number, _ in shown} == {0} and len(shown) == answer.window
    *steps, bound, text, cost = run(prompt, "--show_steps").output.splitlines()
    assert [bound, text] == run(prompt).output.splitlines()[:2]
    assert answer.text == text and cost.startswith("cost   ")
    assert len(steps) == len(shown)
    mask = model.backbone.spec.mask_id
    for at, (line, (_, canvas)) in enumerate(zip(steps, shown, strict=True)):
        left = canvas.count(mask)
        assert line.startswith(f"pass {at + 1}, {left} of {answer.window} masked: ")
        assert line.count("░") == left
    assert text in steps[-1]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["  "], ConfigurationError, r"the prompt is empty: type one"),
        (["-"], ConfigurationError, r"the prompt is empty: type one"),
        (["\udcff"], ConfigurationError, r"the prompt is no text in UTF-8: .*udcff"),
        (
            [PROMPT, "--top_p", "3"],
            ConfigurationError,
            r"^prompt 'Is 89 an even number\?': top_p=3.0: expected 0 to 1",
        ),
        (
            ["And then? " * 99, "--max_new_tokens", "9999"],
            ConfigurationError,
            r"^prompt 'And then\? [^']{10,40}\.\.\.[^']{10,40}And then\? ': max_new_tokens=9999: ",
        ),
        ([PROMPT, "--gen_kwargs", "stepz=3"], ConfigurationError, r"no generation argument stepz"),
        ([PROMPT, "--gen_kwargs", "until=x"], ConfigurationError, r"until=x: eosbench generate"),
        (
            [PROMPT, "--gen_kwargs", "top_k=3", "--top_k", "5"],
            ConfigurationError,
            r"--top_k 5 beside --gen_kwargs top_k=3: leave one out",
        ),
        (
            [PROMPT, "--model_args", "method=fixed", "--method", "max"],
            ConfigurationError,
            r"--method max beside --model_args method=fixed: leave one out",
        ),
        ([PROMPT, "--gen_kwargs", "steps"], ConfigurationError, r"steps: expected name=value"),
    ],
)
def test_what_cannot_work(
    model: Any, arguments: list[str], error: type[Exception], message: str
) -> None:
    done = run(*arguments)
    assert isinstance(done.exception, error) and re.search(message, str(done.exception))


def test_a_method_without_a_bound_and_one_that_is_told() -> None:
    shown = run(PROMPT, "--method", "daedal", "--device", "cpu").output.splitlines()
    assert shown[:2] == ["bound  none: the method decides the length while it decodes", "No"]
    told = run(PROMPT, "--method", "oracle", "--device", "cpu", "--reference", "No")
    assert told.output.startswith("bound  1 token, from an estimate of 1.0; it promises nothing\n")
    untold = run(PROMPT, "--method", "oracle", "--device", "cpu")
    assert isinstance(untold.exception, PredictorError)
    assert str(untold.exception).startswith(f"prompt {PROMPT!r}: method 'oracle'")
    assert bound_in_words(None).startswith("none")


def test_an_error_is_one_line_and_nothing_else() -> None:
    code = "from eosbench.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "generate", PROMPT, "--method", "none_such"],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"eosbench: unknown method 'none_such'.*\n", done.stderr)


# Screens.


def shown(text: str, console: Console) -> list[str]:
    """What a console shows of a canvas that fills with this text and its EOS."""
    ids = ByteTokenizer().encode(text)
    confidences = [0.9 - 0.01 * at for at in range(len(ids) + 2)]
    backbone = ScriptedBackbone(table([EOS, *ids, EOS], confidences, ByteTokenizer.vocab_size))
    with LiveCanvas(console, ByteTokenizer()) as view:
        sequence = Sequence(
            backbone.spec,
            [9],
            DecodeConfig(gen_length=len(ids) + 1),
            watch=lambda one: view.show(0, one),
        )
        engine = Engine(backbone)
        engine.add(sequence)
        assert list(engine) == [sequence]
    written = console.file
    written.flush()
    return str(written.getvalue()).split("\n")  # type: ignore[attr-defined]


def test_a_terminal_shows_one_canvas_in_place() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=60, color_system=None)
    lines = shown("ab", console)
    assert "pass 1, 2 of 3 masked" in lines[0] and lines[1].startswith("a░░")
    assert any("ab∎" in line for line in lines)
    assert "\x1b[2K" in "".join(lines)  # each pass is drawn over the one before


def test_nothing_of_a_model_is_obeyed() -> None:
    """Neither markup and emoji of rich, nor escapes of a terminal, nor reordered text."""
    evil = "[bold]:smile:\x1b[2J\x07\r\n"
    plain = Console(file=io.StringIO(), force_terminal=False, width=20)
    last = shown(evil, plain)[-2]
    assert last.endswith(r"masked: [bold]:smile:\x1b[2J\x07\r⏎∎")
    terminal = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    assert "\x1b[2J" not in "\n".join(shown(evil, terminal))
    assert visible("a\u202eb\u2066\ud800\x9b") == r"a\u202eb\u2066\ud800\x9b"
    assert visible("naïve 東\n\t") == "naïve 東\n\t"
    assert visible("naïve 東", "latin-1") == "naïve \\u6771"


def test_a_console_that_knows_ascii_alone() -> None:
    class Ascii(io.StringIO):
        encoding = "ascii"

    lines = shown("a\nb", Console(file=Ascii(), force_terminal=False))
    assert lines[0] == "pass 1, 3 of 4 masked: a___" and lines[3].endswith(r": a\nb|")


def test_a_watch_sees_every_pass_and_changes_nothing() -> None:
    script = table([EOS, 7, 8, EOS, EOS], [0.9, 0.8, 0.7, 0.6, 0.5], 12)
    seen: list[list[int]] = []
    canvases = []
    for watch in (None, lambda one: seen.append(one.canvas.tolist())):
        backbone = ScriptedBackbone(script, vocab_size=12)
        engine = Engine(backbone)
        engine.add(Sequence(backbone.spec, [9], DecodeConfig(gen_length=4), watch=watch))
        (done,) = engine
        canvases.append(done.canvas)
    assert torch.equal(*canvases)
    assert seen == [[7, 0, 0, 0], [7, 8, 0, 0], [7, 8, 1, 0], [7, 8, 1, 1]]
