"""The Lambda from end to end: against CloudWatch over HTTP, and under AWS's runtime client."""

import base64
import csv
import gzip
import importlib.util
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from apitracker.account import handler
from apitracker.account.handler import Tracker, make_tracker, track
from apitracker.account.signing import CLOUDWATCH, Connection, Credentials
from apitracker.core.metrics import API, Rules
from apitracker.core.selection import parse_where
from apitracker.errors import ApiTrackerError, LogError, ServiceError, SettingsError
from apitracker.settings import Settings

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests import runtime
from tests.runtime import CloudWatch, Outcome, Runtime

Json: TypeAlias = Any
"""What `json` reads and writes."""

DATA = Path(__file__).parents[2] / "shared" / "data"
NOW = 1_790_000_000.0
MINUTE = 1_789_999_980
HEAVY = {"boto3", "botocore", "duckdb", "numpy", "click", "asyncio", "xxhash"}
RIC = importlib.util.find_spec("awslambdaric") is not None
ric = pytest.mark.skipif(
    not RIC and os.environ.get("CI") != "true", reason="awslambdaric is not installed"
)
HOSTILE = (
    "a\nb",
    "a\r\nb",
    "\x1b[2J",
    "\u2028{}\u2029",
    "\x85",
    "\x9b2J",
    "\u202e",
    "\x00",
    '"}\n{"level":"ERROR"',
    "\ud800",
    "</script>",
)


@dataclass
class FakeClock:
    """Time that goes on only while somebody sleeps."""

    time: float = NOW

    def now(self) -> float:
        """Seconds since 1970."""
        return self.time

    def sleep(self, seconds: float) -> None:
        """Let time go on."""
        self.time += seconds

    def random(self) -> float:
        """Give the same number each time."""
        return 0.5


@pytest.fixture
def clock() -> FakeClock:
    """A clock of the test's own."""
    return FakeClock()


@pytest.fixture
def cloudwatch(clock: FakeClock) -> Iterator[CloudWatch]:
    """A CloudWatch of the test's own, that goes by its clock."""
    with CloudWatch(clock.now).running() as server:
        yield server


@pytest.fixture
def tracker(cloudwatch: CloudWatch, clock: FakeClock) -> Iterator[Tracker]:
    """A tracker that publishes to the test's CloudWatch."""
    keys = Credentials("123456789012", "secret", "token")
    with Connection(
        CLOUDWATCH, "us-east-1", cloudwatch.url, credentials=lambda: keys, now=clock.now
    ) as poster:
        yield Tracker(Settings(), API, Rules(), poster, clock)


def record(number: int = 0, second: int = MINUTE, **fields: Json) -> dict[str, Json]:
    """A record as CloudTrail writes it."""
    return {
        "eventVersion": "1.11",
        "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/Alice"},
        "eventTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second)),
        "eventSource": "s3.amazonaws.com",
        "eventName": "GetObject",
        "awsRegion": "eu-west-1",
        "eventID": f"e-{number}",
        "readOnly": True,
        "eventType": "AwsApiCall",
        "eventCategory": "Management",
        **fields,
    }


def event(records: list[Json], group: str = "trail", **fields: Json) -> Json:
    """Deliver *records*, or texts that are none, as CloudWatch Logs does."""
    texts = [text if isinstance(text, str) else json.dumps(text) for text in records]
    payload = {
        "messageType": "DATA_MESSAGE",
        "owner": "111122223333",
        "logGroup": group,
        "logStream": "stream",
        "subscriptionFilters": ["CloudTrailLogFilter"],
        "logEvents": [
            {"id": f"{at:056}", "timestamp": 1_789_999_980_000, "message": text}
            for at, text in enumerate(texts)
        ],
        **fields,
    }
    body = gzip.compress(json.dumps(payload).encode(), 1)
    return {"awslogs": {"data": base64.b64encode(body).decode()}}


CONTROL = event(["CWL CONTROL MESSAGE: Checking health"], messageType="CONTROL_MESSAGE")


def real() -> list[Json]:
    """The real records of ``../shared/data``, in the order of their files."""
    if not DATA.is_dir():
        pytest.skip(f"real records are not here: {DATA}")
    return [
        record
        for path in sorted((DATA / "s3").rglob("*.json.gz"))
        for record in json.loads(gzip.decompress(path.read_bytes()))["Records"]
    ]


