"""The command line as users run it: the installed command, real files, real pipes."""

import csv
import gzip
import io
import json
import os
import pty
import subprocess
from pathlib import Path

import duckdb
import pytest
from tests.commands import APITRACKER, run, shell
from tests.records import record, write_log

from apitracker.core.fields import FIELDS
from apitracker.synthetic import trail as sample

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
GOLDEN = DATA / "golden"
COMMANDS = [
    "count",
    "ingest",
    "top",
    "throttles",
    "denials",
    "serve",
    "report",
    "estimate",
    "publish",
    "reconcile",
    "alarm",
    "dashboard",
    "verify",
    "redrive",
    "sample",
    "completion",
]

real = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not here")


def rows(text: str) -> list[str]:
    """The lines of *text* but the header."""
    return text.splitlines()[1:]


def calls(text: str) -> int:
    """The calls in all rows of the CSV in *text*."""
    return sum(int(row.rpartition(",")[2]) for row in rows(text))


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic trail in ``trail``, and a store of it; the folder that both are in."""
    folder = tmp_path_factory.mktemp("cli")
    sample.write_trail(folder / "trail", events=2_000, days=2, seed=2)
    assert run(folder, "ingest", "trail").returncode == 0
    return folder


@pytest.fixture(scope="module")
def real_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of the real records."""
    folder = tmp_path_factory.mktemp("real")
    done = run(folder, "ingest", DATA / "s3")
    assert (done.returncode, done.stdout) == (0, "")
    return folder


# --- counting -------------------------------------------------------------------------------------


def test_worked_example(tmp_path: Path) -> None:
    """Rows go to stdout, words to stderr, and all was counted."""
    write_log(tmp_path / "a.json", record("Get", "1"), record("Put", "2"), record("Get", "3"))

    done = run(tmp_path, "count", "a.json")

    assert done.returncode == 0
    assert done.stdout == (
        "calls  eventSource       eventName\n"
        "    2  s3.amazonaws.com  Get\n"
        "    1  s3.amazonaws.com  Put\n"
    )
    assert done.stderr == "1 logs; 3 records: 3 counted, 0 duplicate, 0 skipped, 0 rejected\n"


def test_a_call_that_two_accounts_see(tmp_path: Path) -> None:
    """Every view counts, unless APITRACKER_RECORDED names the accounts; the rest is skipped."""
    views = [
        {
            **record("Get", account),
            "userIdentity": {"type": "AWSAccount", "accountId": "111122223333"},
            "recipientAccountId": account,
            "sharedEventID": "s",
        }
        for account in ("111122223333", "444455556666")
    ]
    write_log(tmp_path / "a.json", *views)
    env = {"APITRACKER_RECORDED": "111122223333 4*"}

    every = run(tmp_path, "count", "a.json", "--by", "recipientAccountId")
    once = run(tmp_path, "count", "a.json", "--by", "recipientAccountId", **env)
    stored = run(tmp_path, "ingest", "a.json", **env)

    assert "2 counted, 0 duplicate, 0 skipped" in every.stderr
    assert rows(once.stdout) == ["    1  111122223333"]
    assert "1 counted, 0 duplicate, 1 skipped (1 shared), 0 rejected" in once.stderr
    assert stored.stderr == once.stderr
    assert rows(run(tmp_path, "top").stdout) == ["    1  s3.amazonaws.com  Get"]


def test_stored(tmp_path: Path) -> None:
    """The same again from the store, most calls first, and twice changes nothing."""
    write_log(tmp_path / "a.json", record("Get", "1"), record("Put", "2"), record("Put", "3"))
    for known in ("1 logs; 3 records", "0 logs, 1 more counted before; 0 records"):
        done = run(tmp_path, "ingest", "a.json")
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr.startswith(known)

    done = run(tmp_path, "top", "1", "--format", "json")

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == [
        {"eventSource": "s3.amazonaws.com", "eventName": "Put", "calls": 2}
    ]


