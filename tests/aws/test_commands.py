"""The commands that need an account, against a local AWS."""

import csv
import gzip
import io
import json
import os
import re
import subprocess
import zipfile
from calendar import timegm
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.commands import run_in_account as run
from tests.emulator import VENV

from apitracker.operations import alarms, dashboards, verify
from apitracker.operations.cloudwatch import get_sums, list_metrics
from apitracker.operations.dashboards import Used

DATA = Path(__file__).parents[3] / "shared" / "data"
REGION = "us-east-1"

real = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not here")
Client = Callable[[str], Any]


def published(cloudwatch: Any, namespace: str, *, since: int) -> Counter[tuple[str, ...]]:  # noqa: ANN401
    """The calls in *namespace* by minute, name, region and source, as CloudWatch gives them."""
    found = get_sums(
        cloudwatch,
        list_metrics(cloudwatch, namespace),
        period=60,
        start=since,
        end=int(datetime.now(UTC).timestamp()) + 7_200,
    )
    return Counter(
        {
            (str(minute), metric.name, *(value for _, value in metric.dimensions)): round(calls)
            for metric, values in found.items()
            for minute, calls in values.items()
        }
    )


# --- alarms -------------------------------------------------------------------------------------


def test_alarm_is_put_and_updated(client: Client, name: str) -> None:
    """The same alarm with another threshold and action replaces the one there was."""
    env = {"APITRACKER_NAMESPACE": name}
    topic = "arn:aws:sns:us-east-1:123456789012:t"

    one = run("alarm", "ec2:RunInstances", "--above", 100, **env)
    two = run("alarm", "ec2:RunInstances", "--above", 5, "--per", "1m", "--notify", topic, **env)
    other = run("alarm", "ec2:RunInstances", "--above", 5, "--region", "eu-west-1", **env)

    assert (one.returncode, two.returncode, other.returncode) == (0, 0, 0)
    assert "notifies nobody" in one.stderr
    assert "notifies nobody" not in two.stderr
    found = client("cloudwatch").describe_alarms(AlarmNamePrefix=name)["MetricAlarms"]
    by_name = {each["AlarmName"]: each for each in found}
    assert set(by_name) == {
        f"{name} ec2.amazonaws.com:RunInstances us-east-1",
        f"{name} ec2.amazonaws.com:RunInstances eu-west-1",
    }
    kept = by_name[f"{name} ec2.amazonaws.com:RunInstances us-east-1"]
    assert (kept["Threshold"], kept["Period"], kept["AlarmActions"]) == (5.0, 60, [topic])
    assert (kept["EvaluationPeriods"], kept["DatapointsToAlarm"]) == (16, 1)
    assert kept["TreatMissingData"] == "notBreaching"


def test_alarm_fires(client: Client, name: str) -> None:
    """What is published where the alarm looks makes it fire."""
    run("alarm", "ec2:RunInstances", "--above", 2, APITRACKER_NAMESPACE=name)
    cloudwatch = client("cloudwatch")
    dimensions = [
        {"Name": "awsRegion", "Value": REGION},
        {"Name": "eventSource", "Value": "ec2.amazonaws.com"},
    ]
    datum = {"MetricName": "RunInstances", "Dimensions": dimensions, "Value": 3}
    cloudwatch.put_metric_data(Namespace=name, MetricData=[datum])

    found = cloudwatch.describe_alarms(AlarmNamePrefix=name)["MetricAlarms"]

    assert [each["StateValue"] for each in found] == ["ALARM"]


@pytest.fixture
def tracker(client: Client, name: str) -> Iterator[str]:
    """A stack with a function that publishes what its parameter MetricSets says; its name."""
    template = json.loads(json.dumps(TEMPLATE))
    template["Parameters"] |= {"MetricSets": {"Type": "String"}, "Unchanged": {"Type": "String"}}
    template["Resources"]["APITrackerLambdaFunction"]["Properties"] |= {
        "FunctionName": f"{name}-f",
        "Description": {"Ref": "Unchanged"},
        "Environment": {
            "Variables": {
                "APITRACKER_NAMESPACE": name,
                "APITRACKER_METRICS": {"Ref": "MetricSets"},
                "APITRACKER_EXCLUDE": "eventName=Describe*",
            }
        },
    }
    given = {"CloudTrailLogGroupName": name, "MetricSets": "api,service", "Unchanged": "as it was"}
    cloudformation = client("cloudformation")
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()],
    )
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=name, WaiterConfig={"Delay": 1}
    )
    yield name
    cloudformation.delete_stack(StackName=name)


