"""
How fast are logs decoded and counted on one core, beside json and a dict, and beside DuckDB?

Ours is what ``apitracker count`` runs on one core: `read_all` with one process, and `merge`, with
the garbage collector as the command sets it. The others are as people write them, and leave it as
it is. All give the same counts, which is checked; to spell them alike is not timed.
"""

import gzip
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import duckdb
from benchmarks.corpora import Corpora, describe, files
from benchmarks.measure import Options, Result, child, ratio, rounds, seconds, settle

from apitracker.core.compression import MAX_BYTES
from apitracker.core.counting import Query, merge
from apitracker.core.fields import Row
from apitracker.core.times import label
from apitracker.jobs.ingest import ingest_query
from apitracker.logs.workers import read_all, results

MINUTE: Final = ("minute", "eventName", "awsRegion", "eventSource")
NO_CALLS: Final = {"Aggregated", "Insight", "AwsAggregatedEvent", "AwsCloudTrailInsight"}
SIGN_IN: Final = ("signin", "sso", "workspaces")
AWS_CAUSED: Final = "aws operational issue"
Counts = Mapping[Row, int]


def ours_by_minute(folder: Path) -> Counts:
    """Count by minute, API and region; nobody looks for duplicates."""
    return _ours(folder, Query(MINUTE, keep_duplicates=True))


def ours_by_key(folder: Path) -> Counts:
    """Count by all fields of a Key, each eventID once."""
    return _ours(folder, ingest_query(MAX_BYTES))


def _ours(folder: Path, query: Query) -> Counts:
    read = read_all(files(folder), query, processes=1)
    return merge(results(read), query).counts.rows


def json_by_minute(folder: Path) -> Counts:
    """Do as `ours_by_minute` with the standard library, as most scripts do."""
    counts: dict[Row, int] = {}
    for log in files(folder):
        with gzip.open(log.name) as file:
            records = json.load(file)["Records"]
        for record in records:
            key = (
                record["eventTime"][:16],
                record.get("eventName", ""),
                record.get("awsRegion", ""),
                record.get("eventSource", ""),
            )
            counts[key] = counts.get(key, 0) + 1
    return counts


def json_by_key(folder: Path) -> Counts:
    """Do as `ours_by_key` with the standard library."""
    counts: dict[Row, int] = {}
    seen = set()
    for log in files(folder):
        with gzip.open(log.name) as file:
            records = json.load(file)["Records"]
        for record in records:
            kind = record.get("eventType", "")
            if kind in NO_CALLS or record.get("eventCategory") in NO_CALLS:
                continue
            addendum = record.get("addendum")
            event = (addendum and addendum.get("originalEventID")) or record.get("eventID")
            if event:
                if event in seen:
                    continue
                seen.add(event)
            identity = record.get("userIdentity") or {}
            read_only = record.get("readOnly")
            key = (
                record["eventTime"][:19],
                record.get("eventName") or "",
                record.get("eventSource") or "",
                record.get("awsRegion") or "",
                record.get("recipientAccountId") or "",
                identity.get("accountId") or "",
                _caller(identity),
                record.get("errorCode") or "",
                "" if read_only is None else str(read_only).lower(),
                record.get("eventCategory") or "",
                kind != "AwsApiCall" and not record.get("errorCode") and _sign_in_failed(record),
                "aws" if AWS_CAUSED in (record.get("errorMessage") or "").lower() else "",
            )
            counts[key] = counts.get(key, 0) + 1
    return counts


def _caller(identity: dict[str, Any]) -> str:
    issuer: str = ((identity.get("sessionContext") or {}).get("sessionIssuer") or {}).get("arn", "")
    if issuer:
        return issuer
    arn: str = identity.get("arn") or ""
    if arn:
        head, kind, path = arn.partition(":assumed-role/")
        return head + kind + path.partition("/")[0]
    principal: str = identity.get("principalId") or ""
    head = principal.partition(":")[0]
    if head.isdigit():
        principal = ""
    account: str = identity.get("accountId") or ""
    return (
        identity.get("invokedBy")
        or (head if head.isalnum() and head.isupper() else principal)
        or (identity.get("onBehalfOf") or {}).get("userId")
        or identity.get("userName")
        or (account and f"{identity.get('type') or ''} {account}".lstrip())
        or head
        or identity.get("type")
        or ""
    )


