"""The whole report: its files for whatever mixture of runs, and a page that is safe and whole."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.made_runs import ERROR, make_baseline, make_run, make_runs
from eosbench.documents.reveal import FRACTIONS
from eosbench.errors import ResultsError
from eosbench.records import LengthRecord
from eosbench.report import ReportSummary, write_report
from eosbench.report.figures.drawing import themed_svg
from eosbench.report.figures.style import panels
from eosbench.report.page import page, samples

HAND = Path(__file__).parents[2] / "fixtures" / "hand"
ALWAYS = ("coverage", "overshoot", "accuracy", "tradeoff")
WITH_SAMPLES = ("safety", "bounds", "errors", "buckets")
WITH_CURVES = ("eos_average", "eos_calibration", "eos_prompts")
FIGURES = (*ALWAYS, *WITH_SAMPLES, *WITH_CURVES)


class Page(HTMLParser):
    """The tags of a page, with their attributes, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def hand(tmp_path_factory: pytest.TempPathFactory) -> ReportSummary:
    """The report of the fixture whose prompt is an attack."""
    return write_report(HAND, tmp_path_factory.mktemp("hand"))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> ReportSummary:
    """The report of five methods at four fractions, with a baseline and a broken file."""
    folder = make_runs(tmp_path_factory.mktemp("runs"), size=6)
    (folder / "broken.json").write_text("{", encoding="utf-8")
    return write_report(folder, tmp_path_factory.mktemp("full"))


def test_everything_is_written(full: ReportSummary) -> None:
    assert (full.runs, full.documents) == (6, 5 * 5 * 6 + 6)
    output = full.page.parent
    expected = {
        "index.html",
        "comparison.md",
        "comparison.csv",
        "comparison.tex",
        "families.csv",
        "generation.csv",
        "pairs.csv",
    }
    expected |= {f"figures/{name}.{form}" for name in FIGURES for form in ("svg", "png")}
    assert {str(path.relative_to(output)) for path in full.files} == expected
    assert all(path.stat().st_size > 0 for path in full.files)
    assert (output / "figures" / "coverage.png").read_bytes().startswith(b"\x89PNG")
    assert ElementTree.parse(output / "figures" / "coverage.svg").getroot().tag.endswith("svg")
    assert full.page.stat().st_size < 3_000_000


def test_the_page_shows_every_run_and_what_was_skipped(full: ReportSummary) -> None:
    page = full.page.read_text(encoding="utf-8")
    rows = [
        (row["data-run"], row["data-fraction"])
        for row in Page(page).named("tr")
        if row.get("data-fraction")
    ]
    assert set(rows) == {(method, str(fraction)) for method in ERROR for fraction in FRACTIONS}
    assert '<span class="quiet">baseline</span>' in page
    assert [item.path.name for item in full.skipped] == ["broken.json"]
    assert "broken.json" in page and "not readable as JSON" in page
    assert page.count("91bc0a7f3d2e4c55") == 5  # the backbone's fingerprint, once a run