def test_alarm_on_an_outcome(client: Client, tracker: str) -> None:
    """It is refused with the command that adds its metric set; after that it is made, and fires."""
    env = {"APITRACKER_NAMESPACE": tracker}
    wanted = ("alarm", "ec2:RunInstances", "--above", 2, "--stack", tracker)
    throttled = (*wanted, "--outcome", "throttled")
    cloudwatch, functions = client("cloudwatch"), client("lambda")

    plain = run(*wanted, **env)
    refused = run(*throttled, **env)
    forced = run(*throttled, "--force", "--dry-run", **env)

    assert (plain.returncode, refused.returncode, forced.returncode) == (0, 2, 0), plain.stderr
    assert "warning" not in plain.stderr
    assert refused.stderr.startswith(
        f"apitracker: {tracker} does not publish the metric set outcomes, so that the alarm could "
        "never fire; to add it: aws cloudformation update-stack "
    )
    command = refused.stderr.partition("to add it: ")[2].partition("; --force")[0]
    path = f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(["bash", "-c", command], env={**os.environ, "PATH": path}, check=True)  # noqa: S607
    client("cloudformation").get_waiter("stack_update_complete").wait(
        StackName=tracker, WaiterConfig={"Delay": 1}
    )
    updated = functions.get_function_configuration(FunctionName=f"{tracker}-f")
    assert updated["Environment"]["Variables"]["APITRACKER_METRICS"] == "api,service,outcomes"
    assert updated["Description"] == "as it was"

    made = run(*throttled, **env)
    everywhere = run(*wanted, "--outcome", "denied", "--any-region", "--dry-run", **env)
    pairs = {"awsRegion": REGION, "eventSource": "ec2.amazonaws.com", "eventName": "RunInstances"}
    dimensions = [{"Name": n, "Value": v} for n, v in pairs.items()]
    datum = {"MetricName": "Throttled", "Dimensions": dimensions, "Value": 3}
    cloudwatch.put_metric_data(Namespace=f"{tracker}/Usage", MetricData=[datum])

    assert (made.returncode, everywhere.returncode, everywhere.stderr) == (0, 0, "")
    assert "warning" not in made.stderr
    found = cloudwatch.describe_alarms(AlarmNamePrefix=tracker)["MetricAlarms"]
    assert {each["AlarmName"]: each["StateValue"] for each in found} == {
        f"{tracker} ec2.amazonaws.com:RunInstances us-east-1": "INSUFFICIENT_DATA",
        f"{tracker} ec2.amazonaws.com:RunInstances us-east-1 throttled": "ALARM",
    }
    cloudwatch.put_metric_alarm(**json.loads(everywhere.stdout))
    assert len(cloudwatch.describe_alarms(AlarmNamePrefix=tracker)["MetricAlarms"]) == 3


def test_alarm_that_a_tracker_never_feeds(tracker: str) -> None:
    """Another namespace and a rule that leaves the API out are refused, with what to change."""
    wanted = ("alarm", "ec2:DescribeInstances", "--above", 2, "--stack", tracker)

    elsewhere = run(*wanted, APITRACKER_NAMESPACE="Elsewhere")
    excluded = run(*wanted, APITRACKER_NAMESPACE=tracker)

    assert (elsewhere.returncode, elsewhere.stderr) == (
        2,
        (
            f"apitracker: {tracker} publishes to {tracker}, and the alarm watches Elsewhere: set "
            f"APITRACKER_NAMESPACE={tracker}; --force makes the alarm all the same\n"
        ),
    )
    assert (excluded.returncode, excluded.stderr) == (
        2,
        (
            f"apitracker: {tracker} does not publish ec2.amazonaws.com:DescribeInstances there: "
            "its IncludeRules are '', its ExcludeRules 'eventName=Describe*'; change them; --force "
            "makes the alarm all the same\n"
        ),
    )


