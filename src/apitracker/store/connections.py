"""
Connections to a store's file: the only module that knows DuckDB.

A file is open for one batch or one answer at a time: DuckDB gives a file to one writer or to
several readers, so each waits until the other has closed it.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import starmap
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

import duckdb
import numpy as np
from numpy.typing import NDArray

from apitracker.core.fields import Row, Value
from apitracker.errors import StoreError

Connection: TypeAlias = duckdb.DuckDBPyConnection
SqlParameters: TypeAlias = Mapping[str, object] | Sequence[object]

R = TypeVar("R")

WAIT_SECONDS: Final = 10.0  # for another process to close the file

CLOSED: Final[dict[str, str | bool | int | float | list[str]]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
"""DuckDB would fetch an extension from its makers for a file that is SQLite's, and a view in a
file that somebody else made could read other files."""

UNKNOWN_TABLE: Final = (duckdb.CatalogException, duckdb.BinderException)
"""The errors of a query that names a table, or a column, that the file does not have."""

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
"""Words of DuckDB's messages, and the fault that each stands for."""


class UnopenedError(StoreError):
    """The file cannot be opened, or not for writing."""

    def __init__(self, path: Path, fault: str) -> None:
        super().__init__(f"{path}: this store cannot be opened: {fault}")
        self.fault = fault


# --- opening ------------------------------------------------------------------------------------


@contextmanager
def open_file(path: Path, *, read_only: bool) -> Iterator[Connection]:
    """Open the file at *path*, and translate every error of DuckDB until it is closed."""
    db = _connect(path, read_only=read_only)
    try:
        yield db
    except duckdb.Error as e:
        raise StoreError(f"{path}: this store cannot be used: {_fault(e)}") from e
    except RuntimeError as e:
        if "interrupted" in str(e):  # DuckDB's word for Ctrl-C during a query
            raise KeyboardInterrupt from e
        raise
    finally:
        db.close()


def open_memory() -> Connection:
    """Open a database that is in memory alone."""
    return duckdb.connect(config=CLOSED)


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


def _fault(error: duckdb.Error) -> str:
    """Word an error of DuckDB plainly, with the way on."""
    message = str(error)
    unknown = f"DuckDB failed with {type(error).__name__}; try again"
    return next((fault for words, fault in DUCKDB_FAULTS if words in message), unknown)


# --- rows ---------------------------------------------------------------------------------------


def fetch(
    db: Connection, row: Callable[..., R], sql: str, parameters: SqlParameters = ()
) -> list[R]:
    """Return the rows of *sql*: each is a *row*, made of its columns in their order."""
    return list(starmap(row, db.execute(sql, parameters).fetchall()))


def fetch_one(db: Connection, row: Callable[..., R], sql: str, parameters: SqlParameters = ()) -> R:
    """Return the only row of *sql*, as `fetch` does."""
    (found,) = fetch(db, row, sql, parameters)
    return found


def fetch_plain(db: Connection, sql: str, parameters: SqlParameters = ()) -> list[Row]:
    """Return the rows of *sql*; its columns are fields of calls."""
    found: list[Row] = db.execute(sql, parameters).fetchall()
    return found


def fetch_values(db: Connection, sql: str, parameters: SqlParameters = ()) -> list[Value]:
    """Return the only column of *sql*, a field of calls."""
    return [value for (value,) in fetch_plain(db, sql, parameters)]


def insert(db: Connection, table: str, **columns: Sequence[object] | NDArray[np.generic]) -> None:
    """Append columns, numpy arrays or sequences of plain values, to *table*."""
    if all(isinstance(column, np.ndarray) for column in columns.values()):
        db.register("batch", columns)
        db.execute(f"INSERT INTO {table} BY NAME FROM batch")
        db.unregister("batch")
    else:
        values = ", ".join(f"unnest(${name}) AS {name}" for name in columns)
        lists = {name: list(column) for name, column in columns.items()}
        db.execute(f"INSERT INTO {table} BY NAME SELECT {values}", lists)
