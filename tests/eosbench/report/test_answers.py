"""The sentences above the tables: against cases worked out by hand, and true for made runs."""

from __future__ import annotations

import math
import re
import shlex
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.made_runs import ERROR, make_baseline, make_run
from eosbench.metrics import wilson
from eosbench.records import LengthRecord
from eosbench.report import write_report
from eosbench.report.answers import Sentence, make_answers
from eosbench.report.answers.promises import highest_broken
from eosbench.report.contents import make_tables
from eosbench.report.evidence import Evidence
from eosbench.report.exports import sentences_as_markdown
from eosbench.results import read_documents, read_runs

UNCALIBRATED: dict[str, Any] = {"calibration": None}


def sentences(folder: Path) -> list[Sentence]:
    """Those of all benchmarks."""
    runs = read_runs(folder)
    evidence = Evidence.of(runs, read_documents(runs)[0])
    found: list[Sentence] = []
    for answers in make_answers(evidence, make_tables(evidence), folder):
        found += answers.sentences
    return found


def told(folder: Path) -> list[str]:
    return [sentence.text for sentence in sentences(folder)]


def bounds(*each: int, **fields: Any) -> Callable[[LengthRecord], LengthRecord]:
    """Records of length 10 after a prompt of 10 on a canvas of 40, with these bounds in turn."""
    left = list(each)

    def change(record: LengthRecord) -> LengthRecord:
        bound = left.pop(0)
        left.append(bound)
        made = replace(record, canvas=40, prompt_length=10, length=10, bound=bound, revealed=[])
        return replace(made, **{"prediction": bound, "calibrated": bound, **fields})

    return change


def make(folder: Path, method: str, *each: int, size: int = 40, **more: Any) -> None:
    fields = more.pop("fields", {})
    make_run(
        folder / method,
        method,
        size=size,
        fractions=(0.0,),
        generation=False,
        change=bounds(*each, **fields),
        **{"canvas": 40, **more},
    )


def test_the_five_sentences_against_numbers_worked_out_by_hand(tmp_path: Path) -> None:
    # Rounded up from 19 to 20: one token, and nobody is covered by it alone.
    make(tmp_path, "logit", 20, fields={"calibrated": 19.0})
    make(tmp_path, "classification", 20)
    make(tmp_path, "distilbert", 30)
    make(tmp_path, "average_regression", 9, 30)  # covers half of the answers
    make(tmp_path, "oracle", 10, calibration=None)
    first, tests, oracle, rounding, promise = told(tmp_path)
    low = 100 * wilson(1.0, 40)[0]
    assert first == (
        "At a promised coverage of 95 % logit is on average the tightest of the 3 runs, of 4, that "
        "are not shown to break it: its bounds cover 100.0 % of 40 answers (95 % interval "
        f"{low:.1f} to 100.0) and go 10.0 tokens (10.0 to 10.0) beyond the answers that they cover."
    )
    assert tests == (
        "By paired tests on the same answers (Holm-corrected, 5 %) classification is not told "
        "apart from it; distilbert is looser."
    )
    # 20 (10 + 20) / 40 (10 + 40) = 0.3, and 10 (10 + 10) / 2000 = 0.1
    assert oracle == (
        "The windows of logit take 30.0 % of the full canvas's token-positions (30.0 % to 30.0 %), "
        "which is 3.00 times (3.00 to 3.00) what the oracle, which knows every length, would take."
    )
    assert rounding == (
        "Rounding up to powers of two adds 1.0 tokens (1.0 to 1.0) to a bound on average; by it "
        "alone 0.0 % of the answers are covered."
    )
    low, high = (100 * end for end in wilson(0.5, 40))
    assert promise == (
        f"One promise is broken: average_regression covers 50.0 % ({low:.1f} to {high:.1f}) and "
        "promises 95 %."
    )


def test_a_promise_that_no_run_is_shown_to_break(tmp_path: Path) -> None:
    make(tmp_path, "logit", 20)
    make(tmp_path, "distilbert", 20, rounding="none")
    most = highest_broken(40, 0.95)
    assert most is not None
    assert wilson(most / 40, 40)[1] < 0.95 <= wilson((most + 1) / 40, 40)[1]
    assert told(tmp_path)[-1] == (
        "No run is shown to break its promise; with 40 answers it would take a coverage of at most "
        f"{100 * most / 40:.1f} % to tell it from 95 %."
    )


def test_bounds_that_are_not_rounded(tmp_path: Path) -> None:
    make(tmp_path, "logit", 20, rounding="none")
    assert "These bounds are not rounded, so that rounding costs nothing." in told(tmp_path)


