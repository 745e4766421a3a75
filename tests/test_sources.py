"""Files, folders, patterns and standard input as sources. S3 is in aws/test_s3_sources.py."""

import hashlib
import io
import os
import pickle
import socket
import subprocess
import sys
from calendar import timegm
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apitracker.core.balance import LeftOut
from apitracker.errors import SourceError
from apitracker.logs.sources import Found, fetch_log, find

REGION = "AWSLogs/111122223333/CloudTrail/eu-west-1"
JULY_10 = timegm((2023, 7, 10, 0, 0, 0))
DAY = 86_400


def plant(folder: Path, *names: str) -> Path:
    """Write files that hold their own names; the folder."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


def below(folder: Path, found: Iterable[Found]) -> list[str]:
    """The names found, seen from *folder*."""
    return [os.path.relpath(f.name, folder) for f in found]


class TestFile:
    """A file that is named."""

    def test_is_found_by_the_name_given(self, tmp_path: Path) -> None:
        """It comes back with its name as it was typed, and its size."""
        file = plant(tmp_path, "a.json") / "a.json"

        assert [(str(file), 6)] == [f[:2] for f in find(str(file))]

    def test_missing(self) -> None:
        """What is not there is named, with what to do."""
        with pytest.raises(SourceError, match=r"^no/log\.json: there is no such .*: check"):
            list(find("no/log.json"))

    def test_below_a_file(self, tmp_path: Path) -> None:
        """A file has nothing below it."""
        plant(tmp_path, "a.json")

        with pytest.raises(SourceError, match=r"a\.json/b: it cannot be read: Not a directory"):
            list(find(f"{tmp_path}/a.json/b"))

    def test_empty_name(self) -> None:
        """An empty name is not the current folder."""
        with pytest.raises(SourceError, match="an empty name"):
            list(find(""))

    @pytest.mark.parametrize(
        "name",
        [
            ".hidden",
            "CloudTrail-Digest/d.json.gz",
            "CloudTrail-Insight/i.json.gz",
            f"{REGION}/1999/01/01/l.json.gz",
        ],
    )
    def test_named_is_found(self, tmp_path: Path, name: str) -> None:
        """What would be left out of a folder is found when it is named, at any time."""
        file = str(plant(tmp_path, name) / name)

        found = list(find(file, since=JULY_10, until=JULY_10 + 1))
        assert [(file, len(name))] == [(f.name, f.size) for f in found]

    def test_pipe_has_no_size(self, tmp_path: Path) -> None:
        """A pipe may be named, as a shell's <(…) does."""
        os.mkfifo(tmp_path / "pipe")

        assert [(f"{tmp_path}/pipe", -1, "")] == list(find(f"{tmp_path}/pipe"))


