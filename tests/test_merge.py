"""Many logs are merged: each event counts once, every record is in one place."""

import json
from array import array
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from apitracker.core.balance import Balance, Unread, add_up
from apitracker.core.counting import PartialCount, Query, merge, read_log
from apitracker.core.fields import Row
from apitracker.core.model import Log
from apitracker.core.selection import Selection


def record(name: str, event: str = "", second: int = 0) -> dict[str, Any]:
    """A record as CloudTrail writes it, as far as it matters here."""
    time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    return {
        "eventTime": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventName": name,
        "eventID": event,
    }


def read_each(logs: Sequence[Sequence[object]], query: Query) -> list[PartialCount]:
    """Read each of *logs*."""
    made = [Log.of(f"{n}.json", json.dumps({"Records": r}).encode()) for n, r in enumerate(logs)]
    return [read_log(log, query) for log in made]


def merged(
    logs: Sequence[Sequence[object]], *by: str, keep_duplicates: bool = False
) -> tuple[dict[Row, int], Balance]:
    """Merge *logs* by the fields *by*."""
    query = Query(by, keep_duplicates=keep_duplicates)
    counts, balance = merge(read_each(logs, query), query)
    return dict(counts.rows), balance


def test_an_event_counts_once() -> None:
    """The same eventID in another log is a duplicate, also with another name or time."""
    counts, balance = merged(
        [
            [record("Get", "1"), record("Put", "2")],
            [record("List", "3"), record("Get", "1"), record("Other", "2", 99)],
        ],
        "eventName",
    )

    assert counts == {("Get",): 1, ("Put",): 1, ("List",): 1}
    assert (balance.logs, balance.received, balance.counted, balance.duplicates) == (2, 5, 3, 2)


def test_the_same_event_three_times_within_and_across() -> None:
    """Repetitions within a log and of another log are duplicates alike."""
    counts, balance = merged([[record("Get", "1")] * 2, [record("Get", "1")] * 3])

    assert counts == {(): 1}
    assert (balance.counted, balance.duplicates) == (1, 4)


def test_records_without_an_id_are_never_duplicates() -> None:
    """Two records that look alike and have no eventID are two calls."""
    counts, balance = merged(
        [[record("Get"), record("Get")], [record("Get"), record("Put", "1")]], "eventName"
    )

    assert counts == {("Get",): 3, ("Put",): 1}
    assert balance.duplicates == 0


def test_a_log_under_another_name_is_known() -> None:
    """A log that is the same byte for byte is not received again, id or no id."""
    twice = [record("Get"), record("Put", "1")]
    counts, balance = merged([twice, [record("List")], twice], "eventName")

    assert counts == {("Get",): 1, ("Put",): 1, ("List",): 1}
    assert (balance.logs, balance.known, balance.received) == (2, 1, 3)
    assert balance.holds


def test_keeping_duplicates() -> None:
    """Asked to, every record counts, and so does a log that comes twice."""
    twice = [record("Get", "1"), record("Get", "1")]
    counts, balance = merged([twice, twice], "eventName", keep_duplicates=True)

    assert counts == {("Get",): 4}
    assert (
        balance.logs,
        balance.known,
        balance.received,
        balance.counted,
        balance.duplicates,
    ) == (2, 0, 4, 4, 0)


def test_unread_logs_are_in_the_balance() -> None:
    """What could not be read is named, and nothing of it is received."""
    query = Query(("eventName",))
    unread = Unread("bad.json", "is empty")

    counts, balance = merge([unread, *read_each([[record("Get")]], query)], query)

    assert counts.rows == {("Get",): 1}
    assert (balance.unread, balance.logs, balance.received) == ((unread,), 1, 1)


def test_rejected_and_skipped_are_in_the_balance() -> None:
    """Each record that is not counted is named with its log and place, or counted by kind."""
    _, balance = merged([[record("Get")], [5, {"eventCategory": "Insight"}, record("Put")]])

    assert (balance.received, balance.counted, balance.skipped["insight"]) == (4, 2, 1)
    assert [(name, r.place) for name, r in balance.rejections] == [("1.json", "record 1")]
    assert balance.holds


def test_an_event_of_many_calls() -> None:
    """An event that stands for ten calls is ten calls and one record, and a duplicate once."""
    query = Query(("eventName",))
    (partial,) = read_each([[record("Get", "1"), record("Get", "2")]], query)
    many = replace(partial, counts=array("Q", [11]), weights=array("Q", [10, 1]))
    (again,) = read_each([[record("Get", "1"), record("Put", "3")]], query)
    again = replace(again, counts=array("Q", [10, 5]), weights=array("Q", [10, 5]))

    counts, balance = merge([many, again], query)

    assert counts.rows == {("Get",): 11, ("Put",): 5}
    assert (balance.received, balance.counted, balance.duplicates) == (4, 3, 1)


def test_balances_add_up() -> None:
    """What one balance took in, another takes over whole."""
    _, first = merged([[record("Get", "1")] * 2, [5]])
    _, second = merged([[record("Put")], [record("Put")]])

    whole = add_up([first, second])

    assert (
        whole.logs,
        whole.known,
        whole.received,
        whole.counted,
        whole.duplicates,
        whole.rejected,
    ) == (3, 1, 4, 2, 1, 1)
    assert whole.holds


