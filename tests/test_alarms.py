"""Alarms as CloudWatch is asked for them; that it takes them is in aws/test_commands.py."""

import re
from contextlib import ExitStack
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st
from tests.answers import answering

from apitracker.core.counts import Counts
from apitracker.core.metric_sets import OUTCOMES, MetricSelection
from apitracker.errors import UsageError
from apitracker.operations import alarms, api_names
from apitracker.operations.alarms import Alarm, Seen
from apitracker.operations.deployment import Deployment
from apitracker.tracker.put_metric_data import plan


def alarm(**more: Any) -> Alarm:  # noqa: ANN401 - fields of any type
    """More than 100 calls of ec2:RunInstances in 5 minutes, but for what is given."""
    fields = {
        "event_source": "ec2.amazonaws.com",
        "event_name": "RunInstances",
        "above": 100,
        "per": 300,
        "region": "eu-west-1",
    }
    return Alarm(**{**fields, **more})


def test_worked_example() -> None:
    """The whole request of an alarm on one API in one region."""
    assert alarms.alarm_request(alarm(notify=("arn:aws:sns:eu-west-1:111122223333:t",))) == {
        "AlarmName": "API-COUNT ec2.amazonaws.com:RunInstances eu-west-1",
        "AlarmDescription": "More than 100 calls of RunInstances (ec2.amazonaws.com) in eu-west-1 "
        "within 5 minutes. Looks 20 minutes back, as CloudTrail delivers late. Made by apitracker "
        "alarm.",
        "ActionsEnabled": True,
        "AlarmActions": ["arn:aws:sns:eu-west-1:111122223333:t"],
        "Namespace": "API-COUNT",
        "MetricName": "RunInstances",
        "Dimensions": [
            {"Name": "awsRegion", "Value": "eu-west-1"},
            {"Name": "eventSource", "Value": "ec2.amazonaws.com"},
        ],
        "Statistic": "Sum",
        "Period": 300,
        "EvaluationPeriods": 4,
        "DatapointsToAlarm": 1,
        "Threshold": 100.0,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
    }


def test_worked_example_of_any_region() -> None:
    """All regions are added up by a query instead of a metric."""
    requested = alarms.alarm_request(alarm(region=None, per=60))

    assert requested["AlarmName"] == "API-COUNT ec2.amazonaws.com:RunInstances any-region"
    assert "in all regions together within 1 minutes." in requested["AlarmDescription"]
    assert requested["Metrics"] == [
        {
            "Id": "calls",
            "Expression": 'SELECT SUM("RunInstances") FROM SCHEMA("API-COUNT", awsRegion, '
            "eventSource) WHERE eventSource = 'ec2.amazonaws.com'",
            "Period": 60,
            "Label": "calls",
            "ReturnData": True,
        }
    ]
    assert not {"MetricName", "Namespace", "Dimensions", "Statistic", "Period"} & set(requested)
    assert requested["EvaluationPeriods"] == 16


def test_worked_example_of_an_outcome() -> None:
    """The whole request of an alarm on the throttled calls of one API in one region."""
    assert alarms.alarm_request(alarm(outcome="throttled", above=50)) == {
        "AlarmName": "API-COUNT ec2.amazonaws.com:RunInstances eu-west-1 throttled",
        "AlarmDescription": "More than 50 throttled calls of RunInstances (ec2.amazonaws.com) in "
        "eu-west-1 within 5 minutes. Looks 20 minutes back, as CloudTrail delivers late. Who is "
        "behind it: apitracker throttles. Made by apitracker alarm.",
        "ActionsEnabled": True,
        "AlarmActions": [],
        "Namespace": "API-COUNT/Usage",
        "MetricName": "Throttled",
        "Dimensions": [
            {"Name": "awsRegion", "Value": "eu-west-1"},
            {"Name": "eventSource", "Value": "ec2.amazonaws.com"},
            {"Name": "eventName", "Value": "RunInstances"},
        ],
        "Statistic": "Sum",
        "Period": 300,
        "EvaluationPeriods": 4,
        "DatapointsToAlarm": 1,
        "Threshold": 50.0,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
    }


SPELLINGS = ("UpdateFunctionCode20150331", "UpdateFunctionCode20150331v2")


def dated(**more: Any) -> Alarm:  # noqa: ANN401 - fields of any type
    """An alarm on an API of Lambda that is recorded under two names."""
    fields = {"event_source": "lambda.amazonaws.com", "event_name": "UpdateFunctionCode"}
    return alarm(**{**fields, "names": SPELLINGS, **more})


