"""The store's queries, beside sums that are made in Python from the same counts."""

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.stores import add_counts, add_up_by, value_of

from apitracker.core.balance import Balance
from apitracker.core.model import Key
from apitracker.core.selection import Selection, matcher
from apitracker.errors import UsageError
from apitracker.store import queries
from apitracker.store.connections import Connection
from apitracker.store.database import Store
from apitracker.store.incidents import query_incidents
from apitracker.store.queries import (
    AlarmLoad,
    Peak,
    RankedRow,
    Ranking,
    StoreBalance,
    StoreSummary,
    TimeBuckets,
    TimeSeries,
    Totals,
)

DAY = 86_400
NOON = 1_793_188_800  # 2026-10-28T12:00Z
EXAMPLE = {
    Key(NOON, "Get", "s3", "eu-west-1", "1", "1", "ann"): 3,
    Key(NOON, "Get", "s3", "eu-west-1", "1", "1", "bob", "SlowDown"): 2,
    Key(NOON + 61, "Put", "s3", "eu-west-1", "1", "1", "ann", "AccessDenied"): 4,
    Key(NOON + 3_600, "Run", "ec2", "us-east-1", "2", "2", "ann", "VpcLimitExceeded"): 5,
    Key(NOON + DAY, "Get", "s3", "eu-west-1", "1", "1", "ann"): 1,
}


@contextmanager
def reading(*logs: Mapping[Key, int]) -> Iterator[Connection]:
    """A store of *logs*, open for questions."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "usage.duckdb")
        for number, counts in enumerate(logs):
            add_counts(store, str(number), counts)
        with store.reading() as db:
            yield db


# --- worked examples ----------------------------------------------------------------------------


def test_headline_figures() -> None:
    """Calls, how they ended and distinct values, of the selected calls; the busiest second."""
    with reading(EXAMPLE) as db:
        assert queries.total(db) == Totals(
            calls=15, throttled=2, denied=4, failed=5, apis=3, callers=2, accounts=2, regions=2
        )
        assert queries.find_peak(db) == Peak(5, NOON)  # and not the one as high an hour later
        ann = Selection(since=NOON + 1, where={"caller": ("a*",)})
        assert queries.total(db, ann) == Totals(10, 0, 4, 5, 3, 1, 2, 2)
        assert queries.find_peak(db, ann) == Peak(5, NOON + 3_600)
        nobody = Selection(where={"caller": ("c",)})
        assert queries.total(db, nobody) == Totals(0, 0, 0, 0, 0, 0, 0, 0)
        assert queries.find_peak(db, nobody) == Peak(0, None)


def test_the_same_second_in_several_logs_is_one_peak() -> None:
    """Counts are appended, and a second's are added up before it is compared."""
    one = {Key(NOON, "Get"): 2, Key(NOON + 9, "Get"): 3}
    with reading(one, {Key(NOON, "Put"): 2}) as db:
        assert queries.find_peak(db) == Peak(4, NOON)


def test_the_busiest_second_of_years() -> None:
    """It is found wherever it is: on the first, on the last second, and in between."""
    ends = {Key(second, "Get"): 1 for second in (0, 10 * 365 * DAY)}
    for second in (0, 7 * DAY - 1, 7 * DAY, 1_234_567_89, 10 * 365 * DAY):
        with reading(ends, {Key(second, "Get"): 2}) as db:
            assert queries.find_peak(db).second == second


def test_the_load_of_an_alarm() -> None:
    """The busiest minute, the busiest without a throttled call, and how many have more."""
    twice = {Key(NOON + 30, "Get", "s3", "eu-west-1", "1", "1", "ann"): 2}
    with reading(EXAMPLE, twice) as db:
        get = Selection(where={"eventName": ("Get",)})
        assert queries.alarm_load(db, 60, get, refused="throttled") == AlarmLoad(
            busiest=Peak(7, NOON), calm=Peak(1, NOON + DAY), refused=1, above=1
        )
        assert queries.alarm_load(
            db, 60, get, outcome="throttled", refused="throttled"
        ) == AlarmLoad(busiest=Peak(2, NOON), calm=Peak(0, NOON + DAY), refused=1, above=1)
        assert queries.alarm_load(db, 3_600, refused="denied") == AlarmLoad(
            busiest=Peak(11, NOON), calm=Peak(5, NOON + 3_600), refused=1, above=1
        )
        nothing = Selection(since=NOON + 2 * DAY)
        assert queries.alarm_load(db, 60, nothing, refused="denied") == AlarmLoad(
            busiest=Peak(0, None), calm=Peak(0, None), refused=0, above=0
        )


