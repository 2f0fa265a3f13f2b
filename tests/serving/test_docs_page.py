"""The page at /docs in a real browser: every request works as it is shown, and text stays text."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from runtime.access import new_key
from tests.conftest import complaints
from tests.serving.conftest import started

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import CommandLine
    from tests.serving.conftest import Started

    Serve = Callable[[str], Started]

WIDTHS = [390, 1600]
HOSTILE = "<img src=x onerror=alert(1)>"
TOO_WIDE = """() => [...document.querySelectorAll("body *")].filter(each => {
    const box = each.getBoundingClientRect();
    return box.width && (box.left < -0.5 || box.right > innerWidth + 0.5);
}).map(each => each.outerHTML.slice(0, 120))"""


def sections(page: Page) -> dict[str, Locator]:
    """The sections of the routes that there are, opened."""
    expect(page.locator("[data-route]").first).to_be_visible()
    named = {
        str(each.get_attribute("data-route")): each for each in page.locator("[data-route]").all()
    }
    for section in named.values():
        section.locator("summary").first.click()
    return named


def answered_ok(section: Locator, *, keep: bool = False) -> None:
    section.get_by_role("button", name="Send").click()
    expect(section.locator(".answer .good, .answer .bad")).to_have_text("200 OK")
    if not keep:
        section.locator(".answer").evaluate("answer => answer.replaceChildren()")


@pytest.mark.parametrize("reference", ["delay:1", "class"])
def test_every_request_works_as_it_is_shown(reference: str, page: Page, serving: "Serve") -> None:
    """Given the page: each route, with each of its examples, is answered with 200 at one click."""
    served = serving(reference)
    said = complaints(page)
    page.goto(f"{served.url}/docs")
    for section in sections(page).values():
        select = section.locator("select")
        if not select.count():
            answered_ok(section)
        for option in select.locator("option").all():
            select.select_option(str(option.get_attribute("value")))
            answered_ok(section)
    assert said == []


@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_a_phone_and_a_screen(width: int, page: Page, serving: "Serve") -> None:
    """Given a narrow or a wide window: nothing reaches beyond it, answers included."""
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{serving('class').url}/docs")
    named = sections(page)
    for route in ("GET /models/{name}", "POST /invocations"):
        answered_ok(named[route], keep=True)
    assert page.evaluate(TOO_WIDE) == []


def test_text_stays_text(page: Page, serving: "Serve") -> None:
    """Given markup in a model's name and in answers: it is shown, and nothing of it runs."""
    served = serving("line")

    def hostile(route: Route) -> None:
        made = route.fetch().json()
        made["info"]["title"] = made["info"]["description"] = HOSTILE
        made["paths"]["/models"]["get"]["summary"] = HOSTILE
        route.fulfill(body=json.dumps(made), content_type="application/json")

    def answer(route: Route) -> None:
        route.fulfill(status=400, body=json.dumps({"error": HOSTILE}), content_type="text/html")

    page.route("**/openapi.json", hostile)
    page.route("**/models", answer)
    said = complaints(page)
    page.goto(f"{served.url}/docs")
    section = sections(page)["GET /models"]
    section.get_by_role("button", name="Send").click()
    expect(section.locator(".answer pre").first).to_contain_text(HOSTILE)
    expect(page.locator("h1")).to_have_text(HOSTILE)
    assert page.locator("img").count() == 0
    assert [each for each in said if "400" not in each] == []


def test_a_key_is_sent_where_one_is_asked_for(
    page: Page, task_store: Path, streamscore: "CommandLine"
) -> None:
    """Given a service with API keys: the page asks for one, and sends it with each request."""
    key, kept = new_key()
    settings = {"STREAMSCORE_SERVING__API_KEYS": kept}
    with started(
        streamscore.start, task_store, "serve", "--model", "line", settings=settings
    ) as served:
        page.goto(f"{served.url}/docs")
        field = page.get_by_label("API key")
        expect(field).to_be_visible()
        field.fill(key)
        field.press("Enter")
        answered_ok(sections(page)["POST /predict"])
        field.fill("another")
        section = page.locator('[data-route="GET /models"]')
        section.get_by_role("button", name="Send").click()
        expect(section.locator(".answer .bad")).to_have_text("401 Unauthorized")


def test_the_page_runs_nothing_but_its_own(serving: "Serve") -> None:
    """Given the page: its policy lets nothing run or load that does not stand in it."""
    answer = serving("line").client.get("/docs")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "https://" not in answer.text


def test_the_front_leads_to_the_page(serving: "Serve") -> None:
    """Given a browser at /: it comes to the page."""
    answer = serving("line").client.get("/")
    assert (answer.status_code, answer.headers["location"]) == (307, "docs")