def _sign_in_failed(record: dict[str, Any]) -> bool:
    service = (record.get("eventSource") or "").partition(".")[0]
    if record.get("eventType") != "AwsConsoleSignIn" and service not in SIGN_IN:
        return False
    said: list[Any] = []
    for field in ("responseElements", "serviceEventDetails"):
        said += (record.get(field) or {}).values()
    return "Failure" in said or ("Success" not in said and bool(record.get("errorMessage")))


# The fastest of DuckDB's ways to read these files: ../shared/performance.md, section 4, has others.
SHAPE: Final = {
    "eventTime": "VARCHAR",
    "eventName": "VARCHAR",
    "eventSource": "VARCHAR",
    "awsRegion": "VARCHAR",
    "recipientAccountId": "VARCHAR",
    "userIdentity": {
        "type": "VARCHAR",
        "principalId": "VARCHAR",
        "arn": "VARCHAR",
        "accountId": "VARCHAR",
        "userName": "VARCHAR",
        "onBehalfOf": {"userId": "VARCHAR"},
        "sessionContext": {"sessionIssuer": {"arn": "VARCHAR"}},
        "invokedBy": "VARCHAR",
    },
    "errorCode": "VARCHAR",
    "errorMessage": "VARCHAR",
    "readOnly": "VARCHAR",
    "eventCategory": "VARCHAR",
    "eventType": "VARCHAR",
    "responseElements": "JSON",
    "serviceEventDetails": "JSON",
    "eventID": "VARCHAR",
    "addendum": {"originalEventID": "VARCHAR"},
}
SQL: Final = f"""
WITH records AS (
    SELECT unnest(from_json(json -> 'Records', '{json.dumps([SHAPE])}')) AS r
    FROM read_json_objects($files, format = 'unstructured', maximum_object_size = 100000000)
),
calls AS (
    SELECT
        r.eventTime[:19] AS time,
        ifnull(r.eventName, '') AS eventName,
        ifnull(r.eventSource, '') AS eventSource,
        ifnull(r.awsRegion, '') AS awsRegion,
        ifnull(r.recipientAccountId, '') AS recipientAccountId,
        ifnull(r.userIdentity.accountId, '') AS callerAccountId,
        coalesce(
            nullif(r.userIdentity.sessionContext.sessionIssuer.arn, ''),
            CASE WHEN contains(r.userIdentity.arn, ':assumed-role/')
                THEN regexp_replace(r.userIdentity.arn, '(:assumed-role/[^/]*)/.*', '\\1')
                ELSE nullif(r.userIdentity.arn, '') END,
            nullif(r.userIdentity.invokedBy, ''),
            CASE WHEN regexp_matches(r.userIdentity.principalId, '^[0-9]*[A-Z][A-Z0-9]*:')
                THEN split_part(r.userIdentity.principalId, ':', 1)
                WHEN regexp_matches(r.userIdentity.principalId, '^[0-9]*(:|$)') THEN NULL
                ELSE r.userIdentity.principalId END,
            nullif(r.userIdentity.onBehalfOf.userId, ''),
            nullif(r.userIdentity.userName, ''),
            ltrim(ifnull(r.userIdentity.type, '') || ' ' || nullif(r.userIdentity.accountId, '')),
            nullif(split_part(r.userIdentity.principalId, ':', 1), ''),
            r.userIdentity.type,
            ''
        ) AS caller,
        ifnull(r.errorCode, '') AS errorCode,
        lower(ifnull(r.readOnly, '')) AS readOnly,
        ifnull(r.eventCategory, '') AS eventCategory,
        ifnull(r.eventType, '') <> 'AwsApiCall' AND ifnull(r.errorCode, '') = ''
            AND (ifnull(r.eventType = 'AwsConsoleSignIn', false)
                OR ifnull(split_part(r.eventSource, '.', 1) IN {SIGN_IN}, false))
            AND (said LIKE '%"Failure"%'
                OR (said NOT LIKE '%"Success"%' AND ifnull(r.errorMessage, '') <> '')) AS failed,
        CASE WHEN contains(lower(r.errorMessage), '{AWS_CAUSED}') THEN 'aws' ELSE '' END AS cause,
        coalesce(nullif(r.addendum.originalEventID, ''), nullif(r.eventID, '')) AS event
    FROM (
        SELECT r, concat(r.responseElements::VARCHAR, r.serviceEventDetails::VARCHAR) AS said
        FROM records
    )
    WHERE ifnull(r.eventCategory, '') NOT IN ('Aggregated', 'Insight')
        AND ifnull(r.eventType, '') NOT IN ('AwsAggregatedEvent', 'AwsCloudTrailInsight')
)
"""
# Each eventID once: DISTINCT ON is faster here than any_value of a struct, grouped by the event.
KEY_SQL: Final = (
    SQL
    + """
SELECT
    time, eventName, eventSource, awsRegion, recipientAccountId, callerAccountId, caller,
    errorCode, readOnly, eventCategory, failed, cause, count(*)
FROM (SELECT DISTINCT ON (event, CASE WHEN event IS NULL THEN uuid() END) * FROM calls)
GROUP BY ALL
"""
)


