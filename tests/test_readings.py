"""Logs are read, alone and on several processes, into what is put together or stored."""

import json
import multiprocessing
import os
import signal
from array import array
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apitracker.core.model import Log, Rejected
from apitracker.core.selection import Selection
from apitracker.errors import LogError, WorkerError
from apitracker.logs.sources import Found, find
from apitracker.logs.workers import (
    NO_EVENT,
    OUTSIDE,
    Question,
    Reading,
    Unread,
    read,
    read_all,
    read_log,
)

MAX = 1_000_000
NOON = 1_688_990_400  # 2023-07-10T12:00:00Z


def record(name: str, *, time: str = "2023-07-10T12:00:00Z", event: str = "") -> dict[str, Any]:
    """A record as CloudTrail writes it, as far as it matters here."""
    return {
        "eventTime": time,
        "eventName": name,
        "eventSource": "s3.amazonaws.com",
        "awsRegion": "us-east-1",
        **({"eventID": event} if event else {}),
    }


def log(*records: object) -> Log:
    """A log of *records*."""
    return Log.of("a.json", json.dumps({"Records": records}).encode())


def ask(*by: str, selection: Selection | None = None, keep_duplicates: bool = False) -> Question:
    """A question by the fields *by*."""
    return Question(by, MAX, selection or Selection(), keep_duplicates)


def answer(given: Log, question: Question) -> Reading:
    """The reading of *given*."""
    return read_log(given, Found(given.name, len(given.body)), question)


def calls(reading: Reading) -> dict[tuple[Any, ...], int]:
    """How many calls there are of each time and values of the plain fields."""
    rows = zip(reading.times, reading.series, reading.counts, strict=True)
    return {
        (time, *(("OUTSIDE",) if series == OUTSIDE else reading.table[series])): n
        for time, series, n in rows
    }


def trail(folder: Path, logs: int, *, calls_each: int = 3) -> Path:
    """Write *logs* small logs into *folder*, each of its own calls."""
    folder.mkdir(exist_ok=True)
    for n in range(logs):
        records = [record(f"Api{n % 7}", event=f"{n}-{i}") for i in range(calls_each)]
        (folder / f"{n:05}.json").write_text(json.dumps({"Records": records}))
    return folder


def test_one_log() -> None:
    """Rows are in the order of their coming, and each event says in which it was counted."""
    reading = answer(
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

    assert reading.table == [("Put",), ("Get",)]
    assert array("q", [NOON, NOON, NOON + 1]) == reading.times
    assert array("i", [0, 1, 0]) == reading.series
    assert array("Q", [2, 1, 1]) == reading.counts
    assert array("I", [0, 1, 0, 2]) == reading.index
    assert reading.events[3] == NO_EVENT
    assert len({*reading.events}) == 4
    assert reading.duplicates == 1
    assert Counter(insight=1) == reading.skipped
    assert [Rejected("record 6", "eventTime 'then' is not a time")] == reading.rejected
    assert reading.received == 7


def test_event_hashes_are_stable() -> None:
    """The store knows an event years later, so its 64 bits are pinned: XXH3 of the eventID."""
    reading = answer(
        log(record("Get", event="7a1c3a2e-5d4f-4a7e-9c1b-0d2f3e4a5b6c"), record("Get", event="é")),
        ask("eventName"),
    )

    assert array("Q", [6_934_211_354_121_728_376, 17_839_895_020_865_391_795]) == reading.events


def test_times_are_as_long_as_asked_for() -> None:
    """By day, all calls of the day are one row; by nothing, all calls are."""
    records = [record("Get"), record("Get", time="2023-07-10T23:59:59Z")]

    assert calls(answer(log(*records), ask("second", "eventName"))) == {
        (NOON, "Get"): 1,
        (NOON + 43_199, "Get"): 1,
    }
    assert calls(answer(log(*records), ask("day"))) == {(NOON - 43_200,): 2}
    assert calls(answer(log(*records), ask("day", "eventName", "hour"))) == {
        (NOON, "Get"): 1,
        (NOON + 39_600, "Get"): 1,
    }
    assert calls(answer(log(*records), ask())) == {(0,): 2}


def test_before_1970() -> None:
    """The minute of a negative second is the one that it is in, not the next."""
    early = record("Get", time="1969-12-31T23:59:59Z")

    assert calls(answer(log(early), ask("second"))) == {(-1,): 1}
    assert calls(answer(log(early), ask("minute"))) == {(-60,): 1}
    assert calls(answer(log(early), ask("day"))) == {(-86_400,): 1}


def test_what_is_not_selected_is_outside() -> None:
    """Calls outside stay in the reading, in a row of their own, for their events are known."""
    reading = answer(
        log(record("Get", event="1"), record("Put", event="2"), record("List", event="3")),
        ask("eventName", selection=Selection(where={"eventName": ("P*",)})),
    )

    assert calls(reading) == {(0, "OUTSIDE"): 2, (0, "Put"): 1}
    assert len(reading.events) == 3
    assert reading.table == [("Put",)]


def test_selected_by_what_is_not_asked_for() -> None:
    """Fields and times of the selection need not be asked for, and do not tell rows apart."""
    selection = Selection(NOON, NOON + 2, {"awsRegion": ("us-*",), "second": ("*:0?Z",)})
    reading = answer(
        log(
            record("Get", time="2023-07-10T11:59:59Z"),
            record("Get"),
            record("Get", time="2023-07-10T12:00:01Z"),
            record("Get", time="2023-07-10T12:00:02Z"),
        ),
        ask("eventName", selection=selection),
    )

    assert calls(reading) == {(0, "OUTSIDE"): 2, (0, "Get"): 2}


def test_keeping_duplicates() -> None:
    """Records that repeat an eventID count when asked to, and then nothing is known of events."""
    twice = log(record("Get", event="1"), record("Get", event="1"))

    reading = answer(twice, ask("eventName", keep_duplicates=True))

    assert calls(reading) == {(0, "Get"): 2}
    assert (0, array("Q")) == (reading.duplicates, reading.events)


def test_an_empty_log() -> None:
    """A log without records is read, and holds nothing."""
    reading = answer(log(), ask("minute", "eventName"))

    assert (calls(reading), reading.received) == ({}, 0)


def test_read_log_refuses() -> None:
    """What is no log is an error that names it."""
    with pytest.raises(LogError, match=r"^a\.csv: is not a CloudTrail log"):
        read_log(Log.of("a.csv", b"a,b\n"), Found("a.csv", 4), ask())


def test_read_gives_back_what_it_cannot_read(tmp_path: Path) -> None:
    """A bad log, a missing file and one that is too long come back with their fault."""
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "long.json").write_text(json.dumps({"Records": [record("Get")] * 10}))
    question = Question((), 100)

    bad = read(Found(f"{tmp_path}/bad.json", 1), question)
    missing = read(Found(f"{tmp_path}/gone.json", 1), question)
    long = read(Found(f"{tmp_path}/long.json", 1), question)

    assert isinstance(bad, Unread)
    assert "cut off or damaged" in bad.fault
    assert isinstance(missing, Unread)
    assert missing.fault.startswith("there is no such file or folder")
    assert isinstance(long, Unread)
    assert long.fault.startswith("holds more than 100 bytes when inflated")


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
    reading = answer(log(*records), ask(*by, keep_duplicates=keep_duplicates))

    assert len(records) == reading.received
    assert len(reading.index) == sum(reading.counts)
    assert Counter(reading.index) == Counter(dict(enumerate(reading.counts)))
    assert len(reading.events) == (0 if keep_duplicates else len(reading.index))


