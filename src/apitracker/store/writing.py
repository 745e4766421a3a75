"""
Writing a batch: the counts of logs, their events, their balances, and where they were found.

Counts are appended and added up on reading, which DuckDB does faster than it could look up and
change a row. A count knows its second and its series, which is all of a Key beside the second.
"""

# ruff: noqa: S608 - SQL is put together from our own names only; values are parameters
from array import array
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from apitracker.core.balance import Balance, Unread, add_up, repeat_events
from apitracker.core.counting import NO_EVENT, OUTSIDE, PartialCount
from apitracker.core.fields import WIDTHS, Row
from apitracker.core.model import Key
from apitracker.core.origins import MIXED, merge_origins
from apitracker.errors import UsageError
from apitracker.logs.sources import Found
from apitracker.logs.workers import ReadLog
from apitracker.store.connections import Connection, fetch_one, fetch_plain, fetch_values, insert
from apitracker.store.schema import APITRACKER_VERSION
from apitracker.store.selecting import start_of

N = TypeVar("N", bound=np.generic)

SERIES: Final = Key._fields[1:]
FAULTS_KEPT: Final = 1_000  # of one log; how many there were in all is kept as well


class NewLog(NamedTuple):
    """A log that is not in the store yet, as it was found, and its counts."""

    found: Found
    counts: PartialCount


class SeriesState(NamedTuple):
    """The identity of a store, and the state of its series: adding series changes it."""

    store: str
    series: str


class UnreadPlace(NamedTuple):
    """A row of the table *unread*."""

    path: str
    name: str
    etag: str
    fault: str


class SeriesNumbers:
    """
    The number of each series in a store.

    The numbers that are remembered are those of the file only while it is in the same state:
    another process may have added series, and the file may have been replaced by another store, or
    by an older copy of this one.
    """

    def __init__(self) -> None:
        self._numbers: dict[Row, int] = {}
        self._state: SeriesState | None = None

    def forget(self) -> None:
        """Forget all numbers, as after a transaction that was rolled back."""
        self._numbers.clear()
        self._state = None

    def number(self, db: Connection, table: Sequence[Row]) -> list[int]:
        """Return the number of each series of *table*; a new one is added to the store."""
        known = self._numbers
        state = _read_state(db)
        if state != self._state:
            held = fetch_plain(db, f"SELECT {', '.join(SERIES)} FROM series ORDER BY id")
            known.clear()
            known.update(zip(held, range(len(held)), strict=True))
        first = len(known)
        numbers = [known.setdefault(series, len(known)) for series in table]
        if new := list(islice(known, first, None)):
            columns = dict(zip(SERIES, zip(*new, strict=True), strict=True))
            insert(db, "series", id=range(first, len(known)), **columns)
            db.execute("UPDATE about SET series_state = uuid()")
            state = _read_state(db)
        self._state = state
        return numbers


def _read_state(db: Connection) -> SeriesState:
    return fetch_one(db, SeriesState, "SELECT store, series_state FROM about")


def partial_counts(read: Iterable[ReadLog]) -> list[PartialCount]:
    """Return the counts of the logs that could be read."""
    return [each.result for each in read if isinstance(each.result, PartialCount)]


# --- a batch ------------------------------------------------------------------------------------


def add_logs(
    db: Connection, path: Path, read: Sequence[ReadLog], numbers: SeriesNumbers, *, mix: bool
) -> Balance:
    """Add the logs *read* to the open store at *path*, and return their balance."""
    new, known = _new_logs(db, read)
    counted = [log.counts for log in new]
    _update_origin(db, path, counted, mix=mix)
    store_numbers = numbers.number(db, [series for c in counted for series in c.table])
    calls, duplicates = _without_known_events(db, counted)
    seconds = _join((c.times for c in counted), np.int64)
    series = _store_series(counted, store_numbers)
    is_selected = series != OUTSIDE
    _append(db, seconds[is_selected], series[is_selected], calls[is_selected])
    balances = [
        repeat_events(log.counts.balance, n) for log, n in zip(new, duplicates, strict=True)
    ]
    _note_logs(db, new, balances)
    _note_places(db, read)
    unread = tuple(each.result for each in read if isinstance(each.result, Unread))
    return add_up([*balances, Balance(known=known, unread=unread)])


