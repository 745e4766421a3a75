"""
The embedded store: counts in one DuckDB file. All SQL is here, in `store.schema` and `.figures`.

Counts are appended and added up on reading, which DuckDB does faster than it could look up and
change a row; `Store.compact` adds them up for good now and then. A count knows its second and its
series, which is all that a Key says beside the second.

The file is open for one batch or one query at a time: DuckDB gives a file to one writer or to
several readers, so each waits until the other has closed it.
"""

# ruff: noqa: S608 - SQL is put together from our own names only; values are parameters
import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import duckdb
import numpy as np

from apitracker.core.balance import Balance, Unread, add_up, repeat_events
from apitracker.core.counting import NO_EVENT, PartialCount
from apitracker.core.fields import WIDTHS, Row, require_fields
from apitracker.core.model import Key
from apitracker.core.origins import MIXED, merge_origins
from apitracker.core.outcomes import OUTCOMES, classify
from apitracker.core.selection import ALL, Selection, matcher
from apitracker.errors import StoreError, UsageError
from apitracker.logs.sources import Found
from apitracker.logs.workers import ReadLog
from apitracker.store.schema import SCHEMA, TABLES, UPGRADES

Connection: TypeAlias = duckdb.DuckDBPyConnection

VERSION: Final = metadata.version("apitracker")
WAIT_SECONDS: Final = 10.0  # for another process to close the file
SERIES: Final = Key._fields[1:]
LARGEST: Final = 2**63 - 1  # rows that can be asked for
FAULTS_KEPT: Final = 1_000  # of one log; how many there were in all is kept as well

