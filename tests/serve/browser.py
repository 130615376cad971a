"""Debian's Chromium with the page in it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

WAIT_S = 10.0
"""Until the page shows what it should; then the test fails."""

WIDE, NARROW = (1280, 800), (360, 740)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Skips where there is none."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable)
        yield browser
        browser.close()


@contextmanager
def page_of(browser: Browser, size: tuple[int, int] = WIDE, **options: Any) -> Iterator[Page]:
    """A page of its own; none of its scripts may fail, nor may its policy refuse anything.

    ``options``: of ``Browser.new_context``.
    """
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
    context.set_default_timeout(WAIT_S * 1000)
    page, faults = context.new_page(), list[str]()

    def note(message: ConsoleMessage) -> None:
        # That an answer is an error is what some tests are about.
        if message.type == "error" and "Failed to load resource" not in message.text:
            faults.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page
    context.close()
    assert not faults


def ids_shown(page: Page) -> list[str]:
    """The hits, in their order."""
    return [str(id) for id in page.locator(".hit").evaluate_all("hits => hits.map(hit => hit.dataset.id)")]


def wait_until(holds: Callable[[], bool], page: Page) -> None:
    """Raises:
    AssertionError: it does not hold in time.
    """
    end = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < end, page.locator("body").inner_text()[:2000]
        page.wait_for_timeout(20)


def wait_for_ids(page: Page, ids: list[str]) -> None:
    """Until exactly these hits are shown, in this order."""
    wait_until(lambda: ids_shown(page) == ids, page)
