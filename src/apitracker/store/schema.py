"""
The tables of a store, and how those of an older store are upgraded.

Each store says in ``about`` which schema it has and which apitracker made that. A new schema
changes `TABLES` and adds an upgrade from the one before; an upgrade that has been released stays
as it is.
"""

from typing import Final

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
From each schema to the next, in SQL.

1: what it kept of a local file does not tell whether the file has changed, so those are read once
more, and are known by their bytes. The sample trail had no mark of its own yet: it is recognised by
the caller that is the culprit of its incident, in the accounts that it has.
"""
