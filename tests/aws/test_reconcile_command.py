"""The trail's files against what a local CloudWatch has, with a local ledger."""

import csv
import gzip
import io
import json
import time
from calendar import timegm
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from tests import real
from tests.commands import run_in_account as run
from tests.payloads import event

from apitracker.core.datums import Datum, Dimension
from apitracker.jobs.publish import InterruptedRunError
from apitracker.jobs.reconcile import SentBefore, TopUp, send_top_ups
from apitracker.operations.connections import connect
from apitracker.operations.top_ups import (
    MetricMinute,
    TopUpRecord,
    TopUpRecords,
    read_top_ups,
    withdraw_top_ups,
    write_top_ups,
)
from apitracker.settings import Settings
from apitracker.tracker.envelopes import open_event
from apitracker.tracker.ledger import HeldError
from apitracker.tracker.retries import SystemClock
from apitracker.tracker.signing import CLOUDWATCH, Response, TransportError
from apitracker.tracker.tracking import assemble, track

DAY = 86_400
NOON = int(time.time()) // DAY * DAY - 2 * DAY + DAY // 2
AT = "%Y-%m-%dT%H:%M:%SZ"
LEDGER = {
    "Resources": {
        "Ledger": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                "TimeToLiveSpecification": {"AttributeName": "expires", "Enabled": True},
            },
        }
    }
}

needed = pytest.mark.skipif(not real.DATA.is_dir(), reason=f"{real.DATA} is not here")
Client = Callable[[str], Any]
Record = dict[str, Any]


def rows(text: str) -> list[tuple[str, ...]]:
    """The rows of CSV, without their header."""
    return [tuple(row) for row in csv.reader(io.StringIO(text))][1:]


def written(folder: Path, records: list[Record]) -> Path:
    """A folder with one log of *records*."""
    folder.mkdir()
    (folder / "a.json.gz").write_bytes(gzip.compress(json.dumps({"Records": records}).encode(), 1))
    return folder


def record(number: int, name: str = "Get", *, second: int = 0) -> Record:
    """A call two days ago, at noon and *second*."""
    return {
        "eventTime": f"{datetime.fromtimestamp(NOON + second, UTC):{AT}}",
        "eventName": name,
        "eventSource": "s3.amazonaws.com",
        "awsRegion": "eu-west-1",
        "eventID": str(number),
    }


def minute(of: Record) -> str:
    """The minute of a record, as tables have it."""
    return f"{of['eventTime'][:16]}Z"


@pytest.fixture
def stack(client: Client, name: str) -> Iterator[str]:
    """A stack that has a ledger; its name, and that of the test's namespace."""
    cloudformation = client("cloudformation")
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(LEDGER))
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=name, WaiterConfig={"Delay": 1}
    )
    yield name
    cloudformation.delete_stack(StackName=name)


@pytest.fixture
def kept(client: Client, stack: str) -> TopUpRecords:
    """The records of top-ups in the stack's ledger."""
    found = client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
    return TopUpRecords(found[0]["PhysicalResourceId"], client("dynamodb"), stack)


def put(client: Client, namespace: str, of: Record, calls: int, **more: str) -> None:
    """Have CloudWatch count *calls* of the API of a record, in its minute."""
    pairs = {name: more.get(name, of[name]) for name in ("awsRegion", "eventSource")}
    datum = {
        "MetricName": more.get("eventName", of["eventName"]),
        "Dimensions": [{"Name": n, "Value": v} for n, v in pairs.items()],
        "Timestamp": datetime.strptime(of["eventTime"], AT).replace(tzinfo=UTC, second=0),
        "Value": calls,
    }
    client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=[datum])


def published(client: Client, namespace: str) -> int:
    """How many calls CloudWatch has in *namespace*."""
    return real.published(client("cloudwatch"), namespace, days=3).total()


# --- real records -------------------------------------------------------------------------------


