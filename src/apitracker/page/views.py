"""
What the page asks and is answered: each figure of the page is in one of these answers.

An answer is made by a function of the store and a question. `page.app` takes questions from
addresses, and `ask` from names and texts, so that a report has the very figures of the page.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

from msgspec.structs import replace
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from apitracker.core import quotas, tables
from apitracker.core.fields import FIELDS, UNKEPT, WIDTHS, parse_fields, require_fields
from apitracker.core.selection import Selection, matcher, parse_selection
from apitracker.core.times import parse
from apitracker.errors import UsageError
from apitracker.store import queries as figures
from apitracker.store.database import Connection, Store
from apitracker.store.incidents import Incident, Peak

VERSION: Final = metadata.version("apitracker")
NAMED: Final = 200  # rejected records, and logs that could not be read, that are named
INCIDENTS: Final = 500
EXPORTED: Final = 1_000_000  # rows
MINUTE: Final = WIDTHS["minute"]

Second = Annotated[int, Field(description="Seconds since 1970-01-01T00:00Z.")]
Calls = Annotated[int, Field(description="Calls.")]


# --- questions ----------------------------------------------------------------------------------


class Question(BaseModel):
    """The parameters of a question."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Selected(Question):
    """Which calls are asked about."""

    since: Annotated[
        str | None,
        Field(
            description="From this eventTime on: 2026-10-01, 2026-10-01T12:30Z, or an age such as"
            " 2h or 7d. Without an offset a time is UTC. By default from the first call on.",
            examples=["2026-10-01T12:30Z", "7d"],
        ),
    ] = None
    until: Annotated[
        str | None,
        Field(
            description="Before this eventTime, written like since. By default to the last call.",
            examples=["2026-10-02"],
        ),
    ] = None
    where: Annotated[
        tuple[str, ...],
        Field(
            description="FIELD=GLOB: only calls whose FIELD matches. Several globs of one field are"
            " alternatives; several fields must all match.",
            examples=[["eventName=Describe*", "outcome=throttled"]],
        ),
    ] = ()


class OverTime(Selected):
    """Calls over time."""

    by: Annotated[
        str, Field(description="The field to stack by; none that is a time.", examples=["caller"])
    ] = "eventSource"
    most: Annotated[
        int, Field(ge=1, le=50, description="How many values have a series of their own.")
    ] = 8


class Sorted(Selected):
    """The fields, the order and the search of rows."""

    by: Annotated[
        str,
        Field(description="The fields of a row, by commas.", examples=["caller", "day,awsRegion"]),
    ] = "eventSource,eventName"
    sort: Annotated[
        Literal["calls", "throttled", "denied", "failed", "name"],
        Field(description="What rows are sorted by; name is by the fields themselves."),
    ] = "calls"
    descending: Annotated[bool, Field(description="Most, or last by code point, first.")] = True
    search: Annotated[
        str,
        Field(
            max_length=1_000,
            description="Only rows with this text in one of their fields, in whatever case.",
        ),
    ] = ""


class Ranked(Sorted):
    """Rows of a table."""

    limit: Annotated[int, Field(ge=1, le=500, description="At most so many rows.")] = 25
    offset: Annotated[
        int, Field(ge=0, le=1_000_000_000, description="So many rows are left out before.")
    ] = 0


class Alarmed(Selected):
    """The calls that an alarm counts."""

    outcome: Annotated[
        Literal["", "throttled", "denied", "failed"],
        Field(description="Only calls that ended so; empty: all."),
    ] = ""


class Refused(Selected):
    """Refused calls."""

    outcome: Annotated[
        Literal["throttled", "denied"], Field(description="What became of the calls.")
    ] = "throttled"


class Exported(Sorted):
    """All rows, as a file."""

    format: Annotated[Literal["csv", "json"], Field(description="The format of the file.")] = "csv"


# --- answers ------------------------------------------------------------------------------------


class Answer(BaseModel):
    """An answer."""

    model_config = ConfigDict(frozen=True)


class Fault(Answer):
    """Why there is no answer."""

    detail: Annotated[str, Field(description="What is wrong, and the way on.")]


