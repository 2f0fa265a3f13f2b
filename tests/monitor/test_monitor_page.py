"""The live page in a real browser, fed by the real application with snapshots that change."""

import itertools
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest
from playwright.sync_api import Browser, Page, expect
from prometheus_client import CollectorRegistry

from model.errors import SettingsError
from monitor.app import create_app
from monitor.figures import text_of
from monitor.listen import listening
from monitor.live import Live
from monitor.snapshot import Broker, Distribution, Group, Member, Rates, Snapshot, to_json
from runtime.access import new_key
from tests.conftest import complaints
from tests.monitor.shown import calibration, dead_letters, quality, snapshot

if TYPE_CHECKING:
    from tests.conftest import CommandLine

HOSTILE = "<img src=x onerror=alert(1)>"
DEADLINE_S = 20.0
AWAY = "connection refused"
TOO_WIDE = """() => [...document.querySelectorAll("body *")].filter(each => {
    const box = each.getBoundingClientRect();
    return box.width && !each.matches(".skip") && (box.left < -0.5 || box.right > innerWidth + 0.5);
}).map(each => each.outerHTML.slice(0, 120))"""
# Texts with too little contrast against what they stand on (WCAG AA), and the figure itself.
FAINT = """() => {
    const parts = colour => colour.match(/[\\d.]+/g).map(Number);
    const light = colour => parts(colour).slice(0, 3).map(c => c / 255)
        .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
    const behind = each => {
        for (let at = each; at; at = at.parentElement) {
            const colour = getComputedStyle(at).backgroundColor;
            if (parts(colour)[3] !== 0) return colour;
        }
        return "rgb(255, 255, 255)";
    };
    return [...document.querySelectorAll("body *")]
        .filter(each => [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
        .filter(each => each.getClientRects().length)
        .map(each => {
            const [a, b] = [light(getComputedStyle(each).color), light(behind(each))];
            return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), each.outerHTML.slice(0, 90)];
        })
        .filter(([ratio]) => ratio < 4.5);
}"""


class Shown:
    """The application on a port, and what it shows."""

    def __init__(self, **options: Any) -> None:
        self.live = Live()
        self._options, self._port, self._stack = options, 0, ExitStack()
        self.url = ""
        self.start()

    def start(self) -> None:
        registry = CollectorRegistry()
        self.url = self._stack.enter_context(
            listening(
                "127.0.0.1",
                self._port,
                lambda stopping: create_app(
                    self.live, registry, stopping=stopping, **self._options
                ),
            )
        )
        self._port = int(self.url.rpartition(":")[2])

    def stop(self) -> None:
        self._stack.close()

    def show(self, seen: Snapshot) -> None:
        broker = seen.broker
        self.live.publish(to_json(seen), reachable=broker.reachable, error=broker.error)


@pytest.fixture
def shown() -> Iterator[Shown]:
    made = Shown()
    made.show(snapshot(time.time()))
    yield made
    made.stop()


def figure(page: Page, name: str) -> Any:
    return page.locator("#now > div").filter(has=page.get_by_text(name, exact=True)).locator("dd")


def hostile() -> Snapshot:
    """Markup wherever a text comes from elsewhere."""
    now = time.time()
    member = Member(member=HOSTILE, client=HOSTILE, host=HOSTILE, partitions=[0])
    kind = Distribution(name=HOSTILE, categories=[HOSTILE, "b"], now=[1, 2, 3], baseline=[1, 0, 0])
    return snapshot(
        now,
        input=HOSTILE,
        output=HOSTILE,
        model=HOSTILE,
        broker=Broker(reachable=False, since=text_of(now - 60), error=HOSTILE),
        group=Group(name=HOSTILE, state=HOSTILE, members=[member]),
        dead_letters=dead_letters(now, HOSTILE),
        distributions=[kind],
    )


def crowded() -> Snapshot:
    """Long names, all parts, and a classifier."""
    now, long = time.time(), "a-topic-with-a-name-as-long-as-kafka-lets-it-be-" * 3
    judged = msgspec.structs.replace(
        quality("all", "12"),
        model=long,
        metrics={"accuracy": 0.91, "log_loss": 0.31, "brier": 0.12, "ece": 0.0321},
        calibration=calibration(),
    )
    kind = Distribution(
        name=long, categories=[long, "b"], now=[1, 2, 3], baseline=[0.5, 0.25, 0.25]
    )
    return snapshot(now, input=long, quality=[judged], distributions=[kind],
                    dead_letters=dead_letters(now, long))  # fmt: skip