@needed
def test_what_was_lost_is_found_and_published(client: Client, stack: str, tmp_path: Path) -> None:
    """Of real records some are not published: exactly those are missing, and are published once."""
    now = int(time.time())
    events = [real.moved(each, now, days=1) for each in real.records()]
    lost = [each for number, each in enumerate(events) if number % 7 == 0]
    delivered = [each for number, each in enumerate(events) if number % 7]
    trail = written(tmp_path / "trail", [json.loads(each.message) for each in events])
    part = written(tmp_path / "part", [json.loads(each.message) for each in delivered])
    env = {"APITRACKER_NAMESPACE": stack}
    given = ("reconcile", trail, "--stack", stack, "--format", "csv")
    assert run("publish", part, **env).returncode == 0

    found = run(*given, **env)
    sent = run(*given, "--publish", **env)
    again = run(*given, "--publish", **env)

    assert (found.returncode, {row[4] for row in rows(found.stdout)}) == (1, {"missing"})
    missing = {(row[0][:-1], *row[1:4]): -int(row[-1]) for row in rows(found.stdout)}
    assert missing == real.counted(lost)
    assert (
        f"calls: {len(delivered):,} equal; {len(lost):,} missing; 0 too many; "
        "0 sent, not visible yet; 0 in __other__\n"
    ) in found.stderr
    assert f"--publish would send {len(lost):,} calls of {len(missing):,} minutes" in found.stderr
    assert (sent.returncode, sent.stdout) == (0, found.stdout)
    assert sent.stderr.endswith(f"published {len(lost):,} calls\n")
    assert (again.returncode, rows(again.stdout)) == (0, [])
    assert f"calls: {len(events):,} equal; 0 missing; 0 too many;" in again.stderr
    assert real.of_day(real.published(client("cloudwatch"), stack, days=2)) == real.golden()


@needed
def test_what_the_tracker_counted_as_overflow(
    client: Client, kept: TopUpRecords, tmp_path: Path
) -> None:
    """What the tracker publishes is all there, however small its budget of metrics."""
    namespace = kept.namespace

    def notify(message: str, /, **facts: object) -> None:
        raise AssertionError(message, facts)

    now = int(time.time())
    records = [json.loads(real.moved(each, now, days=1).message) for each in real.records()]
    settings = Settings(namespace=namespace, budget=20)
    with connect(CLOUDWATCH) as cloudwatch:
        tracker = assemble(settings, cloudwatch, cloudwatch, SystemClock())
        until = time.time() + 60
        (log,) = open_event(event(records), max_bytes=settings.max_log_bytes)
        done = track(log, tracker, claimant="t", until=until, notify=notify)
    trail = written(tmp_path / "trail", records)

    found = run("reconcile", trail, "--format", "csv", APITRACKER_NAMESPACE=namespace)

    calls = done.published.calls - done.overflow
    assert done.overflow > calls > 0
    assert found.returncode == 0, found.stderr[-500:]
    assert {row[4] for row in rows(found.stdout)} == {"in __other__"}
    assert (
        f"calls: {calls:,} equal; 0 missing; 0 too many; 0 sent, not visible yet; "
        f"{done.overflow:,} in __other__\n"
    ) in found.stderr
    usage = real.published(client("cloudwatch"), f"{namespace}/Usage", days=3)
    assert any(key[1:] == ("__other__",) * 3 for key in usage)


# --- what differs -------------------------------------------------------------------------------


def test_an_event_in_two_payloads(client: Client, stack: str, tmp_path: Path) -> None:
    """What was published twice is too many, and nothing is done about it."""
    calls = [record(1), record(2), record(3, "Put")]
    trail = written(tmp_path / "trail", calls)
    twice = written(tmp_path / "twice", calls[:1])
    env = {"APITRACKER_NAMESPACE": stack}
    for source in (trail, twice):
        assert run("publish", source, **env).returncode == 0

    done = run("reconcile", trail, "--publish", **env)

    at = minute(calls[0])
    assert done.returncode == 1
    assert done.stdout == (
        "difference  minute             eventName  awsRegion  eventSource       what      "
        "happened  published\n"
        f"         1  {at}  Get        eu-west-1  s3.amazonaws.com  too many  2         3\n"
    )
    assert done.stderr == (
        "1 logs; 3 records: 3 counted, 0 duplicate, 0 skipped, 0 rejected\n"
        f"{at} to {at[:-2]}1Z: 2 metrics in 1 requests of GetMetricData, $0.00002\n"
        "calls: 3 equal; 0 missing; 1 too many; 0 sent, not visible yet; 0 in __other__\n"
    )
    assert published(client, stack) == 4