def test_the_page_loads_nothing(full: ReportSummary) -> None:
    page = Page(full.page.read_text(encoding="utf-8"))
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "data"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#")), (tag, attributes)
        assert not any(name.startswith("on") for name in attributes) and "style" not in attributes
    (policy,) = [
        item["content"]
        for item in page.named("meta")
        if item.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None and policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy and "http" not in policy
    assert all(image["alt"] for image in page.named("img"))


def test_hostile_text_stays_text(hand: ReportSummary) -> None:
    text = hand.page.read_text(encoding="utf-8")
    page = Page(text)
    assert all("onerror" not in attributes for _, attributes in page.tags)
    assert len(page.named("script")) == 2 and len(page.named("img")) == len(ALWAYS + WITH_SAMPLES)
    block = re.search(
        r'<script type="application/json" id="samples">(.*?)</script>', text, re.DOTALL
    )
    assert block is not None
    samples = json.loads(block[1])
    assert "Tell a short story about </script><img src=x onerror=alert(1)>." in [
        item["prompt"] for item in samples["documents"]
    ]


def test_hostile_settings_stay_text(tmp_path: Path) -> None:
    make_run(
        tmp_path / "runs",
        "<script>alert(1)</script>",
        size=2,
        fractions=(0.0,),
        predictor='"><img src=x onerror=alert(1)>',
    )
    (tmp_path / "runs" / "<img src=y>.json").write_text("{", encoding="utf-8")
    page = Page(write_report(tmp_path / "runs", tmp_path / "out").page.read_text(encoding="utf-8"))
    assert len(page.named("script")) == 2
    assert all((image["src"] or "").startswith("data:") for image in page.named("img"))


def test_the_sample_browser_holds_bounds_and_revealed_positions(hand: ReportSummary) -> None:
    block = re.search(
        r'id="samples">(.*?)</script>', hand.page.read_text(encoding="utf-8"), re.DOTALL
    )
    assert block is not None
    samples = json.loads(block[1])
    (story,) = [item for item in samples["documents"] if "</script>" in item["prompt"]]
    assert (story["length"], story["canvas"], story["family"]) == (20, 32, "story")
    assert story["views"] == [{"fraction": 0.0, "revealed": [1, 2], "bounds": [16]}]


def test_only_baselines(tmp_path: Path) -> None:
    make_baseline(tmp_path / "runs", size=3)
    summary = write_report(tmp_path / "runs", tmp_path / "out")
    assert summary.runs == 1 and not list((tmp_path / "out" / "figures").iterdir())
    assert "tiny/gpt" in summary.page.read_text(encoding="utf-8")


def test_one_method_without_samples(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "logit", size=3, fractions=(0.5,), generation=False, samples=False)
    summary = write_report(tmp_path / "runs", tmp_path / "out")
    assert summary.documents == 0
    assert {path.stem for path in (tmp_path / "out" / "figures").iterdir()} == set(ALWAYS)
    assert "eos_upper_bound, 50% unmasked" in (tmp_path / "out" / "comparison.md").read_text(
        encoding="utf-8"
    )


def longer_than_the_canvas(record: LengthRecord) -> LengthRecord:
    return replace(record, length=record.canvas + 5, eos_rank=None, eos_prob=None, eos_false=None)


def test_answers_that_are_all_longer_than_the_canvas_leave_dashes_and_no_figure(
    tmp_path: Path,
) -> None:
    for method in ("logit", "fixed"):
        make_run(
            tmp_path / "runs" / method,
            method,
            size=3,
            fractions=(0.0, 0.5),
            generation=False,
            change=longer_than_the_canvas,
        )
    summary = write_report(tmp_path / "runs", tmp_path / "out")
    assert summary.documents == 12 and not list((tmp_path / "out" / "figures").iterdir())
    text = (tmp_path / "out" / "comparison.md").read_text(encoding="utf-8")
    assert "| fixed | 0 | – (0/3) | – (0/3) |" in text and "nan" not in text


def test_a_run_whose_answers_are_all_too_long_has_no_panel_beside_one_that_has(
    tmp_path: Path,
) -> None:
    make_run(tmp_path / "runs" / "logit", "logit", size=3, fractions=(0.0,))
    make_run(
        tmp_path / "runs" / "mean", "mean", size=3, fractions=(0.0,), change=longer_than_the_canvas
    )
    page = Page(write_report(tmp_path / "runs", tmp_path / "out").page.read_text(encoding="utf-8"))
    alts = [image["alt"] or "" for image in page.named("img")]
    (bounds,) = [alt for alt in alts if alt.startswith("Predicted bound against true length")]
    assert bounds.endswith("one panel for each of logit")


def test_documents_of_other_tasks_alone_draw_no_bounds(tmp_path: Path) -> None:
    path = make_run(tmp_path / "runs", "logit", size=3, fractions=(0.0,))
    (path.parent / path.name.replace("results", "samples_eos_upper_bound_u00")).with_suffix(
        ".jsonl"
    ).unlink()
    assert write_report(tmp_path / "runs", tmp_path / "out").documents == 3
    assert {path.stem for path in (tmp_path / "out" / "figures").iterdir()} == set(ALWAYS)


def test_the_same_results_give_the_same_page(hand: ReportSummary, tmp_path: Path) -> None:
    assert write_report(HAND, tmp_path).page.read_bytes() == hand.page.read_bytes()


def test_nothing_readable_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ResultsError):
        write_report(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_figures_follow_the_readers_colour_scheme(full: ReportSummary) -> None:
    svg = (full.page.parent / "figures" / "coverage.svg").read_bytes()
    themed = themed_svg(svg)
    assert b"#1b1d21" in svg and "prefers-color-scheme:dark" in themed
    assert themed.count("#1b1d21") == 1  # the definition alone
    ElementTree.fromstring(themed)


def test_neither_torch_nor_pyplot_is_loaded(tmp_path: Path) -> None:
    code = (
        "import sys; from eosbench.report import write_report; "
        "write_report(sys.argv[1], sys.argv[2]); "
        "print([name for name in ('torch', 'lm_eval', 'matplotlib.pyplot') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(HAND), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_long_lists_are_cut_on_the_page_and_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path / "runs", "logit", size=12, fractions=(0.0,), generation=False)
    monkeypatch.setattr(page, "FAMILY_ROWS_SHOWN", 2)
    monkeypatch.setattr(samples, "BUDGET", 900)
    text = write_report(tmp_path / "runs", tmp_path / "out").page.read_text(encoding="utf-8")
    rows = len((tmp_path / "out" / "families.csv").read_text(encoding="utf-8").splitlines()) - 1
    assert rows > 2 and f"The first 2 of {rows} rows; all are in families.csv." in text
    shown = re.search(r"<p>(\d+) of 12 documents\.", text)
    assert shown is not None and 1 <= int(shown[1]) < 12


def test_long_names_over_panels_do_not_run_into_each_other() -> None:
    long = "classification recipe=eoseos training_seed=0"
    figure, grid = panels([long, long, "logit"])
    figure.draw_without_rendering()
    boxes = [axes.title.get_window_extent() for axes in grid]
    assert boxes[0].x1 < boxes[1].x0 and boxes[1].x1 < boxes[2].x0
    assert grid[2].get_title() == "logit"
    assert grid[0].get_title().replace("\n", " ") == long