def test_where_every_promise_is_broken_none_is_the_tightest_at_it(tmp_path: Path) -> None:
    make(tmp_path, "logit", 9, 20)
    make(tmp_path, "distilbert", 9, 30)
    first, tests, *_, promise = told(tmp_path)
    assert first.startswith(
        "No run that promises a coverage of 95 % keeps it; by the area under coverage against "
        "compute logit reaches the most: "
    )
    assert tests.endswith("distilbert is worse.")
    assert promise.startswith("2 promises are broken: logit covers 50.0 % ")


def test_without_a_promise_nothing_is_tightest_at_one(tmp_path: Path) -> None:
    make(tmp_path, "logit", 20, **UNCALIBRATED)
    make(tmp_path, "mean", 30, **UNCALIBRATED)
    first, *_, promise = sentences(tmp_path)
    assert first.text.startswith(
        "No run here promises a coverage, so that none can be the tightest"
    )
    assert promise.command == "eosbench fit --help"


def test_a_broken_promise_of_a_mean_shortfall(tmp_path: Path) -> None:
    promised = {"kind": "risk_control", "shortfall": 2.0, "samples": 1000}
    make(tmp_path, "logit", 4, 20, calibration=promised)  # half of the answers miss 6 tokens
    promise = told(tmp_path)[-2]
    assert re.fullmatch(
        r"One promise is broken: logit misses 3\.0 tokens \(2\.\d to 3\.\d\) and promises at most "
        r"2\.",
        promise,
    )


CHEAPEST = {
    "calibration": {"kind": "expected_cost", "promise": "cheapest", "samples": 1000},
    "expected_cost": {"token_positions": 512.4, "standard_error": 20.0, "whole_canvas": 9000.0},
}


def test_a_run_that_costs_least_promises_no_coverage(tmp_path: Path) -> None:
    """Not even one that covers no answer breaks a promise."""

    def of_promises() -> str:
        (found,) = [text for text in told(tmp_path) if " no coverage" in text]
        return found

    make(tmp_path, "logit", 4, **CHEAPEST)
    said = (
        "logit takes the margin that costs least with retries, and promises no coverage; by the "
        "calibration documents an answer's windows take 512 token-positions (standard error 20), "
        "9000 with the whole canvas."
    )
    assert of_promises() == said
    assert told(tmp_path)[0].startswith("No run here promises a coverage, so that none can be")
    make(tmp_path, "mean", 30)
    assert told(tmp_path)[0].startswith("Only mean promises a coverage of 95 %")
    assert of_promises().startswith("No run is shown to break its promise; with 40 answers")
    assert of_promises().endswith(f" from 95 %. {said}")
    make(tmp_path, "max", 4, **CHEAPEST)
    assert " take the margin that costs least with retries, and promise no cov" in of_promises()
    make(tmp_path, "distilbert", 4)
    assert of_promises().startswith("One promise is broken: distilbert covers")


def test_runs_on_another_canvas_are_not_compared(tmp_path: Path) -> None:
    make(tmp_path, "logit", 20)
    make(tmp_path, "distilbert", 20)
    make(tmp_path, "mean", 12, canvas=80)
    first, tests, *_ = told(tmp_path)
    assert "on embedded with a canvas of 40 logit is on average the tightest of 2 runs" in first
    assert "mean" not in first + tests


def test_without_logged_documents_nothing_is_tested(tmp_path: Path) -> None:
    make(tmp_path, "logit", 20, samples=False)
    make(tmp_path, "distilbert", 30, samples=False)
    first, tests, cost, _ = told(tmp_path)
    assert "logit is on average the tightest of 2 runs" in first and "of 40 answers" in first
    assert tests == (
        "Whether logit differs from distilbert by more than chance cannot be tested, since its "
        "documents were not logged (--log_samples)."
    )
    assert cost.endswith("at one token per step.")


def test_a_single_run_is_told_what_puts_others_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "my runs"
    make_run(folder / "a", "logit", size=12, fractions=(0.0,), generation=False)
    command = shlex.split(sentences(folder)[-1].command or "")
    assert command == [
        *("eosbench", "sweep", "--methods", "five", "--tasks", "eos_upper_bound_u00"),
        *("--limit", "12", "--output_path", str(folder)),
    ]


def test_another_model_is_told_the_methods_that_need_no_fitting(tmp_path: Path) -> None:
    make(tmp_path, "logit", 20, backbone={"name": "owner/dlm", "fingerprint": "0"})
    command = shlex.split(sentences(tmp_path)[-1].command or "")
    assert command[command.index("--model_args") + 1] == "pretrained=owner/dlm,max_gen_toks=40"
    methods = command[command.index("--methods") + 1].split(",")
    assert {"logit", "oracle", "fixed"} <= set(methods) and "distilbert" not in methods