def test_it_says_that_it_works_and_the_figures_move(page: Page, shown: Shown) -> None:
    """Given one snapshot after another: words, figures, charts and tables are those of the last."""
    said = complaints(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(shown.url)
    expect(page.locator("#state")).to_have_text("Working")
    expect(figure(page, "Events a second")).to_have_text("5,123")
    chart = page.get_by_role("img", name="Chart: Events and predictions")
    before = str(chart.get_attribute("aria-label"))
    now = time.time()
    rates = Rates(events_per_s=7.25, predictions_per_s=7.0)
    past = snapshot(now).history
    past = msgspec.structs.replace(past, events_per_s=[*past.events_per_s[1:], 7.25])
    shown.show(snapshot(now, rates=rates, history=past))
    expect(figure(page, "Events a second")).to_have_text("7.25")
    expect(chart).to_have_attribute("aria-label", re.compile("now 7.25"))
    assert "now 7.25" not in before
    assert page.locator("canvas").count() == 3
    assert page.locator("#partitions tbody tr").count() == 4
    assert (
        page.locator("#qualities table").count() == page.locator("#versions tbody tr").count() == 2
    )
    assert said == []
    assert [url for url in asked if not url.startswith(shown.url)] == []


def test_the_broker_away_and_back(page: Page, shown: Shown) -> None:
    """Given a broker that goes: since when and why is said, figures stay, and it comes back."""
    page.goto(shown.url)
    expect(page.locator("#state")).to_have_text("Working")
    now = time.time()
    shown.show(snapshot(now, broker=Broker(reachable=False, since=text_of(now), error=AWAY)))
    expect(page.locator("#state")).to_contain_text("The broker is away since")
    expect(page.locator("#detail")).to_contain_text(AWAY, ignore_case=True)
    expect(figure(page, "Dead letters")).to_have_text("322")
    assert httpx.get(f"{shown.url}/readyz").status_code == 503
    assert httpx.get(f"{shown.url}/livez").status_code == 200
    shown.show(snapshot(time.time()))
    expect(page.locator("#state")).to_have_text("Working")
    assert page.title().startswith("Working")


def test_the_monitor_away_and_back(page: Page, shown: Shown) -> None:
    """Given a monitor that ends and starts again: the page says so, and goes on by itself."""
    page.goto(shown.url)
    expect(page.locator("#state")).to_have_text("Working")
    shown.stop()
    expect(page.locator("#state")).to_contain_text("Connection to the monitor lost since")
    expect(page.locator("#detail")).to_contain_text("It was: working.")
    assert page.title().startswith("Connection to the monitor lost")
    shown.start()
    shown.show(snapshot(time.time(), rates=Rates(events_per_s=3.0)))
    expect(page.locator("#state")).to_have_text("Working")
    expect(figure(page, "Events a second")).to_have_text("3")


def test_texts_stay_texts(page: Page, shown: Shown) -> None:
    """Given markup in topics, categories, names and errors: it is read, and nothing of it runs."""
    said = complaints(page)
    shown.show(hostile())
    page.goto(shown.url)
    for part in ("#detail", "#subject", "#group", "#members", "#last", "#distributions"):
        expect(page.locator(part)).to_contain_text(HOSTILE)
    assert page.locator("img").count() == 0
    assert said == []


@pytest.mark.parametrize("width", [390, 1600])
def test_it_fits_and_can_be_read(width: int, page: Page, shown: Shown) -> None:
    """Given a phone or a screen, light or dark: nothing reaches beyond it, no text is faint."""
    page.set_viewport_size({"width": width, "height": 900})
    shown.show(crowded())
    page.goto(shown.url)
    expect(page.locator("canvas")).to_have_count(3)
    expect(page.locator("#calibrations tbody tr")).to_have_count(10)
    page.emulate_media(color_scheme="light")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    assert page.evaluate(TOO_WIDE) == []
    assert page.evaluate(FAINT) == []
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    assert page.evaluate(FAINT) == []


def test_by_keyboard_and_screen_reader(page: Page, shown: Shown) -> None:
    """Landmarks, headings in order, captions, a visible focus, and one voice for what changes."""
    page.goto(shown.url)
    expect(page.locator("#state")).to_have_text("Working")
    for role in ("banner", "main", "contentinfo"):
        assert page.get_by_role(role).count() == 1
    levels = page.locator("h1, h2, h3").evaluate_all("all => all.map(each => +each.tagName[1])")
    assert levels[0] == 1
    assert max(b - a for a, b in itertools.pairwise(levels)) == 1
    assert page.locator("table").count() == page.locator("table > caption").count()
    spoken = page.locator("[aria-live]").evaluate_all("all => all.map(each => each.id)")
    assert spoken == ["state"]
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "figures"
    pause = page.get_by_role("button", name="Pause")
    pause.focus()
    page.keyboard.press("Space")
    expect(pause).to_have_attribute("aria-pressed", "true")
    assert pause.evaluate("each => getComputedStyle(each).outlineStyle") == "solid"


def test_a_page_that_is_paused_stands_still(page: Page, shown: Shown) -> None:
    """Given a pause: figures stay while the state is told, until it goes on with the latest."""
    page.goto(shown.url)
    expect(figure(page, "Events a second")).to_have_text("5,123")
    pause = page.get_by_role("button", name="Pause")
    pause.click()
    rates = Rates(events_per_s=1.5)
    broker = Broker(reachable=False, since=text_of(time.time()), error=AWAY)
    shown.show(snapshot(time.time(), rates=rates, broker=broker))
    expect(page.locator("#state")).to_contain_text("away")
    expect(figure(page, "Events a second")).to_have_text("5,123")
    pause.click()
    expect(figure(page, "Events a second")).to_have_text("1.5")


def numbers(lines: Iterator[str]) -> Iterator[int]:
    """The snapshots' numbers in a stream of events."""
    return (int(line.removeprefix("id: ")) for line in lines if line.startswith("id: "))


def test_five_viewers_see_the_same(shown: Shown) -> None:
    """Given five viewers and twenty snapshots: each comes to the last one."""
    ends: list[int] = []

    def follow() -> None:
        with httpx.stream("GET", f"{shown.url}/events", timeout=DEADLINE_S) as answer:
            ends.append(next(n for n in numbers(answer.iter_lines()) if n >= 21))

    threads = [threading.Thread(target=follow) for _ in range(5)]
    for each in threads:
        each.start()
    for _ in range(20):
        shown.show(snapshot(time.time()))
        time.sleep(0.02)
    for each in threads:
        each.join(DEADLINE_S)
    assert ends == [21] * 5


def test_a_slow_viewer_misses_snapshots_and_delays_nobody(shown: Shown) -> None:
    """Given one that reads nothing for a while: others follow, and it comes to the latest."""
    large = snapshot(time.time(), dead_letters=dead_letters(time.time(), "x" * 300_000))
    host, port = shown.url.removeprefix("http://").split(":")
    with closing(socket.create_connection((host, int(port)), timeout=DEADLINE_S)) as slow:
        slow.sendall(b"GET /events HTTP/1.1\r\nHost: here\r\n\r\n")
        last = 0
        with httpx.stream("GET", f"{shown.url}/events", timeout=DEADLINE_S) as answer:
            followed = numbers(answer.iter_lines())
            for _ in range(40):
                shown.show(large)
                wanted = shown.live.latest()[0]
                last = next(n for n in followed if n >= wanted)
        shown.show(snapshot(time.time()))
        final = shown.live.latest()[0]
        with slow.makefile("r", encoding="utf-8", errors="replace") as reader:
            seen = []
            for number in numbers(iter(reader.readline, "")):
                seen.append(number)
                if number == final:
                    break
    assert last == final - 1
    assert seen[-1] == final
    assert len(seen) < final / 2
    assert seen == sorted(seen)


def test_viewers_are_bounded_and_those_who_leave_make_room() -> None:
    """Given as many as are let in, the next is told to come later; then it comes in."""
    shown = Shown(max_viewers=1)
    try:
        shown.show(snapshot(time.time()))
        with httpx.stream("GET", f"{shown.url}/events", timeout=DEADLINE_S) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines = answer.iter_lines()
            next(lines)
            refused = httpx.get(f"{shown.url}/events")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
            assert httpx.head(f"{shown.url}/events").status_code == 200  # takes no room
        end = time.monotonic() + DEADLINE_S
        status = 503
        while status == 503:
            assert time.monotonic() < end
            with httpx.stream("GET", f"{shown.url}/events", timeout=DEADLINE_S) as answer:
                status = answer.status_code
        assert status == 200
    finally:
        shown.stop()


def test_a_quiet_stream_has_a_pulse_and_a_clean_end(shown: Shown) -> None:
    """Given no new snapshot: heartbeats come; given the end: streams end whole, not broken off."""
    with httpx.stream("GET", f"{shown.url}/events", timeout=DEADLINE_S) as answer:
        lines = answer.iter_lines()
        assert next(each for each in lines if each.startswith("event: ")) == "event: beat"
        ending = threading.Thread(target=shown.stop)
        ending.start()
        list(lines)  # a stream that is broken off raises
        ending.join(DEADLINE_S)
    assert not ending.is_alive()


def test_only_those_with_a_key_see_it(browser: Browser) -> None:
    """Given keys: programs send one, a browser asks its user for it, probes need none."""
    (key, kept), (stranger, _) = new_key(), new_key()
    shown = Shown(keys=[kept])
    try:
        shown.show(snapshot(time.time()))
        for path in ("/", "/events", "/snapshot", "/metrics", "/static/page.js"):
            assert httpx.get(f"{shown.url}{path}").status_code == 401
            assert httpx.get(f"{shown.url}{path}", auth=("", stranger)).status_code == 401
        assert httpx.get(f"{shown.url}/livez").status_code == 200
        given: list[dict[str, str]] = [{"authorization": f"Bearer {key}"}, {"x-api-key": key}]
        for headers in given:
            assert httpx.get(f"{shown.url}/snapshot", headers=headers).status_code == 200
        wrong = {"authorization": "Basic %%%"}
        assert httpx.get(f"{shown.url}/snapshot", headers=wrong).status_code == 401
        page = browser.new_page(http_credentials={"username": "me", "password": key})
        page.goto(shown.url)
        expect(page.locator("#state")).to_have_text("Working")
        page.close()
    finally:
        shown.stop()


def test_a_browser_is_told_to_run_nothing_else(shown: Shown) -> None:
    """Given any answer: its policy lets nothing of elsewhere in, and nothing inline."""
    for path in ("/", "/snapshot", "/static/page.js", "/nothing", "/static/../app.py"):
        answer = httpx.get(f"{shown.url}{path}")
        assert answer.headers["content-security-policy"].startswith("default-src 'self';")
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert httpx.get(f"{shown.url}/static/../app.py").status_code == 404


def test_before_the_first_snapshot(page: Page) -> None:
    """Given a monitor that has just been started: the page waits, and /snapshot says so."""
    shown = Shown()
    try:
        assert httpx.get(f"{shown.url}/snapshot").status_code == 503
        page.goto(shown.url)
        expect(page.locator("#state")).to_have_text("Connecting …")
        shown.show(snapshot(time.time()))
        expect(page.locator("#state")).to_have_text("Working")
        assert httpx.get(f"{shown.url}/snapshot").json()["headline"]["state"] == "working"
    finally:
        shown.stop()


def test_beyond_this_machine_the_command_needs_keys(streamscore: "CommandLine") -> None:
    """Given a host that others reach and no key: wrong usage, with both ways out."""
    names = ("--input", "a", "--output", "b", "--group", "g")
    done = streamscore("monitor", *names, "--host", "0.0.0.0")  # noqa: S104 - that is what is tested
    assert done.returncode == 2
    assert "monitor.api_keys" in done.stderr
    assert "--insecure" in done.stderr


def test_a_port_that_is_taken_is_named(shown: Shown) -> None:
    """Given another program on the port: what is wrong, and how to mend it."""
    port = int(shown.url.rpartition(":")[2])
    with (
        pytest.raises(SettingsError, match=f"127.0.0.1:{port}: Address already in use") as told,
        listening("127.0.0.1", port, lambda _: create_app(shown.live, CollectorRegistry())),
    ):
        pytest.fail("it listens where another does")
    assert "--port" in str(told.value.hint)