class TestTrack:
    """One event, from the envelope to CloudWatch."""

    def test_summary(self, tracker: Tracker, cloudwatch: CloudWatch) -> None:
        """Every record is in one place, and the summary says in which."""
        records = [
            record(1),
            record(2, MINUTE + 1),
            record(2, MINUTE + 1),
            record(3, eventName="PutObject", readOnly=False),
            record(4, int(NOW) - 15 * 86_400),
            {"eventCategory": "Insight", "eventID": "i-1"},
            "no JSON",
            record(5, eventTime="yesterday"),
        ]
        done = track(event(records), tracker, deadline=NOW + 5)
        assert done == {
            "log": done["log"] if done else None,
            "name": "trail:stream",
            "received": 8,
            "counted": 4,
            "duplicates": 1,
            "skipped": 1,
            "rejected": 2,
            "excluded": 0,
            "pages": 1,
            "requests": 1,
            "datums": 2,
            "calls": 3,
            "refused": 1,
            "retries": 0,
            "inDoubt": 0,
            "lag": 19.0,
            "rejectedRecords": [
                ["record 7", "is no record: JSON is malformed: invalid character (byte 4)"],
                ["record 8", "eventTime 'yesterday' is no time"],
            ],
            "refusedData": [
                ["GetObject", 1_788_703_980, "older than two weeks, or more than two hours ahead"]
            ],
        }
        assert cloudwatch.values() == {
            ("API-COUNT", "GetObject", "eu-west-1", "s3.amazonaws.com", str(MINUTE)): {1: 2},
            ("API-COUNT", "PutObject", "eu-west-1", "s3.amazonaws.com", str(MINUTE)): {1: 1},
        }

    def test_control_message(self, tracker: Tracker, cloudwatch: CloudWatch) -> None:
        """It is acknowledged, and nothing else."""
        assert track(CONTROL, tracker, deadline=NOW + 5) is None
        assert cloudwatch.requests == 0

    def test_an_empty_payload(self, tracker: Tracker, cloudwatch: CloudWatch) -> None:
        """Nothing to publish is no request, and nobody can say how late it is."""
        done = track(event([]), tracker, deadline=NOW + 5)
        assert done
        assert (done["received"], done["pages"], done["lag"]) == (0, 0, None)
        assert cloudwatch.requests == 0

    def test_rules(self, tracker: Tracker, cloudwatch: CloudWatch) -> None:
        """What rules leave out is not published, and is counted."""
        rules = Rules(parse_where(["eventSource=s3.*"]), parse_where(["readOnly=true"]))
        ruled = Tracker(tracker.settings, tracker.metrics, rules, tracker.poster, tracker.clock)
        records = [
            record(1),
            record(2, readOnly=False, eventName="PutObject"),
            record(3, readOnly=False, eventSource="ec2.amazonaws.com"),
        ]
        done = track(event(records), ruled, deadline=NOW + 5)
        assert done
        assert (done["counted"], done["excluded"], done["calls"]) == (3, 2, 1)
        assert cloudwatch.names() == ["PutObject"]

    @pytest.mark.parametrize("bad", [None, {}, 5, event([], messageType="OTHER")])
    def test_no_log(self, bad: Json, tracker: Tracker) -> None:
        """What is no log fails the invocation, so that Lambda keeps the event."""
        with pytest.raises(LogError):
            track(bad, tracker, deadline=NOW + 5)

    def test_what_is_not_published_fails(self, tracker: Tracker, cloudwatch: CloudWatch) -> None:
        """Where CloudWatch does not take it the invocation fails, and is tried again by Lambda."""
        cloudwatch.always = runtime.DENIED
        with pytest.raises(ServiceError, match="AccessDenied: not authorized"):
            track(event([record()]), tracker, deadline=NOW + 5)

    def test_1000_events(self, tracker: Tracker, cloudwatch: CloudWatch) -> None:
        """1,000 events of 20 seconds are one request."""
        dice = random.Random(1)  # noqa: S311 - no secret
        records = [
            record(at, MINUTE + dice.randrange(20), eventName=f"N{dice.randrange(40)}")
            for at in range(1000)
        ]
        done = track(event(records), tracker, deadline=NOW + 5)
        assert done
        assert (done["calls"], done["requests"], cloudwatch.calls()) == (1000, 1, 1000)
        expected: dict[str, Counter[int]] = {}
        seconds = Counter((r["eventName"], r["eventTime"]) for r in records)
        for (name, _), n in seconds.items():
            expected.setdefault(name, Counter())[n] += 1
        assert {where[1]: counts for where, counts in cloudwatch.values().items()} == expected

    def test_a_payload_of_megabytes(self, tracker: Tracker, cloudwatch: CloudWatch) -> None:
        """A payload of 5.5 MB in base64, the most that Lambda takes, is counted to the last."""
        dice = random.Random(2)  # noqa: S311 - no secret
        records = [
            record(at, MINUTE + at % 300, userAgent=dice.randbytes(95).hex())
            for at in range(30_000)
        ]
        given = event(records)
        assert 5_000_000 < len(given["awslogs"]["data"]) < 6_000_000
        done = track(given, tracker, deadline=NOW + 60)
        assert done
        assert (done["counted"], done["calls"], cloudwatch.calls()) == (30_000, 30_000, 30_000)
        assert done["datums"] == 5

    def test_real_records_are_the_golden_counts(
        self, tracker: Tracker, cloudwatch: CloudWatch, clock: FakeClock
    ) -> None:
        """Real records, each file moved in time as a whole, give the golden counts by minute."""
        records = real()
        with (DATA / "golden" / "by_minute.csv").open(newline="") as file:
            golden = list(csv.reader(file))[1:]
        minutes = sorted({minute for minute, *_ in golden})
        # Each minute that has calls is moved to one of its own within the last two weeks.
        begin = int(clock.time) // 60 * 60 - 13 * 86_400
        moved = {minute: begin + 60 * at for at, minute in enumerate(minutes)}
        expected: Counter[tuple[str, ...]] = Counter()
        for minute, name, region, source, n in golden:
            where = ("API-COUNT", name or "-", region or "-", source or "-")
            expected[(*where, str(moved[minute]))] += int(n)
        for number, found in enumerate(records):
            was = found["eventTime"]
            found["eventTime"] = time.strftime(
                f"%Y-%m-%dT%H:%M:{was[17:19]}Z", time.gmtime(moved[f"{was[:16]}Z"])
            )
            found["eventID"] = f"e-{number}"  # golden counts repeated ids
            (found.get("addendum") or {}).pop("originalEventID", None)
        for at in range(0, len(records), 1000):
            done = track(event(records[at : at + 1000]), tracker, deadline=clock.time + 60)
            assert done
            assert done["calls"] == done["received"] == len(records[at : at + 1000])
        found_calls = {w: sum(v * n for v, n in c.items()) for w, c in cloudwatch.values().items()}
        assert found_calls == expected
        assert sum(expected.values()) == len(records) == 4777