def test_worked_example_of_several_spellings() -> None:
    """The spellings of an API are added up; the alarm has the name that was asked for."""
    dimensions = [
        {"Name": "awsRegion", "Value": "eu-west-1"},
        {"Name": "eventSource", "Value": "lambda.amazonaws.com"},
    ]
    assert alarms.alarm_request(dated()) == {
        "AlarmName": "API-COUNT lambda.amazonaws.com:UpdateFunctionCode eu-west-1",
        "AlarmDescription": "More than 100 calls of UpdateFunctionCode (lambda.amazonaws.com) in "
        "eu-west-1 within 5 minutes. Recorded as UpdateFunctionCode20150331, "
        "UpdateFunctionCode20150331v2. Looks 20 minutes back, as CloudTrail delivers late. Made by "
        "apitracker alarm.",
        "ActionsEnabled": True,
        "AlarmActions": [],
        "Metrics": [
            {
                "Id": "calls",
                "Expression": "FILL(m0, 0) + FILL(m1, 0)",
                "Label": "calls",
                "ReturnData": True,
            },
            *(
                {
                    "Id": f"m{at}",
                    "MetricStat": {
                        "Metric": {
                            "Namespace": "API-COUNT",
                            "MetricName": name,
                            "Dimensions": dimensions,
                        },
                        "Period": 300,
                        "Stat": "Sum",
                    },
                    "ReturnData": False,
                }
                for at, name in enumerate(SPELLINGS)
            ),
        ],
        "EvaluationPeriods": 4,
        "DatapointsToAlarm": 1,
        "Threshold": 100.0,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
    }


def test_one_spelling_is_watched_by_itself() -> None:
    """An API with one dated name is watched by that metric, in any region too."""
    one = dated(names=SPELLINGS[1:])

    assert alarms.alarm_request(one)["MetricName"] == "UpdateFunctionCode20150331v2"
    assert "Metrics" not in alarms.alarm_request(one)
    assert 'SUM("UpdateFunctionCode20150331v2")' in alarms.insights_query(
        dated(names=SPELLINGS[1:], region=None)
    )


def test_a_query_adds_up_one_name() -> None:
    """A query of Metrics Insights is on one metric: several spellings in any region are refused."""
    with pytest.raises(UsageError) as caught:
        alarms.alarm_request(dated(region=None))

    assert str(caught.value) == (
        "lambda.amazonaws.com:UpdateFunctionCode: recorded as UpdateFunctionCode20150331, "
        "UpdateFunctionCode20150331v2, and an alarm on any region adds up the metrics of one name "
        "only: give one of these names, or --region"
    )


def test_the_limits_of_an_alarm() -> None:
    """CloudWatch adds up ten metrics in an alarm, and takes five actions."""
    names = tuple(f"Get201503{day}" for day in range(10, 21))
    actions = tuple(f"arn:aws:sns:eu-west-1:111122223333:{n}" for n in range(6))

    assert len(alarms.alarm_request(dated(names=names[:10]))["Metrics"]) == 11
    with pytest.raises(UsageError, match="adds up at most 10 metrics: give one of these names"):
        alarms.alarm_request(dated(names=names))
    assert alarms.alarm_request(alarm(notify=actions[:5]))["AlarmActions"] == [*actions[:5]]
    with pytest.raises(UsageError, match="--notify: an alarm has at most 5 actions; use a topic"):
        alarms.alarm_request(alarm(notify=actions))


@pytest.mark.parametrize(
    "wanted",
    [
        alarm(),
        alarm(region=None, outcome="denied"),
        alarm(per=86_400, event_name="x" * 300, notify=("arn:aws:sns:eu-west-1:111122223333:t",)),
        dated(),
        dated(outcome="throttled", names=tuple(f"Get201503{day}" for day in range(10, 20))),
    ],
)
def test_requests_are_those_of_the_model(wanted: Alarm) -> None:
    """Each request has the form and the limits that botocore's model of CloudWatch gives."""
    model = botocore.session.Session().get_service_model("cloudwatch")
    shape = model.operation_model("PutMetricAlarm").input_shape

    report = ParamValidator().validate(alarms.alarm_request(wanted), shape)

    assert not report.has_errors(), report.generate_report()


DEPLOYED = Deployment(
    name="tracker",
    status="CREATE_COMPLETE",
    parameters={"MetricSets": "api,service", "MemorySize": "256", "Z": ""},
)


