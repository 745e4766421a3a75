"""Logs are read, alone and on several processes, into results to be merged or stored."""

import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.real import DATA

from apitracker.core.balance import Unread
from apitracker.core.counting import Counted, PartialCount, Query, merge
from apitracker.errors import WorkerError
from apitracker.logs.sources import Found, find
from apitracker.logs.workers import ReadLog, read, read_all, results
from apitracker.synthetic import trail as sample


def record(name: str, *, event: str = "") -> dict[str, Any]:
    """A record as CloudTrail writes it, as far as it matters here."""
    return {
        "eventTime": "2023-07-10T12:00:00Z",
        "eventName": name,
        "eventSource": "s3.amazonaws.com",
        "awsRegion": "us-east-1",
        **({"eventID": event} if event else {}),
    }


def trail(folder: Path, logs: int, *, calls_each: int = 3) -> Path:
    """Write *logs* small logs into *folder*, each of its own calls."""
    folder.mkdir(exist_ok=True)
    for n in range(logs):
        records = [record(f"Api{n % 7}", event=f"{n}-{i}") for i in range(calls_each)]
        (folder / f"{n:05}.json").write_text(json.dumps({"Records": records}))
    return folder


def test_read_gives_back_what_it_cannot_read(tmp_path: Path) -> None:
    """A bad log, a missing file and one that is too long come back with their fault."""
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "long.json").write_text(json.dumps({"Records": [record("Get")] * 10}))
    query = Query((), max_bytes=100)

    bad = read(Found(f"{tmp_path}/bad.json", 1), query)
    missing = read(Found(f"{tmp_path}/gone.json", 1), query)
    long = read(Found(f"{tmp_path}/long.json", 1), query)

    assert isinstance(bad.result, Unread)
    assert "cut off or damaged" in bad.result.fault
    assert isinstance(missing.result, Unread)
    assert missing.result.fault.startswith("there is no such file or folder")
    assert isinstance(long.result, Unread)
    assert long.result.fault.startswith("holds more than 100 bytes when inflated")


@pytest.mark.parametrize("logs", [1, 2, 64, 65, 200, 700])
def test_results_come_in_order(tmp_path: Path, logs: int) -> None:
    """One process or three, the results are the same, in the order of the logs."""
    founds = list(find(str(trail(tmp_path / "trail", logs))))
    query = Query(("minute", "eventName"))

    alone = list(read_all(founds, query, processes=1))
    together = list(read_all(founds, query, processes=3))

    assert founds == [each.found for each in alone if isinstance(each, ReadLog)]
    assert alone == together


def test_bad_logs_do_not_stop_the_others(tmp_path: Path) -> None:
    """On several processes, too, a log that cannot be read comes back in its place."""
    folder = trail(tmp_path / "trail", 130)
    (folder / "00007.json").write_text("{")
    (folder / "00100.json").unlink()
    founds = list(find(str(folder)))
    founds.insert(100, Found(f"{folder}/00100.json", 1))

    found = list(read_all(founds, Query(("eventName",)), processes=2))

    unread = [n for n, result in enumerate(results(found)) if isinstance(result, Unread)]
    assert unread == [7, 100]
    assert founds == [each.found for each in found if isinstance(each, ReadLog)]


def test_pipes_are_read_here(tmp_path: Path) -> None:
    """What only this process can read, like a pipe, comes in its order among the others."""
    out, into = os.pipe()
    with os.fdopen(into, "wb") as pipe:
        pipe.write(json.dumps({"Records": [record("Piped")]}).encode())
    founds = list(find(str(trail(tmp_path / "trail", 130))))
    founds.insert(70, Found(f"/dev/fd/{out}", -1))

    found = list(read_all(founds, Query(("eventName",)), processes=2))
    os.close(out)

    each = found[70]
    assert isinstance(each, ReadLog)
    piped = each.result
    assert isinstance(piped, PartialCount)
    assert (piped.table, list(piped.counts)) == ([("Piped",)], [1])


def test_logs_are_found_while_they_are_read(tmp_path: Path) -> None:
    """A source without end can be read: only so many logs are taken ahead."""
    founds = list(find(str(trail(tmp_path / "trail", 64))))
    taken = 0

    def endless() -> Any:  # noqa: ANN401 - an iterator of Found
        nonlocal taken
        while True:
            taken += 1
            yield founds[taken % len(founds)]

    stream = read_all(endless(), Query(("eventName",)), processes=2)
    first = next(stream)
    stream.close()  # type: ignore[attr-defined]

    assert isinstance(first, ReadLog)
    assert taken <= 64 * 5


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_killed_process_is_an_error(tmp_path: Path, at_once: int) -> None:
    """When a process that reads logs dies, nothing hangs and nothing is left out silently."""
    founds = list(find(str(trail(tmp_path / "trail", 64))))
    before = {child.pid for child in multiprocessing.active_children()}
    stream = read_all(founds * 30, Query(("eventName",)), processes=2)
    next(stream)
    workers = [c for c in multiprocessing.active_children() if c.pid not in before]
    for worker in workers[:at_once]:
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)

    with pytest.raises(WorkerError, match="APITRACKER_PROCESSES=1"):
        list(stream)


@pytest.mark.parametrize("by", [("eventName",), ("second", "caller", "outcome"), ("eventType",)])
def test_any_number_of_processes_counts_the_same(tmp_path: Path, by: tuple[str, ...]) -> None:
    """One, two or five processes: the same totals and the same balance."""
    written = sample.write_trail(tmp_path, events=2_000, days=1, seed=5, broken=3)
    query = Query(by)

    def run(processes: int) -> Counted:
        found = read_all(find(str(tmp_path)), query, processes=processes)
        return merge(results(found), query)

    alone = run(1)

    assert alone == run(2) == run(5)
    assert (written.calls, written.duplicates, written.rejected) == (
        alone.balance.counted,
        alone.balance.duplicates,
        alone.balance.rejected,
    )
    assert alone.counts.calls == written.calls


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not here")
def test_real_records_all_count() -> None:
    """The 4,777 real records are all counted, on two processes too."""
    query = Query(("eventSource",))

    counts, balance = merge(results(read_all(find(str(DATA / "s3")), query, processes=2)), query)

    assert (counts.calls, balance.received, balance.logs) == (4_777, 4_777, 357)
    assert balance.holds
