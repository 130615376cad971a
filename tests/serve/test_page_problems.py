"""What the page says when something goes wrong, and that it goes on after it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from serve.http import make_app
from serve.local_backend import LocalBackend
from serve.settings import ApiSettings
from tests.pipeline.search.small_collection import SmallCollection
from tests.serve.api_server import ApiServer
from tests.serve.browser import ids_shown, page_of, wait_until

QUERY_TOKEN = "q" * 32


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with page_of(browser) as page:
        yield page


def notice(page: Page) -> Any:
    return page.locator(".notice")


def test_no_picture(page: Page, api: ApiServer) -> None:
    page.goto(api.url)
    page.locator("#file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": b"no picture at all"})
    expect(notice(page)).to_contain_text("Not a kind of content that is read")
    expect(notice(page)).to_have_count(1)  # three questions went wrong for one reason
    page.get_by_role("button", name="Take away").click()
    page.locator(".choice button").first.click()
    wait_until(lambda: ids_shown(page) != [], page)
    expect(notice(page)).to_have_count(0)


def test_no_such_face(page: Page, api: ApiServer) -> None:
    page.goto(f"{api.url}/?face=nobody")
    expect(notice(page).first).to_contain_text("not in the index: nobody")


def test_a_filter_that_is_none(page: Page, api: ApiServer) -> None:
    page.goto(f"{api.url}/?face=face-07")
    wait_until(lambda: ids_shown(page) != [], page)
    where = page.get_by_label("Only faces where")
    where.fill("Male ! 1")
    where.press("Enter")
    expect(notice(page)).to_contain_text("Filter: a character that has no meaning here")
    expect(notice(page).get_by_role("button", name="Try again")).to_have_count(0)  # it would be wrong again
    expect(page.locator(".summary")).to_have_text("of the question before")
    where.fill("Male = 1")
    where.press("Enter")
    expect(page.locator(".summary")).to_contain_text("of 20 ")
    expect(notice(page)).to_have_count(0)


def test_a_link_to_what_is_not_here(page: Page, api: ApiServer) -> None:
    page.goto(f"{api.url}/?face=face-07&adjust=Wings:1")
    expect(notice(page).first).to_contain_text("Wings")
    page.get_by_role("button", name="Set all back").click()
    wait_until(lambda: ids_shown(page) != [], page)
    expect(notice(page)).to_have_count(0)


def test_the_picture_of_a_link_is_asked_for(page: Page, api: ApiServer) -> None:
    page.goto(f"{api.url}/?picture=me.png&adjust=Smiling:1")
    expect(notice(page)).to_contain_text("“me.png”, which stays with whoever has it")


def test_a_server_that_is_gone_and_comes_back(page: Page, api: ApiServer) -> None:
    page.goto(f"{api.url}/?face=face-07")
    wait_until(lambda: ids_shown(page) != [], page)
    page.route("**/v1/search", lambda route: route.abort())
    page.get_by_label("Smiling: how much it matters", exact=True).press("End")
    expect(notice(page)).to_contain_text("The server does not answer")
    page.unroute("**/v1/search")
    notice(page).get_by_role("button", name="Try again").click()
    expect(notice(page)).to_have_count(0)
    expect(page.locator(".summary")).to_contain_text("exact")


def test_a_busy_server_is_asked_again(page: Page, api: ApiServer) -> None:
    answers = iter([429, 503])

    def busy(route: Route) -> None:
        if (status := next(answers, None)) is None:
            return route.continue_()
        body = '{"title": "Too many questions at once", "detail": "later"}'
        headers = {"retry-after": "0", "content-type": "application/problem+json"}
        return route.fulfill(status=status, headers=headers, body=body)

    page.route("**/v1/search", busy)
    page.goto(f"{api.url}/?face=face-07")
    wait_until(lambda: ids_shown(page) != [], page)
    assert next(answers, None) is None
    expect(notice(page)).to_have_count(0)


def test_an_answer_without_a_shard_says_so(page: Page, api: ApiServer) -> None:
    def partly(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(
            response=answer, json={**answer.json(), "covered": 0.5, "exact": False, "recall": 0.9, "index_version": 9}
        )

    page.route("**/v1/search", partly)
    page.goto(f"{api.url}/?face=face-07")
    expect(page.locator(".summary")).to_contain_text("only 50 % of the collection answered")
    expect(page.locator(".summary")).to_contain_text("about 90 % found")
    expect(page.locator("#facts")).to_have_text("40 faces · model searchable · index 9")


def test_a_token_is_asked_for(browser: Browser, collection: SmallCollection, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"query {QUERY_TOKEN}\n")
    settings = ApiSettings(tokens=str(tokens))
    backend = LocalBackend(str(collection.index), str(collection.model), limits=settings.limits)
    with ApiServer(make_app(backend, settings), token=QUERY_TOKEN) as server, page_of(browser) as page:
        page.goto(f"{server.url}/?face=face-07")
        notice(page).get_by_role("button", name="Enter a token").click()
        page.get_by_label("Token").fill(QUERY_TOKEN)
        page.get_by_label("Token").press("Enter")
        wait_until(lambda: ids_shown(page) != [], page)
        expect(notice(page)).to_have_count(0)
        width = "image => image.naturalWidth"
        wait_until(lambda: page.locator(".hit img").first.evaluate(width) > 0, page)