def test_answers_that_are_all_longer_than_the_canvas(tmp_path: Path) -> None:
    make(tmp_path, "fixed", 40, size=3, fields={"length": 100}, calibration=None, predictor=None)
    assert told(tmp_path) == [
        "No bound can be judged: all 3 answers are longer than the canvas of 40 tokens, and the "
        "longest has 100.",
        "Run the same again with max_gen_toks=128 among the model arguments.",
    ]


def test_the_same_without_logged_documents(tmp_path: Path) -> None:
    make(tmp_path, "logit", 40, size=3, fields={"length": 100}, samples=False)
    first, second = told(tmp_path)
    assert first.endswith("longer than the canvas of 40 tokens.")
    assert "a larger max_gen_toks" in second and "eosbench fit --canvas" in second


@pytest.mark.parametrize("samples", [True, False])
def test_one_document_is_too_few(tmp_path: Path, samples: bool) -> None:
    make(tmp_path, "logit", 20, size=1, samples=samples)
    make(tmp_path, "distilbert", 30, size=1, samples=samples)
    first, second = told(tmp_path)
    assert first.startswith("Nothing can be said of logit and distilbert yet: one answer was")
    assert "--limit" in second


def test_only_the_limits_ran(tmp_path: Path) -> None:
    make(tmp_path, "fixed", 40, calibration=None)
    (only,) = sentences(tmp_path)
    assert only.text.startswith("Nothing was predicted here: fixed marks the limits")
    assert "eosbench sweep" in (only.command or "")


def test_only_another_model_ran(tmp_path: Path) -> None:
    make_baseline(tmp_path, size=3)
    (only,) = sentences(tmp_path)
    assert only.text.startswith("No length was predicted: tiny/gpt is not run by varlen_dlm.")
    assert shlex.split(only.command or "") == [
        *("eosbench", "sweep", "--methods", "five", "--tasks", "eos_upper_bound,varlen_instruct"),
        *("--limit", "3", "--output_path", str(tmp_path)),
    ]


def test_only_likelihoods_were_run(tmp_path: Path) -> None:
    path = make_run(tmp_path, "logit", size=3, fractions=(), samples=False)
    text = path.read_text(encoding="utf-8").replace("varlen_instruct", "arc_easy")
    path.write_text(text.replace("generate_until", "multiple_choice"), encoding="utf-8")
    (only,) = sentences(tmp_path)
    assert "only given answers were scored (arc_easy)" in only.text
    assert (only.command or "").startswith("eosbench sweep --methods five --tasks eos_upper_bound ")


def test_only_generation_was_run(tmp_path: Path) -> None:
    for method in ("blocks", "logit"):
        make_run(tmp_path / method, method, size=40, fractions=())
    first, tests, last = sentences(tmp_path)
    assert re.match(
        r"On varlen_instruct \w+ has the best exact match, \d+\.\d % \(.*\) over 40 answers, at "
        r"\d+ token-positions an answer\.$",
        first.text,
    )
    assert tests.text.startswith("By paired tests on the same answers (Holm-corrected, 5 %) ")
    assert (last.command or "").startswith("eosbench sweep ")


def test_equal_qualities_have_no_best(tmp_path: Path) -> None:
    for method in ("blocks", "logit"):
        path = make_run(tmp_path / method, method, size=40, fractions=())
        for file in path.parent.iterdir():  # no answer is right
            text = file.read_text(encoding="utf-8")
            text = re.sub(r'"exact_match(,none)?": (1\.0|0\.\d+)', r'"exact_match\1": 0.0', text)
            file.write_text(text, encoding="utf-8")
    first, *others = told(tmp_path)
    assert first == (
        "On varlen_instruct logit and blocks have the same exact match: 0.0 % "
        f"(0.0 to {100 * wilson(0.0, 40)[1]:.1f}) over 40 answers."
    )
    assert not any("best" in sentence for sentence in others)


