"""Alarms as CloudWatch is asked for them; that it takes them is in aws/test_commands.py."""

import re
from typing import Any

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apitracker.account import alarms
from apitracker.account.alarms import Alarm
from apitracker.core.metric_sets import OUTCOMES, Choice
from apitracker.core.metrics import plan
from apitracker.errors import UsageError


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
    assert alarms.request(alarm(notify=("arn:aws:sns:eu-west-1:111122223333:t",))) == {
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
    requested = alarms.request(alarm(region=None, per=60))

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
    assert alarms.request(alarm(outcome="throttled", above=50)) == {
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


def test_worked_example_of_an_outcome_in_any_region() -> None:
    """The query is over the metrics of the set `outcomes`, of one API."""
    requested = alarms.request(alarm(outcome="denied", region=None, namespace="Ours"))

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
    choice = Choice(metrics=("outcomes",))
    called = {
        "outcome": outcome,
        "awsRegion": "eu-west-1",
        "eventSource": "ec2.amazonaws.com",
        "eventName": name,
        "second": 1_790_000_000,
    }
    (page,) = plan({tuple(called[field] for field in choice.fields): 1}, choice).pages
    (datum,) = page.datums

    requested = alarms.request(alarm(outcome=outcome, event_name=name))

    assert (requested["Namespace"], requested["MetricName"]) == (page.namespace, datum.metric_name)
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
    assert alarms.parse_api(text) == (source, name)


def test_a_glob_is_no_api() -> None:
    """An alarm is on one metric: a glob would never ring, and is refused."""
    with pytest.raises(UsageError, match="an alarm is on one API, and takes no glob"):
        alarms.parse_api("ec2:Run*")


@pytest.mark.parametrize("text", ["", "ec2", "ec2:", "ec2: ", ":Run", "e c2:Run", "ec2';--:Run"])
def test_no_apis(text: str) -> None:
    """What names no API is refused, with how to write one."""
    with pytest.raises(UsageError, match="write"):
        alarms.parse_api(text)


BY_NAME = {"deploy", "configservice", "eventbridge", "msk", "s3api", "sesv2"}
"""Aliases that are no service of botocore, or whose endpoint is called something else again."""


@pytest.mark.parametrize("alias", sorted(set(alarms.ALIASES) - BY_NAME))
def test_aliases_are_those_of_the_models(alias: str) -> None:
    """An alias leads to the endpoint prefix that botocore has for the service."""
    model = botocore.session.Session().get_service_model(alias)

    assert model.endpoint_prefix == alarms.ALIASES[alias]


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
    assert alarms.periods(per) == periods


@given(st.integers(1, 1_440))
def test_looks_back_no_further_than_cloudwatch_does(minutes: int) -> None:
    """Up to a day for periods of less than an hour, up to a week for longer ones."""
    per = minutes * 60
    back = per * alarms.periods(per)

    assert back >= per + 900
    assert back <= (86_400 if per < 3_600 else 604_800)


def test_queries_look_back_three_hours() -> None:
    """CloudWatch evaluates a query over no more than three hours."""
    assert alarms.request(alarm(region=None, per=5_400))["EvaluationPeriods"] == 2

    with pytest.raises(UsageError, match="three hours"):
        alarms.request(alarm(region=None, per=5_460))


def test_a_threshold_is_no_part_of_the_name() -> None:
    """A changed threshold, time or action updates the alarm; another region is another alarm."""
    one = alarm()
    names = {
        alarms.name(each) for each in (one, alarm(above=5), alarm(per=60), alarm(notify=("arn:x",)))
    }

    assert names == {"API-COUNT ec2.amazonaws.com:RunInstances eu-west-1"}
    assert alarms.name(alarm(region="us-east-1")) not in names
    assert alarms.name(alarm(namespace="OTHER")) not in names
    assert alarms.name(alarm(outcome="throttled")) not in names


def test_a_hostile_name_stays_in_its_quotes() -> None:
    """Quotes and backslashes are escaped, so that a name cannot become a part of the query."""
    name = 'X") FROM "AWS/EC2" WHERE a = \'b\\'

    assert alarms.query(alarm(event_name=name, namespace='N"', region=None)) == (
        'SELECT SUM("X\\") FROM \\"AWS/EC2\\" WHERE a = \\\'b\\\\") '
        'FROM SCHEMA("N\\"", awsRegion, eventSource) '
        "WHERE eventSource = 'ec2.amazonaws.com'"
    )
    assert alarms.query(alarm(event_name="X' OR '", outcome="failed", region=None)).endswith(
        "WHERE eventSource = 'ec2.amazonaws.com' AND eventName = 'X\\' OR \\''"
    )


def test_names_are_made_valid_as_the_metrics_are() -> None:
    """What was published under a name that was made valid is found by it."""
    requested = alarms.request(alarm(event_name="Grüße"))

    assert requested["MetricName"] == "Gr__e~f83e039796c6"


@given(st.text(min_size=1), st.sampled_from(["eu-west-1", None]), st.sampled_from(["", *OUTCOMES]))
def test_any_name_fits(name: str, region: str | None, outcome: str) -> None:
    """Whatever an API is called, name and description are ASCII and no longer than allowed."""
    requested = alarms.request(alarm(event_name=name, region=region, outcome=outcome))

    assert re.fullmatch(r"[ -~]{1,255}", requested["AlarmName"])
    assert re.fullmatch(r"[ -~]{1,1024}", requested["AlarmDescription"])
