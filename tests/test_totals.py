"""Readings are put together: each event once, every record in one place."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apitracker.core.model import Log
from apitracker.core.selection import Selection
from apitracker.core.tally import Row
from apitracker.logs.sources import Found, find
from apitracker.logs.totals import Balance, total
from apitracker.logs.workers import Question, Reading, Unread, read_all, read_log
from apitracker.synthetic import trail as sample

MAX = 1_000_000
DATA = Path(__file__).parents[2] / "shared" / "data"


def record(name: str, event: str = "", second: int = 0) -> dict[str, Any]:
    """A record as CloudTrail writes it, as far as it matters here."""
    time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    return {
        "eventTime": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventName": name,
        "eventID": event,
    }


def readings(logs: Sequence[Sequence[object]], question: Question) -> list[Reading]:
    """Read each of *logs*."""
    made = [Log.of(f"{n}.json", json.dumps({"Records": r}).encode()) for n, r in enumerate(logs)]
    return [read_log(log, Found(log.name, len(log.body)), question) for log in made]


def put_together(
    logs: Sequence[Sequence[object]], *by: str, keep_duplicates: bool = False
) -> tuple[dict[Row, int], Balance]:
    """Total *logs* by the fields *by*."""
    question = Question(by, MAX, Selection(), keep_duplicates)
    balance = Balance()
    return dict(total(readings(logs, question), question, balance)), balance


def test_an_event_counts_once() -> None:
    """The same eventID in another log is a duplicate, also with another name or time."""
    counts, balance = put_together(
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
    counts, balance = put_together([[record("Get", "1")] * 2, [record("Get", "1")] * 3])

    assert counts == {(): 1}
    assert (balance.counted, balance.duplicates) == (1, 4)


def test_records_without_an_id_are_never_duplicates() -> None:
    """Two records that look alike and have no eventID are two calls."""
    counts, balance = put_together(
        [[record("Get"), record("Get")], [record("Get"), record("Put", "1")]], "eventName"
    )

    assert counts == {("Get",): 3, ("Put",): 1}
    assert balance.duplicates == 0


def test_a_log_under_another_name_is_known() -> None:
    """A log that is the same byte for byte is not received again, id or no id."""
    twice = [record("Get"), record("Put", "1")]
    counts, balance = put_together([twice, [record("List")], twice], "eventName")

    assert counts == {("Get",): 1, ("Put",): 1, ("List",): 1}
    assert (balance.logs, balance.known, balance.received) == (2, 1, 3)
    assert balance.holds


def test_keeping_duplicates() -> None:
    """Asked to, every record counts, and so does a log that comes twice."""
    twice = [record("Get", "1"), record("Get", "1")]
    counts, balance = put_together([twice, twice], "eventName", keep_duplicates=True)

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
    question = Question(("eventName",), MAX)
    unread = Unread(Found("bad.json", 1), "is empty")
    balance = Balance()

    counts = total([unread, *readings([[record("Get")]], question)], question, balance)

    assert Counter({("Get",): 1}) == counts
    assert ([unread], 1, 1) == (balance.unread, balance.logs, balance.received)


def test_rejected_and_skipped_are_in_the_balance() -> None:
    """Each record that is not counted is named with its log and place, or counted by kind."""
    _, balance = put_together([[record("Get")], [5, {"eventCategory": "Insight"}, record("Put")]])

    assert (balance.received, balance.counted, balance.skipped["insight"]) == (4, 2, 1)
    assert [(name, r.place) for name, r in balance.rejected] == [("1.json", "record 1")]
    assert balance.holds


def test_balances_add_up() -> None:
    """What one balance took in, another takes over whole."""
    _, first = put_together([[record("Get", "1")] * 2, [5]])
    _, second = put_together([[record("Put")], [record("Put")]])

    first.update(second)

    assert (
        first.logs,
        first.known,
        first.received,
        first.counted,
        first.duplicates,
        len(first.rejected),
    ) == (3, 1, 4, 2, 1, 1)
    assert first.holds


def test_a_broken_balance_shows() -> None:
    """A record that is nowhere is seen."""
    assert not Balance(received=2, counted=1).holds


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
def test_total_is_what_the_plainest_way_counts(
    trail: list[list[Any]], by: list[str], selection: Selection
) -> None:
    """Whatever is asked of whatever logs, the counts are those of counting one by one."""
    question = Question(tuple(by), MAX, selection)
    balance = Balance()

    counts = total(readings(trail, question), question, balance)

    assert expected(trail, by, selection) == counts
    assert balance.counted - balance.outside == counts.total()


@given(trails, st.booleans(), selections)
def test_the_balance_holds(
    trail: list[list[Any]],
    keep_duplicates: bool,  # noqa: FBT001 - drawn
    selection: Selection,
) -> None:
    """Received = counted + duplicates + skipped + rejected, and logs = taken in + known."""
    question = Question(("eventName",), MAX, selection, keep_duplicates)
    balance = Balance()

    total(readings(trail, question), question, balance)

    assert balance.holds
    assert len(trail) == balance.logs + balance.known
    if keep_duplicates:
        assert sum(map(len, trail)) == balance.received


@given(trails, trails)
def test_balances_of_parts_add_up_to_the_whole(a: list[list[Any]], b: list[list[Any]]) -> None:
    """Keeping duplicates, parts are counted apart and add up."""
    question = Question(("minute", "eventName"), MAX, Selection(), keep_duplicates=True)
    whole, first, second = Balance(), Balance(), Balance()

    together = total(readings([*a, *b], question), question, whole)
    apart = total(readings(a, question), question, first)
    apart += total(readings(b, question), question, second)
    first.update(second)

    assert together == apart
    assert (whole.logs, whole.received, whole.counted, whole.skipped) == (
        first.logs,
        first.received,
        first.counted,
        first.skipped,
    )


@pytest.mark.parametrize("by", [("eventName",), ("second", "caller", "outcome"), ("eventType",)])
def test_any_number_of_processes_counts_the_same(tmp_path: Path, by: tuple[str, ...]) -> None:
    """One, two or five processes: the same totals and the same balance."""
    written = sample.write_trail(tmp_path, events=2_000, days=1, seed=5, broken=3)
    question = Question(by, 10_000_000)

    def run(processes: int) -> tuple[Counter[Row], Balance]:
        balance = Balance()
        found = read_all(find(str(tmp_path)), question, processes=processes)
        return total(found, question, balance), balance

    alone = run(1)

    assert alone == run(2) == run(5)
    assert (written.calls, written.duplicates, written.rejected) == (
        alone[1].counted,
        alone[1].duplicates,
        len(alone[1].rejected),
    )
    assert alone[0].total() == written.calls


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not here")
def test_real_records_all_count() -> None:
    """The 4,777 real records are all counted, on two processes too."""
    question = Question(("eventSource",), 100_000_000)
    balance = Balance()

    counts = total(read_all(find(str(DATA / "s3")), question, processes=2), question, balance)

    assert (counts.total(), balance.received, balance.logs) == (4_777, 4_777, 357)
    assert balance.holds