@pytest.mark.parametrize("logs", [1, 2, 64, 65, 200, 700])
def test_results_come_in_order(tmp_path: Path, logs: int) -> None:
    """One process or three, the readings are the same, in the order of the logs."""
    founds = list(find(str(trail(tmp_path / "trail", logs))))
    question = ask("minute", "eventName")

    alone = list(read_all(founds, question, processes=1))
    together = list(read_all(founds, question, processes=3))

    assert founds == [reading.found for reading in alone]
    assert alone == together


def test_bad_logs_do_not_stop_the_others(tmp_path: Path) -> None:
    """On several processes, too, a log that cannot be read comes back in its place."""
    folder = trail(tmp_path / "trail", 130)
    (folder / "00007.json").write_text("{")
    (folder / "00100.json").unlink()
    founds = list(find(str(folder)))
    founds.insert(100, Found(f"{folder}/00100.json", 1))

    results = list(read_all(founds, ask("eventName"), processes=2))

    assert [n for n, result in enumerate(results) if isinstance(result, Unread)] == [7, 100]
    assert [found.name for found in founds] == [result.found.name for result in results]


def test_pipes_are_read_here(tmp_path: Path) -> None:
    """What only this process can read, like a pipe, comes in its order among the others."""
    out, into = os.pipe()
    with os.fdopen(into, "wb") as pipe:
        pipe.write(json.dumps({"Records": [record("Piped")]}).encode())
    founds = list(find(str(trail(tmp_path / "trail", 130))))
    founds.insert(70, Found(f"/dev/fd/{out}", -1))

    results = list(read_all(founds, ask("eventName"), processes=2))
    os.close(out)

    piped = results[70]
    assert isinstance(piped, Reading)
    assert calls(piped) == {(0, "Piped"): 1}


def test_logs_are_found_while_they_are_read(tmp_path: Path) -> None:
    """A source without end can be read: only so many logs are taken ahead."""
    founds = list(find(str(trail(tmp_path / "trail", 64))))
    taken = 0

    def endless() -> Any:  # noqa: ANN401 - an iterator of Found
        nonlocal taken
        while True:
            taken += 1
            yield founds[taken % len(founds)]

    readings = read_all(endless(), ask("eventName"), processes=2)
    first = next(readings)
    readings.close()  # type: ignore[attr-defined]

    assert isinstance(first, Reading)
    assert taken <= 64 * 5


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_killed_process_is_an_error(tmp_path: Path, at_once: int) -> None:
    """When a process that reads logs dies, nothing hangs and nothing is left out silently."""
    founds = list(find(str(trail(tmp_path / "trail", 64))))
    before = {child.pid for child in multiprocessing.active_children()}
    readings = read_all(founds * 30, ask("eventName"), processes=2)
    next(readings)
    workers = [c for c in multiprocessing.active_children() if c.pid not in before]
    for worker in workers[:at_once]:
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)

    with pytest.raises(WorkerError, match="APITRACKER_PROCESSES=1"):
        list(readings)
