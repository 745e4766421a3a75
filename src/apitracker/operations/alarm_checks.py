"""Checks of the alarms on a tracker and on the metrics that it publishes."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from apitracker.aws import Client, RefusedError, paginate, translate_errors
from apitracker.core.metric_sets import SETS, USAGE, publishes
from apitracker.errors import SettingsError
from apitracker.operations.cloudwatch import Metric
from apitracker.operations.deployment import Deployment, MakeClient, command_adding
from apitracker.operations.steps import StepResult, found_ok, found_wrong

ALARMS_NAMED: Final = 20  # alarms that are named one by one

# A query as apitracker alarm and the template write it: name, namespace, dimensions.
OUR_QUERY: Final = re.compile(
    r"""SELECT \w+\("?([^"()\\]+)"?\) FROM SCHEMA\("([^"\\]+)"((?:, *"?\w+"?)*)\)"""
)
OUR_CONDITION: Final = re.compile(r""""?(\w+)"? *= *'([^'\\]*)'""")


def check_alarms(deployment: Deployment, client: MakeClient) -> list[StepResult]:
    """
    Check the alarms on the tracker and on the metrics that it publishes.

    An alarm on the tracker that fires, or one on a metric that never comes, is wrong. An alarm on
    calls that fires is not the tracker's fault, and one that notifies nobody may be meant so:
    these are warnings.
    """
    namespace = deployment.namespace
    every, covered = _list_alarms(client("cloudwatch"))
    ours = [each for each in every if _is_ours(each, deployment, namespace)]
    firing = [each for each in ours if each["StateValue"] == "ALARM"]
    on_calls = [each for each in firing if _metrics_of_calls(each, namespace)]
    on_tracker = [each for each in firing if each not in on_calls]
    silent = [
        each
        for each in ours
        if not (each.get("ActionsEnabled", True) and each.get("AlarmActions"))
        and not re.search(rf"""[("':]{re.escape(each["AlarmName"])}["')]""", covered)
    ]
    found: list[StepResult] = []
    if on_tracker:
        found.append(found_wrong(f"firing: {_named(on_tracker)}: see the reason in CloudWatch"))
    found += _find_unfed(ours, deployment)
    if on_calls:
        text = f"firing, as calls are above the threshold: {_named(on_calls)}"
        found.append(StepResult("warning", text))
    if silent:
        found.append(
            StepResult(
                "warning",
                f"notifying nobody: {_named(silent)}: give the stack AlarmEmail or AlarmTopicArn, "
                "and your own alarms --notify",
            )
        )
    if unconfirmed := _unconfirmed(deployment, client):
        found.append(StepResult("warning", unconfirmed))
    text = f"{len(ours)} alarms, none firing; each notifies somebody" if ours else "there are none"
    return found or [found_ok(text)]


def _find_unfed(
    alarms: Sequence[Mapping[str, Any]], deployment: Deployment
) -> Iterator[StepResult]:
    """Find the alarms on metrics in the tracker's namespaces that no deployed set publishes."""
    try:
        selection = deployment.selection
    except SettingsError as e:
        yield found_wrong(f"{deployment.function} cannot run: {e}")
        return
    missing: dict[Metric, list[Mapping[str, Any]]] = {}
    for alarm in alarms:
        for metric in _metrics_of_calls(alarm, selection.namespace):
            if not publishes(selection, metric.namespace, metric.name, dict(metric.dimensions)):
                missing.setdefault(metric, []).append(alarm)
    for metric, some in missing.items():
        yield found_wrong(
            f"never firing: {_named(some)}: {metric.name} in {metric.namespace} is not published; "
            f"{_remedy(metric, deployment)}"
        )


def _remedy(metric: Metric, deployment: Deployment) -> str:
    """Return the change that makes the tracker publish *metric*."""
    selection = deployment.selection
    wanted = metric.namespace, metric.name, dict(metric.dimensions)
    if publishes(replace(selection, include="", exclude=""), *wanted):
        return "change IncludeRules or ExcludeRules, or delete it"
    for name in SETS:
        if publishes(replace(selection, metrics=(name,), include="", exclude=""), *wanted):
            return f"add the metric set {name}: {command_adding(name, deployment)}"
    return "no metric set has it: delete it"


