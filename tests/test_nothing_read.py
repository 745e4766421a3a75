"""Nothing read is never nothing happened: what is said where an answer is about other times."""

import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.commands import APITRACKER

from apitracker.core.selection import Selection
from apitracker.synthetic import trail as sample

NOTHING = "0 logs, 1 unreadable; 0 records: 0 counted (0 not selected), 0 duplicate, 0 skipped"
SPAN = "from 2026-10-01T12:00:00Z to 2026-10-01T13:00:00Z"
ALL_CLEAR = ("no calls", "nothing to")


def record(name: str, time: str, **more: str) -> dict[str, Any]:
    """A record as CloudTrail writes it, as far as it matters here."""
    return {"eventTime": time, "eventName": name, "eventSource": "s3.amazonaws.com", **more}


def run(folder: Path, *args: object) -> "subprocess.CompletedProcess[str]":
    """Run the command in *folder*, without credentials of AWS."""
    return subprocess.run(
        [APITRACKER, *map(str, args)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "AWS_REGION": "us-east-1"},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a synthetic trail, a log of two calls without a day, and a store of it."""
    made = tmp_path_factory.mktemp("nothing")
    sample.write_trail(made / "trail", events=300, days=1, until=datetime(2026, 10, 31, tzinfo=UTC))
    records = [
        record("Get", "2026-10-01T12:00:00Z"),
        record("Put", "2026-10-01T13:00:00Z", errorCode="AccessDenied"),
    ]
    (made / "a.json").write_text(json.dumps({"Records": records}))
    assert run(made, "ingest", "a.json").returncode == 0
    return made


COMMANDS = [
    ["throttles"],
    ["denials"],
    ["count"],
    ["count", "--where", "eventName=Get"],
    ["estimate"],
    ["publish", "--dry-run"],
]


# --- sources ------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_log_of_the_time(folder: Path, command: list[str]) -> None:
    """Where no log was read, every command says where it looked and the newest log, and exits 1."""
    done = run(folder, *command, "trail", "--since", "2027-01-01T12:00Z", "--until", "2027-01-02")

    first, summary = done.stderr.splitlines()
    newest = max((folder / "trail").rglob("CloudTrail/**/2026/10/31/*"), key=_stamp)
    assert done.returncode == 1
    assert first == (
        "trail: no log there may hold calls of that time: looked at the folders of the days"
        " from 2027/01/01 to 2027/01/31, at logs delivered from 2027-01-01T11:45Z on; the newest"
        f" one is {newest.relative_to(folder)}"
    )
    assert summary.startswith(NOTHING)
    assert not any(text in done.stderr for text in ALL_CLEAR)


@pytest.mark.parametrize("command", ["throttles", "denials"])
def test_a_time_given_by_a_field(folder: Path, command: str) -> None:
    """A day of --where is a time like another: without calls in it there is no all-clear."""
    done = run(folder, command, "trail", "--where", "day=2099-01-01")

    assert done.returncode == 1
    assert done.stderr.startswith("no call is in the requested time\n")


def test_logs_without_a_call(folder: Path) -> None:
    """An empty log is read, and still nothing says that no calls were throttled."""
    (folder / "none.json").write_text('{"Records":[]}')

    done = run(folder, "throttles", "none.json")

    assert done.returncode == 1
    assert done.stderr.startswith("no calls were read\n")


def _stamp(path: Path) -> tuple[str, str]:
    return path.name.split("_")[3], str(path)


def test_one_of_several_sources_without_logs(folder: Path) -> None:
    """The other is counted, and the one that has no log of the time is named."""
    later = {"Records": [record("Get", "2027-02-01T12:00:00Z")]}
    (folder / "later.json").write_text(json.dumps(later))

    done = run(folder, "count", "later.json", "trail", "--since", "2027-01-01")

    assert done.returncode == 1
    assert done.stdout.splitlines()[1:] == ["    1  s3.amazonaws.com  Get"]
    assert done.stderr.startswith("trail: no log there may hold calls of that time: looked at")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("time", [["--since", "2026-10-02"], ["--until", "2026-10-01T12:00Z"]])
def test_no_call_of_the_time(folder: Path, command: list[str], time: list[str]) -> None:
    """Where logs were read but none of their calls is of the time, it says so and exits 1."""
    done = run(folder, *command, "a.json", *time)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"no call is in the requested time: the logs have calls {SPAN}"
    )
    assert "no calls" not in done.stderr


@pytest.mark.parametrize(
    ("time", "said"),
    [
        ([], "no calls were throttled"),
        (["--since", "2026-10-01T12:00Z", "--until", "2026-10-01T13:00:01Z"], "no calls were thr"),
        (["--since", "2026-10-01T12:30Z"], f"no calls were throttled; the logs have calls {SPAN}"),
    ],
)
def test_none_of_the_calls_that_were_read(folder: Path, time: list[str], said: str) -> None:
    """An all-clear names the times that the logs have, where others are asked for."""
    done = run(folder, "throttles", "a.json", *time)

    assert done.returncode == 0
    assert done.stderr.splitlines()[0].startswith(said)
    assert len(done.stderr.splitlines()) == 2


def test_none_of_what_could_be_read(folder: Path, tmp_path: Path) -> None:
    """An all-clear of logs that could be read in part only says so."""
    (tmp_path / "bad.json").write_text("not,a,log")

    done = run(folder, "throttles", "a.json", tmp_path / "bad.json")

    assert done.returncode == 1
    assert done.stderr.startswith("no calls were throttled, as far as the logs could be read\n")


# --- stores -------------------------------------------------------------------------------------

COVERED = f"usage.duckdb has calls {SPAN}\n"


@pytest.mark.parametrize("command", ["top", "throttles", "denials"])
@pytest.mark.parametrize(
    ("time", "said"),
    [
        (["--since", "2026-10-01T12:30Z"], True),
        (["--since", "2026-09-01", "--until", "2026-10-01T12:30Z"], True),
        (["--until", "2026-10-02"], True),
        (["--since", "2026-10-01T12:00Z", "--until", "2026-10-01T13:00:01Z"], False),
        (["--until", "2026-10-01T13:00:01Z"], False),
        ([], False),
    ],
)
def test_times_that_a_store_covers(
    folder: Path, command: str, time: list[str], *, said: bool
) -> None:
    """They are said where the answer may be about others, and where it is empty."""
    done = run(folder, command, *time)
    empty = {"top": "", "denials": "", "throttles": "no calls were throttled\n"}[command]
    if command == "denials" and time == ["--since", "2026-09-01", "--until", "2026-10-01T12:30Z"]:
        empty = "no calls were denied\n"

    assert done.returncode == 0
    assert done.stderr == empty + (COVERED if said or empty else "")


def test_an_empty_answer_of_a_store(folder: Path) -> None:
    """No row is no failure, and the times that were looked at are said."""
    done = run(folder, "top", "--where", "eventName=Nothing")

    assert (done.returncode, done.stderr) == (0, "no calls match\n" + COVERED)


def test_a_report_says_which_times_the_store_covers(folder: Path, tmp_path: Path) -> None:
    """So does the command that writes a page of a time that the store covers in part."""
    done = run(folder, "report", "--since", "2026-10-01T12:30Z", "-o", tmp_path / "r.html")

    assert (done.returncode, done.stderr) == (0, COVERED)


def test_a_store_without_calls(tmp_path: Path) -> None:
    """It says that, and does not say that nothing happened and stop there."""
    (tmp_path / "a.json").write_text('{"Records":[]}')
    run(tmp_path, "ingest", "a.json")

    done = run(tmp_path, "throttles")

    assert done.stderr == "no calls were throttled\nusage.duckdb has no calls\n"


@pytest.mark.parametrize(
    ("since", "until", "within", "outside"),
    [
        (None, None, True, False),
        (10, 21, True, False),
        (9, 21, False, False),
        (10, 22, False, False),
        (None, 21, True, False),
        (10, None, False, False),
        (20, None, False, False),
        (21, None, False, True),
        (None, 10, True, True),
        (None, 11, True, False),
    ],
)
def test_a_selection_beside_a_time(
    since: int | None, until: int | None, *, within: bool, outside: bool
) -> None:
    """Calls from second 10 to 20: what lies within them, and what has none of them."""
    selection = Selection(since, until)

    assert (selection.is_within(10, 20), selection.is_outside(10, 20)) == (within, outside)
