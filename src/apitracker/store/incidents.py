"""
Who is throttled or denied, and who is behind it.

A quota belongs to an account and a region, not to a caller: who uses it up is throttled no more
often than others are. So all callers of a throttled API are named, by their calls in the minutes
in which it was throttled, whether they were throttled themselves or not. Of a denied API the
callers that were denied are named.

What uses up no quota is listed apart: calls outside of it, as by service-linked roles to EC2, and
throttles that AWS caused itself. Nobody has a share of them, and no peak counts them.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from msgspec import Struct

from apitracker.core import quotas, tables
from apitracker.core.quotas import Quota
from apitracker.core.times import write

THROTTLED: Final = "throttled"
SHOWN: Final = 10  # incidents in a table, and callers of each, unless all are asked for


class Api(NamedTuple):
    """An API, where it was called."""

    eventSource: str
    eventName: str
    awsRegion: str
    recipientAccountId: str


FIELDS: Final = ("second", *Api._fields, "caller", "throttle_cause")
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


class Outside(Struct, frozen=True):
    """A caller whose calls do not count toward the quota: its calls, and how many were refused."""

    caller: str
    calls: int
    refused: int


class Incident(Struct, frozen=True):
    """
    Calls to one API in one region and account that were refused: throttled, or denied.

    *refused* says how many, between *first* and *last*, in seconds since 1970 UTC; *calls* are all
    calls to it in the minutes in which some were refused. *callers* come worst first.

    Of throttled calls, *aws_triggered* are those that AWS caused itself, and *outside* names who
    calls outside of the quota. Both are in *refused* and *calls*, and neither in the peaks and
    *callers*: where nothing else was throttled these are empty, and there is no quota to speak of.
    """

    api: Api
    outcome: str
    refused: int
    calls: int
    first: int
    last: int
    second: Peak | None
    minute: Peak | None
    callers: list[Caller]
    quota: Quota | None
    outside: list[Outside] = []
    aws_triggered: int = 0


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
    "awsTriggered",
    "caller",
    "callerRefused",
    "callerShare",
)
"""The columns of CSV before the caller's calls: a row is a caller of an API, without a share where
its calls do not count toward the quota. Where there is no caller, the row has none."""


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


def _rows(incident: Incident) -> Iterator[tuple[tables.Cells, int]]:
    about = (
        *incident.api,
        incident.outcome,
        incident.refused,
        write("second", incident.first),
        write("second", incident.last),
        *_peak_cells("second", incident.second),
        *_peak_cells("minute", incident.minute),
        incident.aws_triggered,
    )
    for caller in incident.callers:
        yield (*about, caller.caller, caller.refused, round(caller.share, 4)), caller.calls
    for outside in incident.outside:
        yield (*about, outside.caller, outside.refused, ""), outside.calls
    if not incident.callers and not incident.outside:
        yield (*about, "", 0, ""), 0


def _peak_cells(field: str, peak: Peak | None) -> tables.Cells:
    return (write(field, peak.time), peak.refused, peak.calls) if peak else ("", "", "")


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
    if incident.outside:
        members["outsideQuota"] = [
            {"caller": o.caller, "calls": o.calls, "refused": o.refused} for o in incident.outside
        ]
    if incident.aws_triggered:
        members["awsTriggered"] = incident.aws_triggered
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


def _peak_members(field: str, peak: Peak | None) -> dict[str, Any] | None:
    if peak is None:
        return None
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
    if second and minute:
        in_second, in_minute = write("second", second.time), write("minute", minute.time)
        yield (
            f"  worst second {in_second}: {second.refused:,} of {second.calls:,};"
            f" worst minute {in_minute}: {minute.refused:,} of {minute.calls:,}"
        )
    if incident.aws_triggered:
        yield (
            f"  {incident.aws_triggered:,} of the {incident.refused:,} throttled because of an"
            " operational issue of AWS, whoever called"
        )
    if incident.quota:
        first, *more = quotas.describe_quota(incident.quota)
        yield f"  default quota, yours may differ: {first}"
        yield from (f"    {line}" for line in (*more, incident.quota.source))
    yield from _callers_table(incident, shown)


def _callers_table(incident: Incident, shown: int | None) -> Iterator[str]:
    """Write the callers, first by what they are sorted by and their share of it."""
    rows = [(c.calls, c.refused, f"{c.share:.1%}", c.caller) for c in incident.callers[:shown]]
    if rest := incident.callers[len(rows) :]:
        share = sum(c.share for c in rest)
        rows.append(_sum_up(rest, f"{share:.1%}", "more callers"))
    outside = [(o.calls, o.refused, "-", o.caller) for o in incident.outside[:shown]]
    if others := incident.outside[len(outside) :]:
        outside.append(_sum_up(others, "-", "more callers outside of the quota"))
    if not rows and not outside:
        return
    order = (0, 1) if incident.outcome == THROTTLED else (1, 0)
    titles = ("calls", incident.outcome)
    left, right = (
        max([len(titles[at]), *(len(f"{row[at]:,}") for row in rows + outside)]) for at in order
    )
    yield f"  {titles[order[0]]:>{left}}   share  {titles[order[1]]:>{right}}  caller"
    for row in rows + outside:
        name = tables.printable(row[3]) or "-"
        yield f"  {row[order[0]]:>{left},}  {row[2]:>6}  {row[order[1]]:>{right},}  {name}"
    if outside:
        calls = sum(o.calls for o in incident.outside)
        yield f"  without a share: {calls:,} calls that do not count toward EC2's limits"
        yield f"    {quotas.OUTSIDE_SOURCE}"


def _sum_up(rest: Sequence[Caller | Outside], share: str, what: str) -> tuple[int, int, str, str]:
    return sum(c.calls for c in rest), sum(c.refused for c in rest), share, f"{len(rest):,} {what}"
