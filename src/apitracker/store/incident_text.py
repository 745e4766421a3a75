"""Incidents as text: a table for a terminal, CSV, JSON."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from apitracker.core import quotas, tables
from apitracker.core.times import write
from apitracker.store.incidents import (
    THROTTLED,
    Api,
    CallerOutside,
    Incident,
    IncidentCaller,
    IncidentPeak,
)

SHOWN: Final = 10  # incidents in a table, and callers of each, unless all are asked for


def write_incidents(
    found: Sequence[Incident], outcome: str, form: str, *, everything: bool = False
) -> Iterator[str]:
    """
    Write incidents of calls that ended with *outcome*, as the lines of one of `tables.FORMATS`.

    A table has the worst `SHOWN` incidents with as many callers each, unless *everything* is asked
    for, and names the rest by number. The other formats leave nothing out.
    """
    if form == "csv":
        rows = [row for incident in found for row in _rows(incident)]
        yield from tables.lines(rows, _columns(outcome), "csv")
    elif form == "json":
        yield json.dumps([_members(incident) for incident in found], indent=2)
    else:
        yield from _table(found, None if everything else SHOWN)


def _columns(outcome: str) -> tuple[str, ...]:
    """
    Return the columns of CSV before the caller's calls.

    A row is a caller of an API, without a share where its calls do not count toward the quota.
    Where there is no caller, the row has none.
    """
    ended = outcome.capitalize()
    return (
        *Api._fields,
        "outcome",
        outcome,
        "first",
        "last",
        "worstSecond",
        f"worstSecond{ended}",
        "worstSecondCalls",
        "worstMinute",
        f"worstMinute{ended}",
        "worstMinuteCalls",
        "awsTriggered",
        "caller",
        f"caller{ended}",
        "callerShare",
    )


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


def _peak_cells(field: str, peak: IncidentPeak | None) -> tables.Cells:
    return (write(field, peak.time), peak.refused, peak.calls) if peak else ("", "", "")


def _members(incident: Incident) -> dict[str, Any]:
    """Return the members of *incident* in JSON: refused calls are named by their outcome."""
    outcome, quota = incident.outcome, incident.quota
    members: dict[str, Any] = {
        **incident.api._asdict(),
        "outcome": outcome,
        outcome: incident.refused,
        "calls": incident.calls,
        "first": write("second", incident.first),
        "last": write("second", incident.last),
        "worstSecond": _peak_members("second", outcome, incident.second),
        "worstMinute": _peak_members("minute", outcome, incident.minute),
        "callers": [
            {
                "caller": c.caller,
                "calls": c.calls,
                outcome: c.refused,
                "share": round(c.share, 4),
            }
            for c in incident.callers
        ],
    }
    if incident.outside:
        members["outsideQuota"] = [
            {"caller": o.caller, "calls": o.calls, outcome: o.refused} for o in incident.outside
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


def _peak_members(field: str, outcome: str, peak: IncidentPeak | None) -> dict[str, Any] | None:
    if peak is None:
        return None
    return {field: write(field, peak.time), outcome: peak.refused, "calls": peak.calls}


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
    """Write *incident* for a terminal: the API, the calls, their quota, and the callers."""
    api, second, minute = incident.api, incident.second, incident.minute
    place = filter(None, (api.awsRegion, api.recipientAccountId))
    yield tables.printable("  ".join([f"{api.eventSource} {api.eventName}", *place]))
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


class _CallerLine(NamedTuple):
    """A line of the callers: one caller, or several that are added up under a name."""

    calls: int
    refused: int
    share: str
    name: str


def _callers_table(incident: Incident, shown: int | None) -> Iterator[str]:
    """Write the callers: the number that they are sorted by first, and their share of it."""
    callers, outside = incident.callers, incident.outside
    rows = [_CallerLine(c.calls, c.refused, f"{c.share:.1%}", c.caller) for c in callers[:shown]]
    if rest := callers[len(rows) :]:
        share = sum(c.share for c in rest)
        rows.append(_add_up(rest, f"{share:.1%}", "more callers"))
    rows += [_CallerLine(o.calls, o.refused, "-", o.caller) for o in outside[:shown]]
    if others := outside[len(outside[:shown]) :]:
        rows.append(_add_up(others, "-", "more callers outside of the quota"))
    if not rows:
        return
    calls = _right("calls", [row.calls for row in rows])
    refused = _right(incident.outcome, [row.refused for row in rows])
    shares = [f"{text:>6}" for text in ["share", *(row.share for row in rows)]]
    names = ["caller", *(tables.printable(row.name) or "-" for row in rows)]
    sorted_by, other = (calls, refused) if incident.outcome == THROTTLED else (refused, calls)
    for line in zip(sorted_by, shares, other, names, strict=True):
        yield "  " + "  ".join(line)
    if outside:
        n = sum(o.calls for o in outside)
        yield f"  without a share: {n:,} calls that do not count toward EC2's limits"
        yield f"    {quotas.OUTSIDE_SOURCE}"


def _right(title: str, numbers: Sequence[int]) -> list[str]:
    """Return a column of *numbers* under their *title*, aligned to the right."""
    texts = [title, *(f"{n:,}" for n in numbers)]
    width = max(map(len, texts))
    return [text.rjust(width) for text in texts]


def _add_up(rest: Sequence[IncidentCaller | CallerOutside], share: str, what: str) -> _CallerLine:
    """Return one line for the callers that are left out."""
    calls, refused = sum(c.calls for c in rest), sum(c.refused for c in rest)
    return _CallerLine(calls, refused, share, f"{len(rest):,} {what}")
