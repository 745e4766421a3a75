"""
Incidents: throttled or denied APIs, and the callers behind them.

A quota belongs to an account and a region, not to a caller: the caller that uses it up is throttled
no more often than others are. So all callers of a throttled API are named, by their calls in the
minutes in which it was throttled, whether they were throttled themselves or not. Of a denied API
the callers that were denied are named.

Calls that use up no quota are listed apart: those outside of it, as by service-linked roles to EC2,
and throttles that AWS caused itself. Nobody has a share of them, and no peak counts them.
"""

# ruff: noqa: S608 - SQL is put together from our own names only; values are parameters
from typing import Final, NamedTuple

from msgspec import Struct

from apitracker.core import quotas
from apitracker.core.fields import WIDTHS, require_fields
from apitracker.core.quotas import Quota
from apitracker.core.selection import ALL, Selection
from apitracker.store.connections import Connection, fetch
from apitracker.store.selecting import select_series, select_times, start_of

THROTTLED: Final = "throttled"


class Api(NamedTuple):
    """An API, where it was called."""

    eventSource: str
    eventName: str
    awsRegion: str
    recipientAccountId: str


class IncidentPeak(NamedTuple):
    """The worst second or minute: its start, how many calls were refused in it, and all calls."""

    time: int
    refused: int
    calls: int


class IncidentCaller(Struct, frozen=True):
    """
    A caller of an API in the minutes in which calls to it were refused.

    *share* is that of all calls to it where it was throttled, of all refused where it was denied.
    """

    caller: str
    calls: int
    refused: int
    share: float


class CallerOutside(Struct, frozen=True):
    """A caller whose calls do not count toward the quota: its calls, and how many were refused."""

    caller: str
    calls: int
    refused: int


class Incident(Struct, frozen=True):
    """
    Calls to one API in one region and account that were refused: throttled, or denied.

    *refused* says how many, between *first* and *last*, in seconds since 1970 UTC; *calls* are all
    calls to it in the minutes in which some were refused. *callers* come worst first.

    Of throttled calls, *aws_triggered* are those that AWS caused itself, and *outside* names the
    callers outside of the quota. Both are in *refused* and *calls*, and neither in the peaks and
    *callers*: where nothing else was throttled these are empty, and there is no *quota*.
    """

    api: Api
    outcome: str
    refused: int
    calls: int
    first: int
    last: int
    second: IncidentPeak | None
    minute: IncidentPeak | None
    callers: list[IncidentCaller]
    quota: Quota | None
    outside: list[CallerOutside] = []
    aws_triggered: int = 0


class _Sums(NamedTuple):
    """The sums of one API, and its *number* in the tables that are made for the search."""

    eventSource: str
    eventName: str
    awsRegion: str
    recipientAccountId: str
    number: int
    refused: int
    calls: int
    first: int
    last: int
    aws_triggered: int


class _Peak(NamedTuple):
    """The worst time of the API of that number."""

    number: int
    time: int
    refused: int
    calls: int


class _Caller(NamedTuple):
    """A caller of the API of that number; *share* is 0 for one that is outside of the quota."""

    number: int
    caller: str
    calls: int
    refused: int
    share: float


def query_incidents(
    db: Connection, outcome: str, most: int | None, selection: Selection = ALL
) -> list[Incident]:
    """
    Return the worst *most* incidents in the store, or all.

    Refused calls are those that ended with *outcome* and that *selection* selects; with them come
    all calls to the same API in the same minute.
    """
    require_fields(selection.where, kept=True)
    _prepare_tables(db, outcome, selection)
    api = ", ".join(Api._fields)
    worst = fetch(
        db,
        _Sums,
        f"""
        WITH sums AS (
            SELECT api, sum(refused)::BIGINT AS refused, sum(calls)::BIGINT AS calls,
                min(second) FILTER (refused > 0) AS first, max(second) FILTER (refused > 0) AS last,
                coalesce(sum(refused) FILTER (by_aws), 0)::BIGINT AS aws_triggered
            FROM timed GROUP BY api
        ),
        named AS (SELECT DISTINCT known.api, {api} FROM known JOIN series USING (id))
        SELECT {api}, sums.api, refused, calls, first, last, aws_triggered
        FROM sums JOIN named USING (api)
        ORDER BY refused DESC, {api} LIMIT {"ALL" if most is None else int(most)}
        """,
    )
    seconds, minutes = (_find_peaks(db, field) for field in ("second", "minute"))
    callers, outside = _find_callers(db, outcome), _find_outside(db)
    return [
        Incident(
            Api(sums.eventSource, sums.eventName, sums.awsRegion, sums.recipientAccountId),
            outcome,
            refused=sums.refused,
            calls=sums.calls,
            first=sums.first,
            last=sums.last,
            second=seconds.get(sums.number),
            minute=minutes.get(sums.number),
            callers=callers.get(sums.number, []),
            quota=(
                quotas.quota(sums.eventSource, sums.eventName, sums.awsRegion)
                if outcome == THROTTLED and sums.number in seconds
                else None
            ),
            outside=outside.get(sums.number, []),
            aws_triggered=sums.aws_triggered,
        )
        for sums in worst
    ]


