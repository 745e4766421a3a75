"""Options that could be taken in silence for something else: understood, or refused."""

import json
from pathlib import Path

import pytest
from tests import real
from tests.commands import run
from tests.records import record, write_log


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a log, ``a.json``, and a store of it."""
    write_log(tmp_path / "a.json", record("Get", "1", awsRegion="us-east-1"), record("Put", "2"))
    assert run(tmp_path, "ingest", "a.json").returncode == 0
    return tmp_path


class TestRepeated:
    """An option that is given twice."""

    @pytest.mark.parametrize("command", [["count", "a.json"], ["top"]], ids=" ".join)
    def test_fields_add_up(self, folder: Path, command: list[str]) -> None:
        """``--by`` twice means all of the fields, in their order, each once."""
        options = ["--by", "eventName", "--by", "awsRegion,eventName", "--format", "csv"]

        done = run(folder, *command, *options)

        assert done.returncode == 0
        assert sorted(done.stdout.splitlines()) == [
            "Get,us-east-1,1",
            "Put,,1",
            "eventName,awsRegion,calls",
        ]

    def test_metric_sets_add_up(self, folder: Path) -> None:
        """``--metrics`` twice means all of the sets."""
        options = ["--metrics", "api", "--metrics", "callers"]

        done = run(folder, "estimate", "a.json", *options)

        assert done.returncode == 0
        assert "metrics of api " in done.stdout
        assert "metrics of callers " in done.stdout

    @pytest.mark.parametrize(
        ("args", "option"),
        [
            (["count", "a.json", "--since", "2d", "--since", "5d"], "--since"),
            (["top", "--until", "2d", "--since", "9d", "--until=5d"], "--until"),
            (["top", "--store", "usage.duckdb", "--store", "b"], "--store"),
            (["count", "a.json", "-o", "b", "--output", "c"], "--output"),
            (["count", "a.json", "--format", "csv", "--format", "json"], "--format"),
            (["sample", "t", "--events", "5", "--events", "6"], "--events"),
            (["alarm", "ec2:X", "--above", "5", "--above", "6"], "--above"),
        ],
    )
    def test_one_value_is_not_two(self, folder: Path, args: list[str], option: str) -> None:
        """Which of two values is meant cannot be known: it is refused, and nothing is done."""
        before = sorted(folder.iterdir())

        done = run(folder, *args)

        assert (done.returncode, done.stdout) == (2, "")
        assert f"{option} is given 2 times: give it once" in done.stderr
        assert before == sorted(folder.iterdir())

    def test_after_two_dashes_are_sources(self, folder: Path) -> None:
        """Arguments after ``--`` are not options."""
        done = run(folder, "count", "--since", "1970-01-01", "--", "--since", "a.json")

        assert done.returncode == 1
        assert "--since: there is no such file" in done.stderr


class TestEnding:
    """The ending of -o's file."""

    @pytest.mark.parametrize("command", [["count", "a.json"], ["top"], ["throttles"]], ids=" ".join)
    def test_chooses_the_format(self, folder: Path, command: list[str]) -> None:
        """Without --format, .json is JSON and .csv is CSV."""
        assert run(folder, *command, "-o", "x.json").returncode == 0
        assert run(folder, *command, "-o", "x.CSV").returncode == 0

        assert isinstance(json.loads((folder / "x.json").read_text()), list)
        assert "," in (folder / "x.CSV").read_text().splitlines()[0]

    def test_that_says_nothing(self, folder: Path) -> None:
        """Any other ending is a table, and --format goes for it."""
        assert run(folder, "count", "a.json", "-o", "x.txt").returncode == 0
        assert run(folder, "count", "a.json", "-o", "y.txt", "--format", "csv").returncode == 0

        assert (folder / "x.txt").read_text().startswith("calls  eventSource")
        assert (folder / "y.txt").read_text().startswith("eventSource,eventName,calls\n")

    @pytest.mark.parametrize("form", ["csv", "table"])
    def test_that_contradicts(self, folder: Path, form: str) -> None:
        """The file is not made, or not emptied, when --format says otherwise."""
        (folder / "x.json").write_text("before")

        done = run(folder, "count", "a.json", "-o", "x.json", "--format", form)

        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            f"apitracker: x.json: --format {form} does not write json: leave one out\n"
        )
        assert (folder / "x.json").read_text() == "before"

    def test_of_a_report(self, folder: Path) -> None:
        """A report is HTML, whatever the file is called; so it is not called otherwise."""
        done = run(folder, "report", "-o", "x.json")

        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            "apitracker: x.json: a report is HTML: name it accordingly, like usage.html\n"
        )
        assert not (folder / "x.json").exists()