class About(Answer):
    """What is in the store."""

    store: Annotated[str, Field(description="The path of the store.")]
    exists: Annotated[bool, Field(description="Whether there is such a file yet.")]
    first: Annotated[Second | None, Field(description="The time of the first call.")]
    last: Annotated[Second | None, Field(description="The time of the last call.")]
    logs: Annotated[int, Field(description="Logs that were read.")]
    calls: Calls
    version: Annotated[str, Field(description="The version of apitracker.")]
    fields: Annotated[list[str], Field(description="The fields that by and where take.")]
    eventsKept: Annotated[
        int, Field(description="Events that are known by their eventID, and so count once.")
    ]
    origin: Annotated[
        str,
        Field(
            description="Where the calls come from: real, synthetic (apitracker sample) or mixed;"
            " empty where there are none."
        ),
    ]


class Figures(Answer):
    """Headline figures of a time."""

    calls: Calls
    peak: Annotated[int, Field(description="Calls in the busiest second.")]
    peakSecond: Annotated[
        Second | None, Field(description="The busiest second, the first of several.")
    ]
    failed: Annotated[int, Field(description="Calls with an error of another kind.")]
    throttled: Annotated[int, Field(description="Calls that were throttled.")]
    denied: Annotated[int, Field(description="Calls that were denied.")]
    apis: Annotated[int, Field(description="Distinct eventSource and eventName.")]
    callers: Annotated[int, Field(description="Distinct callers.")]
    accounts: Annotated[int, Field(description="Distinct recipientAccountIds.")]
    regions: Annotated[int, Field(description="Distinct awsRegions.")]


class Summary(Answer):
    """Headline figures of the chosen time, and of as long a time before it."""

    since: Annotated[Second | None, Field(description="The time begins here; null: no calls.")]
    until: Annotated[Second | None, Field(description="The time ends before this.")]
    now: Annotated[Figures, Field(description="The figures of that time.")]
    before: Annotated[
        Figures | None,
        Field(
            description="The figures of as long a time just before; null where since was not given"
            " or the first call in the store is on a later day than that time begins."
        ),
    ]


class Series(Answer):
    """Calls of one value over time."""

    name: Annotated[str | None, Field(description="The value; null: all others together.")]
    calls: Annotated[list[int], Field(description="Calls in each step.")]


class Stacked(Answer):
    """Calls over time, stacked by a field."""

    step: Annotated[int, Field(description="The length of a step, in seconds.")]
    times: Annotated[list[int], Field(description="The start of each step, at most 400.")]
    series: Annotated[
        list[Series], Field(description="Most calls first; all others together come last.")
    ]
    throttled: Annotated[list[int], Field(description="Throttled calls in each step.")]
    denied: Annotated[list[int], Field(description="Denied calls in each step.")]


class Threshold(Answer):
    """
    A threshold that the chosen time suggests for an alarm by the minute, or by the hour.

    Minutes and hours are whole, also those in which the chosen time begins and ends.
    """

    above: Annotated[
        int | None,
        Field(
            description="An alarm fires at more calls than these: the calls of the busiest minute"
            " in which none was throttled. 0 where throttled or denied calls are counted; null"
            " where there is no such minute."
        ),
    ]
    at: Annotated[Second | None, Field(description="The start of that minute.")]
    most: Annotated[int, Field(description="Calls in the busiest minute of all.")]
    refused: Annotated[
        int,
        Field(
            description="How many minutes have a throttled call; a denied one where denied calls"
            " are counted."
        ),
    ]
    exceeded: Annotated[int, Field(description="How many minutes have more calls than above.")]


class Thresholds(Answer):
    """Thresholds for an alarm, and the number of metrics that it watches."""

    minute: Threshold
    hour: Threshold
    regions: Annotated[
        int, Field(description="In how many regions there are such calls: each is a metric.")
    ]


class Ranking(Answer):
    """A row of a table."""

    key: Annotated[
        dict[str, str | int],
        Field(description="The row's fields; a time is the second at which it begins."),
    ]
    calls: Calls
    throttled: Annotated[int, Field(description="Calls that were throttled.")]
    denied: Annotated[int, Field(description="Calls that were denied.")]
    failed: Annotated[int, Field(description="Calls with an error of another kind.")]
    spark: Annotated[
        list[int],
        Field(
            description="Calls in equal parts of the chosen time, at most 40: whole minutes or days"
            " where it is that long. None where by has a time."
        ),
    ]


class Top(Answer):
    """Rows of a table."""

    total: Annotated[int, Field(description="How many rows there are in all.")]
    rows: Annotated[list[Ranking], Field(description="Those that were asked for.")]


class Worst(Answer):
    """The second or minute with most refused calls, the first of several."""

    at: Annotated[Second, Field(description="Its start.")]
    calls: Annotated[int, Field(description="Calls that were refused in it.")]
    made: Annotated[int, Field(description="All calls in it.")]


