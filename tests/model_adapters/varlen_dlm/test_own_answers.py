"""The model's own answers: generated once, kept by backbone and settings, picked up after a kill.
Logits written by hand.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eosbench.decoding.config import DecodeConfig
from model_adapters.varlen_dlm.own_answers import OwnAnswers, Reference, cache_folder
from tests.fakes import EOS, ScriptedBackbone, table

V, PROMPT = 30, (9, 9, 9)
SETTINGS = DecodeConfig(gen_length=8, block_length=8)


def saying(*answer: int) -> ScriptedBackbone:
    """Denoises any canvas behind three tokens to these tokens and then EOS."""
    tokens = [*PROMPT, *answer, *[EOS] * (64 - len(answer))]
    return ScriptedBackbone(
        table(tokens, [0.9 - 0.01 * at for at in range(len(tokens))], V), vocab_size=V
    )


def test_what_stands_before_the_eos_is_the_reference(tmp_path: Path) -> None:
    backbone = saying(10, 11, 12)
    own = OwnAnswers(backbone, tmp_path)
    own.generate([(PROMPT, SETTINGS)] * 3, batch_size=4)
    assert own.reference(PROMPT, SETTINGS) == Reference((10, 11, 12), 3)
    assert {len(ids_BT) for ids_BT, _ in backbone.passes} == {1}  # equal prompts are answered once


def test_an_answer_without_eos_is_censored(tmp_path: Path) -> None:
    own = OwnAnswers(saying(*range(10, 20)), tmp_path)
    own.generate([(PROMPT, SETTINGS)], batch_size=4)
    assert own.reference(PROMPT, SETTINGS) == Reference(tuple(range(10, 18)), 9)


def test_they_are_generated_once(tmp_path: Path) -> None:
    first, again = saying(10, 11), saying(10, 11)
    OwnAnswers(first, tmp_path).generate([(PROMPT, SETTINGS)], batch_size=4)
    own = OwnAnswers(again, tmp_path)
    own.generate([(PROMPT, SETTINGS)], batch_size=4)
    assert first.passes and not again.passes
    assert own.reference(PROMPT, SETTINGS) == Reference((10, 11), 2)
    own.generate([(PROMPT, SETTINGS), ((9, 9, 8), SETTINGS)], batch_size=4)
    assert {tuple(ids_BT[0, :3].tolist()) for ids_BT, _ in again.passes} == {(9, 9, 8)}


def test_other_settings_and_another_backbone_have_files_of_their_own(tmp_path: Path) -> None:
    backbone = saying(10, 11)
    own = OwnAnswers(backbone, tmp_path)
    own.generate(
        [(PROMPT, SETTINGS), (PROMPT, DecodeConfig(gen_length=8, block_length=4))], batch_size=4
    )
    assert len(list(tmp_path.iterdir())) == 2
    other = saying(10)
    object.__setattr__(other.spec, "fingerprint", "another")
    own = OwnAnswers(other, tmp_path)
    own.generate([(PROMPT, SETTINGS)], batch_size=4)
    assert own.reference(PROMPT, SETTINGS).length == 1


def test_a_file_says_whose_answers_it_holds(tmp_path: Path) -> None:
    OwnAnswers(saying(10, 11), tmp_path).generate(
        [(PROMPT, SETTINGS), ((9, 9, 8), SETTINGS)], batch_size=1
    )
    (file,) = tmp_path.iterdir()
    head, *rows = (json.loads(line) for line in file.read_text().splitlines())
    assert (head["backbone"], head["settings"]["gen_length"], head["dtype"]) == (
        "0123456789abcdef",
        8,
        "float32",
    )
    assert [(row["tokens"], row["ended"]) for row in rows] == [([10, 11], True)] * 2


# Characters of the last line, and answers in them.
@pytest.mark.parametrize(("cut", "lost"), [(1, 0), (9, 1), (40, 1)])
def test_a_killed_run_goes_on(cut: int, lost: int, tmp_path: Path) -> None:
    prompts = [(9, 9, last) for last in range(5, 9)]
    OwnAnswers(saying(10, 11), tmp_path).generate(
        [(ids, SETTINGS) for ids in prompts], batch_size=1
    )
    (file,) = tmp_path.iterdir()
    whole = file.read_text()
    file.write_text(whole[:-cut])
    backbone = saying(10, 11)
    own = OwnAnswers(backbone, tmp_path)
    own.generate([(ids, SETTINGS) for ids in prompts], batch_size=1)
    assert {tuple(ids_BT[0, :3].tolist()) for ids_BT, _ in backbone.passes} == set(
        prompts[4 - lost :]
    )
    assert {own.reference(ids, SETTINGS).length for ids in prompts} == {2}
    after = saying(10, 11)
    OwnAnswers(after, tmp_path).generate([(ids, SETTINGS) for ids in prompts], batch_size=1)
    assert not after.passes


def test_sampled_answers_differ_by_seed_alone(tmp_path: Path) -> None:
    settings = DecodeConfig(gen_length=8, block_length=8, temperature=5.0)

    def drawn(folder: str, seed: int) -> tuple[int, ...]:
        own = OwnAnswers(saying(10, 11, 12, 13), tmp_path / folder, seed=seed)
        own.generate([(PROMPT, settings)], batch_size=4)
        return own.reference(PROMPT, settings).ids

    assert drawn("one", 0) == drawn("other", 0)
    assert len({drawn("one", seed) for seed in range(6)}) > 1


def test_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EOSBENCH_CACHE", "/somewhere")
    assert cache_folder() == Path("/somewhere/own_answers")
    monkeypatch.delenv("EOSBENCH_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "eosbench" / "own_answers"
