"""
The embedded store: counts in one DuckDB file.

`store.connections` opens it, `store.schema` has its tables, `store.writing` adds to it, and
`store.queries` and `store.incidents` ask it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from apitracker.core.balance import Balance
from apitracker.core.fields import WIDTHS
from apitracker.errors import StoreError
from apitracker.logs.workers import ReadLog
from apitracker.store.connections import (
    Connection,
    UnopenedError,
    fetch,
    fetch_one,
    open_file,
    open_memory,
)
from apitracker.store.schema import (
    APITRACKER_VERSION,
    SCHEMA,
    make_tables,
    prepare,
    read_schema,
)
from apitracker.store.writing import SeriesNumbers, add_logs, partial_counts, require_one_origin


class KnownPlace(NamedTuple):
    """The path of a log, and the etag by which it is known to be unchanged."""

    path: str
    etag: str


class Known(NamedTuple):
    """
    Logs that need not be read again.

    *read* are in the store; *unread* could not be read by this apitracker.
    """

    read: set[KnownPlace]
    unread: set[KnownPlace]


class Store:
    """
    Counts in the DuckDB file at *path*.

    The file is made when something is first added. Every method opens it, waits up to
    `connections.WAIT_SECONDS` for others to close it, and closes it again; a store of an older
    schema is upgraded first. `StoreError` when that fails, or when the file is not a store, or one
    of a newer schema.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._numbers = SeriesNumbers()

    # --- writing --------------------------------------------------------------------------------

    def add(self, read: Sequence[ReadLog], *, mix: bool = False) -> Balance:
        """
        Add the counts of logs, *read* by the fields of Key: of all or, if that fails, of none.

        A log that was added before changes nothing, nor does an event that was counted before.
        Return the balance of these logs. `UsageError` if real and synthetic calls would come
        together, unless *mix* allows that.
        """
        if not (mix or self.path.exists()):
            require_one_origin(self.path, "", partial_counts(read))  # before there is a file
        with self._write() as db:
            return add_logs(db, self.path, read, self._numbers, mix=mix)

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
            doubled = "SELECT (SELECT count(*) FROM counts) > 2 * compacted FROM about"
            if not fetch_one(db, bool, doubled):
                return
            for table in ("counts", "days"):
                _rewrite(
                    db,
                    table,
                    "SELECT second, series, sum(calls)::BIGINT AS calls FROM {}"
                    " GROUP BY second, series ORDER BY second // 86400, series, second",
                )
            db.execute("UPDATE about SET compacted = (SELECT count(*) FROM counts)")
        # The space before the new table is free now, and the file ends where that table does.
        # Written once more, it moves to the front, and the file is cut off behind it.
        with self._write() as db:
            for table in ("counts", "days"):
                _rewrite(db, table, "FROM {}")

    # --- reading --------------------------------------------------------------------------------

    def known(self) -> Known:
        """Return the logs that have an etag and need not be read again while it stays."""
        unread = "SELECT path, etag FROM unread WHERE etag <> '' AND tried_by = ?"
        with self.reading() as db:
            return Known(
                set(fetch(db, KnownPlace, "SELECT path, etag FROM places")),
                set(fetch(db, KnownPlace, unread, [APITRACKER_VERSION])),
            )

    @contextmanager
    def reading(self, *, required: bool = False) -> Iterator[Connection]:
        """
        Open the file for questions, those of `store.queries` too: all are of one state of it.

        A store that is not there yet, or that nothing was added to, is one without calls; where it
        is *required* that is a `StoreError`. A store of an older schema is upgraded first.
        """
        fault = "no such store; make one with: apitracker ingest SOURCE"
        if self.path.exists():
            with open_file(self.path, read_only=True) as db:
                schema = read_schema(db, self.path)
                if schema == SCHEMA:
                    yield db
                    return
            if schema:
                self._upgrade(schema)
                with open_file(self.path, read_only=True) as db:
                    yield db
                    return
            fault = "nothing is in this store; run apitracker ingest"
        if required:
            raise StoreError(f"{self.path}: {fault}")
        with open_memory() as db:
            make_tables(db)
            yield db

    # --- opening --------------------------------------------------------------------------------

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        """Open the file for one transaction."""
        try:
            with open_file(self.path, read_only=False) as db:
                prepare(db, self.path)
                db.execute("BEGIN")
                yield db
                db.execute("COMMIT")
        except BaseException:
            self._numbers.forget()
            raise

    def _upgrade(self, schema: int) -> None:
        """Upgrade the file from an older *schema* to that of this apitracker."""
        try:
            with open_file(self.path, read_only=False) as db:
                prepare(db, self.path)
        except UnopenedError as e:
            raise StoreError(
                f"{self.path}: this store has schema {schema}, which has to be upgraded to {SCHEMA}"
                f" before it is read, and it cannot be written: {e.fault}; copy it to a folder that"
                " you may write in, and give that file to --store"
            ) from e


def _rewrite(db: Connection, table: str, query: str) -> None:
    """Replace *table* by the rows of *query*; {} stands for its name there."""
    db.execute(f"CREATE TABLE rewritten AS {query.format(table)}")
    db.execute(f"DROP TABLE {table}")
    db.execute(f"ALTER TABLE rewritten RENAME TO {table}")
