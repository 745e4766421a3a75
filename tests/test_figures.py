"""What the page shows of a store, beside what is counted in Python from the same tally."""

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apitracker.core.model import Key, Tally
from apitracker.core.outcomes import classify
from apitracker.core.selection import Selection, predicate
from apitracker.core.tally import rollup
from apitracker.errors import UsageError
from apitracker.store import queries as figures
from apitracker.store.database import Connection, Store
from apitracker.store.queries import Line, Load, Parts, Peak, Stack, Totals

DAY = 86_400
NOON = 1_793_188_800  # 2026-10-28T12:00Z
EXAMPLE = Tally(
    {
        Key(NOON, "Get", "s3", "eu-west-1", "1", "1", "ann"): 3,
        Key(NOON, "Get", "s3", "eu-west-1", "1", "1", "bob", "SlowDown"): 2,
        Key(NOON + 61, "Put", "s3", "eu-west-1", "1", "1", "ann", "AccessDenied"): 4,
        Key(NOON + 3_600, "Run", "ec2", "us-east-1", "2", "2", "ann", "VpcLimitExceeded"): 5,
        Key(NOON + DAY, "Get", "s3", "eu-west-1", "1", "1", "ann"): 1,
    }
)


@contextmanager
def reading(*tallies: Tally) -> Iterator[Connection]:
    """A store of *tallies*, open for questions."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "usage.duckdb")
        for number, tally in enumerate(tallies):
            store.add_tally(str(number), tally)
        with store.reading() as db:
            yield db


# --- worked examples ----------------------------------------------------------------------------


def test_headline_figures() -> None:
    """Calls, refused calls and distinct values of what is selected; the busiest second."""
    with reading(EXAMPLE) as db:
        assert figures.totals(db) == Totals(
            calls=15, throttled=2, denied=4, failed=5, apis=3, callers=2, accounts=2, regions=2
        )
        assert figures.peak(db) == Peak(5, NOON)  # and not the one as high an hour later
        ann = Selection(since=NOON + 1, where={"caller": ("a*",)})
        assert figures.totals(db, ann) == Totals(10, 0, 4, 5, 3, 1, 2, 2)
        assert figures.peak(db, ann) == Peak(5, NOON + 3_600)
        nobody = Selection(where={"caller": ("c",)})
        assert figures.totals(db, nobody) == Totals(0, 0, 0, 0, 0, 0, 0, 0)
        assert figures.peak(db, nobody) == Peak(0, None)


def test_the_same_second_in_several_logs_is_one_peak() -> None:
    """Counts are appended, and a second's are added up before it is compared."""
    one = Tally({Key(NOON, "Get"): 2, Key(NOON + 9, "Get"): 3})
    with reading(one, Tally({Key(NOON, "Put"): 2})) as db:
        assert figures.peak(db) == Peak(4, NOON)


def test_the_busiest_second_of_years() -> None:
    """It is found wherever it is: on the first, on the last second, and in between."""
    ends = {Key(second, "Get"): 1 for second in (0, 10 * 365 * DAY)}
    for second in (0, 7 * DAY - 1, 7 * DAY, 1_234_567_89, 10 * 365 * DAY):
        with reading(Tally(ends), Tally({Key(second, "Get"): 2})) as db:
            assert figures.peak(db).second == second


def test_the_load_of_an_alarm() -> None:
    """The busiest minute, the busiest without a throttled call, and how many have more than it."""
    twice = Tally({Key(NOON + 30, "Get", "s3", "eu-west-1", "1", "1", "ann"): 2})
    with reading(EXAMPLE, twice) as db:
        get = Selection(where={"eventName": ("Get",)})
        assert figures.alarm_load(db, 60, get, refused="throttled") == Load(
            busiest=Peak(7, NOON), calm=Peak(1, NOON + DAY), refused=1, above=1
        )
        assert figures.alarm_load(db, 60, get, outcome="throttled", refused="throttled") == Load(
            busiest=Peak(2, NOON), calm=Peak(0, NOON + DAY), refused=1, above=1
        )
        assert figures.alarm_load(db, 3_600, refused="denied") == Load(
            busiest=Peak(11, NOON), calm=Peak(5, NOON + 3_600), refused=1, above=1
        )
        nothing = Selection(since=NOON + 2 * DAY)
        assert figures.alarm_load(db, 60, nothing, refused="denied") == Load(
            busiest=Peak(0, None), calm=Peak(0, None), refused=0, above=0
        )


