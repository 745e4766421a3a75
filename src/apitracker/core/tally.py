"""Calls are counted, and counts are added up by fewer fields."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import repeat
from operator import attrgetter
from typing import Any, Final, TypeAlias

from apitracker.core.model import Call, Key, Tally
from apitracker.core.outcomes import classify
from apitracker.errors import UsageError

Row: TypeAlias = tuple[Any, ...]
"""The values of some fields, in the order in which the fields were named."""

WIDTHS: Final = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
"""The fields that are times, and how many seconds each is long. A time's value is its start, in
seconds since 1970 UTC."""

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
"""What calls can be counted by, under the names that users type."""

UNKEPT: Final = frozenset({"eventType", "eventVersion"})
"""The fields that are told apart by `group` only: no Key has them."""

_key = partial(tuple.__new__, Key)


def rows(calls: Sequence[Call] | Sequence[Key], by: Sequence[str]) -> Iterator[Row]:
    """
    Give one row of the fields *by* for each of *calls*, in their order.

    It goes by columns, so that no Python code runs per call for a field that is taken as it is.
    `UsageError` if *by* names no field.
    """
    require_fields(field for field in by if field not in Key._fields)
    if not by:
        return repeat((), len(calls))
    return zip(*(column(calls, field) for field in by), strict=True)


def count(calls: Sequence[Call]) -> Tally:
    """Count *calls* by every field of Key."""
    counts = group(calls, Key._fields)
    return Counter(dict(zip(map(_key, counts), counts.values(), strict=True)))


def group(calls: Sequence[Call], by: Sequence[str]) -> Counter[Row]:
    """Count *calls* by the fields *by* alone. `UsageError` if *by* names no field."""
    return Counter(rows(calls, by))


def rollup(tally: Tally, by: Sequence[str]) -> Counter[Row]:
    """
    Add up *tally* so that only the fields *by* tell rows apart. The sum does not change.

    `UsageError` if *by* names no field, or eventType or eventVersion, which no Key has.
    """
    require_fields(by, kept=True)
    counts: Counter[Row] = Counter()
    for row, n in zip(rows(list(tally), by), tally.values(), strict=True):
        counts[row] += n
    return counts


def parse_fields(text: str) -> tuple[str, ...]:
    """Read fields, separated by commas, each once; whether they are fields is not asked."""
    return tuple(dict.fromkeys(field.strip() for field in text.split(",") if field.strip()))


def require_fields(names: Iterable[str], *, kept: bool = False) -> None:
    """`UsageError` unless all *names* are fields; with *kept*, unless a Key has them too."""
    for name in names:
        if name not in FIELDS:
            raise UsageError(f"{name}: no such field; choose from {', '.join(FIELDS)}")
        if kept and name in UNKEPT:
            raise UsageError(f"{name}: not kept in counts; count the logs themselves by it")


def column(calls: Sequence[Call] | Sequence[Key], field: str) -> Iterable[Any]:
    """Give the value of *field*, one of `FIELDS`, for each of *calls*."""
    if field == "outcome":
        return [
            classify(c.errorCode, c.eventSource, failed_without_code=c.failed_without_code)
            for c in calls
        ]
    if field in WIDTHS and field != "second":
        width = WIDTHS[field]
        return [second - second % width for second in map(attrgetter("second"), calls)]
    return map(attrgetter(field), calls)
