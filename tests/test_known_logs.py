"""What a store knows of files, and of itself: changed, replaced, unreadable, of what origin."""

import gzip
import json
import os
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest
from tests.commands import run
from tests.stores import add, ask, read_records
from tests.stores import top as top_rows

from apitracker.core.origins import origin_of
from apitracker.errors import UsageError
from apitracker.store.database import Store
from apitracker.store.queries import read_balance
from apitracker.synthetic import trail as sample

NONE_COUNTED = "0 records: 0 counted, 0 duplicate, 0 skipped, 0 rejected\n"
SYNTHETIC_ID = "0a1b2c3d-0a1b-8c3d-a123-73616d706c65"


def record(name: str, event: str = "") -> dict[str, Any]:
    """A record as CloudTrail writes it, as far as it matters here."""
    return {"eventTime": "2026-10-01T12:00:00Z", "eventName": name, "eventID": event}


def write(path: Path, *names: str) -> Path:
    """Write a log of calls of these names, an eventID each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"Records": [record(name, f"{path}-{name}") for name in names]}))
    return path


def top(folder: Path, *args: object) -> dict[str, int]:
    """The calls by name, as ``apitracker top`` prints them."""
    done = run(folder, "top", "--all", "--by", "eventName", "--format", "json", *args)
    return {row["eventName"]: row["calls"] for row in json.loads(done.stdout)}


# --- the file of the store ----------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store of its own, not made yet."""
    return Store(tmp_path / "usage.duckdb")


def test_removed_between_batches(store: Store) -> None:
    """The numbers of the series of the file before are not those of the next one."""
    add(store, read_records("a.json", record("Get", "1"), record("Put", "2")))
    store.path.unlink()

    add(store, read_records("b.json", record("Put", "3"), record("List", "4"), record("List", "5")))

    assert top_rows(store, ["eventName"]) == [(("List",), 2), (("Put",), 1)]


def test_an_older_copy_put_back_between_batches(store: Store) -> None:
    """Series that the copy does not have are numbered anew, though it is the same store."""
    add(store, read_records("a.json", record("Get", "1")))
    copy = shutil.copy(store.path, f"{store.path}.copy")
    add(store, read_records("b.json", record("Put", "2"), record("List", "3")))
    shutil.move(copy, store.path)

    add(store, read_records("c.json", record("List", "4"), record("List", "5"), record("Put", "6")))

    assert top_rows(store, ["eventName"]) == [(("List",), 2), (("Get",), 1), (("Put",), 1)]


def test_an_older_copy_that_others_added_to(store: Store) -> None:
    """The same store with as many series may have others under the same numbers."""
    add(store, read_records("a.json", record("Get", "1")))
    copy = shutil.copy(store.path, f"{store.path}.copy")
    add(store, read_records("b.json", record("Put", "2"), record("List", "3")))
    add(
        Store(Path(copy)), read_records("c.json", *(record(name, name) for name in ("X", "Y", "Z")))
    )
    shutil.move(copy, store.path)

    add(store, read_records("d.json", record("List", "4"), record("List", "5"), record("Put", "6")))

    assert top_rows(store, ["eventName"]) == [
        (("List",), 2),
        (("Get",), 1),
        (("Put",), 1),
        (("X",), 1),
        (("Y",), 1),
        (("Z",), 1),
    ]


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        ("UPDATE counts SET series = 9 WHERE calls = 2", "3 records were counted, and 1 calls"),
        ("DELETE FROM days", "3 records were counted, and 0 calls are kept"),
        ("UPDATE logs SET received = 7", "7 records were received, and 3 are accounted for"),
    ],
)
def test_what_does_not_add_up_is_said(store: Store, damage: str, fault: str) -> None:
    """Where the balance is shown, a store whose sums differ says so; a sound one does not."""
    add(store, read_records("a.json", record("Get", "1"), record("Get", "2"), record("Put", "3")))
    assert ask(store.path, "/api/reconciliation")["fault"] is None

    with duckdb.connect(store.path) as db:
        db.execute(damage)

    with store.reading() as db:
        found = read_balance(db, 9).fault or ""
    assert found.startswith(fault)
    assert found.endswith("; this store is damaged: ingest the logs into a new file")
    assert ask(store.path, "/api/reconciliation")["fault"] == found


