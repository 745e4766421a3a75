"""
What verifying makes of AWS's answers. The steps against a local AWS are in aws/test_commands.py.

The answers that the local AWS never gives are put into boto3's own client by its Stubber, which
holds them and the requests to the service's model.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace
from tests.answers import answering, together

from apitracker.aws import RefusedError
from apitracker.operations import verify
from apitracker.operations.alarm_checks import check_alarms
from apitracker.operations.deployment import Deployment, MakeClient, find
from apitracker.operations.steps import StepResult
from apitracker.operations.verify import Check

NOW = int(datetime(2026, 10, 1, 12, tzinfo=UTC).timestamp())
FUNCTION = "cloudwatch-api-tracker-APITrackerLambdaFunction-1ABC"
ARN = f"arn:aws:lambda:eu-west-1:111122223333:function:{FUNCTION}"
DEPLOYED = Deployment(
    name="cloudwatch-api-tracker",
    function=FUNCTION,
    log_group="trail-group",
    trail="trail",
    alarms=frozenset({"stack-alarm"}),
    status="CREATE_COMPLETE",
    parameters={"MetricSets": "api"},
    seen_configuration={"FunctionName": FUNCTION},
)
GIVEN = replace(DEPLOYED, name="s", trail="", alarms=frozenset(), parameters={})


CONFIGURATION: tuple[str, dict[str, Any]] = (
    "get_function_configuration",
    {"FunctionName": FUNCTION, "FunctionArn": ARN},
)
NO_FUNCTION = ("get_function_configuration", {"code": "ResourceNotFoundException"})


def status(**more: object) -> tuple[str, dict[str, Any]]:
    """The status of a trail that logs, but for what is given."""
    return "get_trail_status", {"IsLogging": True, **more}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (status(), StepResult("ok", "trail is logging")),
        (
            status(LatestCloudWatchLogsDeliveryTime=datetime(2026, 10, 1, 11, 53, tzinfo=UTC)),
            StepResult("ok", "trail is logging; it delivered 7 minutes ago"),
        ),
        (
            status(IsLogging=False),
            StepResult("wrong", "trail is not logging: aws cloudtrail start-logging --name trail"),
        ),
        (
            status(LatestCloudWatchLogsDeliveryError="Access denied."),
            StepResult(
                "wrong",
                "trail cannot deliver to CloudWatch Logs: Access denied.: its role needs "
                "logs:CreateLogStream and logs:PutLogEvents on trail-group",
            ),
        ),
    ],
)
def test_trail(answer: tuple[str, dict[str, Any]], expected: StepResult) -> None:
    """A trail logs and delivers, or what to do is said."""
    with answering("cloudtrail", answer) as clients:
        assert verify.check_trail(DEPLOYED, clients, NOW) == expected


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
        assert verify.check_trail(GIVEN, clients, NOW) == StepResult("ok", "arn:c is logging")
    with answering("cloudtrail", ("describe_trails", {"trailList": []})) as clients:
        none = verify.check_trail(GIVEN, clients, NOW)
    assert none.state == "wrong"
    assert none.text.startswith("no trail delivers to trail-group: give one this log group")


Step = Callable[[Deployment, MakeClient], StepResult]


@pytest.mark.parametrize(
    ("service", "operation", "step", "action"),
    [
        (
            "cloudtrail",
            "get_trail_status",
            lambda d, c: verify.check_trail(d, c, NOW),
            "cloudtrail:GetTrailStatus",
        ),
        (
            "logs",
            "describe_subscription_filters",
            verify.check_filter,
            "logs:DescribeSubscriptionFilters",
        ),
        (
            "logs",
            "describe_log_streams",
            lambda d, c: verify.check_records(d, c, NOW),
            "logs:DescribeLogStreams",
        ),
        ("s3", "list_objects_v2", verify.check_failures, "s3:ListBucket"),
        (
            "cloudwatch",
            "get_metric_data",
            lambda d, c: verify.check_function(d, c, NOW),
            "cloudwatch:GetMetricData",
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
        step(replace(DEPLOYED, seen_bucket="bucket"), clients)


def test_a_stack_that_may_not_be_seen() -> None:
    """Without permission to see the stack there is one line, and it is wrong."""
    denied = ("describe_stacks", {"code": "AccessDenied"})
    with answering("cloudformation", denied) as one, answering("lambda", NO_FUNCTION) as two:
        clients = together(cloudformation=one, functions=two)
        checks = list(verify.verify("s", clients, now=NOW))

    assert checks == [
        Check(
            "stack",
            "wrong",
            "cannot tell: cloudformation:DescribeStacks was refused: AccessDenied: No.: allow "
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


def found(
    *answers: tuple[str, dict[str, Any]],
    functions: tuple[tuple[str, dict[str, Any]], ...] = (CONFIGURATION,),
) -> Deployment:
    """What is found where CloudFormation and Lambda give these answers."""
    with (
        answering("cloudformation", *answers) as one,
        answering("lambda", *functions) as two,
    ):
        return find("s", together(cloudformation=one, functions=two))


def test_a_stack_is_looked_up() -> None:
    """Names come from the stack: the log group from its parameter, or else of its own."""
    own = found(
        *stack(
            LAMBDA,
            ("NewTrailCWLogGroup", "AWS::Logs::LogGroup", "own"),
            ("Errors", "AWS::CloudWatch::Alarm", "errors-alarm"),
            ("FailedEvents", "AWS::S3::Bucket", "bucket"),
            ("Ledger", "AWS::DynamoDB::Table", "table"),
        )
    )
    given = found(*stack(LAMBDA, CloudTrailLogGroupName="given"))

    assert verify.check_stack(own) == Check("stack", "ok", "s is CREATE_COMPLETE")
    assert (own.function, own.log_group, given.log_group) == (FUNCTION, "own", "given")
    assert (own.failed_events, own.ledger) == ("bucket", "table")
    assert own.alarms == {"errors-alarm"}


def test_a_function_that_may_not_be_seen() -> None:
    """The names of a stack are known all the same; only its settings are not."""
    deployment = found(
        *stack(LAMBDA, ("Ledger", "AWS::DynamoDB::Table", "table")),
        functions=(("get_function_configuration", {"code": "AccessDeniedException"}),),
    )

    assert (deployment.function, deployment.ledger) == (FUNCTION, "table")
    with pytest.raises(RefusedError, match=r"^lambda:GetFunctionConfiguration was refused"):
        _ = deployment.settings


def test_a_stack_that_is_not_well() -> None:
    """A stack that failed is wrong, but what it has is checked; another's stack is not."""
    failed = found(*stack(LAMBDA, state="UPDATE_ROLLBACK_COMPLETE", CloudTrailLogGroupName="given"))

    assert verify.check_stack(failed) == Check(
        "stack", "wrong", "s is UPDATE_ROLLBACK_COMPLETE: see its events, and deploy again"
    )
    assert (failed.function, failed.log_group) == (FUNCTION, "given")
    for missing, other in (
        ("APITrackerLambdaFunction", stack(("B", "AWS::S3::Bucket", "b"), **GROUP)),
        ("log group of a trail", stack(LAMBDA)),
    ):
        text = f"s has no {missing}: is it the tracker's stack?"
        assert checked(*other, functions=() if "Function" in missing else (CONFIGURATION,)) == [
            Check("stack", "wrong", text)
        ]


