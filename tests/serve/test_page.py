"""The page in a real browser, before a real server; what it shows is held against what the API answers."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect

from tests.pictures import picture_bytes
from tests.pipeline.search.small_collection import ATTRIBUTES, FACES, SmallCollection
from tests.serve.api_server import ApiServer
from tests.serve.browser import ids_shown, page_of, wait_for_ids, wait_until

HITS_A_PAGE = 24


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with page_of(browser) as page:
        yield page


def ask(api: ApiServer, **question: Any) -> list[str]:
    answer = api.client.post("/v1/search", json={"k": HITS_A_PAGE, **question})
    assert answer.status_code == 200, answer.text
    return [hit["id"] for hit in answer.json()["hits"]]


def edited(api: ApiServer, **question: Any) -> np.ndarray[Any, Any]:
    answer = api.client.post("/v1/edit", json=question)
    assert answer.status_code == 200, answer.text
    return np.array(Image.open(io.BytesIO(answer.content)))


def test_a_face_of_the_collection_is_chosen_and_found_again(page: Page, api: ApiServer) -> None:
    page.goto(api.url)
    page.locator(".choice button").nth(4).click()
    id = page.locator("#face-name").inner_text()
    wait_for_ids(page, ask(api, face={"id": id}))
    assert id not in ids_shown(page)
    expect(page.locator(".summary")).to_contain_text("exact")


def test_a_picture_is_uploaded(page: Page, api: ApiServer) -> None:
    content = picture_bytes(5, "PNG")
    form = {"query": (None, json.dumps({"face": {"upload": "a"}, "k": HITS_A_PAGE})), "a": ("me.png", content)}
    expected = [hit["id"] for hit in api.client.post("/v1/search", files=form).json()["hits"]]
    page.goto(api.url)
    page.locator("#file").set_input_files({"name": "me.png", "mimeType": "image/png", "buffer": content})
    wait_for_ids(page, expected)
    assert expected[0] == "face-05"
    expect(page.locator("#face-name")).to_have_text("me.png")
    expect(page.locator("#preview-picture")).to_be_visible()


def test_a_picture_that_is_chosen_before_the_page_has_started_is_taken(page: Page, api: ApiServer) -> None:
    held: list[Route] = []
    page.route("**/v1/methods", lambda route: held.append(route))
    page.goto(api.url)
    page.locator("#file").set_input_files({"name": "me.png", "mimeType": "image/png", "buffer": picture_bytes(5)})
    wait_until(lambda: len(held) == 1, page)
    held[0].continue_()
    wait_until(lambda: ids_shown(page)[:1] == ["face-05"], page)


def test_a_picture_is_dropped_anywhere(page: Page, api: ApiServer) -> None:
    page.goto(api.url)
    page.locator(".choice img").first.wait_for()
    held = page.evaluate_handle(
        """bytes => {
          const held = new DataTransfer();
          held.items.add(new File([new Uint8Array(bytes)], "me.png", { type: "image/png" }));
          return held;
        }""",
        list(picture_bytes(5, "PNG")),
    )
    page.locator("#stage").dispatch_event("drop", {"dataTransfer": held})
    wait_until(lambda: ids_shown(page)[:1] == ["face-05"], page)


def test_sliders_change_what_is_found_and_drawn(page: Page, api: ApiServer) -> None:
    face = {"id": "face-07"}
    plain, adjusted, heavy, ignored = (
        ask(api, face=face),
        ask(api, face=face, adjust={"Smiling": 1.0}),
        ask(api, face=face, adjust={"Smiling": 1.0}, prefer={"Smiling": 1000}),
        ask(api, face=face, adjust={"Smiling": 1.0}, prefer={"Smiling": 0}),
    )
    assert len({tuple(ids) for ids in (plain, adjusted, heavy, ignored)}) == 4
    page.goto(f"{api.url}/?face=face-07")
    wait_for_ids(page, plain)
    expect(page.locator("#preview-words")).to_have_text("as the model sees it")
    page.get_by_label("Smiling: look for", exact=True).press("End")
    wait_for_ids(page, adjusted)
    expect(page.locator("#preview-words")).to_have_text("what is looked for")
    matters = page.get_by_label("Smiling: how much it matters", exact=True)
    matters.press("End")
    wait_for_ids(page, heavy)
    matters.press("Home")
    wait_for_ids(page, ignored)
    expect(page.locator(".attribute", has_text="Smiling").first).to_contain_text("do not care")
    page.get_by_role("button", name="Smiling: do not care; set back").click()
    wait_for_ids(page, adjusted)
    page.get_by_role("button", name="Set all back").click()
    wait_for_ids(page, plain)


def test_the_preview_is_the_face_that_is_looked_for(page: Page, api: ApiServer) -> None:
    page.goto(f"{api.url}/?face=face-07&adjust=Smiling:1")
    preview = page.locator("#preview-picture")
    expect(page.locator("#preview-words")).to_have_text("what is looked for")
    wait_until(lambda: bool(preview.evaluate("image => image.complete && image.naturalWidth > 0")), page)
    drawn = preview.evaluate(
        """image => {
          const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight).getContext("2d");
          canvas.drawImage(image, 0, 0);
          return [...canvas.getImageData(0, 0, image.naturalWidth, image.naturalHeight).data];
        }"""
    )
    expected = edited(api, face={"id": "face-07"}, adjust={"Smiling": 1.0})
    np.testing.assert_array_equal(np.array(drawn, np.uint8).reshape(*expected.shape[:2], 4)[..., :3], expected)


def test_a_slider_rests_where_the_face_is(page: Page, api: ApiServer) -> None:
    intensities = api.client.post("/v1/encode", json={"face": {"id": "face-07"}}).json()["intensities"]
    page.goto(f"{api.url}/?face=face-07")
    for name, own in intensities["sparse_directions"].items():
        slider = page.get_by_label(f"{name.replace('_', ' ').capitalize()}: look for", exact=True)
        expect(slider).to_have_value(str(round(100 * min(max(own, 0), 1))))


def test_like_this_face(page: Page, api: ApiServer) -> None:
    face = {"id": "face-07"}
    page.goto(f"{api.url}/?face=face-07")
    expected = ask(api, face=face)
    wait_for_ids(page, expected)
    other = expected[3]
    page.locator(f"[data-id={other}] summary").click()
    page.get_by_label(f"Also like the attributes of {other}").click()
    wait_for_ids(page, ask(api, face=face, like=[{"space": ATTRIBUTES, "face": {"id": other}}]))
    page.get_by_label(f"How much attributes of {other} matters").press("End")
    wait_for_ids(page, ask(api, face=face, like=[{"space": ATTRIBUTES, "face": {"id": other}, "weight": 8}]))


def test_a_hit_becomes_the_face(page: Page, api: ApiServer) -> None:
    page.goto(f"{api.url}/?face=face-07")
    other = ask(api, face={"id": "face-07"})[2]
    page.get_by_label(f"Look for faces like {other}").click()
    wait_for_ids(page, ask(api, face={"id": other}))
    page.go_back()
    wait_for_ids(page, ask(api, face={"id": "face-07"}))


def test_the_reasons_of_a_hit_sum_to_its_distance(page: Page, api: ApiServer) -> None:
    page.goto(f"{api.url}/?face=face-07&prefer=Smiling:10")
    page.locator(".hit .face-button").first.click()
    rows = page.locator("#details tbody tr")
    expect(rows.first).to_contain_text("Smiling")
    parts = [float(text.replace(",", "")) for text in rows.locator("td:nth-of-type(1)").all_inner_texts()]
    distance = api.client.post(
        "/v1/search", json={"face": {"id": "face-07"}, "prefer": {"Smiling": 10}, "k": 1}
    ).json()["hits"][0]["distance"]
    assert sum(parts) == pytest.approx(distance, rel=0.01)


def test_all_pages_are_all_faces(page: Page, api: ApiServer) -> None:
    page.goto(f"{api.url}/?face=face-07")
    page.get_by_role("button", name="More faces").click()
    wait_until(lambda: len(ids_shown(page)) == FACES - 1, page)
    assert ids_shown(page) == ask(api, face={"id": "face-07"}, k=FACES)
    expect(page.get_by_role("button", name="More faces")).to_be_hidden()


def test_an_edited_face_is_downloaded(page: Page, api: ApiServer) -> None:
    page.goto(f"{api.url}/?tab=edit&face=face-07")
    page.get_by_label("Smiling: strength of the edit", exact=True).press("End")
    expect(page.get_by_role("img", name="The edited face")).to_be_visible()
    with page.expect_download() as started:
        page.get_by_role("button", name="Download").click()
    assert started.value.suggested_filename == "face-07_edited.png"
    kept = np.array(Image.open(started.value.path()))
    np.testing.assert_array_equal(kept, edited(api, face={"id": "face-07"}, edits={"Smiling": 3.0}))
    assert (kept != edited(api, face={"id": "face-07"})).any()


def test_an_address_is_the_whole_query(page: Page, api: ApiServer, browser: Browser) -> None:
    page.goto(f"{api.url}/?face=face-07")
    page.get_by_label("Smiling: look for", exact=True).press("End")
    page.get_by_label("Eyeglasses: how much it matters", exact=True).press("Home")
    page.get_by_label("Only faces where").fill("Male = 1")
    page.get_by_label("Only faces where").press("Enter")
    page.get_by_label("Compare by").select_option(ATTRIBUTES)
    expected = ask(
        api,
        face={"id": "face-07"},
        space=ATTRIBUTES,
        adjust={"Smiling": 1.0},
        prefer={"Eyeglasses": 0},
        where="Male = 1",
    )
    wait_for_ids(page, expected)
    wait_until(lambda: "space=" in page.url, page)
    with page_of(browser) as other:
        other.goto(page.url)
        wait_for_ids(other, expected)
        expect(other.get_by_label("Smiling: look for", exact=True)).to_have_value("100")
        expect(other.get_by_label("Only faces where")).to_have_value("Male = 1")


def test_only_labels_of_the_collection_are_offered(page: Page, api: ApiServer, collection: SmallCollection) -> None:
    page.goto(f"{api.url}/?face=face-07")
    page.get_by_label("One picture of each person").check()
    expected = ask(api, face={"id": "face-07"}, most_per_identity=1)
    wait_for_ids(page, expected)
    assert len(expected) < FACES - 1
    offered = page.locator("#labels option").evaluate_all("options => options.map(option => option.value)")
    assert offered == [f"{name} = " for name in ("Male", "age", "hair", "identity")]


def test_nothing_is_asked_of_others(page: Page, api: ApiServer) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{api.url}/?face=face-07")
    wait_until(lambda: ids_shown(page) != [], page)
    assert len(asked) > HITS_A_PAGE
    assert [url for url in asked if not url.startswith((f"{api.url}/", f"blob:{api.url}/"))] == []


def test_modules_of_two_versions_are_not_mixed(api: ApiServer) -> None:
    first = api.client.get("/js/app.js")
    assert first.headers["cache-control"] == "no-cache"
    assert api.client.get("/js/app.js", headers={"If-None-Match": first.headers["etag"]}).status_code == 304
