"""An alarm on the calls of one API."""

import math
import re
from typing import Any, Final

from msgspec import Struct

from apitracker.account.clients import Client, asking
from apitracker.core.metric_sets import API, OUTCOMES, SETS, MetricSet, within
from apitracker.core.metrics import NAME_LENGTH, VALUE_LENGTH, valid
from apitracker.core.times import UNITS
from apitracker.errors import UsageError

LATE: Final = 15 * 60  # seconds in which CloudTrail as a rule has delivered a call to its log group
LONGEST: Final = 86_400  # seconds of a period; with its two periods an alarm may look back a week
LONGEST_QUERY: Final = 3 * 3_600  # seconds that an alarm on a Metrics Insights query looks back
HOST: Final = ".amazonaws.com"

ALIASES: Final = {
    "accessanalyzer": "access-analyzer",
    "amp": "aps",
    "apigatewayv2": "apigateway",
    "cloudcontrol": "cloudcontrolapi",
    "cloudwatch": "monitoring",
    "configservice": "config",
    "deploy": "codedeploy",
    "docdb": "rds",
    "efs": "elasticfilesystem",
    "elb": "elasticloadbalancing",
    "elbv2": "elasticloadbalancing",
    "emr": "elasticmapreduce",
    "eventbridge": "events",
    "greengrassv2": "greengrass",
    "keyspaces": "cassandra",
    "kinesisanalyticsv2": "kinesisanalytics",
    "location": "geo",
    "msk": "kafka",
    "mwaa": "airflow",
    "neptune": "rds",
    "opensearch": "es",
    "opensearchserverless": "aoss",
    "resourcegroupstaggingapi": "tagging",
    "s3api": "s3",
    "service-quotas": "servicequotas",
    "sesv2": "ses",
    "sso-admin": "sso",
    "stepfunctions": "states",
}
"""
What the AWS CLI calls a service -> how its eventSource begins, where they differ.

Mostly the endpoint prefixes in botocore's models, to which a test holds them. That CloudWatch is
monitoring.amazonaws.com says
https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
"""

ELSEWHERE: Final = frozenset({"cloudfront.amazonaws.com", "iam.amazonaws.com"})
"""Global services, whose calls CloudTrail records in us-east-1 wherever they are made."""


WHO: Final = {
    "throttled": "Who is behind it: apitracker throttles. ",
    "denied": "Who was denied: apitracker denials. ",
    "failed": "",
}
"""How to learn whose calls they were that ended so."""


class Alarm(Struct, frozen=True, kw_only=True):
    """
    What to alarm on: more than *above* calls of an API in *per* seconds.

    *region* is the awsRegion of the calls; None is all regions together. With *outcome*, a key of
    `OUTCOMES`, only calls that ended so count. *notify* are the ARNs of what is told when it rings.
    """

    event_source: str
    event_name: str
    above: int
    per: int
    region: str | None
    namespace: str = API.namespace
    outcome: str = ""
    notify: tuple[str, ...] = ()

    @property
    def metrics(self) -> MetricSet:
        """The metric set that it watches, in its namespace."""
        return within(SETS["outcomes"] if self.outcome else API, self.namespace)

    @property
    def metric(self) -> str:
        """The name of the metric that it watches."""
        return OUTCOMES.get(self.outcome) or valid(self.event_name, NAME_LENGTH)


def parse_api(text: str) -> tuple[str, str]:
    """
    Read ``SERVICE:API`` into eventSource and eventName.

    SERVICE is a name as the AWS CLI has it, or an eventSource in full. `UsageError` for what is
    neither.
    """
    service, colon, name = text.partition(":")
    if not (colon and name.strip()):
        raise UsageError(f"{text}: write SERVICE:API, as in ec2:RunInstances")
    if {"*", "?"} & {*name}:
        raise UsageError(f"{text}: an alarm is on one API, and takes no glob")
    if re.fullmatch(r"[A-Za-z0-9-]{1,63}", service):
        short = service.lower()
        return ALIASES.get(short, short) + HOST, name
    if re.fullmatch(r"[A-Za-z0-9.-]{1,253}", service):
        return service, name
    raise UsageError(f"{service}: no service; write ec2, or an eventSource: ec2.amazonaws.com")