def test_calls_over_time() -> None:
    """The busiest have a list each, the others one together; throttled calls are of all."""
    with reading(EXAMPLE) as db:
        parts = queries.cut_steps(NOON + 1, NOON + 3_601)
        assert parts == TimeBuckets(NOON, 60, 61)
        selection = Selection(NOON, NOON + 3_601)
        stack = queries.add_up_over_time(db, "eventName", parts, 1, selection)
        flat = [0] * 61
        assert stack == TimeSeries(
            {"Get": [5, *flat[1:]], None: [0, 4, *flat[3:], 5]},
            throttled=[2, *flat[1:]],
            denied=[0, 4, *flat[2:]],
        )
        assert list(queries.add_up_over_time(db, "outcome", parts, 4, selection).calls) == [
            "failed",
            "denied",
            "ok",
            "throttled",
        ]
        with pytest.raises(UsageError, match=r"^minute: calls over time are by"):
            queries.add_up_over_time(db, "minute", parts, 4)


def test_a_table() -> None:
    """Rows are sorted by what is asked, then by code point; the total is of all rows."""
    parts = queries.cut_row_buckets(NOON, NOON + 2 * DAY)
    assert (parts.start, parts.number * parts.length) == (NOON, 2 * DAY)
    with reading(EXAMPLE) as db:
        total, (run, *_) = queries.rank_page(
            db,
            Ranking(("eventSource", "eventName")),
            parts,
            limit=2,
        )
        assert total == 3
        assert run == RankedRow(("s3", "Get"), 6, 2, 0, 0, [5, *[0] * 19, 1, *[0] * 19])
    order = {
        ("calls", True): ["Get", "Run", "Put"],
        ("calls", False): ["Put", "Run", "Get"],
        ("throttled", True): ["Get", "Put", "Run"],
        ("denied", True): ["Put", "Get", "Run"],
        ("name", True): ["Run", "Put", "Get"],
        ("name", False): ["Get", "Put", "Run"],
    }
    for (sort, descending), names in order.items():
        with reading(EXAMPLE) as db:
            ranking = Ranking(("eventName",), sort=sort, descending=descending)
            _, rows = queries.rank_page(db, ranking, parts)
            assert [row.key[0] for row in rows] == names
            assert [key[0] for key in queries.rank(db, ranking).rows] == names


def test_rows_with_as_many_calls_are_in_order() -> None:
    """Rows that do not differ by what they are sorted by are in the order of code points."""
    names = [f"{number:03}" for number in range(200)]
    with reading({Key(NOON, name): 1 for name in reversed(names)}) as db:
        _, lines = queries.rank_page(
            db, Ranking(("eventName",)), queries.cut_row_buckets(NOON, NOON + 1), limit=200
        )

    assert [line.key[0] for line in lines] == names


def test_what_was_counted_elsewhere_is_not_there() -> None:
    """A series whose calls have all been duplicates is not an API, nor a row, nor in a stack."""
    with reading({Key(NOON, "Gone", "gone"): 0, Key(NOON, "Get", "s3"): 1}) as db:
        assert queries.total(db).apis == 1
        assert list(
            queries.add_up_over_time(db, "eventName", queries.cut_steps(NOON, NOON + 60), 8).calls
        ) == ["Get"]
        assert (
            queries.rank_page(
                db, Ranking(("eventName",)), queries.cut_row_buckets(NOON, NOON + 60)
            )[0]
            == 1
        )