@real
def test_golden_minutes_counted() -> None:
    """The real records by minute, API and region are exactly the golden rows, in their order."""
    by = "minute,eventName,awsRegion,eventSource"
    done = run(ROOT, "count", "../shared/data/s3", "--by", by, "--format", "csv")

    assert (0, f"{by},calls") == (done.returncode, done.stdout.splitlines()[0])
    assert rows((GOLDEN / "by_minute.csv").read_text()) == rows(done.stdout)


@real
def test_golden_minutes_stored(real_store: Path) -> None:
    """The same rows come out of the store, order aside."""
    by = "minute,eventName,awsRegion,eventSource"
    done = run(real_store, "top", "--all", "--by", by, "--format", "csv")

    assert done.returncode == 0
    assert sorted(rows((GOLDEN / "by_minute.csv").read_text())) == sorted(rows(done.stdout))


GOLDEN_FIELDS = [
    "awsRegion",
    "eventCategory",
    "eventSource",
    "eventType",
    "eventVersion",
    "recipientAccountId",
]


@real
@pytest.mark.parametrize("field", GOLDEN_FIELDS)
def test_golden_fields(real_store: Path, field: str) -> None:
    """Each field with a golden file has its counts, counted and, if it is kept, stored."""
    golden = sorted(rows((GOLDEN / f"by_{field}.csv").read_text()))

    counted = run(ROOT, "count", "../shared/data/s3", "--by", field, "--format", "csv")
    stored = run(real_store, "top", "--all", "--by", field, "--format", "csv")

    assert golden == sorted(rows(counted.stdout))
    if field in {"eventType", "eventVersion"}:
        assert stored.returncode == 2
    else:
        assert golden == sorted(rows(stored.stdout))


@real
def test_golden_errors(real_store: Path) -> None:
    """The records with an errorCode are those of errors.csv."""
    asked = ["--by", "errorCode", "--where", "errorCode=?*", "--format", "csv"]
    golden = sorted(rows((GOLDEN / "errors.csv").read_text()))

    assert golden == sorted(rows(run(ROOT, "count", "../shared/data/s3", *asked).stdout))
    assert golden == sorted(rows(run(real_store, "top", "--all", *asked).stdout))


BAD = [
    "truncated_gzip.json.gz",
    "truncated_json.json.gz",
    "empty_file.json.gz",
    "empty_gzip.json.gz",
    "no_records_key.json.gz",
    "records_null.json.gz",
    "events_csv_in_trail_prefix.csv",
]
GOOD = {
    "empty_records.json.gz": 0,
    "not_gzip_but_named_gz.json.gz": 2,
    "two_gzip_members.json.gz": 1195,
    "utf8_bom.json.gz": 2,
    "pretty_printed.json.gz": 2,
    "records_not_first_key.json.gz": 2,
    "duplicate_json_keys.json.gz": 1,
    "lone_surrogate.json.gz": 1,
    "invalid_utf8.json.gz": 1,
    "huge_field.json.gz": 1,
    "many_records.json.gz": 20315,
}


@real
@pytest.mark.parametrize("command", ["count", "ingest"])
def test_malformed(tmp_path: Path, command: str) -> None:
    """Each bad log is named on stderr with its fault, the good ones are counted, exit code 1."""
    done = run(tmp_path, command, DATA / "malformed")

    assert done.returncode == 1
    lines = done.stderr.splitlines()
    for name in [*BAD, "README.csv"]:
        assert len([line for line in lines if line.startswith(f"{DATA}/malformed/{name}: ")]) == 1
    bad = [line for line in lines if "/one_bad_record.json.gz: record " in line]
    assert len(bad) == 4
    assert "8 unreadable" in lines[-1]
    for name in GOOD:
        assert name not in done.stderr


@real
def test_malformed_but_good(tmp_path: Path) -> None:
    """Each unusual but whole log has as many calls as its description says."""
    for name, expected in GOOD.items():
        log = DATA / "malformed" / name
        done = run(tmp_path, "count", log, "--keep-duplicates", "--format", "csv")
        assert (name, 0) == (name, done.returncode)
        assert (name, expected) == (name, calls(done.stdout))


