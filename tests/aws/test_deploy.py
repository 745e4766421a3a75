"""The stack on a local AWS: packaged, deployed, fed with real records, changed and removed."""

import csv
import gzip
import json
import os
import subprocess
import sys
import time
from calendar import timegm
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
VENV = ROOT / ".venv-emulator"
PREDECESSOR = ROOT / "tests" / "predecessor.json"
DAY = 86_400
PATIENCE = 60  # seconds, until what was delivered has been counted
OWN = {"NewTrail", "NewTrailRole", "NewTrailCWLogGroup", "NewTrailBucket", "NewTrailBucketPolicy"}
Client = Callable[[str], Any]
Counts = Counter[tuple[str, str, str, str]]
"""Calls by minute of the day, eventName, awsRegion and eventSource."""

real = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not here")


class Event(NamedTuple):
    """A record, as CloudTrail writes it to a log group."""

    timestamp: int
    message: str


def aws(*args: object) -> str:
    """Run the AWS command line in the environment of the test."""
    done = subprocess.run(
        [VENV / "bin" / "aws", *map(str, args)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def moved(records: list[dict[str, Any]], end: int) -> list[Event]:
    """Move each record to the same time of day within the 24 hours before *end*, oldest first."""
    events = []
    for record in records:
        at = timegm(datetime.fromisoformat(record["eventTime"]).utctimetuple())
        at = end - (end - at) % DAY
        stamp = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        events.append(Event(at * 1_000, json.dumps({**record, "eventTime": stamp})))
    return sorted(events)


def records() -> list[dict[str, Any]]:
    """All real records."""
    found: list[dict[str, Any]] = []
    for path in sorted((DATA / "s3").rglob("*.json.gz")):
        found += json.loads(gzip.decompress(path.read_bytes()))["Records"]
    return found


def golden() -> Counts:
    """How often each API was called in each minute of a day, whatever the day."""
    counts: Counts = Counter()
    with (DATA / "golden" / "by_minute.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            key = (row["eventName"], row["awsRegion"], row["eventSource"])
            counts[(row["minute"][11:16], *(value or "-" for value in key))] += int(row["count"])  # type: ignore[index]
    return counts


def published(cloudwatch: Any, namespace: str) -> Counts:  # noqa: ANN401 - boto3 has no types
    """What CloudWatch has in *namespace*."""
    pages = cloudwatch.get_paginator("list_metrics").paginate(Namespace=namespace)
    metrics = [metric for page in pages for metric in page["Metrics"]]
    now = int(time.time())
    counts: Counts = Counter()
    for number in range(0, len(metrics), 500):
        some = metrics[number : number + 500]
        queries = [
            {"Id": f"m{i}", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}}
            for i, metric in enumerate(some)
        ]
        for page in cloudwatch.get_paginator("get_metric_data").paginate(
            MetricDataQueries=queries, StartTime=now - now % 3_600 - DAY - 3_600, EndTime=now + 60
        ):
            for result in page["MetricDataResults"]:
                metric = some[int(result["Id"][1:])]
                value = {d["Name"]: d["Value"] for d in metric["Dimensions"]}
                assert value.keys() == {"awsRegion", "eventSource"}
                for at, calls in zip(result["Timestamps"], result["Values"], strict=True):
                    minute = at.astimezone(UTC).strftime("%H:%M")
                    key = (minute, metric["MetricName"], value["awsRegion"], value["eventSource"])
                    counts[key] += round(calls)
    return counts


class Account:
    """What a test does in the local account."""

    def __init__(self, client: Client, name: str, package: Path) -> None:
        self.client = client
        self.name = name
        self.group = f"CloudTrail/{name}"
        self.package = package
        client("logs").create_log_group(logGroupName=self.group)

    def deploy(self, template: Path, **parameters: object) -> None:
        """Deploy as the README says."""
        given = [f"{key}={value}" for key, value in parameters.items()]
        # The AWS CLI names a change set by the second, and the local AWS has one list of names.
        time.sleep(1)
        aws(
            *("cloudformation", "deploy", "--template-file", template, "--stack-name", self.name),
            *("--capabilities", "CAPABILITY_IAM"),
            *(("--parameter-overrides", *given) if given else ()),
        )

    @property
    def resources(self) -> dict[str, str]:
        """The physical id of each resource of the stack."""
        cloudformation = self.client("cloudformation")
        found = cloudformation.describe_stack_resources(StackName=self.name)["StackResources"]
        return {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in found}

    @property
    def outputs(self) -> dict[str, str]:
        """The outputs of the stack."""
        (stack,) = self.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"]
        return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}

    def put(
        self, events: Sequence[Event], *, stream: str = "123456789012_CloudTrail_us-east-1"
    ) -> None:
        """Put *events* into the log group of the trail."""
        logs = self.client("logs")
        logs.create_log_stream(logGroupName=self.group, logStreamName=stream)
        logs.put_log_events(
            logGroupName=self.group,
            logStreamName=stream,
            logEvents=[event._asdict() for event in events],
        )

    def tracked(self, payloads: int) -> list[dict[str, Any]]:
        """What the function logged of *payloads* payloads, once it has."""
        group = self.outputs["FunctionLogGroupName"]
        deadline = time.monotonic() + PATIENCE
        lines: list[dict[str, Any]] = []
        while len(lines) < payloads and time.monotonic() < deadline:
            time.sleep(0.05)
            pages = (
                self.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
            )
            messages = [event["message"].strip() for page in pages for event in page["events"]]
            lines = [json.loads(m) for m in messages if m.startswith('{"level"')]
            lines = [line for line in lines if line["message"] == "tracked"]
        assert len(lines) == payloads, messages[-20:]
        return lines


@pytest.fixture(scope="session")
def built(aws: str, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001
    """A folder with the template, and the function built for the emulator's Python."""
    folder = tmp_path_factory.mktemp("stack")
    asked = "import sys; print('%d.%d' % sys.version_info[:2])"
    version = subprocess.run(
        [VENV / "bin" / "python", "-c", asked], check=True, capture_output=True, text=True
    ).stdout.strip()
    subprocess.run(
        [sys.executable, ROOT / "scripts" / "package.py", "--to", folder, "--python", version],
        check=True,
        capture_output=True,
    )
    (folder / "sam.yaml").write_bytes((ROOT / "sam.yaml").read_bytes())
    return folder


@pytest.fixture
def here(client: Client, name: str, built: Path, tmp_path: Path) -> Iterator[Account]:
    """An account with a trail's log group, and the template packaged into a bucket of its."""
    client("s3").create_bucket(Bucket=name)
    package = tmp_path / "sam-output.yaml"
    aws(
        *("cloudformation", "package", "--template-file", built / "sam.yaml"),
        *("--output-template-file", package, "--s3-bucket", name, "--s3-prefix", "code"),
    )
    account = Account(client, name, package)
    yield account
    client("cloudformation").delete_stack(StackName=name)


def one(event_name: str, **fields: object) -> Event:
    """A record of one call just now."""
    now = int(time.time())
    record = {
        "eventTime": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventName": event_name,
        "eventSource": "iam.amazonaws.com",
        "awsRegion": "us-east-1",
        "eventID": os.urandom(8).hex(),
        **fields,
    }
    return Event(now * 1_000, json.dumps(record))


def names(counts: Counts) -> Counter[str]:
    """The calls by eventName alone."""
    found: Counter[str] = Counter()
    for (_, event_name, _, _), calls in counts.items():
        found[event_name] += calls
    return found


@real
def test_golden_counts(here: Account) -> None:
    """Real records, put into an existing group, are in CloudWatch to the last call."""
    here.deploy(here.package, CloudTrailLogGroupName=here.group, MetricNamespace=here.name)
    end = int(time.time())
    events = iter(moved(records(), end))
    payloads = 0

    # One after the other: the emulator loses what comes while a function is still starting.
    while some := list(islice(events, 400)):
        here.put(some, stream=f"123456789012_CloudTrail_us-east-1_{payloads}")
        payloads += 1
        lines = here.tracked(payloads)

    expected = golden()
    assert published(here.client("cloudwatch"), here.name) == expected
    assert sum(line["received"] for line in lines) == expected.total()
    assert sum(line["counted"] for line in lines) == expected.total()
    assert sum(line["refused"] + line["rejected"] + line["retries"] for line in lines) == 0


def test_second_deployment(here: Account) -> None:
    """Other parameters take effect in place; what is not asked for any more goes."""
    here.deploy(
        here.package,
        CloudTrailLogGroupName=here.group,
        MetricNamespace=here.name,
        AlarmEmail="ops@example.com",
    )
    here.put([one("GetUser", readOnly=True), one("CreateUser", readOnly=False)], stream="first")
    here.tracked(1)
    before = here.resources

    here.deploy(
        here.package,
        MetricNamespace=f"{here.name}/2",
        ExcludeRules="readOnly=true",
        MemorySize=128,
        Architecture="x86_64",
        LogRetentionInDays=30,
        CreateAlarms="false",
        CreateDashboard="false",
    )
    here.put([one("GetUser", readOnly=True), one("CreateUser", readOnly=False)], stream="second")
    lines = here.tracked(2)

    after = here.resources
    assert before.keys() - after.keys() == {
        "AlarmSubscription",
        "AlarmTopic",
        "AlarmTopicPolicy",
        "EventsLost",
        "FunctionErrors",
        "NoInvocations",
        "TrackerDashboard",
    }
    assert after == {name: before[name] for name in after}
    cloudwatch = here.client("cloudwatch")
    assert names(published(cloudwatch, here.name)) == {"GetUser": 1, "CreateUser": 1}
    assert names(published(cloudwatch, f"{here.name}/2")) == {"CreateUser": 1}
    assert [line["excluded"] for line in lines] == [0, 1]
    function = here.client("lambda").get_function_configuration(
        FunctionName=after["APITrackerLambdaFunction"]
    )
    assert (function["MemorySize"], function["Architectures"]) == (128, ["x86_64"])
    (group,) = here.client("logs").describe_log_groups(
        logGroupNamePrefix=after["APITrackerCWLogs"]
    )["logGroups"]
    assert group["retentionInDays"] == 30


def test_alarms_and_dashboard(here: Account) -> None:
    """Alarms and dashboard are there as the template has them, and the outputs lead to them."""
    here.deploy(here.package, CloudTrailLogGroupName=here.group, AlarmEmail="ops@example.com")
    cloudwatch = here.client("cloudwatch")
    made = here.resources

    alarms = cloudwatch.describe_alarms(AlarmNamePrefix=here.name)["MetricAlarms"]
    dashboard = cloudwatch.get_dashboard(DashboardName=made["TrackerDashboard"])

    assert {alarm["MetricName"] for alarm in alarms} == {
        "AsyncEventsDropped",
        "Errors",
        "Invocations",
    }
    assert all(alarm["AlarmActions"] == [made["AlarmTopic"]] for alarm in alarms)
    assert made["APITrackerLambdaFunction"] in dashboard["DashboardBody"]
    assert json.loads(dashboard["DashboardBody"])["widgets"]
    assert here.outputs["DashboardConsole"].endswith(f"name={here.name}-us-east-1")
    assert here.outputs["FunctionName"] == made["APITrackerLambdaFunction"]


def test_upgrade_of_the_predecessor(here: Account) -> None:
    """Over the predecessor's stack each of its resources stays the same, and calls are counted."""
    here.deploy(PREDECESSOR, CloudTrailLogGroupName=here.group)
    old = here.resources

    here.deploy(here.package, MetricNamespace=here.name)  # the group is the one given before
    here.put([one("GetUser")])
    here.tracked(1)

    new = here.resources
    assert old.keys() == json.loads(PREDECESSOR.read_text())["Resources"].keys() - OWN
    assert {name: new[name] for name in old} == old
    assert names(published(here.client("cloudwatch"), here.name)) == {"GetUser": 1}
    function = here.client("lambda").get_function_configuration(
        FunctionName=new["APITrackerLambdaFunction"]
    )
    assert function["Runtime"] == "python3.13"
    role = here.client("iam").list_attached_role_policies(
        RoleName=new["APITrackerLambdaFunctionRole"]
    )
    assert role["AttachedPolicies"] == []


def test_deletion(here: Account) -> None:
    """Deleting the stack leaves the trail's group, and nothing of ours."""
    here.deploy(here.package, CloudTrailLogGroupName=here.group)
    made = here.resources

    aws("cloudformation", "delete-stack", "--stack-name", here.name)
    aws("cloudformation", "wait", "stack-delete-complete", "--stack-name", here.name)

    logs, functions = here.client("logs"), here.client("lambda").list_functions()["Functions"]
    assert made["APITrackerLambdaFunction"] not in {each["FunctionName"] for each in functions}
    assert not logs.describe_log_groups(logGroupNamePrefix=made["APITrackerCWLogs"])["logGroups"]
    assert not logs.describe_subscription_filters(logGroupName=here.group)["subscriptionFilters"]
    assert not here.client("cloudwatch").describe_alarms(AlarmNamePrefix=here.name)["MetricAlarms"]
    assert not here.client("cloudwatch").list_dashboards(DashboardNamePrefix=here.name)[
        "DashboardEntries"
    ]


def test_packaging_again_uploads_nothing_new(here: Account, built: Path, tmp_path: Path) -> None:
    """The same function has the same key in the bucket: deploying it again changes nothing."""
    aws(
        *("cloudformation", "package", "--template-file", built / "sam.yaml"),
        *("--output-template-file", tmp_path / "again.yaml"),
        *("--s3-bucket", here.name, "--s3-prefix", "code"),
    )

    stored = here.client("s3").list_objects_v2(Bucket=here.name)["Contents"]
    assert len(stored) == 1
    assert stored[0]["Key"] in here.package.read_text()