def _list_alarms(cloudwatch: Client) -> tuple[list[dict[str, Any]], str]:
    """List all alarms on metrics, and the rules of the composite alarms that notify somebody."""
    alarms: list[dict[str, Any]] = []
    rules: list[str] = []
    for answer in paginate(
        cloudwatch,
        "cloudwatch:DescribeAlarms",
        "describe_alarms",
        AlarmTypes=["CompositeAlarm", "MetricAlarm"],
    ):
        alarms += answer.get("MetricAlarms", [])
        rules += [
            each["AlarmRule"]
            for each in answer.get("CompositeAlarms", [])
            if each.get("ActionsEnabled", True) and each.get("AlarmActions")
        ]
    return alarms, "\n".join(rules)


def _unconfirmed(deployment: Deployment, client: MakeClient) -> str:
    """Return the remedy if the stack's e-mail address has not confirmed; empty if it has."""
    if not deployment.subscription:
        return ""
    try:
        with translate_errors("sns:GetSubscriptionAttributes"):
            found = client("sns").get_subscription_attributes(
                SubscriptionArn=deployment.subscription
            )
    except RefusedError as e:
        return f"whether the address of AlarmEmail has confirmed is not known: {e}"
    if found["Attributes"].get("PendingConfirmation") == "true":
        return (
            "no e-mail is sent: the address of AlarmEmail has not confirmed; open the "
            "message that SNS sent to it"
        )
    return ""


def _is_ours(alarm: Mapping[str, Any], deployment: Deployment, namespace: str) -> bool:
    """Return whether *alarm* is the stack's, or on the function or a metric in *namespace*."""
    dimensions = [each["Value"] for each in alarm.get("Dimensions", [])]
    queries = alarm.get("Metrics", [])
    expressions = [each.get("Expression", "") for each in queries]
    stats = [each["MetricStat"]["Metric"] for each in queries if "MetricStat" in each]
    watched = [each.get("Namespace") or "" for each in (alarm, *stats)]
    return (
        alarm["AlarmName"] in deployment.alarms
        or any(each == namespace or each.startswith(f"{namespace}/") for each in watched)
        or ("AWS/Lambda" in watched and deployment.function in dimensions)
        or any(f'"{namespace}{end}' in each for each in expressions for end in '"/')
    )


def _metrics_of_calls(alarm: Mapping[str, Any], namespace: str) -> list[Metric]:
    """
    Return the metrics of calls in *namespace* that *alarm* watches; a value that may be any is "".

    Of queries only those are understood that are written like ours.
    """
    queries = alarm.get("Metrics", [])
    stats = [each["MetricStat"]["Metric"] for each in queries if "MetricStat" in each]
    found = [
        Metric(
            each["Namespace"],
            each["MetricName"],
            tuple((d["Name"], d["Value"]) for d in each.get("Dimensions", [])),
        )
        for each in (alarm, *stats)
        if each.get("MetricName")
    ]
    for each in queries:
        if query := OUR_QUERY.search(each.get("Expression", "")):
            name, source, dimensions = query.groups()
            values = dict(OUR_CONDITION.findall(query.string[query.end() :]))
            names = [part.strip(' "') for part in dimensions.split(",") if part.strip()]
            pairs = tuple((each, values.get(each, "")) for each in names)
            found.append(Metric(source, name, pairs))
    return [metric for metric in found if metric.namespace in {namespace, namespace + USAGE}]


def _named(alarms: Sequence[Mapping[str, Any]]) -> str:
    names = sorted(each["AlarmName"] for each in alarms)
    more = f" and {len(names) - ALARMS_NAMED:,} more" if len(names) > ALARMS_NAMED else ""
    return ", ".join(names[:ALARMS_NAMED]) + more