def test_some_rejected(tmp_path: Path) -> None:
    """A record that cannot be counted is named by log and place; its neighbours count."""
    write_log(tmp_path / "a.json", record("Get"), 5, {"eventTime": "then"})

    done = run(tmp_path, "count", "a.json", "--by", "eventName", "--format", "csv")

    assert (done.returncode, done.stdout) == (1, "eventName,calls\nGet,1\n")
    assert done.stderr.splitlines() == [
        "a.json: record 2: is not a record: it is a number where an object should be",
        "a.json: record 3: eventTime 'then' is not a time",
        "1 logs; 3 records: 1 counted, 0 duplicate, 0 skipped, 2 rejected",
    ]


def test_many_rejected(tmp_path: Path) -> None:
    """A hundred are named, and how many more there are."""
    write_log(tmp_path / "a.json", *[5] * 1_102)

    lines = run(tmp_path, "count", "a.json").stderr.splitlines()

    assert len(lines) == 102
    assert lines[100] == "and 1,002 more records that could not be counted"


@pytest.mark.parametrize(
    "time", ["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00Z"]
)
def test_the_ends_of_time(tmp_path: Path, time: str) -> None:
    """A record at the end of the calendar never costs the others their count."""
    write_log(tmp_path / "a.json", record("Get"), record("Odd", eventTime=time))

    for asked in (["--by", "second"], ["--where", "day=2023-*"]):
        done = run(tmp_path, "count", "a.json", *asked)
        assert "Traceback" not in done.stderr
        assert done.returncode in {0, 1}


# --- sources --------------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [False, True])
def test_standard_input(tmp_path: Path, compress: bool) -> None:  # noqa: FBT001 - a case
    """A hyphen is standard input, gzip or not."""
    body = json.dumps({"Records": [record("Get")]}).encode()

    done = run(
        tmp_path,
        "count",
        "-",
        "--by",
        "eventName",
        "--format",
        "csv",
        stdin=gzip.compress(body) if compress else body,
    )

    assert (done.returncode, done.stdout) == (0, "eventName,calls\nGet,1\n")


def test_globs_that_the_shell_left(tmp_path: Path) -> None:
    """A quoted pattern is ours to resolve."""
    write_log(tmp_path / "a.json", record("A"))
    write_log(tmp_path / "b.json", record("B"))
    (tmp_path / "b.txt").write_text("no log")

    done = run(tmp_path, "count", "[ab].json", "--by", "eventName", "--format", "csv")

    assert (done.returncode, rows(done.stdout)) == (0, ["A,1", "B,1"])


@pytest.mark.parametrize("command", ["count", "ingest"])
@pytest.mark.parametrize("missing", ["gone.json", "*.gone", "gone/"])
def test_a_missing_source_beside_a_good_one(tmp_path: Path, command: str, missing: str) -> None:
    """A missing source is named, the sources before it and after it are counted."""
    write_log(tmp_path / "a.json", record("A"))
    write_log(tmp_path / "b.json", record("B"))

    done = run(tmp_path, command, "a.json", missing, "b.json")

    assert done.returncode == 1
    assert done.stderr.startswith(f"{missing}: ")
    assert "2 logs, 1 unreadable; 2 records: 2 counted" in done.stderr


def test_duplicates(tmp_path: Path) -> None:
    """An eventID counts once, unless duplicates are kept."""
    write_log(tmp_path / "a.json", record("Get", "1"), record("Get", "1"))
    write_log(tmp_path / "b.json", record("Get", "1"), record("Put"), record("Put"))
    asked = ["a.json", "b.json", "--by", "eventName", "--format", "csv"]

    once = run(tmp_path, "count", *asked)
    every = run(tmp_path, "count", *asked, "--keep-duplicates")

    assert rows(once.stdout) == ["Get,1", "Put,2"]
    assert "3 counted, 2 duplicate" in once.stderr
    assert rows(every.stdout) == ["Get,3", "Put,2"]
    assert "5 counted, 0 duplicate" in every.stderr


