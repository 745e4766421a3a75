"""Is the deployed tracker working? Each step of what flows is looked at, and what to do is said."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, TypeAlias

from msgspec import Struct

from apitracker.account import stacks
from apitracker.account.clients import Client, Metric, RefusedError, asking, metrics, pages, sums
from apitracker.account.stacks import FAILED_EVENTS, FUNCTION, GROUP, TRAIL
from apitracker.core.metric_sets import API, SETS, USAGE, parse_names
from apitracker.settings import PREFIX

HOURS: Final = 3  # looked back, for invocations, their errors, and metrics
STALE: Final = 2 * 3_600  # seconds: CloudWatch Logs may be an hour late in saying what it received
LATE: Final = 30 * 60  # seconds: CloudTrail delivers within 15 minutes as a rule
SAMPLE: Final = 500  # metrics that are asked for their latest datum; one request

GIVEN_GROUP: Final = "CloudTrailLogGroupName"  # a parameter
DONE: Final = frozenset(
    {
        "CREATE_COMPLETE",
        "IMPORT_COMPLETE",
        "UPDATE_COMPLETE",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
    }
)


class Check(Struct, frozen=True):
    """One thing that was looked at, and what was found or what to do."""

    name: str
    ok: bool
    text: str


class Clients(Struct, frozen=True):
    """The AWS clients that verifying takes, handed over once."""

    cloudformation: Client
    cloudtrail: Client
    logs: Client
    functions: Client
    cloudwatch: Client
    s3: Client


class Deployed(Struct, frozen=True):
    """What a stack is made of: names by logical id, and the log group with CloudTrail's records."""

    stack: str
    resources: dict[str, str]
    group: str
    alarms: frozenset[str]

    @property
    def function(self) -> str:
        """The name of the Lambda function."""
        return self.resources[FUNCTION]


Found: TypeAlias = tuple[bool, str]


def verify(stack: str, clients: Clients, *, now: int) -> Iterator[Check]:
    """
    Check each step of what flows, from the trail to the alarms, as they come.

    *now* is in seconds since 1970. What may not be looked at is a check that failed.
    `ServiceError` if AWS cannot be asked at all.
    """
    try:
        deployed, check = look_up(stack, clients)
    except RefusedError as e:
        if e.code == stacks.MISSING:
            yield Check("stack", False, stacks.no_stack(stack))
        else:
            yield Check("stack", False, f"cannot tell: {e}")
        return
    yield check
    if deployed is None:
        return
    steps: dict[str, Callable[[], Found]] = {
        "trail": partial(trail, deployed, clients, now),
        "filter": partial(subscribed, deployed, clients),
        "records": partial(received, deployed, clients, now),
        "function": partial(invoked, deployed, clients, now),
        "failures": partial(redriven, deployed, clients),
        "metrics": partial(published, deployed, clients, now),
        "alarms": partial(quiet, deployed, clients),
        "trackers": partial(alone, deployed, clients, now),
    }
    for name, step in steps.items():
        try:
            ok, text = step()
        except RefusedError as e:
            ok, text = False, f"cannot tell: {e}"
        yield Check(name, ok, text)


def look_up(stack: str, clients: Clients) -> tuple[Deployed | None, Check]:
    """Find what the stack is made of. None if it is not the tracker's."""
    found = stacks.describe(stack, clients.cloudformation)
    names = {each: resource.name for each, resource in found.resources.items()}
    group = found.parameters.get(GIVEN_GROUP) or found.resource(GROUP)
    if not (found.resource(FUNCTION) and group):
        what = FUNCTION if group else "log group of a trail"
        return None, Check("stack", False, f"{stack} has no {what}: is it the tracker's stack?")
    alarms = frozenset(
        each.name for each in found.resources.values() if each.type == "AWS::CloudWatch::Alarm"
    )
    deployed = Deployed(stack, names, group, alarms)
    if found.status not in DONE:
        text = f"{stack} is {found.status}: see its events, and deploy again"
        return deployed, Check("stack", False, text)
    return deployed, Check("stack", True, f"{stack} is {found.status}")