GROUP = {"CloudTrailLogGroupName": "given"}


def checked(
    *answers: tuple[str, dict[str, Any]],
    functions: tuple[tuple[str, dict[str, Any]], ...] = (),
) -> list[Check]:
    """The checks of a stack that is not the tracker's: nothing else may be asked."""
    with (
        answering("cloudformation", *answers) as one,
        answering("lambda", *functions) as two,
    ):
        clients = together(cloudformation=one, functions=two)
        return list(verify.verify("s", clients, now=NOW))


def added(namespace: str, name: str, **dimensions: str) -> dict[str, Any]:
    """A metric that an alarm adds up."""
    pairs = [{"Name": n, "Value": v} for n, v in dimensions.items()]
    metric = {"Namespace": namespace, "MetricName": name, "Dimensions": pairs}
    return {"Id": "m0", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}}


def watched(
    *alarms: dict[str, Any],
    composite: tuple[dict[str, Any], ...] = (),
    sns: dict[str, Any] | None = None,
    **variables: str,
) -> list[tuple[str, str]]:
    """What is found of *alarms* where the function has these *variables*."""
    listed = {"MetricAlarms": [{"StateValue": "OK", **each} for each in alarms]}
    configuration = {"FunctionName": FUNCTION, "Environment": {"Variables": variables}}
    deployment = replace(
        DEPLOYED, seen_configuration=configuration, subscription="arn:sub" if sns else ""
    )
    with (
        answering(
            "cloudwatch", ("describe_alarms", {**listed, "CompositeAlarms": [*composite]})
        ) as one,
        answering("sns", ("get_subscription_attributes", sns or {})) as two,
    ):
        findings = check_alarms(deployment, together(cloudwatch=one, sns=two))
    return [(each.state, each.text) for each in findings]