def _new_logs(db: Connection, read: Sequence[ReadLog]) -> tuple[list[NewLog], int]:
    """Return the logs that are not in the store yet, each once, and how many are known."""
    ids = [counts.id for counts in partial_counts(read)]
    seen = set(
        fetch_values(db, "SELECT id FROM logs WHERE id IN (SELECT unnest($ids))", {"ids": ids})
    )
    new: list[NewLog] = []
    for found, result in read:
        if isinstance(result, PartialCount) and result.id not in seen:
            seen.add(result.id)
            new.append(NewLog(found, result))
    return new, len(ids) - len(new)


def _append(
    db: Connection, seconds: NDArray[np.int64], series: NDArray[np.int32], calls: NDArray[np.int64]
) -> None:
    """Add counts, to the second and to the day."""
    insert(db, "counts", second=seconds, series=series, calls=calls)
    db.register("batch", {"second": seconds, "series": series, "calls": calls})
    day = start_of(WIDTHS["day"])
    db.execute(f"INSERT INTO days SELECT {day}, series, sum(calls) FROM batch GROUP BY ALL")
    db.unregister("batch")


def _store_series(counted: Sequence[PartialCount], numbers: list[int]) -> NDArray[np.int32]:
    """
    Return the store's number of the series of each row, `OUTSIDE` for calls that are not selected.

    *numbers* are the store's numbers of the series of all tables, one table after the other.
    """
    store_numbers = np.array([*numbers, OUTSIDE], np.int32)
    begin = 0  # of the log's table in all tables
    parts = [np.empty(0, np.int32)]
    for each in counted:
        series = np.frombuffer(each.series, np.int32)
        parts.append(store_numbers[np.where(series == OUTSIDE, OUTSIDE, series + begin)])
        begin += len(each.table)
    return np.concatenate(parts)


def _without_known_events(
    db: Connection, counted: Sequence[PartialCount]
) -> tuple[NDArray[np.int64], list[int]]:
    """
    Keep the events of *counted* that are new to the store.

    Return the calls of all rows without the other events, and how many others each log has.
    """
    row_begins = np.cumsum([0, *(len(c.counts) for c in counted)])
    rows = np.concatenate(
        [
            np.frombuffer(c.event_rows, np.uint32) + begin
            for c, begin in zip(counted, row_begins, strict=False)
        ]
        or [np.empty(0, np.int64)]
    )
    events = _join((c.events for c in counted), np.uint64)
    is_new = _are_new(db, events)
    has_id = events != NO_EVENT
    is_new[~has_id] = True  # a record without an eventID is never a duplicate
    kept = is_new & has_id
    days = _join((c.times for c in counted), np.int64)[rows] // WIDTHS["day"]
    insert(db, "events", event=events[kept], day=days[kept].astype(np.int32))
    calls = _join((c.counts for c in counted), np.uint64).astype(np.int64)
    _remove(calls, rows, is_new, _weights(counted))
    event_ends = np.cumsum([0, *(len(c.event_rows) for c in counted)])
    repeated = np.concatenate([[0], np.cumsum(~is_new)])[event_ends]
    return calls, [int(n) for n in np.diff(repeated)]


