"""Hostile names, arguments, values and files on a laptop: errors of ours, and nothing unseen."""

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.commands import APITRACKER
from tests.stores import QUERY, top

from apitracker.core.balance import Unread
from apitracker.core.counting import PartialCount, Query, read_log
from apitracker.core.model import Log
from apitracker.core.selection import Selection
from apitracker.core.tables import FORMATS, lines
from apitracker.errors import SourceError, StoreError
from apitracker.logs import sources
from apitracker.logs.sources import Found, find
from apitracker.logs.workers import ReadLog, read
from apitracker.store.database import Store

RECORD = {
    "eventTime": "2023-07-10T11:42:07Z",
    "eventName": "Get",
    "eventSource": "s3.amazonaws.com",
}
LOG = json.dumps({"Records": [RECORD]})
UNSEEN = "\x1b]0;x\x07\x9b2J\u202e\u2028"
LAID_OUT = "AWSLogs/111122223333/CloudTrail/eu-west-1/2023/07/10"

unhurried = settings(deadline=None)  # a busy machine is no fault


def run(
    folder: Path, *args: str | bytes, stdin: bytes = b"", **env: str
) -> "subprocess.CompletedProcess[str]":
    """Run the command in *folder*; what it says has no character that cannot be seen."""
    done = subprocess.run(
        [APITRACKER, *args],
        cwd=folder,
        input=stdin,
        capture_output=True,
        check=False,
        env={**os.environ, **env},
        timeout=60,
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    assert all(c == "\n" or c.isprintable() for c in out + err)
    assert "Traceback" not in err
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


def counted(done: "subprocess.CompletedProcess[str]") -> int:
    """How many records were counted."""
    return int(done.stderr.splitlines()[-1].split(" counted")[0].split()[-1].replace(",", ""))


# --- arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    [
        [UNSEEN],
        ["count", "log.json", "--by", UNSEEN],
        ["count", "log.json", "--by", "eventName," + UNSEEN],
        ["count", "log.json", "--where", UNSEEN],
        ["count", "log.json", "--where", UNSEEN + "=x"],
        ["count", "log.json", "--where", "eventName=" + "*" * 100_000],
        ["count", "log.json", "--since", UNSEEN],
        ["count", "log.json", "--until", "9" * 1_000 + "d"],
        ["count", "log.json", "--format", UNSEEN],
        ["count", "log.json", "--" + UNSEEN],
        ["count", "log.json", "--keep-duplicates=" + UNSEEN],
        ["count", "log.json", "-o", "nowhere/" + UNSEEN],
        ["top", UNSEEN],
        ["top", "1", UNSEEN],
        ["ingest", "log.json", "--forget", b"\xff"],
        ["ingest", "log.json", "--store", b"\xff.duckdb"],
        ["ingest", "log.json", "--store", "."],
        ["publish", "log.json", "--dry-run", "--resume", UNSEEN],
        ["alarm", UNSEEN + ":x", "--above", "1", "--region", UNSEEN, "--dry-run"],
        ["alarm", "ec2:x", "--above", "9" * 5_000, "--region", "r", "--dry-run"],
        ["alarm", "ec2:x", "--above", "1", "--per", UNSEEN, "--region", "r", "--dry-run"],
        ["dashboard", "--name", UNSEEN, "--dry-run"],
        ["sample", "trail", "--events", UNSEEN],
        ["sample", "trail", "--days", "9" * 20],
        ["completion", UNSEEN],
    ],
    ids=lambda args: ascii(args)[:60],
)
def test_arguments(tmp_path: Path, args: list[str | bytes]) -> None:
    """An argument of any text is refused in a few lines, in which nothing is unseen."""
    (tmp_path / "log.json").write_text(LOG)
    done = run(tmp_path, *args)
    assert done.returncode in {2, 3}
    assert done.stdout == ""
    assert done.stderr


@pytest.mark.parametrize("n", ["9223372036854775808", "9" * 100])
def test_more_rows_than_there_are_numbers(tmp_path: Path, n: str) -> None:
    """However many rows are asked for, those that there are come back."""
    (tmp_path / "log.json").write_text(LOG)
    run(tmp_path, "ingest", "log.json")
    done = run(tmp_path, "top", n)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2)


@pytest.mark.parametrize(
    "asked",
    [
        ["--since", "0500-01-01"],
        ["--since", "0001-01-01T00:00+23:59"],
        ["--since", "999999999w"],
        ["--until", "9999-12-31T12:00"],
        ["--until", "9999-12-31T23:59:59-23:59"],
    ],
)
def test_times_at_the_ends_leave_nothing_out(tmp_path: Path, asked: list[str]) -> None:
    """The first and the last times are times: nothing is later or earlier than they."""
    folder = tmp_path / LAID_OUT
    folder.mkdir(parents=True)
    name = "111122223333_CloudTrail_eu-west-1_20230710T1145Z_abcdefghijklmnop.json"
    (folder / name).write_text(LOG)
    assert counted(run(tmp_path, "count", "AWSLogs", *asked)) == 1