class TestMake:
    """The tracker that the environment describes."""

    ENVIRON = {  # noqa: RUF012 - never written to
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "123456789012",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }

    def test_defaults(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Without settings it publishes all calls as the predecessor did, and says nothing."""
        made = make_tracker(self.ENVIRON)
        assert (made.metrics, made.rules, made.settings) == (API, Rules(), Settings())
        assert capsys.readouterr() == ("", "")

    def test_settings(self) -> None:
        """Namespace and rules come from the environment."""
        rules = {"INCLUDE": "eventSource=s3.* eventSource=ec2.* awsRegion=eu-*"}
        given = {"NAMESPACE": "Mine", "EXCLUDE": "readOnly=true", **rules}
        made = make_tracker(
            self.ENVIRON | {f"APITRACKER_{name}": value for name, value in given.items()}
        )
        assert made.metrics.namespace == "Mine"
        assert made.rules == Rules(
            {"eventSource": ("s3.*", "ec2.*"), "awsRegion": ("eu-*",)}, {"readOnly": ("true",)}
        )

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("APITRACKER_MAX_LOG_BYTES", "many"),
            ("APITRACKER_INCLUDE", "eventSource"),
            ("APITRACKER_EXCLUDE", "user=Alice"),
            ("APITRACKER_NAMESPACE", ""),
            ("APITRACKER_NAMESPACE", ":mine"),
            ("APITRACKER_NAMESPACE", "AWS/Mine"),
            ("APITRACKER_NAMESPACE", "Größe"),
            ("APITRACKER_NAMESPACE", "x" * 256),
        ],
    )
    def test_bad_setting(self, name: str, value: str) -> None:
        """A bad value fails at the start, before any event is taken, and is named."""
        with pytest.raises(SettingsError, match=name):
            make_tracker(self.ENVIRON | {name: value})

    def test_unknown_setting(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A name that is no setting is warned about, once each, in a line of JSON."""
        make_tracker(self.ENVIRON | {"APITRACKER_NAMESPCE": "x", "APITRACKER_A\nB": ""})
        assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
            {"level": "WARNING", "message": "APITRACKER_A\nB: no such setting; it does nothing"},
            {
                "level": "WARNING",
                "message": "APITRACKER_NAMESPCE: no such setting; it does nothing",
            },
        ]

    def test_no_region(self) -> None:
        """Without a region nothing can be published, and that is said at once."""
        with pytest.raises(SettingsError, match="AWS_REGION"):
            make_tracker({})


