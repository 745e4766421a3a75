"""One log is read into a partial count."""

import json
from array import array
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from apitracker.core import counting
from apitracker.core.counting import NO_EVENT, OUTSIDE, PartialCount, Query, read_log
from apitracker.core.model import Decoded, Key, Log, Rejected
from apitracker.core.records import parts
from apitracker.core.selection import Selection
from apitracker.errors import LogError

MAX = 1_000_000
NOON = 1_688_990_400  # 2023-07-10T12:00:00Z


def record(
    name: str,
    *,
    time: str = "2023-07-10T12:00:00Z",
    event: str = "",
    **more: Any,  # noqa: ANN401 - JSON
) -> dict[str, Any]:
    """A record as CloudTrail writes it, as far as it matters here."""
    return {
        "eventTime": time,
        "eventName": name,
        "eventSource": "s3.amazonaws.com",
        "awsRegion": "us-east-1",
        **({"eventID": event} if event else {}),
        **more,
    }


def log(*records: object) -> Log:
    """A log of *records*."""
    return Log.of("a.json", json.dumps({"Records": records}).encode())


def ask(*by: str, selection: Selection | None = None, keep_duplicates: bool = False) -> Query:
    """A query by the fields *by*."""
    return Query(by, selection or Selection(), MAX, keep_duplicates)


def calls(partial: PartialCount) -> dict[tuple[Any, ...], int]:
    """How many calls there are of each time and values of the plain fields."""
    rows = zip(partial.times, partial.series, partial.counts, strict=True)
    return {
        (time, *(("OUTSIDE",) if series == OUTSIDE else partial.table[series])): n
        for time, series, n in rows
    }


def test_one_log() -> None:
    """Rows are in the order of their coming, and each event says in which it was counted."""
    partial = read_log(
        log(
            record("Put", event="1"),
            record("Get", event="2"),
            record("Put", event="3"),
            record("Put", time="2023-07-10T12:00:01Z"),
            record("Get", event="2"),
            {"eventTime": "then"},
            {"eventCategory": "Insight"},
        ),
        ask("second", "eventName"),
    )

    assert partial.table == [("Put",), ("Get",)]
    assert array("q", [NOON, NOON, NOON + 1]) == partial.times
    assert array("i", [0, 1, 0]) == partial.series
    assert array("Q", [2, 1, 1]) == partial.counts
    assert array("I", [0, 1, 0, 2]) == partial.event_rows
    assert partial.events[3] == NO_EVENT
    assert len({*partial.events}) == 4
    assert partial.balance.duplicates == 1
    assert Counter(insight=1) == partial.balance.skipped
    rejected = Rejected("record 6", "eventTime 'then' is not a time")
    assert partial.balance.rejections == (("a.json", rejected),)
    assert partial.balance.received == 7


def test_by_every_field_of_a_key() -> None:
    """Calls in one second with the same fields are one row: the type and the id do not matter."""
    who = {"type": "Root", "accountId": "111122223333"}
    partial = read_log(
        log(
            record("Get", event="1", eventType="AwsApiCall", userIdentity=who),
            record("Get", event="2", eventType="AwsServiceEvent", userIdentity=who),
            record("Get", event="3", errorCode="SlowDown", userIdentity=who),
            record(
                "Get", event="4", eventType="AwsConsoleSignIn", errorMessage="No", userIdentity=who
            ),
        ),
        ask(*Key._fields),
    )

    plain = Key(
        NOON, "Get", "s3.amazonaws.com", "us-east-1", "", "111122223333", "Root 111122223333"
    )
    assert list(partial.times) == [NOON] * 3
    assert list(partial.counts) == [2, 1, 1]
    assert partial.table == [
        plain[1:],
        plain._replace(errorCode="SlowDown")[1:],
        plain._replace(failed_without_code=True)[1:],
    ]