def _prepare_tables(db: Connection, outcome: str, selection: Selection) -> None:
    """
    Make the tables that incidents are found in; those of an earlier question are replaced.

    *ended* has the series of refused calls; *known* all series of their APIs, which it numbers;
    *timed* the calls to these APIs in the minutes of refused calls, by second and caller; *limited*
    those of them that use up a quota, in the minutes in which one of them was refused.
    """
    api, minute = ", ".join(Api._fields), start_of(WIDTHS["minute"])
    by_aws, outside = _apart(outcome)
    series = select_series(db, ["outcome"], selection)
    times = select_times(db, selection)
    db.execute(
        "CREATE OR REPLACE TEMP TABLE ended AS"
        f" SELECT id FROM ({series.text}) WHERE outcome = $ended",
        series.parameters | {"ended": outcome},
    )
    db.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE known AS
        SELECT id, dense_rank() OVER (ORDER BY {api}) AS api, caller,
            id IN (FROM ended) AS ended, {by_aws} AS by_aws, {outside} AS outside
        FROM series SEMI JOIN (SELECT {api} FROM series SEMI JOIN ended USING (id)) USING ({api})
        """
    )
    db.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE timed AS
        WITH near AS (
            SELECT second, {minute} AS minute, api, caller, ended, by_aws, outside, calls
            FROM (FROM counts {times.text}) JOIN known ON id = series WHERE calls > 0
        )
        SELECT second, minute, api, caller, by_aws, outside, sum(calls)::BIGINT AS calls,
            coalesce(sum(calls) FILTER (ended), 0)::BIGINT AS refused
        FROM near SEMI JOIN (SELECT api, minute FROM near WHERE ended) USING (api, minute)
        GROUP BY ALL
        """,
        times.parameters,
    )
    db.execute(
        """
        CREATE OR REPLACE TEMP TABLE limited AS
        WITH counting AS (FROM timed WHERE NOT by_aws AND NOT outside)
        FROM counting SEMI JOIN (FROM counting WHERE refused > 0) USING (api, minute)
        """
    )


def _apart(outcome: str) -> tuple[str, str]:
    """SQL for the series of calls that AWS throttled itself, and of calls outside of the quota."""
    if outcome != THROTTLED:
        return "false", "false"
    by_aws = "throttle_cause <> ''"
    return by_aws, (
        f"NOT {by_aws} AND split_part(eventSource, '.', 1) = '{quotas.OUTSIDE_SERVICE}'"
        f" AND regexp_full_match(caller, '{quotas.OUTSIDE_CALLERS}')"
    )


def _find_peaks(db: Connection, field: str) -> dict[int, IncidentPeak]:
    """Return the time of each API with the most refused calls, the first of several."""
    found = fetch(
        db,
        _Peak,
        f"""
        WITH times AS (
            SELECT api, {field} AS start, sum(refused)::BIGINT AS refused,
                sum(calls)::BIGINT AS calls
            FROM limited GROUP BY ALL
        ),
        worst AS (SELECT api, max((refused, -start, calls)) AS most FROM times GROUP BY api)
        SELECT api, -most[2], most[1], most[3] FROM worst
        """,
    )
    return {peak.number: IncidentPeak(peak.time, peak.refused, peak.calls) for peak in found}


def _find_callers(db: Connection, outcome: str) -> dict[int, list[IncidentCaller]]:
    """Return the callers of each API, the greatest share first."""
    weight = "calls" if outcome == THROTTLED else "refused"
    found = fetch(
        db,
        _Caller,
        f"""
        SELECT api, caller, sum(calls)::BIGINT AS calls, sum(refused)::BIGINT AS refused,
            sum({weight}) / sum(sum({weight})) OVER (PARTITION BY api) AS share
        FROM limited GROUP BY api, caller HAVING sum({weight}) > 0
        ORDER BY share DESC, refused DESC, caller
        """,
    )
    callers: dict[int, list[IncidentCaller]] = {}
    for each in found:
        caller = IncidentCaller(each.caller, each.calls, each.refused, each.share)
        callers.setdefault(each.number, []).append(caller)
    return callers


def _find_outside(db: Connection) -> dict[int, list[CallerOutside]]:
    """Return the callers of each API outside of its quota, most calls first."""
    found = fetch(
        db,
        _Caller,
        """
        SELECT api, caller, sum(calls)::BIGINT AS calls, sum(refused)::BIGINT AS refused, 0
        FROM timed WHERE outside GROUP BY api, caller ORDER BY calls DESC, refused DESC, caller
        """,
    )
    callers: dict[int, list[CallerOutside]] = {}
    for each in found:
        caller = CallerOutside(each.caller, each.calls, each.refused)
        callers.setdefault(each.number, []).append(caller)
    return callers
