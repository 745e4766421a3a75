"""Trails go into the store: stopped, repeated, side by side, the numbers are those of one run."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.commands import APITRACKER
from tests.stores import top

from apitracker.core.balance import Balance, add_up
from apitracker.core.counting import Query, merge
from apitracker.core.fields import Row
from apitracker.core.selection import Selection
from apitracker.jobs.ingest import ingest, ingest_query, skip_known
from apitracker.logs.sources import Found, find, find_all
from apitracker.logs.workers import read_all, results
from apitracker.store.database import Store
from apitracker.synthetic import trail as sample

MAX = 100_000_000
ROOT = Path(__file__).parents[1]
ODD = ROOT.parent / "shared" / "data" / "odd" / "s3"
KEY = ("second", "eventName", "eventSource", "awsRegion", "caller", "errorCode", "outcome")

# Adds a few logs at a time and so spends its time between, in and after many transactions.
PIECEMEAL = """
import sys
from pathlib import Path
from apitracker.jobs.ingest import ingest_query
from apitracker.logs.workers import read
from apitracker.logs.sources import find
from apitracker.store.database import Store

store, query = Store(Path(sys.argv[2])), ingest_query(100_000_000)
founds = list(find(sys.argv[1]))
print("begun", flush=True)
for at in range(0, len(founds), 20):
    store.add([read(found, query) for found in founds[at : at + 20]])
    store.compact()
"""


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic trail with duplicates, insights and malformed records."""
    folder = tmp_path_factory.mktemp("sample") / "trail"
    sample.write_trail(folder, events=3_000, days=2, seed=3, broken=4)
    return folder


@pytest.fixture(scope="module")
def long_trail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trail that takes a while."""
    folder = tmp_path_factory.mktemp("sample") / "long"
    sample.write_trail(folder, events=60_000, days=3, seed=4)
    return folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store of its own can be."""
    return tmp_path / "usage.duckdb"


def count(source: Path, by: tuple[str, ...], selection: Selection | None = None) -> Counter[Row]:
    """Count the logs of *source*, and keep nothing."""
    query = Query(by, selection or Selection(), MAX)
    stream = find_all((str(source),), since=query.selection.since, until=query.selection.until)
    counts, _ = merge(results(read_all(stream, query, processes=1)), query)
    return Counter(counts.rows)


def keep(source: Path, path: Path, *, processes: int = 1) -> Balance:
    """Ingest the logs of *source*, and return their balance."""
    store = Store(path)
    stream = skip_known(find(str(source)), store)
    return add_up(ingest(read_all(stream, ingest_query(MAX), processes=processes), store))


def counts(path: Path) -> Counter[Row]:
    """All that the store holds, as finely as matters."""
    return Counter(dict(top(Store(path), KEY)))


def run(source: Path, path: Path) -> "subprocess.CompletedProcess[str]":
    """Ingest as users do."""
    return subprocess.run(
        [APITRACKER, "ingest", source, "--store", path], capture_output=True, text=True, check=False
    )


def start(source: Path, path: Path) -> "subprocess.Popen[str]":
    """Begin to ingest as users do, in a process group of its own, like a terminal's."""
    return subprocess.Popen(
        [APITRACKER, "ingest", source, "--store", path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "APITRACKER_PROCESSES": "2"},
    )


def living(group: int) -> set[int]:
    """The processes of a process group that still run."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of, *_ = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(of) == group and state != "Z":
            found.add(int(stat.parent.name))
    return found


@pytest.mark.parametrize("processes", [1, 2])
def test_count_and_store_agree(trail: Path, path: Path, processes: int) -> None:
    """A whole trail gives the same counts stored as counted."""
    balance = keep(trail, path, processes=processes)

    assert count(trail, KEY) == counts(path)
    assert counts(path).total() == balance.counted == 3_000
    assert (balance.rejected, balance.holds) == (4, True)


def test_a_second_run_changes_nothing(trail: Path, path: Path) -> None:
    """All logs are known then, though read again where no etag tells."""
    first = keep(trail, path)
    before = counts(path)

    second = keep(trail, path)

    assert before == counts(path)
    assert (0, first.logs, 0) == (second.logs, second.known, second.received)


@pytest.mark.skipif(not ODD.is_dir(), reason=f"{ODD} is not here")
def test_odd_records(path: Path) -> None:
    """Where eventIDs repeat across logs with different times, the first log's record counts."""
    balance = keep(ODD, path)

    assert count(ODD, KEY) == counts(path)
    assert balance.duplicates > 0
    assert (balance.received, balance.holds) == (254, True)


