"""A deployed tracker is found by the name of its stack or, without a stack, of its function."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.answers import Answer, answering, together

from apitracker.aws import RefusedError
from apitracker.core.metric_sets import MetricSelection
from apitracker.errors import ServiceError, SettingsError
from apitracker.operations.deployment import (
    Deployment,
    NotDeployedError,
    command_adding,
    find,
)
from apitracker.operations.redrive import open_failed_events
from apitracker.operations.verify import Check, check_stack
from apitracker.tracker.retries import SystemClock

ARN = "arn:aws:lambda:eu-west-1:111122223333:function:tracker"
NO_STACK: Answer = ("describe_stacks", {"code": "ValidationError"})
DENIED: dict[str, Any] = {"code": "AccessDeniedException"}
MISSING: dict[str, Any] = {"code": "ResourceNotFoundException"}
NO_FUNCTION: Answer = ("get_function_configuration", MISSING)
TAGS: Answer = ("list_tags", {"Tags": {"apitracker:log-group": "trail-group", "team": "ops"}})
KEPT: Answer = (
    "get_function_event_invoke_config",
    {"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:s3:::failed"}}},
)


def configuration(**variables: str) -> Answer:
    """What Lambda says of a function with these environment variables."""
    return "get_function_configuration", {
        "FunctionName": "tracker",
        "FunctionArn": ARN,
        "LastModified": "2026-10-01T12:00:00.000+0000",
        "Environment": {"Variables": variables},
    }


def find_where(stacks: list[Answer], functions: list[Answer]) -> Deployment:
    """Find the tracker where CloudFormation and Lambda give these answers."""
    with (
        answering("cloudformation", *stacks) as one,
        answering("lambda", *functions) as two,
    ):
        return find("tracker", together(cloudformation=one, functions=two))


def test_a_stack() -> None:
    """The parts of a stack are its resources; a log group that was given is a parameter."""
    time = datetime(2026, 10, 1, tzinfo=UTC)
    resources = {
        "APITrackerLambdaFunction": ("AWS::Lambda::Function", "stack-f"),
        "Ledger": ("AWS::DynamoDB::Table", "table"),
        "FailedEvents": ("AWS::S3::Bucket", "bucket"),
        "NewTrailCWLogGroup": ("AWS::Logs::LogGroup", "own-group"),
        "NewTrail": ("AWS::CloudTrail::Trail", "trail"),
        "AlarmSubscription": ("AWS::SNS::Subscription", "arn:sub"),
        "FunctionErrors": ("AWS::CloudWatch::Alarm", "errors"),
    }
    stack = {
        "StackName": "tracker",
        "CreationTime": time,
        "LastUpdatedTime": datetime(2026, 10, 2, tzinfo=UTC),
        "StackStatus": "UPDATE_COMPLETE",
        "Parameters": [{"ParameterKey": "MetricSets", "ParameterValue": "api"}],
    }
    listed = [
        {
            "LogicalResourceId": logical_id,
            "ResourceType": kind,
            "PhysicalResourceId": name,
            "Timestamp": time,
            "ResourceStatus": "CREATE_COMPLETE",
        }
        for logical_id, (kind, name) in resources.items()
    ]

    deployment = find_where(
        [
            ("describe_stacks", {"Stacks": [stack]}),
            ("describe_stack_resources", {"StackResources": listed}),
        ],
        [configuration(APITRACKER_NAMESPACE="Ours")],
    )

    assert deployment == Deployment(
        name="tracker",
        function="stack-f",
        log_group="own-group",
        trail="trail",
        ledger="table",
        subscription="arn:sub",
        alarms=frozenset({"errors"}),
        status="UPDATE_COMPLETE",
        parameters={"MetricSets": "api"},
        changed=1_790_899_200,
        seen_configuration=deployment.configuration,
        seen_bucket="bucket",
    )
    assert (deployment.namespace, deployment.settings.namespace) == ("Ours", "Ours")
    assert deployment.selection == MetricSelection(namespace="Ours")


def test_a_function_without_a_stack() -> None:
    """Its parts are in its environment, its tag and its destination for failed events."""
    deployment = find_where(
        [NO_STACK],
        [configuration(APITRACKER_LEDGER="table", APITRACKER_METRICS="api,service"), TAGS, KEPT],
    )

    assert deployment == Deployment(
        name="tracker",
        function="tracker",
        log_group="trail-group",
        ledger="table",
        changed=1_790_856_000,
        seen_configuration=deployment.configuration,
        seen_bucket="failed",
    )
    assert deployment.selection.metrics == ("api", "service")
    assert check_stack(deployment) == Check("stack", "ok", "tracker is a function without a stack")
    assert command_adding("outcomes", deployment) == (
        "set APITRACKER_METRICS=api,service,outcomes in the environment of tracker"
    )


def test_a_function_without_its_tag() -> None:
    """The command gives it the tag."""
    deployment = find_where([NO_STACK], [configuration(), ("list_tags", {"Tags": {}}), KEPT])

    assert check_stack(deployment) == Check(
        "stack",
        "wrong",
        "tracker is a function without a stack and has no tag apitracker:log-group: name its log "
        f"group, with aws lambda tag-resource --resource {ARN} --tags apitracker:log-group=…",
    )


@pytest.mark.parametrize("answer", [MISSING, {}, {"DestinationConfig": {"OnFailure": {}}}])
def test_a_function_that_keeps_no_failed_events(answer: dict[str, Any]) -> None:
    """Without a bucket there is nothing to redrive."""
    deployment = find_where(
        [NO_STACK],
        [configuration(), TAGS, ("get_function_event_invoke_config", answer)],
    )

    assert deployment.failed_events == ""
    with pytest.raises(ServiceError, match=r"^tracker keeps no failed events: "):
        open_failed_events(deployment, SystemClock())


def test_a_destination_that_may_not_be_seen() -> None:
    """A permission that is missing is an error for those who need its answer, and no one else."""
    deployment = find_where(
        [NO_STACK],
        [configuration(), TAGS, ("get_function_event_invoke_config", DENIED)],
    )

    assert deployment.log_group == "trail-group"
    with pytest.raises(
        RefusedError, match=r"^lambda:GetFunctionEventInvokeConfig was refused: AccessDenied"
    ):
        _ = deployment.failed_events


def test_a_function_where_stacks_may_not_be_seen() -> None:
    """Who deploys without CloudFormation needs no permission for it."""
    found = find_where(
        [("describe_stacks", {"code": "AccessDenied"})], [configuration(), TAGS, KEPT]
    )

    assert found.function == "tracker"


def test_a_bad_setting() -> None:
    """A function that cannot start is found; only its settings are an error."""
    found = find_where([NO_STACK], [configuration(APITRACKER_BUDGET="many"), TAGS, KEPT])

    with pytest.raises(SettingsError, match="APITRACKER_BUDGET"):
        _ = found.settings


@pytest.mark.parametrize(
    ("functions", "text"),
    [
        (MISSING, "there is no stack or function tracker here: deploy it, or give its name"),
        (
            DENIED,
            (
                "there is no stack or function tracker here (lambda:GetFunctionConfiguration was "
                "refused: AccessDeniedException: No.: allow lambda:GetFunctionConfiguration to "
                "these credentials): deploy it, or give its name"
            ),
        ),
    ],
)
def test_nothing_of_this_name(functions: dict[str, Any], text: str) -> None:
    """It is said that neither is there, and with it what could not be seen."""
    with pytest.raises(NotDeployedError) as info:
        find_where([NO_STACK], [("get_function_configuration", functions)])

    assert str(info.value) == f"{text} with --stack and its region with AWS_REGION"


def test_stacks_that_may_not_be_seen() -> None:
    """Where no function has the name, the permission to see stacks is what is missing."""
    with pytest.raises(RefusedError, match=r"^cloudformation:DescribeStacks was refused"):
        find_where([("describe_stacks", {"code": "AccessDenied"})], [NO_FUNCTION])
