"""
Who is throttled or denied, and who is behind it.

A quota belongs to an account and a region, not to a caller: who uses it up is throttled no more
often than others are. So all callers of a throttled API are named, by their calls in the minutes
in which it was throttled, whether they were throttled themselves or not. Of a denied API the
callers that were denied are named.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from msgspec import Struct

from apitracker.core import quotas
from apitracker.core.quotas import Quota
from apitracker.core.selection import Selection, predicate
from apitracker.core.tally import WIDTHS, Row
from apitracker.core.times import write
from apitracker.local import tables
from apitracker.local.readings import Question

THROTTLED: Final = "throttled"
SHOWN: Final = 10  # incidents in a table, and callers of each, unless all are asked for


class Api(NamedTuple):
    """An API, where it was called."""

    eventSource: str
    eventName: str
    awsRegion: str
    recipientAccountId: str


FIELDS: Final = ("second", *Api._fields, "caller")
"""What is told apart to find incidents."""


class Peak(NamedTuple):
    """The worst second or minute: its start, how many calls were refused in it, and all calls."""

    time: int
    refused: int
    calls: int


class Caller(Struct, frozen=True):
    """
    A caller of an API in the minutes in which calls to it were refused.

    *share* is that of all calls to it where it was throttled, of all refused where it was denied.
    """

    caller: str
    calls: int
    refused: int
    share: float


class Incident(Struct, frozen=True):
    """
    Calls to one API in one region and account that were refused: throttled, or denied.

    *refused* says how many, between *first* and *last*, in seconds since 1970 UTC; *calls* are all
    calls to it in the minutes in which some were refused. *callers* come worst first.
    """

    api: Api
    outcome: str
    refused: int
    calls: int
    first: int
    last: int
    second: Peak
    minute: Peak
    callers: list[Caller]
    quota: Quota | None


def question(selection: Selection, max_bytes: int) -> Question:
    """Ask of each log what it takes to find incidents; *selection* by time is part of that."""
    times = {field: globs for field, globs in selection.where.items() if field in WIDTHS}
    by = dict.fromkeys((*FIELDS, "outcome", *selection.plain))
    return Question(tuple(by), max_bytes, Selection(selection.since, selection.until, times))


def around(
    counts: Mapping[Row, int], by: Sequence[str], selection: Selection, outcome: str
) -> Iterator[Row]:
    """
    Give what `incidents` takes of *counts* by the fields of `question`.

    Refused are the calls that ended with *outcome* and that *selection* selects; with them come
    all calls to the same API in the same minute.
    """
    plain = Selection(where={field: selection.where[field] for field in selection.plain})
    selected = predicate(plain, by)
    ended = by.index("outcome")
    refused = {row for row in counts if row[ended] == outcome and selected(row[0], row)}
    hit = {(_minute(row[0]), row[1:5]) for row in refused}
    for row, calls in counts.items():
        if (_minute(row[0]), row[1:5]) in hit:
            yield (*row[: len(FIELDS)], calls, calls if row in refused else 0)


def incidents(rows: Iterable[Row], outcome: str) -> list[Incident]:
    """
    Find the incidents in *rows* of `FIELDS`, the calls, and how many of these were refused.

    The rows are those of all calls to an API in the minutes in which some were refused. Incidents
    with the most refused calls come first, then by code point.
    """
    apis: dict[Row, list[Row]] = {}
    for row in rows:
        apis.setdefault(row[1:5], []).append(row)
    found = [_incident(Api(*api), of, outcome) for api, of in apis.items()]
    return sorted(found, key=lambda incident: (-incident.refused, incident.api))


def _incident(api: Api, rows: list[Row], outcome: str) -> Incident:
    seconds = [row[0] for row in rows if row[-1]]
    calls, refused = _totals((row[5], row) for row in rows)
    throttled = outcome == THROTTLED
    return Incident(
        api,
        outcome,
        refused=refused.total(),
        calls=calls.total(),
        first=min(seconds),
        last=max(seconds),
        second=_peak((row[0], row) for row in rows),
        minute=_peak((_minute(row[0]), row) for row in rows),
        callers=_callers(calls, refused, weight=calls if throttled else refused),
        quota=quotas.quota(api.eventSource, api.eventName, api.awsRegion) if throttled else None,
    )


def _callers(calls: Counter[Any], refused: Counter[Any], weight: Counter[Any]) -> list[Caller]:
    """Give the callers that have a share of *weight*, the greatest first."""
    whole = weight.total()
    callers = [
        Caller(caller, calls[caller], refused[caller], weight[caller] / whole)
        for caller in calls
        if weight[caller]
    ]
    return sorted(callers, key=lambda c: (-c.share, -c.refused, c.caller))


def _peak(rows: Iterable[tuple[int, Row]]) -> Peak:
    """Give the time with the most refused calls, the first of several."""
    calls, refused = _totals(rows)
    time = min(calls, key=lambda time: (-refused[time], time))
    return Peak(time, refused[time], calls[time])


def _totals(rows: Iterable[tuple[Any, Row]]) -> tuple[Counter[Any], Counter[Any]]:
    """Add up the calls and the refused of each key."""
    calls: Counter[Any] = Counter()
    refused: Counter[Any] = Counter()
    for key, row in rows:
        calls[key] += row[-2]
        refused[key] += row[-1]
    return calls, refused


def _minute(second: int) -> int:
    return second - second % WIDTHS["minute"]


# --- as text ------------------------------------------------------------------------------------

COLUMNS: Final = (
    *Api._fields,
    "outcome",
    "refused",
    "first",
    "last",
    "worstSecond",
    "worstSecondRefused",
    "worstSecondCalls",
    "worstMinute",
    "worstMinuteRefused",
    "worstMinuteCalls",
    "caller",
    "callerRefused",
    "callerShare",
)
"""The columns of CSV before the caller's calls: a row is a caller of an API."""


