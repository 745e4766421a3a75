"""
What verifying makes of AWS's answers. The steps against a local AWS are in aws/test_commands.py.

The answers that the local AWS never gives are put into boto3's own client by its Stubber, which
holds them and the requests to the service's model.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from apitracker.account import verify
from apitracker.account.clients import RefusedError
from apitracker.account.verify import Check, Clients, Deployed

NOW = int(datetime(2026, 10, 1, 12, tzinfo=UTC).timestamp())
FUNCTION = "cloudwatch-api-tracker-APITrackerLambdaFunction-1ABC"
ARN = f"arn:aws:lambda:eu-west-1:111122223333:function:{FUNCTION}"
DEPLOYED = Deployed(
    "cloudwatch-api-tracker",
    {"APITrackerLambdaFunction": FUNCTION, "NewTrail": "trail"},
    "trail-group",
    frozenset({"stack-alarm"}),
)
GIVEN = Deployed("s", {"APITrackerLambdaFunction": FUNCTION}, "trail-group", frozenset())


@contextmanager
def answering(service: str, *answers: tuple[str, dict[str, Any]]) -> Iterator[Clients]:
    """Clients of which that of *service* gives these answers, and the others none."""
    client = boto3.session.Session(
        aws_access_key_id="x", aws_secret_access_key="x", region_name="eu-west-1"
    ).client(service)
    stubber = Stubber(client)
    for operation, answer in answers:
        if "code" in answer:
            stubber.add_client_error(operation, answer["code"], answer.get("message", "No."))
        else:
            stubber.add_response(operation, answer)
    attribute = "functions" if service == "lambda" else service
    services = ("cloudformation", "cloudtrail", "logs", "functions", "cloudwatch", "s3")
    with stubber:
        yield Clients(**{each: client if each == attribute else None for each in services})
    client.close()


def status(**more: object) -> tuple[str, dict[str, Any]]:
    """The status of a trail that logs, but for what is given."""
    return "get_trail_status", {"IsLogging": True, **more}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (status(), (True, "trail is logging")),
        (
            status(LatestCloudWatchLogsDeliveryTime=datetime(2026, 10, 1, 11, 53, tzinfo=UTC)),
            (True, "trail is logging; it delivered 7 minutes ago"),
        ),
        (
            status(IsLogging=False),
            (False, "trail is not logging: aws cloudtrail start-logging --name trail"),
        ),
        (
            status(LatestCloudWatchLogsDeliveryError="Access denied."),
            (
                False,
                (
                    "trail cannot deliver to CloudWatch Logs: Access denied.: its role needs "
                    "logs:CreateLogStream and logs:PutLogEvents on trail-group"
                ),
            ),
        ),
    ],
)
def test_trail(answer: tuple[str, dict[str, Any]], expected: tuple[bool, str]) -> None:
    """A trail logs and delivers, or what to do is said."""
    with answering("cloudtrail", answer) as clients:
        assert verify.trail(DEPLOYED, clients, NOW) == expected


def test_trail_of_an_existing_group() -> None:
    """The trail that delivers to a log group that was there before is found by the group."""
    group = "arn:aws:logs:eu-west-1:111122223333:log-group:{}:*"
    trails = {
        "trailList": [
            {"TrailARN": "arn:a", "CloudWatchLogsLogGroupArn": group.format("trail-group-2")},
            {"TrailARN": "arn:b"},
            {"TrailARN": "arn:c", "CloudWatchLogsLogGroupArn": group.format("trail-group")},
        ]
    }

    with answering("cloudtrail", ("describe_trails", trails), status()) as clients:
        assert verify.trail(GIVEN, clients, NOW) == (True, "arn:c is logging")
    with answering("cloudtrail", ("describe_trails", {"trailList": []})) as clients:
        ok, text = verify.trail(GIVEN, clients, NOW)
    assert not ok
    assert text.startswith("no trail delivers to trail-group: give one this log group")


Step = Callable[[Deployed, Clients], tuple[bool, str]]


@pytest.mark.parametrize(
    ("service", "operation", "step", "action"),
    [
        (
            "cloudtrail",
            "get_trail_status",
            lambda d, c: verify.trail(d, c, NOW),
            "cloudtrail:GetTrailStatus",
        ),
        (
            "logs",
            "describe_subscription_filters",
            verify.subscribed,
            "logs:DescribeSubscriptionFilters",
        ),
        (
            "logs",
            "describe_log_streams",
            lambda d, c: verify.received(d, c, NOW),
            "logs:DescribeLogStreams",
        ),
        (
            "lambda",
            "get_function_configuration",
            lambda d, c: verify.invoked(d, c, NOW),
            "lambda:GetFunctionConfiguration",
        ),
    ],
)
def test_a_missing_permission_is_named(
    service: str, operation: str, step: Step, action: str
) -> None:
    """A step that may not be taken says which permission it lacks."""
    denied = (operation, {"code": "AccessDeniedException"})
    with (
        answering(service, denied) as clients,
        pytest.raises(RefusedError, match=f"^{action} was refused: .*: allow {action} to these"),
    ):
        step(DEPLOYED, clients)


def test_a_stack_that_may_not_be_seen() -> None:
    """Without permission to see the stack there is one line, and it is wrong."""
    denied = ("describe_stacks", {"code": "AccessDenied"})
    with answering("cloudformation", denied) as clients:
        checks = list(verify.verify("s", clients, now=NOW))

    assert checks == [
        Check(
            "stack",
            ok=False,
            text="cannot tell: cloudformation:DescribeStacks was refused: AccessDenied: No.: allow "
            "cloudformation:DescribeStacks to these credentials",
        )
    ]


def stack(
    *resources: tuple[str, str, str], state: str = "CREATE_COMPLETE", **parameters: str
) -> tuple[tuple[str, dict[str, Any]], tuple[str, dict[str, Any]]]:
    """What CloudFormation says of a stack with *resources*: logical id, type, physical id."""
    time = datetime(2026, 10, 1, tzinfo=UTC)
    given = [{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()]
    one = {"StackName": "s", "CreationTime": time, "StackStatus": state, "Parameters": given}
    parts = [
        {
            "LogicalResourceId": logical,
            "ResourceType": kind,
            "PhysicalResourceId": physical,
            "Timestamp": time,
            "ResourceStatus": "CREATE_COMPLETE",
        }
        for logical, kind, physical in resources
    ]
    return (
        ("describe_stacks", {"Stacks": [one]}),
        ("describe_stack_resources", {"StackResources": parts}),
    )


LAMBDA = ("APITrackerLambdaFunction", "AWS::Lambda::Function", FUNCTION)


def test_a_stack_is_looked_up() -> None:
    """Names come from the stack: the log group from its parameter, or else of its own."""
    with answering(
        "cloudformation",
        *stack(
            LAMBDA,
            ("NewTrailCWLogGroup", "AWS::Logs::LogGroup", "own"),
            ("Errors", "AWS::CloudWatch::Alarm", "errors-alarm"),
        ),
        *stack(LAMBDA, CloudTrailLogGroupName="given"),
    ) as clients:
        own, check = verify.look_up("s", clients)
        given, _ = verify.look_up("s", clients)

    assert check == Check("stack", ok=True, text="s is CREATE_COMPLETE")
    assert own is not None
    assert given is not None
    assert (own.function, own.group, given.group) == (FUNCTION, "own", "given")
    assert own.alarms == {"errors-alarm"}


def test_a_stack_that_is_not_well() -> None:
    """A stack that failed is wrong, but what it has is checked; another's stack is not."""
    with answering(
        "cloudformation",
        *stack(LAMBDA, state="UPDATE_ROLLBACK_COMPLETE", CloudTrailLogGroupName="given"),
        *stack(("Bucket", "AWS::S3::Bucket", "b"), CloudTrailLogGroupName="given"),
        *stack(LAMBDA),
    ) as clients:
        failed, check = verify.look_up("s", clients)
        assert failed is not None
        assert check == Check(
            "stack",
            ok=False,
            text="s is UPDATE_ROLLBACK_COMPLETE: see its events, and deploy again",
        )
        for what in ("APITrackerLambdaFunction", "log group of a trail"):
            none, check = verify.look_up("s", clients)
            assert none is None
            assert check.text == f"s has no {what}: is it the tracker's stack?"