def test_unchanged_objects_are_not_read(trail: Path, path: Path) -> None:
    """What an etag tells to be unchanged is left out before it is read, a new etag is not."""
    first, second, *_ = find(str(trail))
    known = [found._replace(etag=f"e-{found.name}") for found in (first, second)]
    store = Store(path)
    list(ingest(read_all(known, ingest_query(MAX), processes=1), store))
    asked = [*known, first._replace(etag="changed"), first, Found("new", 1, "e")]

    stream = list(skip_known(asked, store))

    assert stream == [Balance(known=1), Balance(known=1), *asked[2:]]


def test_bad_logs_are_named_and_the_rest_is_kept(trail: Path, tmp_path: Path, path: Path) -> None:
    """A log that cannot be read is in the balance, and comes in when it can be."""
    whole = next(find(str(trail)))
    log = tmp_path / "log.json.gz"
    body = Path(whole.name).read_bytes()
    log.write_bytes(body[:-20])

    cut = keep(log, path)
    log.write_bytes(body)
    mended = keep(log, path)

    assert [str(log)] == [unread.name for unread in cut.unread]
    assert (cut.logs, cut.received) == (0, 0)
    assert (mended.logs, mended.unread) == (1, ())


@pytest.mark.parametrize("moment", [0.02, 0.1, 0.3, 0.6])
def test_killed_between_transactions(trail: Path, path: Path, moment: float) -> None:
    """Killed at any point, a second run completes it with the numbers of one run."""
    with subprocess.Popen(
        [sys.executable, "-c", PIECEMEAL, trail, path], stdout=subprocess.PIPE, text=True
    ) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "begun\n"
        time.sleep(moment)
        killed.kill()

    done = run(trail, path)

    assert "4 rejected" in done.stderr or "counted before" in done.stderr
    assert done.returncode in {0, 1}
    assert count(trail, KEY) == counts(path)


@pytest.mark.parametrize("moment", [0.2, 0.5, 0.7])
def test_killed_command(long_trail: Path, path: Path, moment: float) -> None:
    """The command killed with -9, its readers too, is completed by the next."""
    with start(long_trail, path) as killed:
        time.sleep(moment)
        os.killpg(killed.pid, signal.SIGKILL)

    done = run(long_trail, path)

    assert (done.returncode, done.stdout) == (0, "")
    assert top(Store(path), []) == [((), 60_000)]
    assert count(long_trail, ("eventName",)) == Counter(dict(top(Store(path), ["eventName"])))


def test_killed_in_the_first_moment(trail: Path, path: Path) -> None:
    """A store that was made and has nothing in it yet is completed, too."""
    script = "import duckdb, sys; duckdb.connect(sys.argv[1]).close()"  # as if killed thereafter
    subprocess.run([sys.executable, "-c", script, path], check=True)

    done = run(trail, path)

    assert "apitracker:" not in done.stderr
    assert count(trail, KEY) == counts(path)


def test_no_reader_outlives_the_command(long_trail: Path, path: Path) -> None:
    """When the command is killed, the processes that read logs for it end as well."""
    with start(long_trail, path) as killed:
        until = time.monotonic() + 30
        while len(living(killed.pid)) < 3 and killed.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        killed.kill()
    until = time.monotonic() + 5
    while living(killed.pid) and time.monotonic() < until:
        time.sleep(0.05)
    left = living(killed.pid)
    for pid in left:
        os.kill(pid, signal.SIGKILL)

    assert set() == left


@pytest.mark.parametrize("moment", [0.0, 0.1, 0.25, 0.4])
def test_interrupted(long_trail: Path, path: Path, moment: float) -> None:
    """Ctrl-C says so in a line, leaves a store that can be read, and the next run completes it."""
    with start(long_trail, path) as stopped:
        until = time.monotonic() + 30
        while not path.exists() and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(moment)
        os.killpg(stopped.pid, signal.SIGINT)
        out, err = stopped.communicate()
    if path.exists():
        shown = subprocess.run(
            [APITRACKER, "top", "--store", path], capture_output=True, text=True, check=False
        )
        assert shown.returncode == 0 or "nothing is in this store; run" in shown.stderr

    assert "Traceback" not in err
    assert (out, stopped.returncode in {0, 130, -signal.SIGINT}) == ("", True)
    assert run(long_trail, path).returncode == 0
    assert top(Store(path), []) == [((), 60_000)]


