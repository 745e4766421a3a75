"""An alarm on the calls of one API."""

import math
import re
from typing import Any, Final

from msgspec import Struct

from apitracker.aws import Client, RefusedError, translate_errors
from apitracker.core.datums import NAME_LENGTH, VALUE_LENGTH, valid
from apitracker.core.metric_sets import (
    API,
    OUTCOMES,
    SETS,
    MetricSelection,
    MetricSet,
    publishes,
    within,
)
from apitracker.core.times import AGE_UNITS
from apitracker.errors import SettingsError, UsageError
from apitracker.operations.api_names import published_names
from apitracker.operations.cloudwatch import Metric, name_metric
from apitracker.operations.deployment import (
    FUNCTION,
    Deployment,
    MakeClient,
    NotDeployedError,
    command_adding,
    find,
)

DELIVERED: Final = 15 * 60  # seconds in which CloudTrail as a rule delivers a call to a log group
LONGEST: Final = 86_400  # seconds of a period; with its two periods an alarm may look back a week
LONGEST_QUERY: Final = 3 * 3_600  # seconds that an alarm on a Metrics Insights query looks back
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Create-alarm-on-metric-math-expression.html
MOST_ADDED: Final = 10  # metrics in the expression of an alarm
MOST_NOTIFIED: Final = 5  # actions of an alarm
NAMES_SHOWN: Final = 300  # characters of a description, for the names that are added up
BEHIND: Final = {
    "throttled": "Who is behind it: apitracker throttles. ",
    "denied": "Who was denied: apitracker denials. ",
    "failed": "",
}
"""The command that names the callers, by outcome, as a sentence of an alarm's description."""


class Alarm(Struct, frozen=True, kw_only=True):
    """
    An alarm on more than *above* calls of an API in *per* seconds.

    *region* is the awsRegion of the calls; None is all regions together. With *outcome*, a key of
    `OUTCOMES`, only calls that ended so count. *names* are those under which the API is recorded,
    where they are not *event_name* alone: their calls are added up. *notify* are the ARNs of the
    actions when it fires.
    """

    event_source: str
    event_name: str
    above: int
    per: int
    region: str | None
    namespace: str = API.namespace
    outcome: str = ""
    names: tuple[str, ...] = ()
    notify: tuple[str, ...] = ()

    @property
    def recorded(self) -> tuple[str, ...]:
        """The names under which the API is recorded."""
        return self.names or (self.event_name,)

    @property
    def metrics(self) -> MetricSet:
        """The metric set that the alarm watches, in its namespace."""
        return within(SETS["outcomes"] if self.outcome else API, self.namespace)

    @property
    def watched(self) -> list[Metric]:
        """
        The metrics that are added up, one for each name; the region is empty where it is any.
        """
        return [
            Metric(
                self.metrics.namespace,
                OUTCOMES.get(self.outcome) or valid(name, NAME_LENGTH),
                tuple((each, self._value(each, name)) for each in self.metrics.dimensions),
            )
            for name in self.recorded
        ]

    def _value(self, dimension: str, name: str) -> str:
        values = {
            "awsRegion": self.region or "",
            "eventSource": self.event_source,
            "eventName": valid(name, VALUE_LENGTH),
        }
        return values[dimension]


class Seen(Struct, frozen=True):
    """
    A tracker as AWS shows it: the API names that have metrics, and the metrics it publishes.

    *unlisted* and *undeployed* are the reasons why one or the other could not be seen.
    """

    names: frozenset[str] = frozenset()
    deployment: Deployment | None = None
    selection: MetricSelection | None = None
    unlisted: str = ""
    undeployed: str = ""


