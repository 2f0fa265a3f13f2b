"""The report's page: complete, small, by itself, and nothing of a database is read as markup."""

import re
import subprocess
import sys
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from batch.report import pictures
from batch.report.page import render
from batch.report.reporting import Wanted, make_report
from batch.report.text import compact, figure, number, percent, seconds
from runtime.settings import Settings
from tests.batch.filled import DAY, GAP, HOSTILE, HOSTILE_ID, fill
from tests.batch.watching import Nobody

AT = datetime(2013, 12, 18, 6, tzinfo=UTC)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return fill(tmp_path_factory.mktemp("page"), "regression")


def page(settings: Settings, label: str | None = None) -> str:
    report = make_report(settings, DAY, Wanted(20, lowest=False, label=label), Nobody())
    return render(report, AT, "0.1.0")


class Elements(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("kind", ["regression", "classification", "outlier"])
def test_it_has_every_section(tmp_path: Path, kind: str) -> None:
    """Below a megabyte, with pictures, without scripts or anything from elsewhere."""
    html = page(fill(tmp_path, kind))
    seen = Elements(html)

    assert len(html.encode()) < 1_000_000
    ids = {value for name, value in seen.attributes if name == "id"}
    wanted = {"top", "distribution", "days", "rejected", "quality", "drift", "runs"}
    assert wanted <= ids
    assert seen.names.count("svg") >= 3
    assert {"script", "iframe", "object", "img", "base"}.isdisjoint(seen.names)
    linked = [value for name, value in seen.attributes if name in {"href", "src", "xlink:href"}]
    assert [each for each in linked if not each.startswith(("#", "data:,"))] == []
    assert not re.search(r"url\((?!#)", html)


def test_what_is_markup_in_a_database_is_text_on_the_page(settings: Settings) -> None:
    """Ids and categories are shown as they are, in tables and in pictures."""
    html = page(settings)
    seen = Elements(html)

    assert HOSTILE not in html
    assert HOSTILE in seen.text
    assert HOSTILE_ID in seen.text
    assert not [name for name, _ in seen.attributes if name.startswith("on")]


def test_what_is_mathematics_to_matplotlib_is_text_too() -> None:
    """A dollar, a brace, a glyph that its font lacks: nothing fails, nothing warns."""
    drawn = pictures.categories(["$x^{2$", "日本", "<b>&"], [1, 2, 3], [0.2, 0.3, 0.5], "$y_{")

    seen = Elements(drawn)
    assert "$x^{2$" in seen.text
    assert "日本" in seen.text
    assert "<b>&" in seen.text
    assert "b" not in seen.names


def test_names_of_elements_are_unique(settings: Settings) -> None:
    """Pictures beside each other do not take each other's clips."""
    ids = [value for name, value in Elements(page(settings)).attributes if name == "id"]
    clips = [each for each in ids if re.fullmatch(r"p[0-9a-f]{8,}", each)]

    assert len(clips) == len(set(clips))


def test_a_gap_and_the_rejections_are_seen(settings: Settings) -> None:
    """A day without a run is one in the table as well."""
    text = Elements(page(settings)).text

    assert f"{GAP:%a %-d %b}" in text
    assert "no run" in text
    assert "3 rows were rejected (1.0%, within the limit of 1%)." in text


def test_the_command_writes_the_page(settings: Settings, tmp_path: Path) -> None:
    """Its findings and where it is on standard output; a day that nothing ran is a failure."""
    batch = settings.batch
    given = ["--target", batch.target, "--source", str(batch.source), "--table", "flights"]
    given += ["--time-column", "at", "--outcome-column", "outcome", "--store", str(settings.store)]
    command = [sys.executable, "-m", "streamscore", "batch", "report", *given, "--date"]

    made = subprocess.run(
        [*command, str(DAY)], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    absent = subprocess.run(
        [*command, str(GAP)], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )

    assert made.returncode == 0, made.stderr
    file = tmp_path / f"streamscore-report-regression-{DAY}.html"
    assert made.stdout.splitlines()[-1] == file.name
    assert "better than naive" in file.read_text(encoding="utf-8")
    assert absent.returncode == 1
    assert f"no model has scored {GAP}" in absent.stderr


def test_numbers_are_as_people_read_them() -> None:
    """Short, with their units."""
    assert [compact(each) for each in (0, 0.25, 1200, 25_000, 3e6)] == [
        *("0", "0.25", "1,200", "25k", "3M"),
    ]
    assert [percent(each) for each in (0, 0.0004, 0.012, 0.5)] == ["0%", "0.04%", "1.2%", "50%"]
    assert [number(each) for each in (None, 0.12345, 12345.6)] == ["—", "0.1235", "12,346"]
    assert [figure(each) for each in (None, 0.9, 2.0, 123.4, 12345.6, -0.09967)] == [
        *("—", "0.900", "2.00", "123", "12,346", "-0.0997"),
    ]
    assert [seconds(each) for each in (0.04, 1.44, 12.2, 200, 3900)] == [
        *("40 ms", "1.4 s", "12 s", "3 min 20 s", "1 h 5 min"),
    ]