def looked(*answers: tuple[str, str, dict[str, Any]], source: str = "ec2.amazonaws.com") -> Seen:
    """What is seen where AWS gives these answers, by service and operation."""
    with ExitStack() as stack:
        makers = {
            service: stack.enter_context(
                answering(service, *(each[1:] for each in answers if each[0] == service))
            )
            for service in ("cloudwatch", "cloudformation", "lambda")
        }
        return alarms.look_at_tracker(
            source, "API-COUNT", "tracker", lambda service: makers[service](service)
        )


def test_what_may_not_be_seen() -> None:
    """Without a permission the alarm can be made: what was not looked at is said."""
    assert looked(
        ("cloudwatch", "list_metrics", {"code": "AccessDenied"}),
        ("cloudformation", "describe_stacks", {"code": "AccessDenied"}),
        ("lambda", "get_function_configuration", {"code": "ResourceNotFoundException"}),
    ) == Seen(
        unlisted="cloudwatch:ListMetrics was refused: AccessDenied: No.: allow "
        "cloudwatch:ListMetrics to these credentials",
        undeployed="cloudformation:DescribeStacks was refused: AccessDenied: No.: allow "
        "cloudformation:DescribeStacks to these credentials",
    )


def test_the_names_that_are_listed() -> None:
    """Names are those of metrics with the dimensions of their set, and of no other metric."""
    pairs = {"awsRegion": "eu-west-1", "eventSource": "ec2.amazonaws.com"}

    def metric(name: str, **dimensions: str) -> dict[str, Any]:
        found = {**pairs, **dimensions}
        return {
            "MetricName": name,
            "Dimensions": [{"Name": n, "Value": v} for n, v in found.items()],
        }

    seen = looked(
        (
            "cloudwatch",
            "list_metrics",
            {"Metrics": [metric("RunInstances"), metric("Other", caller="x")]},
        ),
        (
            "cloudwatch",
            "list_metrics",
            {"Metrics": [metric("Calls"), metric("Throttled", eventName="StopInstances")]},
        ),
        ("cloudformation", "describe_stacks", {"code": "ValidationError"}),
        ("lambda", "get_function_configuration", {"code": "ResourceNotFoundException"}),
    )

    assert seen.names == {"RunInstances", "StopInstances"}
    assert seen.undeployed.startswith("there is no stack or function tracker here: ")


def test_what_a_deployed_tracker_feeds() -> None:
    """An alarm may fire where its set is published and its calls are not left out."""
    rules = MetricSelection(include="eventSource=ec2.* awsRegion=*", exclude="eventName=Describe*")

    for selection in (
        MetricSelection(),
        rules,
        MetricSelection(exclude="caller=*:role/x readOnly=true"),
    ):
        assert alarms.unfed(alarm(), Seen(deployment=DEPLOYED, selection=selection)) == ""
    assert alarms.unfed(alarm(region=None), Seen(deployment=DEPLOYED, selection=rules)) == ""
    assert alarms.unfed(alarm(outcome="denied"), Seen()) == ""


def test_a_set_that_is_not_deployed() -> None:
    """The command adds the set to those that there are, and keeps every other parameter."""
    throttled = alarm(outcome="throttled")

    assert alarms.unfed(throttled, Seen(deployment=DEPLOYED, selection=MetricSelection())) == (
        "tracker does not publish the metric set outcomes, so that the alarm could never fire; to "
        "add it: aws cloudformation update-stack --stack-name tracker --use-previous-template "
        "--capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND --parameters "
        "'ParameterKey=MetricSets,ParameterValue=\"api,service,outcomes\"' "
        "ParameterKey=MemorySize,UsePreviousValue=true ParameterKey=Z,UsePreviousValue=true"
    )
    predecessor = Deployment(
        name="old", status="CREATE_COMPLETE", parameters={"CloudTrailLogGroupName": "g"}
    )
    assert alarms.unfed(
        throttled, Seen(deployment=predecessor, selection=MetricSelection())
    ).endswith("to add it: deploy this version over it, with MetricSets=api,outcomes")
    only = MetricSelection(metrics=("outcomes",))
    assert alarms.unfed(throttled, Seen(deployment=DEPLOYED, selection=only)) == ""
    assert "does not publish the metric set api, so" in alarms.unfed(
        alarm(), Seen(deployment=DEPLOYED, selection=only)
    )