def test_a_call_may_stand_for_several(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records that stand for several calls are that many calls, and one record each."""
    weights = {"1": 1, "2": 10, "3": 1, "4": 5}

    def weighted(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - those of `parts`
        for part in parts(*args, **kwargs):
            calls = [replace(call, calls=weights[call.eventID]) for call in part.calls]
            yield Decoded(calls, part.duplicates, part.skipped, part.rejected)

    monkeypatch.setattr(counting, "parts", weighted)
    given = log(
        record("Get", event="1"),
        record("Get", event="2"),
        record("Put", event="3"),
        record("Put", event="4"),
    )

    partial = read_log(given, ask("eventName"))
    narrow = read_log(given, ask(selection=Selection(where={"eventName": ("Put",)})))
    plain = read_log(given, Query(("eventName",), event_bits=0))

    assert calls(partial) == {(0, "Get"): 11, (0, "Put"): 6} == calls(plain)
    assert array("Q", [1, 10, 1, 5]) == partial.weights
    assert (partial.balance.counted, partial.balance.received) == (4, 4)
    assert calls(narrow) == {(0, "OUTSIDE"): 11, (0,): 6}
    assert (narrow.balance.counted, narrow.balance.not_selected) == (4, 2)
    assert [len(each) for each in (plain.weights, plain.event_rows, plain.events)] == [0, 0, 0]


def test_event_hashes_are_stable() -> None:
    """The store knows an event years later, so its 64 bits are pinned: XXH3 of the eventID."""
    partial = read_log(
        log(record("Get", event="7a1c3a2e-5d4f-4a7e-9c1b-0d2f3e4a5b6c"), record("Get", event="é")),
        ask("eventName"),
    )

    assert array("Q", [6_934_211_354_121_728_376, 17_839_895_020_865_391_795]) == partial.events


def test_the_second_half_of_an_identity() -> None:
    """Asked for 128 bits, each event has a second hash, pinned like the first."""
    given = log(record("Get", event="7a1c3a2e-5d4f-4a7e-9c1b-0d2f3e4a5b6c"), record("Get"))

    partial = read_log(given, Query(("eventName",), event_bits=128))

    assert array("Q", [6_934_211_354_121_728_376, NO_EVENT]) == partial.events
    assert array("Q", [5_741_126_247_859_601_670, 5_604_079_703_740_606_211]) == partial.events_2


def test_times_are_as_long_as_asked_for() -> None:
    """By day, all calls of the day are one row; by nothing, all calls are."""
    records = [record("Get"), record("Get", time="2023-07-10T23:59:59Z")]

    assert calls(read_log(log(*records), ask("second", "eventName"))) == {
        (NOON, "Get"): 1,
        (NOON + 43_199, "Get"): 1,
    }
    assert calls(read_log(log(*records), ask("day"))) == {(NOON - 43_200,): 2}
    assert calls(read_log(log(*records), ask("day", "eventName", "hour"))) == {
        (NOON, "Get"): 1,
        (NOON + 39_600, "Get"): 1,
    }
    assert calls(read_log(log(*records), ask())) == {(0,): 2}


def test_before_1970() -> None:
    """The minute of a negative second is the one that it is in, not the next."""
    early = record("Get", time="1969-12-31T23:59:59Z")

    assert calls(read_log(log(early), ask("second"))) == {(-1,): 1}
    assert calls(read_log(log(early), ask("minute"))) == {(-60,): 1}
    assert calls(read_log(log(early), ask("day"))) == {(-86_400,): 1}


def test_what_is_not_selected_is_outside() -> None:
    """Calls outside stay in the partial count, in a row of their own, as their events are known."""
    partial = read_log(
        log(record("Get", event="1"), record("Put", event="2"), record("List", event="3")),
        ask("eventName", selection=Selection(where={"eventName": ("P*",)})),
    )

    assert calls(partial) == {(0, "OUTSIDE"): 2, (0, "Put"): 1}
    assert len(partial.events) == 3
    assert partial.table == [("Put",)]


def test_selected_by_what_is_not_asked_for() -> None:
    """Fields and times of the selection need not be asked for, and do not tell rows apart."""
    selection = Selection(NOON, NOON + 2, {"awsRegion": ("us-*",), "second": ("*:0?Z",)})
    partial = read_log(
        log(
            record("Get", time="2023-07-10T11:59:59Z"),
            record("Get"),
            record("Get", time="2023-07-10T12:00:01Z"),
            record("Get", time="2023-07-10T12:00:02Z"),
        ),
        ask("eventName", selection=selection),
    )

    assert calls(partial) == {(0, "OUTSIDE"): 2, (0, "Get"): 2}


def test_keeping_duplicates() -> None:
    """Records that repeat an eventID count when asked to, and then nothing is known of events."""
    twice = log(record("Get", event="1"), record("Get", event="1"))

    partial = read_log(twice, ask("eventName", keep_duplicates=True))

    assert calls(partial) == {(0, "Get"): 2}
    assert (0, array("Q")) == (partial.balance.duplicates, partial.events)


def test_an_empty_log() -> None:
    """A log without records is read, and holds nothing."""
    partial = read_log(log(), ask("minute", "eventName"))

    assert (calls(partial), partial.balance.received) == ({}, 0)


def test_read_log_refuses() -> None:
    """What is no log is an error that names it."""
    with pytest.raises(LogError, match=r"^a\.csv: is not a CloudTrail log"):
        read_log(Log.of("a.csv", b"a,b\n"), ask())


names = st.sampled_from(["Get", "Put", "List", ""])
elements = st.lists(
    st.builds(record, names, event=st.sampled_from(["", "1", "2", "3"]))
    | st.sampled_from([5, None, {}, {"eventCategory": "Insight"}, {"eventTime": "x"}]),
    max_size=12,
)


@given(elements, st.booleans(), st.sampled_from([(), ("eventName",), ("minute", "eventName")]))
def test_every_record_is_in_one_place(
    records: list[Any],
    keep_duplicates: bool,  # noqa: FBT001 - drawn
    by: tuple[str, ...],
) -> None:
    """What a log holds is counted, duplicate, skipped or rejected, and rows add up to the first."""
    partial = read_log(log(*records), ask(*by, keep_duplicates=keep_duplicates))

    assert len(records) == partial.balance.received
    assert partial.balance.counted == sum(partial.counts)
    assert partial.balance.holds
    if keep_duplicates:
        assert len(partial.event_rows) == len(partial.events) == 0
    else:
        assert Counter(partial.event_rows) == Counter(dict(enumerate(partial.counts)))
        assert len(partial.events) == len(partial.event_rows)