def test_all_rows_of_a_search() -> None:
    """All rows of a search, or the first of them, in the order that is asked for."""
    with reading(EXAMPLE) as db:
        found = queries.rank(db, Ranking(("eventName",), search="t", sort="denied"))
        fewest = queries.rank(db, Ranking(("eventName",), descending=False), 2)

    assert list(found.rows.items()) == [(("Put",), 4), (("Get",), 6)]
    assert list(fewest.rows) == [("Put",), ("Run",)]


def test_a_page_of_a_table_and_a_search() -> None:
    """A page has the rows after those before it; a search is in any field, in any case."""
    parts = queries.cut_row_buckets(NOON, NOON + 2 * DAY)
    with reading(EXAMPLE) as db:
        total, lines = queries.rank_page(db, Ranking(("eventName",)), parts, limit=2, offset=2)
        assert (total, [line.key for line in lines]) == (3, [("Put",)])
    with reading(EXAMPLE) as db:
        assert queries.rank_page(db, Ranking(("eventName",)), parts, offset=3) == (3, [])
    with reading(EXAMPLE) as db:
        total, lines = queries.rank_page(
            db, Ranking(("eventSource", "eventName"), search="C2"), parts
        )
        assert (total, lines[0].key) == (1, ("ec2", "Run"))
    with reading(EXAMPLE) as db, pytest.raises(UsageError, match=r"^search: minute is a time"):
        queries.rank_page(db, Ranking(("minute",), search="x"), parts)


def test_a_table_of_times() -> None:
    """Times are their first second, and have no calls over time of their own."""
    with reading(EXAMPLE) as db:
        assert queries.rank_page(
            db,
            Ranking(("hour", "outcome")),
            queries.cut_row_buckets(0, 1),
            limit=2,
        ) == (
            5,
            [
                RankedRow((NOON + 3_600, "failed"), 5, 0, 0, 5, []),
                RankedRow((NOON, "denied"), 4, 0, 4, 0, []),
            ],
        )


def test_an_empty_store(tmp_path: Path) -> None:
    """A store that is not there has nothing in it, and is not made by asking."""
    store = Store(tmp_path / "usage.duckdb")
    with store.reading() as db:
        assert queries.summarize(db) == StoreSummary(0, 0, 0, None, None, "", 0)
        assert queries.total(db).calls == 0
        assert queries.find_peak(db) == Peak(0, None)
        assert queries.add_up_over_time(db, "caller", queries.cut_steps(0, 60), 8) == TimeSeries(
            {}, [0], [0]
        )
        assert queries.rank_page(db, Ranking(("caller",)), queries.cut_row_buckets(0, 60)) == (
            0,
            [],
        )
        assert query_incidents(db, "denied", 500) == []
        assert queries.read_balance(db, 200) == StoreBalance(Balance(), 0, None)
    assert not store.path.exists()


# --- laws ---------------------------------------------------------------------------------------

names = st.sampled_from(["", "a", "B", "\0", "é", "'"])
keys = st.builds(
    Key,
    second=st.integers(-2 * DAY, 2 * DAY) | st.integers(-200, 200),
    eventName=names,
    eventSource=names,
    caller=names,
    errorCode=st.sampled_from(["", "", "ThrottlingException", "AccessDenied", "Other"]),
    failed_without_code=st.booleans(),
)
logs_of_counts = st.dictionaries(keys, st.integers(1, 5), max_size=12)
bounds = st.none() | st.integers(-2 * DAY, 2 * DAY) | st.sampled_from([-DAY, 0, DAY])
wheres = st.dictionaries(
    st.sampled_from(["eventName", "caller", "outcome", "hour"]),
    st.sampled_from(["*", "a", "?", "ok", "throttled", "*T*"]).map(lambda glob: (glob,)),
    max_size=2,
)
selections = st.builds(Selection, since=bounds, until=bounds, where=wheres)