def test_first_and_last_of_each_log(store: Store) -> None:
    """The store keeps the seconds of a log's first and last call; a log without calls has none."""
    late = record("Put") | {"eventTime": "2026-10-01T12:00:07Z"}
    add(store, read_records("a.json", record("Get"), late), read_records("b.json"))

    with store.reading() as db:
        rows = db.execute("SELECT name, first, last FROM logs ORDER BY name").fetchall()
    assert rows == [("a.json", 1_790_856_000, 1_790_856_007), ("b.json", None, None)]


# --- files --------------------------------------------------------------------------------------


def test_a_changed_file_that_looks_the_same(tmp_path: Path) -> None:
    """The same name, size and time of modification make no known log of other bytes."""
    log = write(tmp_path / "a.json", "Get")
    before = log.stat()
    run(tmp_path, "ingest", "a.json")
    log.write_text(log.read_text().replace("Get", "Put"))
    os.utime(log, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (log.stat().st_size, log.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)

    done = run(tmp_path, "ingest", "a.json")

    assert top(tmp_path) == {"Get": 1, "Put": 1}
    assert done.stderr.startswith("1 logs; 1 records: 1 counted")


def test_the_same_relative_name_in_another_folder(tmp_path: Path) -> None:
    """It is another log, whatever its size and time; and each is known where it is."""
    for folder, name in (("one", "Get"), ("two", "Put")):
        log = write(tmp_path / folder / "a.json", name)
        os.utime(log, ns=(1, 1))
    store = tmp_path / "usage.duckdb"
    for folder in ("one", "two", "one", "two"):
        run(tmp_path / folder, "ingest", "a.json", "--store", store)

    assert top(tmp_path) == {"Get": 1, "Put": 1}
    with duckdb.connect(store, read_only=True) as db:
        assert db.execute("SELECT path FROM places ORDER BY path").fetchall() == [
            (f"{tmp_path}/one/a.json",),
            (f"{tmp_path}/two/a.json",),
        ]


def test_a_copy_is_read_once(tmp_path: Path) -> None:
    """A log that is known by its bytes is known by its place, too, from then on."""
    write(tmp_path / "a.json", "Get")
    shutil.copy(tmp_path / "a.json", tmp_path / "b.json")
    run(tmp_path, "ingest", "a.json", "b.json")

    with duckdb.connect(tmp_path / "usage.duckdb", read_only=True) as db:
        assert db.execute("SELECT count(*) FROM places").fetchall() == [(2,)]


# --- logs that cannot be read -------------------------------------------------------------------


def test_an_unreadable_log_is_named_once(tmp_path: Path) -> None:
    """After that it is a number, without exit code 1, until the file changes."""
    write(tmp_path / "logs" / "a.json", "Get")
    bad = tmp_path / "logs" / "bad.json"
    bad.write_text("not,a,log")

    first, second = (run(tmp_path, "ingest", "logs") for _ in range(2))
    bad.write_text("still,not")
    third, fourth = (run(tmp_path, "ingest", "logs") for _ in range(2))
    write(bad, "Put")
    last = run(tmp_path, "ingest", "logs")

    assert first.returncode == third.returncode == 1
    for done in (first, third):
        assert done.stderr.startswith("logs/bad.json: is not a CloudTrail log")
        assert ", 1 unreadable; " in done.stderr
    known = "0 logs, 1 more counted before, 1 known to be unreadable; "
    for done in (second, fourth):
        assert (done.returncode, done.stderr) == (0, known + NONE_COUNTED)
    assert last.returncode == 0
    assert top(tmp_path) == {"Get": 1, "Put": 1}
    assert ask(tmp_path / "usage.duckdb", "/api/reconciliation")["unread"] == []


def test_an_unreadable_log_is_tried_by_another_apitracker(tmp_path: Path) -> None:
    """What one version cannot read the next one may."""
    write(tmp_path / "logs" / "a.json", "Get")
    (tmp_path / "logs" / "bad.json").write_text("not,a,log")
    run(tmp_path, "ingest", "logs")
    with duckdb.connect(tmp_path / "usage.duckdb") as db:
        db.execute("UPDATE unread SET tried_by = '0.1.9'")

    done = run(tmp_path, "ingest", "logs")

    assert (done.returncode, ", 1 unreadable; " in done.stderr) == (1, True)


def test_a_log_beyond_the_limit_is_tried_each_time(tmp_path: Path) -> None:
    """It is not the log that is wrong: a greater limit reads it, and until then it is named."""
    write(tmp_path / "a.json", "Get")
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(b" " * 2_000))
    (tmp_path / "c.json").write_text(" " * 2_000)
    small = {"APITRACKER_MAX_LOG_BYTES": "1000"}

    for _ in range(2):
        done = run(tmp_path, "ingest", "*.json*", **small)
        assert done.returncode == 1
        assert "b.json.gz: holds more than 1,000 bytes when inflated" in done.stderr
        assert "c.json: holds more than 1,000 bytes when inflated" in done.stderr


