"""The page in a real browser, as a reader uses it.

With a mouse, with a keyboard, on a phone, in the dark, and under attack.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.made_runs import make_run, make_runs
from eosbench.report import write_report
from tests import browser

pytestmark = pytest.mark.skipif(
    browser.find() is None, reason="no Chromium here: apt-get install chromium to run these tests"
)

DOCUMENTS = 40
FIRST = "document.querySelector('table[data-filtered]')"
SHOWN = f"[...{FIRST}.tBodies[0].rows].filter(row => row.checkVisibility())"
HOSTILE = (
    '</script><script>window.hit = 1</script><img src=x onerror="window.hit = 1">" '
    "onfocus=alert(1) {{ 7 * 7 }} "
    "</textarea></style>\u2028&lt;b&gt; ]]> <!--<script>"
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report of five methods and a baseline, and one whose every text is an attack."""
    folder = tmp_path_factory.mktemp("pages")
    make_runs(folder / "runs", size=DOCUMENTS)
    make_run(folder / "hostile", HOSTILE, size=3, predictor=HOSTILE, prompts=HOSTILE)
    (folder / "hostile" / "<img src=x onerror=alert(1)>.json").write_text("{", encoding="utf-8")
    return {
        name: write_report(folder / name, folder / f"{name}-report").page
        for name in ("runs", "hostile")
    }


@pytest.fixture(scope="module")
def chromium() -> Iterator[browser.Browser]:
    with browser.Browser() as one:
        yield one


@pytest.fixture
def page(chromium: browser.Browser, pages: dict[str, Path]) -> browser.Browser:
    """The report, freshly loaded, and nothing to complain about."""
    chromium.complaints.clear()
    chromium.resize(1280, 900)
    chromium.open(pages["runs"].as_uri())
    assert chromium.run("document.documentElement.dataset.ready") == "true"
    assert chromium.complaints == []
    return chromium


def test_a_filter_changes_the_rows(page: browser.Browser) -> None:
    names = f"{SHOWN}.map(row => row.dataset.run + ' ' + row.dataset.fraction)"
    assert [name for name in page.run(names) if name != "tiny/gpt "] == [
        f"{name} 0.0"
        for name in (
            "logit",
            "concat_regression",
            "average_regression",
            "classification",
            "distilbert",
        )
    ]
    page.run("document.querySelector('input[name=fraction][value=\"0.5\"]').click()")
    assert {name.split()[-1] for name in page.run(names) if name != "tiny/gpt "} == {"0.5"}
    page.run("document.querySelector('input[name=fraction][value=\"\"]').click()")
    assert len(page.run(names)) == 5 * 4 + 1
    page.run("document.querySelector('input[name=run][value=logit]').click()")
    assert len(page.run(names)) == 4 * 4 + 1
    page.run("document.querySelector('[data-none]').click()")
    assert page.run(names) == [] and page.run(
        f"{FIRST}.closest('.scroll').nextElementSibling.checkVisibility()"
    )


def test_the_filters_reach_the_table_across_seeds(
    chromium: browser.Browser, tmp_path: Path
) -> None:
    for seed in (0, 1):
        make_run(tmp_path / "runs" / f"{seed}", "logit", size=6, fractions=(0.0, 0.5), seed=seed)
    make_run(tmp_path / "runs" / "mean", "mean", size=6, fractions=(0.0, 0.5))
    chromium.open(write_report(tmp_path / "runs", tmp_path / "out").page.as_uri())
    rows = (
        "[...document.querySelectorAll('section[aria-labelledby=seeds] tbody tr')]"
        ".filter(row => row.checkVisibility())"
    )
    names = f"{rows}.map(row => row.cells[0].textContent + ' ' + row.cells[1].textContent)"
    assert chromium.run(names) == ["logit 0", "mean 0"]
    chromium.run("document.querySelector('input[name=fraction][value=\"0.5\"]').click()")
    assert chromium.run(names) == ["logit 50", "mean 50"]
    chromium.run("document.querySelector('input[name=run][value=\"logit seed=1\"]').click()")
    assert chromium.run(names) == ["logit 50", "mean 50"]
    chromium.run("document.querySelector('input[name=run][value=\"logit seed=0\"]').click()")
    assert chromium.run(names) == ["mean 50"]
    assert chromium.complaints == []