@pytest.mark.parametrize("by", ["", ",", " "])
def test_no_field(folder: Path, by: str) -> None:
    """An empty --by, as of a variable that is not set, is refused."""
    done = run(folder, "count", "a.json", "--by", by)

    assert (done.returncode, done.stdout) == (2, "")
    assert "name a field; choose from second, minute" in done.stderr


@pytest.mark.parametrize("setting", ["KEEP", "INCLUDE", "EXCLUDE"])
@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ("foo=1", "foo: no such field; choose from second"),
        ("eventName", "eventName: write FIELD=GLOB"),
        ("outcome=throttle", "outcome=throttle: matches none of its values: ok, "),
    ],
)
def test_rules(folder: Path, setting: str, rule: str, fault: str) -> None:
    """A rule among the settings is checked by whatever command, and named."""
    done = run(folder, "top", **{f"APITRACKER_{setting}": rule})

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"apitracker: APITRACKER_{setting}: {fault}")


@pytest.mark.parametrize(
    "args",
    [
        ["count", "a.json", "--where", "eventName=\udcff"],
        ["top", "--where", "eventName=\udcff"],
        ["report", "-o", "x.html", "--where", "eventName=\udcff"],
        ["verify", "--stack", "\udcff"],
        ["alarm", "ec2:\udcff", "--above", "1"],
        ["count", "s3://bucket/\udcff"],
        ["count", "\udcff"],
        ["top", "--store", "\udcff"],
        ["top", "--by", "\udcff"],
        ["top", "--since", "\udcff"],
    ],
    ids=ascii,
)
def test_bytes_that_are_not_utf_8(folder: Path, args: list[str]) -> None:
    """Any bytes may be typed: a line names the fault, without a traceback."""
    done = run(folder, *args)

    assert done.returncode in {1, 2, 3}
    assert r"\udcff" in done.stderr
    assert "Traceback" not in done.stderr
    assert "codec" not in done.stderr


FIELD = real.DATA / "field"


@pytest.mark.skipif(not FIELD.is_dir(), reason="the logs to try against are not here")
class TestField:
    """Buckets as people have them."""

    def test_mixed_bucket(self, tmp_path: Path) -> None:
        """Other services' files are summed up in one line, and do not change the exit code."""
        done = run(tmp_path, "count", FIELD / "mixed-bucket" / "AWSLogs", "--format", "csv")

        assert (done.returncode, done.stdout) == (
            0,
            "eventSource,eventName,calls\nec2.amazonaws.com,DescribeInstances,2\n",
        )
        assert done.stderr.splitlines() == [
            (
                "left out: 9 files of other services (4 of Config, 1 of GuardDuty, 1 of WAFLogs, "
                "1 of elasticloadbalancing, 1 of vpcdnsquerylogs, 1 of vpcflowlogs); "
                "name their folder to read them"
            ),
            "1 logs; 2 records: 2 counted, 0 duplicate, 0 skipped, 0 rejected",
        ]

    def test_digests_that_a_shell_names(self, tmp_path: Path) -> None:
        """A digest among the files that are named is skipped."""
        digests = sorted(FIELD.rglob("*CloudTrail-Digest*.gz"))

        done = run(tmp_path, "count", *digests)

        assert (len(digests), done.returncode) == (2, 0)
        assert "2 skipped (2 digest), 0 rejected" in done.stderr

    def test_late(self, tmp_path: Path) -> None:
        """An event that was delivered days later is counted when it happened."""
        period = ["--since", "2026-11-20", "--until", "2026-11-21"]

        done = run(tmp_path, "count", FIELD / "late" / "AWSLogs", *period, "--format", "csv")

        assert done.stdout.splitlines()[1:] == ["ec2.amazonaws.com,DescribeInstances,3"]

    def test_layouts(self, tmp_path: Path) -> None:
        """Only hive's folders, which are nobody's layout, are opened for another day."""
        done = run(tmp_path, "count", FIELD / "layouts", "--since", "2026-11-19", "--by", "day")

        assert done.stdout.splitlines()[1:] == ["   12  2026-11-20"]
        assert done.stderr.splitlines()[-1].startswith("13 logs, 1 unreadable; ")