def test_alarm_looks_at_the_metrics(client: Client, name: str) -> None:
    """Names are those that are published in the namespace, under any region, by that service."""
    cloudwatch = client("cloudwatch")

    def publish(event_name: str, source: str, region: str) -> None:
        pairs = {"awsRegion": region, "eventSource": source}
        dimensions = [{"Name": n, "Value": v} for n, v in pairs.items()]
        datum = {"MetricName": event_name, "Dimensions": dimensions, "Value": 1}
        cloudwatch.put_metric_data(Namespace=name, MetricData=[datum])

    publish("UpdateFunctionCode20150331", "lambda.amazonaws.com", "eu-west-1")
    publish("UpdateFunctionCode20150331v2", "lambda.amazonaws.com", "us-east-1")
    publish("GetFunction20150331v2", "lambda.amazonaws.com", "us-east-1")
    publish("ConsoleLogin", "signin.amazonaws.com", "us-east-1")
    publish("DescribeInstanses", "signin.amazonaws.com", "us-east-1")

    def alarm(api: str, *more: str) -> "subprocess.CompletedProcess[str]":
        return run("alarm", api, "--above", 1, *more, APITRACKER_NAMESPACE=name)

    two = alarm("lambda:UpdateFunctionCode")
    one = alarm("lambda:GetFunction", "--any-region")
    login = alarm("signin:ConsoleLogin")
    wrong = alarm("ec2:DescribeInstanses")
    several = alarm("lambda:UpdateFunctionCode", "--any-region")

    assert [each.returncode for each in (two, one, login, wrong, several)] == [0, 0, 0, 2, 2]
    assert "warning" not in two.stderr + one.stderr + login.stderr
    assert wrong.stderr == (
        "apitracker: ec2.amazonaws.com:DescribeInstanses: no API has this name; did you mean "
        "DescribeInstances? --force takes it as it is\n"
    )
    assert "adds up the metrics of one name only" in several.stderr
    found = cloudwatch.describe_alarms(AlarmNamePrefix=name)["MetricAlarms"]
    assert {each["AlarmName"].removeprefix(f"{name} ") for each in found} == {
        "lambda.amazonaws.com:UpdateFunctionCode us-east-1",
        "lambda.amazonaws.com:GetFunction any-region",
        "signin.amazonaws.com:ConsoleLogin us-east-1",
    }
    printed = alarm("lambda:UpdateFunctionCode", "--dry-run").stdout
    stats = [each["MetricStat"] for each in json.loads(printed)["Metrics"][1:]]
    assert [stat["Metric"]["MetricName"] for stat in stats] == [
        "UpdateFunctionCode20150331",
        "UpdateFunctionCode20150331v2",
    ]


def test_alarm_is_printed_only(client: Client, tracker: str) -> None:
    """A dry run prints what boto3 takes, and makes nothing."""
    env = {"APITRACKER_NAMESPACE": tracker}
    wanted = ("alarm", "ec2:RunInstances", "--above", 1, "--stack", tracker, "--dry-run")
    one = run(*wanted, **env)
    any_region = run(*wanted, "--any-region", **env)
    cloudwatch = client("cloudwatch")

    assert not cloudwatch.describe_alarms(AlarmNamePrefix=tracker)["MetricAlarms"]
    for done in (one, any_region):
        assert (done.returncode, done.stderr) == (0, "")
        cloudwatch.put_metric_alarm(**json.loads(done.stdout))
    assert len(cloudwatch.describe_alarms(AlarmNamePrefix=tracker)["MetricAlarms"]) == 2


def test_alarm_without_a_stack(client: Client, name: str) -> None:
    """A tracker that is not to be seen is no reason to refuse; what is not known is said."""
    done = run("alarm", "ec2:RunInstances", "--above", 1, APITRACKER_NAMESPACE=name)

    assert done.returncode == 0
    assert done.stderr.startswith(
        "warning: whether the metric set api is published is not known: there is no stack or "
        "function cloudwatch-api-tracker here: "
    )
    assert client("cloudwatch").describe_alarms(AlarmNamePrefix=name)["MetricAlarms"]


@pytest.mark.usefixtures("account")
def test_alarm_that_cannot_be() -> None:
    """What makes no sense is wrong usage, and so is a global service in another region."""
    for wrong in (
        ["ec2", "--above", "1"],
        ["ec2:Run", "--above", "-1"],
        ["ec2:Run", "--above", "1", "--per", "30s"],
        ["ec2:Run", "--above", "1", "--per", "2h", "--any-region"],
        ["ec2:Run", "--above", "1", "--region", "us-east-1", "--any-region"],
        ["ec2:Run", "--above", "1", "--outcome", "ok"],
        ["ec2:Run", "--above", "1", "--region", "all"],
    ):
        assert run("alarm", *wrong, "--dry-run").returncode == 2, wrong

    iam = ("alarm", "iam:CreateUser", "--above", "0", "--dry-run")
    away = run(*iam, AWS_REGION="eu-west-1")
    named = run(*iam, "--region", "eu-west-1")
    assert (away.returncode, named.returncode) == (2, 2)
    assert away.stderr == named.stderr
    assert away.stderr == (
        "apitracker: the calls of iam.amazonaws.com are recorded in us-east-1: give --region "
        "us-east-1; --force takes eu-west-1 all the same\n"
    )


