"""The embedded store, on DuckDB itself and with real processes."""

import json
import subprocess
import sys
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.commands import APITRACKER, run
from tests.stores import QUERY, add, add_counts, add_up_by, read_records, top, unread

from apitracker.core.balance import Balance, add_up
from apitracker.core.counting import PartialCount, merge, read_log
from apitracker.core.fields import Row
from apitracker.core.model import Key, Log
from apitracker.core.selection import Selection
from apitracker.errors import StoreError, UsageError
from apitracker.logs.sources import Found
from apitracker.logs.workers import ReadLog
from apitracker.store.database import Store

DAY = 86_400

HOLD = """
import duckdb, sys, time
db = duckdb.connect(sys.argv[1])
print("open", flush=True)
time.sleep(float(sys.argv[2]))
"""


def record(name: str, event: str = "", second: int = 0, **more: str) -> dict[str, Any]:
    """A record as CloudTrail writes it, as far as it matters here."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    return {
        "eventTime": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventName": name,
        "eventID": event,
        **more,
    }


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """What the file says, without the store."""
    with duckdb.connect(path, read_only=True) as db:
        return db.execute(sql).fetchall()


def hold(path: Path, seconds: float) -> "subprocess.Popen[str]":
    """Have another process keep the file open; it is open on return."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "open\n"
    return holder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store of its own, not made yet."""
    return Store(tmp_path / "usage.duckdb")


@pytest.fixture(scope="module", autouse=True)
def locked_out(
    tmp_path_factory: pytest.TempPathFactory,
) -> "Iterator[subprocess.Popen[str]]":
    """A command that waits for a store that is never let go, while the other tests run."""
    path = tmp_path_factory.mktemp("locked") / "usage.duckdb"
    add(Store(path), read_records("a.json", record("Get")))
    holder = hold(path, 60)
    with subprocess.Popen(
        [APITRACKER, "top", "--store", path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as waiting:
        yield waiting
        waiting.kill()
    holder.kill()
    holder.communicate()


# --- what is added ------------------------------------------------------------------------------


def test_worked_example(store: Store) -> None:
    """Calls of two logs are added up by whatever is asked, most first."""
    balance = add(
        store,
        read_records("a.json", record("Get", "1"), record("Get", "2", 1), record("Put", "3", 61)),
        read_records("b.json", record("Get", "4", 1), {"eventCategory": "Insight"}, 5),
    )

    assert top(store, ["eventName"]) == [(("Get",), 3), (("Put",), 1)]
    assert top(store, ["second", "eventName"]) == [
        ((1, "Get"), 2),
        ((0, "Get"), 1),
        ((61, "Put"), 1),
    ]
    assert top(store, ["minute"]) == [((0,), 3), ((60,), 1)]
    assert top(store, []) == [((), 4)]
    assert (
        balance.logs,
        balance.received,
        balance.counted,
        balance.duplicates,
        balance.skipped["insight"],
        balance.rejected,
    ) == (2, 6, 4, 0, 1, 1)


def test_the_same_log_twice_changes_nothing(store: Store) -> None:
    """A log is known by its bytes: again, or under another name, it is not received."""
    log = read_records("a.json", record("Get"), record("Put", "1"))
    same = read_records("copy.json", record("Get"), record("Put", "1"))
    add(store, log)

    balance = add(store, log, same, same)

    assert top(store, ["eventName"]) == [(("Get",), 1), (("Put",), 1)]
    assert (balance.logs, balance.known, balance.received) == (0, 3, 0)


def test_the_same_log_twice_in_a_batch(store: Store) -> None:
    """Within a batch too, a log counts once."""
    balance = add(
        store, read_records("a.json", record("Get")), read_records("b.json", record("Get"))
    )

    assert top(store, ["eventName"]) == [(("Get",), 1)]
    assert (balance.logs, balance.known) == (1, 1)


@pytest.mark.parametrize("batches", [1, 2])
def test_an_event_counts_once(store: Store, batches: int) -> None:
    """The same eventID in another log is a duplicate, in the batch and in a later one."""
    first = read_records("a.json", record("Get", "1"), record("Put", "2"))
    second = read_records(
        "b.json", record("List", "3"), record("Get", "1"), record("Other", "2", 99)
    )

    if batches == 1:
        balance = add(store, first, second)
    else:
        balance = add_up([add(store, first), add(Store(store.path), second)])

    assert top(store, ["eventName"]) == [(("Get",), 1), (("List",), 1), (("Put",), 1)]
    assert (balance.received, balance.counted, balance.duplicates) == (5, 3, 2)
    assert balance.holds


def test_records_without_an_id_are_never_duplicates(store: Store) -> None:
    """Without eventID two records that look alike are two calls, wherever they stand."""
    add(
        store,
        read_records("a.json", record("Get"), record("Get")),
        read_records("b.json", record("Get")),
    )
    add(store, read_records("c.json", record("Get"), record("Put", "1")))

    assert top(store, ["eventName"]) == [(("Get",), 4), (("Put",), 1)]
    assert query(store.path, "SELECT count(*) FROM events") == [(1,)]


def test_an_empty_log_is_known(store: Store) -> None:
    """A log without records is added, so that it is not read again."""
    add(store, read_records("a.json"))

    assert add(store, read_records("a.json")).known == 1
    assert top(store, ["outcome", "eventName"]) == []


def test_nothing_can_be_added(store: Store) -> None:
    """An empty batch makes a store and changes nothing."""
    add(store)

    assert top(store, []) == []


def test_what_became_of_each_log_is_kept(store: Store) -> None:
    """For each log in the file, received = counted + duplicates + skipped + rejected."""
    add(
        store,
        read_records(
            "a.json", record("Get", "1"), record("Get", "1"), 5, {"eventCategory": "Insight"}
        ),
        read_records("b.json", record("Get", "1"), record("Put", "2")),
        unread("bad.json", "is empty"),
    )

    assert query(
        store.path,
        "SELECT name, received, counted, duplicates, rejected FROM logs ORDER BY name",
    ) == [("a.json", 4, 1, 1, 1), ("b.json", 2, 1, 1, 0)]
    assert query(store.path, "SELECT kind, records FROM skipped") == [("insight", 1)]
    assert query(store.path, "FROM faults ORDER BY name") == [
        ("a.json", "record 3", "is not a record: it is a number where an object should be"),
    ]
    assert query(store.path, "SELECT name, fault FROM unread") == [("bad.json", "is empty")]


def test_a_thousand_faults_of_a_log_are_kept(store: Store) -> None:
    """Of more rejected records the first thousand are kept, and how many there were in all."""
    add(store, read_records("a.json", *[5] * 1_001), read_records("b.json", 5))

    assert query(store.path, "SELECT name, rejected FROM logs ORDER BY name") == [
        ("a.json", 1_001),
        ("b.json", 1),
    ]
    assert query(store.path, "SELECT name, count(*) FROM faults GROUP BY name ORDER BY name") == [
        ("a.json", 1_000),
        ("b.json", 1),
    ]
    assert query(store.path, "SELECT max(place) FROM faults WHERE place = 'record 1000'") == [
        ("record 1000",)
    ]


def test_a_log_that_can_be_read_at_last_has_no_fault(store: Store) -> None:
    """A log that was unread before and is read now is no longer among the unread."""
    add(store, unread("a.json", "is cut off"))
    add(store, unread("a.json", "is cut off"))
    add(store, read_records("a.json", record("Get")))

    assert query(store.path, "FROM unread") == []


def test_known_by_etag(store: Store) -> None:
    """Only what has an etag can be told unchanged without reading it."""
    assert store.known() == (set(), set())

    add(
        store,
        read_records("a.json", record("Get")),
        read_records("s3://b/k", record("Put"), etag="e1"),
    )

    assert store.known() == ({("s3://b/k", "e1")}, set())


def test_a_log_of_counts(store: Store) -> None:
    """Counts without eventIDs count once for each log id, and are added to those before."""
    first = {
        Key(-1, "Get", failed_without_code=True): 3,
        Key(60, "Put", errorCode="AccessDenied"): 2,
    }
    add_counts(store, "payload-1", first)
    add_counts(store, "payload-1", first)
    add_counts(store, "payload-2", {Key(60, "Put"): 1})
    add_counts(store, "payload-3", {})

    assert top(store, ["eventName", "outcome"]) == [
        (("Get", "failed"), 3),
        (("Put", "denied"), 2),
        (("Put", "ok"), 1),
    ]


def test_a_record_that_stands_for_several_calls(store: Store) -> None:
    """A duplicate takes all the calls that it stands for out of the counts."""
    first = read_records("a.json", record("Get", "1"), record("Put", "2"))
    second = read_records("b.json", record("Get", "1"), record("Get", "3"))
    weighted = [
        read._replace(
            result=msgspec.structs.replace(
                counts(read), weights=array("Q", weights), counts=array("Q", calls)
            )
        )
        for read, weights, calls in ((first, [5, 7], [5, 7]), (second, [5, 2], [7]))
    ]

    balance = add(store, *weighted)

    assert top(store, ["eventName"]) == [(("Get",), 7), (("Put",), 7)]
    assert (balance.counted, balance.duplicates) == (3, 1)


def test_names_that_are_no_unicode(store: Store) -> None:
    """A file name may be any bytes; its log is counted like others."""
    add(store, read_records("a\udcff.json", record("Get"), 5), unread("\udcfe", "is empty"))

    assert top(store, ["eventName"]) == [(("Get",), 1)]


# --- all or nothing -----------------------------------------------------------------------------


def counts(read: ReadLog) -> PartialCount:
    """The counts of a log that could be read."""
    assert isinstance(read.result, PartialCount)
    return read.result


def fails_early() -> ReadLog:
    """A log with an event that points to a row that is not there."""
    bad = read_records("bad.json", record("New", "7", region="x"))
    return bad._replace(result=msgspec.structs.replace(counts(bad), event_rows=array("I", [9])))


def fails_late() -> ReadLog:
    """A log that is refused when all else of its batch is in: its size is not a BIGINT."""
    bad = read_records("bad.json", record("New", "7"))
    return bad._replace(found=Found("bad.json", 2**63))


@pytest.mark.parametrize("bad", [fails_early(), fails_late()], ids=["early", "late"])
def test_a_batch_that_fails_leaves_nothing(store: Store, bad: ReadLog) -> None:
    """Neither counts nor events, logs or series of it are kept, and it can be added in parts."""
    add(store, read_records("old.json", record("Old", "1")))
    good = read_records("good.json", record("Fresh", "2"), record("Old", "3"))
    other = read_records("other.json", record("Other", "2"), record("Last", "4"))

    with pytest.raises((IndexError, StoreError)):
        add(store, good, bad, other)

    assert top(store, ["eventName"]) == [(("Old",), 1)]
    for table in ("logs", "series", "events", "counts"):
        assert query(store.path, f"SELECT count(*) FROM {table}") == [(1,)]  # noqa: S608 - ours
    # The same object again, in another order: series must get the numbers that they have now.
    add(store, other)
    add(store, good)
    assert top(store, ["eventName"]) == [(("Old",), 2), (("Last",), 1), (("Other",), 1)]
    assert top(store, ["eventName"]) == top(Store(store.path), ["eventName"])


def test_a_first_batch_that_fails(store: Store) -> None:
    """When nothing was ever added, a failure leaves a file that can be added to and read."""
    good = read_records("good.json", record("Get", "1"))
    with pytest.raises(StoreError):
        add(store, good, fails_late())

    assert store.known() == (set(), set())
    assert top(store, ["eventName"]) == []
    add(store, good)
    assert top(store, ["eventName"]) == [(("Get",), 1)]


def test_two_stores_number_series_in_turns(store: Store) -> None:
    """Each sees the series that the other has added since, and gives none twice."""
    other = Store(store.path)
    for n in range(6):
        both = [record(f"Api{i}", f"{n}-{i}") for i in (n, n + 1)]
        add((store, other)[n % 2], read_records(f"{n}.json", *both))

    assert [
        *(((f"Api{i}",), 2) for i in range(1, 6)),
        (("Api0",), 1),
        (("Api6",), 1),
    ] == top(other, ["eventName"])
    assert query(store.path, "SELECT count(*), count(DISTINCT id), max(id) FROM series") == [
        (7, 7, 6)
    ]


# --- what is asked ------------------------------------------------------------------------------


def test_order_and_limit(store: Store) -> None:
    """Equal counts are in the order of code points, and the limit cuts after ordering."""
    names = ["b", "\U0001f600", "\uffe5", "B", "", "é"]
    add(store, read_records("a.json", *map(record, [*names, "b"])))

    assert top(store, ["eventName"]) == [
        (("b",), 2),
        (("",), 1),
        (("B",), 1),
        (("é",), 1),
        (("\uffe5",), 1),
        (("\U0001f600",), 1),
    ]
    assert top(store, ["eventName"], limit=2) == [(("b",), 2), (("",), 1)]


def test_negative_seconds(store: Store) -> None:
    """Before 1970 too, a call is in the minute, hour and day that hold it."""
    add(store, read_records("a.json", record("Get", second=-1), record("Get", second=-DAY - 1)))

    assert top(store, ["minute"]) == [((-DAY - 60,), 1), ((-60,), 1)]
    assert top(store, ["day"]) == [((-2 * DAY,), 1), ((-DAY,), 1)]
    assert top(
        store,
        ["second"],
        selection=Selection(where={"hour": ("1969-12-31T23Z",), "day": ("*-31",)}),
    ) == [((-1,), 1)]


@pytest.mark.parametrize(
    ("since", "until", "names"),
    [
        (None, None, ["A", "B", "C"]),
        (10, None, ["B", "C"]),
        (11, None, ["C"]),
        (None, 20, ["A", "B"]),
        (None, 21, ["A", "B", "C"]),
        (10, 20, ["B"]),
        (10, 10, []),
        (0, 0, []),
    ],
)
def test_since_is_in_and_until_is_out(
    store: Store, since: int | None, until: int | None, names: list[str]
) -> None:
    """A call at *since* is selected, one at *until* is not, and 0 is a time like others."""
    records = [record("A", second=0), record("B", second=10), record("C", second=20)]
    add(store, read_records("a.json", *records))

    found = top(store, ["eventName"], selection=Selection(since, until))

    assert [name for (name,), _ in found] == names


@pytest.mark.parametrize("field", ["eventType", "eventVersion"])
def test_fields_that_are_not_kept(store: Store, field: str) -> None:
    """What no Key has cannot be asked for, neither by nor where."""
    add(store, read_records("a.json", record("Get")))

    with pytest.raises(UsageError, match=f"^{field}: not kept"):
        top(store, [field])
    with pytest.raises(UsageError, match=f"^{field}: not kept"):
        top(store, [], selection=Selection(where={field: ("*",)}))


def test_unknown_fields(store: Store) -> None:
    """A field that does not exist is an error; the command says so before it opens the file."""
    done = run(store.path.parent, "top", "--by", "eventType")
    add(store, read_records("a.json", record("Get")))

    with pytest.raises(UsageError, match=r"^nothing; drop: no such field; choose from second"):
        top(store, ["nothing; drop"])
    assert (done.returncode, "eventType: not kept" in done.stderr) == (2, True)


texts = st.text(max_size=4) | st.sampled_from(["", "\0", "a\0b", "'", '"', "\\", "%", "\U0010ffff"])
keys = st.builds(
    Key,
    st.integers(-100_000, 100_000),
    eventName=texts,
    eventSource=st.sampled_from(["s3.amazonaws.com", "kinesis.amazonaws.com", ""]),
    caller=texts,
    errorCode=st.sampled_from(["", "AccessDenied", "Throttling", "LimitExceededException", "X"]),
    failed_without_code=st.booleans(),
)
logs_of_counts = st.dictionaries(keys, st.integers(1, 10**12), max_size=6)
KEPT = ["second", "minute", "hour", "day", "eventName", "eventSource", "caller", "outcome"]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(logs_of_counts, max_size=3), st.lists(st.sampled_from(KEPT), unique=True, max_size=4)
)
def test_top_adds_up_all_counts(added: list[dict[Key, int]], by: list[str]) -> None:
    """The counts that were added come back added up, whatever the texts, compacted or not."""
    whole: Counter[Row] = Counter()
    for log in added:
        whole.update(add_up_by(log, by))
    ordered = sorted(whole.items(), key=lambda item: (-item[1], item[0]))

    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "usage.duckdb")
        store.add([])
        for n, log in enumerate(added):
            add_counts(store, str(n), log)
        before = top(store, by)
        store.compact()

        assert ordered == before
        assert ordered == top(store, by)


records = st.builds(
    record,
    st.sampled_from(["Get", "GetObject", "Put"]),
    st.sampled_from(["", "1", "2", "3", "4", "5"]),
    st.integers(-200, 200),
    errorCode=st.sampled_from(["", "AccessDenied"]),
)
trails = st.lists(st.lists(records | st.just(5), max_size=6), max_size=6)
bounds = st.none() | st.integers(-250, 250)
wheres = st.dictionaries(
    st.sampled_from(["eventName", "outcome", "minute"]),
    st.sampled_from([("*",), ("Get*",), ("ok", "Put"), ("1970-*",), ("*:59Z",), ("den*",)]),
    max_size=2,
)
FIELDS = ["second", "minute", "day", "eventName", "outcome", "errorCode"]


@settings(max_examples=30, deadline=None)
@given(
    trails,
    st.lists(st.integers(0, 2), min_size=6, max_size=6),
    st.builds(Selection, bounds, bounds, wheres),
    st.lists(st.sampled_from(FIELDS), unique=True, max_size=3),
)
def test_store_and_count_agree(
    trail: list[list[Any]], cuts: list[int], selection: Selection, by: list[str]
) -> None:
    """Batches however cut, compacted now and then, give the counts of the logs read at once."""
    read = [read_records(f"{n}.json", *log) for n, log in enumerate(trail)]
    query = msgspec.structs.replace(QUERY, by=tuple(by), selection=selection)
    bodies = [json.dumps({"Records": log}).encode() for log in trail]
    counted, balance = merge([read_log(Log.of("x", body), query) for body in bodies], query)

    with tempfile.TemporaryDirectory() as folder:
        balances: list[Balance] = []
        store = Store(Path(folder) / "usage.duckdb")
        batch: list[ReadLog] = []
        for each, cut in zip(read, cuts, strict=False):
            batch.append(each)
            if cut:
                balances.append(store.add(batch))
                batch = []
            if cut == 2:
                store.compact()
        balances.append(store.add(batch))
        rows = top(store, by, selection=selection)
    stored = add_up(balances)

    assert dict(counted.rows) == dict(rows)
    assert (balance.logs, balance.known, balance.counted, balance.duplicates) == (
        stored.logs,
        stored.known,
        stored.counted,
        stored.duplicates,
    )
    assert stored.holds


def test_compaction_makes_rows_fewer(store: Store) -> None:
    """Counts of the same second and series become one, once there are twice as many as before."""

    def rows() -> int:
        """How many counts there are."""
        return int(query(store.path, "SELECT count(*) FROM counts")[0][0])

    for n in range(4):
        add(store, read_records(f"{n}.json", record("Get", f"{n}"), record("Put", f"p{n}", 5)))
    assert rows() == 8
    store.compact()
    assert rows() == 2
    for n in range(4, 6):
        add(store, read_records(f"{n}.json", record("Get", f"{n}"), record("Put", f"p{n}", 5)))
        store.compact()

    assert rows() == 2
    assert top(store, ["eventName"]) == [(("Get",), 6), (("Put",), 6)]


def test_forgetting_events(store: Store) -> None:
    """Counts and logs stay; what is forgotten counts again in another log, what is later not."""
    old, new = record("Old", "1", DAY - 1), record("New", "2", DAY)
    add(store, read_records("a.json", old, new))

    store.forget_events(DAY)

    assert top(store, ["eventName"]) == [(("New",), 1), (("Old",), 1)]
    assert add(store, read_records("a.json", old, new)).known == 1
    balance = add(store, read_records("b.json", old, new, record("Mark", "3")))
    assert (balance.counted, balance.duplicates) == (2, 1)
    assert top(store, ["eventName"]) == [(("Old",), 2), (("Mark",), 1), (("New",), 1)]


def test_forgetting_is_by_whole_days(store: Store) -> None:
    """An event is never forgotten too early: a day that has only begun stays known."""
    add(store, read_records("a.json", record("Get", "1", DAY + 1)))

    store.forget_events(DAY + 80_000)

    again = read_records("b.json", record("Get", "1", DAY + 1), record("Put", "2"))
    assert add(store, again).duplicates == 1


# --- files and processes ------------------------------------------------------------------------


def test_missing(store: Store) -> None:
    """A store that is not there says how to make one."""
    with pytest.raises(StoreError, match=r"usage\.duckdb: no such store; make one with: apitra"):
        top(store, [])
    assert not store.path.exists()


def test_missing_folder(tmp_path: Path) -> None:
    """A store cannot be made where there is no folder."""
    with pytest.raises(
        StoreError, match=r"nowhere/usage\.duckdb: this store cannot be opened: there is no such fo"
    ):
        add(Store(tmp_path / "nowhere" / "usage.duckdb"))


def test_no_database(store: Store) -> None:
    """A file of another kind is refused, and left as it is."""
    store.path.write_text("Dear diary")

    with pytest.raises(StoreError, match="cannot be opened: it is not a store; name another file"):
        top(store, [])
    with pytest.raises(StoreError, match="cannot be opened: it is not a store; name another file"):
        add(store, read_records("a.json", record("Get")))
    assert store.path.read_text() == "Dear diary"


@pytest.mark.parametrize(
    ("kept", "damage", "fault"),
    [
        (100, b"", "opened: it is cut off; ingest the logs into a new file"),
        (100, bytes(99_000), "opened: it is damaged; ingest the logs into a new file"),
    ],
)
def test_damaged(store: Store, kept: int, damage: bytes, fault: str) -> None:
    """A store that is cut off or damaged is said to be, in our words."""
    add(store, read_records("a.json", record("Get")))
    store.path.write_bytes(store.path.read_bytes()[:kept] + damage)

    with pytest.raises(StoreError) as caught:
        top(store, [])
    assert str(caught.value) == f"{store.path}: this store cannot be {fault}"


def test_a_folder(tmp_path: Path) -> None:
    """A folder is no store."""
    with pytest.raises(StoreError, match=r"cannot be opened: it is a folder; name a file with"):
        top(Store(tmp_path), [])


def test_somebody_elses_database(store: Store) -> None:
    """A DuckDB file that is no store is refused, and nothing is made in it."""
    with duckdb.connect(store.path) as db:
        db.execute("CREATE TABLE diary (entry VARCHAR)")

    with pytest.raises(StoreError, match="no version of the schema"):
        top(store, [])
    with pytest.raises(StoreError, match="no version of the schema"):
        add(store, read_records("a.json", record("Get")))
    assert query(store.path, "SELECT table_name FROM duckdb_tables()") == [("diary",)]


def test_another_version(store: Store) -> None:
    """A store of another schema is refused by both versions' numbers, and not touched."""
    add(store, read_records("a.json", record("Get")))
    with duckdb.connect(store.path) as db:
        db.execute("UPDATE about SET schema_version = 99")

    with pytest.raises(StoreError, match="has version 99 of the schema, and this apitracker "):
        top(store, [])
    with pytest.raises(StoreError, match="version 99"):
        add(store, read_records("b.json", record("Get")))
    assert query(store.path, "SELECT count(*) FROM logs") == [(1,)]