TOLD = {"AlarmActions": ["arn:aws:sns:eu-west-1:111122223333:t"]}


@pytest.mark.parametrize("state", ["CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"])
def test_a_stack_that_is_being_made(state: str) -> None:
    """A deployment that has not ended is waited for, whether it has made the function or not."""
    waits = Check("stack", "waiting", f"s is {state}: run verify again when it is done")

    assert checked(*stack(state=state, **GROUP)) == [waits]
    assert verify.check_stack(found(*stack(LAMBDA, state=state, **GROUP))) == waits


def test_a_permission_is_no_cause() -> None:
    """A step that may not be looked at keeps nothing from coming: what comes of it is judged."""
    denied = {"code": "AccessDeniedException"}
    with (
        answering("cloudformation", *stack(LAMBDA, CloudTrailLogGroupName="given")) as one,
        answering("cloudtrail", ("describe_trails", denied)) as two,
        answering(
            "logs",
            ("describe_subscription_filters", denied),
            ("describe_log_streams", {"logStreams": []}),
            ("describe_subscription_filters", denied),
        ) as three,
        answering("lambda", ("get_function_configuration", denied)) as four,
    ):
        clients = together(cloudformation=one, cloudtrail=two, logs=three, functions=four)
        checks = list(verify.verify("s", clients, now=NOW))

    assert [(each.name, each.state, each.text.partition(":")[0]) for each in checks] == [
        ("stack", "ok", "s is CREATE_COMPLETE"),
        ("trail", "wrong", "cannot tell"),
        ("filter", "wrong", "cannot tell"),
        ("records", "wrong", "given has never received a record"),
        ("function", "wrong", "cannot tell"),
        ("failures", "wrong", "s keeps no failed events"),
        ("metrics", "wrong", "cannot tell"),
        ("alarms", "wrong", "cannot tell"),
        ("trackers", "wrong", "cannot tell"),
    ]


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
        ({"AlarmName": "a", "Metrics": [added("API-COUNT", "Get2015033v2")]}, True),
        ({"AlarmName": "a", "Metrics": [added("AWS/EC2", "Get")]}, False),
    ],
)
def test_whose_alarm(alarm: dict[str, Any], *, ours: bool) -> None:
    """Alarms of the stack, on the function and on what is published are ours."""
    sets = "api,service,account,outcomes,callers,throttled-callers"
    said = watched({**alarm, **TOLD, "StateValue": "ALARM"}, APITRACKER_METRICS=sets)

    firing = [text for _, text in said if text.startswith("firing")]
    assert len(firing) == ours
    assert ours or said == [("ok", "there are none")]


RUN = {"awsRegion": "eu-west-1", "eventSource": "ec2.amazonaws.com"}