def selected(counts: Mapping[Key, int], selection: Selection) -> dict[Key, int]:
    """The part of *counts* that is selected."""
    tests = {field: matcher(field, globs) for field, globs in selection.where.items()}
    return {
        key: calls
        for key, calls in counts.items()
        if selection.spans(key.second)
        and all(test(value_of(key, field)) for field, test in tests.items())
    }


@settings(max_examples=60, deadline=None)
@given(log=logs_of_counts, selection=selections)
def test_every_view_is_of_the_same_calls(log: dict[Key, int], selection: Selection) -> None:
    """Figures, calls over time and tables are the sums of the same counts, and so agree."""
    chosen = selected(log, selection)
    low, high = -2 * DAY, 2 * DAY + 1
    by_second = add_up_by(chosen, ["second"])
    by_outcome = add_up_by(chosen, ["outcome"])
    with reading(log) as db:
        totals = queries.total(db, selection)
        peak = queries.find_peak(db, selection)
        steps = queries.cut_steps(low, high)
        series = queries.add_up_over_time(db, "caller", steps, 3, selection)
        buckets = queries.cut_row_buckets(low, high)
        ranking = Ranking(("eventName",), selection)
        total, rows = queries.rank_page(db, ranking, buckets)
        ranked = queries.rank(db, ranking)

    not_ok = tuple(by_outcome[outcome,] for outcome in queries.NOT_OK)
    assert totals[:4] == (sum(chosen.values()), *not_ok)
    assert totals.apis == len(add_up_by(chosen, ["eventSource", "eventName"]))
    assert peak.calls == max(by_second.values(), default=0)
    assert peak.second == min(
        (second for (second,), n in by_second.items() if n == peak.calls), default=None
    )
    assert Counter(by_bucket(series.calls, steps)) == over_time(chosen, "caller", steps, series)
    assert (sum(series.throttled), sum(series.denied)) == not_ok[:2]
    expected = add_up_by(chosen, ["eventName"])
    assert total == len(expected)
    assert {row.key: row.calls for row in rows} == expected
    assert list(ranked.rows.items()) == [(row.key, row.calls) for row in rows]
    assert [row.calls for row in rows] == [sum(row.over_time) for row in rows]
    assert all(len(row.over_time) == buckets.number <= queries.ROW_BUCKETS for row in rows)


def by_bucket(
    lists: dict[str | None, list[int]], buckets: TimeBuckets
) -> dict[tuple[str | None, int], int]:
    """The calls of each name in each bucket that has some, by the bucket's start."""
    return {
        (name, buckets.start + at * buckets.length): n
        for name, calls in lists.items()
        for at, n in enumerate(calls)
        if n
    }


def over_time(
    counts: Mapping[Key, int], field: str, buckets: TimeBuckets, series: TimeSeries
) -> Counter[Any]:
    """The same of *counts*; values without a list of their own are under None."""
    found: Counter[Any] = Counter()
    for key, n in counts.items():
        name = value_of(key, field)
        start = key.second - (key.second - buckets.start) % buckets.length
        found[name if name in series.calls else None, start] += n
    return found


@given(since=st.integers(-(10**12), 10**12), length=st.integers(1, 10**12))
def test_parts_hold_all_of_a_time(since: int, length: int) -> None:
    """Few parts of one length, from the first second to the last, none of them beyond."""
    until = since + length
    for parts, most in (
        (queries.cut_steps(since, until), queries.POINTS),
        (queries.cut_row_buckets(since, until), queries.ROW_BUCKETS),
    ):
        assert 1 <= parts.number <= most
        assert parts.start <= since < parts.start + parts.length
        end = parts.start + parts.number * parts.length
        assert end - parts.length < until <= end


def test_steps_are_whole() -> None:
    """From a minute to a day, then whole days."""
    lengths = {
        queries.cut_steps(NOON, NOON + span).length
        for span in (1, 399 * 60, 400 * 60 + 1, 2 * DAY, 5 * DAY, 30 * DAY, 90 * DAY, 999 * DAY)
    }

    assert lengths == {60, 300, 900, 3_600, 10_800, DAY, 3 * DAY}
