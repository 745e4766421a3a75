"""Stores of older and newer schemas: upgraded where they are, or refused by what reads them."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import duckdb
import pytest
from tests.commands import run
from tests.stores import top, unread

from apitracker.core.balance import Balance, Unread
from apitracker.core.model import Rejected
from apitracker.core.selection import Selection
from apitracker.errors import StoreError
from apitracker.store.database import Store
from apitracker.store.queries import StoreBalance, read_balance, summarize
from apitracker.store.writing import SERIES

DAY = 86_400

SCHEMA_1: Final = """
CREATE TABLE about (schema_version INTEGER, compacted BIGINT);
INSERT INTO about VALUES (1, 0);
CREATE TABLE logs (
    id VARCHAR, name VARCHAR, size BIGINT, etag VARCHAR, received BIGINT, counted BIGINT,
    duplicates BIGINT, rejected BIGINT
);
CREATE TABLE skipped (log VARCHAR, kind VARCHAR, records BIGINT);
CREATE TABLE faults (name VARCHAR, place VARCHAR, reason VARCHAR);
CREATE TABLE series (
    id INTEGER, eventName VARCHAR, eventSource VARCHAR, awsRegion VARCHAR,
    recipientAccountId VARCHAR, callerAccountId VARCHAR, caller VARCHAR, errorCode VARCHAR,
    readOnly VARCHAR, eventCategory VARCHAR,
    failed BOOLEAN
);
CREATE TABLE counts (second BIGINT, series INTEGER, calls BIGINT);
CREATE TABLE days (second BIGINT, series INTEGER, calls BIGINT);
CREATE TABLE events (event UBIGINT, day INTEGER);
"""
"""What apitracker 0.2.0 made until commit 753c488. It is in users' files: it stays as it is."""