def look_at_tracker(source: str, namespace: str, tracker: str, client: MakeClient) -> Seen:
    """
    Look at the metrics of the eventSource *source*, and at the deployed *tracker* by its name.

    The answer has the reason where something is missing or may not be seen. `ServiceError` if AWS
    cannot be asked at all.
    """
    names: frozenset[str] = frozenset()
    unlisted = ""
    try:
        names = frozenset(published_names(source, namespace, client("cloudwatch")))
    except RefusedError as e:
        unlisted = str(e)
    try:
        found = find(tracker, client)
    except (NotDeployedError, RefusedError) as e:
        return Seen(names, unlisted=unlisted, undeployed=str(e))
    if not found.function:
        text = f"{tracker} has no {FUNCTION}: is it the tracker's stack?"
        return Seen(names, unlisted=unlisted, undeployed=text)
    try:
        return Seen(names, found, found.selection, unlisted)
    except RefusedError as e:
        return Seen(names, unlisted=unlisted, undeployed=str(e))
    except SettingsError as e:
        return Seen(names, unlisted=unlisted, undeployed=f"{found.function} cannot run: {e}")


def parse_period(text: str) -> int:
    """
    Read a length of time such as ``5m`` or ``1h``, in seconds.

    `UsageError` unless it is a number of whole minutes, up to a day: the metrics are by the minute.
    """
    found = re.fullmatch(r"(\d{1,9})([smhd])", text.strip(), re.ASCII)
    seconds = int(found[1]) * AGE_UNITS[found[2]] if found else 0
    if not 0 < seconds <= LONGEST or seconds % 60:
        raise UsageError(f"{text}: give whole minutes up to a day, as 1m, 5m or 1h")
    return seconds


def evaluation_periods(per: int) -> int:
    """
    Return how many periods of *per* seconds an alarm looks back; one of them is enough to fire.

    A period is complete when it is `DELIVERED` over, and must still be looked at then. Fewer would
    never see late calls; asking for more than one would miss a single burst.
    """
    return math.ceil(DELIVERED / per) + 1


def alarm_name(alarm: Alarm) -> str:
    """Name the alarm by its metric, not by its threshold, so that a new one replaces it."""
    words = (
        alarm.namespace,
        f"{alarm.event_source}:{alarm.event_name}",
        alarm.region or "any-region",
        *([alarm.outcome] if alarm.outcome else []),
    )
    return valid(" ".join(words), NAME_LENGTH)


def alarm_description(alarm: Alarm) -> str:
    """Describe when the alarm fires."""
    where = alarm.region or "all regions together"
    back = evaluation_periods(alarm.per) * alarm.per // 60
    names = ", ".join(alarm.recorded) if alarm.recorded != (alarm.event_name,) else ""
    recorded = f"Recorded as {names}. " if 0 < len(names) <= NAMES_SHOWN else ""
    return (
        f"More than {alarm.above:,} {alarm.outcome and f'{alarm.outcome} '}calls of "
        f"{valid(alarm.event_name, NAME_LENGTH)} ({alarm.event_source}) in {where} within "
        f"{alarm.per // 60:,} minutes. {recorded}"
        f"Looks {back:,} minutes back, as CloudTrail delivers late. "
        f"{BEHIND.get(alarm.outcome, '')}Made by apitracker alarm."
    )


def alarm_request(alarm: Alarm) -> dict[str, Any]:
    """
    Return the parameters of PutMetricAlarm. `UsageError` if CloudWatch could not evaluate it.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
    """
    if alarm.region is None and alarm.per * evaluation_periods(alarm.per) > LONGEST_QUERY:
        raise UsageError("an alarm on any region looks back three hours at most: give --per 1h")
    if len(alarm.notify) > MOST_NOTIFIED:
        raise UsageError(f"--notify: an alarm has at most {MOST_NOTIFIED} actions; use a topic")
    if len(alarm.recorded) > (MOST_ADDED if alarm.region else 1):
        some = ", ".join(alarm.recorded[:MOST_ADDED])
        most = f"at most {MOST_ADDED} metrics" if alarm.region else "the metrics of one name only"
        raise UsageError(
            f"{alarm.event_source}:{alarm.event_name}: recorded as {some}, and an alarm"
            f"{'' if alarm.region else ' on any region'} adds up {most}: give one of these names"
            f"{'' if alarm.region else ', or --region'}"
        )
    return {
        "AlarmName": alarm_name(alarm),
        "AlarmDescription": alarm_description(alarm),
        "ActionsEnabled": True,
        "AlarmActions": list(alarm.notify),
        **_watched(alarm),
        "EvaluationPeriods": evaluation_periods(alarm.per),
        "DatapointsToAlarm": 1,
        "Threshold": float(alarm.above),
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",  # no datum is no call
    }