@pytest.mark.parametrize(
    ("alarm", "ours"),
    [
        ({"AlarmName": "stack-alarm"}, True),
        ({"AlarmName": "a", "Namespace": "API-COUNT"}, True),
        ({"AlarmName": "a", "Namespace": "API-COUNT/Tracker"}, True),
        ({"AlarmName": "a", "Namespace": "API-COUNTER"}, False),
        ({"AlarmName": "a", "Namespace": "AWS/Lambda"}, False),
        (
            {
                "AlarmName": "a",
                "Namespace": "AWS/Lambda",
                "Dimensions": [{"Name": "FunctionName", "Value": FUNCTION}],
            },
            True,
        ),
        (
            {"AlarmName": "a", "Metrics": [{"Id": "q", "Expression": 'FROM SCHEMA("API-COUNT")'}]},
            True,
        ),
        (
            {
                "AlarmName": "a",
                "Metrics": [{"Id": "q", "Expression": 'FROM SCHEMA("API-COUNT/Usage", caller)'}],
            },
            True,
        ),
        ({"AlarmName": "a", "Metrics": [{"Id": "q", "Expression": 'FROM "API-COUNTER"'}]}, False),
        ({"AlarmName": "a", "Metrics": [{"Id": "q", "Expression": 'FROM "AWS/EC2"'}]}, False),
    ],
)
def test_whose_alarm(alarm: dict[str, Any], *, ours: bool) -> None:
    """Alarms of the stack, on the function and on what is published are ours."""
    alarms = {"MetricAlarms": [{**alarm, "StateValue": "ALARM"}]}
    configuration = ("get_function_configuration", {"FunctionName": FUNCTION})
    with (
        answering("cloudwatch", ("describe_alarms", alarms)) as one,
        answering("lambda", configuration) as other,
    ):
        clients = Clients(None, None, None, other.functions, one.cloudwatch, None)
        ok, text = verify.quiet(DEPLOYED, clients)

    assert ok is not ours
    assert text == (
        f"ringing: {alarm['AlarmName']}: see its reason in CloudWatch" if ours else "there are none"
    )