def test_a_metric_that_is_in_no_file(client: Client, stack: str, tmp_path: Path) -> None:
    """What CloudWatch has and the files do not have at all is too many as well."""
    trail = written(tmp_path / "trail", [record(1)])
    put(client, stack, record(1), 1)
    put(client, stack, record(1), 4, eventName="Invented")
    pairs = {"awsRegion": "r", "eventSource": "s", "caller": "another set of metrics"}
    other = {
        "MetricName": "Get",
        "Dimensions": [{"Name": n, "Value": v} for n, v in pairs.items()],
        "Timestamp": datetime.fromtimestamp(NOON, UTC),
        "Value": 7,
    }
    client("cloudwatch").put_metric_data(Namespace=stack, MetricData=[other])

    done = run("reconcile", trail, "--format", "json", APITRACKER_NAMESPACE=stack)

    assert done.returncode == 1
    assert json.loads(done.stdout) == [
        {
            "minute": minute(record(1)),
            "eventName": "Invented",
            "awsRegion": "eu-west-1",
            "eventSource": "s3.amazonaws.com",
            "what": "too many",
            "happened": 0,
            "published": 4,
            "difference": 4,
        }
    ]


def test_overflow(client: Client, stack: str, tmp_path: Path) -> None:
    """What is beyond the budget is in the overflow, and is not published a second time."""
    trail = written(tmp_path / "trail", [record(1), record(2), record(3, "Put")])
    put(client, stack, record(3, "Put"), 1)
    put(client, f"{stack}/Usage", record(1), 2, eventName="__other__")

    done = run("reconcile", trail, "--publish", "--format", "csv", APITRACKER_NAMESPACE=stack)

    assert done.returncode == 0, done.stderr
    assert [row[1:] for row in rows(done.stdout)] == [
        ("Get", "eu-west-1", "s3.amazonaws.com", "in __other__", "2", "0", "-2")
    ]
    assert "1 equal; 0 missing; 0 too many; 0 sent, not visible yet; 2 in __other__" in done.stderr
    assert published(client, stack) == 1


def test_a_part_of_a_minute_keeps_its_peak(client: Client, stack: str, tmp_path: Path) -> None:
    """The rest of a minute is sent so that no second is busier than the files show."""
    seconds = [0, 0, 0, 1, 1, 2]
    trail = written(tmp_path / "trail", [record(n, second=s) for n, s in enumerate(seconds)])
    put(client, stack, record(1), 2)

    done = run("reconcile", trail, "--publish", APITRACKER_NAMESPACE=stack)

    assert done.returncode == 0, done.stderr
    at = datetime.strptime(record(1)["eventTime"], AT).replace(tzinfo=UTC)
    (point,) = client("cloudwatch").get_metric_statistics(
        Namespace=stack,
        MetricName="Get",
        Dimensions=[
            {"Name": "awsRegion", "Value": "eu-west-1"},
            {"Name": "eventSource", "Value": "s3.amazonaws.com"},
        ],
        StartTime=at,
        EndTime=at.replace(second=59),
        Period=60,
        Statistics=["Sum", "Maximum", "SampleCount"],
    )["Datapoints"]
    assert (point["Sum"], point["Maximum"]) == (6, 2)


def test_rules_names_and_times(stack: str, tmp_path: Path) -> None:
    """Source and names are as they are when published; times are cut to whole minutes."""
    strange = record(1) | {"eventName": "Gét", "eventSource": ""}
    calls = [strange, record(2, "Put"), record(3, second=60), record(4, second=125)]
    trail = written(tmp_path / "trail", calls)
    env = {"APITRACKER_NAMESPACE": stack, "APITRACKER_EXCLUDE": "eventName=Put"}
    assert run("publish", trail, **env).returncode == 0

    equal = run("reconcile", trail, **env)
    more = run("reconcile", trail, APITRACKER_NAMESPACE=stack)
    cut = run(
        *("reconcile", trail, "--since", record(0, second=1)["eventTime"]),
        *("--until", record(0, second=170)["eventTime"]),
        **env,
    )

    assert (equal.returncode, rows(equal.stdout)) == (0, [])
    assert "calls: 3 equal; 0 missing" in equal.stderr
    assert more.returncode == 1
    assert "calls: 3 equal; 1 missing" in more.stderr
    assert (cut.returncode, rows(cut.stdout)) == (0, [])
    assert "calls: 1 equal; 0 missing" in cut.stderr
    at = minute(record(0, second=60))
    assert f"{at} to {at[:-3]}02Z: 2 metrics" in cut.stderr