def insights_query(alarm: Alarm) -> str:
    """
    Write the Metrics Insights query that adds up the calls of all regions.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-metrics-insights-querylanguage.html
    """
    (metric,) = alarm.watched
    total = f'SELECT SUM("{_escaped(metric.name)}")'
    schema = f'FROM SCHEMA("{_escaped(metric.namespace)}", {", ".join(alarm.metrics.dimensions)})'
    pairs = [(name, value) for name, value in metric.dimensions if value]
    wanted = " AND ".join(f"{name} = '{_escaped(value)}'" for name, value in pairs)
    return f"{total} {schema} WHERE {wanted}"


def unfed(alarm: Alarm, seen: Seen) -> str:
    """
    Return why the metric of *alarm* never comes from the tracker that is *seen*, and the remedy.

    Empty if it may come, or no tracker is seen.
    """
    tracker, selection = seen.deployment, seen.selection
    if not (tracker and selection):
        return ""
    if selection.namespace != alarm.namespace:
        return (
            f"{tracker.name} publishes to {selection.namespace}, and the alarm watches "
            f"{alarm.namespace}: set APITRACKER_NAMESPACE={selection.namespace}"
        )
    if alarm.metrics.name not in selection.metrics:
        return (
            f"{tracker.name} does not publish the metric set {alarm.metrics.name}, so that the "
            f"alarm could never fire; to add it: {command_adding(alarm.metrics.name, tracker)}"
        )
    if any(publishes(selection, m.namespace, m.name, dict(m.dimensions)) for m in alarm.watched):
        return ""
    return (
        f"{tracker.name} does not publish {alarm.event_source}:{alarm.event_name} there: its "
        f"IncludeRules are {selection.include!r}, its ExcludeRules {selection.exclude!r}; "
        "change them"
    )


def put_alarm(requested: dict[str, Any], cloudwatch: Client) -> None:
    """Make the alarm, or update the one of this name. `ServiceError` if AWS does not."""
    with translate_errors("cloudwatch:PutMetricAlarm"):
        cloudwatch.put_metric_alarm(**requested)


def _watched(alarm: Alarm) -> dict[str, Any]:
    if alarm.region is None:
        expression = {"Id": "calls", "Expression": insights_query(alarm), "Period": alarm.per}
        return {"Metrics": [{**expression, "Label": "calls", "ReturnData": True}]}
    stats = [
        {"Metric": name_metric(metric), "Period": alarm.per, "Stat": "Sum"}
        for metric in alarm.watched
    ]
    if len(stats) > 1:
        # Most often one spelling has data: a sum with a missing value might be missing too.
        total = " + ".join(f"FILL(m{at}, 0)" for at in range(len(stats)))
        return {
            "Metrics": [
                {"Id": "calls", "Expression": total, "Label": "calls", "ReturnData": True},
                *(
                    {"Id": f"m{at}", "MetricStat": stat, "ReturnData": False}
                    for at, stat in enumerate(stats)
                ),
            ]
        }
    (metric,) = alarm.watched
    return {**name_metric(metric), "Statistic": "Sum", "Period": alarm.per}


def _escaped(text: str) -> str:
    """Escape the characters that would end a quoted name or value."""
    return re.sub(r"""(["'\\])""", r"\\\1", text)
