"""Draws the README's pictures of the page: ``python docs/page_pictures.py http://127.0.0.1:8000``, a server of
2,000 made-up faces. Needs Debian's Chromium."""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

PICTURES = Path(__file__).parent / "pictures"

FACE = "000035"
SEARCH = f"?face={FACE}&adjust=Smiling:1&adjust=Eyeglasses:1&prefer=Eyeglasses:30&prefer=Wearing_Hat:0"
EDIT = "?tab=edit&face=000002&edits=Black_Hair:2"

VIEWS = (
    ("page.png", SEARCH, (1280, 800), "light"),
    ("page_edit.png", EDIT, (1100, 900), "dark"),
    ("page_phone.png", SEARCH, (360, 900), "dark"),
)


def draw(browser: Browser, url: str, name: str, question: str, size: tuple[int, int], scheme: str) -> None:
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    page.goto(f"{url}/{question}")
    page.wait_for_load_state("networkidle")
    if "tab=edit" not in question:
        page.locator(".hit img").first.wait_for()
    page.wait_for_timeout(600)  # cards fade in
    page.screenshot(path=PICTURES / name)


def main(url: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        for view in VIEWS:
            draw(browser, url, *view)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