# --- options that select --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    [
        [],
        ["--by", "hour,outcome"],
        ["--by", "second,caller,errorCode", "--where", "outcome=throttled"],
        ["--by", "eventName,hour", "--since", "2026-10-29T12:00", "--until", "2026-10-30"],
        ["--by", "day", "--where", "eventName=Get*", "--where", "eventName=Describe*"],
        ["--by", "readOnly,eventCategory", "--where", "hour=*T1?Z", "--where", "awsRegion=us-*"],
        ["--by", "callerAccountId,recipientAccountId", "--since", "2026-10-30T05:00:00+02:00"],
        ["--by", "minute", "--where", "eventSource=nothing"],
        ["--by", "outcome", "--until", "2026-10-30T00:00:01Z"],
    ],
    ids=" ".join,
)
def test_count_and_top_agree(trail: Path, asked: list[str]) -> None:
    """The same options mean the same for logs and for the store, order aside."""
    counted = run(trail, "count", "trail", *asked, "--format", "csv")
    stored = run(trail, "top", "--all", *asked, "--format", "csv")

    assert (counted.returncode, stored.returncode) == (0, 0)
    assert sorted(counted.stdout.splitlines()) == sorted(stored.stdout.splitlines())


def test_order(trail: Path) -> None:
    """Count sorts by code point, top by calls and then by code point."""
    counted = run(trail, "count", "trail", "--by", "eventName", "--format", "csv")
    stored = run(trail, "top", "--all", "--by", "eventName", "--format", "csv")

    names = [line.split(",")[0] for line in rows(counted.stdout)]
    pairs = [line.rsplit(",", 1) for line in rows(stored.stdout)]
    assert sorted(names) == names
    assert sorted(pairs, key=lambda pair: (-int(pair[1]), pair[0])) == pairs


@pytest.mark.parametrize(("given", "lines"), [([], 10), ([3], 3), (["--all"], 16)])
def test_how_many(trail: Path, given: list[object], lines: int) -> None:
    """Ten rows, as many as asked for, or all."""
    done = run(trail, "top", *given, "--by", "outcome,hour", "--where", "hour=2026-10-30T0[0-3]Z")
    every = run(trail, "top", "--all", "--by", "outcome,hour", "--where", "hour=2026-10-30T0[0-3]Z")

    assert rows(every.stdout)[:lines] == rows(done.stdout)


def test_nothing_selected(trail: Path) -> None:
    """An answer without rows exits 0, with a message."""
    done = run(trail, "top", "--where", "eventName=Nothing", "--format", "json")

    assert (done.returncode, json.loads(done.stdout)) == (0, [])
    assert done.stderr == (
        "no calls match\nusage.duckdb has calls of a synthetic trail"
        " from 2026-10-29T00:01:57Z to 2026-10-30T23:57:15Z\n"
    )


def test_how_many_were_not_selected(tmp_path: Path) -> None:
    """The summary has the number of calls that --where left out."""
    write_log(tmp_path / "a.json", record("Get"), record("Put"))

    done = run(tmp_path, "count", "a.json", "--where", "eventName=Get")

    assert "2 counted (1 not selected), 0 duplicate" in done.stderr


def test_output_file(tmp_path: Path) -> None:
    """With -o the rows are in the file, as they would be on stdout, which stays empty."""
    write_log(tmp_path / "a.json", record("Gét"), 5)

    done = run(tmp_path, "count", "a.json", "--format", "csv", "-o", "out.csv")

    assert (done.returncode, done.stdout) == (1, "")
    expected = "eventSource,eventName,calls\ns3.amazonaws.com,Gét,1\n"
    assert (tmp_path / "out.csv").read_bytes() == expected.encode()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "out.csv"]


def test_output_to_a_pipe(tmp_path: Path) -> None:
    """A pipe or a device is written to; it is not replaced by a file, least of all /dev/null."""
    write_log(tmp_path / "a.json", record("Get"))
    os.mkfifo(tmp_path / "pipe")

    done = shell(tmp_path, "timeout 2 cat pipe & apitracker count a.json --by day -o pipe; wait")

    assert (tmp_path / "pipe").is_fifo()
    assert done.stdout == "calls  day\n    1  2023-07-10\n"