def test_alarm_without_aws(account: str) -> None:
    """An AWS that does not answer is a failure of AWS; a dry run does without."""
    del account
    closed = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}

    done = run("alarm", "ec2:RunInstances", "--above", "1", **closed)
    dry = run("alarm", "ec2:RunInstances", "--above", "1", "--dry-run", **closed)

    assert done.returncode == 3
    assert "cloudwatch:ListMetrics: no whole answer came from AWS" in done.stderr
    assert (dry.returncode, json.loads(dry.stdout)["MetricName"]) == (0, "RunInstances")
    assert dry.stderr.startswith(
        "warning: AWS was not asked which names and metric sets are published: "
        "cloudwatch:ListMetrics: "
    )


# --- dashboards ---------------------------------------------------------------------------------


@pytest.fixture
def used(client: Client, name: str) -> str:
    """A namespace with three APIs, and metrics that are none; its name."""

    def datum(api: str, region: str, calls: int, **more: str) -> dict[str, Any]:
        pairs = {"awsRegion": region, "eventSource": "ec2.amazonaws.com", **more}
        dimensions = [{"Name": n, "Value": v} for n, v in pairs.items()]
        when = datetime.now(UTC) - timedelta(hours=30)
        return {"MetricName": api, "Dimensions": dimensions, "Value": calls, "Timestamp": when}

    data = [
        datum("RunInstances", "eu-west-1", 5),
        datum("RunInstances", "eu-west-1", 5),
        datum("RunInstances", "us-east-1", 8),
        datum("StopInstances", "us-east-1", 9),
        datum("StopInstances", "us-east-1", 99, caller="x"),
    ]
    client("cloudwatch").put_metric_data(Namespace=name, MetricData=data)
    return name


def test_busiest(client: Client, used: str) -> None:
    """Calls are added up over days; metrics with other dimensions are none of ours."""
    now = int(datetime.now(UTC).timestamp())

    assert dashboards.busiest(client("cloudwatch"), used, now=now) == [
        Used("RunInstances", "eu-west-1", "ec2.amazonaws.com", 10),
        Used("StopInstances", "us-east-1", "ec2.amazonaws.com", 9),
        Used("RunInstances", "us-east-1", "ec2.amazonaws.com", 8),
    ]


def test_busiest_of_more_than_a_request(client: Client, name: str) -> None:
    """GetMetricData takes 500 metrics; more are asked for in parts, and none is mixed up."""
    cloudwatch = client("cloudwatch")
    pairs = [{"Name": "awsRegion", "Value": "r"}, {"Name": "eventSource", "Value": "s"}]
    data = [{"MetricName": f"Api{n}", "Dimensions": pairs, "Value": n} for n in range(1, 1_002)]
    for at in range(0, len(data), 1_000):
        cloudwatch.put_metric_data(Namespace=name, MetricData=data[at : at + 1_000])

    found = dashboards.busiest(cloudwatch, name, now=int(datetime.now(UTC).timestamp()) + 60)

    assert [(row.event_name, row.calls) for row in found] == [
        (f"Api{n}", n) for n in range(1_001, 0, -1)
    ]


def test_dashboard_is_stored(client: Client, used: str) -> None:
    """The dashboard has the busiest APIs, and is replaced when it is made again."""
    env = {"APITRACKER_NAMESPACE": used}
    made = run("dashboard", "--top", 1, "--name", used, **env)
    stored = client("cloudwatch").get_dashboard(DashboardName=used)["DashboardBody"]
    printed = run("dashboard", "--top", 1, "--name", used, "--dry-run", **env)
    again = run("dashboard", "--name", used, **env)
    new = client("cloudwatch").get_dashboard(DashboardName=used)["DashboardBody"]

    assert (made.returncode, made.stdout) == (0, "")
    assert made.stderr == f"{used}: a dashboard of 1 APIs\n"
    assert json.loads(stored) == json.loads(printed.stdout)
    assert len(json.loads(stored)["widgets"]) == 4
    assert again.returncode == 0
    assert len(json.loads(new)["widgets"]) == 6