def test_a_sort_sorts_and_undefined_goes_last(page: browser.Browser) -> None:
    place = page.run(
        f"[...{FIRST}.tHead.rows[0].cells]"
        ".findIndex(cell => cell.textContent.startsWith('overshoot'))"
    )
    click = f"{FIRST}.tHead.rows[0].cells[{place}].querySelector('button').click()"
    values = f"{SHOWN}.map(row => row.cells[{place}].dataset.key)"
    before = page.run(values)
    page.run(click)
    ascending = page.run(values)
    assert ascending == [*sorted((value for value in before if value), key=float), ""]
    page.run(click)
    assert page.run(values) == [*reversed(ascending[:-1]), ""]
    assert page.run(f"{FIRST}.tHead.rows[0].cells[{place}].ariaSort") == "descending"


def test_a_sample_opens_with_its_marks(page: browser.Browser) -> None:
    prompt = "document.querySelector('[data-prompt]').textContent"
    before = page.run(prompt)
    page.run("document.querySelector('[data-step=\"1\"]').click()")
    assert before and page.run(prompt) and page.run(prompt) != before
    assert page.run("document.querySelectorAll('.canvas .mark').length") == 5
    assert page.run("document.querySelectorAll('.canvas .bar .bound').length") == 5
    assert page.run("document.querySelectorAll('.canvas .revealed').length") == 0
    page.run(
        "const view = document.querySelector('[data-view]'); view.selectedIndex = 3; "
        "view.dispatchEvent(new Event('change'))"
    )
    assert page.run("document.querySelectorAll('.canvas .revealed').length") > 0
    drawn, said = page.run(
        "[...document.querySelectorAll('.canvas .track')].reduce(([x, y], track) => ["
        "[...x, parseFloat(track.querySelector('.mark').style.left)], "
        "[...y, parseInt(track.querySelector('.value').textContent)]], [[], []])"
    )
    assert drawn == pytest.approx([100 * bound / 256 for bound in said])


def test_samples_can_be_searched(page: browser.Browser) -> None:
    count = "document.querySelectorAll('[data-document] option').length"
    assert page.run(count) == DOCUMENTS
    page.run(
        "const find = document.querySelector('[data-find]'); find.value = 'STORY'; "
        "find.dispatchEvent(new Event('input'))"
    )
    assert 0 < page.run(count) < DOCUMENTS
    page.run("find.value = 'no such words'; find.dispatchEvent(new Event('input'))")
    assert (
        page.run(count) == 0
        and page.run("document.querySelector('[data-prompt]').textContent") == ""
    )


def test_samples_that_some_method_cuts_off_show_a_cross(page: browser.Browser) -> None:
    page.run("document.querySelector('[data-cut]').click()")
    documents = page.run("document.querySelectorAll('[data-document] option').length")
    assert 0 < documents < DOCUMENTS
    for _ in range(documents):
        assert "✕" in page.run(
            "[...document.querySelectorAll('.canvas .mark')].map(mark => mark.textContent)"
        )
        page.run("document.querySelector('[data-step=\"1\"]').click()")


def test_everything_is_reached_and_worked_by_keyboard(page: browser.Browser) -> None:
    reached: list[str] = []
    for _ in range(60):
        page.press("Tab", 9)
        reached.append(
            page.run(
                "document.activeElement.textContent.trim().slice(0, 40) || "
                "document.activeElement.name"
            )
        )
        if "overshoot" in reached[-1] and len(reached[-1]) < 20:
            break
    assert reached[:2] == ["In short", "Comparison"]
    assert "fraction" in reached and reached[-1] == "overshoot"
    assert page.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.press("Enter", 13, "\r")
    assert page.run("document.activeElement.closest('th').ariaSort") == "ascending"


