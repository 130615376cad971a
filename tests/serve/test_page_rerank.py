"""The page's choice to compare the first hits again in full, before real servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.serve.api_server import ApiServer
from tests.serve.browser import page_of, wait_for_ids
from tests.serve.test_page import HITS_A_PAGE, ask

FIRST = 2 * HITS_A_PAGE
HAIR = "retrieve_in_style.hair"
WORDS = f"Compare the first {FIRST} again in full"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with page_of(browser) as page:
        yield page


def test_hits_are_reranked_and_the_answer_says_so(page: Page, featured_api: ApiServer) -> None:
    face = {"id": "face-07"}
    stored, whole = (ask(featured_api, face=face, space=HAIR, rerank=rerank) for rerank in (0, FIRST))
    assert stored != whole
    page.goto(f"{featured_api.url}/?face=face-07&space={HAIR}")
    wait_for_ids(page, stored)
    expect(page.locator(".summary")).to_contain_text("exact")

    page.get_by_label(WORDS).check()
    wait_for_ids(page, whole)
    expect(page.locator(".summary .badge")).to_have_text(f"first {FIRST} compared in full")
    page.get_by_role("button", name="More faces").click()
    second = ask(featured_api, face=face, space=HAIR, rerank=FIRST, page=2)
    wait_for_ids(page, [*whole, *second])

    page.wait_for_url("**in_full=1**")
    page.reload()
    wait_for_ids(page, whole)
    expect(page.get_by_label(WORDS)).to_be_checked()
    page.get_by_label(WORDS).uncheck()
    wait_for_ids(page, stored)


def test_it_is_offered_where_a_space_that_is_searched_can(page: Page, api: ApiServer, featured_api: ApiServer) -> None:
    full = page.get_by_label("again in full")
    page.goto(f"{api.url}/?face=face-07")
    expect(page.get_by_label("Compare by")).to_be_visible()
    expect(full).to_be_hidden()

    page.goto(f"{featured_api.url}/?face=face-07&in_full=1")
    wait_for_ids(page, ask(featured_api, face={"id": "face-07"}))
    expect(full).to_be_hidden()
    page.get_by_label("Compare by").select_option(HAIR)
    wait_for_ids(page, ask(featured_api, face={"id": "face-07"}, space=HAIR, rerank=FIRST))


def test_with_several_faces_it_is_as_many_as_the_server_allows(page: Page, featured_api: ApiServer) -> None:
    others = [{"space": HAIR, "face": {"id": f"face-{i:02d}"}} for i in (1, 2, 3)]
    like = "".join(f"&like=1:{HAIR}:face-{i:02d}" for i in (1, 2, 3))
    page.goto(f"{featured_api.url}/?face=face-07&space={HAIR}&in_full=1{like}")
    expect(page.get_by_label("Compare the first 25 again in full")).to_be_checked()
    wait_for_ids(page, ask(featured_api, face={"id": "face-07"}, space=HAIR, like=others, rerank=25))
