"""The stack on a local AWS: packaged, deployed, fed with real records, changed and removed."""

import json
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from tests.real import DATA, golden, moved, of_day, published, records
from tests.stack import ROOT, Account, Client, aws, build, names, one, package

from apitracker.operations.cloudwatch import get_sums, list_metrics

PREDECESSOR = ROOT / "tests" / "predecessor.json"
OWN = {"NewTrail", "NewTrailRole", "NewTrailCWLogGroup", "NewTrailBucket", "NewTrailBucketPolicy"}

real = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not here")


@pytest.fixture(scope="session")
def built(aws: str, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001
    """A folder with the template, and the function built for the emulator's Python."""
    return build(tmp_path_factory.mktemp("stack"))


@pytest.fixture
def here(client: Client, name: str, built: Path, tmp_path: Path) -> Iterator[Account]:
    """An account with a trail's log group, and the template packaged into a bucket of its."""
    packaged = package(client, name, built, tmp_path)
    account = Account(client, name, packaged, bucket=name)
    yield account
    client("cloudformation").delete_stack(StackName=name)


@real
def test_golden_counts(here: Account) -> None:
    """Real records, put into an existing group, are in CloudWatch to the last call."""
    here.deploy(here.package, CloudTrailLogGroupName=here.group, MetricNamespace=here.name)
    end = int(time.time())
    events = iter(sorted(moved(record, end) for record in records()))
    payloads = 0

    # One after the other: the emulator loses what comes while a function is still starting.
    while some := list(islice(events, 400)):
        here.put(some, stream=f"123456789012_CloudTrail_us-east-1_{payloads}")
        payloads += 1
        lines = here.tracked(payloads)

    expected = golden()
    assert of_day(published(here.client("cloudwatch"), here.name)) == expected
    assert sum(line["Received"] for line in lines) == expected.total()
    assert sum(line["Counted"] for line in lines) == expected.total()
    assert sum(line["Refused"] + line["Rejected"] + line["PublishRetries"] for line in lines) == 0


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
        "BudgetReached",
        "CallsLate",
        "CallsRefused",
        "EventsKept",
        "EventsLost",
        "FunctionErrors",
        "FunctionThrottled",
        "NoInvocations",
        "PagesInDoubt",
        "RecordsRejected",
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

    assert {(alarm["Namespace"], alarm["MetricName"]) for alarm in alarms} == {
        ("API-COUNT/Tracker", "InDoubt"),
        ("API-COUNT/Tracker", "Lag"),
        ("API-COUNT/Tracker", "Other"),
        ("API-COUNT/Tracker", "Refused"),
        ("API-COUNT/Tracker", "Rejected"),
        ("AWS/Lambda", "AsyncEventsDropped"),
        ("AWS/Lambda", "DestinationDeliveryFailures"),
        ("AWS/Lambda", "Errors"),
        ("AWS/Lambda", "Invocations"),
        ("AWS/Lambda", "Throttles"),
    }
    assert all(alarm["AlarmActions"] == [made["AlarmTopic"]] for alarm in alarms)
    assert made["APITrackerLambdaFunction"] in dashboard["DashboardBody"]
    assert json.loads(dashboard["DashboardBody"])["widgets"]
    assert here.outputs["DashboardConsole"].endswith(f"name={here.name}-us-east-1")
    assert here.outputs["FunctionName"] == made["APITrackerLambdaFunction"]
    assert here.outputs["Notifications"] == (
        "ops@example.com, once it has confirmed the subscription"
    )


def test_ledger_and_failed_events(here: Account) -> None:
    """The function is told of its table, and Lambda of the bucket for failed events."""
    here.deploy(here.package, CloudTrailLogGroupName=here.group, LedgerDown="publish")
    made, outputs = here.resources, here.outputs
    dynamodb, functions = here.client("dynamodb"), here.client("lambda")
    name = made["APITrackerLambdaFunction"]

    table = dynamodb.describe_table(TableName=made["Ledger"])["Table"]
    failing = functions.get_function_event_invoke_config(FunctionName=name, Qualifier="$LATEST")
    function = functions.get_function_configuration(FunctionName=name)
    role = here.client("iam").get_role(RoleName=made["APITrackerLambdaFunctionRole"])["Role"]

    assert outputs["LedgerTable"] == made["Ledger"]
    assert outputs["FailedEventsBucket"] == made["FailedEvents"]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert failing["DestinationConfig"]["OnFailure"] == {
        "Destination": f"arn:aws:s3:::{made['FailedEvents']}"
    }
    assert (failing["MaximumRetryAttempts"], failing["MaximumEventAgeInSeconds"]) == (2, 21_600)
    assert function["Environment"]["Variables"] == {
        "APITRACKER_NAMESPACE": "API-COUNT",
        "APITRACKER_METRICS": "api",
        "APITRACKER_INCLUDE": "",
        "APITRACKER_EXCLUDE": "",
        "APITRACKER_LEDGER": made["Ledger"],
        "APITRACKER_LEDGER_DOWN": "publish",
        "APITRACKER_BUDGET": "5000",
        "APITRACKER_KEEP": "",
        "APITRACKER_RECORDED": "",
        "APITRACKER_OWN_ROLE": role["Arn"],
    }


def test_a_guarded_account(here: Account) -> None:
    """A boundary and a path deploy; the function knows its role by an ARN with the path."""
    here.deploy(
        here.package,
        CloudTrailLogGroupName=here.group,
        PermissionsBoundaryArn="arn:aws:iam::aws:policy/PowerUserAccess",
        RolePath="/trackers/",
    )

    made = here.resources
    role = here.client("iam").get_role(RoleName=made["APITrackerLambdaFunctionRole"])["Role"]
    function = here.client("lambda").get_function_configuration(
        FunctionName=made["APITrackerLambdaFunction"]
    )
    assert role["Path"] == "/trackers/"  # the local AWS keeps no boundary of a template's role
    assert function["Environment"]["Variables"]["APITRACKER_OWN_ROLE"] == role["Arn"]
    assert here.outputs["Notifications"].startswith("NOBODY is told.")


def test_metric_sets(here: Account) -> None:
    """Sets that are chosen, and the one that an alarm asks for, are published beside each other."""
    here.deploy(
        here.package,
        CloudTrailLogGroupName=here.group,
        MetricNamespace=here.name,
        MetricSets="service,api",
        ThrottlesAbove=0,
    )
    here.put([one("GetUser", errorCode="ThrottlingException"), one("GetUser")])
    here.tracked(1)

    cloudwatch = here.client("cloudwatch")
    assert names(published(cloudwatch, here.name)) == {"GetUser": 2}
    usage = list_metrics(cloudwatch, f"{here.name}/Usage")
    now = int(time.time())
    found = get_sums(cloudwatch, usage, period=60, start=now - 600, end=now + 60)
    pairs = (("awsRegion", "us-east-1"), ("eventSource", "iam.amazonaws.com"))
    assert {(m.name, m.dimensions): sum(values.values()) for m, values in found.items()} == {
        ("Calls", pairs): 2,
        ("Throttled", (pairs[0], ("eventName", "GetUser"), pairs[1])): 1,
    }


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
    """Deleting the stack leaves the trail's group, and of ours what was not counted."""
    here.deploy(here.package, CloudTrailLogGroupName=here.group)
    made = here.resources
    failed = {"Bucket": made["FailedEvents"], "Key": "aws/lambda/async/f/2026/11/01/1"}
    here.client("s3").put_object(**failed, Body=b"{}")

    aws("cloudformation", "delete-stack", "--stack-name", here.name)
    aws("cloudformation", "wait", "stack-delete-complete", "--stack-name", here.name)

    logs, functions = here.client("logs"), here.client("lambda").list_functions()["Functions"]
    assert made["APITrackerLambdaFunction"] not in {each["FunctionName"] for each in functions}
    assert not logs.describe_log_groups(logGroupNamePrefix=made["APITrackerCWLogs"])["logGroups"]
    assert not logs.describe_subscription_filters(logGroupName=here.group)["subscriptionFilters"]
    assert made["Ledger"] not in here.client("dynamodb").list_tables()["TableNames"]
    assert here.client("s3").get_object(**failed)["Body"].read() == b"{}"
    assert not here.client("cloudwatch").describe_alarms(AlarmNamePrefix=here.name)["MetricAlarms"]
    assert not here.client("cloudwatch").list_dashboards(DashboardNamePrefix=here.name)[
        "DashboardEntries"
    ]


def test_package_can_be_deployed(here: Account, built: Path, tmp_path: Path) -> None:
    """What is made of the whole template is no larger than CloudFormation reads from a bucket."""
    whole, packaged = built / "whole.yaml", tmp_path / "packaged.yaml"
    whole.write_bytes((ROOT / "sam.yaml").read_bytes())
    aws(
        *("cloudformation", "package", "--template-file", whole),
        *("--output-template-file", packaged),
        *("--s3-bucket", here.name, "--s3-prefix", "code"),
    )

    assert len(packaged.read_bytes()) <= 1_000_000


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