def trail(deployed: Deployed, clients: Clients, now: int) -> Found:
    """Check that a trail delivers to the log group, and that it is logging."""
    found = _trail(deployed, clients)
    if not found:
        return False, (
            f"no trail delivers to {deployed.group}: give one this log group, with aws cloudtrail "
            "update-trail --cloud-watch-logs-log-group-arn … --cloud-watch-logs-role-arn …"
        )
    with asking("cloudtrail:GetTrailStatus"):
        status = clients.cloudtrail.get_trail_status(Name=found)
    if not status["IsLogging"]:
        return False, f"{found} is not logging: aws cloudtrail start-logging --name {found}"
    if error := status.get("LatestCloudWatchLogsDeliveryError"):
        return False, (
            f"{found} cannot deliver to CloudWatch Logs: {error}: its role needs "
            f"logs:CreateLogStream and logs:PutLogEvents on {deployed.group}"
        )
    if at := status.get("LatestCloudWatchLogsDeliveryTime"):
        return True, f"{found} is logging; it delivered {_ago(now - at.timestamp())}"
    return True, f"{found} is logging"


def subscribed(deployed: Deployed, clients: Clients) -> Found:
    """Check that the log group has a subscription filter to our function."""
    filters = _filters(deployed, clients)
    ours = [each for each in filters if _is_named(each["destinationArn"], deployed.function)]
    if not ours:
        others = f"; it has {len(filters)} others" if filters else ""
        return False, (
            f"{deployed.group} has no subscription filter to {deployed.function}{others}: "
            f"deploy the stack again, or make one with an empty pattern"
        )
    if pattern := ours[0].get("filterPattern"):
        return True, f"{deployed.group} sends {deployed.function} what matches {pattern}"
    return True, f"{deployed.group} sends all records to {deployed.function}"


def received(deployed: Deployed, clients: Clients, now: int) -> Found:
    """Check that the log group gets records."""
    with asking("logs:DescribeLogStreams"):
        streams = clients.logs.describe_log_streams(
            logGroupName=deployed.group, orderBy="LastEventTime", descending=True
        )["logStreams"]
    latest = max((each.get("lastIngestionTime", 0) for each in streams), default=0) / 1_000
    if not latest:
        return False, (
            f"{deployed.group} has never received a record: wait for 15 minutes after the trail "
            "was made, then see to the trail"
        )
    text = f"{deployed.group} received records {_ago(now - latest)}"
    if now - latest > STALE:
        return False, f"{text}: see to the trail"
    return True, text


def invoked(deployed: Deployed, clients: Clients, now: int) -> Found:
    """Check that the function is well, and was invoked without errors."""
    name = deployed.function
    configuration = _configuration(name, clients)
    if configuration.get("State") == "Failed" or configuration.get("LastUpdateStatus") == "Failed":
        why = configuration.get("StateReason") or configuration.get("LastUpdateStatusReason", "")
        return False, f"{name} cannot run: {why}: deploy the stack again"
    calls, errors = (
        _in_all(clients, now, Metric("AWS/Lambda", which, (("FunctionName", name),)))
        for which in ("Invocations", "Errors")
    )
    if errors:
        return False, (
            f"{errors:,} of {calls:,} invocations of {name} failed in {HOURS} hours: "
            f"aws logs tail {_log(configuration)} --since {HOURS}h"
        )
    if not calls:
        return False, (
            f"{name} was not invoked in {HOURS} hours: see to the filter, and to the permission "
            "of logs.amazonaws.com to invoke it (deploy the stack again)"
        )
    return True, f"{name} was invoked {calls:,} times in {HOURS} hours, without errors"