def lines(found: Sequence[Incident], form: str, *, everything: bool = False) -> Iterator[str]:
    """
    Write incidents in one of `tables.FORMATS`.

    A table has the worst `SHOWN` incidents with as many callers each, unless *everything* is asked
    for, and says what it leaves out. The other formats leave nothing out.
    """
    if form == "csv":
        yield from tables.lines([row for i in found for row in _rows(i)], COLUMNS, "csv")
    elif form == "json":
        yield json.dumps([_members(incident) for incident in found], indent=2)
    else:
        yield from _table(found, None if everything else SHOWN)


def _rows(incident: Incident) -> Iterator[tuple[Row, int]]:
    second, minute = incident.second, incident.minute
    about = (
        *incident.api,
        incident.outcome,
        incident.refused,
        write("second", incident.first),
        write("second", incident.last),
        write("second", second.time),
        *second[1:],
        write("minute", minute.time),
        *minute[1:],
    )
    for caller in incident.callers:
        yield (*about, caller.caller, caller.refused, round(caller.share, 4)), caller.calls


def _members(incident: Incident) -> dict[str, Any]:
    """Give *incident* as JSON has it."""
    quota = incident.quota
    members: dict[str, Any] = {
        **incident.api._asdict(),
        "outcome": incident.outcome,
        "refused": incident.refused,
        "calls": incident.calls,
        "first": write("second", incident.first),
        "last": write("second", incident.last),
        "worstSecond": _peak_members("second", incident.second),
        "worstMinute": _peak_members("minute", incident.minute),
        "callers": [
            {
                "caller": c.caller,
                "calls": c.calls,
                "refused": c.refused,
                "share": round(c.share, 4),
            }
            for c in incident.callers
        ],
    }
    if quota:
        members["defaultQuota"] = {
            "ratePerSecond": quota.rate,
            "burst": quota.burst,
            "per": quota.per,
            "sharedWith": quota.shared,
            "note": quota.note,
            "source": quota.source,
        }
    return members


def _peak_members(field: str, peak: Peak) -> dict[str, Any]:
    return {field: write(field, peak.time), "refused": peak.refused, "calls": peak.calls}


def _table(found: Sequence[Incident], shown: int | None) -> Iterator[str]:
    for number, incident in enumerate(found[:shown]):
        if number:
            yield ""
        yield from _block(incident, shown)
    if rest := found[len(found) if shown is None else shown :]:
        refused = sum(incident.refused for incident in rest)
        yield ""
        yield f"and {refused:,} calls {rest[0].outcome} in {len(rest):,} more; --all shows them"


def _block(incident: Incident, shown: int | None) -> Iterator[str]:
    """Write *incident* for a terminal: the API, what happened, who is behind it."""
    api, second, minute = incident.api, incident.second, incident.minute
    yield tables.printable(
        "  ".join([f"{api.eventSource} {api.eventName}", *filter(None, api[2:])])
    )
    first, last = write("second", incident.first), write("second", incident.last)
    when = f"{first} to {last}" if first != last else first
    yield f"  {incident.refused:,} of {incident.calls:,} calls {incident.outcome}, {when}"
    yield (
        f"  worst second {write('second', second.time)}: {second.refused:,} of {second.calls:,};"
        f" worst minute {write('minute', minute.time)}: {minute.refused:,} of {minute.calls:,}"
    )
    if incident.quota:
        first, *more = quotas.describe(incident.quota)
        yield f"  default quota, yours may differ: {first}"
        yield from (f"    {line}" for line in (*more, incident.quota.source))
    yield from _callers_table(incident, shown)


def _callers_table(incident: Incident, shown: int | None) -> Iterator[str]:
    """Write the callers, first by what they are sorted by and their share of it."""
    rows = [
        (c.calls, c.refused, c.share, tables.printable(c.caller) or "-") for c in incident.callers
    ]
    if rest := rows[len(rows) if shown is None else shown :]:
        calls, refused, shares, _ = zip(*rest, strict=True)
        rows[len(rows) - len(rest) :] = [
            (sum(calls), sum(refused), sum(shares), f"{len(rest):,} more callers")
        ]
    order = (0, 1) if incident.outcome == THROTTLED else (1, 0)
    titles = ("calls", incident.outcome)
    left, right = (max([len(titles[at]), *(len(f"{row[at]:,}") for row in rows)]) for at in order)
    yield f"  {titles[order[0]]:>{left}}   share  {titles[order[1]]:>{right}}  caller"
    for row in rows:
        yield f"  {row[order[0]]:>{left},}  {row[2]:6.1%}  {row[order[1]]:>{right},}  {row[3]}"
