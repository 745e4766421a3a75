"""A real browser, and the page as `apitracker serve` gives it, on stores made here."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, sync_playwright
from tests.web.serving import HOSTILE, Open, Theme, ingest, serving, settled

from apitracker.synthetic import trail as sample

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
HOW = f"no browser ({', '.join(BROWSERS)}): make browser installs one"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The browser of this machine."""
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        found = next(filter(None, map(shutil.which, (*BROWSERS, own))), None)
        if found is None:
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(HOW)
        started = playwright.chromium.launch(executable_path=found)
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """
    Open an address, in a window of *width*, and give the page once it has shown its figures.

    In the end: no page has written an error to its console, asked another origin for anything, or
    been answered with an error, but for 422, which says that a question is wrong.
    """
    faults: list[str] = []
    contexts = []

    def opened(url: str, *, width: int = 1280, theme: Theme = "light") -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=theme,
            reduced_motion="reduce",
            locale="en-GB",
            timezone_id="Europe/Berlin",
            permissions=["clipboard-read", "clipboard-write"],
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        origin = url.partition("?")[0].rstrip("/")

        def heard(message: ConsoleMessage) -> None:
            # The browser itself says this of every answer that is no success: see answered.
            own = message.text.startswith("Failed to load resource")
            if message.type in ("error", "warning") and not own:
                faults.append(f"{message.type}: {message.text}")

        def answered(response: Response) -> None:
            if response.status >= 400 and response.status != 422:
                faults.append(f"{response.status}: {response.url}")

        def asked(request: Request) -> None:
            if request.url != url and not request.url.startswith((f"{origin}/", "data:")):
                faults.append(f"asked for {request.url}")

        page.on("console", heard)
        page.on("pageerror", lambda e: faults.append(str(e)))
        page.on("request", asked)
        page.on("response", answered)
        page.goto(url)
        settled(page)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture(scope="session")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic trail, as ``apitracker sample`` writes it when nothing is said."""
    folder = tmp_path_factory.mktemp("trail")
    sample.write_trail(folder, broken=2)
    return folder


@pytest.fixture(scope="session")
def store(trail: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of the synthetic trail."""
    path = tmp_path_factory.mktemp("store") / "usage.duckdb"
    ingest(path, trail)
    return path


@pytest.fixture(scope="session")
def site(store: Path) -> Iterator[str]:
    """The address of the page on the synthetic trail."""
    with serving(store) as url:
        yield url


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the page on a store whose every name is hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    records = [
        {
            "eventVersion": "1.08",
            "eventTime": f"2026-10-01T12:{minute:02}:00Z",
            "eventName": text,
            "eventSource": text,
            "awsRegion": text,
            "recipientAccountId": text,
            "errorCode": text if minute % 2 else "ThrottlingException",
            "eventID": name,
            "eventType": "AwsApiCall",
            "userIdentity": {"type": "AssumedRole", "arn": text},
        }
        for minute, (name, text) in enumerate(HOSTILE.items())
    ]
    log = folder / "<img src=x onerror=alert(1)>.json"
    log.write_text(json.dumps({"Records": [*records, {"eventTime": "<b>never</b>"}, "\x1b[31m"]}))
    path = folder / "usage.duckdb"
    ingest(path, log)
    with serving(path) as url:
        yield url