# --- wrong usage, failures ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["count"], "Missing argument"),
        (["count", "a.json", "--by", "eventname"], "eventname: no such field; choose from second"),
        (["count", "a.json", "--by", "eventID"], "eventID: no such field"),
        (["count", "a.json", "--since", "yesterday"], "yesterday: not a time: use 2026-10-01"),
        (["top", "--until", "2026-13-01"], "2026-13-01: not a time"),
        (["count", "a.json", "--where", "eventName"], "eventName: write FIELD=GLOB"),
        (["count", "a.json", "--where", "name=Get"], "name: no such field"),
        (["top", "--where", "failed=True"], "failed: no such field"),
        (["count", "a.json", "--format", "xml"], "'xml' is not one of"),
        (["top", "--by", "eventType"], "eventType: not kept in counts"),
        (["top", "--where", "eventVersion=1.*"], "eventVersion: not kept in counts"),
        (["top", "0"], "0 is not in the range"),
        (["sample", "a.json"], "a.json"),
        (["sample", "new", "--events", "0"], "events is 0"),
        (["completion", "tcsh"], "tcsh"),
        (["cuont", "a.json"], "No such command"),
        (["count", "a.json", "--nope"], "No such option"),
        (["count", "a.json", "--by", "failed"], "failed: no such field"),
        (["top", "--by", "failed"], "failed: no such field"),
    ],
    ids=str,
)
def test_wrong_usage(tmp_path: Path, args: list[str], words: str) -> None:
    """Wrong usage is named on stderr with the way on; exit code 2, nothing on stdout."""
    write_log(tmp_path / "a.json", record("Get"))
    run(tmp_path, "ingest", "a.json")

    done = run(tmp_path, *args)

    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_settings_are_warned_about_once(tmp_path: Path) -> None:
    """A name that is not a setting has a warning and no effect."""
    write_log(tmp_path / "a.json", record("Get"))

    done = run(tmp_path, "count", "a.json", APITRACKER_STOER="x")

    assert done.returncode == 0
    assert done.stderr.count("APITRACKER_STOER") == 1


def test_bad_settings(tmp_path: Path) -> None:
    """A bad value of a setting is wrong usage, and named."""
    done = run(tmp_path, "top", APITRACKER_PROCESSES="many")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("apitracker: APITRACKER_PROCESSES=many: ")


def test_settings_are_used(tmp_path: Path) -> None:
    """The store and the limit of a log can be set; a flag goes before a setting."""
    write_log(tmp_path / "a.json", record("Get"))
    env = {"APITRACKER_STORE": "set.duckdb"}

    assert run(tmp_path, "ingest", "a.json", **env).returncode == 0
    assert run(tmp_path, "ingest", "a.json", "--store", "flag.duckdb", **env).returncode == 0
    small = run(tmp_path, "count", "a.json", APITRACKER_MAX_LOG_BYTES="10")

    assert {"a.json", "flag.duckdb", "set.duckdb"} == {p.name for p in tmp_path.iterdir()}
    assert small.returncode == 1
    assert small.stderr.startswith("a.json: holds more than 10 bytes when inflated; raise APITR")


def test_settings_of_the_developer_are_not_those_of_the_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A developer's own store and AWS account are out of reach of the commands that tests run."""
    monkeypatch.setenv("APITRACKER_STORE", "mine.duckdb")
    monkeypatch.setenv("AWS_PROFILE", "mine")

    done = run(tmp_path, "top")

    assert done.stderr.startswith("apitracker: usage.duckdb: no such store")
    assert shell(tmp_path, "echo $APITRACKER_STORE$AWS_PROFILE").stdout == "\n"


def test_missing_store(tmp_path: Path) -> None:
    """Without a store, exit code 3, and how to make one."""
    done = run(tmp_path, "top")

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        "apitracker: usage.duckdb: no such store; make one with: apitracker ingest SOURCE\n"
    )