FILLED: Final = """
UPDATE about SET compacted = 3;
INSERT INTO logs VALUES
    ('l1', 's3://b/k1', 10, 'e1', 6, 4, 1, 0), ('l2', 'trail/a.json', 20, '99-20', 3, 2, 0, 1),
    ('l3', '-', -1, '', 1, 1, 0, 0);
INSERT INTO skipped VALUES ('l1', 'insight', 1);
INSERT INTO faults VALUES
    ('trail/a.json', 'record 2', 'no eventTime'), ('trail/bad.json', '', 'is empty'),
    ('gone.json', '', 'permission denied: make it readable for this user');
INSERT INTO series VALUES
    (0, 'GetObject', 's3.amazonaws.com', 'eu-west-1', '811596193553', '811596193553',
        'arn:aws:iam::811596193553:role/app', '', 'true', 'Management', false),
    (1, 'ConsoleLogin', 'signin.amazonaws.com', 'us-east-1', '811596193553', '811596193553',
        'arn:aws:iam::811596193553:user/ann', '', 'false', 'Management', true),
    (2, 'DescribeInstances', 'ec2.amazonaws.com', 'us-east-1', '811596193553', '811596193553',
        'arn:aws:iam::811596193553:role/app', 'Client.RequestLimitExceeded', 'true', '', false);
INSERT INTO counts VALUES (60, 0, 3), (86400, 1, 1), (86405, 2, 2), (86406, 2, 1);
INSERT INTO days VALUES (0, 0, 3), (86400, 1, 1), (86400, 2, 3);
INSERT INTO events VALUES (18446744073709551615, 0), (7, 1);
"""


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """What the file says, without the store."""
    with duckdb.connect(path, read_only=True) as db:
        return db.execute(sql).fetchall()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A store of schema 1."""
    path = tmp_path / "usage.duckdb"
    with duckdb.connect(path) as db:
        db.execute(SCHEMA_1)
        db.execute(FILLED)
    return path


def assert_all_is_kept(path: Path) -> None:
    """A store holds what `FILLED` has put in."""
    store = Store(path)
    assert top(store, ["eventName", "outcome"]) == [
        (("DescribeInstances", "throttled"), 3),
        (("GetObject", "ok"), 3),
        (("ConsoleLogin", "failed"), 1),
    ]
    assert top(store, ["second"], selection=Selection(since=DAY)) == [
        ((86_405,), 2),
        ((86_400,), 1),
        ((86_406,), 1),
    ]
    assert store.known() == ({("s3://b/k1", "e1")}, set())
    with store.reading() as db:
        assert summarize(db) == (3, 7, 2, 60, 86_406, "real", 2)
        assert read_balance(db, 9) == StoreBalance(
            Balance(
                logs=3,
                received=10,
                counted=7,
                duplicates=1,
                rejected=1,
                skipped=Counter(insight=1),
                rejections=(("trail/a.json", Rejected("record 2", "no eventTime")),),
                unread=(
                    Unread("gone.json", "permission denied: make it readable for this user"),
                    Unread("trail/bad.json", "is empty"),
                ),
            ),
            unreadable=2,
            fault=None,
        )
    for sql, rows in (
        ("FROM events ORDER BY day", [(18_446_744_073_709_551_615, 0), (7, 1)]),
        (
            "FROM counts ORDER BY second",
            [(60, 0, 3), (DAY, 1, 1), (DAY + 5, 2, 2), (DAY + 6, 2, 1)],
        ),
        ("FROM days ORDER BY series", [(0, 0, 3), (DAY, 1, 1), (DAY, 2, 3)]),
        (
            "SELECT id, name, size, first, last FROM logs WHERE id = 'l1'",
            [("l1", "s3://b/k1", 10, None, None)],
        ),
        (
            "SELECT id, failed_without_code, throttle_cause FROM series ORDER BY id",
            [(0, False, ""), (1, True, ""), (2, False, "")],
        ),
        (
            "SELECT schema_version, made_by, compacted FROM about",
            [(2, metadata.version("apitracker"), 3)],
        ),
    ):
        assert query(path, sql) == rows


def test_an_older_store_is_upgraded_where_it_is(old: Path) -> None:
    """A question to a store of schema 1 upgrades it: each count, log, event and fault is kept."""
    assert top(Store(old), []) == [((), 7)]

    assert_all_is_kept(old)
    assert [path.name for path in old.parent.iterdir()] == ["usage.duckdb"]


def test_an_upgraded_store_is_as_a_new_one(old: Path, tmp_path: Path) -> None:
    """Its tables have the columns of a store that is made now, and it can be added to."""
    new = tmp_path / "new.duckdb"
    for path in (old, new):
        Store(path).add([unread("trail/bad.json", "is empty")])
    columns = """
        SELECT table_name, column_name, data_type, column_default FROM duckdb_columns()
        WHERE NOT internal ORDER BY table_name, column_index
    """

    assert query(old, columns) == query(new, columns)
    assert_all_is_kept(old)
    assert [name for table, name, *_ in query(new, columns) if table == "series"] == ["id", *SERIES]


@pytest.mark.parametrize("args", [["top"], ["throttles"], ["report", "-o", "r.html"]], ids=" ".join)
def test_commands_answer_from_an_older_store(old: Path, args: list[str]) -> None:
    """Each command that reads works at once, and leaves the upgraded store."""
    done = run(old.parent, *args)

    assert (done.returncode, done.stderr) == (0, "")
    assert_all_is_kept(old)


@pytest.mark.parametrize(
    ("caller", "account", "origin"),
    [
        ("arn:aws:iam::111122223333:role/inventory-scanner", "444455556666", "synthetic"),
        ("arn:aws:iam::111122223333:role/inventory-scanner", "811596193553", "mixed"),
        ("arn:aws:iam::111122223333:role/app", "111122223333", "real"),
    ],
)
def test_the_origin_of_an_older_store(
    tmp_path: Path, caller: str, account: str, origin: str
) -> None:
    """The sample trail of old, which had no mark, is known by its culprit and its accounts."""
    path = tmp_path / "usage.duckdb"
    with duckdb.connect(path) as db:
        db.execute(SCHEMA_1)
        db.execute(
            "INSERT INTO series VALUES (0, '', '', '', '111122223333', '', $1, '', '', '', false),"
            " (1, '', '', '', $2, '', '', '', '', '', false)",
            [caller, account],
        )

    with Store(path).reading() as db:
        assert summarize(db).origin == origin


def test_an_empty_older_store(tmp_path: Path) -> None:
    """A store of schema 1 without calls is upgraded too, and its calls have no origin."""
    path = tmp_path / "usage.duckdb"
    with duckdb.connect(path) as db:
        db.execute(SCHEMA_1)

    with Store(path).reading(required=True) as db:
        assert summarize(db) == (0, 0, 0, None, None, "", 0)


KILLED = """
import os, sys
from pathlib import Path
import duckdb
from apitracker.store import database as store