def test_a_log_that_cannot_be_reached_is_tried_each_time(tmp_path: Path) -> None:
    """A dangling link is named at each ingest, and its log is counted once it is there."""
    write(tmp_path / "logs" / "a.json", "Get")
    (tmp_path / "logs" / "link.json").symlink_to(tmp_path / "later.json")

    for _ in range(2):
        done = run(tmp_path, "ingest", "logs")
        assert (done.returncode, done.stderr.startswith("logs/link.json: there is no")) == (1, True)
    write(tmp_path / "later.json", "Put")
    done = run(tmp_path, "ingest", "logs")

    assert (done.returncode, top(tmp_path)) == (0, {"Get": 1, "Put": 1})
    with duckdb.connect(tmp_path / "usage.duckdb", read_only=True) as db:
        assert db.execute("FROM unread").fetchall() == []


@pytest.mark.parametrize("command", ["ingest", "count"])
def test_many_unreadable_logs(tmp_path: Path, command: str) -> None:
    """Twenty are named, the rest is a number; the store keeps all of them."""
    write(tmp_path / "logs" / "a.json", "Get")
    for number in range(23):
        (tmp_path / "logs" / f"bad{number:02}.json").write_text("not,a,log")

    done = run(tmp_path, command, "logs")

    lines = done.stderr.splitlines()
    assert len([line for line in lines if line.startswith("logs/bad")]) == 20
    assert lines[20] == "and 3 more logs that could not be read"
    assert lines[21].startswith("1 logs, 23 unreadable; ")
    if command == "ingest":
        found = ask(tmp_path / "usage.duckdb", "/api/reconciliation")
        assert (found["unreadable"], len(found["unread"])) == (23, 23)


# --- an ingest that read nothing ----------------------------------------------------------------


@pytest.mark.parametrize(
    "args", [["gone"], ["bad.json"], ["bad.json", "gone", "--forget", "45d"]], ids=" ".join
)
def test_an_ingest_that_read_nothing_leaves_no_store(tmp_path: Path, args: list[str]) -> None:
    """A wrong name, or a file of another kind, does not make a store."""
    (tmp_path / "bad.json").write_text("not,a,log")

    done = run(tmp_path, "ingest", *args)

    assert (done.returncode, [path.name for path in tmp_path.iterdir()]) == (1, ["bad.json"])
    assert f"0 logs, {len([a for a in args if a in {'gone', 'bad.json'}])} unreada" in done.stderr


def test_a_log_without_records_makes_a_store(tmp_path: Path) -> None:
    """It was read, and need not be read again."""
    (tmp_path / "a.json").write_text('{"Records":[]}')

    assert run(tmp_path, "ingest", "a.json").returncode == 0
    assert "1 more counted before" in run(tmp_path, "ingest", "a.json").stderr


# --- origin -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small synthetic trail."""
    folder = tmp_path_factory.mktemp("origin") / "trail"
    sample.write_trail(folder, events=200, days=1)
    return folder