def _are_new(db: Connection, events: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Tell for each of *events* whether it is the first of its kind, and not in the store."""
    is_new = np.zeros(len(events), bool)
    is_new[np.unique(events, return_index=True)[1]] = True  # the index of the first of each
    db.register("batch", {"event": events, "place": np.arange(len(events))})
    held = db.execute("SELECT place FROM batch SEMI JOIN events USING (event)").fetchnumpy()
    db.unregister("batch")
    is_new[held["place"]] = False
    return is_new


def _weights(counted: Sequence[PartialCount]) -> NDArray[np.int64] | None:
    """Return the calls that each event stands for, or None where each stands for one."""
    if not any(c.weights for c in counted):
        return None
    return np.concatenate(
        [
            np.frombuffer(c.weights, np.uint64).astype(np.int64)
            if c.weights
            else np.ones(len(c.event_rows), np.int64)
            for c in counted
        ]
    )


def _remove(
    calls: NDArray[np.int64],
    rows: NDArray[np.int64],
    is_new: NDArray[np.bool_],
    weights: NDArray[np.int64] | None,
) -> None:
    """Subtract the events that are not new from the *calls* of their rows."""
    repeated = rows[~is_new]
    if weights is None:
        calls -= np.bincount(repeated, minlength=len(calls))
    else:
        np.subtract.at(calls, repeated, weights[~is_new])


def _join(columns: Iterable["array[int]"], kind: type[N]) -> NDArray[N]:
    parts = [np.frombuffer(column, kind) for column in columns]
    return np.concatenate(parts) if parts else np.empty(0, kind)


# --- origin -------------------------------------------------------------------------------------


def _update_origin(
    db: Connection, path: Path, counted: Sequence[PartialCount], *, mix: bool
) -> None:
    """Keep the origin of the calls. `UsageError` if they must not come together."""
    held = fetch_one(db, str, "SELECT origin FROM about")
    if not (mix or held == MIXED):
        require_one_origin(path, held, counted)
    origin = merge_origins([held, *(c.origin for c in counted)])
    if origin != held:
        db.execute("UPDATE about SET origin = ?", [origin])


def require_one_origin(path: Path, held: str, counted: Sequence[PartialCount]) -> None:
    """`UsageError` if real and synthetic calls are among those that are *held* and *counted*."""
    known = [each for each in counted if each.origin]
    if merge_origins([held, *(each.origin for each in known)]) != MIXED:
        return
    first = held or known[0].origin
    other = next(each for each in known if each.origin != first)
    raise UsageError(
        f"{path}: the calls of {other.name} are {other.origin}, and those of this store are"
        f" {first}; give another file to --store, or add --mix to count them together"
    )


# --- logs ---------------------------------------------------------------------------------------


def _note_logs(db: Connection, new: Sequence[NewLog], balances: Sequence[Balance]) -> None:
    """Keep each log with its balance, and the records that were rejected."""
    if new:
        insert(
            db,
            "logs",
            id=[log.counts.id for log in new],
            name=[_unicode(log.found.name) for log in new],
            size=[log.found.size for log in new],
            first=[each.first for each in balances],
            last=[each.last for each in balances],
            received=[each.received for each in balances],
            counted=[each.counted for each in balances],
            duplicates=[each.duplicates for each in balances],
            rejected=[each.rejected for each in balances],
        )
    skipped = [
        (log.counts.id, kind, n)
        for log, balance in zip(new, balances, strict=True)
        for kind, n in balance.skipped.items()
    ]
    if skipped:
        logs, kinds, records = zip(*skipped, strict=True)
        insert(db, "skipped", log=logs, kind=kinds, records=records)
    faults = [
        (_unicode(name), each.place, each.reason)
        for balance in balances
        for name, each in balance.rejections[:FAULTS_KEPT]
    ]
    if faults:
        names, places, reasons = zip(*faults, strict=True)
        insert(db, "faults", name=names, place=places, reason=reasons)


def _note_places(db: Connection, read: Sequence[ReadLog]) -> None:
    """Keep where logs were found, known ones too, and which could not be read."""
    by_path = {_unicode(each.found.path): each for each in read}
    names = [_unicode(each.found.name) for each in read]
    # Schema 1 had no paths but names, which stand in their place.
    db.execute("DELETE FROM unread WHERE path IN (SELECT unnest($1))", [[*by_path, *names]])
    known: dict[str, str] = {}
    unread: list[UnreadPlace] = []
    for path, (found, result) in by_path.items():
        if isinstance(result, Unread):
            etag = found.etag if result.lasting else ""
            unread.append(UnreadPlace(path, _unicode(found.name), etag, _unicode(result.fault)))
        elif found.etag:
            known[path] = found.etag
    if known:
        insert(db, "places", path=list(known), etag=list(known.values()))
    if unread:
        insert(
            db,
            "unread",
            path=[place.path for place in unread],
            name=[place.name for place in unread],
            etag=[place.etag for place in unread],
            tried_by=[APITRACKER_VERSION] * len(unread),
            fault=[place.fault for place in unread],
        )


def _unicode(name: str) -> str:
    """Make a file's name one that can be stored: in Linux it may be any bytes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