def test_what_cannot_be_compared(stack: str, tmp_path: Path) -> None:
    """Minutes that CloudWatch does not have any more are said, and are no difference."""
    old = record(1) | {"eventTime": "2023-07-10T11:42:07Z"}
    new = record(2) | {"eventTime": "9999-12-31T23:59:59Z"}

    done = run("reconcile", written(tmp_path / "trail", [old, new]), APITRACKER_NAMESPACE=stack)

    assert (done.returncode, done.stdout) == (0, "")
    assert "2 calls are not compared: CloudWatch has the minutes of 15 days" in done.stderr
    assert "there is nothing to compare" in done.stderr


def test_a_tracker_without_the_set(stack: str, tmp_path: Path) -> None:
    """Where the metric set api is not published, all of it would be missing."""
    trail = written(tmp_path / "trail", [record(1)])
    env = {"APITRACKER_NAMESPACE": stack}

    done = run("reconcile", trail, "--publish", APITRACKER_METRICS="service", **env)
    both = run("reconcile", trail, APITRACKER_METRICS="service api", **env)

    assert done.returncode == 2
    assert "the metric set api is compared, which APITRACKER_METRICS leaves out" in done.stderr
    assert both.returncode == 1
    assert "calls: 0 equal; 1 missing;" in both.stderr


def test_what_the_tracker_may_still_publish(client: Client, stack: str, tmp_path: Path) -> None:
    """Fresh calls are compared, and not published: the tracker may be about to."""
    now = record(1) | {"eventTime": f"{datetime.now(UTC):{AT}}"}
    trail = written(tmp_path / "trail", [now, record(2)])

    done = run("reconcile", trail, "--publish", APITRACKER_NAMESPACE=stack)

    assert done.returncode == 1
    assert "0 equal; 2 missing" in done.stderr
    assert "1 missing calls are less than six hours old" in done.stderr
    assert "published 1 calls" in done.stderr
    assert published(client, stack) == 1


# --- sent, and not visible yet ------------------------------------------------------------------


SOURCE = "s3.amazonaws.com"


def key(of: Record) -> MetricMinute:
    """The metric and the minute of a record."""
    second = timegm(datetime.strptime(of["eventTime"], AT).timetuple())  # noqa: DTZ007 - UTC
    minute = second // 60 * 60
    return MetricMinute(minute, of["eventName"], of["awsRegion"], of["eventSource"])


def test_what_does_not_show_yet(client: Client, kept: TopUpRecords, tmp_path: Path) -> None:
    """What was sent is not sent again, until three days have gone by."""
    namespace = kept.namespace
    trail = written(tmp_path / "trail", [record(1), record(2), record(3, "Put")])
    put(client, namespace, record(1), 1)
    get, other = key(record(1)), key(record(3, "Put"))
    now = int(time.time())
    given = ("reconcile", trail, "--stack", namespace, "--publish", "--format", "csv")
    env = {"APITRACKER_NAMESPACE": namespace}

    write_top_ups(kept, {get: TopUpRecord(2, now - 60)}, {})
    done = run(*given, **env)

    assert done.returncode == 0, done.stderr
    assert [row[1:2] + row[4:] for row in rows(done.stdout)] == [
        ("Get", "sent, not visible yet", "2", "1", "-1"),
        ("Put", "missing", "1", "0", "-1"),
    ]
    assert published(client, namespace) == 2
    noted = read_top_ups(kept, [get, other])
    assert {each: top_up.total for each, top_up in noted.items()} == {get: 2, other: 1}
    assert noted[get].at == now - 60
    assert noted[other].at >= now

    write_top_ups(kept, {get: TopUpRecord(2, now - 4 * DAY)}, noted)
    done = run(*given, **env)

    assert done.returncode == 0, done.stderr
    assert [row[1:2] + row[4:] for row in rows(done.stdout)] == [("Get", "missing", "2", "1", "-1")]
    assert published(client, namespace) == 3
    assert read_top_ups(kept, [get])[get].at >= now