def one_api(name: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of any type
    """An alarm on ec2:RunInstances that notifies a topic."""
    pairs = [{"Name": n, "Value": v} for n, v in RUN.items()]
    metric = {"Namespace": "API-COUNT", "MetricName": "RunInstances", "Dimensions": pairs}
    return {"AlarmName": name, **metric, **TOLD, **more}


def test_alarms_that_are_well() -> None:
    """Alarms that can fire, do not and notify somebody are one line."""
    assert watched(one_api("a"), one_api("b")) == [
        ("ok", "2 alarms, none firing; each notifies somebody")
    ]


def test_an_alarm_that_fires() -> None:
    """On the tracker itself it is wrong; on calls it is a warning, as the tracker does its work."""
    tracker = {"AlarmName": "t", "Namespace": "API-COUNT/Tracker", "MetricName": "Rejected", **TOLD}
    stacks = {"AlarmName": "stack-alarm", "Namespace": "AWS/Lambda", **TOLD}

    assert watched(
        *({**each, "StateValue": "ALARM"} for each in (stacks, tracker, one_api("calls")))
    ) == [
        ("wrong", "firing: stack-alarm, t: see the reason in CloudWatch"),
        ("warning", "firing, as calls are above the threshold: calls"),
    ]


def test_alarms_that_notify_nobody() -> None:
    """They are one warning; an alarm that a composite alarm speaks for is not among them."""
    silent: dict[str, Any] = {"AlarmActions": []}
    rule = {"AlarmRule": 'ALARM("covered") OR ALARM(bare)', **TOLD}

    assert watched(
        one_api("told"),
        one_api("b", **silent),
        one_api("a", ActionsEnabled=False),
        one_api("covered", **silent),
        one_api("bare", **silent),
        one_api("cover", **silent),
        {"AlarmName": "stack-alarm"},
        composite=({"AlarmName": "c", **rule}, {"AlarmName": "d", "AlarmRule": "ALARM(a)"}),
    ) == [
        (
            "warning",
            (
                "notifying nobody: a, b, cover, stack-alarm: give the stack AlarmEmail or "
                "AlarmTopicArn, and your own alarms --notify"
            ),
        )
    ]
    many = watched(*(one_api(f"a{n:02}", **silent) for n in range(25)))
    assert "a19 and 5 more: give" in many[0][1]


def test_an_address_that_has_not_confirmed() -> None:
    """SNS sends nothing to an address before it has confirmed."""
    pending = {"Attributes": {"PendingConfirmation": "true"}}
    denied = {"code": "AuthorizationError"}

    assert watched(one_api("a"), sns=pending) == [
        (
            "warning",
            (
                "no e-mail is sent: the address of AlarmEmail has not confirmed; open the "
                "message that SNS sent to it"
            ),
        )
    ]
    assert watched(one_api("a"), sns={"Attributes": {"PendingConfirmation": "false"}}) == [
        ("ok", "1 alarms, none firing; each notifies somebody")
    ]
    assert watched(one_api("a"), sns=denied) == [
        (
            "warning",
            (
                "whether the address of AlarmEmail has confirmed is not known: "
                "sns:GetSubscriptionAttributes was refused: AuthorizationError: No.: allow "
                "sns:GetSubscriptionAttributes to these credentials"
            ),
        )
    ]


OUTCOMES = {**RUN, "eventName": "RunInstances"}
QUERY = (
    'SELECT SUM("Throttled") FROM SCHEMA("API-COUNT/Usage", awsRegion, eventSource, eventName) '
    "WHERE eventSource = 'ec2.amazonaws.com' AND eventName = 'RunInstances'"
)
TEMPLATES = 'SELECT SUM(Denied) FROM SCHEMA("API-COUNT/Usage", awsRegion, eventSource, eventName)'


@pytest.mark.parametrize(
    "alarm",
    [
        {"Metrics": [added("API-COUNT/Usage", "Throttled", **OUTCOMES)]},
        {"Metrics": [{"Id": "q", "Expression": QUERY}]},
        {"Metrics": [{"Id": "q", "Expression": TEMPLATES}]},
        {
            "Namespace": "API-COUNT/Usage",
            "MetricName": "Failed",
            "Dimensions": [{"Name": n, "Value": v} for n, v in OUTCOMES.items()],
        },
    ],
)
def test_an_alarm_that_cannot_be_fed(alarm: dict[str, Any]) -> None:
    """It is wrong that a set is not deployed that an alarm watches; the command adds it."""
    wanted = {"AlarmName": "a", **alarm, **TOLD}

    ((state, text),) = watched(wanted)

    assert state == "wrong"
    assert text.startswith("never firing: a: ")
    assert text.endswith(
        "in API-COUNT/Usage is not published; add the metric set outcomes: aws cloudformation "
        "update-stack --stack-name cloudwatch-api-tracker --use-previous-template --capabilities "
        "CAPABILITY_IAM CAPABILITY_AUTO_EXPAND --parameters "
        "'ParameterKey=MetricSets,ParameterValue=\"api,outcomes\"'"
    )
    assert watched(wanted, APITRACKER_METRICS="api,outcomes") == [
        ("ok", "1 alarms, none firing; each notifies somebody")
    ]


def test_alarms_that_no_set_could_feed() -> None:
    """Rules may leave out an API, and no set has all dimensions; other queries are not judged."""
    strange = {"AlarmName": "s", "Namespace": "API-COUNT", "MetricName": "RunInstances", **TOLD}
    search = {"Id": "q", "Expression": 'SELECT MAX(x) FROM "API-COUNT"'}
    overflow = added("API-COUNT/Usage", "__other__", **RUN)

    left_out = watched(one_api("a"), one_api("b"), strange, APITRACKER_EXCLUDE="eventName=Run*")
    what = "RunInstances in API-COUNT is not published"

    assert left_out == [
        (
            "wrong",
            f"never firing: a, b: {what}; change IncludeRules or ExcludeRules, or delete it",
        ),
        ("wrong", f"never firing: s: {what}; no metric set has it: delete it"),
    ]
    assert watched(
        {"AlarmName": "q", "Metrics": [search], **TOLD},
        {"AlarmName": "o", "Metrics": [overflow], **TOLD},
    ) == [("ok", "2 alarms, none firing; each notifies somebody")]


def test_a_function_with_a_bad_setting() -> None:
    """What a function publishes that cannot start is not known."""
    ((state, text),) = watched(one_api("a"), APITRACKER_METRICS="nonsense")

    assert (state, text.startswith(f"{FUNCTION} cannot run: APITRACKER_METRICS")) == ("wrong", True)


def test_two_trackers_on_one_group() -> None:
    """Another function that the group feeds counts double, if it publishes to the same place."""
    other = ARN.replace(FUNCTION, "made-by-hand")
    filters = {
        "subscriptionFilters": [
            {"filterName": "a", "destinationArn": ARN},
            {"filterName": "b", "destinationArn": other},
        ]
    }

    def alone(**configuration: object) -> StepResult:
        functions = [
            {"FunctionName": FUNCTION, "Handler": "app.handler"},
            {"FunctionName": "made-by-hand", **configuration},
        ]
        with (
            answering("logs", ("describe_subscription_filters", filters)) as one,
            answering("lambda", ("list_functions", {"Functions": functions})) as two,
        ):
            clients = together(logs=one, functions=two)
            return verify.check_alone(DEPLOYED, clients, NOW)

    elsewhere = {"Variables": {"APITRACKER_NAMESPACE": "OTHER"}}

    assert alone(Handler="app.handler") == StepResult(
        "wrong",
        "also publishing to API-COUNT: made-by-hand: calls count twice; delete its stack or "
        "subscription filter, or give it another namespace",
    )
    assert alone(Handler="forwarder.handle") == StepResult(
        "ok", "no other tracker publishes to API-COUNT"
    )
    assert alone(Handler="app.handler", Environment=elsewhere).state == "ok"


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
        assert text in verify.check_records(DEPLOYED, clients, NOW).text
