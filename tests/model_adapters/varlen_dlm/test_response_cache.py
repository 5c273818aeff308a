"""lm-eval's response cache (`--use_cache`): what is in it when a run dies, and whose answers it may
serve.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import CachingLM
from sqlitedict import SqliteDict

from eosbench.errors import CacheError
from eosbench.predictors import load_predictor
from eosbench.predictors.folder import save_folder
from model_adapters.varlen_dlm.response_cache import KEY
from tests.fakes import Script
from tests.model_adapters.varlen_dlm.scripted_model import (
    asked,
    backbone_of,
    benchmark,
    knows,
    model_of,
    pair,
)

REPLIES = {f"q{n}?": f"reply {n}" for n in range(5)}
QUESTIONS = [asked(question, n) for n, question in enumerate(REPLIES)]


class Killed(Exception):
    pass


def dies_at(question: str) -> Script:
    answer = knows(REPLIES)

    def script(ids_T: torch.Tensor) -> torch.Tensor:
        if question in bytes(max(0, index - 4) for index in ids_T.tolist()).decode(
            errors="replace"
        ):
            raise Killed
        return answer(ids_T)

    return script


def cached(path: Path, **given: Any) -> Any:
    return CachingLM(model_of(backbone_of(given.pop("script", REPLIES)), **given), str(path))


def close(model: Any) -> None:
    model.dbdict.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers_rank0.db"


def spent(model: Any) -> float:
    totals: dict[str, dict[str, float]] = model.lm.ledger.totals()
    return sum(task["requests"] for task in totals.values())


def test_finished_answers_are_there_at_once(path: Path) -> None:
    first = cached(path, script=dies_at("q3?"), batch_size=1)
    with pytest.raises(Killed):
        first.generate_until(QUESTIONS)
    with SqliteDict(str(path), flag="r") as seen_by_others:
        assert len(seen_by_others) == 1 + 3  # the fingerprint and three answers
    close(first)
    second = cached(path, batch_size=1)
    assert second.generate_until(QUESTIONS) == list(REPLIES.values())
    assert spent(second) == 2
    close(second)


def test_likelihoods_and_records_are_kept_too(path: Path) -> None:
    records = [benchmark(question, "abc", document=n) for n, question in enumerate(REPLIES)]
    pairs = [pair(question, "reply", n) for n, question in enumerate(REPLIES)]
    rolling = [Instance("loglikelihood_rolling", {}, ("a",), 0, ("task", 0, 1))]
    runs = []
    for expected in (11, 0):
        model = cached(path, script=by_number)
        calls = {
            "generate_until": records,
            "loglikelihood": pairs,
            "loglikelihood_rolling": rolling,
        }
        runs.append(
            [
                list(map(tuple_of, getattr(model, call)(requests)))
                for call, requests in calls.items()
            ]
        )
        assert spent(model) == expected
        close(model)
    assert runs[0] == runs[1]


def by_number(ids_T: torch.Tensor) -> torch.Tensor:
    return torch.sin(
        torch.arange(len(ids_T))[:, None] + torch.arange(260)[None] * 1.7 + ids_T.sum()
    )


def tuple_of(answer: Any) -> Any:
    return tuple(answer) if isinstance(answer, list) else answer


def test_a_sampled_request_that_is_asked_twice_keeps_no_single_answer(path: Path) -> None:
    def dice(ids_T: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(ids_T), 260)

    model = cached(path, script=dice)
    request = asked("q", repeats=2, temperature=1.0)
    drawn = model.lm.generate_until([request, request], disable_tqdm=True)
    assert drawn[0] != drawn[1]
    assert list(model.dbdict) == [KEY]
    close(model)


def dice(ids_T: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(ids_T), 260)


@pytest.mark.parametrize(
    ("said", "given"),
    [
        ({"temperature": 0.8}, {}),
        ({"temperature": "0.8", "do_sample": None}, {}),
        ({"remasking": "random", "temperature": 0.8}, {}),
        ({"temperature": 0.8}, {"method": "blocks", "block_length": 8}),
    ],
)
def test_draws_are_those_of_the_first_run(
    path: Path, said: dict[str, Any], given: dict[str, Any]
) -> None:
    runs = []
    for expected in (5, 0, 0):
        model = cached(path, script=dice, **given)
        # Four repeats of one document, and another document with the same prompt.
        requests = [*[asked("q", 0, repeats=4, **said)] * 4, asked("q", 1, **said)]
        runs.append(model.generate_until(requests))
        assert spent(model) == expected
        close(model)
    assert runs[0] == runs[1] == runs[2]
    assert len(set(runs[0])) == 5


def test_random_remasking_is_random_too(path: Path) -> None:
    runs = []
    for _ in range(2):
        model = cached(path, script=by_number, remasking="random", tokens_per_step=4)
        runs.append(model.generate_until([asked("q", 0, repeats=4)] * 4))
        close(model)
    assert runs[0] == runs[1] and len(set(runs[0])) > 1


def test_draws_of_a_killed_run_are_there(path: Path) -> None:
    passes = []

    def dies(ids_T: torch.Tensor) -> torch.Tensor:
        passes.append(len(ids_T))
        if len(passes) > 40:
            raise Killed
        return dice(ids_T)

    requests = [asked("q", 0, repeats=4, temperature=0.8)] * 4
    first = cached(path, script=dies, batch_size=1)
    with pytest.raises(Killed):
        first.generate_until(requests)
    close(first)
    second = cached(path, script=dice, batch_size=1)
    drawn = second.generate_until(requests)
    assert 0 < spent(second) < 4
    assert drawn == model_of(backbone_of(dice)).generate_until(requests, disable_tqdm=True)
    close(second)


def test_what_says_do_sample_is_drawn_again_and_draws_the_same(path: Path) -> None:
    runs = []
    for _ in range(2):
        model = cached(path, script=dice)
        requests = [asked("q", 0, repeats=3, do_sample=True, temperature=0.8)] * 3
        runs.append(model.generate_until(requests))
        assert spent(model) == 3
        close(model)
    assert runs[0] == runs[1] and len(set(runs[0])) == 3


def referring(question: str, reference: str, document: int, **kwargs: Any) -> Instance:
    """A request as the tasks that want a text send it: with the reference beside its arguments."""
    request = asked(question, document, **kwargs)
    request.reference = reference  # type: ignore[attr-defined]
    return request


def test_equal_prompts_with_other_references_keep_answers_of_their_own(path: Path) -> None:
    """The oracle's window is as long as the reference: it cuts answers at 2, 4 and 2 tokens."""
    given = {"method": "oracle", "rounding": "none", "script": {"q?": "abcdef"}}
    short, long, alike = (referring("q?", said, at) for at, said in enumerate(("no", "four", "ja")))
    first = cached(path, **given)
    assert first.generate_until([short]) == ["ab"]
    close(first)
    second = cached(path, **given)
    assert second.generate_until([short, long]) == ["ab", "abcd"]
    assert spent(second) == 1
    close(second)
    third = cached(path, **given)
    assert third.generate_until([long, alike, short]) == ["abcd", "ab", "ab"]
    assert spent(third) == 0
    close(third)