def redriven(deployed: Deployed, clients: Clients) -> Found:
    """Check that no failed event waits to be published."""
    bucket = deployed.resources.get(FAILED_EVENTS)
    if not bucket:
        return False, f"{deployed.stack} keeps no failed events: deploy it again, of this version"
    with asking("s3:ListBucket"):
        found = clients.s3.list_objects_v2(Bucket=bucket, MaxKeys=SAMPLE)
    if waiting := found["KeyCount"]:
        more = " or more" if found["IsTruncated"] else ""
        return False, (
            f"{waiting:,}{more} failed events wait in {bucket}, for 30 days: mend what the log of "
            f"{deployed.function} says, then apitracker redrive --stack {deployed.stack}"
        )
    return True, f"no failed events wait in {bucket}"


def published(deployed: Deployed, clients: Clients, now: int) -> Found:
    """Check that metrics arrive, and how late."""
    namespace, steady = _published(_configuration(deployed.function, clients))
    listed = metrics(clients.cloudwatch, namespace, RecentlyActive=f"PT{HOURS}H")
    some = [metric for metric, _ in zip(listed, range(SAMPLE), strict=False)]
    found = sums(clients.cloudwatch, some, period=60, start=now - HOURS * 3_600, end=now + LATE)
    latest = max((time for values in found.values() for time in values), default=None)
    text = f"no metrics in {namespace} for {HOURS} hours"
    if latest is not None:
        text = f"the latest call in {namespace} was made {_ago(now - latest)}"
    if not steady:
        return True, f"{text}: only calls that went wrong are published"
    if latest is None:
        return False, (
            f"{text}: see to the function; its role needs cloudwatch:PutMetricData for {namespace}"
        )
    if now - latest > LATE:
        return False, f"{text}: CloudTrail takes 15 minutes; see to the lines above"
    return True, text


def quiet(deployed: Deployed, clients: Clients) -> Found:
    """Check that no alarm on the tracker, or on what it publishes, rings."""
    namespace = _namespace(_configuration(deployed.function, clients))
    ringing: list[str] = []
    ours = 0
    for page in pages(clients.cloudwatch, "cloudwatch:DescribeAlarms", "describe_alarms"):
        for alarm in page["MetricAlarms"]:
            if _is_ours(alarm, deployed, namespace):
                ours += 1
                if alarm["StateValue"] == "ALARM":
                    ringing.append(alarm["AlarmName"])
    if ringing:
        return False, f"ringing: {', '.join(sorted(ringing))}: see its reason in CloudWatch"
    return True, f"{ours} alarms, none ringing" if ours else "there are none"


def alone(deployed: Deployed, clients: Clients, now: int) -> Found:
    """Check that no other tracker publishes to our namespace: each call would count twice."""
    fed = [
        each["destinationArn"]
        for each in _filters(deployed, clients)
        if not _is_named(each["destinationArn"], deployed.function)
    ]
    namespace = _namespace(_configuration(deployed.function, clients))
    others: list[str] = []
    for page in pages(clients.functions, "lambda:ListFunctions", "list_functions"):
        for each in page["Functions"]:
            name = each["FunctionName"]
            on_our_group = any(_is_named(arn, name) for arn in fed)
            if (
                name != deployed.function
                and _tracks(each, fed=on_our_group)
                and _namespace(each) == namespace
                and (on_our_group or _runs(name, clients, now))
            ):
                others.append(name)
    if others:
        return False, (
            f"also publishing to {namespace}: {', '.join(sorted(others))}: calls count twice; "
            "delete its stack or subscription filter, or give it another namespace"
        )
    return True, f"no other tracker publishes to {namespace}"


# --- what is asked ------------------------------------------------------------------------------


def _trail(deployed: Deployed, clients: Clients) -> str:
    """Give the stack's own trail by name, or else by ARN one that delivers to the group; or ""."""
    if own := deployed.resources.get(TRAIL):
        return own
    with asking("cloudtrail:DescribeTrails"):
        trails = clients.cloudtrail.describe_trails(includeShadowTrails=True)["trailList"]
    for each in trails:
        if f":log-group:{deployed.group}:" in each.get("CloudWatchLogsLogGroupArn", "") + ":":
            return str(each["TrailARN"])
    return ""