def test_waiting_for_another_process(store: Store) -> None:
    """Reading and writing wait until another process has closed the file."""
    add(store, read_records("a.json", record("Get")))

    with hold(store.path, 0.4):
        assert top(store, ["eventName"]) == [(("Get",), 1)]
    with hold(store.path, 0.4):
        add(store, read_records("b.json", record("Put")))

    assert top(store, ["eventName"]) == [(("Get",), 1), (("Put",), 1)]


def test_readers_read_at_the_same_time(store: Store) -> None:
    """A reader does not wait for a reader."""
    add(store, read_records("a.json", record("Get")))
    reader = HOLD.replace("connect(sys.argv[1])", "connect(sys.argv[1], read_only=True)")
    with subprocess.Popen(
        [sys.executable, "-c", reader, str(store.path), "60"], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"

        assert top(store, ["eventName"]) == [(("Get",), 1)]
        assert holder.poll() is None
        holder.kill()


def test_what_was_added_survives_a_kill(store: Store) -> None:
    """A process that is killed in a transaction leaves what was there, to readers too."""
    add(store, read_records("a.json", record("Get")))
    script = (
        "import duckdb, sys, time; db = duckdb.connect(sys.argv[1]); db.execute('BEGIN');"
        "db.execute('DELETE FROM counts'); print('open', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(store.path)], stdout=subprocess.PIPE, text=True
    ) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "open\n"
        killed.kill()

    assert top(store, ["eventName"]) == [(("Get",), 1)]


def test_a_lock_that_is_held_too_long(locked_out: "subprocess.Popen[str]") -> None:
    """Somebody who waits in vain is told so: exit code 3, and what to do."""
    out, err = locked_out.communicate()

    assert (locked_out.returncode, out) == (3, "")
    assert "another process has had this store open for 10 s; try again" in err