@pytest.mark.usefixtures("account")
def test_dashboard_of_nothing(name: str) -> None:
    """An empty namespace is pointed out."""
    done = run("dashboard", "--dry-run", APITRACKER_NAMESPACE=name)

    assert done.returncode == 0
    assert f"there are no metrics in {name} yet" in done.stderr
    assert run("dashboard", "--name", "a b").returncode == 2
    assert run("dashboard", "--top", "401").returncode == 2


# --- verify -------------------------------------------------------------------------------------

FUNCTION_CODE = "def handler(event, context):\n    return None\n"
TEMPLATE = {
    "Parameters": {"CloudTrailLogGroupName": {"Type": "String"}},
    "Resources": {
        "APITrackerLambdaFunction": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Handler": "index.handler",
                "Runtime": "python3.13",
                "Role": "arn:aws:iam::123456789012:role/r",
                "Code": {"ZipFile": FUNCTION_CODE},
            },
        },
        "FailedEvents": {"Type": "AWS::S3::Bucket"},
    },
}


class Setup:
    """A hand-made deployment: trail, group, filter, function, metrics; all is well with it."""

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name
        self.cloudwatch, self.logs = client("cloudwatch"), client("logs")
        self.functions, self.cloudformation = client("lambda"), client("cloudformation")
        self.s3 = client("s3")
        template = json.loads(json.dumps(TEMPLATE))
        properties = template["Resources"]["APITrackerLambdaFunction"]["Properties"]
        properties["FunctionName"] = f"{name}-f"
        properties["Environment"] = {"Variables": {"APITRACKER_NAMESPACE": name}}
        self.logs.create_log_group(logGroupName=name)
        self.cloudformation.create_stack(
            StackName=name,
            TemplateBody=json.dumps(template),
            Parameters=[{"ParameterKey": "CloudTrailLogGroupName", "ParameterValue": name}],
        )
        self.cloudformation.get_waiter("stack_create_complete").wait(
            StackName=name, WaiterConfig={"Delay": 1}
        )
        self.arn = self.functions.get_function_configuration(FunctionName=f"{name}-f")[
            "FunctionArn"
        ]

    def trail(self) -> None:
        """A trail that delivers to the group, and logs."""
        trails = self.client("cloudtrail")
        trails.create_trail(Name=self.name, S3BucketName=self.name)
        trails.update_trail(
            Name=self.name,
            CloudWatchLogsLogGroupArn=f"arn:aws:logs:{REGION}:123456789012:log-group:{self.name}:*",
            CloudWatchLogsRoleArn="arn:aws:iam::123456789012:role/r",
        )
        trails.start_logging(Name=self.name)

    def subscribe(self) -> None:
        """A subscription filter from the group to the function."""
        self.logs.put_subscription_filter(
            logGroupName=self.name, filterName="f", filterPattern="", destinationArn=self.arn
        )

    def record(self) -> None:
        """A record in the group."""
        self.logs.create_log_stream(logGroupName=self.name, logStreamName="s")
        now = int(datetime.now(UTC).timestamp() * 1_000)
        self.logs.put_log_events(
            logGroupName=self.name,
            logStreamName="s",
            logEvents=[{"timestamp": now, "message": "{}"}],
        )

    def invoke(self, function: str = "", errors: int = 0) -> None:
        """Invocations as Lambda reports them."""
        pairs = [{"Name": "FunctionName", "Value": function or f"{self.name}-f"}]
        for metric, value in (("Invocations", 7), ("Errors", errors)):
            datum = {"MetricName": metric, "Dimensions": pairs, "Value": value}
            self.cloudwatch.put_metric_data(Namespace="AWS/Lambda", MetricData=[datum])

    def metric(self, age: timedelta = timedelta(minutes=7), namespace: str = "") -> None:
        """A call in the namespace, the setup's own if no other is given."""
        pairs = [{"Name": "awsRegion", "Value": "r"}, {"Name": "eventSource", "Value": "s"}]
        when = datetime.now(UTC) - age
        datum = {"MetricName": "Get", "Dimensions": pairs, "Value": 1, "Timestamp": when}
        self.cloudwatch.put_metric_data(Namespace=namespace or self.name, MetricData=[datum])

    def alarm(self, state: str) -> None:
        """An alarm on the namespace, in this state."""
        wanted = alarms.Alarm(
            event_source="s",
            event_name="Get",
            above=9,
            per=60,
            region="r",
            namespace=self.name,
            notify=(f"arn:aws:sns:{REGION}:123456789012:t",),
        )
        alarms.put_alarm(alarms.alarm_request(wanted), self.cloudwatch)
        self.cloudwatch.set_alarm_state(
            AlarmName=alarms.alarm_name(wanted), StateValue=state, StateReason="test"
        )

    @property
    def bucket(self) -> str:
        """The bucket of failed events."""
        found = self.cloudformation.describe_stack_resource(
            StackName=self.name, LogicalResourceId="FailedEvents"
        )
        return str(found["StackResourceDetail"]["PhysicalResourceId"])

    def verify(self) -> tuple[int, dict[str, tuple[str, str]]]:
        """The exit code, and for each check its word and its text; of alarms the first."""
        done = run("verify", "--stack", self.name)
        assert done.stderr == ""
        lines = [re.split(r" {2,}", line, maxsplit=2) for line in done.stdout.splitlines()]
        return done.returncode, {check: (word, text) for word, check, text in reversed(lines)}

    def later(self, **span: int) -> dict[str, tuple[str, str]]:
        """What `verify` will find after this time, if nothing happens."""
        now = int((datetime.now(UTC) + timedelta(**span)).timestamp())
        return {
            check.name: (check.state, check.text)
            for check in verify.verify(self.name, self.client, now=now)
        }


