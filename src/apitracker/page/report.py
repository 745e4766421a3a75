"""
The overview of the store as one HTML file, to send around.

It is the page of `page.app` with everything in it: style, modules, and the server's answers to the
page. It loads nothing, and its figures are of one state of the store.
"""

import json
import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode

QueryPairs: TypeAlias = list[tuple[str, str]]
"""Parameters by name, as in the query of an address."""

WEB: Final = Path(__file__).parent
STATIC: Final = WEB / "static"
ENTRY: Final = "page.js"
EARLY: Final = "theme.js"  # no module: it runs before the first paint

STACKS: Final = 7  # colours that the chart tells apart
ROWS: Final = 25  # of each table
BY: Final = ("eventSource", "awsRegion", "recipientAccountId", "outcome", "caller", "eventName")
TABLES: Final = {
    "apis": "eventSource,eventName",
    "callers": "caller",
    "services": "eventSource",
    "errors": "outcome,errorCode",
    "accounts": "recipientAccountId",
    "regions": "awsRegion",
}

Ask: TypeAlias = Callable[[str, QueryPairs], Any]
"""Asks a path of the server, with parameters, and returns the answer, as of JSON."""


def gather(ask: Ask, selection: QueryPairs) -> dict[str, Any]:
    """
    Ask all that the overview of *selection* (since, until, where) shows, for `write_report`.

    *ask* asks one open store, so that all figures are of one state of it.
    """
    return {
        "address": f"?{urlencode(selection)}",
        "about": ask("/api/about", []),
        "summary": ask("/api/summary", selection),
        "series": {
            by: ask("/api/series", [*selection, ("by", by), ("most", str(STACKS))]) for by in BY
        },
        "top": {
            name: ask("/api/top", [*selection, ("by", by), ("limit", str(ROWS))])
            for name, by in TABLES.items()
        },
        "throttles": {
            outcome: ask("/api/throttles", [*selection, ("outcome", outcome)])
            for outcome in ("throttled", "denied")
        },
        "reconciliation": ask("/api/reconciliation", []),
    }


def write_report(answers: dict[str, Any]) -> str:
    """Write the *answers* of `gather` as an HTML file. source.js reads them by the same names."""
    html = (WEB / "templates" / "page.html").read_text("utf-8")
    html = re.sub(
        r'<link rel="icon" href="/static/([^"]+)"',
        lambda m: f'<link rel="icon" href="{_data_url("image/svg+xml", _static(m[1]))}"',
        html,
    )
    html = re.sub(
        r'<link rel="stylesheet" href="/static/([^"]+)">',
        lambda m: f"<style>{_static(m[1])}</style>",
        html,
    )
    html = html.replace(f'<script src="/static/{EARLY}"></script>', _script(_static(EARLY)))
    html = html.replace(
        f'<script type="module" src="/static/{ENTRY}"></script>',
        _script(_json({"imports": _modules()}), ' type="importmap"')
        + _script(_json(answers), ' type="application/json" id="answers"')
        + _script(f'import "apitracker/{ENTRY}";', ' type="module"'),
    )
    return html.replace("<meta charset", f"{_policy(html)}\n<meta charset", 1)


def _modules() -> dict[str, str]:
    """Return each module of the page as a name and a URL that holds its text."""
    paths = [path for path in sorted(STATIC.rglob("*.js")) if path.name != EARLY]
    return {
        f"apitracker/{path.relative_to(STATIC).as_posix()}": _data_url(
            "text/javascript",
            # A module in such a URL has no neighbours: those of the page are imported by name.
            path.read_text("utf-8").replace(' from "./', ' from "apitracker/'),
        )
        for path in paths
    }


def _policy(html: str) -> str:
    """Write the policy that allows the scripts and styles in *html*, and no other."""
    scripts = re.findall(
        r'<script(?: type="(?:module|importmap)")?>(.*?)</script>', html, re.DOTALL
    )
    styles = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    return (
        '<meta http-equiv="Content-Security-Policy" content="'
        f"default-src 'none'; script-src {_hashes(scripts)} data:; style-src {_hashes(styles)};"
        " img-src data:; base-uri 'none'; form-action 'none'\">"
    )


def _hashes(texts: list[str]) -> str:
    digests = (b64encode(sha256(text.encode()).digest()).decode() for text in texts)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


def _script(text: str, attributes: str = "") -> str:
    return f"<script{attributes}>{text}</script>"


def _json(value: object) -> str:
    """Write *value* so that nothing in it ends the script that it stands in."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _data_url(kind: str, text: str) -> str:
    return f"data:{kind};base64,{b64encode(text.encode()).decode()}"


def _static(name: str) -> str:
    return (STATIC / name).read_text("utf-8")