class Behind(Answer):
    """A caller of an API in the minutes in which calls to it were refused."""

    caller: Annotated[str, Field(description="Who called.")]
    calls: Calls
    throttled: Annotated[int, Field(description="How many of them were refused.")]
    share: Annotated[
        float, Field(description="Of all calls to it where it was throttled, else of all refused.")
    ]


class Outside(Answer):
    """A caller whose calls do not count toward the quota, such as a service-linked role to EC2."""

    caller: Annotated[str, Field(description="The role or the service.")]
    calls: Annotated[int, Field(description="Calls to the API.")]
    throttled: Annotated[int, Field(description="Its refused calls.")]


class Throttle(Answer):
    """Calls to one API in one region and account that were refused."""

    eventSource: Annotated[str, Field(description="The API's service.")]
    eventName: Annotated[str, Field(description="The API's name.")]
    awsRegion: Annotated[str, Field(description="Where it was called.")]
    recipientAccountId: Annotated[str, Field(description="The account.")]
    calls: Annotated[int, Field(description="Calls that were refused.")]
    made: Annotated[
        int, Field(description="All calls to it in the minutes in which some were refused.")
    ]
    first: Annotated[Second, Field(description="The first refused call.")]
    last: Annotated[Second, Field(description="The last refused call.")]
    worstSecond: Annotated[
        Worst | None, Field(description="None where all of it was outside of a quota, or by AWS.")
    ]
    worstMinute: Annotated[Worst | None, Field(description="None where worstSecond is.")]
    callers: Annotated[list[Behind], Field(description="Who is behind it, greatest share first.")]
    outsideQuota: Annotated[
        list[Outside], Field(description="Who calls it without using up its quota, if known.")
    ]
    awsTriggered: Annotated[
        int, Field(description="Calls that were throttled for an operational issue of AWS.")
    ]
    defaultQuota: Annotated[
        list[str],
        Field(description="The quota that AWS documents, in words, and its page; mostly none."),
    ]


class Rejection(Answer):
    """A record that could not be counted."""

    log: Annotated[str, Field(description="The log that it is in.")]
    place: Annotated[str, Field(description="Where it is in the log.")]
    reason: Annotated[str, Field(description="Why it could not be counted.")]


class UnreadLog(Answer):
    """A log that could not be read."""

    log: Annotated[str, Field(description="Its name.")]
    fault: Annotated[str, Field(description="Why it could not be read.")]


class Reconciliation(Answer):
    """
    What became of every record in the store.

    received = counted + duplicates + rejected + the sum of skipped.
    """

    logs: Annotated[int, Field(description="Logs that were read.")]
    received: Annotated[int, Field(description="Records in them.")]
    counted: Annotated[int, Field(description="Records that are in the counts.")]
    duplicates: Annotated[int, Field(description="Records of an event that was counted before.")]
    skipped: Annotated[dict[str, int], Field(description="Records that are no calls, by kind.")]
    rejected: Annotated[int, Field(description="Records that could not be counted.")]
    rejections: Annotated[list[Rejection], Field(description="The first 200 of them.")]
    unreadable: Annotated[int, Field(description="Logs that could not be read.")]
    unread: Annotated[list[UnreadLog], Field(description="The first 200 of them.")]
    fault: Annotated[
        str | None,
        Field(description="What does not add up, and the way on; null where all does."),
    ]


# --- functions ----------------------------------------------------------------------------------


def about(store: Store, _: Question) -> About:
    """Say what is in the store."""
    with store.reading() as db:
        extent = figures.extent(db)
    return About(
        store=str(store.path),
        exists=store.path.exists(),
        first=extent.first,
        last=extent.last,
        logs=extent.logs,
        calls=extent.calls,
        version=VERSION,
        fields=[field for field in FIELDS if field not in UNKEPT],
        eventsKept=extent.events,
        origin=extent.origin,
    )


def summary(store: Store, question: Selected) -> Summary:
    """Give the headline figures, and those of the time before."""
    with store.reading() as db:
        window = _window(db, question)
        now = _figures(db, window.selection)
        before = _figures(db, window.before) if window.before else None
    return Summary(since=window.since, until=window.until, now=now, before=before)