@pytest.mark.parametrize(
    ("wanted", "selection", "fault"),
    [
        (
            alarm(),
            MetricSelection("Ours"),
            (
                "tracker publishes to Ours, and the alarm watches API-COUNT: set "
                "APITRACKER_NAMESPACE=Ours"
            ),
        ),
        (
            alarm(),
            MetricSelection(exclude="readOnly=true eventName=Run*"),
            (
                "tracker does not publish ec2.amazonaws.com:RunInstances there: its IncludeRules "
                "are '', its ExcludeRules 'readOnly=true eventName=Run*'; change them"
            ),
        ),
        (
            alarm(outcome="throttled"),
            MetricSelection(metrics=("api", "outcomes"), include="outcome=denied"),
            (
                "tracker does not publish ec2.amazonaws.com:RunInstances there: its IncludeRules "
                "are 'outcome=denied', its ExcludeRules ''; change them"
            ),
        ),
        (
            alarm(),
            MetricSelection(include="awsRegion=us-*"),
            (
                "tracker does not publish ec2.amazonaws.com:RunInstances there: its IncludeRules "
                "are 'awsRegion=us-*', its ExcludeRules ''; change them"
            ),
        ),
    ],
)
def test_what_a_deployed_tracker_never_feeds(
    wanted: Alarm, selection: MetricSelection, fault: str
) -> None:
    """Another namespace, and rules that leave out each such call, are a reason."""
    assert alarms.unfed(wanted, Seen(deployment=DEPLOYED, selection=selection)) == fault


def test_worked_example_of_an_outcome_in_any_region() -> None:
    """The query is over the metrics of the set `outcomes`, of one API."""
    requested = alarms.alarm_request(alarm(outcome="denied", region=None, namespace="Ours"))

    assert requested["AlarmName"] == "Ours ec2.amazonaws.com:RunInstances any-region denied"
    assert "Who was denied: apitracker denials." in requested["AlarmDescription"]
    assert [each["Expression"] for each in requested["Metrics"]] == [
        (
            'SELECT SUM("Denied") FROM SCHEMA("Ours/Usage", awsRegion, eventSource, eventName) '
            "WHERE eventSource = 'ec2.amazonaws.com' AND eventName = 'RunInstances'"
        )
    ]


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("name", ["RunInstances", "Grüße", "x" * 300])
def test_an_outcome_is_watched_where_it_is_published(outcome: str, name: str) -> None:
    """What the function publishes of such a call is the metric that the alarm watches."""
    selection = MetricSelection(metrics=("outcomes",))
    called: dict[str, str | int] = {
        "outcome": outcome,
        "awsRegion": "eu-west-1",
        "eventSource": "ec2.amazonaws.com",
        "eventName": name,
        "second": 1_790_000_000,
    }
    row = tuple(called[field] for field in selection.fields)
    (batch,) = plan(Counts(selection.fields, {row: 1}), selection).batches
    (datum,) = batch.datums

    requested = alarms.alarm_request(alarm(outcome=outcome, event_name=name))

    assert (requested["Namespace"], requested["MetricName"]) == (batch.namespace, datum.metric_name)
    assert requested["Dimensions"] == [
        {"Name": each.name, "Value": each.value} for each in datum.dimensions
    ]


@pytest.mark.parametrize(
    ("text", "source", "name"),
    [
        ("ec2:RunInstances", "ec2.amazonaws.com", "RunInstances"),
        ("EC2:RunInstances", "ec2.amazonaws.com", "RunInstances"),
        ("ec2.amazonaws.com:RunInstances", "ec2.amazonaws.com", "RunInstances"),
        ("cloudwatch:PutMetricAlarm", "monitoring.amazonaws.com", "PutMetricAlarm"),
        ("elb:CreateLoadBalancer", "elasticloadbalancing.amazonaws.com", "CreateLoadBalancer"),
        ("elbv2:CreateLoadBalancer", "elasticloadbalancing.amazonaws.com", "CreateLoadBalancer"),
        ("stepfunctions:StartExecution", "states.amazonaws.com", "StartExecution"),
        ("x.example.com:a:b", "x.example.com", "a:b"),
    ],
)
def test_apis(text: str, source: str, name: str) -> None:
    """A service is named as the AWS CLI does, or by its eventSource in full."""
    assert api_names.parse_api(text) == (source, name)


def test_a_glob_is_no_api() -> None:
    """An alarm is on one metric: a glob would never fire, and is refused."""
    with pytest.raises(UsageError, match="an alarm is on one API, and takes no glob"):
        api_names.parse_api("ec2:Run*")


@pytest.mark.parametrize("text", ["", "ec2", "ec2:", "ec2: ", ":Run", "e c2:Run", "ec2';--:Run"])
def test_no_apis(text: str) -> None:
    """What names no API is refused, with how to write one."""
    with pytest.raises(UsageError, match="write"):
        api_names.parse_api(text)


