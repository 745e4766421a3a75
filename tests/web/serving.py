"""The page as `apitracker serve` gives it, from a free loopback port, and what is in its store."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Locator, Page
from tests.commands import APITRACKER
from tests.emulator import await_answer

from apitracker.page import server

Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")


class Open(Protocol):
    """What opens an address in the browser."""

    def __call__(self, url: str, *, width: int = 1280, theme: Theme = "light") -> Page:
        """Give the page once it has shown its figures."""


HOSTILE = {
    "script": "<script>window.hacked = 1</script>",
    "image": '"><img src=x onerror="window.hacked = 1">',
    "template": "{{7*7}}${7*7}#{7*7}<%= 7*7 %>",
    "formula": '=HYPERLINK("http://example.com","x")',
    "control": "bell\x07 escape\x1b[31m null\x00 line\nbreak",
    "direction": "\u202egnp.exe\u2066 \u200b",
    "globs": "[z]*?[!b]",
    "shell": "'; touch hacked; echo '$(touch hacked)`touch hacked`",
    "address": "a&b=c#d%20+e?f",
    "long": "x" * 2000,
}
"""What a caller may call itself, and what a record may say that it called."""


def settled(page: Page) -> None:
    """Return once the page shows what it was last asked for."""
    page.wait_for_selector("#view[aria-busy=false]")


def figure(page: Page, label: str) -> Locator:
    """The value of a headline figure."""
    return (
        page.locator(".usage > .figures .figure")
        .filter(has=page.get_by_text(label, exact=True))
        .locator(".main")
    )


@contextmanager
def serving(store: Path) -> Iterator[str]:
    """Serve *store* for as long as the context lasts; gives the address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    log = store.with_suffix(".log")
    command: list[str | Path] = [APITRACKER, "serve", "--store", store, "--port", str(port)]
    with (
        log.open("wb") as out,
        subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT) as child,
    ):
        try:
            await_answer(f"{url}/api/about", child, log)
            yield url
        finally:
            child.terminate()
            child.wait(10)


@contextmanager
def serving_here(app: FastAPI) -> Iterator[str]:
    """Serve *app* from this process, where a test can reach into it; gives the address."""
    listening = server.listen("127.0.0.1", 0)
    running = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning"))
    thread = threading.Thread(target=running.run, args=([listening],))
    thread.start()
    try:
        yield server.address("127.0.0.1", listening).rstrip("/")
    finally:
        running.should_exit = True
        thread.join(10)
        listening.close()


def ingest(store: Path, *sources: Path) -> None:
    """Count *sources* into *store*; records of theirs may be rejected."""
    command: list[str | Path] = [APITRACKER, "ingest", *sources, "--store", store]
    done = subprocess.run(command, check=False, capture_output=True)
    assert done.returncode < 2, done.stderr.decode()
