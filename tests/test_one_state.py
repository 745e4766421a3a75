"""A report, and each answer of the page, is of one state of the store: an ingest waits for it."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.commands import APITRACKER, run
from tests.records import record, write_log
from tests.stores import ask, asking
from tests.web.serving import serving_here

from apitracker.page import report, views
from apitracker.page.app import make_app
from apitracker.store import queries


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a store of one call, and a log of another nine."""
    write_log(tmp_path / "a.json", record("Get", "1", errorCode="AccessDenied"))
    assert run(tmp_path, "ingest", "a.json").returncode == 0
    more = (record("Get", f"2-{n}", errorCode="AccessDenied") for n in range(9))
    write_log(tmp_path / "b.json", *more)
    return tmp_path


@contextmanager
def ingests(folder: Path) -> Iterator[Callable[[], None]]:
    """What begins an ingest of the nine calls, and gives it time to add them, if it may."""
    children: list[subprocess.Popen[bytes]] = []

    def begin() -> None:
        command: list[str | Path] = [APITRACKER, "ingest", "b.json"]
        child = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
        children.append(child)
        with suppress(subprocess.TimeoutExpired):
            child.wait(2)

    yield begin
    for child in children:
        child.wait(60)


def all_calls(folder: Path) -> int:
    """The calls in the store, once an ingest has added the nine."""
    assert run(folder, "ingest", "b.json").returncode == 0
    calls: int = ask(folder / "usage.duckdb", "/api/about")["calls"]
    return calls


def test_a_report_is_of_one_state(folder: Path) -> None:
    """Each figure of a report counts the one call, though nine come between its questions."""
    asked: list[str] = []

    with asking(folder / "usage.duckdb") as store, ingests(folder) as begin:

        def answer(path: str, parameters: list[tuple[str, str]]) -> Any:  # noqa: ANN401 - JSON
            if len(asked) == 1:
                begin()
            asked.append(path)
            return views.ask(store, path, parameters)

        found = report.gather(answer, [])

    assert len(asked) == 17
    assert found["about"]["calls"] == found["summary"]["now"]["calls"] == 1
    assert [sum(each["denied"]) for each in found["series"].values()] == [1] * 6
    assert [rows["rows"][0]["calls"] for rows in found["top"].values()] == [1] * 6
    assert [incident["calls"] for incident in found["throttles"]["denied"]] == [1]
    assert found["reconciliation"]["counted"] == 1
    assert all_calls(folder) == 10


def test_an_answer_is_of_one_state(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sum and peak of an answer count the same call, though nine come between its queries."""
    find_peak = queries.find_peak

    with ingests(folder) as begin:

        def find_peak_later(*args: Any) -> queries.Peak:  # noqa: ANN401 - as they are
            begin()
            return find_peak(*args)

        monkeypatch.setattr(queries, "find_peak", find_peak_later)
        with serving_here(make_app(folder / "usage.duckdb")) as url:
            summary = httpx.get(f"{url}/api/summary", timeout=60).json()

    assert (summary["now"]["calls"], summary["now"]["peak"]) == (1, 1)
    assert all_calls(folder) == 10
