"""
The questions to a store: headline figures, calls over time, ranked rows, the balance.

Each function asks a store that `Store.reading` has opened, so that several answers are of one
state of it.
"""

# ruff: noqa: S608 - SQL is put together from our own names only; values are parameters
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from apitracker.core.balance import Balance, Unread
from apitracker.core.counts import Counts
from apitracker.core.fields import WIDTHS, Row, require_fields
from apitracker.core.model import Rejected
from apitracker.core.selection import ALL, Selection
from apitracker.errors import UsageError
from apitracker.store.connections import Connection, fetch, fetch_one, fetch_plain, fetch_values
from apitracker.store.selecting import (
    Sql,
    select_series,
    select_times,
    smallest_table,
    start_of,
    sum_by_outcome,
    sum_by_series,
)

DAY: Final = WIDTHS["day"]
STEPS: Final = (60, 300, 900, 3_600, 10_800, DAY)  # of calls over time
POINTS: Final = 400  # of calls over time, at most
ROW_BUCKETS: Final = 40  # of a row's calls over time, at most
ROW_UNITS: Final = (DAY, 60, 1)  # whole ones, in a row's calls over time
WEEK: Final = 7 * DAY
WEEKS: Final = 100  # that are asked one by one, at most; of a longer time, longer parts
NOT_OK: Final = ("throttled", "denied", "failed")
SORTS: Final = ("calls", *NOT_OK, "name")
HEADLINE: Final = ("eventSource", "eventName", "caller", "recipientAccountId", "awsRegion")
LARGEST: Final = 2**63 - 1  # rows that can be asked for


class StoreSummary(NamedTuple):
    """
    The extent of a store: its logs, calls and known events, its first and last second.

    *origin* is that of its calls, as in `core.origins`; *unread* logs could not be read.
    """

    logs: int
    calls: int
    events: int
    first: int | None
    last: int | None
    origin: str
    unread: int


class Totals(NamedTuple):
    """
    Headline figures: calls, and how many of them were throttled, denied, failed.

    Then how many APIs, callers, accounts and regions there are.
    """

    calls: int
    throttled: int
    denied: int
    failed: int
    apis: int
    callers: int
    accounts: int
    regions: int


class Peak(NamedTuple):
    """The calls in the busiest second, and that second, the first of several, if there are any."""

    calls: int
    second: int | None


class AlarmLoad(NamedTuple):
    """
    The calls in each minute of a time, or in each hour, as an alarm adds them up.

    *busiest* is the minute with most calls, the first of several, and *calm* the one with most
    calls of those without a refused call. *refused* is how many minutes have a refused call, and
    *above* how many have more calls than *calm*.
    """

    busiest: Peak
    calm: Peak
    refused: int
    above: int


class TimeBuckets(NamedTuple):
    """Equal parts of a time: the start of the first, their length in seconds, and their number."""

    start: int
    length: int
    number: int


class TimeSeries(NamedTuple):
    """Calls over time: of each name, of all together that were throttled, and denied."""

    calls: dict[str | None, list[int]]
    throttled: list[int]
    denied: list[int]


class Ranking(Struct, frozen=True):
    """
    The rows to rank: the selected calls, added up by the fields *by*.

    They are sorted by one of `SORTS`, then by code point. Where a *search* is given it is a part of
    one of their values, in any case.
    """

    by: tuple[str, ...]
    selection: Selection = ALL
    sort: str = "calls"
    descending: bool = True
    search: str = ""


class RankedRow(NamedTuple):
    """
    A ranked row: its values, its calls, and how many of them were throttled, denied, failed.

    *over_time* is its calls in each time bucket; empty where its values have a time.
    """

    key: Row
    calls: int
    throttled: int
    denied: int
    failed: int
    over_time: list[int]


class RankedPage(NamedTuple):
    """Some of the ranked rows, and how many there are in all."""

    total: int
    rows: list[RankedRow]


class StoreBalance(NamedTuple):
    """
    The balance of all records in a store, and the number of logs that could not be read.

    The balance names some of the rejected records and unread logs. *fault* says where it does not
    add up; None where it does, as it always should.
    """

    balance: Balance
    unreadable: int
    fault: str | None