def thresholds(store: Store, question: Alarmed) -> Thresholds:
    """Return the thresholds of the chosen time for an alarm on the selected calls."""
    with store.reading() as db:
        window = _window(db, question)
        counted = window.selection
        if question.outcome:
            selected = matcher("outcome", counted.where.get("outcome", ("*",)))
            ended = tuple(filter(selected, [question.outcome]))
            counted = replace(counted, where={**counted.where, "outcome": ended})
        return Thresholds(
            minute=_threshold(db, window, "minute", question.outcome),
            hour=_threshold(db, window, "hour", question.outcome),
            regions=figures.totals(db, counted).regions,
        )


def series(store: Store, question: OverTime) -> Stacked:
    """Give calls over time."""
    with store.reading() as db:
        window = _window(db, question)
        if window.since is None or window.until is None:
            return Stacked(step=figures.STEPS[0], times=[], series=[], throttled=[], denied=[])
        steps = figures.steps(window.since, window.until)
        stack = figures.stack(db, question.by, steps, question.most, window.selection)
    return Stacked(
        step=steps.length,
        times=[steps.start + at * steps.length for at in range(steps.number)],
        series=[Series(name=name, calls=calls) for name, calls in stack.calls.items()],
        throttled=stack.throttled,
        denied=stack.denied,
    )


def top(store: Store, question: Ranked) -> Top:
    """Give rows of a table."""
    by = _fields(question.by)
    with store.reading() as db:
        window = _window(db, question)
        total, lines = figures.table(
            db,
            by,
            figures.parts_of(window.since or 0, window.until or 0),
            window.selection,
            sort=question.sort,
            descending=question.descending,
            limit=question.limit,
            offset=question.offset,
            search=question.search,
        )
    rows = [
        Ranking(
            key=dict(zip(by, line.key, strict=True)),
            calls=line.calls,
            throttled=line.throttled,
            denied=line.denied,
            failed=line.failed,
            spark=line.parts,
        )
        for line in lines
    ]
    return Top(total=total, rows=rows)


def throttles(store: Store, question: Refused) -> list[Throttle]:
    """Give the APIs with most refused calls, and who is behind it; at most 500."""
    with store.reading() as db:
        selection = _window(db, question).selection
        found = figures.incidents(db, question.outcome, INCIDENTS, selection)
    return [_throttle(incident) for incident in found]


def reconciliation(store: Store, _: Question) -> Reconciliation:
    """Account for every record in the store."""
    with store.reading() as db:
        balance = figures.balance(db, NAMED)
    return Reconciliation(
        logs=balance.logs,
        received=balance.received,
        counted=balance.counted,
        duplicates=balance.duplicates,
        skipped=balance.skipped,
        rejected=balance.rejected,
        rejections=[
            Rejection(log=log, place=place, reason=reason)
            for log, place, reason in balance.rejections
        ],
        unreadable=balance.unreadable,
        unread=[UnreadLog(log=log, fault=fault) for log, fault in balance.unread],
        fault=balance.fault,
    )


def export(store: Store, question: Exported) -> str:
    """Return a file with all rows; unsearched and by calls, as `apitracker top --all` writes it."""
    by = _fields(question.by)
    with store.reading() as db:
        total, rows = figures.all_rows(
            db,
            by,
            EXPORTED,
            _selection(question),
            sort=question.sort,
            descending=question.descending,
            search=question.search,
        )
    if total > EXPORTED:
        raise UsageError(
            f"more than {EXPORTED:,} rows: narrow it, or write them with apitracker top --all"
        )
    return "".join(f"{line}\n" for line in tables.lines(rows, by, question.format))


ANSWERS: Final[dict[str, tuple[type[Question], Callable[[Store, Any], Any]]]] = {
    "/api/about": (Question, about),
    "/api/summary": (Selected, summary),
    "/api/thresholds": (Alarmed, thresholds),
    "/api/series": (OverTime, series),
    "/api/top": (Ranked, top),
    "/api/throttles": (Refused, throttles),
    "/api/reconciliation": (Question, reconciliation),
}


def ask(path: Path, name: str, parameters: Sequence[tuple[str, str]]) -> Any:  # noqa: ANN401 - JSON
    """
    Ask the store at *path* what the page asks of the server; gives the answer, as of JSON.

    *name* is one of `ANSWERS`. `UsageError` when the question is none, `StoreError` when the store
    cannot be read.
    """
    kind, answer = ANSWERS[name]
    given: dict[str, Any] = dict(parameters)
    if "where" in given:
        given["where"] = tuple(value for name, value in parameters if name == "where")
    try:
        answered = answer(Store(path), kind.model_validate(given))
    except ValidationError as e:
        raise UsageError(wrong(e.errors())) from e
    many = answered if isinstance(answered, list) else [answered]
    found = [one.model_dump(mode="json") for one in many]
    return found if isinstance(answered, list) else found[0]


