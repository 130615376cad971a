"""The page for everybody: axe, keys alone, the width of a phone, dark, without movement."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from axe_core_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.serve.api_server import ApiServer
from tests.serve.browser import NARROW, WIDE, ids_shown, page_of, wait_until
from tests.serve.translated import UNJUDGED

pytestmark = UNJUDGED

LIKE = "like=2:retrieve_in_style.hair:face-03&in_full=1"
QUESTION = f"?face=face-07&adjust=Smiling:1&prefer=Eyeglasses:0&{LIKE}&where=age+>+45"  # few hits: axe takes its time


def start(page: Page) -> None:
    page.locator(".choice img:visible").last.wait_for()


def results(page: Page) -> None:
    wait_until(lambda: ids_shown(page) != [], page)
    closed = page.locator(".foldable:not([open]) > summary:visible")
    while closed.count():
        closed.first.click()
    page.locator(".like summary").first.click()


def one_hit(page: Page) -> None:
    page.locator(".hit .face-button").first.click()
    page.locator("#details summary").click()


def other_faces(page: Page) -> None:
    page.get_by_role("button", name="From the collection").click()


def edit(page: Page) -> None:
    expect(page.get_by_role("img", name="The edited face")).to_be_visible()


def transfer(page: Page) -> None:
    expect(page.get_by_role("img", name="The face with the features of others")).to_be_visible()
    page.locator(".likes:visible img").wait_for()


def translate(page: Page) -> None:
    expect(page.get_by_role("img", name="The translated face")).to_be_visible()
    page.locator(".likes:visible img").wait_for()


def old_answer(page: Page) -> None:
    results(page)
    where = page.get_by_label("Only faces where")
    where.fill("nothing")
    where.press("Enter")
    page.locator(".notice").wait_for()


VIEWS: Mapping[str, tuple[str, Callable[[Page], None]]] = {
    "start": ("", start),
    "results": (QUESTION, results),
    "one hit": (QUESTION, one_hit),
    "other faces": (QUESTION, other_faces),
    "edit": ("?tab=edit&face=face-07&edits=Smiling:1", edit),
    "transfer": ("?tab=transfer&face=face-07&take=1:hair:face-08", transfer),
    "translate": ("?tab=translate&face=face-07&domain=Smiling,+not+Male&style=face:face-08", translate),
    "old answer": (QUESTION, old_answer),
}


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with page_of(browser) as page:
        yield page


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (WIDE, "dark"), (NARROW, "light")])
def test_axe_finds_no_serious_fault(
    browser: Browser, translating_api: ApiServer, size: tuple[int, int], scheme: str
) -> None:
    # Cards that fade in have another contrast on the way.
    with page_of(browser, size, color_scheme=scheme, reduced_motion="reduce") as page:
        for view, (question, reach) in VIEWS.items():
            page.goto(f"{translating_api.url}/{question}")
            reach(page)
            found = Axe().run(page)
            assert len(found["passes"]) > 10, view
            assert "color-contrast" in {rule["id"] for rule in found["passes"]}
            assert faults_of(found) == [], view


def faults_of(found: dict[str, Any]) -> list[tuple[str, str]]:
    faults = [rule for rule in found["violations"] if rule["impact"] in ("serious", "critical")]
    return [(rule["id"], node["html"][:200]) for rule in faults for node in rule["nodes"][:3]]


def test_axe_would_find_a_fault(page: Page, api: ApiServer) -> None:
    page.goto(api.url)
    start(page)
    page.locator(".choice img").first.evaluate("image => image.removeAttribute('alt')")
    assert [rule for rule, _ in faults_of(Axe().run(page))] == ["button-name", "image-alt"]


def test_keys_alone(page: Page, api: ApiServer) -> None:
    """From the start to an edited face, with Tab, arrows, Enter and Delete; what has the focus is seen to have it."""
    page.goto(api.url)
    start(page)
    press_until(page, "Tab", ".choice button")
    page.keyboard.press("Enter")
    wait_until(lambda: ids_shown(page) != [], page)
    before = ids_shown(page)

    press_until(page, "Shift+Tab", "[aria-label='Smiling: how much it matters']")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    wait_until(lambda: ids_shown(page) != before, page)
    page.keyboard.press("Delete")
    wait_until(lambda: ids_shown(page) == before, page)

    press_until(page, "Tab", ".hit .face-button")
    page.keyboard.press("Enter")
    expect(page.locator("#details")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#details")).to_be_hidden()
    assert has_focus(page, ".hit .face-button")

    press_until(page, "Shift+Tab", "[role=tab]")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Edit")).to_have_attribute("aria-selected", "true")
    press_until(page, "Tab", "[aria-label='Smiling: strength of the edit']")
    page.keyboard.press("End")
    expect(page.locator(".attribute:visible", has_text="Smiling")).to_contain_text("+3.0")


def press_until(page: Page, key: str, selector: str) -> None:
    for _ in range(60):
        page.keyboard.press(key)
        assert has_focus(page, ":focus-visible")
        if has_focus(page, selector):
            return
    raise AssertionError(f"{key} does not reach {selector}")


def has_focus(page: Page, selector: str) -> bool:
    return bool(page.evaluate("selector => document.activeElement.matches(selector)", selector))


def test_the_focus_stays_where_it_was_when_hits_change(page: Page, api: ApiServer) -> None:
    page.goto(f"{api.url}/?face=face-07")
    wait_until(lambda: ids_shown(page) != [], page)
    before = ids_shown(page)
    page.locator(".hit summary").first.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    wait_until(lambda: ids_shown(page) != before, page)
    assert has_focus(page, f"[data-id='{before[0]}'] summary" if before[0] in ids_shown(page) else ".face-button")


@pytest.mark.parametrize("view", ["start", "results", "edit", "transfer", "translate", "old answer"])
def test_a_phone_need_not_scroll_sideways(browser: Browser, translating_api: ApiServer, view: str) -> None:
    question, reach = VIEWS[view]
    with page_of(browser, NARROW) as page:
        page.goto(f"{translating_api.url}/{question}")
        reach(page)
        assert page.evaluate("document.documentElement.scrollWidth") == NARROW[0]


@pytest.mark.parametrize(("motion", "moves"), [("reduce", False), ("no-preference", True)])
def test_faces_glide_only_where_movement_is_welcome(browser: Browser, api: ApiServer, motion: Any, moves: bool) -> None:
    with page_of(browser, reduced_motion=motion) as page:
        page.add_init_script(
            "window.moved = 0; const animate = Element.prototype.animate;"
            "Element.prototype.animate = function (...all) { window.moved += 1; return animate.apply(this, all); };"
        )
        page.goto(f"{api.url}/?face=face-07")
        wait_until(lambda: ids_shown(page) != [], page)
        assert (page.evaluate("window.moved") > 0) == moves


def test_colours_are_the_systems_until_chosen(browser: Browser, api: ApiServer) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    with page_of(browser, color_scheme="dark") as page:
        page.goto(api.url)
        dark = page.evaluate(ground)
        page.get_by_role("button", name="Colours: As the system").click()
        light = page.evaluate(ground)
        assert light != dark
        page.reload()
        expect(page.get_by_role("button", name="Colours: Light")).to_be_visible()
        assert page.evaluate(ground) == light
