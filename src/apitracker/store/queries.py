"""
What the page shows of the store: headline figures, calls over time, tables, incidents, balance.

Each function asks a store that `Store.reading` has opened. Series are few and counts are many: so
counts are added up by series first, and only then joined with what the series say.
"""

# ruff: noqa: S608 - SQL is put together from our own names only; values are parameters
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from apitracker.core import quotas
from apitracker.core.fields import WIDTHS, Row, require_fields
from apitracker.core.selection import ALL, Selection
from apitracker.errors import UsageError
from apitracker.store import incidents as throttles
from apitracker.store.database import (
    Connection,
    select_series,
    select_times,
    smallest_table,
    start_of,
)
from apitracker.store.incidents import THROTTLED, Api, Caller, Incident, Outside

DAY: Final = WIDTHS["day"]
STEPS: Final = (60, 300, 900, 3_600, 10_800, DAY)  # of calls over time
POINTS: Final = 400  # of calls over time, at most
PARTS: Final = 40  # of a row's calls over time, at most
UNITS: Final = (DAY, 60, 1)
WEEK: Final = 7 * DAY
WEEKS: Final = 100  # that are asked one by one, at most; of a longer time, longer parts
REFUSED: Final = ("throttled", "denied", "failed")
SORTS: Final = ("calls", *REFUSED, "name")
HEADLINE: Final = ("eventSource", "eventName", "caller", "recipientAccountId", "awsRegion")


class Extent(NamedTuple):
    """
    What is in a store: its logs and calls, the events that it knows, its first and last time.

    *origin* is that of its calls, as `core.origins` has it.
    """

    logs: int
    calls: int
    events: int
    first: int | None
    last: int | None
    origin: str


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


class Load(NamedTuple):
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


class Parts(NamedTuple):
    """Equal parts of a time: the start of the first, their length in seconds, and their number."""

    start: int
    length: int
    number: int


class Line(NamedTuple):
    """A row of a table: its key, its calls, how many were refused, and its calls over time."""

    key: Row
    calls: int
    throttled: int
    denied: int
    failed: int
    parts: list[int]


class Stack(NamedTuple):
    """Calls over time: of each name, of all together that were throttled, and denied."""

    calls: dict[str | None, list[int]]
    throttled: list[int]
    denied: list[int]


class Balance(NamedTuple):
    """
    What became of all records of a store, and of logs that could not be read.

    *fault* says what does not add up; None where all does, as it always should.
    """

    logs: int
    received: int
    counted: int
    duplicates: int
    rejected: int
    skipped: dict[str, int]
    rejections: list[tuple[str, str, str]]
    unreadable: int
    unread: list[tuple[str, str]]
    fault: str | None


def extent(db: Connection) -> Extent:
    """Say what is in the store."""
    return Extent(
        *_one(
            db,
            """
            SELECT (SELECT count(*) FROM logs),
                (SELECT coalesce(sum(calls), 0)::BIGINT FROM days),
                (SELECT count(*) FROM events),
                (SELECT min(second) FROM counts), (SELECT max(second) FROM counts),
                (SELECT origin FROM about)
            """,
        )
    )


# --- parts of a time ----------------------------------------------------------------------------