@pytest.mark.parametrize(
    ("event", "origin"),
    [
        (SYNTHETIC_ID, "synthetic"),
        (SYNTHETIC_ID.replace("-8", "-4"), "real"),
        (SYNTHETIC_ID.replace("6c65", "6c66"), "real"),
        (f"x{SYNTHETIC_ID}", "real"),
        ("", "real"),
    ],
)
def test_an_origin(event: str, origin: str) -> None:
    """Only the version and the last group together make a synthetic eventID."""
    assert origin_of(event) == origin


def test_a_synthetic_trail_is_known_by_any_of_its_files(trail: Path) -> None:
    """Each eventID has the version that RFC 9562 leaves to its maker, and the mark; all differ."""
    events = [
        each["eventID"]
        for path in trail.rglob("CloudTrail*/**/*_CloudTrail*.json.gz")
        for each in json.loads(gzip.decompress(path.read_bytes())).get("Records", [])
    ]

    assert len(set(events)) >= 200
    assert {origin_of(event) for event in events} == {"synthetic"}
    assert {(event[14], event[19], event[24:]) for event in events} == {("8", "a", "73616d706c65")}


def test_real_and_synthetic_calls_are_kept_apart(trail: Path, tmp_path: Path) -> None:
    """Either into a store of the other is refused with exit code 2, wherever the log is copied."""
    logs = sorted(trail.rglob("CloudTrail/**/*.json.gz"))
    shutil.copy(logs[0], tmp_path / "mine.json.gz")
    shutil.copy(logs[1], tmp_path / "more.json.gz")
    write(tmp_path / "a.json", "Get")
    write(tmp_path / "b.json", "Put")
    run(tmp_path, "ingest", "a.json", "--store", "real.duckdb")
    run(tmp_path, "ingest", "mine.json.gz", "--store", "demo.duckdb")

    real = run(tmp_path, "ingest", "mine.json.gz", "--store", "real.duckdb")
    demo = run(tmp_path, "ingest", "b.json", "--store", "demo.duckdb")
    same = run(tmp_path, "ingest", "b.json", "--store", "real.duckdb")

    assert (real.returncode, demo.returncode, same.returncode) == (2, 2, 0)
    way_on = "; give another file to --store, or add --mix to count them together\n"
    assert real.stderr.endswith(
        "real.duckdb: the calls of mine.json.gz are synthetic, and those of this store are real"
        + way_on
    )
    assert demo.stderr.endswith(
        "demo.duckdb: the calls of b.json are real, and those of this store are synthetic" + way_on
    )
    assert top(tmp_path, "--store", "real.duckdb") == {"Get": 1, "Put": 1}


def test_a_first_ingest_of_both(trail: Path, tmp_path: Path) -> None:
    """Calls of both kinds do not come into a new store together either."""
    log = min(trail.rglob("CloudTrail/**/*.json.gz"))
    write(tmp_path / "a.json", "Get")

    done = run(tmp_path, "ingest", "a.json", log)

    assert done.returncode == 2
    assert "; give another file to --store, or add --mix to count them together" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_mixed_on_purpose(trail: Path, tmp_path: Path) -> None:
    """With --mix they come together, and the store says so from then on."""
    log = min(trail.rglob("CloudTrail/**/*.json.gz"))
    write(tmp_path / "a.json", "Get")
    path = tmp_path / "usage.duckdb"
    origins = [ask(path, "/api/about")["origin"]]
    for args in (["a.json"], [log, "--mix"], [write(tmp_path / "b.json", "Put")]):
        assert run(tmp_path, "ingest", *args).returncode == 0
        origins.append(ask(path, "/api/about")["origin"])

    assert origins == ["", "real", "mixed", "mixed"]


def test_a_known_log_is_no_mixture(store: Store) -> None:
    """A log without calls has no origin, and one that is known brings none."""
    add(store, read_records("a.json", record("Get", SYNTHETIC_ID)))
    add(store, read_records("b.json"), read_records("copy.json", record("Get", SYNTHETIC_ID)))

    with pytest.raises(
        UsageError, match=r"the calls of c\.json are real, and those of this store are syn"
    ):
        add(store, read_records("c.json", record("Put")))
    assert top_rows(store, ["eventName"]) == [(("Get",), 1)]
