"""The Lambda from end to end: against CloudWatch over HTTP, and under AWS's runtime client."""

import importlib.util
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import pytest
from tests import embedded, runtime
from tests.payloads import CONTROL, MINUTE, Context, FakeClock, Json, event, record
from tests.runtime import CloudWatch, Outcome, Runtime

from apitracker.core.metric_sets import MetricSelection
from apitracker.errors import LogError, ServiceError, SettingsError
from apitracker.settings import Settings
from apitracker.tracker import handler
from apitracker.tracker.handler import handle, make_tracker
from apitracker.tracker.put_metric_data import UnpublishedError
from apitracker.tracker.signing import Connection, Response
from apitracker.tracker.tracking import Tracker, assemble

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


@pytest.fixture
def tracker(poster: Connection, clock: FakeClock) -> Tracker:
    """A tracker that publishes to the test's CloudWatch."""
    return assemble(Settings(), poster, poster, clock)


class TestMake:
    """The tracker that the environment describes."""

    ENVIRON = {  # noqa: RUF012 - never written to
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "123456789012",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }

    def test_defaults(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Without settings it publishes as the predecessor did, and says what it lacks."""
        made = make_tracker(self.ENVIRON)
        assert (made.selection, made.settings, made.ledger) == (MetricSelection(), Settings(), None)
        [line] = capsys.readouterr().out.splitlines()
        assert json.loads(line) == {
            "level": "WARNING",
            "message": "there is no ledger: what is delivered again counts again",
        }

    def test_a_ledger(self, capsys: pytest.CaptureFixture[str]) -> None:
        """With a table there is nothing to say."""
        made = make_tracker(self.ENVIRON | {"APITRACKER_LEDGER": "ledger"})
        assert made.ledger
        assert made.ledger.table == "ledger"
        assert capsys.readouterr() == ("", "")

    def test_settings(self) -> None:
        """Namespace and rules come from the environment."""
        rules = {"INCLUDE": "eventSource=s3.* eventSource=ec2.* awsRegion=eu-*"}
        given = {
            "NAMESPACE": "Mine",
            "EXCLUDE": "readOnly=true",
            "METRICS": "callers, api",
            **rules,
        }
        made = make_tracker(
            self.ENVIRON | {f"APITRACKER_{name}": value for name, value in given.items()}
        )
        assert made.selection == MetricSelection(
            "Mine", ("api", "callers"), rules["INCLUDE"], "readOnly=true"
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
            ("APITRACKER_NAMESPACE", "x" * 241),
            ("APITRACKER_LEDGER", "a table"),
            ("APITRACKER_LEDGER_DOWN", "ignore"),
            ("APITRACKER_BUDGET", "0"),
            ("APITRACKER_BUDGET", "25001"),
            ("APITRACKER_KEEP", "errorCode=*"),
            ("APITRACKER_METRICS", "api,apis"),
            ("APITRACKER_METRICS", ""),
        ],
    )
    def test_bad_setting(self, name: str, value: str) -> None:
        """A bad value fails at the start, before any event is taken, and is named."""
        with pytest.raises(SettingsError, match=name):
            make_tracker(self.ENVIRON | {name: value})

    def test_unknown_setting(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A name that is no setting is warned about, once each, in a line of JSON."""
        strange = {"APITRACKER_NAMESPCE": "x", "APITRACKER_A\nB": ""}
        make_tracker(self.ENVIRON | {"APITRACKER_LEDGER": "ledger"} | strange)
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

    @pytest.mark.parametrize(
        ("memory", "given", "expected"),
        [
            ("128", "", 16_777_216),
            ("256", "", 50_331_648),
            ("512", "", 117_440_512),
            ("3008", "", 536_870_912),
            ("256", "1000000", 1_000_000),
            ("256", "536870912", 50_331_648),
            ("", "", 536_870_912),
        ],
    )
    def test_text_fits_into_memory(self, memory: str, given: str, expected: int) -> None:
        """A quarter of the memory beyond 64 MiB may be text, or less where a setting says so."""
        environ = self.ENVIRON | {
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": memory,
            "APITRACKER_MAX_LOG_BYTES": given,
        }
        made = make_tracker({name: value for name, value in environ.items() if value})
        assert made.settings.max_log_bytes == expected

    @pytest.mark.parametrize(
        ("name", "given", "expected"),
        [
            ("tracker", {}, "arn:aws-cn:lambda:us-east-1:111122223333:function:tracker"),
            ("tracker", {"APITRACKER_OWN_FUNCTION": "arn:other"}, "arn:other"),
            ("tracker", {"APITRACKER_OWN_ROLE": ""}, ""),
            ("tracker", {"APITRACKER_OWN_ROLE": "arn:odd"}, ""),
            ("", {}, ""),
        ],
    )
    def test_it_knows_itself(self, name: str, given: dict[str, str], expected: str) -> None:
        """Its own ARN is that of its name in its role's account, unless it is told another."""
        environ = {
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "APITRACKER_OWN_ROLE": "arn:aws-cn:iam::111122223333:role/path/tracker",
            **given,
        }
        assert make_tracker(self.ENVIRON | environ).settings.own_function == expected


@pytest.mark.parametrize(("seconds", "lasts"), [(900, 60), (120, 60), (30, 30)])
def test_a_claim_lasts_a_minute_at_most(
    seconds: int, lasts: int, poster: Connection, clock: FakeClock
) -> None:
    """Lambda tries again after a minute: a claim is over by then, however long it may run."""
    asked: list[Json] = []

    class Table:
        """A ledger that keeps what it is asked, and gives no leave to write."""

        def post(
            self, operation: str, body: bytes, *, deadline: float, gzipped: bool = False
        ) -> Response:
            del deadline, gzipped
            asked.append(json.loads(body).get("ExpressionAttributeValues", {}))
            if ":until" in asked[-1]:
                return Response(400, b"{}", "AccessDeniedException", "no")
            kept = {"Attributes": {"admitted": asked[-1].get(":metrics", {"BS": []})}}
            return Response(200, json.dumps(kept if operation == "UpdateItem" else {}).encode())

    class Long(Context):
        """An invocation that has so many seconds."""

        def get_remaining_time_in_millis(self) -> int:
            return seconds * 1_000

    tracker = assemble(Settings(ledger="ledger"), poster, Table(), clock)
    with pytest.raises(ServiceError, match="AccessDeniedException"):
        handle(event([record(1)]), Long(), tracker)

    assert asked[-1][":until"] == {"N": f"{clock.time + lasts:.3f}"}


class TestLine:
    """The log line."""

    def test_example(
        self, tracker: Tracker, capsys: pytest.CaptureFixture[str], clock: FakeClock
    ) -> None:
        """It says where each record is, and is the tracker's own metrics."""
        old = record(4, MINUTE - 15 * 86_400)
        records = [record(1), record(2, MINUTE + 10), record(2), old, {}, "no JSON"]

        handle(event(records), Context(), tracker)

        text = capsys.readouterr().out
        assert embedded.points([text]).keys() >= {
            ("API-COUNT/Tracker", "Counted", "Count", '{"FunctionName": "-"}'),
            ("API-COUNT/Tracker", "Lag", "Seconds", '{"FunctionName": "-"}'),
        }
        found = json.loads(text)
        assert found.pop("_aws")["Timestamp"] == clock.time * 1_000
        assert found == {
            "level": "INFO",
            "message": "tracked",
            "requestId": Context.aws_request_id,
            "log": found["log"],
            "name": "trail:stream",
            "excluded": 0,
            "batches": 1,
            "requests": 1,
            "datums": 1,
            "before": False,
            "rejectedRecords": [
                ["record 5", "no eventTime"],
                ["record 6", "is not a record: its JSON is wrong at byte 4"],
            ],
            "refusedData": [
                ["GetObject", 1_788_703_980, "older than two weeks, or more than two hours ahead"]
            ],
            "FunctionName": "-",
            "Received": 6,
            "Counted": 3,
            "Duplicates": 1,
            "Skipped": 0,
            "Rejected": 2,
            "Published": 2,
            "Refused": 1,
            "PublishRetries": 0,
            "Other": 0,
            "Lag": [10.0, 20.0, 1_296_020.0],
            "Duration": 0.0,
        }

    def test_in_doubt(
        self, tracker: Tracker, cloudwatch: CloudWatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A batch that may count twice is said before it is sent again, whatever comes then."""
        cloudwatch.answers = [runtime.RESET, runtime.DENIED]

        with pytest.raises(UnpublishedError):
            handle(event([record(1), record(2)]), Context(), tracker)

        first, second = map(json.loads, capsys.readouterr().out.splitlines())
        assert (first["level"], first["message"], first["batch"]) == (
            "WARNING",
            "in doubt",
            "api.0",
        )
        assert (first["InDoubt"], first["calls"], len(first["log"])) == (1, 2, 64)
        assert (second["level"], second["message"]) == ("ERROR", "failed")
        assert (second["Published"], second["PublishRetries"]) == (0, 1)
        assert second["fault"].startswith("0 of 1 batches were published, then AWS answered")
        assert "Received" not in second  # they are when the event comes again

    def test_control_message(
        self, tracker: Tracker, cloudwatch: CloudWatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It is acknowledged, and nothing else."""
        handle(CONTROL, Context(), tracker)

        assert json.loads(capsys.readouterr().out)["message"] == "control message"
        assert cloudwatch.requests == 0

    @pytest.mark.parametrize("bad", [None, {}, 5, event([], messageType="OTHER")])
    def test_not_an_event(self, bad: Json, tracker: Tracker) -> None:
        """An event that holds no log fails the invocation, so that Lambda keeps it."""
        with pytest.raises(LogError):
            handle(bad, Context(), tracker)

    def test_no_log(self, tracker: Tracker, capsys: pytest.CaptureFixture[str]) -> None:
        """An event without a log fails, and the line says why."""
        with pytest.raises(LogError):
            handle({}, Context(), tracker)

        line = json.loads(capsys.readouterr().out)
        assert line["fault"].startswith("event: is not a CloudWatch Logs subscription event")
        assert line["Duration"] == 0.0

    @pytest.mark.parametrize("text", HOSTILE, ids=ascii)
    def test_hostile_values(
        self,
        text: str,
        tracker: Tracker,
        cloudwatch: CloudWatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Whatever a record says, the summary is one line of JSON without control characters."""
        cloudwatch.bad = lambda _: runtime.INVALID._replace(message=f"bad: {text}")
        records = [record(1, eventName=text), record(2, eventTime=text), text]

        handle(event(records, group=f"g{text}"), Context(), tracker)

        line = capsys.readouterr().out
        assert line.endswith("\n")
        assert len(line.splitlines()) == 1
        assert line.rstrip("\n").isprintable()
        assert json.loads(line)["Rejected"] == 2

    def test_long_values(self, tracker: Tracker, capsys: pytest.CaptureFixture[str]) -> None:
        """The line stays below the 256 KB that one log event of CloudWatch Logs is sure to hold."""
        names = "x" * 200_000
        records = [record(at, eventTime=names, eventName=names) for at in range(12)]

        handle(event(records, group=names), Context(), tracker)

        assert len(capsys.readouterr().out) < 16_384


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

    def begin(name: str = "apitracker.tracker.handler.handler", **environ: str) -> Runtime:
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
    """The one line that an invocation logs, beside that of the start."""
    [only] = [each for each in outcome.lines if not each["message"].startswith("there is no")]
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
        assert (line(first)["Published"], line(second)["Published"], aws.calls()) == (3, 5, 8)
        assert len(aws.peers) == 1

    def test_error(self, start: Start, aws: CloudWatch) -> None:
        """An event that is no log is an error with its name; the process goes on with the next."""
        function = start()
        failed = function.invoke({"Records": []}, 1)
        assert (failed.kind, failed.body["errorType"]) == ("error", "LogError")
        assert failed.body["errorMessage"].startswith(
            "event: is not a CloudWatch Logs subscription event"
        )
        assert "[ERROR] LogError" in failed.logs
        done = function.invoke(event(now_records(1)), 2)
        assert (done.kind, done.cold, aws.calls()) == ("response", False, 1)

    def test_a_payload_beyond_the_memory(self, start: Start, aws: CloudWatch) -> None:
        """It is refused by name, in a function of 128 MB at 16 MiB; the process goes on."""
        function = start()
        long = event([record(at, userAgent="x" * 100_000) for at in range(168)])
        assert len(long["awslogs"]["data"]) < 200_000

        failed = function.invoke(long, 1)

        assert (failed.kind, failed.body["errorType"]) == ("error", "LogError")
        assert failed.body["errorMessage"] == (
            "event: holds more than 16,777,216 bytes when inflated; "
            "raise APITRACKER_MAX_LOG_BYTES, or the memory of a Lambda function, if that is right"
        )
        assert "event: holds more than 16,777,216 bytes" in line(failed)["fault"]
        done = function.invoke(event(now_records(1)), 2)
        assert (done.kind, done.cold, aws.calls()) == ("response", False, 1)

    def test_service_error(self, start: Start, aws: CloudWatch) -> None:
        """What CloudWatch denies fails the invocation, with CloudWatch's reason."""
        aws.answers = [runtime.DENIED]
        failed = start().invoke(event(now_records(1)))
        assert (failed.kind, failed.body["errorType"]) == ("error", "UnpublishedError")
        assert failed.body["errorMessage"] == (
            "0 of 1 batches were published, then "
            "AWS answered PutMetricData with AccessDenied: not authorized to perform"
        )

    def test_gives_up_before_the_time_is_over(self, start: Start, aws: CloudWatch) -> None:
        """Retries end before Lambda's timeout, so that an error is said, and nothing is killed."""
        aws.always = runtime.THROTTLED
        function = start(timeout="4")
        function.start()  # which may take longer than that

        failed = function.invoke(event(now_records(1)))

        assert (failed.kind, failed.body["errorType"]) == ("error", "UnpublishedError")
        assert "Throttling: Rate exceeded" in failed.body["errorMessage"]
        assert aws.requests > 1

    def test_timeout(self, start: Start, aws: CloudWatch, tmp_path: Path) -> None:
        """A function that is killed in its work is begun anew, cold, and does the next event."""
        (tmp_path / "slow.py").write_text(
            "import time\n"
            "from apitracker.tracker.handler import handler as real\n"
            "def handler(event, context):\n"
            "    if 'sleep' in event:\n"
            '        print(\'{"message": "sleeps"}\', flush=True)\n'
            "        time.sleep(event.pop('sleep'))\n"
            "    return real(event, context)\n"
        )
        path = f"{tmp_path}:{Path(handler.__file__).parents[2]}"
        function = start("slow.handler", PYTHONPATH=path)
        function.start()
        slow = {"sleep": 600, **event(now_records(1))}
        killed = function.invoke(slow, 1, until=lambda logs: "sleeps" in logs)
        assert (killed.kind, killed.lines[-1], aws.requests) == (
            "timeout",
            {"message": "sleeps"},
            0,
        )
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
        assert [entry["level"] for entry in first.lines] == ["WARNING", "WARNING", "INFO"]
        assert [entry["level"] for entry in second.lines] == ["INFO"]

    def test_new_credentials(self, start: Start, aws: CloudWatch, tmp_path: Path) -> None:
        """Credentials that Lambda changes while the process lives are used for the next request."""
        (tmp_path / "turn.py").write_text(
            "import os\n"
            "from apitracker.tracker.handler import handler as real\n"
            "def handler(event, context):\n"
            "    os.environ['AWS_ACCESS_KEY_ID'] = event.pop('key')\n"
            "    return real(event, context)\n"
        )
        path = f"{tmp_path}:{Path(handler.__file__).parents[2]}"
        function = start("turn.handler", PYTHONPATH=path)
        for key in ("FIRST", "SECOND"):
            function.invoke({"key": key, **event(now_records(1))})
        assert aws.keys == ["FIRST", "SECOND"]
