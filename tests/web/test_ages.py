"""Times that are ages: they go on with the clock, on the page as on the command line."""

from datetime import UTC, datetime, tzinfo
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect
from tests.stores import add_counts
from tests.web.serving import Open, figure, serving_here

from apitracker.core.model import Key
from apitracker.page import views
from apitracker.page.app import make_app
from apitracker.store.database import Store

NOW = 1_790_848_860  # 2026-10-01T10:01Z


def set_clock(monkeypatch: pytest.MonkeyPatch, second: int) -> None:
    """Make it *second* for the server."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Clock":
            return cls.fromtimestamp(second, tz)

    monkeypatch.setattr(views, "datetime", Clock)


def urlpath(address: str) -> str:
    """The path of an address."""
    return urlsplit(address).path


def test_an_age_goes_on_with_the_clock(
    open_page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last two minutes are asked for again each minute, and when they are come back to."""
    store = Store(tmp_path / "usage.duckdb")
    add_counts(store, "log", {Key(NOW - 100, "Get", "s3"): 8, Key(NOW - 20, "Get", "s3"): 4})
    set_clock(monkeypatch, NOW)
    with serving_here(make_app(store.path)) as url:
        page = open_page(f"{url}?since=2m")
        expect(figure(page, "Calls")).to_have_text("12")
        set_clock(monkeypatch, NOW + 75)
        page.clock.set_fixed_time(datetime.fromtimestamp(NOW + 75, UTC))
        expect(figure(page, "Calls")).to_have_text("4")

        page.get_by_role("link", name="All", exact=True).click()
        expect(figure(page, "Calls")).to_have_text("12")
        set_clock(monkeypatch, NOW + 200)
        page.clock.set_fixed_time(datetime.fromtimestamp(NOW + 200, UTC))
        page.go_back()
        expect(figure(page, "Calls")).to_have_text("0")


def test_what_does_not_move_is_asked_once(
    open_page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A time that is no age is shown again without a question, however late it is."""
    store = Store(tmp_path / "usage.duckdb")
    add_counts(store, "log", {Key(NOW - 100, "Get", "s3"): 8})
    set_clock(monkeypatch, NOW)
    with serving_here(make_app(store.path)) as url:
        page = open_page(f"{url}?since=2026-10-01")
        page.get_by_role("link", name="All", exact=True).click()
        expect(figure(page, "Calls")).to_have_text("8")
        page.clock.set_fixed_time(datetime.fromtimestamp(NOW + 200, UTC))
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.go_back()
        with page.expect_response("**/api/about"):
            pass
        expect(figure(page, "Calls")).to_have_text("8")

        assert {path for path in map(urlpath, asked) if path.startswith("/api/")} == {"/api/about"}


def test_a_time_after_the_last_call_offers_the_last_day(
    open_page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An age is from now: a store that ended before says so, and has its own last day."""
    store = Store(tmp_path / "usage.duckdb")
    add_counts(store, "log", {Key(NOW - 90_000, "Get", "s3"): 1, Key(NOW, "Get", "s3"): 8})
    set_clock(monkeypatch, NOW + 200_000)
    with serving_here(make_app(store.path)) as url:
        page = open_page(f"{url}?since=24h")
        expect(figure(page, "Calls")).to_have_text("0")
        expect(page.locator("#span")).to_contain_text("no calls after 2026-10-01 10:01")
        page.get_by_role("link", name="show the last 24 h of the store").click()
        expect(figure(page, "Calls")).to_have_text("8")
        preset = page.get_by_role("link", name="24 h", exact=True)
        expect(preset).to_have_attribute("title", "the last 24 h of the store, to 2026-10-01 10:01")
        expect(preset).to_have_attribute("aria-current", "true")