# --- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        b"-",
        b"--help",
        b"-o",
        b"a\nb",
        b"\x1b]0;x\x07",
        b"\xff",
        b"*",
        b"[",
        b"s3:",
        "\u202ex".encode(),
    ],
    ids=ascii,
)
def test_names(tmp_path: Path, name: bytes) -> None:
    """A log of any name is found, counted and stored, in its folder and by a pattern."""
    folder = tmp_path / "logs"
    folder.mkdir()
    Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_text(LOG)
    for source in (".", "?*"):
        done = run(folder, "count", "--by", "eventName", source)
        assert (done.returncode, done.stdout) == (0, "calls  eventName\n    1  Get\n")
    assert run(folder, "ingest", ".", "--store", "../store.duckdb").returncode == 0
    assert "Get" in run(folder, "top", "--store", "../store.duckdb").stdout


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A folder with a log under 1,500 folders, each in the other."""
    home = Path.cwd()
    os.chdir(tmp_path)
    try:
        for _ in range(1_500):
            Path("a").mkdir()
            os.chdir("a")
        Path("log.json").write_text(LOG)
    finally:
        os.chdir(home)
    yield tmp_path
    os.chdir(tmp_path)
    try:
        for _ in range(1_500):
            os.chdir("a")
        Path("log.json").unlink()
        for _ in range(1_500):
            os.chdir("..")
            Path("a").rmdir()
    finally:
        os.chdir(home)


def test_folders_nested_deeper_than_calls_can_be(deep: Path) -> None:
    """A log is found however deep it lies; a pattern that cannot go so far is refused."""
    [found] = find(str(deep))
    assert found.name.endswith("/a/log.json")
    with pytest.raises(SourceError, match="nested too deep"):
        list(find(str(deep / "**" / "*.json")))


def test_repeated_stars_look_through_folders_once(tmp_path: Path) -> None:
    """A pattern of many ** is one of a single **; else this would take for ever."""
    folder = tmp_path.joinpath(*["a"] * 40)
    folder.mkdir(parents=True)
    (folder / "log.json").write_text(LOG)
    [found] = find(str(tmp_path) + "/**" * 30 + "/log.json")
    assert found.name == str(folder / "log.json")


def test_a_source_without_an_end(tmp_path: Path) -> None:
    """Of what has no end only so much is read as shows that it is too long."""
    log = sources.fetch_log("/dev/zero", max_bytes=1_000_000)
    assert 1_000_000 < len(log.body) < 50_000_000
    endless = '/usr/bin/yes | "$0" count -'
    done = subprocess.run(
        ["/bin/bash", "-c", endless, str(APITRACKER)],
        cwd=tmp_path,
        env={**os.environ, "APITRACKER_MAX_LOG_BYTES": "1000000"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "-: holds more than 1,000,000 bytes" in done.stderr


def test_what_is_too_long_is_not_read(tmp_path: Path) -> None:
    """A file that is longer than any log may be is refused by its size."""
    path = tmp_path / "log.json"
    with path.open("wb") as file:
        file.truncate(10**13)
    query = Query(("eventName",), max_bytes=512 * 1024 * 1024)
    [found] = find(str(path))
    unread = read(found, query).result
    assert isinstance(unread, Unread)
    assert unread.fault.startswith("holds more than 536,870,912 bytes")


# --- the store ----------------------------------------------------------------------------------

hostile = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    ["'; DROP TABLE series; --", "$eventName", "?", "%", "\0", UNSEEN, "{}", "=1"]
)


@settings(unhurried, max_examples=25)
@given(st.lists(st.tuples(hostile, hostile), min_size=1, max_size=4))
def test_values_are_kept_and_found(
    tmp_path_factory: pytest.TempPathFactory, values: list[tuple[str, str]]
) -> None:
    """Any text goes into the store and comes out the same, and a glob of it finds it."""
    records = [{**RECORD, "eventName": a, "errorCode": b} for a, b in values]
    log = Log("id", "log", json.dumps({"Records": records}).encode())
    store = Store(tmp_path_factory.mktemp("store") / "a.duckdb")
    store.add([ReadLog(Found("log", -1), read_log(log, QUERY))])

    assert dict(top(store, ["eventName", "errorCode"])) == Counter(values)
    for name, _ in values:
        glob = "".join(f"[{c}]" if c in "*?[" else c for c in name)
        selection = Selection(where={"eventName": (glob,)})
        wanted = Counter(a for a, _ in values if a == name)
        assert dict(top(store, ["eventName"], selection=selection)) == {
            (a,): n for a, n in wanted.items()
        }


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a store."""
    path = tmp_path_factory.mktemp("good") / "a.duckdb"
    log = Log("id", "log", LOG.encode())
    store = Store(path)
    store.add([ReadLog(Found("log", -1), read_log(log, QUERY))])
    return path.read_bytes()