def steps(since: int, until: int) -> Parts:
    """Cut a time in whole steps, the shortest of `STEPS` or of days that makes few enough."""
    for step in STEPS:
        if (parts := _cut(since, until, step)).number <= POINTS:
            return parts
    days = -(-(until - since) // DAY)
    # One less than there may be: the first step begins before *since*.
    return _cut(since, until, DAY * -(-days // (POINTS - 1)))


def parts_of(since: int, until: int) -> Parts:
    """Cut a time in at most `PARTS`, of whole days or minutes where it is that long."""
    unit = next((unit for unit in UNITS if until - since >= PARTS * unit), 1)
    start = since - since % unit
    length = max(-(-(until - start) // (PARTS * unit)) * unit, unit)
    return Parts(start, length, max(-(-(until - start) // length), 1))


def _cut(since: int, until: int, step: int) -> Parts:
    start = since - since % step
    return Parts(start, step, max(-(-(until - start) // step), 1))


# --- headline figures ---------------------------------------------------------------------------


def totals(db: Connection, selection: Selection = ALL) -> Totals:
    """Add up the selected calls."""
    require_fields(selection.where, kept=True)
    series, parameters = select_series(db, [*HEADLINE, "outcome"], selection)
    times, more = select_times(db, selection)
    found = _one(
        db,
        f"""
        WITH chosen AS ({series}),
        sums AS ({_sums(selection, times)})
        SELECT coalesce(sum(calls), 0)::BIGINT, {_refused("calls")},
            count(DISTINCT (eventSource, eventName)), count(DISTINCT caller),
            count(DISTINCT recipientAccountId), count(DISTINCT awsRegion)
        FROM sums JOIN chosen ON id = series
        """,
        parameters | more,
    )
    return Totals(*found)


def peak(db: Connection, selection: Selection = ALL) -> Peak:
    """
    Find the second with most of the selected calls.

    It is asked week by week: the sums of so many seconds stay in the processor's cache, which
    takes a third of the time.
    """
    require_fields(selection.where, kept=True)
    times, parameters = select_times(db, selection)
    series = ""
    if selection.plain:
        chosen, more = select_series(db, [], selection)
        series, parameters = f"JOIN ({chosen}) ON id = series", parameters | more
    first, last = _one(db, "SELECT coalesce(min(second), 0), coalesce(max(second), -1) FROM counts")
    since = first if selection.since is None else max(selection.since, first)
    until = last + 1 if selection.until is None else min(selection.until, last + 1)
    length = max(WEEK, -(-(until - since) // WEEKS))
    best = Peak(0, None)
    for begin in range(since, until, length):
        (found,) = _one(
            db,
            f"""
            SELECT max((calls, -second)) FROM (
                SELECT second, sum(calls)::BIGINT AS calls
                FROM (FROM counts WHERE second >= $begin AND second < $end) {series} {times}
                GROUP BY second
            )
            """,
            parameters | {"begin": begin, "end": begin + length},
        )
        if found and found[0] > best.calls:
            best = Peak(found[0], -found[1])
    return best


def alarm_load(
    db: Connection, width: int, selection: Selection = ALL, *, outcome: str = "", refused: str
) -> Load:
    """
    Find the busiest of the minutes, or other times of *width* seconds, that have selected calls.

    With *outcome* only calls that ended so are added up. A call that ended with *refused* makes
    its minute one that is not calm.
    """
    require_fields(selection.where, kept=True)
    series, parameters = select_series(db, ["outcome"], selection)
    times, more = select_times(db, selection)
    busiest, calm, of_refused, above = _one(
        db,
        f"""
        WITH chosen AS ({series}),
        timed AS (FROM counts {times}),
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
        SELECT ANY_VALUE(busiest), ANY_VALUE(calm), count(*) FILTER (refused > 0),
            count(*) FILTER (calls > calm[1])
        FROM loads, most
        """,
        parameters | more | {"counted": outcome, "refused": refused},
    )
    none = Peak(0, None)
    return Load(
        busiest=Peak(busiest[0], -busiest[1]) if busiest else none,
        calm=Peak(calm[0], -calm[1]) if calm else none,
        refused=of_refused,
        above=above,
    )


# --- calls over time ----------------------------------------------------------------------------


def stack(db: Connection, by: str, parts: Parts, most: int, selection: Selection = ALL) -> Stack:
    """
    Add up the selected calls by the field *by* in each of *parts*, which hold all of them.

    The *most* values with most calls have a list each, and the others one together, under None.
    """
    require_fields((by, *selection.where), kept=True)
    if by in WIDTHS:
        raise UsageError(f"{by}: calls over time are by a field that is no time")
    series, parameters = select_series(db, list(dict.fromkeys([by, "outcome"])), selection)
    times, more = select_times(db, selection)
    names = [
        name
        for (name,) in db.execute(
            f"""
            WITH chosen AS ({series}),
            sums AS ({_sums(selection, times)})
            SELECT {by} FROM sums JOIN chosen ON id = series
            GROUP BY {by} ORDER BY sum(calls) DESC, {by} LIMIT {int(most)}
            """,
            parameters | more,
        ).fetchall()
    ]
    found = db.execute(
        f"""
        WITH chosen AS (
            SELECT id, outcome, list_position($names::VARCHAR[], {by}) AS place FROM ({series})
        )
        SELECT (second - $start) // $length, place, sum(calls)::BIGINT,
            {_refused("calls", REFUSED[:2])}
        FROM {_source(parts, selection)} JOIN chosen ON id = series {times}
        GROUP BY ALL HAVING sum(calls) > 0
        """,
        parameters | more | {"names": names, "start": parts.start, "length": parts.length},
    ).fetchall()
    calls: dict[str | None, list[int]] = {name: [0] * parts.number for name in names}
    throttled, denied = [0] * parts.number, [0] * parts.number
    for at, place, n, of_throttled, of_denied in found:
        name = names[place - 1] if place else None
        calls.setdefault(name, [0] * parts.number)[at] += n
        throttled[at] += of_throttled
        denied[at] += of_denied
    return Stack(calls, throttled, denied)


# --- tables -------------------------------------------------------------------------------------


def table(  # noqa: PLR0913 - what a table is asked
    db: Connection,
    by: Sequence[str],
    parts: Parts,
    selection: Selection = ALL,
    *,
    sort: str = "calls",
    descending: bool = True,
    limit: int = 25,
    offset: int = 0,
    search: str = "",
) -> tuple[int, list[Line]]:
    """
    Add up the selected calls by the fields *by*; give how many rows there are, and some of them.

    They are sorted by one of `SORTS`, then by code point. *search* is in one of their values, in
    whatever case. A row's calls in each of *parts*, which hold all of them, are left out where
    *by* has a time.
    """
    total = _find(db, by, selection, search)
    rows = db.execute(
        f"FROM found ORDER BY {_order(by, sort, descending=descending)}"
        f" LIMIT {int(limit)} OFFSET {int(offset)}"
    ).fetchall()
    keys = [row[: len(by)] for row in rows]
    timed = not WIDTHS.keys().isdisjoint(by)
    lines = [[]] * len(keys) if timed else _over_time(db, by, keys, parts, selection)
    return total, [
        Line._make((key, *row[-4:], line)) for key, row, line in zip(keys, rows, lines, strict=True)
    ]


def all_rows(  # noqa: PLR0913 - what a table is asked
    db: Connection,
    by: Sequence[str],
    most: int,
    selection: Selection = ALL,
    *,
    sort: str = "calls",
    descending: bool = True,
    search: str = "",
) -> tuple[int, list[tuple[Row, int]]]:
    """
    Add up the selected calls as `table` does; return how many rows there are, and all of them.

    If there are more than *most*, none are returned.
    """
    total = _find(db, by, selection, search)
    if total > most:
        return total, []
    rows = db.execute(
        f"SELECT {', '.join(by)}, calls FROM found"
        f" ORDER BY {_order(by, sort, descending=descending)}"
    ).fetchall()
    return total, [(row[:-1], row[-1]) for row in rows]


def _find(db: Connection, by: Sequence[str], selection: Selection, search: str) -> int:
    """Make the table of the rows by *by*, *found*, and return how many they are."""
    require_fields((*by, *selection.where), kept=True)
    plain = [field for field in by if field not in WIDTHS]
    timed = {field: start_of(WIDTHS[field]) for field in by if field in WIDTHS}
    if search and not plain:
        raise UsageError(f"search: {', '.join(by)} is a time; give since and until instead")
    series, parameters = select_series(db, list(dict.fromkeys([*plain, "outcome"])), selection)
    times, more = select_times(db, selection)
    columns = [f"{timed[field]} AS {field}" if field in timed else field for field in by]
    searched = ""
    if search:
        tests = [f"contains(lower({field}), lower($search))" for field in plain]
        searched = f"WHERE {' OR '.join(tests)}"
        more |= {"search": search}
    db.execute(
        f"""
        CREATE TEMP TABLE found AS
        WITH chosen AS ({series}),
        sums AS ({_sums(selection, times)}),
        timed AS (FROM {smallest_table(by, selection)} {times})
        SELECT {", ".join(columns)}, sum(calls)::BIGINT AS calls, {_refused("calls")}
        FROM {"timed" if timed else "sums"} JOIN chosen ON id = series {searched}
        GROUP BY ALL HAVING sum(calls) > 0
        """,
        parameters | more,
    )
    (total,) = _one(db, "SELECT count(*) FROM found")
    return int(total)


def _order(by: Sequence[str], sort: str, *, descending: bool) -> str:
    """SQL for the order of rows."""
    direction = "DESC" if descending else "ASC"
    columns = (
        [f"{field} {direction}" for field in by] if sort == "name" else [f"{sort} {direction}", *by]
    )
    return ", ".join(columns)


def _over_time(
    db: Connection, by: Sequence[str], keys: Sequence[Row], parts: Parts, selection: Selection
) -> list[list[int]]:
    """Give the calls in each of *parts* of the rows *keys*."""
    lines = [[0] * parts.number for _ in keys]
    if not keys:
        return lines
    series, parameters = select_series(db, by, selection)
    times, more = select_times(db, selection)
    columns = {f"key{at}": list(values) for at, values in enumerate(zip(*keys, strict=True))}
    values = ", ".join(f"unnest(${name}) AS {by[at]}" for at, name in enumerate(columns))
    found = db.execute(
        f"""
        WITH shown AS (SELECT {values}, unnest(range({len(keys)})) AS place),
        chosen AS (SELECT id, place FROM ({series}) JOIN shown USING ({", ".join(by)}))
        SELECT place, (second - $start) // $length AS at, sum(calls)::BIGINT
        FROM {_source(parts, selection)} JOIN chosen ON id = series {times}
        GROUP BY ALL
        """,
        parameters | more | columns | {"start": parts.start, "length": parts.length},
    ).fetchall()
    for place, at, n in found:
        lines[place][at] = n
    return lines


# --- incidents ----------------------------------------------------------------------------------


def incidents(
    db: Connection, outcome: str, most: int | None, selection: Selection = ALL
) -> list[Incident]:
    """
    Find what `throttles.incidents` finds in files: the worst *most*, or all.

    Refused are the calls that ended with *outcome* and that *selection* selects; with them come
    all calls to the same API in the same minute.
    """
    require_fields(selection.where, kept=True)
    api, minute = ", ".join(Api._fields), start_of(WIDTHS["minute"])
    by_aws, outside = _apart(outcome)
    series, parameters = select_series(db, ["outcome"], selection)
    times, more = select_times(db, selection)
    db.execute(
        f"CREATE TEMP TABLE ended AS SELECT id FROM ({series}) WHERE outcome = $ended",
        parameters | {"ended": outcome},
    )
    db.execute(
        f"""
        CREATE TEMP TABLE known AS
        SELECT id, dense_rank() OVER (ORDER BY {api}) AS api, caller,
            id IN (FROM ended) AS ended, {by_aws} AS by_aws, {outside} AS outside
        FROM series SEMI JOIN (SELECT {api} FROM series SEMI JOIN ended USING (id)) USING ({api})
        """
    )
    db.execute(
        f"""
        CREATE TEMP TABLE timed AS
        WITH near AS (
            SELECT second, {minute} AS minute, api, caller, ended, by_aws, outside, calls
            FROM (FROM counts {times}) JOIN known ON id = series WHERE calls > 0
        )
        SELECT second, minute, api, caller, by_aws, outside, sum(calls)::BIGINT AS calls,
            coalesce(sum(calls) FILTER (ended), 0)::BIGINT AS refused
        FROM near SEMI JOIN (SELECT api, minute FROM near WHERE ended) USING (api, minute)
        GROUP BY ALL
        """,
        more,
    )
    db.execute(
        """
        CREATE TEMP TABLE limited AS
        WITH counting AS (FROM timed WHERE NOT by_aws AND NOT outside)
        FROM counting SEMI JOIN (FROM counting WHERE refused > 0) USING (api, minute)
        """
    )
    worst = db.execute(
        f"""
        WITH sums AS (
            SELECT api, sum(refused)::BIGINT AS refused, sum(calls)::BIGINT AS calls,
                min(second) FILTER (refused > 0) AS first, max(second) FILTER (refused > 0) AS last,
                coalesce(sum(refused) FILTER (by_aws), 0)::BIGINT AS aws_triggered
            FROM timed GROUP BY api
        ),
        named AS (SELECT DISTINCT known.api, {api} FROM known JOIN series USING (id))
        SELECT {api}, refused, calls, first, last, sums.api, aws_triggered
        FROM sums JOIN named USING (api)
        ORDER BY refused DESC, {api} LIMIT {"ALL" if most is None else int(most)}
        """
    ).fetchall()
    seconds, minutes = (_peaks(db, field) for field in ("second", "minute"))
    callers, apart = _callers(db, outcome), _outside(db)
    return [
        Incident(
            Api(*row[:4]),
            outcome,
            refused=row[4],
            calls=row[5],
            first=row[6],
            last=row[7],
            second=seconds.get(row[8]),
            minute=minutes.get(row[8]),
            callers=callers.get(row[8], []),
            quota=quotas.quota(*row[:3]) if outcome == THROTTLED and row[8] in seconds else None,
            outside=apart.get(row[8], []),
            aws_triggered=row[9],
        )
        for row in worst
    ]


def _apart(outcome: str) -> tuple[str, str]:
    """SQL for the series of calls that AWS throttled itself, and of calls outside of the quota."""
    if outcome != THROTTLED:
        return "false", "false"
    by_aws = "throttle_cause <> ''"
    return by_aws, (
        f"NOT {by_aws} AND split_part(eventSource, '.', 1) = '{quotas.OUTSIDE_SERVICE}'"
        f" AND regexp_full_match(caller, '{quotas.OUTSIDE_CALLERS}')"
    )


def _peaks(db: Connection, field: str) -> dict[int, throttles.Peak]:
    """Give the time of each API with the most refused calls, the first of several."""
    found = db.execute(
        f"""
        SELECT api, max((refused, -start, calls)) FROM (
            SELECT api, {field} AS start, sum(refused)::BIGINT AS refused,
                sum(calls)::BIGINT AS calls
            FROM limited GROUP BY ALL
        ) GROUP BY api
        """
    ).fetchall()
    return {api: throttles.Peak(-before, refused, calls) for api, (refused, before, calls) in found}


def _callers(db: Connection, outcome: str) -> dict[int, list[Caller]]:
    """Give the callers of each API, the greatest share first."""
    weight = "calls" if outcome == THROTTLED else "refused"
    found = db.execute(
        f"""
        SELECT api, caller, sum(calls)::BIGINT AS calls, sum(refused)::BIGINT AS refused,
            sum({weight}) / sum(sum({weight})) OVER (PARTITION BY api) AS share
        FROM limited GROUP BY api, caller HAVING sum({weight}) > 0
        ORDER BY share DESC, refused DESC, caller
        """
    ).fetchall()
    callers: dict[int, list[Caller]] = {}
    for api, *caller in found:
        callers.setdefault(api, []).append(Caller(*caller))
    return callers


def _outside(db: Connection) -> dict[int, list[Outside]]:
    """Give who calls each API outside of its quota, most calls first."""
    found = db.execute(
        """
        SELECT api, caller, sum(calls)::BIGINT AS calls, sum(refused)::BIGINT AS refused
        FROM timed WHERE outside GROUP BY api, caller ORDER BY calls DESC, refused DESC, caller
        """
    ).fetchall()
    callers: dict[int, list[Outside]] = {}
    for api, *caller in found:
        callers.setdefault(api, []).append(Outside(*caller))
    return callers


# --- balance ------------------------------------------------------------------------------------


def balance(db: Connection, most: int) -> Balance:
    """Account for every record; of what was rejected or unread, *most* are named."""
    logs = _one(
        db,
        """
        SELECT count(*), coalesce(sum(received), 0)::BIGINT, coalesce(sum(counted), 0)::BIGINT,
            coalesce(sum(duplicates), 0)::BIGINT, coalesce(sum(rejected), 0)::BIGINT
        FROM logs
        """,
    )
    skipped = db.execute(
        "SELECT kind, sum(records)::BIGINT FROM skipped GROUP BY kind ORDER BY kind"
    ).fetchall()
    rejections = db.execute(f"FROM faults ORDER BY name, rowid LIMIT {int(most)}").fetchall()
    (unreadable,) = _one(db, "SELECT count(*) FROM unread")
    unread = db.execute(
        f"SELECT name, fault FROM unread ORDER BY name, path LIMIT {int(most)}"
    ).fetchall()
    found = Balance._make((*logs, dict(skipped), rejections, unreadable, unread, None))
    return found._replace(fault=_imbalance(db, found))


def _imbalance(db: Connection, found: Balance) -> str | None:
    """Word what does not add up, or return None. Only calls of known series are in any answer."""
    received, counted = found.received, found.counted
    rest = counted + found.duplicates + found.rejected + sum(found.skipped.values())
    way_on = "this store is damaged: ingest the logs into a new file"
    if received != rest:
        return f"{received:,} records were received, and {rest:,} are accounted for; {way_on}"
    for table in ("counts", "days"):
        (calls,) = _one(
            db,
            f"""
            SELECT coalesce(sum(calls), 0)::BIGINT
            FROM {table} SEMI JOIN series ON series.id = {table}.series
            """,
        )
        if calls != counted:
            return f"{counted:,} records were counted, and {calls:,} calls are kept; {way_on}"
    return None


# --- SQL ----------------------------------------------------------------------------------------


def _sums(selection: Selection, times: str) -> str:
    """SQL for the calls of each series in the selected *times*."""
    return (
        f"SELECT series, sum(calls) AS calls FROM {smallest_table((), selection)} {times}"
        " GROUP BY series HAVING sum(calls) > 0"
    )


def _source(parts: Parts, selection: Selection) -> str:
    """Name the smallest table that can tell *parts* apart."""
    return "counts" if parts.length % DAY or parts.start % DAY else smallest_table((), selection)


def _refused(calls: str, outcomes: Sequence[str] = REFUSED) -> str:
    """SQL for the calls that ended with each of *outcomes*, as columns of these names."""
    return ", ".join(
        f"coalesce(sum({calls}) FILTER (outcome = '{outcome}'), 0)::BIGINT AS {outcome}"
        for outcome in outcomes
    )


def _one(db: Connection, sql: str, parameters: dict[str, Any] | None = None) -> tuple[Any, ...]:
    row: tuple[Any, ...] = db.execute(sql, parameters or {}).fetchall()[0]
    return row