@pytest.mark.parametrize("args", [["top"], ["ingest", "a.json"]], ids=" ".join)
@pytest.mark.parametrize("kind", ["text", "other", "version"])
def test_no_store(tmp_path: Path, args: list[str], kind: str) -> None:
    """A file that is not a store of this version fails with exit code 3, and stays as it is."""
    write_log(tmp_path / "a.json", record("Get"))
    store = tmp_path / "usage.duckdb"
    if kind == "text":
        store.write_text("Dear diary")
    else:
        with duckdb.connect(store) as db:
            db.execute("CREATE TABLE about (schema_version INTEGER)")
            db.execute("INSERT INTO about VALUES (99)")
            if kind == "other":
                db.execute("ALTER TABLE about RENAME TO diary")
    before = store.read_bytes()

    done = run(tmp_path, *args)

    assert (done.returncode, done.stdout) == (3, "")
    assert "apitracker: usage.duckdb: this store" in done.stderr
    assert "Traceback" not in done.stderr
    assert kind == "text" or store.stat().st_size >= len(before)


# --- values of logs are data ----------------------------------------------------------------------

HOSTILE = [
    "\x1b[2J\x1b]0;owned\x07",
    "\x9b31m",
    "\u202egnp.exe",
    "two\nlines\r\n",
    "\x7f\x08\0",
    "\u2028\u2066\u200b",
    '=HYPERLINK("http://x","y")',
    "+1+1",
    "-1",
    "@SUM(A1)",
    'a,"b"',
]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with logs, hostile in every value and in their names, and a store of them."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "logs").mkdir()
    records = [
        record(
            text,
            eventSource=text.replace(":", ";"),  # with ":" it would be a notice
            awsRegion=text,
            errorCode=text,
            recipientAccountId=text,
            eventCategory=text,
            eventType=text,
            eventVersion=text,
            userAgent=text,
            userIdentity={"type": text, "arn": text, "accountId": text, "principalId": text},
        )
        for text in HOSTILE
    ]
    write_log(
        folder / "logs" / "\x1b[2J\x9b\u202e\n=1.json",
        *records,
        record("x", eventTime="\x1b[2J\x9b"),
    )
    (folder / "logs" / "\x1b]0;\x07.json").write_text("\x1b[2J\x9b\u202e")
    (folder / "logs" / "\x9b.json").write_text('{"\x1b[2J": 1}')
    return folder


@pytest.mark.parametrize("form", ["table", "csv", "json"])
@pytest.mark.parametrize("stored", [False, True])
def test_nothing_hostile_gets_out(hostile: Path, form: str, stored: bool) -> None:  # noqa: FBT001
    """No control character of a log or of a file's name reaches a terminal, in any format."""
    fields = [f for f in FIELDS if not (stored and f in {"eventType", "eventVersion"})]
    texts = []
    if stored:
        ingested = run(hostile, "ingest", "logs", "--store", f"{form}.duckdb")
        assert ingested.returncode == 1
        texts.append(ingested.stderr)
        command: list[object] = ["top", "--all", "--store", f"{form}.duckdb"]
    else:
        command = ["count", "logs"]
    done = run(hostile, *command, "--by", ",".join(fields), "--format", form)
    texts += [done.stdout, done.stderr]

    for text in texts:
        assert all(c == "\n" or c.isprintable() for c in text)
    lines = {"table": 12, "csv": 12, "json": 13}
    assert len(done.stdout.splitlines()) == lines[form]
    if form == "csv":
        cells = [cell for row in csv.reader(io.StringIO(done.stdout)) for cell in row]
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)
    if form == "json":
        assert set(HOSTILE) == {row["eventName"] for row in json.loads(done.stdout)}


def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    """A log whose name is not UTF-8 is counted and stored as any other."""
    os.rename(write_log(tmp_path / "a", record("Get")), os.fsencode(tmp_path) + b"/\xff.json")  # noqa: PTH104

    assert run(tmp_path, "count", "*.json").returncode == 0
    assert run(tmp_path, "ingest", "*.json").returncode == 0


# --- pipes and terminals --------------------------------------------------------------------------