class Connection:
    def __init__(self, db):
        self.db = db

    def __getattr__(self, name):
        return getattr(self.db, name)

    def execute(self, sql, *more):
        if sql == "COMMIT" and sys.argv[2] == "before":
            os.kill(os.getpid(), 9)
        done = self.db.execute(sql, *more)
        if sql == "COMMIT":
            os.kill(os.getpid(), 9)
        return done

connect = duckdb.connect
duckdb.connect = lambda path, **options: Connection(connect(path, **options))
with store.Store(Path(sys.argv[1])).reading():
    pass
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_during_the_upgrade(old: Path, moment: str) -> None:
    """Killed just before the upgrade is written down, the old store is there; after, the new."""
    done = subprocess.run([sys.executable, "-c", KILLED, old, moment], check=False)
    schema = query(old, "SELECT schema_version FROM about")

    assert (done.returncode, schema) == (-9, [(1 if moment == "before" else 2,)])
    if moment == "before":
        assert query(old, "SELECT sum(counted), max(etag) FROM logs") == [(7, "e1")]
    assert_all_is_kept(old)


def test_an_upgrade_that_cannot_be_written(old: Path) -> None:
    """A store of an older schema that may only be read says how to go on, and stays as it is."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(shutil.copy(old, folder))
        path.chmod(0o444)
        user = os.geteuid()
        os.seteuid(user or 65_534)  # root may write everywhere
        try:
            with pytest.raises(StoreError) as raised:
                top(Store(path), [])
        finally:
            os.seteuid(user)
        assert query(path, "SELECT schema_version FROM about") == [(1,)]

    assert str(raised.value).startswith(
        f"{path}: this store has schema 1, which has to be upgraded to 2 before it is read, and it"
        " cannot be written: permission denied; make it readable and writable for this user"
    )
    assert str(raised.value).endswith(
        "; copy it to a folder that you may write in, and give that file to --store"
    )


@pytest.mark.parametrize(
    ("maker", "needed"), [("9.1.0", "apitracker 9.1.0"), ("", "a newer apitr")]
)
def test_a_newer_store(old: Path, maker: str, needed: str) -> None:
    """A store of a newer schema is refused by both versions, and by which apitracker reads it."""
    top(Store(old), [])
    with duckdb.connect(old) as db:
        db.execute("UPDATE about SET schema_version = 3, made_by = ?", [maker])
    version = metadata.version("apitracker")

    for done in (run(old.parent, "top"), run(old.parent, "ingest", old.parent)):
        assert done.returncode == 3
        assert (
            "usage.duckdb: this store has version 3 of the schema, and this apitracker"
            f" ({version}) reads up to version 2; use {needed}" in done.stderr
        )


def test_each_store_has_an_identity(tmp_path: Path) -> None:
    """Two stores never have the same one; a copy has that of the original."""
    first, second = tmp_path / "a.duckdb", tmp_path / "b.duckdb"
    for path in (first, second):
        Store(path).add([])
    copy = Path(shutil.copy(first, tmp_path / "copy.duckdb"))
    identities = [query(path, "SELECT store FROM about") for path in (first, second, copy)]

    assert identities[0] == identities[2] != identities[1]
    assert all(len(found) == 36 for ((found,),) in identities)


def test_no_store(tmp_path: Path) -> None:
    """A table of the name that says nothing of a schema makes no store of a file."""
    for number, sql in enumerate(
        ("CREATE TABLE about (x INTEGER)", "CREATE TABLE about (schema_version VARCHAR)")
    ):
        path = tmp_path / f"{number}.duckdb"
        with duckdb.connect(path) as db:
            db.execute(sql)

        with pytest.raises(StoreError, match="no version of the schema: another program"):
            top(Store(path), [])