class TestFolder:
    """A folder, with all below it."""

    def test_is_walked_in_order_of_code_points(self, tmp_path: Path) -> None:
        """The order is that of the names in each folder, whatever the file system's is."""
        plant(tmp_path, "é", "a/2", "a/10", "b", "B", "a.json", "a/b/c")

        assert below(tmp_path, find(str(tmp_path))) == [
            "B",
            "a/10",
            "a/2",
            "a/b/c",
            "a.json",
            "b",
            "é",
        ]

    def test_names_begin_as_typed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file called ``-`` in the current folder is not taken for standard input."""
        plant(tmp_path, "-")
        monkeypatch.chdir(tmp_path)

        assert [f[:2] for f in find(".")] == [("./-", 1)]

    def test_leaves_out_what_is_no_log(self, tmp_path: Path) -> None:
        """Digests, insights and hidden files are left out, foreign files are not."""
        plant(
            tmp_path,
            "AWSLogs/1/CloudTrail/l.json.gz",
            "AWSLogs/1/CloudTrail-Digest/d.json.gz",
            "AWSLogs/1/CloudTrail-Insight/i.json.gz",
            "AWSLogs/1/Config/c.json.gz",
            ".DS_Store",
            ".git/config",
            "notes.txt",
        )

        assert below(tmp_path, find(str(tmp_path))) == [
            "AWSLogs/1/CloudTrail/l.json.gz",
            "AWSLogs/1/Config/c.json.gz",
            "notes.txt",
        ]

    @pytest.mark.parametrize("name", [".hidden", "CloudTrail-Digest"])
    def test_named_is_walked(self, tmp_path: Path, name: str) -> None:
        """A folder that would be left out of another is walked when it is named."""
        plant(tmp_path, f"{name}/a/b")

        assert [f"{name}/a/b"] == below(tmp_path, find(f"{tmp_path}/{name}"))

    @pytest.mark.parametrize("names", [(), (".hidden", "CloudTrail-Digest/d")])
    def test_without_logs(self, tmp_path: Path, names: tuple[str, ...]) -> None:
        """A folder without a log is an error."""
        plant(tmp_path, *names)

        with pytest.raises(SourceError, match=f"^{tmp_path}: there are no log files in it"):
            list(find(str(tmp_path)))
        with pytest.raises(SourceError, match=f"^{tmp_path}: there are no log files in it"):
            list(find(str(tmp_path), since=JULY_10))

    def test_leaves_out_what_is_no_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A pipe would be waited for and a socket cannot be read."""
        plant(tmp_path, "log")
        os.mkfifo(tmp_path / "pipe")
        monkeypatch.chdir(tmp_path)  # the address of a socket must be short

        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind("socket")

            assert [f[:2] for f in find(".")] == [("./log", 3)]

    def test_with_links_in_circles(self, tmp_path: Path) -> None:
        """A folder is entered once, however many ways lead to it."""
        plant(tmp_path, "a/log", "b/log")
        (tmp_path / "a" / "up").symlink_to(tmp_path)
        (tmp_path / "b" / "down").symlink_to(tmp_path / "a")
        (tmp_path / "latest").symlink_to(tmp_path / "b")

        assert below(tmp_path, find(str(tmp_path))) == ["a/log", "b/log"]

    def test_follows_links(self, tmp_path: Path) -> None:
        """What a link leads to is found under the name of the link."""
        plant(tmp_path, "elsewhere/day/log", "here/log")
        (tmp_path / "here" / "day").symlink_to(tmp_path / "elsewhere" / "day")

        assert below(tmp_path, find(f"{tmp_path}/here")) == ["here/day/log", "here/log"]

    def test_with_a_broken_link(self, tmp_path: Path) -> None:
        """A link to nothing is found, so that reading it can name it, and so is the rest."""
        plant(tmp_path, "log")
        (tmp_path / "broken").symlink_to("nowhere")
        (tmp_path / "itself").symlink_to("itself")

        assert below(tmp_path, find(str(tmp_path))) == ["broken", "itself", "log"]
        with pytest.raises(SourceError, match="broken: there is no such file"):
            fetch_log(f"{tmp_path}/broken")
        with pytest.raises(SourceError, match="itself: it cannot be read: Too many levels"):
            fetch_log(f"{tmp_path}/itself")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_that_may_not_be_entered(self, tmp_path: Path) -> None:
        """A closed folder is found as it is, so that reading names it, and so is the rest."""
        plant(tmp_path, "closed/log", "log")
        (tmp_path / "closed").chmod(0)

        assert below(tmp_path, find(str(tmp_path))) == ["closed", "log"]
        with pytest.raises(SourceError, match="closed: permission denied"):
            fetch_log(f"{tmp_path}/closed")


def left_out(source: str) -> list[LeftOut]:
    """What is left out of *source*, when all else is found."""
    found = find(source)
    while True:
        try:
            next(found)
        except StopIteration as end:
            return sorted(end.value)