WORDS: Final = {
    "int_parsing": "write a whole number",
    "bool_parsing": "write true or false",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "choose from {expected}",
    "string_too_long": "must have at most {max_length} characters",
    "extra_forbidden": "there is no such parameter",
}


def wrong(errors: Sequence[Any]) -> str:
    """Say in words what is wrong with the parameters of a question, as pydantic has found it."""
    return "; ".join(
        f"{error['loc'][-1]}: "
        + WORDS.get(error["type"], error["msg"]).format(**error.get("ctx") or {})
        for error in errors
    )


# --- of questions and answers -------------------------------------------------------------------


class Window(NamedTuple):
    """A chosen time: which calls, from when to when, and those of the time before."""

    selection: Selection
    since: int | None
    until: int | None
    before: Selection | None


def _window(db: Connection, question: Selected) -> Window:
    """Say from when to when it is where *question* does not: from the first call to the last."""
    selection = _selection(question)
    since, until = selection.since, selection.until
    extent = figures.extent(db)
    if extent.first is None or extent.last is None:
        return Window(selection, since, until, None)
    if since is None:
        since = extent.first if until is None else min(extent.first, until - MINUTE)
    if until is None:
        until = extent.last + 1
        if until <= since:
            until = max(int(datetime.now(UTC).timestamp()), since + MINUTE)
    earlier = since - (until - since)
    if selection.since is None or extent.first - extent.first % WIDTHS["day"] > earlier:
        return Window(selection, since, until, None)
    return Window(selection, since, until, replace(selection, since=earlier, until=since))


def _selection(question: Selected) -> Selection:
    now = datetime.now(UTC)
    since, until = (
        None if text is None else parse(text, now=now) for text in (question.since, question.until)
    )
    return parse_selection(since, until, question.where)


def _fields(text: str) -> tuple[str, ...]:
    fields = parse_fields(text)
    if not fields:
        raise UsageError(f"by: name a field; choose from {', '.join(FIELDS)}")
    require_fields(fields, kept=True)
    return fields


def _figures(db: Connection, selection: Selection) -> Figures:
    totals = figures.totals(db, selection)
    peak = figures.peak(db, selection)
    return Figures(
        calls=totals.calls,
        peak=peak.calls,
        peakSecond=peak.second,
        failed=totals.failed,
        throttled=totals.throttled,
        denied=totals.denied,
        apis=totals.apis,
        callers=totals.callers,
        accounts=totals.accounts,
        regions=totals.regions,
    )


def _threshold(db: Connection, window: Window, field: str, outcome: str) -> Threshold:
    """Suggest a threshold by the times of *field*, whole ones: an alarm counts no part of one."""
    width = WIDTHS[field]
    since, until = window.since, window.until
    whole = replace(
        window.selection,
        since=None if since is None else since - since % width,
        until=None if until is None else until + -until % width,
    )
    refused = outcome if outcome in ("throttled", "denied") else "throttled"
    load = figures.alarm_load(db, width, whole, outcome=outcome, refused=refused)
    above: int | None
    if outcome == refused:
        above, at, exceeded = 0, None, load.refused
    elif load.calm.second is None:
        above, at, exceeded = None, None, 0
    else:
        above, at, exceeded = load.calm.calls, load.calm.second, load.above
    return Threshold(
        above=above, at=at, most=load.busiest.calls, refused=load.refused, exceeded=exceeded
    )


def _throttle(incident: Incident) -> Throttle:
    quota = incident.quota
    return Throttle(
        **incident.api._asdict(),
        calls=incident.refused,
        made=incident.calls,
        first=incident.first,
        last=incident.last,
        worstSecond=_worst(incident.second),
        worstMinute=_worst(incident.minute),
        callers=[
            Behind(caller=c.caller, calls=c.calls, throttled=c.refused, share=c.share)
            for c in incident.callers
        ],
        outsideQuota=[
            Outside(caller=o.caller, calls=o.calls, throttled=o.refused) for o in incident.outside
        ],
        awsTriggered=incident.aws_triggered,
        defaultQuota=[*quotas.describe_quota(quota), quota.source] if quota else [],
    )


def _worst(peak: Peak | None) -> Worst | None:
    if peak is None:
        return None
    return Worst(at=peak.time, calls=peak.refused, made=peak.calls)