@pytest.fixture
def setup(client: Client, name: str) -> Iterator[Setup]:
    """A stack, of which nothing works yet."""
    made = Setup(client, name)
    yield made
    for key in ("a", "b"):
        made.s3.delete_object(Bucket=made.bucket, Key=key)
    made.cloudformation.delete_stack(StackName=name)


CHECKS = [
    "stack",
    "trail",
    "filter",
    "records",
    "function",
    "failures",
    "metrics",
    "alarms",
    "trackers",
]


def test_verify_what_works(setup: Setup) -> None:
    """Each step that works is a line that says so, with names, numbers and ages."""
    setup.trail()
    setup.record()
    setup.subscribe()
    setup.invoke()
    setup.metric()
    setup.alarm("OK")
    name = setup.name

    code, checks = setup.verify()

    assert code == 0, checks
    assert list(reversed(checks)) == CHECKS
    assert checks == {
        "stack": ("ok", f"{name} is CREATE_COMPLETE"),
        "trail": ("ok", f"arn:aws:cloudtrail:{REGION}:123456789012:trail/{name} is logging"),
        "filter": ("ok", f"{name} sends all records to {name}-f"),
        "records": ("ok", f"{name} received records 0 minutes ago"),
        "function": ("ok", f"{name}-f was invoked 7 times in 3 hours, without errors"),
        "failures": ("ok", f"no failed events wait in {setup.bucket}"),
        "metrics": ("ok", checks["metrics"][1]),
        "alarms": ("ok", "1 alarms, none firing; each notifies somebody"),
        "trackers": ("ok", f"no other tracker publishes to {name}"),
    }
    assert re.fullmatch(
        rf"the latest call in {name} was made [78] minutes ago", checks["metrics"][1]
    )


@pytest.mark.parametrize(
    ("sets", "usage", "word", "text"),
    [
        ("api,outcomes", False, "wrong", "no metrics in {} for 3 hours: see to the function"),
        ("service", False, "wrong", "no metrics in {}/Usage for 3 hours: see to the function"),
        ("service", True, "ok", "the latest call in {}/Usage was made"),
        ("outcomes", False, "ok", "no metrics in {}/Usage for 3 hours: only calls that went wrong"),
        ("outcomes", True, "ok", "the latest call in {}/Usage was made"),
    ],
)
def test_verify_looks_where_metrics_are(
    setup: Setup, sets: str, *, usage: bool, word: str, text: str
) -> None:
    """Metrics are looked for where the chosen sets are, and missed if each call makes one."""
    setup.functions.update_function_configuration(
        FunctionName=f"{setup.name}-f",
        Environment={"Variables": {"APITRACKER_NAMESPACE": setup.name, "APITRACKER_METRICS": sets}},
    )
    setup.trail()
    setup.subscribe()
    setup.record()
    setup.invoke()
    if usage:  # in an hour, which is when it is looked at: the stack is no longer new then
        setup.metric(timedelta(hours=-1), namespace=f"{setup.name}/Usage")

    found, said = setup.later(hours=1)["metrics"]

    assert found == word
    assert said.startswith(text.format(setup.name))


