"""The report in a real browser: on a phone, on a screen, on paper and in the dark."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, ViewportSize

from batch.report.page import render
from batch.report.reporting import Wanted, make_report
from tests.batch.filled import DAY, HOSTILE, HOSTILE_ID, fill
from tests.batch.watching import Nobody

AT = datetime(2013, 12, 18, 6, tzinfo=UTC)
KINDS = ["regression", "classification", "outlier"]
WIDTHS = [390, 1280]

# Elements that reach beyond what is shown, or whose text is cut.
CUT = """() => [...document.querySelectorAll("main *")].filter(each => {
    if (each.closest("svg") && each.tagName !== "svg") return false;
    const box = each.getBoundingClientRect();
    if (box.width === 0 || box.height === 0) return false;
    const hidden = getComputedStyle(each).overflowX !== "visible" && !each.matches(".track");
    return box.left < -0.5 || box.right > innerWidth + 0.5
        || (hidden && each.scrollWidth > each.clientWidth + 1);
}).map(each => each.outerHTML.slice(0, 120))"""
TEXTS_OUTSIDE = """() => [...document.querySelectorAll("svg")].flatMap(svg => {
    const frame = svg.getBoundingClientRect();
    return [...svg.querySelectorAll("text")].filter(each => {
        const box = each.getBoundingClientRect();
        return box.left < frame.left - 2 || box.right > frame.right + 2
            || box.top < frame.top - 2 || box.bottom > frame.bottom + 2;
    }).map(each => each.textContent);
})"""
SIZES = """() => [...document.querySelectorAll("svg")].map(each => {
    const box = each.getBoundingClientRect();
    return [box.width, box.height, each.querySelectorAll("path, text").length];
})"""


@pytest.fixture(scope="module", params=KINDS)
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of that kind of model, with hostile texts in it."""
    folder = tmp_path_factory.mktemp(request.param)
    settings = fill(folder, request.param)
    label = "late" if request.param == "classification" else None
    report = make_report(settings, DAY, Wanted(20, lowest=False, label=label), Nobody())
    page = folder / "report.html"
    page.write_text(render(report, AT, "0.1.0"), encoding="utf-8")
    return page


class Opened:
    """A page, what it asked for, and what it complained of."""

    def __init__(self, page: Page, file: Path) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(file.as_uri())


@pytest.fixture(params=WIDTHS)
def opened(request: pytest.FixtureRequest, browser: Browser, file: Path) -> Iterator[Opened]:
    page = browser.new_page(viewport=ViewportSize(width=request.param, height=844))
    yield Opened(page, file)
    page.close()


def test_it_is_whole_on_a_phone_and_on_a_screen(opened: Opened, file: Path) -> None:
    """No complaint, nothing from elsewhere, nothing cut, every picture there."""
    page = opened.page
    width = page.evaluate("innerWidth")

    assert opened.complaints == []
    assert [each for each in opened.requests if each != file.as_uri() and each[:5] != "data:"] == []
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    assert page.evaluate(CUT) == []
    assert page.evaluate(TEXTS_OUTSIDE) == []
    sizes = page.evaluate(SIZES)
    assert len(sizes) >= 3
    assert min(size[0] for size in sizes) > 250
    assert min(size[1] for size in sizes) > 50
    assert min(size[2] for size in sizes) > 5
    assert file.stat().st_size < 1_000_000


def test_hostile_texts_stay_texts(opened: Opened, file: Path) -> None:
    """No element came of a category or an id; both are read as they are."""
    page = opened.page

    assert page.evaluate("document.querySelectorAll('script, img').length") == 0
    shown = page.evaluate("document.body.textContent")
    assert HOSTILE_ID in shown
    assert HOSTILE in shown or "outlier" in file.parent.name  # that model has no categories


def test_pictures_follow_the_dark_and_paper(browser: Browser, file: Path) -> None:
    """Text of pictures has the page's own colour, whatever that is; a print is of several pages."""
    page = browser.new_page(viewport=ViewportSize(width=390, height=844))
    Opened(page, file)
    colours = set()
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        inked = page.evaluate("getComputedStyle(document.querySelector('svg text')).fill")
        assert inked == page.evaluate("getComputedStyle(document.body).color")
        colours.add(inked)
    printed = page.pdf(format="A4")
    page.close()

    assert len(colours) == 2
    assert printed.startswith(b"%PDF")
