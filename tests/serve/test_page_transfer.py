"""The page's tab for features of other faces, before a real server whose model transfers them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.pictures import picture_bytes
from tests.serve.api_server import ApiServer
from tests.serve.browser import ids_shown, page_of, wait_for_ids, wait_until
from tests.serve.featured import METHOD, USUAL

Pixels = np.ndarray[Any, Any]

FACE = {"id": "face-07"}
BEFORE, AFTER = "The face as the model draws it, unchanged", "The face with the features of others"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with page_of(browser) as page:
        yield page


def made(api: ApiServer, verb: str, **question: Any) -> Pixels:
    answer = api.client.post(f"/v1/{verb}", json=question)
    assert answer.status_code == 200, answer.text
    return np.array(Image.open(io.BytesIO(answer.content)))


def with_hair(api: ApiServer, id: str, strength: float = USUAL) -> Pixels:
    references = {"hair": {"id": id}}
    return made(api, "transfer", face=FACE, references=references, strengths={"hair": strength})


def shown(picture: Locator) -> Pixels:
    """What the page draws, uint8 [h,w,3]; nothing yet: no pixels."""
    height, drawn = picture.evaluate(
        """image => {
          if (!image.complete || !image.naturalWidth) return [0, []];
          const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight).getContext("2d");
          canvas.drawImage(image, 0, 0);
          return [image.naturalHeight, [...canvas.getImageData(0, 0, image.naturalWidth, image.naturalHeight).data]];
        }"""
    )
    return np.array(drawn, np.uint8).reshape(height, -1 if height else 0, 4)[..., :3]


def wait_for_picture(page: Page, name: str, pixels: Pixels) -> None:
    picture = page.get_by_role("img", name=name)
    wait_until(lambda: picture.is_visible() and np.array_equal(shown(picture), pixels), page)


def choose(page: Page, feature: str, place: int) -> str:
    """The id that was chosen."""
    page.get_by_role("button", name=f"{feature}: choose whose").click()
    face = page.locator("#collection .choice button").nth(place)
    id = (face.locator("img").get_attribute("alt") or "").removeprefix("Face ")
    face.click()
    return id


def test_the_tab_is_there_where_a_method_offers_it(page: Page, api: ApiServer, featured_api: ApiServer) -> None:
    page.goto(f"{api.url}/?face=face-07")
    expect(page.get_by_role("tab")).to_have_text(["Search", "Edit"])
    page.goto(f"{featured_api.url}/?face=face-07")
    expect(page.get_by_role("tab")).to_have_text(["Search", "Edit", "Transfer"])
    page.get_by_role("tab", name="Transfer").click()
    expect(page.get_by_role("button", name="choose whose")).to_have_count(4)


def test_features_are_chosen_weighed_and_given_back(page: Page, featured_api: ApiServer) -> None:
    own = made(featured_api, "edit", face=FACE, method=METHOD)
    page.goto(f"{featured_api.url}/?tab=transfer&face=face-07")
    wait_for_picture(page, BEFORE, own)
    wait_for_picture(page, AFTER, own)

    id = choose(page, "Hair", 3)
    changed = with_hair(featured_api, id)
    assert (changed != own).any()
    wait_for_picture(page, AFTER, changed)
    wait_for_picture(page, BEFORE, own)

    much = page.get_by_label(f"Hair of {id}: how much")
    expect(much).to_be_focused()
    much.press("Home")
    wait_for_picture(page, AFTER, own)
    much.press("End")
    wait_for_picture(page, AFTER, with_hair(featured_api, id, 2.0))

    other = choose(page, "Hair", 9)
    assert other != id
    wait_for_picture(page, AFTER, with_hair(featured_api, other, 2.0))
    page.get_by_role("button", name="Hair: keep its own").click()
    wait_for_picture(page, AFTER, own)


def test_the_address_says_what_is_taken_over(page: Page, featured_api: ApiServer) -> None:
    page.goto(f"{featured_api.url}/?tab=transfer&face=face-07")
    id = choose(page, "Hair", 3)
    page.get_by_label(f"Hair of {id}: how much").press("ArrowLeft")
    expected = with_hair(featured_api, id, 1.25)
    wait_for_picture(page, AFTER, expected)
    wait_until(lambda: "take=1.25" in page.url, page)
    page.reload()
    wait_for_picture(page, AFTER, expected)


def test_features_of_a_picture_of_ones_own(page: Page, featured_api: ApiServer) -> None:
    """For a face that is one, too."""
    mine, hers = picture_bytes(5, "PNG"), picture_bytes(8, "PNG")
    page.goto(f"{featured_api.url}/?tab=transfer")
    page.locator("#file").set_input_files({"name": "me.png", "mimeType": "image/png", "buffer": mine})
    page.get_by_role("button", name="Hair: choose whose").click()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="A picture of your own").click()
    chooser.value.set_files({"name": "her.png", "mimeType": "image/png", "buffer": hers})
    expect(page.get_by_label("Hair of her.png: how much")).to_be_focused()
    question = {"face": {"upload": "a"}, "references": {"hair": {"upload": "b"}}}
    form = {"query": json.dumps(question)}
    answer = featured_api.client.post("/v1/transfer", data=form, files={"a": mine, "b": hers})
    wait_for_picture(page, AFTER, np.array(Image.open(io.BytesIO(answer.content))))
    assert "her.png" not in page.url


def test_a_hit_s_feature_is_taken_with_keys(page: Page, api: ApiServer, featured_api: ApiServer) -> None:
    page.goto(f"{featured_api.url}/?face=face-07")
    wait_until(lambda: ids_shown(page) != [], page)
    first, second = ids_shown(page)[:2]
    for id, feature in ((first, "Hair"), (second, "Pose")):
        page.get_by_label(f"Take this face’s … ({id})").press("Enter")
        button = page.get_by_role("button", name=f"Take the {feature.lower()} of {id}")
        expect(button).to_be_visible()
        button.press("Enter")
        expect(page.get_by_role("tab", name="Transfer")).to_have_attribute("aria-selected", "true")
        expect(page.get_by_label(f"{feature} of {id}: how much")).to_be_visible()
        expect(page.locator("#stage")).to_be_focused()
        page.get_by_role("tab", name="Search").click()
    page.get_by_role("tab", name="Transfer").click()
    references = {"hair": {"id": first}, "pose": {"id": second}}
    wait_for_picture(page, AFTER, made(featured_api, "transfer", face=FACE, references=references))
    page.goto(f"{api.url}/?face=face-07")
    wait_until(lambda: ids_shown(page) != [], page)
    expect(page.get_by_text("Take its …")).to_have_count(0)


def test_a_menu_stays_open_when_its_face_is_found_again(page: Page, featured_api: ApiServer) -> None:
    page.goto(f"{featured_api.url}/?face=face-07")
    wait_until(lambda: ids_shown(page) != [], page)
    first = ids_shown(page)[0]
    asked: list[Route] = []
    page.route("**/v1/search", lambda route: asked.append(route))
    for tab in ("Transfer", "Search"):  # asks once more
        page.get_by_role("tab", name=tab).click()
    wait_until(lambda: bool(asked), page)
    page.get_by_label(f"Take this face’s … ({first})").press("Enter")
    take = page.get_by_role("button", name=f"Take the hair of {first}")
    take.focus()
    before = take.element_handle()
    asked[0].continue_()
    wait_until(lambda: not before.evaluate("button => button.isConnected"), page)
    expect(take).to_be_focused()
    expect(page.locator("details.like[open]")).to_have_count(1)


def test_the_face_is_downloaded(page: Page, featured_api: ApiServer) -> None:
    page.goto(f"{featured_api.url}/?tab=transfer&face=face-07&take=0.5:hair:face-08")
    expected = with_hair(featured_api, "face-08", 0.5)
    wait_for_picture(page, AFTER, expected)
    with page.expect_download() as started:
        page.get_by_role("button", name="Download").click()
    assert started.value.suggested_filename == "face-07_changed.png"
    np.testing.assert_array_equal(np.array(Image.open(started.value.path())), expected)


def test_a_feature_that_is_not_there_is_told_and_can_be_taken_away(page: Page, featured_api: ApiServer) -> None:
    page.goto(f"{featured_api.url}/?tab=transfer&face=face-07&take=1:ears:face-08")
    expect(page.locator(".notice")).to_contain_text("unknown feature 'ears'", ignore_case=True)
    page.get_by_role("button", name="Ears: keep its own").click()
    expect(page.locator(".notice")).to_have_count(0)


def test_faces_are_found_by_one_feature(page: Page, featured_api: ApiServer) -> None:
    page.goto(f"{featured_api.url}/?face=face-07")
    wait_until(lambda: ids_shown(page) != [], page)
    first = ids_shown(page)[0]
    page.locator(".hit summary").first.click()
    page.get_by_role("button", name=f"Also like the hair of {first}").click()
    like = [{"space": f"{METHOD}.hair", "face": {"id": first}}]
    found = featured_api.client.post("/v1/search", json={"face": FACE, "like": like, "k": 24}).json()["hits"]
    wait_for_ids(page, [hit["id"] for hit in found])
    expect(page.locator(".hit").last).to_contain_text("hair of the other face")


def test_a_space_without_attributes_offers_no_sliders(page: Page, featured_api: ApiServer) -> None:
    page.goto(f"{featured_api.url}/?face=face-07")
    sliders = page.get_by_label("Smiling: look for", exact=True)
    expect(sliders).to_be_visible()
    page.get_by_label("Compare by").select_option(f"{METHOD}.hair")
    found = featured_api.client.post("/v1/search", json={"face": FACE, "space": "hair", "k": 24}).json()["hits"]
    wait_for_ids(page, [hit["id"] for hit in found])
    expect(page.get_by_label("Find an attribute").first).to_be_hidden()