def test_calls_over_time() -> None:
    """The busiest have a list each, the others one together; refused calls are of all."""
    with reading(EXAMPLE) as db:
        parts = figures.steps(NOON + 1, NOON + 3_601)
        assert parts == Parts(NOON, 60, 61)
        selection = Selection(NOON, NOON + 3_601)
        stack = figures.stack(db, "eventName", parts, 1, selection)
        flat = [0] * 61
        assert stack == Stack(
            {"Get": [5, *flat[1:]], None: [0, 4, *flat[3:], 5]},
            throttled=[2, *flat[1:]],
            denied=[0, 4, *flat[2:]],
        )
        assert list(figures.stack(db, "outcome", parts, 4, selection).calls) == [
            "failed",
            "denied",
            "ok",
            "throttled",
        ]
        with pytest.raises(UsageError, match=r"^minute: calls over time are by"):
            figures.stack(db, "minute", parts, 4)


def test_a_table() -> None:
    """Rows are sorted by what is asked, then by code point; the total is of all rows."""
    parts = figures.parts_of(NOON, NOON + 2 * DAY)
    assert (parts.start, parts.number * parts.length) == (NOON, 2 * DAY)
    with reading(EXAMPLE) as db:
        total, (run, *_) = figures.table(db, ["eventSource", "eventName"], parts, limit=2)
        assert total == 3
        assert run == Line(("s3", "Get"), 6, 2, 0, 0, [5, *[0] * 19, 1, *[0] * 19])
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
            _, lines = figures.table(db, ["eventName"], parts, sort=sort, descending=descending)
            assert [name for (name,), *_ in lines] == names


def test_rows_with_as_many_calls_are_in_order() -> None:
    """Rows that do not differ by what they are sorted by are in the order of code points."""
    names = [f"{number:03}" for number in range(200)]
    with reading(Tally({Key(NOON, name): 1 for name in reversed(names)})) as db:
        _, lines = figures.table(db, ["eventName"], figures.parts_of(NOON, NOON + 1), limit=200)

    assert [line.key[0] for line in lines] == names


def test_what_was_counted_elsewhere_is_not_there() -> None:
    """A series whose calls have all been duplicates is no API, no row, and no stack."""
    with reading(Tally({Key(NOON, "Gone", "gone"): 0, Key(NOON, "Get", "s3"): 1})) as db:
        assert figures.totals(db).apis == 1
        assert list(figures.stack(db, "eventName", figures.steps(NOON, NOON + 60), 8).calls) == [
            "Get"
        ]
        assert figures.table(db, ["eventName"], figures.parts_of(NOON, NOON + 60))[0] == 1


def test_all_rows_or_none() -> None:
    """All rows of a search, in the order that is asked for; none where there are too many."""
    names = [(("Put",), 4), (("Get",), 6)]
    with reading(EXAMPLE) as db:
        assert figures.all_rows(db, ["eventName"], 2, search="t", sort="denied") == (2, names)
    with reading(EXAMPLE) as db:
        assert figures.all_rows(db, ["eventName"], 2, descending=False) == (3, [])


def test_a_page_of_a_table_and_a_search() -> None:
    """A page has the rows after those before it; a search is in any field, in any case."""
    parts = figures.parts_of(NOON, NOON + 2 * DAY)
    with reading(EXAMPLE) as db:
        total, lines = figures.table(db, ["eventName"], parts, limit=2, offset=2)
        assert (total, [line.key for line in lines]) == (3, [("Put",)])
    with reading(EXAMPLE) as db:
        assert figures.table(db, ["eventName"], parts, offset=3) == (3, [])
    with reading(EXAMPLE) as db:
        total, lines = figures.table(db, ["eventSource", "eventName"], parts, search="C2")
        assert (total, lines[0].key) == (1, ("ec2", "Run"))
    with reading(EXAMPLE) as db, pytest.raises(UsageError, match=r"^search: minute is a time"):
        figures.table(db, ["minute"], parts, search="x")


def test_a_table_of_times() -> None:
    """Times are their first second, and have no calls over time of their own."""
    with reading(EXAMPLE) as db:
        assert figures.table(db, ["hour", "outcome"], figures.parts_of(0, 1), limit=2) == (
            5,
            [
                Line((NOON + 3_600, "failed"), 5, 0, 0, 5, []),
                Line((NOON, "denied"), 4, 0, 4, 0, []),
            ],
        )