def test_a_broken_balance_shows() -> None:
    """A record that is nowhere is seen, and stops whatever adds up balances."""
    broken = Balance(received=2, counted=1)

    assert not broken.holds
    with pytest.raises(AssertionError, match="records are in more or fewer places than one"):
        add_up([Balance(), broken])


NAMES = ["Get", "GetObject", "Put", ""]
records = st.builds(
    record,
    st.sampled_from(NAMES),
    st.sampled_from(["", "1", "2", "3", "4"]),
    st.integers(-200, 200) | st.integers(-200_000, 200_000),
)
others = st.sampled_from([5, None, "text", {}, {"eventCategory": "Insight"}])
trails = st.lists(st.lists(records | others, max_size=8), max_size=6)
bounds = st.none() | st.integers(-300, 300)
wheres = st.dictionaries(
    st.just("eventName"),
    st.lists(st.sampled_from(["*", "G*", "Put", "?*", "[!G]*"]), min_size=1, max_size=2).map(tuple),
) | st.fixed_dictionaries({"minute": st.sampled_from([("1970-*",), ("*:59Z", "*:00Z")])})
selections = st.builds(Selection, bounds, bounds, wheres)
fields = st.lists(
    st.sampled_from(["second", "minute", "hour", "day", "eventName"]), unique=True, max_size=3
)


def second_of(given: dict[str, Any]) -> int:
    """The second of a record."""
    return int(datetime.fromisoformat(given["eventTime"]).timestamp())


def value(given: dict[str, Any], field: str) -> int | str:
    """The value of a field of a record."""
    if field == "eventName":
        return str(given[field])
    width = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}[field]
    return second_of(given) // width * width


def selected(given: dict[str, Any], selection: Selection) -> bool:
    """Whether a record is asked for, told in another way."""
    second = second_of(given)
    texts = {"eventName": given["eventName"], "minute": given["eventTime"][:16] + "Z"}
    return (
        (selection.since is None or selection.since <= second)
        and (selection.until is None or second < selection.until)
        and all(
            any(fnmatchcase(texts[field], glob) for glob in globs)
            for field, globs in selection.where.items()
        )
    )


def expected(trail: list[list[Any]], by: list[str], selection: Selection) -> Counter[Row]:
    """Count a trail in the plainest way: one record after the other, each id once."""
    counts: Counter[Row] = Counter()
    seen: set[str] = set()
    logs: list[list[Any]] = []
    for log in trail:
        if log in logs:
            continue
        logs.append(log)
        for each in log:
            if not isinstance(each, dict) or "eventTime" not in each or each["eventID"] in seen:
                continue
            seen |= {each["eventID"]} - {""}
            if selected(each, selection):
                counts[tuple(value(each, field) for field in by)] += 1
    return counts


@given(trails, fields, selections)
def test_merge_is_what_the_plainest_way_counts(
    trail: list[list[Any]], by: list[str], selection: Selection
) -> None:
    """Whatever is asked of whatever logs, the counts are those of counting one by one."""
    query = Query(tuple(by), selection)

    counts, balance = merge(read_each(trail, query), query)

    assert expected(trail, by, selection) == counts.rows
    assert balance.counted - balance.not_selected == counts.calls


@given(trails, st.booleans(), selections)
def test_the_balance_holds(
    trail: list[list[Any]],
    keep_duplicates: bool,  # noqa: FBT001 - drawn
    selection: Selection,
) -> None:
    """Received = counted + duplicates + skipped + rejected, and logs = taken in + known."""
    query = Query(("eventName",), selection, keep_duplicates=keep_duplicates)

    _, balance = merge(read_each(trail, query), query)

    assert balance.holds
    assert len(trail) == balance.logs + balance.known
    if keep_duplicates:
        assert sum(map(len, trail)) == balance.received


@given(trails, trails)
def test_balances_of_parts_add_up_to_the_whole(a: list[list[Any]], b: list[list[Any]]) -> None:
    """Keeping duplicates, parts are counted apart and add up."""
    query = Query(("minute", "eventName"), keep_duplicates=True)

    whole = merge(read_each([*a, *b], query), query)
    first, second = (merge(read_each(part, query), query) for part in (a, b))

    assert whole.counts.rows == Counter(first.counts.rows) + Counter(second.counts.rows)
    together = add_up([first.balance, second.balance])
    assert (
        whole.balance.logs,
        whole.balance.received,
        whole.balance.counted,
        whole.balance.skipped,
    ) == (together.logs, together.received, together.counted, together.skipped)


@given(trails, fields, st.randoms(use_true_random=False))
def test_the_order_of_logs_does_not_matter(
    trail: list[list[Any]],
    by: list[str],
    random: Any,  # noqa: ANN401 - Random
) -> None:
    """The same logs in another order have the same counts, each record counted."""
    query = Query(tuple(by), keep_duplicates=True)
    partials = read_each(trail, query)
    shuffled = random.sample(partials, len(partials))

    assert merge(partials, query).counts == merge(shuffled, query).counts


@given(trails, fields)
def test_without_identities_each_log_counts_alone(trail: list[list[Any]], by: list[str]) -> None:
    """A query that asks for no identity removes the duplicates within a log, and those alone."""
    query = Query(tuple(by), event_bits=0)

    partials = read_each(trail, query)

    assert all(not (each.events or each.event_rows) for each in partials)
    for partial, log in zip(partials, trail, strict=True):
        assert merge([partial], query).counts.rows == expected([log], by, Selection())
