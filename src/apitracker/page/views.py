"""
The answers of the page: each is made of an open store and the parameters of a question.

`page.app` takes parameters from addresses, and `ask` from names and texts, so that a report has the
very figures of the page. Whoever asks opens the store, so that several answers are of one state.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from msgspec.structs import replace
from pydantic import ValidationError

from apitracker.core import quotas, tables
from apitracker.core.fields import FIELDS, UNKEPT, WIDTHS, parse_fields, require_fields
from apitracker.core.selection import Selection, matcher, parse_selection
from apitracker.core.times import parse
from apitracker.errors import UsageError
from apitracker.page.answers import (
    About,
    ApiIncident,
    CallerShare,
    CallsOverTime,
    HeadlineFigures,
    NamedSeries,
    OutsideCaller,
    RecordBalance,
    RejectedRecord,
    Summary,
    Threshold,
    Thresholds,
    TopRow,
    TopRows,
    UnreadLog,
    WorstTime,
)
from apitracker.page.parameters import (
    ExportParameters,
    IncidentParameters,
    Parameters,
    RowsParameters,
    SelectedParameters,
    SeriesParameters,
    ThresholdParameters,
    TopParameters,
)
from apitracker.store import queries
from apitracker.store.connections import Connection
from apitracker.store.incidents import Incident, IncidentPeak, query_incidents
from apitracker.store.schema import APITRACKER_VERSION

NAMED_RECORDS: Final = 200  # rejected records, and unread logs, that are named
INCIDENTS: Final = 500
EXPORTED: Final = 1_000_000  # rows
MINUTE: Final = WIDTHS["minute"]


class OpenStore(NamedTuple):
    """A store that is open for questions, and its path."""

    path: Path
    db: Connection


# --- answers ------------------------------------------------------------------------------------


def answer_about(store: OpenStore, _: Parameters) -> About:
    """Return the extent of the store."""
    found = queries.summarize(store.db)
    return About(
        store=str(store.path),
        exists=store.path.exists(),
        first=found.first,
        last=found.last,
        logs=found.logs,
        calls=found.calls,
        version=APITRACKER_VERSION,
        fields=[field for field in FIELDS if field not in UNKEPT],
        eventsKept=found.events,
        origin=found.origin,
    )


def answer_summary(store: OpenStore, parameters: SelectedParameters) -> Summary:
    """Return the headline figures, and those of the time before."""
    chosen = _choose_time(store.db, parameters)
    return Summary(
        since=chosen.since,
        until=chosen.until,
        now=_headline(store.db, chosen.selection),
        before=_headline(store.db, chosen.before) if chosen.before else None,
    )


def answer_thresholds(store: OpenStore, parameters: ThresholdParameters) -> Thresholds:
    """Return the thresholds of the chosen time for an alarm on the selected calls."""
    chosen = _choose_time(store.db, parameters)
    counted = chosen.selection
    if parameters.outcome:
        selected = matcher("outcome", counted.where.get("outcome", ("*",)))
        ended = tuple(filter(selected, [parameters.outcome]))
        counted = replace(counted, where={**counted.where, "outcome": ended})
    return Thresholds(
        minute=_threshold(store.db, chosen, "minute", parameters.outcome),
        hour=_threshold(store.db, chosen, "hour", parameters.outcome),
        regions=queries.total(store.db, counted).regions,
    )


def answer_series(store: OpenStore, parameters: SeriesParameters) -> CallsOverTime:
    """Return calls over time."""
    chosen = _choose_time(store.db, parameters)
    if chosen.since is None or chosen.until is None:
        return CallsOverTime(step=queries.STEPS[0], times=[], series=[], throttled=[], denied=[])
    steps = queries.cut_steps(chosen.since, chosen.until)
    found = queries.add_up_over_time(
        store.db, parameters.by, steps, parameters.most, chosen.selection
    )
    return CallsOverTime(
        step=steps.length,
        times=[steps.start + at * steps.length for at in range(steps.number)],
        series=[NamedSeries(name=name, calls=calls) for name, calls in found.calls.items()],
        throttled=found.throttled,
        denied=found.denied,
    )


def answer_top(store: OpenStore, parameters: TopParameters) -> TopRows:
    """Return rows of a table."""
    by = _parse_by(parameters)
    chosen = _choose_time(store.db, parameters)
    page = queries.rank_page(
        store.db,
        _ranking(by, chosen.selection, parameters),
        queries.cut_row_buckets(chosen.since or 0, chosen.until or 0),
        limit=parameters.limit,
        offset=parameters.offset,
    )
    rows = [
        TopRow(
            key=dict(zip(by, row.key, strict=True)),
            calls=row.calls,
            throttled=row.throttled,
            denied=row.denied,
            failed=row.failed,
            spark=row.over_time,
        )
        for row in page.rows
    ]
    return TopRows(total=page.total, rows=rows)


def answer_throttles(store: OpenStore, parameters: IncidentParameters) -> list[ApiIncident]:
    """Return the APIs with most throttled, or denied, calls and their callers; at most 500."""
    selection = _choose_time(store.db, parameters).selection
    found = query_incidents(store.db, parameters.outcome, INCIDENTS, selection)
    return [_api_incident(incident) for incident in found]


def answer_reconciliation(store: OpenStore, _: Parameters) -> RecordBalance:
    """Return the balance of all records in the store."""
    found = queries.read_balance(store.db, NAMED_RECORDS)
    balance = found.balance
    return RecordBalance(
        logs=balance.logs,
        received=balance.received,
        counted=balance.counted,
        duplicates=balance.duplicates,
        skipped=balance.skipped,
        rejected=balance.rejected,
        rejections=[
            RejectedRecord(log=log, place=record.place, reason=record.reason)
            for log, record in balance.rejections
        ],
        unreadable=found.unreadable,
        unread=[UnreadLog(log=log.name, fault=log.fault) for log in balance.unread],
        fault=found.fault,
    )


def export_rows(store: OpenStore, parameters: ExportParameters) -> str:
    """Return a file with all rows; unsearched and by calls, as `apitracker top --all` writes it."""
    by = _parse_by(parameters)
    ranking = _ranking(by, _parse_selection(parameters), parameters)
    counts = queries.rank(store.db, ranking, EXPORTED + 1)
    if len(counts.rows) > EXPORTED:
        raise UsageError(
            f"more than {EXPORTED:,} rows: narrow it, or write them with apitracker top --all"
        )
    lines = tables.lines(list(counts.rows.items()), by, parameters.format)
    return "".join(f"{line}\n" for line in lines)


# --- asking -------------------------------------------------------------------------------------


class Endpoint(NamedTuple):
    """A question of the page: its summary, its parameters, and the function that answers it."""

    summary: str
    parameters: type[Parameters]
    answer: Callable[[OpenStore, Any], Any]


ENDPOINTS: Final = {
    "/api/about": Endpoint("The extent of the store", Parameters, answer_about),
    "/api/summary": Endpoint("Headline figures", SelectedParameters, answer_summary),
    "/api/thresholds": Endpoint("Thresholds for an alarm", ThresholdParameters, answer_thresholds),
    "/api/series": Endpoint("Calls over time", SeriesParameters, answer_series),
    "/api/top": Endpoint("Ranked rows", TopParameters, answer_top),
    "/api/throttles": Endpoint(
        "Throttled or denied APIs, and their callers", IncidentParameters, answer_throttles
    ),
    "/api/reconciliation": Endpoint("The balance of records", Parameters, answer_reconciliation),
}
"""All questions that are answered in JSON, by path."""


def ask(store: OpenStore, path: str, parameters: Sequence[tuple[str, str]]) -> Any:  # noqa: ANN401 - JSON
    """
    Ask *store* a question of the page, and return the answer, as of JSON.

    *path* is one of `ENDPOINTS`. `UsageError` when the question cannot be asked.
    """
    endpoint = ENDPOINTS[path]
    given: dict[str, Any] = dict(parameters)
    if "where" in given:
        given["where"] = tuple(value for name, value in parameters if name == "where")
    try:
        answered = endpoint.answer(store, endpoint.parameters.model_validate(given))
    except ValidationError as e:
        raise UsageError(word_errors(e.errors())) from e
    if isinstance(answered, list):
        return [each.model_dump(mode="json") for each in answered]
    return answered.model_dump(mode="json")


ERROR_WORDS: Final = {
    "int_parsing": "write a whole number",
    "bool_parsing": "write true or false",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "choose from {expected}",
    "string_too_long": "must have at most {max_length} characters",
    "extra_forbidden": "there is no such parameter",
}


def word_errors(errors: Sequence[Any]) -> str:
    """Word the errors that pydantic found in the parameters of a question."""
    return "; ".join(
        f"{error['loc'][-1]}: "
        + ERROR_WORDS.get(error["type"], error["msg"]).format(**error.get("ctx") or {})
        for error in errors
    )


# --- of parameters and answers ------------------------------------------------------------------


class ChosenTime(NamedTuple):
    """A chosen time: its calls, its bounds, and the calls of the time before."""

    selection: Selection
    since: int | None
    until: int | None
    before: Selection | None


def _choose_time(db: Connection, parameters: SelectedParameters) -> ChosenTime:
    """Return the chosen time; without bounds, from the first call to the last."""
    selection = _parse_selection(parameters)
    since, until = selection.since, selection.until
    found = queries.summarize(db)
    if found.first is None or found.last is None:
        return ChosenTime(selection, since, until, None)
    if since is None:
        since = found.first if until is None else min(found.first, until - MINUTE)
    if until is None:
        until = found.last + 1
        if until <= since:
            until = max(int(datetime.now(UTC).timestamp()), since + MINUTE)
    earlier = since - (until - since)
    if selection.since is None or found.first - found.first % WIDTHS["day"] > earlier:
        return ChosenTime(selection, since, until, None)
    return ChosenTime(selection, since, until, replace(selection, since=earlier, until=since))


def _parse_selection(parameters: SelectedParameters) -> Selection:
    now = datetime.now(UTC)
    since, until = (
        None if text is None else parse(text, now=now)
        for text in (parameters.since, parameters.until)
    )
    return parse_selection(since, until, parameters.where)


def _parse_by(parameters: RowsParameters) -> tuple[str, ...]:
    fields = parse_fields(parameters.by)
    if not fields:
        raise UsageError(f"by: name a field; choose from {', '.join(FIELDS)}")
    require_fields(fields, kept=True)
    return fields


def _ranking(
    by: tuple[str, ...], selection: Selection, parameters: RowsParameters
) -> queries.Ranking:
    return queries.Ranking(by, selection, parameters.sort, parameters.descending, parameters.search)


def _headline(db: Connection, selection: Selection) -> HeadlineFigures:
    totals = queries.total(db, selection)
    peak = queries.find_peak(db, selection)
    return HeadlineFigures(
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


def _threshold(db: Connection, chosen: ChosenTime, field: str, outcome: str) -> Threshold:
    """Suggest a threshold by the times of *field*, whole ones: an alarm counts no part of one."""
    width = WIDTHS[field]
    since, until = chosen.since, chosen.until
    whole = replace(
        chosen.selection,
        since=None if since is None else since - since % width,
        until=None if until is None else until + -until % width,
    )
    refused = outcome if outcome in ("throttled", "denied") else "throttled"
    load = queries.alarm_load(db, width, whole, outcome=outcome, refused=refused)
    above: int | None
    if outcome == refused:
        above, at, exceeded = 0, None, load.refused
    elif load.calm.second is None:
        above, at, exceeded = None, None, 0
    else:
        above, at, exceeded = load.calm.calls, load.calm.second, load.above
    return Threshold(
        above=above,
        at=at,
        most=load.busiest.calls,
        throttledOrDenied=load.refused,
        exceeded=exceeded,
    )


def _api_incident(incident: Incident) -> ApiIncident:
    quota = incident.quota
    return ApiIncident(
        **incident.api._asdict(),
        calls=incident.refused,
        made=incident.calls,
        first=incident.first,
        last=incident.last,
        worstSecond=_worst_time(incident.second),
        worstMinute=_worst_time(incident.minute),
        callers=[
            CallerShare(caller=c.caller, calls=c.calls, throttled=c.refused, share=c.share)
            for c in incident.callers
        ],
        outsideQuota=[
            OutsideCaller(caller=o.caller, calls=o.calls, throttled=o.refused)
            for o in incident.outside
        ],
        awsTriggered=incident.aws_triggered,
        defaultQuota=[*quotas.describe_quota(quota), quota.source] if quota else [],
    )


def _worst_time(peak: IncidentPeak | None) -> WorstTime | None:
    if peak is None:
        return None
    return WorstTime(at=peak.time, calls=peak.refused, made=peak.calls)