def test_records(kept: TopUpRecords, client: Client) -> None:
    """Records are kept by metric and minute, and expire; another run's are not written over."""
    keys = [MetricMinute(1_700_000_000 // 60 * 60 + 60 * n, "Get", "r", SOURCE) for n in range(250)]
    for at in range(0, 250, 100):
        write_top_ups(
            kept, {each: TopUpRecord(3, 1_700_000_000) for each in keys[at : at + 100]}, {}
        )
    found = read_top_ups(kept, keys)

    assert found == dict.fromkeys(keys, TopUpRecord(3, 1_700_000_000))
    assert read_top_ups(TopUpRecords(kept.table, kept.dynamodb, "another"), keys) == {}
    (item, *_) = client("dynamodb").scan(TableName=kept.table)["Items"]
    assert item["id"]["S"].startswith("reconciled:")
    assert int(item["expires"]["N"]) == 1_700_000_000 + 15 * DAY

    both = {
        keys[0]: TopUpRecord(5, 1_700_000_100),
        MetricMinute(0, "Put", "r", SOURCE): TopUpRecord(1, 1_700_000_100),
    }
    with pytest.raises(HeldError, match="another run"):
        write_top_ups(kept, both, {})
    assert read_top_ups(kept, list(both)) == {keys[0]: TopUpRecord(3, 1_700_000_000)}
    write_top_ups(kept, both, found)
    with pytest.raises(HeldError, match="another run"):
        write_top_ups(kept, {keys[0]: TopUpRecord(6, 1_700_000_200)}, found)
    assert read_top_ups(kept, list(both)) == both

    withdraw_top_ups(kept, both, found)
    assert read_top_ups(kept, list(both)) == {keys[0]: found[keys[0]]}


class Faulty:
    """A way to CloudWatch that ends before, or after, what it is to send; or is answered so."""

    def __init__(
        self, before: BaseException | Response | None = None, after: BaseException | None = None
    ) -> None:
        self.before = before
        self.after = after

    def post(
        self, operation: str, body: bytes, *, deadline: float, gzipped: bool = False
    ) -> Response:
        """Send it, perhaps."""
        if isinstance(self.before, Response):
            return self.before
        if self.before:
            raise self.before
        with connect(CLOUDWATCH) as connection:
            response = connection.post(operation, body, deadline=deadline, gzipped=gzipped)
        if self.after:
            raise self.after
        return response


class Hasty(SystemClock):
    """A clock on which each look takes a minute, so that no fault is waited out."""

    def __init__(self) -> None:
        self.passed = 0

    def now(self) -> float:
        """Seconds since 1970."""
        self.passed += 60
        return time.time() + self.passed


def up(of: Record) -> TopUp:
    """One call of a record is to be sent."""
    minute, name, region, source = key(of)
    dimensions = (Dimension("awsRegion", region), Dimension("eventSource", source))
    return TopUp(Datum(name, dimensions, minute, [1], [1]), total=1)


DENIED = Response(403, b"", "AccessDenied", "No.")
LOST = TransportError("the answer did not come", in_doubt=True)
UNSENT = TransportError("it was not sent", in_doubt=False)


@pytest.mark.parametrize(
    ("before", "after", "raised", "noted"),
    [
        (KeyboardInterrupt(), None, KeyboardInterrupt, True),
        (None, KeyboardInterrupt(), KeyboardInterrupt, True),
        (LOST, None, InterruptedRunError, True),
        (None, LOST, InterruptedRunError, True),
        (UNSENT, None, InterruptedRunError, False),
        (DENIED, None, InterruptedRunError, False),
    ],
    ids=["killed before", "killed after", "lost", "answer lost", "unsent", "denied"],
)
def test_stopped_at_any_point(  # noqa: PLR0913, PLR0917 - what stops it, and where it is seen
    client: Client,
    kept: TopUpRecords,
    tmp_path: Path,
    before: BaseException | Response | None,
    after: BaseException | None,
    raised: type[BaseException],
    noted: bool,  # noqa: FBT001 - a case
) -> None:
    """Whatever stops it: run again at once, and after days, each call is there once."""
    namespace = kept.namespace
    trail = written(tmp_path / "trail", [record(1)])
    get = key(record(1))
    earlier = {get: TopUpRecord(1, int(time.time()) - 4 * DAY)}
    write_top_ups(kept, earlier, {})
    given = ("reconcile", trail, "--stack", namespace, "--publish")
    env = {"APITRACKER_NAMESPACE": namespace}

    poster = Faulty(before, after)
    with pytest.raises(raised):
        list(send_top_ups([up(record(1))], namespace, poster, Hasty(), SentBefore(kept, earlier)))

    found = read_top_ups(kept, [get])
    assert (found != earlier) == noted
    shown = published(client, namespace)
    at_once = run(*given, **env)
    assert at_once.returncode == 0, at_once.stderr
    if noted and not shown:
        assert "1 sent, not visible yet" in at_once.stderr
        write_top_ups(kept, {get: TopUpRecord(1, found[get].at - 4 * DAY)}, found)
        assert run(*given, **env).returncode == 0
    assert published(client, namespace) == 1


def test_what_is_refused_is_not_recorded(client: Client, kept: TopUpRecords) -> None:
    """What CloudWatch does not take was not sent, and its neighbours were."""
    old = record(1) | {"eventTime": f"{datetime.fromtimestamp(time.time() - 15 * DAY, UTC):{AT}}"}
    poster = Faulty()
    clock = SystemClock()

    ups = [up(record(2)), up(old)]
    (done,) = send_top_ups(ups, kept.namespace, poster, clock, SentBefore(kept))

    assert (done.calls, len(done.refused)) == (1, 1)
    assert list(read_top_ups(kept, [key(old), key(record(2))])) == [key(record(2))]
    assert published(client, kept.namespace) == 1


def test_without_a_ledger(client: Client, name: str, tmp_path: Path) -> None:
    """It works, and says what that means; a stack that is asked for has to be there."""
    trail = written(tmp_path / "trail", [record(1)])
    env = {"APITRACKER_NAMESPACE": name}

    named = run("reconcile", trail, "--publish", "--stack", name, **env)
    done = run("reconcile", trail, "--publish", **env)

    assert named.returncode == 3
    assert f"there is no stack or function {name} here: " in named.stderr
    assert done.returncode == 0, done.stderr
    assert (
        "nothing remembers what is sent: do not publish again before CloudWatch shows it\n"
        "published 1 calls\n"
    ) in done.stderr
    assert published(client, name) == 1


class Denying(BaseHTTPRequestHandler):
    """An AWS that allows nothing."""

    def do_POST(self) -> None:
        """Refuse."""
        self.rfile.read(int(self.headers["Content-Length"]))
        error = "<Error><Type>Sender</Type><Code>AccessDenied</Code><Message>No.</Message></Error>"
        body = f"<ErrorResponse>{error}</ErrorResponse>".encode()
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is called
        """Say nothing."""


def test_without_permission_to_ask_the_ledger(client: Client, name: str, tmp_path: Path) -> None:
    """Comparing goes on and says what it does not know; publishing does not."""
    trail = written(tmp_path / "trail", [record(1)])
    with ThreadingHTTPServer(("127.0.0.1", 0), Denying) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            env = {
                "APITRACKER_NAMESPACE": name,
                "AWS_ENDPOINT_URL_CLOUDFORMATION": f"http://127.0.0.1:{server.server_port}",
            }
            compared = run("reconcile", trail, **env)
            sent = run("reconcile", trail, "--publish", **env)
        finally:
            server.shutdown()
            thread.join()

    denied = "cloudformation:DescribeStacks was refused: AccessDenied: No.: allow"
    assert compared.returncode == 1
    assert f"what was sent before is not known: {denied}" in compared.stderr
    assert "0 equal; 1 missing" in compared.stderr
    assert sent.returncode == 3
    assert f"apitracker: {denied}" in sent.stderr
    assert published(client, name) == 0


def test_without_aws(account: str, tmp_path: Path) -> None:
    """An AWS that does not answer is a failure of AWS."""
    del account
    trail = written(tmp_path / "trail", [record(1)])
    closed = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}

    done = run("reconcile", trail, **closed)

    assert (done.returncode, done.stdout) == (3, "")
    assert "cloudwatch:ListMetrics: no whole answer came from AWS" in done.stderr


def test_own_calls(stack: str, tmp_path: Path) -> None:
    """What the tracker calls in order to track is not published, and is not missing."""
    role = "arn:aws:iam::123456789012:role/tracker"
    own = record(1, "UpdateItem") | {
        "eventSource": "dynamodb.amazonaws.com",
        "userIdentity": {"sessionContext": {"sessionIssuer": {"arn": role}}},
    }
    trail = written(tmp_path / "trail", [own, record(2)])
    env = {"APITRACKER_NAMESPACE": stack, "APITRACKER_OWN_ROLE": role}
    assert run("publish", trail, **env).returncode == 0

    done = run("reconcile", trail, **env)

    assert done.returncode == 0, done.stderr
    assert "1 calls are not published: the tracker made them in order to track" in done.stderr
    assert "calls: 1 equal; 0 missing" in done.stderr