@pytest.mark.parametrize("reader", ["head -1", "true"])
def test_a_reader_that_goes_away(trail: Path, reader: str) -> None:
    """When nobody reads on, the command ends without a word about it."""
    done = shell(
        trail, f"apitracker top --all --store usage.duckdb --by second,eventName,caller | {reader}"
    )

    assert done.stderr == ""
    done = shell(trail, f"apitracker count trail --by eventName | {reader}")
    assert "Error" not in done.stderr
    assert "Exception" not in done.stderr
    lines = ["apitracker count trail", "apitracker top --all --by second --store usage.duckdb"]
    codes = [shell(trail, f"{line} | {reader}; exit ${{PIPESTATUS[0]}}") for line in lines]
    assert [done.returncode for done in codes] == [0, 0]


@pytest.mark.parametrize(
    ("args", "name"),
    [
        (["count", "one.json"], "one.json"),
        (["throttles", "one.json"], "./one.json"),
        (["top", "--store", "s.duckdb"], "s.duckdb"),
        (["denials", "--store", "s.duckdb"], "s.duckdb"),
        (["report", "--store", "s.duckdb"], "s.duckdb"),
    ],
)
def test_an_input_is_not_written_over(tmp_path: Path, args: list[str], name: str) -> None:
    """A file that is a source, or the store, is refused as the output, and stays as it is."""
    write_log(tmp_path / "one.json", record("Get"))
    run(tmp_path, "ingest", "one.json", "--store", "s.duckdb")
    before = (tmp_path / name).read_bytes()

    done = run(tmp_path, *args, "-o", name)

    assert done.returncode == 2
    assert f"{name}: is an input: name another file with -o" in done.stderr
    assert (tmp_path / name).read_bytes() == before


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["--store", "none.duckdb"], 3),
        (["--store", "bad.duckdb"], 3),
        (["--where", "eventType=x"], 2),
        (["--since", "2026-02-01", "--until", "2026-01-01"], 2),
    ],
)
def test_a_report_that_fails_leaves_what_is_there(
    tmp_path: Path, args: list[str], code: int
) -> None:
    """The file is only replaced by a page, and a store that is not there makes none."""
    write_log(tmp_path / "one.json", record("Get"))
    run(tmp_path, "ingest", "one.json")
    (tmp_path / "keep.html").write_text("as it was")
    (tmp_path / "bad.duckdb").write_text("no store")

    done = run(tmp_path, "report", "-o", "keep.html", *args)

    assert (done.returncode, (tmp_path / "keep.html").read_text()) == (code, "as it was")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "command", [["count", "trail"], ["top"], ["throttles"], ["estimate", "trail"]]
)
def test_a_time_that_ends_before_it_begins(trail: Path, command: list[str]) -> None:
    """It is wrong usage, and no answer that there are no calls."""
    done = run(trail, *command, "--since", "2026-10-02", "--until", "2026-10-01")

    assert (done.returncode, done.stdout) == (2, "")
    assert "2026-10-01T00:00:00Z is not after 2026-10-02T00:00:00Z" in done.stderr


def test_a_full_disk(trail: Path) -> None:
    """Output that cannot be written is an error in one line, with exit code 3."""
    done = shell(trail, "apitracker count trail > /dev/full")

    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert "No space left on device" in done.stderr


@pytest.mark.parametrize("args", [["count", "trail"], ["ingest", "trail", "--store", "tty.duckdb"]])
def test_progress_is_for_terminals(trail: Path, args: list[str]) -> None:
    """On a terminal stderr shows how far it is, and the rows are the same; else it does not."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [APITRACKER, *args], cwd=trail, stdout=subprocess.PIPE, stderr=theirs
    ) as process:
        os.close(theirs)
        seen = b""
        while piece := _read(ours):
            seen += piece
        assert process.stdout is not None
        out = process.stdout.read().decode()
    os.close(ours)
    plain = run(trail, *args)

    assert b"Reading" in seen
    assert b"100%" in seen
    assert "Reading" not in plain.stderr
    assert plain.stdout == out


def _read(terminal: int) -> bytes:
    """The next bytes on *terminal*; none when it is closed."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""