class TestLine:
    """The log line."""

    @pytest.mark.parametrize("text", HOSTILE, ids=ascii)
    def test_hostile_values(
        self,
        text: str,
        tracker: Tracker,
        cloudwatch: CloudWatch,
        capsys: Any,  # noqa: ANN401
    ) -> None:
        """Whatever a record says, the summary is one line of JSON without control characters."""
        cloudwatch.bad = lambda _: runtime.INVALID._replace(message=f"bad: {text}")
        records = [record(1, eventName=text), record(2, eventTime=text), text]
        done = track(event(records, group=f"g{text}"), tracker, deadline=NOW + 5)
        assert done
        handler._log(done)  # noqa: SLF001 - how the handler writes it
        line = capsys.readouterr().out
        assert line.endswith("\n")
        assert len(line.splitlines()) == 1
        assert line.rstrip("\n").isprintable()
        assert json.loads(line)["rejected"] == 2

    def test_long_values(self, tracker: Tracker) -> None:
        """The line stays below the 256 KB that one log event of CloudWatch Logs is sure to hold."""
        records = [record(at, eventTime="x" * 200_000) for at in range(12)]
        done = track(event(records), tracker, deadline=NOW + 5)
        assert len(json.dumps(done)) < 262_144


def test_imports() -> None:
    """The Lambda's cold start pays for none of the libraries that others need."""
    script = (
        "import sys, apitracker.account.handler; "
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    folder = str(Path(handler.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {folder!r}); {script}"],
        env={},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert HEAVY & set(done.stdout.split()) == set()


Start: TypeAlias = Callable[..., Runtime]


@pytest.fixture
def aws() -> Iterator[CloudWatch]:
    """A CloudWatch that goes by the real time."""
    with CloudWatch().running() as server:
        yield server


@pytest.fixture
def start(aws: CloudWatch) -> Iterator[Start]:
    """Start the packaged handler's like, with more of an environment, as often as is wanted."""
    begun: list[Runtime] = []

    def begin(name: str = "apitracker.account.handler.handler", **environ: str) -> Runtime:
        seconds = float(environ.pop("timeout", "20"))
        environ = {
            "AWS_ENDPOINT_URL_CLOUDWATCH": aws.url,
            "PYTHONPATH": str(Path(handler.__file__).parents[2]),
            **environ,
        }
        begun.append(Runtime(name, environ, timeout=seconds))
        return begun[-1].__enter__()

    yield begin
    for each in begun:
        each.__exit__()


def now_records(n: int) -> list[Json]:
    """Records of the minute before this one."""
    before = datetime.now(UTC) - timedelta(minutes=1)
    return [record(at, int(before.timestamp())) for at in range(n)]


def line(outcome: Outcome) -> Json:
    """The one line that an invocation logs."""
    [only] = outcome.lines
    return only


@ric
class TestRuntime:
    """Under AWS's own runtime client."""

    def test_cold_and_warm(self, start: Start, aws: CloudWatch) -> None:
        """The first invocation starts the process; the second has the same connection."""
        function = start()
        first = function.invoke(event(now_records(3)), 1)
        second = function.invoke(event(now_records(5)), 2)
        third = function.invoke(CONTROL, 3)
        assert [(o.kind, o.body, o.cold) for o in (first, second, third)] == [
            ("response", None, True),
            ("response", None, False),
            ("response", None, False),
        ]
        assert line(first)["requestId"] == "00000000-0000-0000-0000-000000000001"
        assert [line(o)["message"] for o in (first, second, third)] == [
            "tracked",
            "tracked",
            "control message",
        ]
        assert (line(first)["calls"], line(second)["calls"], aws.calls()) == (3, 5, 8)
        assert len(aws.peers) == 1

    def test_error(self, start: Start, aws: CloudWatch) -> None:
        """An event that is no log is an error with its name; the process goes on with the next."""
        function = start()
        failed = function.invoke({"Records": []}, 1)
        assert (failed.kind, failed.body["errorType"]) == ("error", "LogError")
        assert failed.body["errorMessage"].startswith(
            "event: is no CloudWatch Logs subscription event"
        )
        assert "[ERROR] LogError" in failed.logs
        done = function.invoke(event(now_records(1)), 2)
        assert (done.kind, done.cold, aws.calls()) == ("response", False, 1)

    def test_service_error(self, start: Start, aws: CloudWatch) -> None:
        """What CloudWatch denies fails the invocation, with CloudWatch's reason."""
        aws.answers = [runtime.DENIED]
        failed = start().invoke(event(now_records(1)))
        assert (failed.kind, failed.body["errorType"]) == ("error", "ServiceError")
        assert failed.body["errorMessage"] == (
            "0 of 1 pages were published, then "
            "CloudWatch answered AccessDenied: not authorized to perform"
        )

    def test_gives_up_before_the_time_is_over(self, start: Start, aws: CloudWatch) -> None:
        """Retries end before Lambda's timeout, so that an error is said, and nothing is killed."""
        aws.always = runtime.THROTTLED
        failed = start(timeout="4").invoke(event(now_records(1)))
        assert (failed.kind, failed.body["errorType"]) == ("error", "ServiceError")
        assert "Throttling: Rate exceeded" in failed.body["errorMessage"]
        assert aws.requests > 1

    def test_timeout(self, start: Start, aws: CloudWatch, tmp_path: Path) -> None:
        """A function that is killed in its work is begun anew, cold, and does the next event."""
        (tmp_path / "slow.py").write_text(
            "import time\n"
            "from apitracker.account.handler import handler as real\n"
            "def handler(event, context):\n"
            "    time.sleep(event.pop('sleep', 0))\n"
            "    return real(event, context)\n"
        )
        path = f"{tmp_path}:{Path(handler.__file__).parents[2]}"
        function = start("slow.handler", PYTHONPATH=path, timeout="4")
        killed = function.invoke({"sleep": 60, **event(now_records(1))}, 1)
        assert (killed.kind, killed.logs, aws.requests) == ("timeout", "", 0)
        done = function.invoke(event(now_records(2)), 2)
        assert (done.kind, done.cold, aws.calls()) == ("response", True, 2)

    @pytest.mark.parametrize(
        ("name", "value", "kind"),
        [
            ("APITRACKER_MAX_LOG_BYTES", "many", "SettingsError"),
            ("APITRACKER_PROCESSES", "-1", "SettingsError"),
        ],
    )
    def test_init_error(self, name: str, value: str, kind: str, start: Start) -> None:
        """A bad setting fails at the start, with the setting's name."""
        failed = start(**{name: value}).invoke(event(now_records(1)))
        assert (failed.kind, failed.cold) == ("init", True)
        assert failed.body["errorType"] == kind
        assert name in failed.body["errorMessage"]

    def test_unknown_setting(self, start: Start) -> None:
        """It is warned about once in a process, not at each invocation."""
        function = start(APITRACKER_NAMESPCE="x")
        first, second = (function.invoke(event(now_records(1)), at) for at in (1, 2))
        assert [entry["level"] for entry in first.lines] == ["WARNING", "INFO"]
        assert [entry["level"] for entry in second.lines] == ["INFO"]

    def test_new_credentials(self, start: Start, aws: CloudWatch, tmp_path: Path) -> None:
        """Credentials that Lambda changes while the process lives are used for the next request."""
        (tmp_path / "turn.py").write_text(
            "import os\n"
            "from apitracker.account.handler import handler as real\n"
            "def handler(event, context):\n"
            "    os.environ['AWS_ACCESS_KEY_ID'] = event.pop('key')\n"
            "    return real(event, context)\n"
        )
        path = f"{tmp_path}:{Path(handler.__file__).parents[2]}"
        function = start("turn.handler", PYTHONPATH=path)
        for key in ("FIRST", "SECOND"):
            function.invoke({"key": key, **event(now_records(1))})
        assert aws.keys == ["FIRST", "SECOND"]


def test_errors_are_ours(tracker: Tracker) -> None:
    """Random events raise nothing but errors of our own tree."""
    dice = random.Random(3)  # noqa: S311 - no secret
    for _ in range(200):
        with suppress(ApiTrackerError):
            data = base64.b64encode(dice.randbytes(dice.randrange(60))).decode()
            track({"awslogs": {"data": data}}, tracker, deadline=NOW + 5)