BY_NAME = {"deploy", "configservice", "eventbridge", "msk", "s3api", "sesv2"}
"""Aliases that are no service of botocore, or whose endpoint is called something else again."""


@pytest.mark.parametrize("alias", sorted(set(api_names.ALIASES) - BY_NAME))
def test_aliases_are_those_of_the_models(alias: str) -> None:
    """An alias leads to the endpoint prefix that botocore has for the service."""
    model = botocore.session.Session().get_service_model(alias)

    assert model.endpoint_prefix == api_names.ALIASES[alias]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1m", 60), ("60s", 60), ("5m", 300), ("1h", 3_600), ("24h", 86_400), ("1d", 86_400)],
)
def test_periods(text: str, seconds: int) -> None:
    """A period is whole minutes, up to a day."""
    assert alarms.parse_period(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "0m", "10s", "30s", "90s", "25h", "2d", "1w", "-5m"])
def test_no_periods(text: str) -> None:
    """Metrics are by the minute, so a period of 10 or 30 seconds would see nothing."""
    with pytest.raises(UsageError, match="whole minutes"):
        alarms.parse_period(text)


@pytest.mark.parametrize(
    ("per", "periods"), [(60, 16), (300, 4), (420, 4), (900, 2), (3_600, 2), (86_400, 2)]
)
def test_looks_back_for_what_comes_late(per: int, periods: int) -> None:
    """A period is still looked at when all of it has been delivered, 15 minutes after it ended."""
    assert alarms.evaluation_periods(per) == periods


@given(st.integers(1, 1_440))
def test_looks_back_no_further_than_cloudwatch_does(minutes: int) -> None:
    """Up to a day for periods of less than an hour, up to a week for longer ones."""
    per = minutes * 60
    back = per * alarms.evaluation_periods(per)

    assert back >= per + 900
    assert back <= (86_400 if per < 3_600 else 604_800)


def test_queries_look_back_three_hours() -> None:
    """CloudWatch evaluates a query over no more than three hours."""
    assert alarms.alarm_request(alarm(region=None, per=5_400))["EvaluationPeriods"] == 2

    with pytest.raises(UsageError, match="three hours"):
        alarms.alarm_request(alarm(region=None, per=5_460))


def test_a_threshold_is_no_part_of_the_name() -> None:
    """A changed threshold, time or action updates the alarm; another region is another alarm."""
    one = alarm()
    names = {
        alarms.alarm_name(each)
        for each in (one, alarm(above=5), alarm(per=60), alarm(notify=("arn:x",)))
    }

    assert names == {"API-COUNT ec2.amazonaws.com:RunInstances eu-west-1"}
    assert alarms.alarm_name(alarm(region="us-east-1")) not in names
    assert alarms.alarm_name(alarm(namespace="OTHER")) not in names
    assert alarms.alarm_name(alarm(outcome="throttled")) not in names


def test_a_hostile_name_stays_in_its_quotes() -> None:
    """Quotes and backslashes are escaped, so that a name cannot become a part of the query."""
    name = 'X") FROM "AWS/EC2" WHERE a = \'b\\'

    assert alarms.insights_query(alarm(event_name=name, namespace='N"', region=None)) == (
        'SELECT SUM("X\\") FROM \\"AWS/EC2\\" WHERE a = \\\'b\\\\") '
        'FROM SCHEMA("N\\"", awsRegion, eventSource) '
        "WHERE eventSource = 'ec2.amazonaws.com'"
    )
    assert alarms.insights_query(
        alarm(event_name="X' OR '", outcome="failed", region=None)
    ).endswith("WHERE eventSource = 'ec2.amazonaws.com' AND eventName = 'X\\' OR \\''")


def test_names_are_made_valid_as_the_metrics_are() -> None:
    """What was published under a name that was made valid is found by it."""
    requested = alarms.alarm_request(alarm(event_name="Grüße"))

    assert requested["MetricName"] == "Gr__e~f83e039796c6"


@given(st.text(min_size=1), st.sampled_from(["eu-west-1", None]), st.sampled_from(["", *OUTCOMES]))
def test_any_name_fits(name: str, region: str | None, outcome: str) -> None:
    """Whatever an API is called, name and description are ASCII and no longer than allowed."""
    requested = alarms.alarm_request(alarm(event_name=name, region=region, outcome=outcome))

    assert re.fullmatch(r"[ -~]{1,255}", requested["AlarmName"])
    assert re.fullmatch(r"[ -~]{1,1024}", requested["AlarmDescription"])