def test_interrupted_in_a_query(trail: Path, path: Path) -> None:
    """Ctrl-C while DuckDB is at work ends the command as it does elsewhere, in a line."""
    keep(trail, path)
    with duckdb.connect(path) as db:  # enough that a query takes seconds
        db.execute("INSERT INTO counts SELECT range, 0, 1 FROM range(30_000_000)")
    with subprocess.Popen(
        [APITRACKER, "top", "--by", "second,eventName", "--store", path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as stopped:
        until = time.monotonic() + 30
        while not opened(stopped.pid, path) and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.2)  # to open it takes a tenth of that, the query ten times as long
        stopped.send_signal(signal.SIGINT)
        out, err = stopped.communicate()

    assert (out, err.strip(), stopped.returncode) == ("", "stopped", 130)


def opened(pid: int, path: Path) -> bool:
    """Whether a process has the file at *path* open."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            found.append(link.readlink())
    return path in found


def test_two_at_once(long_trail: Path, path: Path) -> None:
    """Two processes that ingest the same trail into one store count each call once."""
    with start(long_trail, path) as first, start(long_trail, path) as second:
        assert (first.communicate()[0], first.returncode) == ("", 0)
        assert (second.communicate()[0], second.returncode) == ("", 0)

    assert count(long_trail, KEY) == counts(path)


def test_two_halves_at_once(trail: Path, path: Path) -> None:
    """Two processes that add in many batches, from both ends, number series without a clash."""
    backwards = PIECEMEAL.replace("list(find(sys.argv[1]))", "list(find(sys.argv[1]))[::-1]")
    both = [
        subprocess.Popen([sys.executable, "-c", script, trail, path], stdout=subprocess.DEVNULL)
        for script in (PIECEMEAL, backwards)
    ]

    assert [process.wait() for process in both] == [0, 0]
    # Of an event in two logs, either may come first; they are alike.
    assert count(trail, KEY) == counts(path)


def test_reading_while_another_writes(trail: Path, path: Path) -> None:
    """The store can be asked at any time while it grows, and its total only ever grows."""
    store = Store(path)
    store.add([])
    totals = []
    with subprocess.Popen(
        [sys.executable, "-c", PIECEMEAL, trail, path], stdout=subprocess.DEVNULL
    ) as writer:
        while writer.poll() is None:
            totals.append(sum(n for _, n in top(store, [])))

    assert writer.returncode == 0
    assert sorted(totals) == totals
    assert top(store, []) == [((), 3_000)]


@pytest.fixture(scope="module")
def stored(trail: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trail, ingested."""
    path = tmp_path_factory.mktemp("stored") / "usage.duckdb"
    keep(trail, path)
    return path


END = int(sample.UNTIL.timestamp())
seconds = st.none() | st.integers(END - 200_000, END + 10_000)
globs = {
    "eventName": ["*", "Describe*", "*Object*", "[A-C]*", "Decrypt", "?", ""],
    "eventSource": ["s3.*", "*.amazonaws.com", "ec2*"],
    "awsRegion": ["us-*", "eu-west-1"],
    "errorCode": ["", "?*", "*Denied*"],
    "outcome": ["ok", "throttled", "denied", "failed", "*"],
    "caller": ["*role/*", "*"],
    "readOnly": ["true", "false"],
    "hour": ["*T1?Z", "2026-10-30*"],
    "day": ["2026-10-30", "*"],
    "minute": ["*:?5Z"],
    "second": ["*[05]Z"],
}
wheres = st.lists(
    st.one_of(*(st.tuples(st.just(f), st.sampled_from(g)) for f, g in globs.items())), max_size=3
)


@settings(max_examples=20, deadline=None)
@given(seconds, seconds, wheres, st.lists(st.sampled_from(sorted(globs)), unique=True, max_size=3))
def test_whatever_is_asked_count_and_top_agree(  # noqa: PLR0913, PLR0917 - drawn
    trail: Path,
    stored: Path,
    since: int | None,
    until: int | None,
    where: list[tuple[str, str]],
    by: list[str],
) -> None:
    """--since, --until, --where and --by mean the same for logs and for the store."""
    grouped: dict[str, tuple[str, ...]] = {}
    for field, glob in where:
        grouped[field] = (*grouped.get(field, ()), glob)
    selection = Selection(since, until, grouped)

    assert count(trail, tuple(by), selection) == Counter(
        dict(top(Store(stored), by, selection=selection))
    )