def test_verify_right_after_a_deployment(setup: Setup) -> None:
    """What has not come yet waits, in one line with its reason, and nothing is wrong."""
    setup.trail()
    setup.subscribe()
    name = setup.name

    code, checks = setup.verify()

    assert code == 0
    assert {check: word for check, (word, _) in checks.items()} == {
        "stack": "ok",
        "trail": "ok",
        "filter": "ok",
        "failures": "ok",
        "traffic": "waiting",
        "alarms": "ok",
        "trackers": "ok",
    }
    assert checks["traffic"][1] == (
        f"records, function, metrics: {name} was deployed 0 minutes ago; the first records take up "
        "to 15 minutes: run verify again after that"
    )


def test_verify_when_nothing_came(setup: Setup) -> None:
    """What has not come long after the deployment is wrong once: where it stopped."""
    setup.trail()
    setup.subscribe()
    name = setup.name

    checks = setup.later(minutes=31)
    setup.record()
    later = setup.later(minutes=32)

    assert checks["records"] == (
        "wrong",
        f"{name} has never received a record: see to the trail",
    )
    assert checks["traffic"] == (
        "waiting",
        "function, metrics: nothing comes before this is mended: records",
    )
    assert not {"function", "metrics"} & set(checks)
    assert later["records"][0] == "ok"
    assert later["function"][0] == "wrong"
    assert later["function"][1].startswith(f"{name}-f was not invoked in 3 hours: ")
    assert later["traffic"] == (
        "waiting",
        "metrics: nothing comes before this is mended: function",
    )


def test_verify_what_does_nothing(setup: Setup) -> None:
    """Of a stack that nothing flows through, each cause is wrong, and says what to do."""
    name = setup.name

    code, checks = setup.verify()

    assert code == 1
    assert {check for check, (word, _) in checks.items() if word == "wrong"} == {"trail", "filter"}
    assert checks["trail"][1].startswith(f"no trail delivers to {name}: give one")
    assert checks["filter"][1].startswith(f"{name} has no subscription filter to {name}-f: ")
    assert checks["traffic"] == (
        "waiting",
        "records, function, metrics: nothing comes before this is mended: trail, filter",
    )


def test_verify_alarms(setup: Setup) -> None:
    """An alarm on a set that is not deployed is wrong; one that notifies nobody is a warning."""
    setup.trail()
    setup.subscribe()
    setup.alarm("ALARM")
    env = {"APITRACKER_NAMESPACE": setup.name}
    throttled = ("alarm", "ec2:RunInstances", "--above", 1, "--outcome", "throttled", "--force")
    assert run(*throttled, "--stack", setup.name, **env).returncode == 0

    done = run("verify", "--stack", setup.name)

    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if "  alarms  " in line]
    alarm = f"{setup.name} ec2.amazonaws.com:RunInstances us-east-1 throttled"
    assert lines == [
        (
            f"wrong    alarms    never firing: {alarm}: Throttled in {setup.name}/Usage is not "
            "published; add the metric set outcomes: deploy this version over it, with "
            "MetricSets=api,outcomes"
        ),
        f"warning  alarms    firing, as calls are above the threshold: {setup.name} s:Get r",
        (
            f"warning  alarms    notifying nobody: {alarm}: give the stack AlarmEmail or "
            "AlarmTopicArn, and your own alarms --notify"
        ),
    ]


def test_verify_what_is_broken(setup: Setup) -> None:
    """A stopped trail, failing invocations, an alarm that fires, a second tracker."""
    name = setup.name
    setup.trail()
    setup.client("cloudtrail").stop_logging(Name=name)
    setup.record()
    setup.subscribe()
    setup.invoke(errors=2)
    setup.metric(timedelta(minutes=47))
    setup.alarm("ALARM")
    for key in ("a", "b"):
        setup.s3.put_object(Bucket=setup.bucket, Key=key, Body=b"{}")
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("index.py", FUNCTION_CODE)
    setup.functions.create_function(
        FunctionName=f"{name}-other",
        Runtime="python3.13",
        Handler="index.handler",
        Role="arn:aws:iam::123456789012:role/r",
        Code={"ZipFile": code.getvalue()},
        Environment={"Variables": {"APITRACKER_NAMESPACE": name}},
    )
    assert setup.verify()[1]["trackers"] == ("ok", f"no other tracker publishes to {name}")
    setup.invoke(f"{name}-other")

    returned, checks = setup.verify()
    setup.functions.delete_function(FunctionName=f"{name}-other")

    assert returned == 1
    assert checks["failures"] == (
        "wrong",
        (
            f"2 failed events wait in {setup.bucket}, for 30 days: mend what the log of {name}-f "
            f"says, then apitracker redrive --stack {name}"
        ),
    )
    assert checks["trail"][1].endswith(
        f"aws cloudtrail start-logging --name arn:aws:cloudtrail:{REGION}:123456789012:trail/{name}"
    )
    assert checks["function"] == (
        "wrong",
        (
            f"2 of 7 invocations of {name}-f failed in 3 hours: aws logs tail "
            f"/aws/lambda/{name}-f --since 3h"
        ),
    )
    assert checks["traffic"] == (
        "waiting",
        "metrics: nothing comes before this is mended: trail, function",
    )
    assert checks["alarms"] == (
        "warning",
        f"firing, as calls are above the threshold: {name} s:Get r",
    )
    assert checks["trackers"][0] == "wrong"
    assert f"also publishing to {name}: {name}-other: " in checks["trackers"][1]