def parse_period(text: str) -> int:
    """
    Read a length of time such as ``5m`` or ``1h``, in seconds.

    `UsageError` unless it is a number of whole minutes, up to a day: the metrics are by the minute.
    """
    found = re.fullmatch(r"(\d{1,9})([smhd])", text.strip(), re.ASCII)
    seconds = int(found[1]) * UNITS[found[2]] if found else 0
    if not 0 < seconds <= LONGEST or seconds % 60:
        raise UsageError(f"{text}: give whole minutes up to a day, as 1m, 5m or 1h")
    return seconds


def periods(per: int) -> int:
    """
    Say how many periods of *per* seconds an alarm looks back, of which one is enough to ring.

    A period is complete when it is `LATE` over, and must still be looked at then. Fewer would
    never see what comes late; asking for more than one would miss a single burst.
    """
    return math.ceil(LATE / per) + 1


def name(alarm: Alarm) -> str:
    """Name the alarm by what it watches, not by its threshold, so that a new one replaces it."""
    words = (
        alarm.namespace,
        f"{alarm.event_source}:{alarm.event_name}",
        alarm.region or "any-region",
        *([alarm.outcome] if alarm.outcome else []),
    )
    return valid(" ".join(words), NAME_LENGTH)


def describe(alarm: Alarm) -> str:
    """Say what makes the alarm ring."""
    where = alarm.region or "all regions together"
    back = periods(alarm.per) * alarm.per // 60
    return (
        f"More than {alarm.above:,} {alarm.outcome and f'{alarm.outcome} '}calls of "
        f"{valid(alarm.event_name, NAME_LENGTH)} ({alarm.event_source}) in {where} within "
        f"{alarm.per // 60:,} minutes. Looks {back:,} minutes back, as CloudTrail delivers late. "
        f"{WHO.get(alarm.outcome, '')}Made by apitracker alarm."
    )


def request(alarm: Alarm) -> dict[str, Any]:
    """
    Write what PutMetricAlarm is asked for. `UsageError` if CloudWatch could not evaluate it.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
    """
    if alarm.region is None and alarm.per * periods(alarm.per) > LONGEST_QUERY:
        raise UsageError("an alarm on any region looks back three hours at most: give --per 1h")
    return {
        "AlarmName": name(alarm),
        "AlarmDescription": describe(alarm),
        "ActionsEnabled": True,
        "AlarmActions": list(alarm.notify),
        **_watched(alarm),
        "EvaluationPeriods": periods(alarm.per),
        "DatapointsToAlarm": 1,
        "Threshold": float(alarm.above),
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",  # no datum is no call
    }


def query(alarm: Alarm) -> str:
    """
    Write the Metrics Insights query that adds up the calls of all regions.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-metrics-insights-querylanguage.html
    """
    metrics = alarm.metrics
    total = f'SELECT SUM("{_escaped(alarm.metric)}")'
    schema = f'FROM SCHEMA("{_escaped(metrics.namespace)}", {", ".join(metrics.dimensions)})'
    wanted = " AND ".join(f"{name} = '{_escaped(value)}'" for name, value in _dimensions(alarm))
    return f"{total} {schema} WHERE {wanted}"


def put(requested: dict[str, Any], cloudwatch: Client) -> None:
    """Make the alarm, or update the one of this name. `ServiceError` if AWS does not."""
    with asking("cloudwatch:PutMetricAlarm"):
        cloudwatch.put_metric_alarm(**requested)


def _watched(alarm: Alarm) -> dict[str, Any]:
    if alarm.region is None:
        expression = {"Id": "calls", "Expression": query(alarm), "Period": alarm.per}
        return {"Metrics": [{**expression, "Label": "calls", "ReturnData": True}]}
    return {
        "Namespace": alarm.metrics.namespace,
        "MetricName": alarm.metric,
        "Dimensions": [{"Name": name, "Value": value} for name, value in _dimensions(alarm)],
        "Statistic": "Sum",
        "Period": alarm.per,
    }


def _dimensions(alarm: Alarm) -> list[tuple[str, str]]:
    """Give the dimensions by name, without the region where it is any."""
    values = {
        "awsRegion": alarm.region,
        "eventSource": alarm.event_source,
        "eventName": valid(alarm.event_name, VALUE_LENGTH),
    }
    return [(name, value) for name in alarm.metrics.dimensions if (value := values[name])]


def _escaped(text: str) -> str:
    """Escape what would end a quoted name or value."""
    return re.sub(r"""(["'\\])""", r"\\\1", text)
