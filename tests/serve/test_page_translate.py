"""The page's tab for other domains, before a real server whose model translates."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.pictures import picture_bytes
from tests.serve.api_server import ApiServer
from tests.serve.browser import page_of, wait_until
from tests.serve.test_page_transfer import Pixels, made, wait_for_picture
from tests.serve.translated import METHOD, UNJUDGED

pytestmark = UNJUDGED

FACE = {"id": "face-07"}
DOMAIN = "Smiling, not Male"
BEFORE, AFTER = "The face as the model draws it, untranslated", "The translated face"
TAB = "?tab=translate&face=face-07"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with page_of(browser) as page:
        yield page


def own(api: ApiServer) -> Pixels:
    return made(api, "edit", face=FACE, method=METHOD)


def choose_style(page: Page, button: str, place: int) -> str:
    """The id of the face that was chosen."""
    page.get_by_role("button", name=button).click()
    face = page.locator("#collection .choice button").nth(place)
    id = (face.locator("img").get_attribute("alt") or "").removeprefix("Face ")
    face.click()
    return id


def test_the_tab_is_there_where_a_method_offers_it(
    page: Page, featured_api: ApiServer, translating_api: ApiServer
) -> None:
    page.goto(f"{featured_api.url}/?face=face-07")
    expect(page.get_by_role("tab")).to_have_text(["Search", "Edit", "Transfer"])
    page.goto(f"{translating_api.url}/?face=face-07")
    expect(page.get_by_role("tab")).to_have_text(["Search", "Edit", "Transfer", "Translate"])
    page.get_by_role("tab", name="Translate").click()
    expect(page.get_by_label("What the face becomes")).to_have_value("")
    expect(page.get_by_role("button", name="Of another face")).to_be_hidden()


def test_a_domain_and_a_style_are_chosen_and_given_back(page: Page, translating_api: ApiServer) -> None:
    page.goto(f"{translating_api.url}/{TAB}")
    wait_for_picture(page, BEFORE, own(translating_api))
    wait_for_picture(page, AFTER, own(translating_api))

    page.get_by_label("What the face becomes").select_option("Smiling, not male")
    by_label = made(translating_api, "translate", face=FACE, domain=DOMAIN)
    wait_for_picture(page, AFTER, by_label)
    wait_for_picture(page, BEFORE, own(translating_api))

    id = choose_style(page, "Of another face", 3)
    expect(page.get_by_role("button", name="Another style")).to_be_focused()
    like = made(translating_api, "translate", face=FACE, domain=DOMAIN, reference={"id": id})
    assert (like != by_label).any()
    wait_for_picture(page, AFTER, like)
    other = choose_style(page, "Another style", 9)
    wait_for_picture(page, AFTER, made(translating_api, "translate", face=FACE, domain=DOMAIN, reference={"id": other}))
    wait_until(lambda: f"style=face%3A{other}" in page.url, page)
    page.reload()
    expect(page.get_by_label("What the face becomes")).to_have_value(DOMAIN)
    page.get_by_role("button", name="The label’s style").click()
    wait_for_picture(page, AFTER, by_label)
    page.get_by_label("What the face becomes").select_option("as it is")
    wait_for_picture(page, AFTER, own(translating_api))


def test_styles_are_drawn_only_where_the_method_draws_them(
    page: Page, translating_api: ApiServer, sampling_api: ApiServer
) -> None:
    page.goto(f"{translating_api.url}/{TAB}&domain=Smiling,+not+Male")
    expect(page.get_by_role("button", name="Of another face")).to_be_visible()
    expect(page.get_by_role("button", name="Draw one")).to_have_count(0)

    page.goto(f"{sampling_api.url}/{TAB}&domain=Smiling,+not+Male")
    page.get_by_role("button", name="Draw one").click()
    expect(page.get_by_role("button", name="Another style")).to_be_focused()
    wait_until(lambda: "style=seed" in page.url, page)
    seed = int(page.url.rpartition("style=seed%3A")[2])
    expect(page.get_by_text(f"drawn by {seed}", exact=True)).to_be_visible()
    wait_for_picture(page, AFTER, made(sampling_api, "translate", face=FACE, domain=DOMAIN, seed=seed))
    page.keyboard.press("Enter")
    expect(page.get_by_text(f"drawn by {seed}", exact=True)).to_be_hidden()


def test_the_style_of_a_picture_of_ones_own(page: Page, translating_api: ApiServer) -> None:
    """For a face that is one, too; and the file is downloaded."""
    mine, hers = picture_bytes(5, "PNG"), picture_bytes(8, "PNG")
    page.goto(f"{translating_api.url}/?tab=translate&domain=Smiling,+not+Male")
    page.locator("#file").set_input_files({"name": "me.png", "mimeType": "image/png", "buffer": mine})
    page.get_by_role("button", name="Of another face").click()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="A picture of your own").click()
    chooser.value.set_files({"name": "her.png", "mimeType": "image/png", "buffer": hers})
    expect(page.get_by_text("of her.png")).to_be_visible()
    form = {"query": json.dumps({"face": {"upload": "a"}, "domain": DOMAIN, "reference": {"upload": "b"}})}
    answer = translating_api.client.post("/v1/translate", data=form, files={"a": mine, "b": hers})
    expected = np.array(Image.open(io.BytesIO(answer.content)))
    wait_for_picture(page, AFTER, expected)
    assert "her.png" not in page.url
    with page.expect_download() as started:
        page.get_by_role("button", name="Download").click()
    assert started.value.suggested_filename == "me_png_translated.png"
    np.testing.assert_array_equal(np.array(Image.open(started.value.path())), expected)


def test_a_domain_that_is_not_there_is_told_and_can_be_changed(page: Page, translating_api: ApiServer) -> None:
    page.goto(f"{translating_api.url}/{TAB}&domain=Old")
    expect(page.locator(".notice")).to_contain_text("'Old' is not a domain of this model")
    page.get_by_label("What the face becomes").select_option("Smiling, male")
    expect(page.locator(".notice")).to_have_count(0)


def test_edits_are_those_of_the_search_s_method_until_another_is_chosen(page: Page, translating_api: ApiServer) -> None:
    page.goto(f"{translating_api.url}/?tab=edit&face=face-07")
    expect(page.get_by_label("Method")).to_have_value("sparse_directions")
    page.get_by_label("Method").select_option("l2m gan")
    wait_for_picture(page, "The face as the model draws it, unedited", own(translating_api))
    page.get_by_label("Male: strength of the edit", exact=True).press("End")
    wait_for_picture(
        page, "The edited face", made(translating_api, "edit", face=FACE, method=METHOD, edits={"Male": 3})
    )