def test_a_phone_scrolls_tables_and_not_the_page(page: browser.Browser) -> None:
    page.resize(390, 844)
    assert page.run("document.documentElement.scrollWidth") <= 390
    assert page.run(f"{FIRST}.closest('.scroll').scrollWidth") > 390
    # However far it is scrolled, the method's name stays in sight, and above what passes below it.
    name = f"{FIRST}.tBodies[0].rows[0].cells[0]"
    before = page.run(f"{name}.getBoundingClientRect().left")
    page.run(f"{FIRST}.closest('.scroll').scrollLeft = 260")
    assert page.run(f"{FIRST}.closest('.scroll').scrollLeft") == 260
    page.run(f"{name}.scrollIntoView({{block: 'center', inline: 'nearest'}})")
    assert page.run(f"{name}.getBoundingClientRect().left") == before
    middle = (
        f"(box => document.elementFromPoint(box.left + 20, box.top + 15))"
        f"({name}.getBoundingClientRect())"
    )
    assert page.run(f"{name}.contains({middle})")


def test_no_heading_out_of_sight_makes_an_empty_band_above_those_in_sight(
    page: browser.Browser,
) -> None:
    """On a phone the tall heading of a column on the right would push the others down."""
    page.resize(390, 844)
    for table in range(page.run("document.querySelectorAll('.scroll table').length")):
        head = f"document.querySelectorAll('.scroll table')[{table}].tHead"
        of_lines = f"[...{head}.querySelectorAll('button')].map(one => one.offsetHeight / 21)"
        assert max(page.run(of_lines)) < 3, page.run(f"{head}.innerText")


def test_the_answers_stand_above_the_first_table_and_fit_a_phone(page: browser.Browser) -> None:
    sentences = "document.querySelectorAll('.answers li')"
    assert 3 <= page.run(f"{sentences}.length") <= 5
    for width in (1280, 390):
        page.resize(width, 844)
        bottom = page.run(f"[...{sentences}].at(-1).getBoundingClientRect().bottom")
        assert bottom < page.run(f"{FIRST}.getBoundingClientRect().top")
        assert page.run(f"{sentences}[0].getBoundingClientRect().right") <= width


def test_dark_is_dark_and_readable(page: browser.Browser) -> None:
    def shades() -> list[float]:
        """Mean of red, green and blue of paper and ink."""
        sums = (
            "getComputedStyle(document.body)[name].match(/\\d+/g).slice(0, 3)"
            ".reduce((a, b) => a + Number(b), 0) / 3"
        )
        return list(page.run(f"['backgroundColor', 'color'].map(name => {sums})"))

    try:
        page.prefer("light")
        paper, ink = shades()
        assert paper > 200 and ink < 60
        page.prefer("dark")
        paper, ink = shades()
        assert paper < 60 and ink > 200
    finally:
        page.prefer("light")


def test_nothing_hostile_runs(chromium: browser.Browser, pages: dict[str, Path]) -> None:
    chromium.complaints.clear()
    chromium.open(pages["hostile"].as_uri())
    assert chromium.complaints == []
    assert chromium.run("window.hit") is None
    assert chromium.run("document.querySelector('[data-prompt]').textContent") == HOSTILE
    assert chromium.run("document.scripts.length") == 2
    assert chromium.run(
        "[...document.images].every("
        "image => image.src.startsWith('data:') && image.naturalWidth > 0)"
    )
    chromium.run(
        "document.body.insertAdjacentHTML('beforeend', '<img src=\"https://example.org/x.png\">')"
    )
    chromium.run(
        "const more = document.createElement('script'); more.textContent = 'window.hit = 1'; "
        "document.body.append(more)"
    )
    assert chromium.run("window.hit") is None, "the security policy lets a script in"
