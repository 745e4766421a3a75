"""Counts: worked examples in literals, and the laws that hold for all counts."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apitracker.core.counts import Counts
from apitracker.core.fields import FIELDS, Row, rows
from apitracker.core.model import Call
from apitracker.errors import UsageError

unhurried = settings(deadline=None)  # a busy machine is no fault

T = 1_688_989_327  # 2023-07-10T11:42:07Z

words = st.sampled_from(["", "a", "b"])
calls = st.lists(
    st.builds(
        Call,
        second=st.sampled_from([-61, -60, -1, 0, 1, 59, 60, 3_599, 3_600, 86_400, T]),
        eventName=words,
        eventSource=words,
        caller=words,
        errorCode=st.sampled_from(["", "AccessDenied", "Throttling", "NoSuchKey"]),
        failed_without_code=st.booleans(),
    ),
    max_size=30,
)
NARROW = ("minute", "hour", "day", "eventName", "eventSource", "caller", "outcome")
WIDE = ("second", "eventName", "eventSource", "caller", "outcome")
narrow = st.lists(st.sampled_from(NARROW), max_size=4, unique=True)


def tell_apart(some: list[Call], by: tuple[str, ...]) -> Counts:
    """Count *some* by the fields *by*, one after the other."""
    return Counts(by, Counter(rows(some, by)))


USED = Counts(
    ("second", "eventSource", "eventName"),
    {
        (T, "s3", "Get"): 2,
        (T + 1, "s3", "Get"): 3,
        (T + 60, "s3", "Get"): 5,
        (T, "s3", "Put"): 7,
        (T, "sqs", "Put"): 11,
    },
)


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        (("eventName",), {("Get",): 10, ("Put",): 18}),
        (
            ("eventSource", "eventName"),
            {("s3", "Get"): 10, ("s3", "Put"): 7, ("sqs", "Put"): 11},
        ),
        (("minute",), {(1_688_989_320,): 23, (1_688_989_380,): 5}),
        (("hour", "eventSource"), {(1_688_986_800, "s3"): 17, (1_688_986_800, "sqs"): 11}),
        (("day",), {(1_688_947_200,): 28}),
        (("second",), {(1_688_989_327,): 20, (1_688_989_328,): 3, (1_688_989_387,): 5}),
        ((), {(): 28}),
    ],
)
def test_by_fewer_fields(by: tuple[str, ...], expected: dict[Row, int]) -> None:
    """Rows that only other fields tell apart become one row; a time is cut to a longer one."""
    assert Counts(by, expected) == USED.by(by)


def test_of_nothing() -> None:
    """Empty counts have no rows by any fields, and no calls."""
    empty = Counts(("eventName",), {})

    assert (empty.by(()).rows, empty.by(["eventName"]).rows, empty.calls) == ({}, {}, 0)


def test_columns() -> None:
    """A column has the values of one field, in the order of the rows."""
    assert USED.texts("eventName") == ["Get", "Get", "Get", "Put", "Put"]
    assert USED.times("minute") == [T - 7, T - 7, T + 53, T - 7, T - 7]
    assert USED.numbers == [2, 3, 5, 7, 11]
    assert USED.calls == 28


@pytest.mark.parametrize("field", ["caller", "eventID", ""])
def test_unknown_columns(field: str) -> None:
    """Counts that do not tell a field say so, and by which fields they are."""
    with pytest.raises(UsageError) as caught:
        USED.column(field)

    assert str(caught.value) == f"{field}: these counts are by second, eventSource, eventName"


def test_a_time_is_not_in_a_longer_one() -> None:
    """Counts by hour do not tell minutes."""
    with pytest.raises(UsageError, match=r"^minute: these counts are by hour$"):
        USED.by(["hour"]).column("minute")


def test_where() -> None:
    """Of several fields all have to match, of several globs of one field any one."""
    found = USED.where({"eventSource": ("s3",), "minute": ("2023-07-10T11:43Z", "2024*")})

    assert found.rows == {(T + 60, "s3", "Get"): 5}
    assert USED.where({}) is USED


def test_without() -> None:
    """Calls that match one field are left out, whatever the others are."""
    found = USED.without({"eventSource": ("sqs",), "eventName": ("G*",)})

    assert found.rows == {(T, "s3", "Put"): 7}


def test_in_order() -> None:
    """Ranked rows are sorted by their values."""
    assert list(USED.by(["eventSource", "eventName"]).ranked()) == [
        (("s3", "Get"), 10),
        (("s3", "Put"), 7),
        (("sqs", "Put"), 11),
    ]


@unhurried
@given(calls, narrow)
def test_by_fewer_fields_is_counting_by_them(some: list[Call], by: list[str]) -> None:
    """Counting by many fields and adding up is counting by the few at once; no call is lost."""
    found = tell_apart(some, WIDE).by(by)

    assert tell_apart(some, tuple(by)) == found
    assert found.calls == len(some)


@unhurried
@given(calls, narrow, st.sampled_from(NARROW))
def test_in_two_steps(some: list[Call], by: list[str], more: str) -> None:
    """Leaving out one field and then the others is leaving them out at once."""
    fields = tuple(dict.fromkeys([*by, more]))

    assert tell_apart(some, WIDE).by(fields).by(by) == tell_apart(some, tuple(by))


@unhurried
@given(calls, st.sampled_from(FIELDS[4:]), st.sampled_from(["", "a", "*", "?*", "A*", "ok"]))
def test_where_and_without_part_the_calls(some: list[Call], field: str, glob: str) -> None:
    """By one field, what matches and what does not are all calls, each once."""
    counts = tell_apart(some, FIELDS)
    where: dict[str, Any] = {field: (glob,)}

    assert counts.where(where).calls + counts.without(where).calls == len(some)
    assert not counts.where(where).rows.keys() & counts.without(where).rows.keys()