@pytest.mark.usefixtures("account")
def test_verify_no_stack(name: str) -> None:
    """A stack that is not there is the only line."""
    done = run("verify", "--stack", name)

    assert done.returncode == 1
    assert done.stdout == (
        f"wrong    stack     there is no stack or function {name} here: deploy it, or give its "
        "name with --stack and its region with AWS_REGION\n"
    )


# --- publish ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recent(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Counter[tuple[str, ...]]]:
    """
    The real records, each moved by whole days into the last day but one; and their golden counts.

    The golden counts are moved by the same rule, so that a mistake in reading shows.
    """
    folder = tmp_path_factory.mktemp("recent")
    today = int(datetime.now(UTC).timestamp()) // 86_400 * 86_400

    def moved(text: str, form: str) -> int:
        second = timegm(datetime.strptime(text, form).timetuple())  # noqa: DTZ007 - UTC by timegm
        return today - 86_400 + second % 86_400

    for n, path in enumerate(sorted((DATA / "s3").rglob("*.json.gz"))):
        records = json.loads(gzip.decompress(path.read_bytes()))["Records"]
        for record in records:
            second = moved(record["eventTime"], "%Y-%m-%dT%H:%M:%SZ")
            record["eventTime"] = f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"
        # Not by its own name: that says a time, too, which rules it out where --since is given.
        (folder / f"{n}.json.gz").write_bytes(
            gzip.compress(json.dumps({"Records": records}).encode(), 1)
        )
    golden: Counter[tuple[str, ...]] = Counter()
    with (DATA / "golden" / "by_minute.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            minute = str(moved(row["minute"], "%Y-%m-%dT%H:%MZ"))
            values = (row[field] or "-" for field in ("eventName", "awsRegion", "eventSource"))
            golden[minute, *values] += int(row["count"])
    return folder, golden


@real
def test_published_is_what_was_called(
    client: Client, name: str, recent: tuple[Path, Counter[tuple[str, ...]]]
) -> None:
    """Real records are published to the last call, as CloudWatch gives them back."""
    folder, golden = recent
    since = min(int(key[0]) for key in golden)

    done = run("publish", folder, APITRACKER_NAMESPACE=name)

    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert f"{golden.total():,} calls" in done.stderr.splitlines()[-1]
    assert published(client("cloudwatch"), name, since=since) == golden


@real
def test_publishing_in_two_parts(
    client: Client, name: str, recent: tuple[Path, Counter[tuple[str, ...]]]
) -> None:
    """Up to a time and from it on are the whole, with no call twice."""
    folder, golden = recent
    since = min(int(key[0]) for key in golden)
    noon = f"{datetime.fromtimestamp(since // 86_400 * 86_400 + 43_207, UTC):%Y-%m-%dT%H:%M:%SZ}"

    for part in ("--until", "--since"):
        assert run("publish", folder, part, noon, APITRACKER_NAMESPACE=name).returncode == 0

    assert published(client("cloudwatch"), name, since=since) == golden


@pytest.mark.usefixtures("account")
def test_going_on_with_another_run(tmp_path: Path) -> None:
    """Batches that are not those of the run that stopped are not published."""
    record = {
        "eventTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "eventName": "Get",
        "eventID": "1",
    }
    (tmp_path / "a.json").write_text(json.dumps({"Records": [record]}))

    done = run("publish", tmp_path / "a.json", "--resume", "0123456789ab:0")

    assert done.returncode == 2
    assert "give the same, --until above all" in done.stderr
