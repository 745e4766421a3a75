"""The report: one file, with nothing to load and nothing to run but its own modules."""

import re
from base64 import b64decode, b64encode
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

from apitracker.page import report

HOSTILE = "</script><script>alert(1)</script><!-- \u2028 {{7*7}} -->"


class Elements(HTMLParser):
    """Every element of a document, with its attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], str]] = []
        self.open = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin an element."""
        self.found.append((tag, dict(attrs), ""))
        self.open = True

    def handle_endtag(self, tag: str) -> None:
        """End an element."""
        del tag
        self.open = False

    def handle_data(self, data: str) -> None:
        """Add text to the element that began last."""
        if self.open:
            tag, attributes, text = self.found[-1]
            self.found[-1] = (tag, attributes, text + data)


def elements(html: str, tag: str) -> list[tuple[dict[str, str | None], str]]:
    """The elements *tag* of *html*."""
    return [(attributes, text) for name, attributes, text in Elements(html).found if name == tag]


def asked() -> tuple[list[tuple[str, list[tuple[str, str]]]], dict[str, Any]]:
    """What `gather` asks, and what it makes of the answers, which are numbered."""
    questions: list[tuple[str, list[tuple[str, str]]]] = []

    def ask(path: str, parameters: list[tuple[str, str]]) -> int:
        questions.append((path, parameters))
        return len(questions)

    return questions, report.gather(ask, [("since", "2026-10-01T12:30Z"), ("where", "a=b&c")])


def test_every_figure_is_of_the_selection() -> None:
    """All is asked of the chosen time and calls, but for what is of the whole store."""
    questions, gathered = asked()
    whole = {path for path, parameters in questions if ("where", "a=b&c") not in parameters}

    assert whole == {"/api/about", "/api/reconciliation"}
    assert gathered["address"] == "?since=2026-10-01T12%3A30Z&where=a%3Db%26c"
    assert gathered["top"] == {
        "apis": 9,
        "callers": 10,
        "services": 11,
        "errors": 12,
        "accounts": 13,
        "regions": 14,
    }


def test_the_page_asks_for_the_same() -> None:
    """The tables, the stacks and the colours of a report are those of the page."""
    source = (report.STATIC / "source.js").read_text("utf-8")
    usage = (report.STATIC / "usage.js").read_text("utf-8")
    chart = (report.STATIC / "chart.js").read_text("utf-8")
    tables = {
        name: ",".join(re.findall(r'"(\w+)"', fields))
        for name, fields in re.findall(r"^  (\w+): \[(.*)\],$", source, re.MULTILINE)
    }
    stacks = usage.partition("const STACKS = {")[2].partition("}")[0]

    assert tables == report.TABLES
    assert tuple(re.findall(r"(\w+):", stacks)) == report.BY
    assert f"const SLOTS = {report.STACKS};" in chart


def test_values_cannot_end_the_script_that_they_stand_in() -> None:
    """Whatever is in an answer, the file has the scripts that it had, and the answer is in one."""
    plain, hostile = report.write_report({"a": ""}), report.write_report({"a": HOSTILE})
    scripts = elements(hostile, "script")

    assert [a for a, _ in scripts] == [a for a, _ in elements(plain, "script")]
    assert [a.get("type") for a, _ in scripts] == [None, "importmap", "application/json", "module"]
    assert "alert(1)" not in "".join(text for a, text in scripts if a.get("id") != "answers")


def test_nothing_is_loaded() -> None:
    """No element names an address outside the file, and no module imports what is not in it."""
    html = report.write_report({})
    addresses = [
        value
        for _, attributes, _ in Elements(html).found
        for name, value in attributes.items()
        if name in ("src", "href") and value
    ]
    (imports,) = [text for a, text in elements(html, "script") if a.get("type") == "importmap"]
    modules = dict(
        re.findall(r'"(apitracker/[^"]+)":"data:text/javascript;base64,([^"]+)"', imports)
    )
    imported = {
        name
        for text in modules.values()
        for name in re.findall(
            r'^(?:import|\}) .*?from "(.+)";$', b64decode(text).decode(), re.MULTILINE
        )
    }

    assert all(address.startswith(("data:", "#", "?")) for address in addresses)
    assert "apitracker/chart.js" in imported
    assert imported <= set(modules)


def test_the_policy_allows_what_is_in_the_file_and_no_more() -> None:
    """Each script and style is allowed by its hash; none may be written into it later."""
    html = report.write_report({})
    ((_, policy),) = [
        (a["http-equiv"], a["content"] or "")
        for a, _ in elements(html, "meta")
        if "http-equiv" in a
    ]
    own = [
        text
        for tag in ("script", "style")
        for a, text in elements(html, tag)
        if a.get("type") != "application/json"
    ]
    hashes = {b64encode(sha256(text.encode()).digest()).decode() for text in own}

    assert set(re.findall(r"'sha256-(.*?)'", policy)) == hashes
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_no_module_makes_markup_of_text() -> None:
    """What comes out of a store is only ever text: nothing of ours parses markup or code."""
    ours = list(report.STATIC.glob("*.js"))
    parsing = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|setHTML|eval\(|Function\("
    )

    assert len(ours) >= 9
    assert [path.name for path in ours if parsing.search(path.read_text("utf-8"))] == []
