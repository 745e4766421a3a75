"""Other sites, through the browser of whoever runs the page: they make no work, and may link."""

import http.server
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import Request, Response
from playwright.sync_api import Browser, expect
from tests.web.serving import serving_here, settled

from apitracker.page import views
from apitracker.page.app import is_from_elsewhere, make_app
from apitracker.store.connections import Connection
from apitracker.store.database import Store

FOREIGN = """
<a id="export" href="{url}/api/export">a file</a>
<a id="view" href="{url}/?view=throttled">a view</a>
<script>
  const loaded = (tag, attribute, address) => new Promise((done) => {{
    const element = document.createElement(tag);
    element.onload = element.onerror = done;
    element[attribute] = address;
    if (tag === "link") element.rel = "stylesheet";
    document.body.append(element);
  }});
  Promise.all([
    fetch("{url}/api/export?by=fetch").catch(() => null),
    fetch("{url}/api/export?by=nocors", {{ mode: "no-cors" }}).catch(() => null),
    loaded("img", "src", "{url}/api/export?by=img"),
    loaded("script", "src", "{url}/api/export?by=script"),
    loaded("link", "href", "{url}/api/export?by=link"),
    loaded("iframe", "src", "{url}/api/export?by=iframe"),
    loaded("iframe", "src", "{url}/?view=usage"),
  ]).then(() => (window.tried = true));
</script>
"""


@contextmanager
def site(html: str, name: str) -> Iterator[str]:
    """Another site, that answers everything with *html*; gives its address, by *name*."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        yield f"http://{name}:{other.server_address[1]}"
        other.shutdown()
        thread.join(10)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_another_site_makes_no_work_and_may_link(
    browser: Browser, store: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """
    Whatever a page of another name or port loads, the store is not opened for it.

    A followed link to a file is refused as well, and one to a view shows the view.
    """
    opened: list[str] = []
    answered: list[tuple[str, str, int]] = []
    reading = Store.reading

    @contextmanager
    def seen(self: Store, *, required: bool = False) -> Iterator[Connection]:
        opened.append("opened")
        with reading(self, required=required) as db:
            yield db

    monkeypatch.setattr(Store, "reading", seen)
    app = make_app(store)

    @app.middleware("http")
    async def note(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await answer(request)
        answered.append((request.url.path, request.url.query, response.status_code))
        return response

    with serving_here(app) as url, site(FOREIGN.format(url=url), name) as other:
        page = browser.new_context().new_page()
        page.goto(other)
        page.wait_for_function("window.tried")
        assert sorted(answered) == [
            ("/", "view=usage", 200),
            *(
                ("/api/export", f"by={how}", 403)
                for how in ("fetch", "iframe", "img", "link", "nocors", "script")
            ),
        ]
        page.click("#export")
        expect(page.locator("body")).to_contain_text("/api/export: not for pages of other sites")
        assert opened == []
        page.go_back()
        page.click("#view")
        settled(page)
        expect(page.locator(".incidents tbody tr").first).to_contain_text("DescribeInstances")
        assert opened
        page.context.close()


@pytest.mark.parametrize("name", [*views.ENDPOINTS, "/api/export"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {
            "Sec-Fetch-Site": "cross-site",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "document",
        },
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
def test_a_request_from_elsewhere_is_refused(site: str, name: str, headers: dict[str, str]) -> None:
    """No endpoint answers it, not even that its question is wrong."""
    for address in (name, f"{name}?nothing=1"):
        response = httpx.get(f"{site}{address}", headers=headers)

        assert response.status_code == 403
        assert response.json() == {
            "detail": f"{name}: not for pages of other sites; open this server's own page, or"
            " type the address"
        }


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    ],
)
def test_scripts_the_page_and_typed_addresses_are_answered(
    site: str, headers: dict[str, str]
) -> None:
    """Neither curl, nor the page itself, nor an address that somebody typed is from elsewhere."""
    for name in (*views.ENDPOINTS, "/api/export"):
        assert httpx.get(f"{site}{name}", headers=headers).status_code == 200


@pytest.mark.parametrize("address", ["/", "/?view=throttled&since=7d"])
def test_a_link_to_a_view_opens(site: str, address: str) -> None:
    """The page is for whoever follows a link from anywhere."""
    followed = {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }
    assert httpx.get(f"{site}{address}", headers=followed).status_code == 200


@pytest.mark.parametrize(
    ("headers", "elsewhere"),
    [
        ({"host": "127.0.0.1:8765"}, False),
        ({"host": "127.0.0.1:8765", "origin": "http://127.0.0.1:8765"}, False),
        ({"host": "box", "origin": "https://box"}, False),
        ({"host": "127.0.0.1:8765", "origin": "http://127.0.0.1:8766"}, True),
        ({"host": "127.0.0.1:8765", "origin": "http://localhost:8765"}, True),
        ({"host": "127.0.0.1:8765", "origin": ""}, True),
        ({"host": "127.0.0.1:8765", "sec-fetch-site": "same-origin"}, False),
        ({"host": "127.0.0.1:8765", "sec-fetch-site": "none"}, False),
        ({"host": "127.0.0.1:8765", "sec-fetch-site": "Cross-Site"}, True),
        ({"host": "127.0.0.1:8765", "sec-fetch-site": "something new"}, True),
    ],
)
def test_where_a_request_is_from(headers: dict[str, str], elsewhere: bool) -> None:  # noqa: FBT001
    """Another port or name of this machine is another origin; what no browser says is ours."""
    assert is_from_elsewhere(headers) is elsewhere
