"""
The tables of a store, and how those of an older store are upgraded.

Each store says in ``about`` which schema it has and which apitracker made that. A new schema
changes `TABLES` and adds an upgrade from the one before; an upgrade that has been released stays
as it is.
"""

from importlib import metadata
from pathlib import Path
from typing import Final

from apitracker.errors import StoreError
from apitracker.store.connections import (
    UNKNOWN_TABLE,
    Connection,
    fetch_one,
    fetch_plain,
    fetch_values,
)

APITRACKER_VERSION: Final = metadata.version("apitracker")
SCHEMA: Final = 2

TABLES: Final = """
CREATE TABLE about (
    schema_version INTEGER, made_by VARCHAR, store VARCHAR, series_state VARCHAR, origin VARCHAR,
    compacted BIGINT
);
CREATE TABLE logs (
    id VARCHAR, name VARCHAR, size BIGINT, first BIGINT, last BIGINT, received BIGINT,
    counted BIGINT, duplicates BIGINT, rejected BIGINT
);
CREATE TABLE places (path VARCHAR, etag VARCHAR);
CREATE TABLE unread (path VARCHAR, name VARCHAR, etag VARCHAR, tried_by VARCHAR, fault VARCHAR);
CREATE TABLE skipped (log VARCHAR, kind VARCHAR, records BIGINT);
CREATE TABLE faults (name VARCHAR, place VARCHAR, reason VARCHAR);
CREATE TABLE series (
    id INTEGER, eventName VARCHAR, eventSource VARCHAR, awsRegion VARCHAR,
    recipientAccountId VARCHAR, callerAccountId VARCHAR, caller VARCHAR, errorCode VARCHAR,
    readOnly VARCHAR, eventCategory VARCHAR, failed_without_code BOOLEAN, throttle_cause VARCHAR
);
CREATE TABLE counts (second BIGINT, series INTEGER, calls BIGINT);
CREATE TABLE days (second BIGINT, series INTEGER, calls BIGINT);
CREATE TABLE events (event UBIGINT, day INTEGER);
"""
"""
*about* has one row. *store* is the store's own identity, and a copy has the same; *series_state*
changes whenever series are added; *origin* is of `core.origins`.

*logs* are those that were counted, each once; *first* and *last* are the seconds of its calls, NULL
where there are none, or where schema 1 did not keep them. *places* say where a log was found and
by which etag it is known to be unchanged, so that it is not read again. *unread* are logs that
could not be read, by path, and which apitracker tried; with an etag they are not read again until
the file or the apitracker changes. *faults* are records that were rejected.

*days* are *counts* added up by day, where *second* is the day's first; questions about days or all
time are answered from it. *events* are hashes of eventIDs: the first 64 bits of 128. Their days,
counted from 1970, are there to forget them by.
"""