CLOSED: Final[dict[str, str | bool | int | float | list[str]]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
"""DuckDB would fetch an extension from its makers for a file that is SQLite's, and a view in a
file that somebody else made could read other files."""


class Known(NamedTuple):
    """
    Logs that need not be read again, each by path and etag.

    *read* are in the store; *unread* could not be read by this apitracker.
    """

    read: set[tuple[str, str]]
    unread: set[tuple[str, str]]


class NewLog(NamedTuple):
    """A log that is not in the store yet, as it was found, and its counts."""

    found: Found
    counts: PartialCount


def partials(read: Iterable[ReadLog]) -> list[PartialCount]:
    """Return the counts of the logs that could be read."""
    return [each.result for each in read if isinstance(each.result, PartialCount)]


class Store:
    """
    Counts in the DuckDB file at *path*, which is made when something is first added.

    Every method opens the file, waits up to `WAIT_SECONDS` for others to close it, and closes it
    again; a store of an older schema is upgraded first. `StoreError` when that fails, or when the
    file is not a store, or one of a newer schema.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._numbers: dict[Row, int] = {}  # of the series in the file, as it is in this state:
        self._state: Row = ()

    # --- writing --------------------------------------------------------------------------------

    def add(self, read: Sequence[ReadLog], *, mix: bool = False) -> Balance:
        """
        Add the counts of logs, *read* by the fields of Key: of all or, if that fails, of none.

        A log that was added before changes nothing, nor does an event that was counted before.
        Return the balance of these logs. `UsageError` if real and synthetic calls would come
        together, unless *mix* allows that.
        """
        if not (mix or self.path.exists()):
            _require_one_origin(self.path, "", partials(read))  # before there is a file
        with self._write() as db:
            new, known = _new_logs(db, read)
            counted = [log.counts for log in new]
            _update_origin(db, self.path, counted, mix=mix)
            numbers = self._number(db, [series for c in counted for series in c.table])
            calls, duplicates = _fresh(db, counted)
            seconds = _joined(np.int64, (c.times for c in counted))
            _append(db, seconds, _series(counted, numbers), calls)
            balances = [
                repeat_events(log.counts.balance, n) for log, n in zip(new, duplicates, strict=True)
            ]
            _note(db, new, balances)
            _note_places(db, read)
        unread = tuple(each.result for each in read if isinstance(each.result, Unread))
        return add_up([*balances, Balance(known=known, unread=unread)])

    def forget_events(self, before: int) -> None:
        """
        Forget which events were counted whose time is before *before*, in seconds since 1970.

        The counts stay, and so do the ids of logs. An event that comes again in another log
        after it was forgotten is counted again; CloudTrail tries to deliver for 30 days.
        """
        if not self.path.exists():
            return
        with self._write() as db:
            db.execute("DELETE FROM events WHERE day < ?", [before // WIDTHS["day"]])

    def compact(self) -> None:
        """Add up counts of the same second and series, once there are twice as many as before."""
        if not self.path.exists():
            return
        with self._write() as db:
            many = "SELECT (SELECT count(*) FROM counts) > 2 * compacted FROM about"
            if db.execute(many).fetchone() != (True,):
                return
            for table in ("counts", "days"):
                _rewrite(
                    db,
                    table,
                    "SELECT second, series, sum(calls)::BIGINT AS calls FROM {}"
                    " GROUP BY second, series ORDER BY second // 86400, series, second",
                )
            db.execute("UPDATE about SET compacted = (SELECT count(*) FROM counts)")
        # What stood before the new table is free now, and the file ends where that table does.
        # Written once more, it moves to the front, and the file is cut off behind it.
        with self._write() as db:
            for table in ("counts", "days"):
                _rewrite(db, table, "FROM {}")

    # --- reading --------------------------------------------------------------------------------

    def top(
        self, by: Sequence[str], *, limit: int | None = None, selection: Selection = ALL
    ) -> list[tuple[Row, int]]:
        """
        Add up the selected calls by the fields *by*: most calls first, then by code point.

        At most *limit* rows. `UsageError` if *by* names no field, or one that is not kept.
        """
        require_fields((*by, *selection.where), kept=True)  # before the file is looked at
        with self.reading(required=True) as db:
            return top(db, by, limit=limit, selection=selection)

    def known(self) -> Known:
        """Return the logs that have an etag and need not be read again while it stays."""
        with self.reading() as db:
            read = db.execute("FROM places").fetchall()
            unread = db.execute(
                "SELECT path, etag FROM unread WHERE etag <> '' AND tried_by = ?", [VERSION]
            ).fetchall()
        return Known({(path, etag) for path, etag in read}, {(path, etag) for path, etag in unread})

    @contextmanager
    def reading(self, *, required: bool = False) -> Iterator[Connection]:
        """
        Open the file for questions, those of `store.queries` too.

        A store that is not there yet, or that nothing was added to, is one without calls; where it
        is *required* that is a `StoreError`. A store of an older schema is upgraded first.
        """
        fault = "no such store; make one with: apitracker ingest SOURCE"
        if self.path.exists():
            with _open(self.path, read_only=True) as db:
                schema = _schema_of(db, self.path)
                if schema == SCHEMA:
                    yield db
                    return
            if schema:
                self._upgrade(schema)
                with _open(self.path, read_only=True) as db:
                    yield db
                    return
            fault = "nothing is in this store; run apitracker ingest"
        if required:
            raise StoreError(f"{self.path}: {fault}")
        with duckdb.connect(config=CLOSED) as db:
            _make_tables(db)
            yield db

    # --- opening --------------------------------------------------------------------------------

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        """Open the file for one transaction."""
        try:
            with _open(self.path, read_only=False) as db:
                _prepare(db, self.path)
                db.execute("BEGIN")
                yield db
                db.execute("COMMIT")
        except BaseException:
            self._numbers.clear()  # what was numbered here has been rolled back
            self._state = ()
            raise

    def _upgrade(self, schema: int) -> None:
        """Bring the file, which has an older *schema*, to the schema of this apitracker."""
        try:
            with _open(self.path, read_only=False) as db:
                _prepare(db, self.path)
        except UnopenedError as e:
            raise StoreError(
                f"{self.path}: this store has schema {schema}, which has to be upgraded to {SCHEMA}"
                f" before it is read, and it cannot be written: {e.fault}; copy it to a folder that"
                " you may write in, and give that file to --store"
            ) from e

    def _number(self, db: Connection, table: Sequence[Row]) -> list[int]:
        """
        Return the number of each series of *table*; a new one is added to the store.

        The numbers that are known are those of the file only while it is in the same state: another
        process may have added series, and the file may have been replaced by another store, or by
        an older copy of this one.
        """
        known = self._numbers
        names = ", ".join(SERIES)
        state = _state_of(db)
        if state != self._state:
            held = db.execute(f"SELECT {names} FROM series ORDER BY id").fetchall()
            known.clear()
            known.update(zip(held, range(len(held)), strict=True))
        first = len(known)
        numbers = [known.setdefault(series, len(known)) for series in table]
        new = list(islice(known, first, None))
        columns = dict(zip(SERIES, zip(*new, strict=True), strict=True)) if new else {}
        if new:
            _insert(db, "series", id=range(first, len(known)), **columns)
            db.execute("UPDATE about SET series_state = uuid()")
            state = _state_of(db)
        self._state = state
        return numbers


# --- opening ------------------------------------------------------------------------------------


class UnopenedError(StoreError):
    """The file cannot be opened, or not for writing."""

    def __init__(self, path: Path, fault: str) -> None:
        super().__init__(f"{path}: this store cannot be opened: {fault}")
        self.fault = fault


@contextmanager
def _open(path: Path, *, read_only: bool) -> Iterator[Connection]:
    db = _connect(path, read_only=read_only)
    try:
        yield db
    except duckdb.Error as e:
        raise StoreError(f"{path}: this store cannot be used: {_fault(e)}") from e
    except RuntimeError as e:
        if "interrupted" in str(e):  # how DuckDB says that Ctrl-C came during a query
            raise KeyboardInterrupt from e
        raise
    finally:
        db.close()


def _connect(path: Path, *, read_only: bool) -> Connection:
    until = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            # An absolute path is a file's, whatever it is called: ":memory:" and "md:" are not.
            return duckdb.connect(path.absolute(), read_only=read_only, config=CLOSED)
        except RuntimeError as e:
            raise StoreError(f"{path}: name the store in UTF-8: DuckDB takes no other") from e
        except duckdb.Error as e:
            if "Could not set lock" not in str(e):
                raise UnopenedError(path, _fault(e)) from e
            if time.monotonic() > until:
                raise StoreError(
                    f"{path}: another process has had this store open for {WAIT_SECONDS:.0f} s; "
                    "try again when it is done"
                ) from e
        time.sleep(0.02)


DUCKDB_FAULTS: Final = (
    ("not a valid DuckDB database", "it is not a store; name another file with --store"),
    ("Could not read enough bytes", "it is cut off; ingest the logs into a new file"),
    ("Corrupt database", "it is damaged; ingest the logs into a new file"),
    ("Is a directory", "it is a folder; name a file with --store"),
    ("No such file or directory", "there is no such folder; make it first"),
    ("Permission denied", "permission denied; make it readable and writable for this user"),
    ("Read-only file system", "the disk is read-only; name a file elsewhere with --store"),
    ("No space left", "the disk is full; make room on it"),
    ("disabled by config", "it would read other files, as no store does; do not use it"),
    ("Out of Memory", "there is not enough memory; ask for less, or ask on a larger machine"),
    ("version number", "another version of DuckDB wrote it; ingest the logs into a new file"),
)
"""What DuckDB says, and what that means."""


def _fault(error: duckdb.Error) -> str:
    """Say in plain words what DuckDB failed on, and the way on."""
    said = str(error)
    unknown = f"DuckDB failed with {type(error).__name__}; try again"
    return next((fault for words, fault in DUCKDB_FAULTS if words in said), unknown)


def _prepare(db: Connection, path: Path) -> None:
    """Make the tables of a new store, or upgrade those of an older one."""
    schema = _schema_of(db, path)
    if schema == SCHEMA:
        return
    db.execute("BEGIN")
    if schema == 0:
        _make_tables(db)
    else:
        for older in range(schema, SCHEMA):
            db.execute(UPGRADES[older])
        db.execute("UPDATE about SET schema_version = ?, made_by = ?", [SCHEMA, VERSION])
    db.execute("COMMIT")


def _make_tables(db: Connection) -> None:
    db.execute(TABLES)
    db.execute("INSERT INTO about VALUES (?, ?, uuid(), uuid(), '', 0)", [SCHEMA, VERSION])


def _schema_of(db: Connection, path: Path) -> int:
    """
    Return the schema of the store, 0 if it was made and nothing was added to it yet.

    `StoreError` if this apitracker cannot read it.
    """
    try:
        found = db.execute("SELECT schema_version FROM about").fetchall()
    except (duckdb.CatalogException, duckdb.BinderException):
        # Asked only now: to list the tables takes longer than most questions.
        if db.execute("FROM duckdb_tables()").fetchone() is None:
            return 0
        found = []
    schema = found[0][0] if found else None
    if not isinstance(schema, int) or schema < 1:
        raise StoreError(
            f"{path}: this store has no version of the schema: another program has made it; give"
            " another file to --store"
        )
    if schema > SCHEMA:
        raise StoreError(_newer(db, path, schema))
    return schema


def _newer(db: Connection, path: Path, schema: int) -> str:
    """Word what is wrong with a store that has a newer *schema*."""
    try:
        ((maker,),) = db.execute("SELECT made_by FROM about").fetchall()
    except duckdb.BinderException:
        maker = ""
    needed = f"apitracker {maker}" if maker else "a newer apitracker"
    return (
        f"{path}: this store has version {schema} of the schema, and this apitracker ({VERSION})"
        f" reads up to version {SCHEMA}; use {needed}"
    )


# --- writing ------------------------------------------------------------------------------------


def _insert(db: Connection, table: str, **columns: Any) -> None:  # noqa: ANN401
    """Append columns, numpy arrays or sequences of plain values, to *table*."""
    if all(isinstance(column, np.ndarray) for column in columns.values()):
        db.register("batch", columns)
        db.execute(f"INSERT INTO {table} BY NAME FROM batch")
        db.unregister("batch")
    else:
        values = ", ".join(f"unnest(${name}) AS {name}" for name in columns)
        lists = {name: list(column) for name, column in columns.items()}
        db.execute(f"INSERT INTO {table} BY NAME SELECT {values}", lists)


def _append(
    db: Connection,
    seconds: "np.ndarray[Any, Any]",
    series: "np.ndarray[Any, Any]",
    calls: "np.ndarray[Any, Any]",
) -> None:
    """Add counts, to the second and to the day."""
    _insert(db, "counts", second=seconds, series=series, calls=calls)
    db.register("batch", {"second": seconds, "series": series, "calls": calls})
    day = start_of(WIDTHS["day"])
    db.execute(f"INSERT INTO days SELECT {day}, series, sum(calls) FROM batch GROUP BY ALL")
    db.unregister("batch")


def _rewrite(db: Connection, table: str, query: str) -> None:
    """Replace *table* by what *query* of it gives."""
    db.execute(f"CREATE TABLE rewritten AS {query.format(table)}")
    db.execute(f"DROP TABLE {table}")
    db.execute(f"ALTER TABLE rewritten RENAME TO {table}")


def _new_logs(db: Connection, read: Sequence[ReadLog]) -> tuple[list[NewLog], int]:
    """Return the logs that are not in the store yet, each once, and how many are known."""
    ids = [counts.id for counts in partials(read)]
    held = db.execute("SELECT id FROM logs WHERE id IN (SELECT unnest($1))", [ids]).fetchall()
    seen = {id for (id,) in held}  # noqa: A001 - as in Log
    new: list[NewLog] = []
    for found, result in read:
        if isinstance(result, PartialCount) and result.id not in seen:
            seen.add(result.id)
            new.append(NewLog(found, result))
    return new, len(ids) - len(new)


def _joined(kind: type[np.generic], columns: Iterable["array[int]"]) -> "np.ndarray[Any, Any]":
    parts = [np.frombuffer(column, kind) for column in columns]
    return np.concatenate(parts) if parts else np.empty(0, kind)


def _series(read: Sequence[PartialCount], numbers: list[int]) -> "np.ndarray[Any, Any]":
    """Give the store's number of the series of each row; *numbers* are those of all tables."""
    tables = np.cumsum([0, *(len(r.table) for r in read)])
    parts = [np.frombuffer(r.series, np.int32) + t for r, t in zip(read, tables, strict=False)]
    return np.array(numbers, np.int32)[np.concatenate(parts)] if parts else np.empty(0, np.int32)


def _fresh(
    db: Connection, read: Sequence[PartialCount]
) -> "tuple[np.ndarray[Any, Any], list[int]]":
    """
    Tell which events of *read* are new, and keep them.

    Give the counts of all rows without the others, and how many others there are in each log.
    """
    rows = np.cumsum([0, *(len(r.counts) for r in read)])
    index = np.concatenate(
        [np.frombuffer(r.event_rows, np.uint32) + row for r, row in zip(read, rows, strict=False)]
        or [np.empty(0, np.int64)]
    )
    events = _joined(np.uint64, (r.events for r in read))
    days = _joined(np.int64, (r.times for r in read))[index] // WIDTHS["day"]
    fresh = np.zeros(len(events), bool)
    fresh[np.unique(events, return_index=True)[1]] = True
    db.register("batch", {"event": events, "place": np.arange(len(events))})
    held = db.execute("SELECT place FROM batch SEMI JOIN events USING (event)").fetchnumpy()[
        "place"
    ]
    db.unregister("batch")
    fresh[held] = False
    known = events != NO_EVENT
    fresh[~known] = True
    kept = fresh & known
    _insert(db, "events", event=events[kept], day=days[kept].astype(np.int32))
    counts = _joined(np.uint64, (r.counts for r in read)).astype(np.int64)
    counts -= np.bincount(index[~fresh], minlength=len(counts))
    ends = np.cumsum([0, *(len(r.event_rows) for r in read)])
    repeated = np.concatenate([[0], np.cumsum(~fresh)])[ends]
    return counts, np.diff(repeated).tolist()


def _state_of(db: Connection) -> Row:
    """Return the identity of the store and the state of its series, which adding series changes."""
    state: Row = db.execute("SELECT store, series_state FROM about").fetchall()[0]
    return state


def _update_origin(db: Connection, path: Path, read: Sequence[PartialCount], *, mix: bool) -> None:
    """Keep where the calls come from. `UsageError` if they must not come together."""
    ((held,),) = db.execute("SELECT origin FROM about").fetchall()
    if not (mix or held == MIXED):
        _require_one_origin(path, held, read)
    origin = merge_origins([held, *(r.origin for r in read)])
    if origin != held:
        db.execute("UPDATE about SET origin = ?", [origin])


def _require_one_origin(path: Path, held: str, counted: Sequence[PartialCount]) -> None:
    """`UsageError` if real and synthetic calls are among those that are *held* and *counted*."""
    read = [each for each in counted if each.origin]
    if merge_origins([held, *(r.origin for r in read)]) != MIXED:
        return
    first = held or read[0].origin
    other = next(r for r in read if r.origin != first)
    raise UsageError(
        f"{path}: the calls of {other.name} are {other.origin}, and those of this store are"
        f" {first}; give another file to --store, or add --mix to count them together"
    )


def _note(db: Connection, new: Sequence[NewLog], balances: Sequence[Balance]) -> None:
    """Keep each log with its balance, and the records that were rejected."""
    if new:
        _insert(
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
        _insert(db, "skipped", log=logs, kind=kinds, records=records)
    faults = [
        (_unicode(name), each.place, each.reason)
        for balance in balances
        for name, each in balance.rejections[:FAULTS_KEPT]
    ]
    if faults:
        names, places, reasons = zip(*faults, strict=True)
        _insert(db, "faults", name=names, place=places, reason=reasons)


def _note_places(db: Connection, read: Sequence[ReadLog]) -> None:
    """Keep where logs were found, those that are known too, and which could not be read."""
    by_path = {_unicode(each.found.path): each for each in read}
    names = [_unicode(each.found.name) for each in read]
    # Schema 1 had no paths but names, which stand in their place.
    db.execute("DELETE FROM unread WHERE path IN (SELECT unnest($1))", [[*by_path, *names]])
    known: dict[str, str] = {}
    unread: list[tuple[str, str, str, str]] = []
    for path, (found, result) in by_path.items():
        if isinstance(result, Unread):
            etag = found.etag if result.lasting else ""
            unread.append((path, _unicode(found.name), etag, _unicode(result.fault)))
        elif found.etag:
            known[path] = found.etag
    if known:
        _insert(db, "places", path=list(known), etag=list(known.values()))
    if unread:
        paths, names_of_unread, etags, faults = zip(*unread, strict=True)
        _insert(
            db,
            "unread",
            path=paths,
            name=names_of_unread,
            etag=etags,
            tried_by=[VERSION] * len(unread),
            fault=faults,
        )


def _unicode(name: str) -> str:
    """Make a file's name one that can be stored: in Linux it may be any bytes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


# --- reading ------------------------------------------------------------------------------------


def top(
    db: Connection, by: Sequence[str], *, limit: int | None = None, selection: Selection = ALL
) -> list[tuple[Row, int]]:
    """Add up calls in an open store as `Store.top` does."""
    require_fields((*by, *selection.where), kept=True)
    plain = [field for field in by if field not in WIDTHS]
    times = [f"{start_of(WIDTHS[field])} AS {field}" for field in by if field in WIDTHS]
    series, parameters = select_series(db, plain, selection)
    bounds, more = select_times(db, selection)
    sql = f"""
        WITH chosen AS ({series}),
        sums AS (
            SELECT {", ".join([*times, "series"])}, sum(calls) AS calls
            FROM {smallest_table(by, selection)} {bounds} GROUP BY ALL
        )
        SELECT {", ".join([*by, "sum(calls)::BIGINT AS calls"])}
        FROM sums JOIN chosen ON id = series
        GROUP BY ALL HAVING sum(calls) > 0
        ORDER BY calls DESC{"".join(f", {field}" for field in by)}
        LIMIT {"ALL" if limit is None else min(limit, LARGEST)}
    """
    found = db.execute(sql, parameters | more).fetchall()
    return [(row[:-1], row[-1]) for row in found]


def start_of(width: int) -> str:
    """SQL for the start of the time that *second* is in, also before 1970."""
    return f"second - ((second % {width}) + {width}) % {width}"


def smallest_table(by: Sequence[str], selection: Selection) -> str:
    """Name the smallest table that can tell."""
    times = {*by, *selection.where} & {"second", "minute", "hour"}
    bounds = {bound for bound in (selection.since, selection.until) if bound is not None}
    return "counts" if times or any(bound % WIDTHS["day"] for bound in bounds) else "days"


def select_series(
    db: Connection, plain: Sequence[str], selection: Selection
) -> tuple[str, dict[str, Any]]:
    """SQL for the selected series and their *plain* fields, and its parameters."""
    parameters: dict[str, Any] = {}
    tests = []
    source = "series"
    if "outcome" in (*plain, *selection.plain):
        endings = db.execute(
            "SELECT DISTINCT errorCode, eventSource, failed_without_code FROM series"
        ).fetchall()
        codes, sources, failed = zip(*endings, strict=True) if endings else ((), (), ())
        outcomes = [classify(code, by, failed_without_code=flag) for code, by, flag in endings]
        parameters |= {"codes": codes, "sources": sources, "failed": failed, "outcomes": outcomes}
        source += (
            " JOIN (SELECT unnest($codes) AS errorCode, unnest($sources) AS eventSource,"
            " unnest($failed) AS failed_without_code, unnest($outcomes) AS outcome)"
            " USING (errorCode, eventSource, failed_without_code)"
        )
    for field in selection.plain:
        matches = matcher(field, selection.where[field])
        if field == "outcome":
            values = [(outcome,) for outcome in OUTCOMES]
        else:
            values = db.execute(f"SELECT DISTINCT {field} FROM series").fetchall()
        parameters[field] = [value for (value,) in values if matches(value)]
        tests.append(f"{field} IN (SELECT unnest(${field}::VARCHAR[]))")
    names = ", ".join(dict.fromkeys(["id", *plain]))
    where = f" WHERE {' AND '.join(tests)}" if tests else ""
    return f"SELECT {names} FROM {source}{where}", parameters


def select_times(db: Connection, selection: Selection) -> tuple[str, dict[str, Any]]:
    """SQL for the selected times, and its parameters."""
    parameters: dict[str, Any] = {}
    tests = []
    if selection.since is not None:
        tests.append("second >= $since")
        parameters["since"] = selection.since
    if selection.until is not None:
        tests.append("second < $until")
        parameters["until"] = selection.until
    for field in selection.where.keys() & WIDTHS.keys():
        matches = matcher(field, selection.where[field])
        start = start_of(WIDTHS[field])
        values = db.execute(f"SELECT DISTINCT {start} FROM counts").fetchall()
        parameters[field] = [value for (value,) in values if matches(value)]
        tests.append(f"{start} IN (SELECT unnest(${field}::BIGINT[]))")
    return f"WHERE {' AND '.join(tests)}" if tests else "", parameters