# --- help and completion --------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_by_example(tmp_path: Path, command: str) -> None:
    """Every command's help has examples that begin with that command."""
    done = run(tmp_path, command, "--help")

    assert (done.returncode, done.stderr) == (0, "")
    _, _, examples = done.stdout.partition("Examples:\n")
    assert f"apitracker {command} " in examples


def test_help_names_every_command_and_field(tmp_path: Path) -> None:
    """The first help lists all commands, that of count all fields."""
    first, second = run(tmp_path, "--help").stdout, run(tmp_path, "count", "--help").stdout

    _, _, listed = first.partition("Commands:\n")
    assert [line.split()[0] for line in listed.splitlines()[: len(COMMANDS)]] == COMMANDS
    _, _, fields = second.partition("Fields:\n")
    assert set(FIELDS) <= set(fields.replace(",", " ").split())


def test_version(tmp_path: Path) -> None:
    """The version goes to stdout."""
    assert run(tmp_path, "--version").stdout.startswith("apitracker 0.")


@pytest.mark.parametrize(
    ("shell_name", "words"), [("bash", "complete "), ("zsh", "#compdef"), ("fish", "complete ")]
)
def test_completion_scripts(tmp_path: Path, shell_name: str, words: str) -> None:
    """Each shell gets a script that asks our command."""
    done = run(tmp_path, "completion", shell_name)

    assert (done.returncode, done.stderr) == (0, "")
    assert words in done.stdout
    assert f"_APITRACKER_COMPLETE={shell_name}_complete" in done.stdout


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (
            "event",
            ["eventName", "eventSource", "eventCategory", "eventType", "eventVersion"],
        ),
        ("minute,aws", ["minute,awsRegion"]),
        ("nothing", []),
    ],
)
def test_fields_are_completed(tmp_path: Path, typed: str, offered: list[str]) -> None:
    """Fields that --by can be completed to are offered, after a comma too."""
    env = {
        "_APITRACKER_COMPLETE": "bash_complete",
        "COMP_WORDS": f"apitracker count x --by {typed}",
        "COMP_CWORD": "4",
    }

    done = run(tmp_path, **env)

    assert [f"plain,{field}" for field in offered] == done.stdout.split()


def test_sample_sums_up_the_trail(tmp_path: Path) -> None:
    """A trail is written, and its summary has the numbers that counting finds."""
    args = ("--events", 500, "--days", 1, "--broken", 2, "--until", "2026-10-31")
    done = run(tmp_path, "sample", "t", *args)
    counted = run(tmp_path, "count", "t", "--by", "day", "--format", "csv")

    logs = len(list((tmp_path / "t").rglob("*_CloudTrail_*.gz")))
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines() == [
        f"t: wrote {logs} logs; 506 records: 500 calls, 4 duplicates, 2 malformed",
        "not counted when the folder is read: 4 insight records in 2 logs, 12 digests",
        "the throttling incident begins at 2026-10-30T14:00Z",
    ]
    assert (counted.returncode, calls(counted.stdout)) == (1, 500)
    assert counted.stderr.splitlines()[-1] == (
        f"{logs} logs; 506 records: 500 counted, 4 duplicate, 0 skipped, 2 rejected"
    )


def test_sample_ends_now(tmp_path: Path) -> None:
    """Without --until a trail ends now: the last day has calls, and the future has none."""
    run(tmp_path, "sample", "t", "--events", 500, "--days", 2)
    recent = run(tmp_path, "count", "t", "--by", "day", "--format", "csv", "--since", "24h")
    future = run(tmp_path, "count", "t", "--by", "day", "--format", "csv", "--since", "0s")

    assert 100 < calls(recent.stdout) < 500
    assert rows(future.stdout) == []


def test_sample_is_the_same_with_the_same_end(tmp_path: Path) -> None:
    """Seed and end stand for a trail, to the byte."""
    for name in ("a", "b"):
        run(tmp_path, "sample", name, "--events", 100, "--days", 1, "--until", "2026-03-01T12:00Z")

    one, two = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in files}
        for name in ("a", "b")
        for files in [[p for p in (tmp_path / name).rglob("*") if p.is_file()]]
    )
    assert one == two
    assert len(one) > 12