UPGRADES: Final = {
    1: """
ALTER TABLE about RENAME TO about_1;
ALTER TABLE logs RENAME TO logs_1;
ALTER TABLE faults RENAME TO faults_1;
ALTER TABLE series RENAME TO series_1;
CREATE TABLE about (
    schema_version INTEGER, made_by VARCHAR, store VARCHAR, series_state VARCHAR, origin VARCHAR,
    compacted BIGINT
);
CREATE TABLE logs (
    id VARCHAR, name VARCHAR, size BIGINT, first BIGINT, last BIGINT, received BIGINT,
    counted BIGINT, duplicates BIGINT, rejected BIGINT
);
CREATE TABLE places (path VARCHAR, etag VARCHAR);
CREATE TABLE unread (path VARCHAR, name VARCHAR, etag VARCHAR, tried_by VARCHAR, fault VARCHAR);
CREATE TABLE faults (name VARCHAR, place VARCHAR, reason VARCHAR);
CREATE TABLE series (
    id INTEGER, eventName VARCHAR, eventSource VARCHAR, awsRegion VARCHAR,
    recipientAccountId VARCHAR, callerAccountId VARCHAR, caller VARCHAR, errorCode VARCHAR,
    readOnly VARCHAR, eventCategory VARCHAR, failed_without_code BOOLEAN, throttle_cause VARCHAR
);
INSERT INTO about SELECT 2, '', uuid()::VARCHAR, uuid()::VARCHAR, (
    SELECT CASE
        WHEN count(*) = 0 THEN ''
        WHEN bool_and(caller <> 'arn:aws:iam::111122223333:role/inventory-scanner') THEN 'real'
        WHEN bool_and(recipientAccountId IN (
            '111122223333', '444455556666', '777788889999', '222233334444'
        )) THEN 'synthetic'
        ELSE 'mixed'
    END FROM series_1
), compacted FROM about_1;
INSERT INTO logs BY NAME SELECT * EXCLUDE (etag) FROM logs_1;
INSERT INTO places SELECT name, etag FROM logs_1 WHERE starts_with(name, 's3://') AND etag <> '';
INSERT INTO unread SELECT name, name, '', '', reason FROM faults_1 WHERE place = '';
INSERT INTO faults SELECT name, place, reason FROM faults_1 WHERE place <> '' ORDER BY rowid;
INSERT INTO series SELECT id, eventName, eventSource, awsRegion, recipientAccountId,
    callerAccountId, caller, errorCode, readOnly, eventCategory, failed, '' FROM series_1;
DROP TABLE about_1;
DROP TABLE logs_1;
DROP TABLE faults_1;
DROP TABLE series_1;
"""
}
"""
SQL from each schema to the next.

1: it did not keep enough of a local file to tell whether the file has changed, so those are read
once more, and are known by their bytes. The sample trail had no mark of its own yet: it is
recognised by the caller that is the culprit of its incident, in the accounts that it has.
"""


def prepare(db: Connection, path: Path) -> None:
    """Make the tables of a new store, or upgrade those of an older one."""
    schema = read_schema(db, path)
    if schema == SCHEMA:
        return
    db.execute("BEGIN")
    if schema == 0:
        make_tables(db)
    else:
        for older in range(schema, SCHEMA):
            db.execute(UPGRADES[older])
        db.execute("UPDATE about SET schema_version = ?, made_by = ?", [SCHEMA, APITRACKER_VERSION])
    db.execute("COMMIT")


def make_tables(db: Connection) -> None:
    """Make the tables of a new store."""
    db.execute(TABLES)
    values = [SCHEMA, APITRACKER_VERSION]
    db.execute("INSERT INTO about VALUES (?, ?, uuid(), uuid(), '', 0)", values)


def read_schema(db: Connection, path: Path) -> int:
    """
    Return the schema of the store, 0 if it was made and nothing was added to it yet.

    `StoreError` if this apitracker cannot read it.
    """
    try:
        versions = fetch_values(db, "SELECT schema_version FROM about")
    except UNKNOWN_TABLE:
        # Asked only now: to list the tables takes longer than most questions.
        if not fetch_plain(db, "SELECT table_name FROM duckdb_tables()"):
            return 0
        versions = []
    schema = versions[0] if versions else None
    if not isinstance(schema, int) or schema < 1:
        raise StoreError(
            f"{path}: this store has no version of the schema: another program has made it; give"
            " another file to --store"
        )
    if schema > SCHEMA:
        raise StoreError(_newer(db, path, schema))
    return schema


def _newer(db: Connection, path: Path, schema: int) -> str:
    """Word the fault of a store that has a newer *schema*."""
    try:
        maker = fetch_one(db, str, "SELECT made_by FROM about")
    except UNKNOWN_TABLE:
        maker = ""
    needed = f"apitracker {maker}" if maker else "a newer apitracker"
    return (
        f"{path}: this store has version {schema} of the schema, and this apitracker"
        f" ({APITRACKER_VERSION}) reads up to version {SCHEMA}; use {needed}"
    )