class TestOtherServices:
    """What other services than CloudTrail deliver to the same bucket."""

    LOG = f"{REGION}/2023/07/10/l.json.gz"
    CONFIG = "AWSLogs/111122223333/Config/us-east-1/2023/7/10/c.json.gz"

    @pytest.mark.parametrize(
        "account",
        [
            "AWSLogs/111122223333",
            "some/prefix/AWSLogs/111122223333",
            "AWSLogs/o-a1b2c3d4e5/111122223333",
            "o-a1b2c3d4e5/AWSLogs/o-a1b2c3d4e5/111122223333",
        ],
    )
    def test_is_left_out_and_counted(self, tmp_path: Path, account: str) -> None:
        """Each folder comes back with its service and how many files are in it."""
        plant(
            tmp_path,
            f"{account}/CloudTrail/eu-west-1/2023/07/10/l",
            f"{account}/CloudTrail-NetworkActivity/eu-west-1/2023/07/10/n",
            f"{account}/CloudTrail-Aggregated/eu-west-1/2023/07/10/a",
            f"{account}/Config/eu-west-1/2023/7/10/ConfigHistory/c",
            f"{account}/Config/ConfigWritabilityCheckFile",
            f"{account}/vpcflowlogs/eu-west-1/2023/07/10/v",
        )

        assert below(tmp_path, find(str(tmp_path))) == [
            f"{account}/CloudTrail/eu-west-1/2023/07/10/l",
            f"{account}/CloudTrail-Aggregated/eu-west-1/2023/07/10/a",
            f"{account}/CloudTrail-NetworkActivity/eu-west-1/2023/07/10/n",
        ]
        assert left_out(str(tmp_path)) == [
            (f"{tmp_path}/{account}/Config", "Config", 2),
            (f"{tmp_path}/{account}/vpcflowlogs", "vpcflowlogs", 1),
        ]

    def test_is_left_out_of_flow_logs_named_for_hive(self, tmp_path: Path) -> None:
        """VPC's flow logs can have folders that say what they are."""
        folder = "AWSLogs/aws-account-id=111122223333/aws-service=vpcflowlogs"
        plant(tmp_path, self.LOG, f"{folder}/aws-region=eu-west-1/year=2023/v.log.gz")

        assert below(tmp_path, find(str(tmp_path))) == [self.LOG]
        assert left_out(str(tmp_path)) == [(f"{tmp_path}/{folder}", "vpcflowlogs", 1)]

    def test_is_known_from_within(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The folder of an account is one, wherever the source begins."""
        plant(tmp_path, self.LOG, self.CONFIG)
        monkeypatch.chdir(tmp_path / "AWSLogs" / "111122223333")

        assert [f.name for f in find(".")] == ["./CloudTrail/eu-west-1/2023/07/10/l.json.gz"]
        assert left_out(".") == [("./Config", "Config", 1)]

    @pytest.mark.parametrize("source", ["", "/us-east-1", "/us-east-1/2023/7/10/c.json.gz"])
    def test_is_found_when_it_is_named(self, tmp_path: Path, source: str) -> None:
        """The folder, one in it, or a file in it can be named."""
        plant(tmp_path, self.LOG, self.CONFIG)
        named = f"{tmp_path}/AWSLogs/111122223333/Config{source}"

        assert below(tmp_path, find(named)) == [self.CONFIG]

    @pytest.mark.parametrize("pattern", ["**/*.gz", "AWSLogs/*", "AWSLogs/*/*", "**"])
    def test_is_left_out_of_a_pattern(self, tmp_path: Path, pattern: str) -> None:
        """A pattern that does not name it means CloudTrail's logs."""
        plant(tmp_path, self.LOG, self.CONFIG)

        assert below(tmp_path, find(f"{tmp_path}/{pattern}")) == [self.LOG]
        assert left_out(f"{tmp_path}/{pattern}") == [
            (f"{tmp_path}/AWSLogs/111122223333/Config", "Config", 1)
        ]

    def test_is_found_by_a_pattern_that_names_it(self, tmp_path: Path) -> None:
        """A pattern with the service's name in it means the service."""
        plant(tmp_path, self.LOG, self.CONFIG)

        assert below(tmp_path, find(f"{tmp_path}/AWSLogs/*/Config/**/*.gz")) == [self.CONFIG]

    @pytest.mark.parametrize(
        "name",
        [
            "AWSLogs/111122223333/eu-west-1/2023/07/10/l",
            "AWSLogs/111122223333/2023/07/10/l",
            "AWSLogs/111122223333/l",
            "AWSLogs/1111/Config/l",
            "logs/111122223333/Config/l",
        ],
    )
    def test_is_nothing_else(self, tmp_path: Path, name: str) -> None:
        """Where the layout does not tell, files are read."""
        plant(tmp_path, name)

        assert below(tmp_path, find(str(tmp_path))) == [name]

    def test_alone_is_no_source(self, tmp_path: Path) -> None:
        """A folder with nothing else is an error that says why."""
        plant(tmp_path, self.CONFIG)

        with pytest.raises(SourceError, match=r"other services' folders are read only when they"):
            list(find(str(tmp_path)))

    def test_markers_are_no_logs(self, tmp_path: Path) -> None:
        """Files that services put into a bucket for themselves are left out like hidden ones."""
        plant(
            tmp_path,
            "_SUCCESS",
            "AWSLogs_$folder$",
            "AWSLogs/111122223333/ELBAccessLogTestFile",
            "aws-logs-write-test",
            "l",
        )

        assert below(tmp_path, find(str(tmp_path))) == ["l"]
        assert below(tmp_path, find(f"{tmp_path}/_SUCCESS")) == ["_SUCCESS"]


class TestPattern:
    """A glob that the shell has left to us."""

    class Case(NamedTuple):
        """A pattern, and what it finds."""

        pattern: str
        found: list[str]

    @pytest.mark.parametrize(
        "case",
        [
            Case("*.json", ["a.json", "b.json"]),
            Case("?.json", ["a.json", "b.json"]),
            Case("[b-z].json", ["b.json"]),
            Case("sub/*", ["sub/c.json", "sub/deep/d.txt"]),
            Case("**/*.json", ["a.json", "b.json", "sub/c.json"]),
            Case("**", ["a.json", "b.json", "sub/c.json", "sub/deep/d.txt"]),
            Case("**/*", ["a.json", "b.json", "sub/c.json", "sub/deep/d.txt"]),
            Case("s*", ["sub/c.json", "sub/deep/d.txt"]),
            Case("*/../a.json", ["a.json"]),
            Case("*/CloudTrail-Digest/*", ["sub/CloudTrail-Digest/x.json"]),
            Case("sub/.hidden/*", ["sub/.hidden/y.json"]),
        ],
        ids=lambda case: case.pattern,
    )
    def test_finds(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
        """Files, and all below folders, each once; digests and hidden files only if named."""
        plant(
            tmp_path,
            "a.json",
            "b.json",
            "sub/c.json",
            "sub/deep/d.txt",
            "sub/CloudTrail-Digest/x.json",
            "sub/.hidden/y.json",
        )
        monkeypatch.chdir(tmp_path)

        assert case.found == below(tmp_path, find(f"{tmp_path}/{case.pattern}"))
        assert case.found == below(tmp_path, find(case.pattern))

    def test_name_with_such_characters(self, tmp_path: Path) -> None:
        """A file whose name looks like a pattern is meant before what it would match."""
        plant(tmp_path, "[a].json", "a.json")

        assert below(tmp_path, find(f"{tmp_path}/[a].json")) == ["[a].json"]

    def test_matches_nothing(self, tmp_path: Path) -> None:
        """A pattern that matches nothing is an error that names it."""
        with pytest.raises(SourceError, match=r"\*\.json: nothing matches this pattern: check"):
            list(find(f"{tmp_path}/*.json"))

    def test_with_links_in_circles(self, tmp_path: Path) -> None:
        """``**`` ends, and finds a file once."""
        plant(tmp_path, "a/log", "b/log")
        for folder in "ab":
            for link in "xy":
                (tmp_path / folder / link).symlink_to(tmp_path)

        assert below(tmp_path, find(f"{tmp_path}/**/log")) == ["a/log", "b/log"]


class TestStandardInput:
    """The source ``-``."""

    def test_is_found_without_looking(self) -> None:
        """It is there, and of unknown size."""
        assert list(find("-", since=JULY_10)) == [("-", -1, "")]

    def test_is_read_whole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is one log of bytes."""
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\x1f\x8b\xff")))

        log = fetch_log("-")

        assert (log.name, log.body) == ("-", b"\x1f\x8b\xff")

    def test_is_closed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Python has no standard input when it was started without one."""
        monkeypatch.setattr(sys, "stdin", None)

        with pytest.raises(SourceError, match=r"^-: standard input is closed"):
            fetch_log("-")


DAYS = [
    "2022/12/31",
    "2023/06/30",
    "2023/07/09",
    "2023/07/10",
    "2023/07/11",
    "2023/08/09",
    "2023/08/10",
    "2024/01/01",
]


class TestDays:
    """Event times, and the folders by day of delivery."""

    class Case(NamedTuple):
        """A period, and the days of `DAYS` on which its events may have been delivered."""

        since: int | None
        until: int | None
        days: list[str]

    @pytest.mark.parametrize(
        "case",
        [
            Case(None, None, DAYS),
            Case(JULY_10, None, DAYS[3:]),
            Case(JULY_10 - 1, None, DAYS[2:]),
            Case(JULY_10 + DAY - 1, None, DAYS[3:]),
            Case(None, JULY_10, DAYS[:5]),
            Case(None, JULY_10 + 1, DAYS[:6]),
            Case(None, JULY_10 + DAY, DAYS[:6]),
            Case(None, JULY_10 + DAY + 1, DAYS[:7]),
            Case(JULY_10, JULY_10 + DAY, DAYS[3:6]),
            Case(JULY_10 - 2 * DAY, JULY_10 - DAY, DAYS[2:5]),
        ],
    )
    @pytest.mark.parametrize("root", ["", f"/{REGION}", f"/{REGION}/202*", "/AWSLogs/*/CloudTrail"])
    def test_are_those_of_the_period_and_thirty_more(
        self, tmp_path: Path, case: Case, root: str
    ) -> None:
        """The day of *since* is the first; thirty days after *until* is the last."""
        plant(tmp_path, *(f"{REGION}/{day}/log" for day in DAYS))

        found = find(f"{tmp_path}{root}", since=case.since, until=case.until)

        assert [f"{REGION}/{day}/log" for day in case.days] == below(tmp_path, found)

    def test_nothing_of_the_period(self, tmp_path: Path) -> None:
        """It is no empty answer: where was looked is said, and which log is the newest."""
        plant(tmp_path, *(f"{REGION}/{day}/log" for day in DAYS))

        for since, until, days in (
            (JULY_10 + 250 * DAY, None, "from 2024/03/16"),
            (JULY_10 + 99 * DAY, JULY_10 + 100 * DAY, "from 2023/10/17 to 2023/11/16"),
            (None, 9 * DAY, "to 1970/02/08"),
        ):
            with pytest.raises(SourceError) as raised:
                list(find(str(tmp_path), since=since, until=until))
            assert f"{tmp_path}: no log there may hold calls of that time" in str(raised.value)
            assert f": looked at the folders of the days {days}" in str(raised.value)
            assert str(raised.value).endswith(
                f"; the newest one is {tmp_path}/{REGION}/{DAYS[-1]}/log"
            )

    def test_nothing_delivered_in_the_last_hours(self, tmp_path: Path) -> None:
        """Logs of the day that came before the time asked for are looked at by name."""
        names = [
            f"{REGION}/2023/07/{day}/111122223333_CloudTrail_eu-west-1_{stamp}Z_x.gz"
            for day, stamp in (
                ("09", "20230709T2355"),
                ("10", "20230710T0005"),
                ("10", "20230710T1005"),
                ("10", "20230710T0910"),
            )
        ]
        plant(tmp_path, *names)

        with pytest.raises(SourceError) as raised:
            list(find(str(tmp_path), since=JULY_10 + 12 * 3600))
        assert str(raised.value) == (
            f"{tmp_path}: no log there may hold calls of that time: looked at the folders of the"
            " days from 2023/07/10, at logs delivered from 2023-07-10T11:45Z on; the last one"
            f" before that is {tmp_path}/{names[2]}"
        )

    @pytest.mark.parametrize("folder", ["CloudTrail-NetworkActivity", "CloudTrail-Aggregated"])
    @pytest.mark.parametrize("region", ["eu-isoe-west-1", "us-isob-east-1", "ap-southeast-7"])
    def test_of_other_events(self, tmp_path: Path, folder: str, region: str) -> None:
        """Network activity and aggregated events are filed by day too, in any region."""
        at = f"AWSLogs/111122223333/{folder}/{region}"
        named = f"111122223333_{folder}_{region}_20230709T1144Z_a.json.gz"
        plant(tmp_path, f"{at}/2023/07/09/l", f"{at}/2023/07/10/l", f"{at}/2023/07/10/{named}")

        assert below(tmp_path, find(str(tmp_path), since=JULY_10)) == [f"{at}/2023/07/10/l"]

    def test_of_an_organisation(self, tmp_path: Path) -> None:
        """Every account and region of an organisation is looked into."""
        for region in ("us-gov-west-1", "cn-north-1", "eusc-de-east-1"):
            at = f"p/AWSLogs/o-a1b2/111122223333/CloudTrail/{region}"
            plant(tmp_path, f"{at}/2023/07/09/old", f"{at}/2023/07/10/{region}")

        found = find(str(tmp_path), since=JULY_10)

        assert [Path(f.name).name for f in found] == [
            "cn-north-1",
            "eusc-de-east-1",
            "us-gov-west-1",
        ]

    @pytest.mark.parametrize(
        "name",
        [
            "2023/01/01/log",
            "CloudTrail/2023/01/01/log",
            "CloudTrail/backup/2023/01/01/log",
            "CloudTrail/eu-west-1/20230101/log",
            "CloudTrail/eu-west-1/2023-01/log",
            "CloudTrail/eu-west-1/log",
            "notCloudTrail/eu-west-1/2023/01/01/log",
        ],
    )
    def test_elsewhere_say_nothing(self, tmp_path: Path, name: str) -> None:
        """Dates in folders that CloudTrail did not make may mean anything."""
        plant(tmp_path, name)

        assert [name] == below(tmp_path, find(str(tmp_path), since=JULY_10))

    @given(
        happened=st.integers(0, 30 * DAY),
        delay=st.integers(0, 30 * DAY),
        before=st.integers(0, 9 * DAY),
        after=st.integers(1, 9 * DAY),
    )
    def test_lose_nothing_that_is_less_than_thirty_days_late(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        happened: int,
        delay: int,
        before: int,
        after: int,
    ) -> None:
        """An event of the period that was delivered within thirty days of it is found."""
        folder = tmp_path_factory.getbasetemp() / "month"
        if not folder.exists():
            plant(
                folder,
                *(f"{REGION}/2023/07/{d:02}/log" for d in range(1, 32)),
                *(f"{REGION}/2023/08/{d:02}/log" for d in range(1, 32)),
            )
        day = (happened + delay) // DAY
        delivered = f"2023/07/{day + 1:02}" if day < 31 else f"2023/08/{day - 30:02}"
        event = timegm((2023, 7, 1, 0, 0, 0)) + happened

        found = find(str(folder), since=event - before, until=event + after)

        assert f"{REGION}/{delivered}/log" in below(folder, found)


class TestRead:
    """A file that was found."""

    def test_gives_the_bytes_as_they_are(self, tmp_path: Path) -> None:
        """Nothing is unpacked, and the id is the SHA-256 of the file."""
        (tmp_path / "log").write_bytes(b"\x1f\x8b\x00\n")

        log = fetch_log(f"{tmp_path}/log")

        assert (f"{tmp_path}/log", b"\x1f\x8b\x00\n") == (log.name, log.body)
        assert hashlib.sha256(b"\x1f\x8b\x00\n").hexdigest() == log.id

    def test_after_it_vanished(self, tmp_path: Path) -> None:
        """A file that went away in between is named, and the cause is kept."""
        with pytest.raises(SourceError, match="gone: there is no such file") as raised:
            fetch_log(f"{tmp_path}/gone")

        assert isinstance(raised.value.__cause__, FileNotFoundError)

    def test_of_a_folder(self, tmp_path: Path) -> None:
        """A folder is no log."""
        with pytest.raises(SourceError, match=": it is a folder: name a file"):
            fetch_log(str(tmp_path))


def test_found_travels() -> None:
    """What is found can be sent to another process."""
    found = Found("s3://bucket/key", 7, "etag")

    assert found == pickle.loads(pickle.dumps(found))  # noqa: S301 - our own


def test_finding_files_loads_no_boto3() -> None:
    """Reading files does not wait for boto3 to be imported."""
    program = (
        "import sys; from apitracker.logs.sources import find; next(find(sys.executable)); "
        "sys.exit('boto3' in sys.modules or 'botocore' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


class TestUnchanged:
    """What tells that a log need not be read again."""

    def test_a_file_that_changes_has_another_etag(self, tmp_path: Path) -> None:
        """The etag of a file stays while the file does, and no longer."""
        file = tmp_path / "a.json"
        file.write_text("one")
        os.utime(file, ns=(1, 1))
        state = file.stat()
        before = [found.etag for found in find(str(file))]
        again = [found.etag for found in find(str(file))]
        os.utime(file, ns=(2, 2))

        assert before == again == [f"{state.st_ino}-{state.st_ctime_ns}-1-3"]
        (changed,) = [found.etag for found in find(str(file))]
        assert changed.startswith(f"{state.st_ino}-")
        assert changed.endswith("-2-3")

    def test_a_file_that_looks_the_same_has_another_etag(self, tmp_path: Path) -> None:
        """Written anew with as many bytes and the time set back, it is still another state."""
        file = tmp_path / "a.json"
        file.write_text("one")
        before = file.stat()
        (old,) = find(str(file))
        while file.stat().st_ctime_ns == before.st_ctime_ns:  # the clock of files may be coarse
            file.write_text("two")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        (new,) = find(str(file))

        assert (old.name, old.size) == (new.name, new.size)
        assert file.stat().st_mtime_ns == before.st_mtime_ns
        assert old.etag != new.etag

    def test_a_path_is_the_same_from_any_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A relative name is of the folder that it is used in; S3 and pipes have none."""
        monkeypatch.chdir(tmp_path)

        assert Found("x/../a.json", 1).path == f"{tmp_path}/a.json"
        assert Found("./-", 1).path == f"{tmp_path}/-"
        assert [Found(name, 1).path for name in ("s3://b/../k", "-")] == ["s3://b/../k", "-"]

    @pytest.mark.parametrize(
        ("minute", "offered"), [("1144", False), ("1145", True), ("1200", True)]
    )
    def test_what_was_delivered_before_since_is_left_out(
        self, tmp_path: Path, minute: str, *, offered: bool
    ) -> None:
        """A log file whose name says that it was delivered before *since* holds nothing of it."""
        file = (
            tmp_path
            / f"111122223333_CloudTrail_us-east-1_20230710T{minute}Z_abcdefghijklmnop.json.gz"
        )
        file.write_text("{}")
        (tmp_path / "other.json").write_text("{}")
        found = list(find(str(tmp_path), since=JULY_10 + 12 * 3600 + 30))

        assert (str(file) in {each.name for each in found}) is offered