def test_two_trackers_on_one_group() -> None:
    """Another function that the group feeds counts double, if it publishes to the same place."""
    other = ARN.replace(FUNCTION, "made-by-hand")
    filters = {
        "subscriptionFilters": [
            {"filterName": "a", "destinationArn": ARN},
            {"filterName": "b", "destinationArn": other},
        ]
    }

    def alone(**configuration: object) -> tuple[bool, str]:
        functions = [
            {"FunctionName": FUNCTION, "Handler": "app.handler"},
            {"FunctionName": "made-by-hand", **configuration},
        ]
        with (
            answering("logs", ("describe_subscription_filters", filters)) as one,
            answering(
                "lambda",
                ("get_function_configuration", {"FunctionName": FUNCTION}),
                ("list_functions", {"Functions": functions}),
            ) as two,
        ):
            clients = Clients(None, None, one.logs, two.functions, None, None)
            return verify.alone(DEPLOYED, clients, NOW)

    elsewhere = {"Variables": {"APITRACKER_NAMESPACE": "OTHER"}}

    assert alone(Handler="app.handler") == (
        False,
        (
            "also publishing to API-COUNT: made-by-hand: calls count twice; delete its stack or "
            "subscription filter, or give it another namespace"
        ),
    )
    assert alone(Handler="forwarder.handle") == (
        True,
        "no other tracker publishes to API-COUNT",
    )
    assert alone(Handler="app.handler", Environment=elsewhere)[0]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 minutes ago"), (-5, "0 minutes ago"), (400, "7 minutes ago"), (7_300, "2 hours ago")],
)
def test_ages(seconds: int, text: str) -> None:
    """An age is in minutes, or in hours from two on."""
    with answering(
        "logs",
        (
            "describe_log_streams",
            {"logStreams": [{"logStreamName": "s", "lastIngestionTime": (NOW - seconds) * 1_000}]},
        ),
    ) as clients:
        assert text in verify.received(DEPLOYED, clients, NOW)[1]
