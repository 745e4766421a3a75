"""Stores of records or of counts, and questions to them."""

import json
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apitracker.core.balance import Balance, Unread
from apitracker.core.counting import PartialCount, read_log
from apitracker.core.fields import WIDTHS, Row, Value
from apitracker.core.model import Key, Log
from apitracker.core.outcomes import classify
from apitracker.core.selection import ALL, Selection
from apitracker.jobs.ingest import ingest_query
from apitracker.logs.sources import Found
from apitracker.logs.workers import ReadLog
from apitracker.page import views
from apitracker.store.database import Store
from apitracker.store.queries import Ranking, rank

QUERY = ingest_query(10_000_000)


def read_records(name: str, *records: object, etag: str = "") -> ReadLog:
    """Read a log of *records*, found as *name*, as ingest does."""
    body = json.dumps({"Records": records}).encode()
    return ReadLog(Found(name, len(body), etag), read_log(Log.of(name, body), QUERY))


def unread(name: str, fault: str, *, lasting: bool = False) -> ReadLog:
    """A log that could not be read."""
    return ReadLog(Found(name, 9), Unread(name, fault, lasting))


def read_counts(name: str, counts: Mapping[Key, int]) -> ReadLog:
    """A log by that name and id whose calls have these *counts*, and no eventIDs."""
    seconds = [key.second for key in counts]
    calls = sum(counts.values())
    return ReadLog(
        Found(name, 0),
        PartialCount(
            id=name,
            name=name,
            table=[key[1:] for key in counts],
            times=array("q", seconds),
            series=array("i", range(len(counts))),
            counts=array("Q", counts.values()),
            event_rows=array("I"),
            events=array("Q"),
            events_2=array("Q"),
            weights=array("Q"),
            balance=Balance(
                logs=1,
                received=calls,
                counted=calls,
                first=min(seconds, default=None),
                last=max(seconds, default=None),
            ),
        ),
    )


def add(store: Store, *read: ReadLog, mix: bool = False) -> Balance:
    """Add *read* as one batch, and return their balance."""
    return store.add(read, mix=mix)


def add_counts(store: Store, name: str, counts: Mapping[Key, int]) -> Balance:
    """Add a log of *counts*, and return its balance."""
    return store.add([read_counts(name, counts)])


def top(
    store: Store, by: Sequence[str], *, limit: int | None = None, selection: Selection = ALL
) -> list[tuple[Row, int]]:
    """The rows that `apitracker top` prints."""
    with store.reading(required=True) as db:
        return list(rank(db, Ranking(tuple(by), selection), limit).rows.items())


def ask(path: Path, name: str, parameters: Sequence[tuple[str, str]] = ()) -> Any:  # noqa: ANN401 - JSON
    """The answer of the store at *path* to a question of the page."""
    with asking(path) as store:
        return views.ask(store, name, parameters)


@contextmanager
def asking(path: Path) -> Iterator[views.OpenStore]:
    """The store at *path*, open for questions of the page."""
    with Store(path).reading() as db:
        yield views.OpenStore(path, db)


def add_up_by(counts: Mapping[Key, int], by: Sequence[str]) -> Counter[Row]:
    """Add up *counts* by the fields *by*, one Key after the other."""
    found: Counter[Row] = Counter()
    for key, calls in counts.items():
        found[tuple(value_of(key, field) for field in by)] += calls
    return found


def value_of(key: Key, field: str) -> Value:
    """The value of *field* for the calls of *key*."""
    if field == "outcome":
        return classify(key.errorCode, key.eventSource, failed_without_code=key.failed_without_code)
    if width := WIDTHS.get(field):
        return key.second - key.second % width
    value: Value = getattr(key, field)
    return value
