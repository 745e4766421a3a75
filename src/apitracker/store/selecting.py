"""
SQL for a selection: its series, its times, and the smallest table that tells them.

Series are few and counts are many: so globs are matched in Python against the distinct values of a
field, and counts are added up by series before they are joined with the fields of those.
"""

# ruff: noqa: S608 - SQL is put together from our own names only; values are parameters
from collections.abc import Sequence
from typing import NamedTuple

from apitracker.core.fields import WIDTHS
from apitracker.core.outcomes import OUTCOMES, classify
from apitracker.core.selection import Selection, matcher
from apitracker.store.connections import Connection, fetch, fetch_values


class Sql(NamedTuple):
    """A part of a query, and its parameters by name."""

    text: str
    parameters: dict[str, object]


class Ending(NamedTuple):
    """The fields that an outcome hangs on."""

    errorCode: str
    eventSource: str
    failed_without_code: bool


def start_of(width: int) -> str:
    """SQL for the start of the time of *width* seconds that *second* is in, also before 1970."""
    return f"second - ((second % {width}) + {width}) % {width}"


def smallest_table(by: Sequence[str], selection: Selection) -> str:
    """Return the smaller of *days* and *counts* that can tell the fields *by* and *selection*."""
    times = {*by, *selection.where} & {"second", "minute", "hour"}
    bounds = {bound for bound in (selection.since, selection.until) if bound is not None}
    return "counts" if times or any(bound % WIDTHS["day"] for bound in bounds) else "days"


def select_series(db: Connection, plain: Sequence[str], selection: Selection) -> Sql:
    """SQL for the selected series and their *plain* fields."""
    parameters: dict[str, object] = {}
    tests = []
    source = "series"
    if "outcome" in (*plain, *selection.plain):
        outcomes = _select_outcomes(db)
        source += f" JOIN ({outcomes.text}) USING ({', '.join(Ending._fields)})"
        parameters |= outcomes.parameters
    for field in selection.plain:
        matches = matcher(field, selection.where[field])
        values = (
            OUTCOMES
            if field == "outcome"
            else fetch_values(db, f"SELECT DISTINCT {field} FROM series")
        )
        parameters[field] = [value for value in values if matches(value)]
        tests.append(f"{field} IN (SELECT unnest(${field}::VARCHAR[]))")
    names = ", ".join(dict.fromkeys(["id", *plain]))
    where = f" WHERE {' AND '.join(tests)}" if tests else ""
    return Sql(f"SELECT {names} FROM {source}{where}", parameters)


def _select_outcomes(db: Connection) -> Sql:
    """SQL for the outcome of each ending; none is kept, so that a better table applies at once."""
    endings = fetch(db, Ending, f"SELECT DISTINCT {', '.join(Ending._fields)} FROM series")
    outcomes = [
        classify(e.errorCode, e.eventSource, failed_without_code=e.failed_without_code)
        for e in endings
    ]
    columns: dict[str, object] = {
        "errorCode": [e.errorCode for e in endings],
        "eventSource": [e.eventSource for e in endings],
        "failed_without_code": [e.failed_without_code for e in endings],
        "outcome": outcomes,
    }
    text = ", ".join(f"unnest($ended_{field}) AS {field}" for field in columns)
    return Sql(f"SELECT {text}", {f"ended_{field}": column for field, column in columns.items()})


def select_times(db: Connection, selection: Selection) -> Sql:
    """SQL for the condition that a count is of the selected times."""
    parameters: dict[str, object] = {}
    tests = []
    if selection.since is not None:
        tests.append("second >= $since")
        parameters["since"] = selection.since
    if selection.until is not None:
        tests.append("second < $until")
        parameters["until"] = selection.until
    for field in selection.where.keys() & WIDTHS.keys():
        matches = matcher(field, selection.where[field])
        start = start_of(WIDTHS[field])
        values = fetch_values(db, f"SELECT DISTINCT {start} FROM counts")
        parameters[field] = [value for value in values if matches(value)]
        tests.append(f"{start} IN (SELECT unnest(${field}::BIGINT[]))")
    return Sql(f"WHERE {' AND '.join(tests)}" if tests else "", parameters)


def sum_by_series(selection: Selection, times: Sql) -> str:
    """SQL for the calls of each series in the selected *times*, of series that have any."""
    return (
        f"SELECT series, sum(calls) AS calls FROM {smallest_table((), selection)} {times.text}"
        " GROUP BY series HAVING sum(calls) > 0"
    )


def sum_by_outcome(outcomes: Sequence[str]) -> str:
    """SQL for the calls that ended with each of *outcomes*, as columns of these names."""
    return ", ".join(
        f"coalesce(sum(calls) FILTER (outcome = '{outcome}'), 0)::BIGINT AS {outcome}"
        for outcome in outcomes
    )