def test_seeds_of_a_method_are_told_of_as_one(tmp_path: Path) -> None:
    """Overshoots of 10, 12 and 14 tokens have the mean 12; all go 20 beyond with the other method.

    Compute of the windows: (20 30 + 22 32 + 24 34) / 3 = 706.7 of 40 50 = 2000 token-positions.
    """
    for seed in range(3):
        make(tmp_path / f"{seed}", "classification", 20 + 2 * seed, seed=seed)
        make(tmp_path / f"{seed}", "distilbert", 30, seed=seed)
    make(tmp_path, "logit", 35)
    first, tests, oracle, _, promise, seeds = told(tmp_path)
    assert first.startswith(
        "At a promised coverage of 95 % classification is on average the tightest of 3 runs: its "
        "bounds cover 100.0 % of 40 answers"
    )
    assert "and go 12.0 tokens (10.0 to 14.0) beyond" in first
    assert tests == (
        "By paired tests on the same answers (Holm-corrected, 5 %) logit and distilbert are looser."
    )
    assert oracle.startswith("The windows of classification take 35.3 % of the full canvas's")
    assert promise.startswith("No run is shown to break its promise")
    assert seeds == "The numbers of classification and distilbert are means over 3 seeds."


def test_qualities_of_seeds_are_told_of_as_one(tmp_path: Path) -> None:
    for seed in range(3):
        for method in ("concat_regression", "classification"):
            folder = tmp_path / f"{seed}" / method
            make_run(folder, method, size=40, fractions=(), seed=seed)
    found = told(tmp_path)
    assert re.match(r"On varlen_instruct \w+ has the best exact match, \d+\.\d % \(", found[0])
    assert "The numbers of concat_regression and classification are means over 3 seeds." in found
    assert not any("seed=" in sentence for sentence in found)


def test_the_same_sentences_are_on_the_page_and_in_markdown(tmp_path: Path) -> None:
    make(tmp_path / "runs", "logit", 20)
    make(tmp_path / "runs", "zeta", 30)
    summary = write_report(tmp_path / "runs", tmp_path / "out")
    page = summary.page.read_text(encoding="utf-8")
    text = (tmp_path / "out" / "comparison.md").read_text(encoding="utf-8")
    found = told(tmp_path / "runs")
    assert found and all(sentence.replace("'", "&#39;") in page for sentence in found)
    above = text.partition("| method |")[0].replace("\\", "")
    assert [line.removeprefix("- ") for line in above.splitlines() if line[:2] == "- "] == found


def test_hostile_names_stay_text_and_commands_stay_as_they_are() -> None:
    text = sentences_as_markdown([Sentence("a_b <i>* does:", "eosbench report 'my_*'")])
    assert text == "- a\\_b &#60;i&#62;\\* does:\n\n  ~~~~sh\n  eosbench report 'my_*'\n  ~~~~\n\n"


CALIBRATIONS = (
    None,
    {"kind": "split_conformal", "alpha": 0.05},
    {"kind": "split_conformal", "alpha": 0.5},
    {"kind": "split_conformal", "alpha": math.nan},
    {"kind": "risk_control", "shortfall": 1.0},
    {"kind": "expected_cost", "promise": "cheapest"},
)
RUN = st.fixed_dictionaries(
    {
        "method": st.sampled_from([*ERROR, "fixed", "oracle", "mean", "a|b_*", "blocks"]),
        "size": st.integers(1, 5),
        "bounds": st.lists(st.integers(1, 40), min_size=1, max_size=5),
        "lengths": st.sampled_from([0, 1, 10, 40, 41, 90]),
        "fractions": st.sampled_from([(0.0,), (0.5,), (0.0, 0.5), ()]),
        "generation": st.booleans(),
        "samples": st.booleans(),
        "calibration": st.sampled_from(CALIBRATIONS),
        "rounding": st.sampled_from(["pow2", "block", "none", "x"]),
        "canvas": st.sampled_from([40, 64]),
    }
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
@given(runs=st.lists(RUN, max_size=4), baseline=st.booleans())
def test_every_sentence_is_whole_for_every_input(
    runs: list[dict[str, Any]], baseline: bool
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, written = Path(name), 0
        for index, run in enumerate(runs):
            if not (run["fractions"] or run["generation"]):
                continue
            given = dict(run)
            if given["method"] == "blocks":  # it predicts no bound
                given["rounding"] = None
            change = bounds(*given.pop("bounds"), length=given.pop("lengths"))
            fingerprint = f"{index:016x}"
            make_run(
                folder / str(index),
                given.pop("method"),
                change=change,
                fingerprint=fingerprint,
                **given,
            )
            written += 1
        if baseline or not written:
            make_baseline(folder / "hf", size=2)
        found = sentences(folder)
        documents = read_documents(read_runs(folder))[0]
    assert found
    for sentence in found:
        text = sentence.text
        assert not re.search(r"\b(nan|inf|None)\b", text), text
        assert text[-1] == (":" if sentence.command else "."), text
        assert "  " not in text and "( " not in text and " ," not in text and "{" not in text, text
        assert sentence.command is None or shlex.split(sentence.command)[0] == "eosbench"
        if "By paired tests" in text:
            assert len(documents)
