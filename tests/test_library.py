"""The library counts as the command does: any source, each event once, each record in a place."""

import csv
import gzip
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from apitracker import Counts, Log, Settings, Unread, UsageError, count
from apitracker.core.times import label
from apitracker.synthetic import trail as sample

NOON = 1_790_856_000  # 2026-10-01T12:00:00Z


def log(*records: tuple[str, str, str]) -> bytes:
    """A log of records, each a time of day on 2026-10-01, a name and an eventID."""
    keys = ("eventTime", "eventName", "eventID")
    made = [dict(zip(keys, (f"2026-10-01T{t}Z", *r), strict=True)) for t, *r in records]
    return json.dumps({"Records": made}).encode()


FIRST = log(("12:00:00", "Get", "1"), ("12:00:59", "Put", "2"))
SECOND = log(("12:01:00", "Get", "3"), ("12:00:00", "Get", "1"))


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    """A synthetic trail of 3,000 calls, with some events in two logs and two malformed records."""
    folder = tmp_path / "trail"
    end = datetime(2026, 10, 31, tzinfo=UTC)
    written = sample.write_trail(folder, events=3_000, days=2, seed=3, broken=2, until=end)
    assert written.duplicates > 0
    return folder


def command(*args: str | Path) -> tuple[list[list[str]], str]:
    """The rows and the balance that the command ``apitracker count`` prints."""
    done = subprocess.run(
        [Path(sys.executable).with_name("apitracker"), "count", *args, "--format", "csv"],
        capture_output=True,
        text=True,
        check=False,
    )
    return [*csv.reader(done.stdout.splitlines())][1:], done.stderr.splitlines()[-1]


def written(counts: Counts) -> list[list[str]]:
    """The rows of *counts* as the command prints them."""
    return [
        [*(label(f, value) for f, value in zip(counts.fields, row, strict=True)), str(calls)]
        for row, calls in counts.ranked()
    ]


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ([], {}),
        (["--by", "hour,outcome"], {"by": "hour,outcome"}),
        (
            ["--by", "caller,eventName", "--where", "outcome=denied", "--where", "outcome=failed"],
            {"by": ["caller", "eventName"], "where": {"outcome": ["denied", "failed"]}},
        ),
        (
            ["--since", "2026-10-29T12:00Z", "--until", "2026-10-30", "--where", "eventSource=ec*"],
            {
                "since": datetime(2026, 10, 29, 12),  # noqa: DTZ001 - without an offset it is UTC
                "until": "2026-10-30",
                "where": {"eventSource": "ec*"},
            },
        ),
        (["--keep-duplicates", "--by", "day"], {"by": ["day"], "keep_duplicates": True}),
    ],
)
def test_equals_the_command(trail: Path, options: list[str], asked: dict[str, Any]) -> None:
    """Whatever is asked, the rows and the balance are the command's."""
    rows, said = command(trail, *options)

    counts, balance = count(trail, **asked)

    assert written(counts) == rows
    received = f"{balance.logs:,} logs; {balance.received:,} records: {balance.counted:,} counted"
    assert said.startswith(received)
    assert f"{balance.duplicates:,} duplicate" in said
    assert f"{balance.rejected:,} rejected" in said


def test_duplicates_in_several_logs(trail: Path) -> None:
    """An event in two logs counts once: the sum is the number of calls, not of records."""
    counts, balance = count(str(trail), by=())

    assert counts.rows == {(): 3_000}
    assert (balance.counted, balance.received > 3_000, balance.holds) == (3_000, True, True)


def test_several_sources(tmp_path: Path) -> None:
    """A path, a text, bytes and a Log in one list are counted together."""
    (tmp_path / "a.json").write_bytes(FIRST)
    third = Log.of("mine", log(("12:00:00", "List", "4"), ("12:00:00", "Put", "2")))

    counts, balance = count(
        [tmp_path / "a.json", SECOND, gzip.compress(SECOND), third], by="eventName"
    )

    assert counts.rows == {("Get",): 2, ("Put",): 1, ("List",): 1}
    assert (balance.logs, balance.received, balance.counted, balance.duplicates) == (4, 8, 4, 4)


def test_the_same_bytes_twice() -> None:
    """A log that comes twice is known, and is not received again."""
    counts, balance = count([FIRST, FIRST], by=["minute"])

    assert counts.rows == {(NOON,): 2}
    assert (balance.logs, balance.known) == (1, 1)


@pytest.mark.parametrize(
    "until",
    [
        NOON + 60,
        "2026-10-01T12:01Z",
        datetime(2026, 10, 1, 12, 1),  # noqa: DTZ001
        datetime(2026, 10, 1, 12, 1, tzinfo=UTC),
        datetime(2026, 10, 1, 14, 1, tzinfo=timezone(timedelta(hours=2))),
    ],
    ids=str,
)
def test_times(until: str | int | datetime) -> None:
    """A time may be a text, seconds or a datetime, which is of UTC if it does not say."""
    counts, balance = count([FIRST, SECOND], by=["eventName"], until=until)

    assert counts.rows == {("Get",): 1, ("Put",): 1}
    assert balance.not_selected == 1


def test_unread_is_in_the_balance(tmp_path: Path) -> None:
    """A missing source and bytes that are not a log are named; the rest is counted."""
    counts, balance = count([tmp_path / "gone", b"a,b\n", FIRST], by=["eventName"])

    assert counts.calls == 2
    assert balance.unread == (
        Unread(f"{tmp_path}/gone", "there is no such file or folder: check the name"),
        Unread("bytes", "is not a CloudTrail log: it is not JSON", lasting=True),
    )


def test_settings_are_heeded() -> None:
    """The longest log is that of the settings."""
    _, balance = count(FIRST, settings=Settings(max_log_bytes=100))

    assert balance.unread[0].fault.startswith("holds more than 100 bytes when inflated")


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        ({"by": "eventname"}, "eventname: no such field; choose from second, minute"),
        ({"by": ["eventName", ""], "where": {"nope": "*"}}, "nope: no such field; choose from"),
        ({"since": "yesterday"}, "yesterday: not a time: use 2026-10-01"),
        ({"since": 60, "until": 60}, "until: 1970-01-01T00:01:00Z is not after"),
        ({"where": {"outcome": "throttle"}}, "outcome=throttle: matches none of its values"),
    ],
)
def test_wrong_queries(asked: dict[str, Any], fault: str) -> None:
    """A query that cannot be answered is an error with the command's words."""
    with pytest.raises(UsageError) as caught:
        count(FIRST, **asked)

    assert str(caught.value).startswith(fault)
