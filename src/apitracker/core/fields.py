"""The fields that calls are told apart by, under the names that users type."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from operator import attrgetter
from typing import Final, TypeAlias

from apitracker.core.model import Call
from apitracker.core.outcomes import classify
from apitracker.errors import UsageError

Value: TypeAlias = str | int
"""The value of a field: a text, or a time in seconds since 1970 UTC."""

Row: TypeAlias = tuple[Value, ...]
"""The values of some fields, in the order in which the fields were named."""

WIDTHS: Final = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
"""The fields that are times, and the length of each in seconds. The value of a time is its start,
in seconds since 1970 UTC."""

FIELDS: Final = (
    *WIDTHS,
    "eventName",
    "eventSource",
    "awsRegion",
    "recipientAccountId",
    "callerAccountId",
    "caller",
    "errorCode",
    "outcome",
    "readOnly",
    "eventCategory",
    "eventType",
    "eventVersion",
)
"""Every field that calls can be counted by."""

UNKEPT: Final = frozenset({"eventType", "eventVersion"})
"""The fields that a Key does not have: logs can be counted by them, a store cannot."""


def parse_fields(text: str) -> tuple[str, ...]:
    """Return the field names in *text*, separated by commas, each once. They may be unknown."""
    return tuple(dict.fromkeys(field.strip() for field in text.split(",") if field.strip()))


def require_fields(names: Iterable[str], *, kept: bool = False) -> None:
    """Raise `UsageError` unless all *names* are fields; with *kept*, fields of a Key."""
    for name in names:
        if name not in FIELDS:
            raise UsageError(f"{name}: no such field; choose from {', '.join(FIELDS)}")
        if kept and name in UNKEPT:
            raise UsageError(f"{name}: not kept in counts; count the logs themselves by it")


def column(calls: Sequence[Call], field: str) -> Iterable[Value]:
    """Return the value of *field*, a field or an attribute of Call, for each of *calls*."""
    if field == "outcome":
        return [
            classify(c.errorCode, c.eventSource, failed_without_code=c.failed_without_code)
            for c in calls
        ]
    return start_times(calls, field) if field in WIDTHS else map(attrgetter(field), calls)


def start_times(calls: Sequence[Call], field: str) -> Iterable[int]:
    """Return the start of the time *field* that each of *calls* is in."""
    seconds = map(attrgetter("second"), calls)
    if field == "second":
        return seconds
    width = WIDTHS[field]
    return [second - second % width for second in seconds]


def rows(calls: Sequence[Call], by: Sequence[str]) -> Iterator[Row]:
    """
    Return one row of the fields *by* for each of *calls*, in their order.

    It works column by column, so that no Python code runs per call for a field taken as it is.
    """
    if not by:
        return repeat((), len(calls))
    return zip(*(column(calls, field) for field in by), strict=True)