def _filters(deployed: Deployed, clients: Clients) -> list[dict[str, Any]]:
    found = pages(
        clients.logs,
        "logs:DescribeSubscriptionFilters",
        "describe_subscription_filters",
        logGroupName=deployed.group,
    )
    return [each for page in found for each in page["subscriptionFilters"]]


def _configuration(name: str, clients: Clients) -> dict[str, Any]:
    with asking("lambda:GetFunctionConfiguration"):
        found: dict[str, Any] = clients.functions.get_function_configuration(FunctionName=name)
    return found


def _in_all(clients: Clients, now: int, metric: Metric) -> int:
    """Add up *metric* over the last hours, this minute included."""
    found = sums(clients.cloudwatch, [metric], period=300, start=now - HOURS * 3_600, end=now + 60)
    return round(sum(found[metric].values()))


def _runs(name: str, clients: Clients, now: int) -> bool:
    invocations = Metric("AWS/Lambda", "Invocations", (("FunctionName", name),))
    return _in_all(clients, now, invocations) > 0


# --- what is made of it -------------------------------------------------------------------------


def _is_named(arn: str, function: str) -> bool:
    """Whether *arn* is of *function*, or of a version or an alias of it."""
    return f":function:{function}:" in f"{arn}:"


def _variables(configuration: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = configuration.get("Environment", {}).get("Variables", {})
    return found


def _namespace(configuration: dict[str, Any]) -> str:
    """Where a tracker with this configuration publishes. The predecessor knows one place only."""
    return _variables(configuration).get(f"{PREFIX}NAMESPACE") or API.namespace


def _published(configuration: dict[str, Any]) -> tuple[str, bool]:
    """
    Where to look for what is published, and whether each call is, not only one that went wrong.

    Without the set `API` that is where the others are.
    """
    names = parse_names(_variables(configuration).get(f"{PREFIX}METRICS", API.name))
    namespace = _namespace(configuration)
    if API.name in names:
        return namespace, True
    return namespace + USAGE, any(not SETS[name].names for name in names if name in SETS)


def _tracks(configuration: dict[str, Any], *, fed: bool) -> bool:
    """
    Whether a function looks like a tracker: ours, or the predecessor.

    The predecessor's name holds its logical id where a stack made it; one that was made by hand
    is known by its handler, if our log group feeds it.
    """
    return (
        FUNCTION in configuration["FunctionName"]
        or any(name.startswith(PREFIX) for name in _variables(configuration))
        or (fed and configuration.get("Handler") == "app.handler")
    )


def _is_ours(alarm: dict[str, Any], deployed: Deployed, namespace: str) -> bool:
    """Whether *alarm* is the stack's, or watches the function or what it publishes."""
    dimensions = [each["Value"] for each in alarm.get("Dimensions", [])]
    queries = [each.get("Expression", "") for each in alarm.get("Metrics", [])]
    watched = alarm.get("Namespace") or ""
    return (
        alarm["AlarmName"] in deployed.alarms
        or watched == namespace
        or watched.startswith(f"{namespace}/")
        or (watched == "AWS/Lambda" and deployed.function in dimensions)
        or any(f'"{namespace}{end}' in each for each in queries for end in '"/')
    )


def _log(configuration: dict[str, Any]) -> str:
    """The log group that the function writes to."""
    chosen = configuration.get("LoggingConfig", {}).get("LogGroup")
    return str(chosen or f"/aws/lambda/{configuration['FunctionName']}")


def _ago(seconds: float) -> str:
    minutes = max(0, round(seconds / 60))
    if minutes < 120:  # noqa: PLR2004 - two hours
        return f"{minutes} minutes ago"
    return f"{minutes // 60:,} hours ago"