def answers(path: Path) -> None:
    """Ask a store all that can be asked of it; `StoreError` if it is none."""
    store = Store(path)
    store.known()
    top(store, ["minute", "outcome"], selection=Selection(where={"minute": ("*",)}))
    store.add([])


@pytest.mark.parametrize("length", [1, 11, 12, 4_095, 4_096, 8_192, 12_288, 100_000])
def test_a_store_that_is_cut_off(tmp_path: Path, good: bytes, length: int) -> None:
    """A part of a store is none."""
    path = tmp_path / "a.duckdb"
    path.write_bytes(good[:length])
    with pytest.raises(StoreError, match=r"a\.duckdb"):
        answers(path)


@settings(unhurried, max_examples=60)
@given(st.data())
def test_a_store_that_is_damaged(
    tmp_path_factory: pytest.TempPathFactory, good: bytes, data: st.DataObject
) -> None:
    """A store with a byte changed answers as before, or with an error of ours."""
    damaged = bytearray(good)
    damaged[data.draw(st.integers(0, 12_400) | st.integers(0, len(good) - 1))] ^= data.draw(
        st.integers(1, 255)
    )
    path = tmp_path_factory.mktemp("damaged") / "a.duckdb"
    path.write_bytes(damaged)
    try:
        assert top(Store(path), ["eventName"]) == [(("Get",), 1)]
        answers(path)
    except StoreError:
        pass


@pytest.mark.parametrize(
    "content",
    [
        b"SQLite format 3\0" + bytes(4_080),
        b"PAR1" + bytes(100),
        b"PK\3\4" + bytes(100),
        LOG.encode(),
        b"\x1f\x8b" + bytes(50),
    ],
    ids=lambda content: ascii(content[:8]),
)
def test_somebody_elses_file(tmp_path: Path, content: bytes) -> None:
    """A file of another kind is refused, and nothing is fetched to read it with."""
    path = tmp_path / "a.duckdb"
    path.write_bytes(content)
    with pytest.raises(StoreError) as fault:
        answers(path)
    assert "http" not in str(fault.value)
    assert path.read_bytes() == content


def test_a_store_cannot_read_other_files(tmp_path: Path) -> None:
    """A view in a store that somebody else has made reads no file of this machine."""
    (tmp_path / "secret").write_text("x")
    path = tmp_path / "a.duckdb"
    with duckdb.connect(path) as db:
        text = f"read_text('{tmp_path}/secret')"
        db.execute(f"CREATE VIEW about AS SELECT 1 AS schema_version FROM {text}")  # noqa: S608
    with pytest.raises(StoreError, match="it would read other files, as no store does"):
        top(Store(path), ["eventName"])


@pytest.mark.parametrize("name", [":memory:", ":default:", "md:x", "motherduck:x", "http:x"])
def test_a_store_is_a_file(tmp_path: Path, name: str) -> None:
    """A store whose name means something else to DuckDB is a file all the same."""
    (tmp_path / "log.json").write_text(LOG)
    assert run(tmp_path, "ingest", "log.json", APITRACKER_STORE=name).returncode == 0
    assert (tmp_path / name).is_file()
    assert "Get" in run(tmp_path, "top", "--store", name).stdout


# --- tables -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_a_long_value_is_long_once(form: str) -> None:
    """One value of 5 MB makes its own row long, and not the thousand others."""
    rows: list[tuple[tuple[Any, ...], int]] = [((f"A{at}", "b"), 1) for at in range(1_000)]
    rows.append((("x" * 5_000_000, "b"), 1))
    text = "\n".join(lines(rows, ["eventName", "caller"], form))
    assert "x" * 5_000_000 in text
    assert len(text) < 6_000_000


@pytest.mark.parametrize(
    "value", ['x;=HYPERLINK("y")', "a;+1", ';"=1', "; @x", ";-1", "a;b;\uff1d1"]
)
def test_no_formula_behind_a_semicolon(value: str) -> None:
    """Where semicolons part cells, none of those begins a formula."""
    [_, line] = lines([((value,), 1)], ["eventName"], "csv")
    cells = [cell.lstrip(' "') for cell in line.split(";")]
    assert not any(cell.startswith(("=", "+", "-", "@", "\uff1d")) for cell in cells)


def test_logs_of_the_corpus_are_read_or_named() -> None:
    """Every file of the corpus is read or named, by the reader of files."""
    corpus = Path(__file__).parent / "corpus"
    query = Query(("eventName",), max_bytes=10**8)
    for found in find(str(corpus)):
        result = read(found, query).result
        assert isinstance(result, PartialCount) or result.fault