def summarize(db: Connection) -> StoreSummary:
    """Return the extent of the store."""
    return fetch_one(
        db,
        StoreSummary,
        """
        SELECT (SELECT count(*) FROM logs),
            (SELECT coalesce(sum(calls), 0)::BIGINT FROM days),
            (SELECT count(*) FROM events),
            (SELECT min(second) FROM counts), (SELECT max(second) FROM counts),
            (SELECT origin FROM about), (SELECT count(*) FROM unread)
        """,
    )


# --- parts of a time ----------------------------------------------------------------------------


def cut_steps(since: int, until: int) -> TimeBuckets:
    """Cut a time in whole steps, the shortest of `STEPS` or of days that makes few enough."""
    for step in STEPS:
        if (buckets := _cut(since, until, step)).number <= POINTS:
            return buckets
    days = -(-(until - since) // DAY)
    # One less than there may be: the first step begins before *since*.
    return _cut(since, until, DAY * -(-days // (POINTS - 1)))


def cut_row_buckets(since: int, until: int) -> TimeBuckets:
    """Cut a time in at most `ROW_BUCKETS`, of whole days or minutes where it is that long."""
    unit = next((unit for unit in ROW_UNITS if until - since >= ROW_BUCKETS * unit), 1)
    start = since - since % unit
    length = max(-(-(until - start) // (ROW_BUCKETS * unit)) * unit, unit)
    return TimeBuckets(start, length, max(-(-(until - start) // length), 1))


def _cut(since: int, until: int, step: int) -> TimeBuckets:
    start = since - since % step
    return TimeBuckets(start, step, max(-(-(until - start) // step), 1))


# --- headline figures ---------------------------------------------------------------------------


def total(db: Connection, selection: Selection = ALL) -> Totals:
    """Add up the selected calls."""
    require_fields(selection.where, kept=True)
    series = select_series(db, [*HEADLINE, "outcome"], selection)
    times = select_times(db, selection)
    return fetch_one(
        db,
        Totals,
        f"""
        WITH chosen AS ({series.text}),
        sums AS ({sum_by_series(selection, times)})
        SELECT coalesce(sum(calls), 0)::BIGINT, {sum_by_outcome(NOT_OK)},
            count(DISTINCT (eventSource, eventName)), count(DISTINCT caller),
            count(DISTINCT recipientAccountId), count(DISTINCT awsRegion)
        FROM sums JOIN chosen ON id = series
        """,
        series.parameters | times.parameters,
    )


class _Span(NamedTuple):
    """The first and the last second of all counts."""

    first: int
    last: int


class _Most(NamedTuple):
    """The most calls in a time, and its start."""

    calls: int | None
    start: int | None

    @property
    def peak(self) -> Peak:
        return Peak(self.calls or 0, self.start)


def find_peak(db: Connection, selection: Selection = ALL) -> Peak:
    """
    Find the second with most of the selected calls.

    It is asked week by week: the sums of so many seconds stay in the processor's cache, which
    takes a third of the time.
    """
    require_fields(selection.where, kept=True)
    times = select_times(db, selection)
    series = ""
    parameters = times.parameters
    if selection.plain:
        chosen = select_series(db, [], selection)
        series, parameters = f"JOIN ({chosen.text}) ON id = series", parameters | chosen.parameters
    span = fetch_one(
        db, _Span, "SELECT coalesce(min(second), 0), coalesce(max(second), -1) FROM counts"
    )
    since = span.first if selection.since is None else max(selection.since, span.first)
    until = span.last + 1 if selection.until is None else min(selection.until, span.last + 1)
    length = max(WEEK, -(-(until - since) // WEEKS))
    best = Peak(0, None)
    for begin in range(since, until, length):
        most = fetch_one(
            db,
            _Most,
            f"""
            WITH seconds AS (
                SELECT second, sum(calls)::BIGINT AS calls
                FROM (FROM counts WHERE second >= $begin AND second < $end) {series} {times.text}
                GROUP BY second
            ),
            best AS (SELECT max((calls, -second)) AS most FROM seconds)
            SELECT most[1], -most[2] FROM best
            """,
            parameters | {"begin": begin, "end": begin + length},
        )
        if most.peak.calls > best.calls:
            best = most.peak
    return best


class _Load(NamedTuple):
    """The columns of `alarm_load`."""

    busiest_calls: int | None
    busiest_start: int | None
    calm_calls: int | None
    calm_start: int | None
    refused: int
    above: int


def alarm_load(
    db: Connection, width: int, selection: Selection = ALL, *, outcome: str = "", refused: str
) -> AlarmLoad:
    """
    Find the busiest of the minutes, or other times of *width* seconds, that have selected calls.

    With *outcome* only calls that ended so are added up. A call that ended with *refused* makes
    its minute one that is not calm.
    """
    require_fields(selection.where, kept=True)
    series = select_series(db, ["outcome"], selection)
    times = select_times(db, selection)
    load = fetch_one(
        db,
        _Load,
        f"""
        WITH chosen AS ({series.text}),
        timed AS (FROM counts {times.text}),
        loads AS (
            SELECT {start_of(width)} AS start,
                coalesce(sum(calls) FILTER ($counted IN ('', outcome)), 0)::BIGINT AS calls,
                coalesce(sum(calls) FILTER (outcome = $refused), 0)::BIGINT AS refused
            FROM timed JOIN chosen ON id = series GROUP BY start HAVING sum(calls) > 0
        ),
        most AS (
            SELECT max((calls, -start)) AS busiest,
                max((calls, -start)) FILTER (refused = 0) AS calm
            FROM loads
        )
        SELECT any_value(busiest[1]), any_value(-busiest[2]), any_value(calm[1]),
            any_value(-calm[2]), count(*) FILTER (refused > 0), count(*) FILTER (calls > calm[1])
        FROM loads, most
        """,
        series.parameters | times.parameters | {"counted": outcome, "refused": refused},
    )
    return AlarmLoad(
        busiest=_Most(load.busiest_calls, load.busiest_start).peak,
        calm=_Most(load.calm_calls, load.calm_start).peak,
        refused=load.refused,
        above=load.above,
    )


# --- calls over time ----------------------------------------------------------------------------


class _Bucket(NamedTuple):
    """The calls of one value in one time bucket."""

    at: int
    place: int | None  # among the busiest values, from 1 on; None for the others
    calls: int
    throttled: int
    denied: int


def add_up_over_time(
    db: Connection, by: str, buckets: TimeBuckets, most: int, selection: Selection = ALL
) -> TimeSeries:
    """
    Add up the selected calls by the field *by* in each time bucket.

    *buckets* hold all of the calls. The *most* values with most calls have a list each, and the
    others one together, under None.
    """
    require_fields((by, *selection.where), kept=True)
    if by in WIDTHS:
        raise UsageError(f"{by}: calls over time are by a field that is not a time")
    series = select_series(db, list(dict.fromkeys([by, "outcome"])), selection)
    times = select_times(db, selection)
    names = fetch_values(
        db,
        f"""
        WITH chosen AS ({series.text}),
        sums AS ({sum_by_series(selection, times)})
        SELECT {by} FROM sums JOIN chosen ON id = series
        GROUP BY {by} ORDER BY sum(calls) DESC, {by} LIMIT {int(most)}
        """,
        series.parameters | times.parameters,
    )
    found = fetch(
        db,
        _Bucket,
        f"""
        WITH chosen AS (
            SELECT id, outcome, list_position($names::VARCHAR[], {by}) AS place
            FROM ({series.text})
        )
        SELECT (second - $start) // $length, place, sum(calls)::BIGINT,
            {sum_by_outcome(["throttled", "denied"])}
        FROM {_bucket_table(buckets, selection)} JOIN chosen ON id = series {times.text}
        GROUP BY ALL HAVING sum(calls) > 0
        """,
        series.parameters
        | times.parameters
        | {"names": names, "start": buckets.start, "length": buckets.length},
    )
    calls: dict[str | None, list[int]] = {str(name): [0] * buckets.number for name in names}
    throttled, denied = [0] * buckets.number, [0] * buckets.number
    for each in found:
        name = str(names[each.place - 1]) if each.place else None
        calls.setdefault(name, [0] * buckets.number)[each.at] += each.calls
        throttled[each.at] += each.throttled
        denied[each.at] += each.denied
    return TimeSeries(calls, throttled, denied)


def _bucket_table(buckets: TimeBuckets, selection: Selection) -> str:
    """Name the smallest table that can tell *buckets* apart."""
    is_whole = buckets.length % DAY == 0 and buckets.start % DAY == 0
    return smallest_table((), selection) if is_whole else "counts"


# --- ranked rows --------------------------------------------------------------------------------


def rank(db: Connection, ranking: Ranking, limit: int | None = None) -> Counts:
    """Return the calls of the first *limit* rows of *ranking*, or of all, in its order."""
    sort = [ranking.sort] if ranking.sort in NOT_OK else []
    rows = _rank_rows(db, ranking, sort)
    found = fetch_plain(
        db,
        f"SELECT {', '.join([*ranking.by, 'calls'])} FROM ({rows.text}) {_order(ranking)}"
        f" LIMIT {'ALL' if limit is None else min(limit, LARGEST)}",
        rows.parameters,
    )
    # A row ends with its calls.
    return Counts(ranking.by, {row[:-1]: int(row[-1]) for row in found})


def rank_page(
    db: Connection, ranking: Ranking, buckets: TimeBuckets, *, limit: int = 25, offset: int = 0
) -> RankedPage:
    """
    Return *limit* rows of *ranking* after the first *offset*, and how many there are in all.

    Each has its calls in each of *buckets*, which hold all of them, unless *by* has a time.
    """
    rows = _rank_rows(db, ranking, NOT_OK)
    db.execute(f"CREATE OR REPLACE TEMP TABLE ranked AS {rows.text}", rows.parameters)
    found = fetch_plain(
        db, f"FROM ranked {_order(ranking)} LIMIT {int(limit)} OFFSET {int(offset)}"
    )
    width = len(ranking.by)  # of a row: its values, and then its numbers
    keys = [row[:width] for row in found]
    over_time = (
        _rows_over_time(db, ranking, keys, buckets)
        if WIDTHS.keys().isdisjoint(ranking.by)
        else [list[int]()] * len(keys)
    )
    return RankedPage(
        fetch_one(db, int, "SELECT count(*) FROM ranked"),
        [
            _ranked_row(key, row[width:], calls_over_time)
            for key, row, calls_over_time in zip(keys, found, over_time, strict=True)
        ],
    )


def _ranked_row(key: Row, numbers: Row, over_time: list[int]) -> RankedRow:
    calls, throttled, denied, failed = map(int, numbers)
    return RankedRow(key, calls, throttled, denied, failed, over_time)


def _rank_rows(db: Connection, ranking: Ranking, outcomes: Sequence[str]) -> Sql:
    """SQL for the rows of *ranking*: their values, *calls*, and the calls by each of *outcomes*."""
    by, selection, search = ranking.by, ranking.selection, ranking.search
    require_fields((*by, *selection.where), kept=True)
    plain = [field for field in by if field not in WIDTHS]
    timed = [f"{start_of(WIDTHS[field])} AS {field}" for field in by if field in WIDTHS]
    if search and not plain:
        raise UsageError(f"search: {', '.join(by)} is a time; give since and until instead")
    needed = [*plain, "outcome"] if outcomes else plain
    series = select_series(db, list(dict.fromkeys(needed)), selection)
    times = select_times(db, selection)
    parameters = series.parameters | times.parameters
    searched = ""
    if search:
        tests = [f"contains(lower({field}), lower($search))" for field in plain]
        searched = f"WHERE {' OR '.join(tests)}"
        parameters |= {"search": search}
    sums = sum_by_series(selection, times)
    if timed:
        sums = (
            f"SELECT {', '.join(timed)}, series, sum(calls) AS calls"
            f" FROM {smallest_table(by, selection)} {times.text} GROUP BY ALL"
        )
    columns = [*by, "sum(calls)::BIGINT AS calls"]
    if outcomes:
        columns.append(sum_by_outcome(outcomes))
    return Sql(
        f"""
        WITH chosen AS ({series.text}), sums AS ({sums})
        SELECT {", ".join(columns)} FROM sums JOIN chosen ON id = series {searched}
        GROUP BY ALL HAVING sum(calls) > 0
        """,
        parameters,
    )


def _order(ranking: Ranking) -> str:
    """SQL for the order of rows."""
    direction = "DESC" if ranking.descending else "ASC"
    columns = (
        [f"{field} {direction}" for field in ranking.by]
        if ranking.sort == "name"
        else [f"{ranking.sort} {direction}", *ranking.by]
    )
    return f"ORDER BY {', '.join(columns)}"


class _RowBucket(NamedTuple):
    """The calls of one row in one time bucket."""

    place: int
    at: int
    calls: int


def _rows_over_time(
    db: Connection, ranking: Ranking, keys: Sequence[Row], buckets: TimeBuckets
) -> list[list[int]]:
    """Return the calls in each of *buckets* of the rows *keys*."""
    found = [[0] * buckets.number for _ in keys]
    if not keys:
        return found
    by, selection = ranking.by, ranking.selection
    series = select_series(db, by, selection)
    times = select_times(db, selection)
    columns: dict[str, object] = {
        f"key_{field}": list(values)
        for field, values in zip(by, zip(*keys, strict=True), strict=True)
    }
    values = ", ".join(f"unnest($key_{field}) AS {field}" for field in by)
    for each in fetch(
        db,
        _RowBucket,
        f"""
        WITH shown AS (SELECT {values}, unnest(range({len(keys)})) AS place),
        chosen AS (SELECT id, place FROM ({series.text}) JOIN shown USING ({", ".join(by)}))
        SELECT place, (second - $start) // $length AS at, sum(calls)::BIGINT
        FROM {_bucket_table(buckets, selection)} JOIN chosen ON id = series {times.text}
        GROUP BY ALL
        """,
        series.parameters
        | times.parameters
        | columns
        | {"start": buckets.start, "length": buckets.length},
    ):
        found[each.place][each.at] = each.calls
    return found


# --- balance ------------------------------------------------------------------------------------


class _Logs(NamedTuple):
    """The sums of all logs."""

    logs: int
    received: int
    counted: int
    duplicates: int
    rejected: int


class _Fault(NamedTuple):
    """A row of the table *faults*."""

    name: str
    place: str
    reason: str


class _Skipped(NamedTuple):
    """The records of a kind that were skipped."""

    kind: str
    records: int


def read_balance(db: Connection, most: int) -> StoreBalance:
    """Account for every record; of the rejected and the unread, *most* each are named."""
    logs = fetch_one(
        db,
        _Logs,
        """
        SELECT count(*), coalesce(sum(received), 0)::BIGINT, coalesce(sum(counted), 0)::BIGINT,
            coalesce(sum(duplicates), 0)::BIGINT, coalesce(sum(rejected), 0)::BIGINT
        FROM logs
        """,
    )
    skipped = fetch(
        db, _Skipped, "SELECT kind, sum(records)::BIGINT FROM skipped GROUP BY kind ORDER BY kind"
    )
    faults = fetch(
        db,
        _Fault,
        f"SELECT name, place, reason FROM faults ORDER BY name, rowid LIMIT {int(most)}",
    )
    unread = fetch(
        db, Unread, f"SELECT name, fault FROM unread ORDER BY name, path LIMIT {int(most)}"
    )
    balance = Balance(
        logs=logs.logs,
        received=logs.received,
        counted=logs.counted,
        duplicates=logs.duplicates,
        skipped=Counter({each.kind: each.records for each in skipped}),
        rejected=logs.rejected,
        rejections=tuple((each.name, Rejected(each.place, each.reason)) for each in faults),
        unread=tuple(unread),
    )
    return StoreBalance(
        balance,
        unreadable=fetch_one(db, int, "SELECT count(*) FROM unread"),
        fault=_find_imbalance(db, balance),
    )


def _find_imbalance(db: Connection, balance: Balance) -> str | None:
    """Word a difference between the sums, or return None. Answers have calls of known series."""
    way_on = "this store is damaged: ingest the logs into a new file"
    if not balance.holds:
        return (
            f"{balance.received:,} records were received, and {balance.placed:,} are accounted for;"
            f" {way_on}"
        )
    # Every record stands for one call as yet, so that these sums are to be the same.
    for table in ("counts", "days"):
        calls = fetch_one(
            db,
            int,
            f"""
            SELECT coalesce(sum(calls), 0)::BIGINT
            FROM {table} SEMI JOIN series ON series.id = {table}.series
            """,
        )
        if calls != balance.counted:
            return (
                f"{balance.counted:,} records were counted, and {calls:,} calls are kept; {way_on}"
            )
    return None