def duckdb_by_key(folder: Path) -> Counts:
    """Do as `ours_by_key` with DuckDB, on one thread."""
    with duckdb.connect(config={"threads": 1}) as db:
        rows = db.execute(KEY_SQL, {"files": [log.name for log in files(folder)]}).fetchall()
    return {row[:-1]: row[-1] for row in rows}


CONTENDERS: Final[dict[str, Callable[[Path], Counts]]] = {
    f.__name__: f for f in (ours_by_minute, json_by_minute, ours_by_key, json_by_key, duckdb_by_key)
}


def _digest(counts: Counts) -> str:
    """Return a hash of *counts* with times written alike."""
    form = {4: "minute", 12: "second"}
    rows = sorted(
        (label(form[len(row)], row[0])[: 19 if len(row) == 12 else 16], *row[1:], n)
        for row, n in counts.items()
    )
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def _time(name: str, folder: Path) -> dict[str, float | str | int]:
    """Run one contender in this process."""
    if name.startswith("ours"):
        settle()
    begun = time.perf_counter()
    counts = CONTENDERS[name](folder)
    taken = time.perf_counter() - begun
    return {"seconds": taken, "digest": _digest(counts), "calls": sum(counts.values())}


def run(options: Options, corpora: Corpora) -> Iterable[Result]:
    """Answer the question for each corpus."""
    for name in corpora.names():
        folder = corpora.part(name, 4)
        size = describe(folder)
        yield from _compare(options, folder, f"{name}: {size}", "by minute, API, region", 5.0)
        yield from _compare(options, folder, f"{name}: {size}", "whole Key, each eventID once", 4.5)


def _compare(
    options: Options, folder: Path, corpus: str, what: str, target: float
) -> Iterable[Result]:
    suffix = "by_key" if "Key" in what else "by_minute"
    names = [name for name in CONTENDERS if name.endswith(suffix)]
    digests: dict[str, str] = {}
    calls = 0

    def contender(name: str) -> Callable[[], float]:
        def once() -> float:
            nonlocal calls
            answer = child("decoding", name, str(folder))
            digests[name] = answer["digest"]
            calls = answer["calls"]
            return float(answer["seconds"])

        return once

    times = rounds(options.rounds, {name: contender(name) for name in names})
    if len(set(digests.values())) != 1:
        raise RuntimeError(f"{corpus}: {what}: the counts differ: {digests}")
    ours, *others = names
    for other in others:
        library = other.partition("_")[0]
        yield Result(
            f"decode and count, {what}, one core, against {library}",
            f"{corpus}, {calls:,} calls",
            seconds(times[ours]),
            seconds(times[other]),
            ratio(times[other], times[ours]),
            3.0 if library == "duckdb" else target,
        )


if __name__ == "__main__":
    print(json.dumps(_time(sys.argv[1], Path(sys.argv[2]))))