def test_an_empty_store(tmp_path: Path) -> None:
    """A store that is not there has nothing in it, and is not made by asking."""
    store = Store(tmp_path / "usage.duckdb")
    with store.reading() as db:
        assert figures.extent(db) == (0, 0, 0, None, None, "")
        assert figures.totals(db).calls == 0
        assert figures.peak(db) == Peak(0, None)
        assert figures.stack(db, "caller", figures.steps(0, 60), 8) == Stack({}, [0], [0])
        assert figures.table(db, ["caller"], figures.parts_of(0, 60)) == (0, [])
        assert figures.incidents(db, "denied", 500) == []
        assert figures.balance(db, 200) == (0, 0, 0, 0, 0, {}, [], 0, [], None)
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
tallies = st.dictionaries(keys, st.integers(1, 5), max_size=12).map(Tally)
bounds = st.none() | st.integers(-2 * DAY, 2 * DAY) | st.sampled_from([-DAY, 0, DAY])
wheres = st.dictionaries(
    st.sampled_from(["eventName", "caller", "outcome", "hour"]),
    st.sampled_from(["*", "a", "?", "ok", "throttled", "*T*"]).map(lambda glob: (glob,)),
    max_size=2,
)
selections = st.builds(Selection, since=bounds, until=bounds, where=wheres)


def selected(tally: Tally, selection: Selection) -> Tally:
    """The part of *tally* that is selected."""
    fields = (*Key._fields, "outcome")
    test = predicate(selection, fields)
    return Tally({key: n for key, n in tally.items() if test(key.second, (*key, ended(key)))})


def ended(key: Key) -> str:
    """How the calls of *key* ended."""
    return classify(key.errorCode, key.eventSource, failed_without_code=key.failed_without_code)


@settings(max_examples=60, deadline=None)
@given(tally=tallies, selection=selections)
def test_every_view_is_of_the_same_calls(tally: Tally, selection: Selection) -> None:
    """Figures, calls over time and tables all are what the tally says, and so agree."""
    chosen = selected(tally, selection)
    low, high = -2 * DAY, 2 * DAY + 1
    by_second = Counter(dict(rollup(chosen, ["second"])))
    by_outcome = {row[0]: n for row, n in rollup(chosen, ["outcome"]).items()}
    with reading(tally) as db:
        totals = figures.totals(db, selection)
        peak = figures.peak(db, selection)
        steps = figures.steps(low, high)
        stack = figures.stack(db, "caller", steps, 3, selection)
        parts = figures.parts_of(low, high)
        total, lines = figures.table(db, ["eventName"], parts, selection)

    refused = tuple(by_outcome.get(outcome, 0) for outcome in figures.REFUSED)
    assert totals[:4] == (chosen.total(), *refused)
    assert totals.apis == len(rollup(chosen, ["eventSource", "eventName"]))
    assert peak.calls == max(by_second.values(), default=0)
    assert peak.second == min(
        (second for (second,), n in by_second.items() if n == peak.calls), default=None
    )
    assert Counter(counts(stack.calls, steps)) == over_time(chosen, "caller", steps, stack)
    assert (sum(stack.throttled), sum(stack.denied)) == refused[:2]
    expected = rollup(chosen, ["eventName"])
    assert total == len(expected)
    assert {line.key: line.calls for line in lines} == expected
    assert [line.calls for line in lines] == [sum(line.parts) for line in lines]
    assert all(len(line.parts) == parts.number <= figures.PARTS for line in lines)


def counts(lists: dict[str | None, list[int]], parts: Parts) -> dict[tuple[str | None, int], int]:
    """The calls of each name in each part that has some."""
    return {
        (name, parts.start + at * parts.length): n
        for name, calls in lists.items()
        for at, n in enumerate(calls)
        if n
    }


def over_time(tally: Tally, field: str, parts: Parts, stack: Stack) -> Counter[Any]:
    """The same of *tally*; what has no list of its own is under None."""
    found: Counter[Any] = Counter()
    for (second, name), n in rollup(tally, ["second", field]).items():
        start = second - (second - parts.start) % parts.length
        found[(name if name in stack.calls else None, start)] += n
    return found


@given(since=st.integers(-(10**12), 10**12), length=st.integers(1, 10**12))
def test_parts_hold_all_of_a_time(since: int, length: int) -> None:
    """Few parts of one length, from the first second to the last, none of them beyond."""
    until = since + length
    for parts, most in (
        (figures.steps(since, until), figures.POINTS),
        (figures.parts_of(since, until), figures.PARTS),
    ):
        assert 1 <= parts.number <= most
        assert parts.start <= since < parts.start + parts.length
        end = parts.start + parts.number * parts.length
        assert end - parts.length < until <= end


def test_steps_are_whole() -> None:
    """From a minute to a day, then whole days."""
    lengths = {
        figures.steps(NOON, NOON + span).length
        for span in (1, 399 * 60, 400 * 60 + 1, 2 * DAY, 5 * DAY, 30 * DAY, 90 * DAY, 999 * DAY)
    }

    assert lengths == {60, 300, 900, 3_600, 10_800, DAY, 3 * DAY}