def test_what_a_killed_oracle_has_finished_is_there(path: Path) -> None:
    requests = [
        referring(question, reply, n) for n, (question, reply) in enumerate(REPLIES.items())
    ]
    given = {"method": "oracle", "batch_size": 1}
    first = cached(path, script=dies_at("q3?"), **given)
    with pytest.raises(Killed):
        first.generate_until(requests)
    close(first)
    second = cached(path, **given)
    assert second.generate_until(requests) == list(REPLIES.values())
    assert spent(second) == 2
    close(second)


def test_a_sampled_answer_of_the_oracle_is_drawn_again(path: Path) -> None:
    request = referring("q?", "four", 0, temperature=1.0, do_sample=True)
    for _ in range(2):
        model = cached(path, method="oracle", script={"q?": "abcdef"})
        model.generate_until([request])
        assert spent(model) == 1
        close(model)


def test_the_oracles_bounds_are_kept_under_the_key_of_lm_eval(path: Path) -> None:
    """Requests of bound tasks carry the reference among their arguments."""
    requests = [benchmark("q0?", said, document=at) for at, said in enumerate(("no", "four"))]
    runs = []
    for expected in (2, 0):
        model = cached(path, method="oracle")
        runs.append(model.generate_until(requests))
        assert spent(model) == expected
        close(model)
    assert runs[0] == runs[1] and runs[0][0] != runs[0][1]


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "logit", "variant": "top1"},
        {"rounding": "none"},
        {"alpha": 0.2},
        {"steps": 8},
        {"overflow": "retry"},
        {"max_gen_toks": 8},
        {"seed": 3},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_cache_of_other_settings_is_refused(path: Path, changed: dict[str, Any]) -> None:
    model = cached(path)
    model.generate_until(QUESTIONS[:1])
    close(model)
    made, wanted = model.lm.fingerprint, model_of(backbone_of(REPLIES), **changed).fingerprint
    with pytest.raises(CacheError) as caught:
        cached(path, **changed)
    message = str(caught.value)
    assert f"made under settings {made}, this run has {wanted}" in message
    assert f"--use_cache {path.parent / 'answers'}-{wanted}" in message


def test_other_batches_devices_and_telemetry_share_a_cache(path: Path, tmp_path: Path) -> None:
    first = cached(path, batch_size=1)
    first.generate_until(QUESTIONS)
    close(first)
    second = cached(path, batch_size=4, telemetry=str(tmp_path / "costs.jsonl"))
    assert second.generate_until(QUESTIONS) == list(REPLIES.values())
    assert spent(second) == 0
    close(second)


def test_a_cache_of_another_backbone_or_predictor_is_refused(path: Path, tmp_path: Path) -> None:
    backbone = backbone_of(REPLIES)
    for name, q in (("one", 0.5), ("other", 0.25)):
        fitted = load_predictor("logit", backbone=backbone, canvas=16, options={"q": q})
        save_folder(tmp_path / name, fitted, backbone=backbone, canvas=16)
    close(cached(path, method="logit", predictor=str(tmp_path / "one")))
    with pytest.raises(CacheError):
        cached(path, method="logit", predictor=str(tmp_path / "other"))
    close(cached(path, method="logit", predictor=str(tmp_path / "one")))
    another = backbone_of(REPLIES, eos_ids=(1, 7))
    with pytest.raises(CacheError):
        CachingLM(model_of(another, method="logit", predictor=str(tmp_path / "one")), str(path))


def test_a_cache_that_another_model_filled_is_refused(path: Path) -> None:
    with SqliteDict(str(path)) as foreign:
        foreign["0" * 64] = "its answer"
        foreign.commit()
    with pytest.raises(
        CacheError, match=r"was made under another model, this run has [0-9a-f]{16}"
    ):
        cached(path)
    with SqliteDict(str(path), flag="r") as foreign:
        assert list(foreign) == ["0" * 64]  # untouched
