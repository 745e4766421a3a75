"""Is the deployed tracker working? Each step of what flows is looked at, and what to do is said."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from apitracker.aws import Client, Metric, RefusedError, asking, metrics, pages, sums
from apitracker.core.metric_sets import API, SETS, USAGE, MetricSelection, parse_names, publishes
from apitracker.errors import SettingsError
from apitracker.operations import deployment as stacks
from apitracker.operations.deployment import (
    FAILED_EVENTS,
    FUNCTION,
    GROUP,
    SUBSCRIPTION,
    TRAIL,
    Stack,
)
from apitracker.settings import PREFIX

HOURS: Final = 3  # looked back, for invocations, their errors, and metrics
STALE: Final = 2 * 3_600  # seconds: CloudWatch Logs may be an hour late in saying what it received
LATE: Final = 30 * 60  # seconds: CloudTrail delivers within 15 minutes as a rule
FIRST_RECORDS: Final = LATE  # seconds from a deployment, in which nothing may have come yet
ALARMS_NAMED: Final = 20  # alarms that are named one by one
SAMPLE: Final = 500  # metrics that are asked for their latest datum; one request

# A query as apitracker alarm and the template write it: name, namespace, dimensions.
OUR_QUERY: Final = re.compile(
    r"""SELECT \w+\("?([^"()\\]+)"?\) FROM SCHEMA\("([^"\\]+)"((?:, *"?\w+"?)*)\)"""
)
OUR_CONDITION: Final = re.compile(r""""?(\w+)"? *= *'([^'\\]*)'""")

GIVEN_GROUP: Final = "CloudTrailLogGroupName"  # a parameter
DONE: Final = frozenset(
    {
        "CREATE_COMPLETE",
        "IMPORT_COMPLETE",
        "UPDATE_COMPLETE",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
    }
)
UNDER_WAY: Final = frozenset(
    {"CREATE_IN_PROGRESS", "IMPORT_IN_PROGRESS", "REVIEW_IN_PROGRESS", "UPDATE_IN_PROGRESS"}
)
AGAIN: Final = "run verify again when it is done"


State: TypeAlias = Literal["ok", "waiting", "warning", "wrong"]


class Finding(Struct, frozen=True):
    """
    What a step has found, or what to do.

    *idle* says that nothing came through: another step may be the cause, or the time.
    """

    state: State
    text: str
    idle: bool = False


class Check(Struct, frozen=True):
    """What was found of one thing that was looked at."""

    name: str
    state: State
    text: str


class Clients(Struct, frozen=True):
    """The AWS clients that verifying takes, handed over once."""

    cloudformation: Client
    cloudtrail: Client
    logs: Client
    functions: Client
    cloudwatch: Client
    s3: Client
    sns: Client


class Deployed(Struct, frozen=True):
    """What a stack is made of: names by logical id, and the log group with CloudTrail's records."""

    stack: Stack
    resources: dict[str, str]
    group: str
    alarms: frozenset[str]

    @property
    def function(self) -> str:
        """The name of the Lambda function."""
        return self.resources[FUNCTION]


def verify(stack: str, clients: Clients, *, now: int) -> Iterator[Check]:
    """
    Check each step of what flows, from the trail to the alarms, as they come.

    *now* is in seconds since 1970. What may not be looked at is wrong. What has not come through
    for a reason that is told already, or since the stack is too young, waits: all of it in one
    check. `ServiceError` if AWS cannot be asked at all.
    """
    try:
        deployed, check = look_up(stack, clients)
    except RefusedError as e:
        missing = Check("stack", "wrong", stacks.no_stack(stack))
        yield missing if e.code == stacks.MISSING else _unseen("stack", e)
        return
    yield check
    if deployed is None:
        return
    flow: dict[str, Callable[[], Finding]] = {
        "trail": partial(trail, deployed, clients, now),
        "filter": partial(subscribed, deployed, clients),
        "records": partial(received, deployed, clients, now),
        "function": partial(invoked, deployed, clients, now),
        "failures": partial(redriven, deployed, clients),
        "metrics": partial(published, deployed, clients, now),
    }
    age = now - deployed.stack.changed
    causes: list[str] = []
    waiting: list[str] = []
    for name, step in flow.items():
        try:
            found = step()
        except RefusedError as e:  # which keeps nothing from coming through
            yield _unseen(name, e)
            continue
        if found.idle and (causes or age < FIRST_RECORDS):
            waiting.append(name)
            continue
        if found.state == "wrong" and name != "failures":
            causes.append(name)
        yield Check(name, found.state, found.text)
    if waiting:
        yield Check("traffic", "waiting", f"{', '.join(waiting)}: {_reason(stack, causes, age)}")
    try:
        yield from check_alarms(deployed, clients)
    except RefusedError as e:
        yield _unseen("alarms", e)
    try:
        others = alone(deployed, clients, now)
        yield Check("trackers", others.state, others.text)
    except RefusedError as e:
        yield _unseen("trackers", e)


def _unseen(name: str, error: RefusedError) -> Check:
    return Check(name, "wrong", f"cannot tell: {error}")


def _reason(stack: str, causes: Sequence[str], age: int) -> str:
    """Say why nothing comes through."""
    if causes:
        return f"nothing comes before this is mended: {', '.join(causes)}"
    return (
        f"{stack} was deployed {_span(age)} ago; the first records take up to 15 minutes: run "
        "verify again after that"
    )


def look_up(stack: str, clients: Clients) -> tuple[Deployed | None, Check]:
    """Find what the stack is made of. None if it is not the tracker's, or not there yet."""
    found = stacks.describe(stack, clients.cloudformation)
    names = {each: resource.name for each, resource in found.resources.items()}
    group = found.parameters.get(GIVEN_GROUP) or found.resource(GROUP)
    being_made = found.status in UNDER_WAY
    if not (found.resource(FUNCTION) and group):
        what = FUNCTION if group else "log group of a trail"
        if being_made:
            return None, Check("stack", "waiting", f"{stack} is {found.status}: {AGAIN}")
        return None, Check("stack", "wrong", f"{stack} has no {what}: is it the tracker's stack?")
    alarms = frozenset(
        each.name for each in found.resources.values() if each.type == "AWS::CloudWatch::Alarm"
    )
    deployed = Deployed(found, names, group, alarms)
    if found.status in DONE:
        return deployed, Check("stack", "ok", f"{stack} is {found.status}")
    if being_made:
        return deployed, Check("stack", "waiting", f"{stack} is {found.status}: {AGAIN}")
    text = f"{stack} is {found.status}: see its events, and deploy again"
    return deployed, Check("stack", "wrong", text)


def trail(deployed: Deployed, clients: Clients, now: int) -> Finding:
    """Check that a trail delivers to the log group, and that it is logging."""
    found = _trail(deployed, clients)
    if not found:
        return _wrong(
            f"no trail delivers to {deployed.group}: give one this log group, with aws cloudtrail "
            "update-trail --cloud-watch-logs-log-group-arn … --cloud-watch-logs-role-arn …"
        )
    with asking("cloudtrail:GetTrailStatus"):
        status = clients.cloudtrail.get_trail_status(Name=found)
    if not status["IsLogging"]:
        return _wrong(f"{found} is not logging: aws cloudtrail start-logging --name {found}")
    if error := status.get("LatestCloudWatchLogsDeliveryError"):
        return _wrong(
            f"{found} cannot deliver to CloudWatch Logs: {error}: its role needs "
            f"logs:CreateLogStream and logs:PutLogEvents on {deployed.group}"
        )
    if at := status.get("LatestCloudWatchLogsDeliveryTime"):
        return _ok(f"{found} is logging; it delivered {_ago(now - at.timestamp())}")
    return _ok(f"{found} is logging")


def subscribed(deployed: Deployed, clients: Clients) -> Finding:
    """Check that the log group has a subscription filter to our function."""
    filters = _filters(deployed, clients)
    ours = [each for each in filters if _is_named(each["destinationArn"], deployed.function)]
    if not ours:
        others = f"; it has {len(filters)} others" if filters else ""
        return _wrong(
            f"{deployed.group} has no subscription filter to {deployed.function}{others}: "
            f"deploy the stack again, or make one with an empty pattern"
        )
    if pattern := ours[0].get("filterPattern"):
        return _ok(f"{deployed.group} sends {deployed.function} what matches {pattern}")
    return _ok(f"{deployed.group} sends all records to {deployed.function}")


def received(deployed: Deployed, clients: Clients, now: int) -> Finding:
    """Check that the log group gets records."""
    with asking("logs:DescribeLogStreams"):
        streams = clients.logs.describe_log_streams(
            logGroupName=deployed.group, orderBy="LastEventTime", descending=True
        )["logStreams"]
    latest = max((each.get("lastIngestionTime", 0) for each in streams), default=0) / 1_000
    if not latest:
        return _wrong(
            f"{deployed.group} has never received a record: see to the trail",
            idle=True,
        )
    text = f"{deployed.group} received records {_ago(now - latest)}"
    if now - latest > STALE:
        return _wrong(f"{text}: see to the trail", idle=True)
    return _ok(text)


def invoked(deployed: Deployed, clients: Clients, now: int) -> Finding:
    """Check that the function is well, and was invoked without errors."""
    name = deployed.function
    configuration = _configuration(name, clients)
    if configuration.get("State") == "Failed" or configuration.get("LastUpdateStatus") == "Failed":
        why = configuration.get("StateReason") or configuration.get("LastUpdateStatusReason", "")
        return _wrong(f"{name} cannot run: {why}: deploy the stack again")
    calls, errors = (
        _in_all(clients, now, Metric("AWS/Lambda", which, (("FunctionName", name),)))
        for which in ("Invocations", "Errors")
    )
    if errors:
        return _wrong(
            f"{errors:,} of {calls:,} invocations of {name} failed in {HOURS} hours: "
            f"aws logs tail {_log(configuration)} --since {HOURS}h"
        )
    if not calls:
        return _wrong(
            f"{name} was not invoked in {HOURS} hours: see to the filter, and to the permission "
            "of logs.amazonaws.com to invoke it (deploy the stack again)",
            idle=True,
        )
    return _ok(f"{name} was invoked {calls:,} times in {HOURS} hours, without errors")


def redriven(deployed: Deployed, clients: Clients) -> Finding:
    """Check that no failed event waits to be published."""
    bucket = deployed.resources.get(FAILED_EVENTS)
    if not bucket:
        return _wrong(
            f"{deployed.stack.name} keeps no failed events: deploy it again, of this version"
        )
    with asking("s3:ListBucket"):
        found = clients.s3.list_objects_v2(Bucket=bucket, MaxKeys=SAMPLE)
    if waiting := found["KeyCount"]:
        more = " or more" if found["IsTruncated"] else ""
        return _wrong(
            f"{waiting:,}{more} failed events wait in {bucket}, for 30 days: mend what the log of "
            f"{deployed.function} says, then apitracker redrive --stack {deployed.stack.name}"
        )
    return _ok(f"no failed events wait in {bucket}")


def published(deployed: Deployed, clients: Clients, now: int) -> Finding:
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
        return _ok(f"{text}: only calls that went wrong are published")
    if latest is None:
        return _wrong(
            f"{text}: see to the function; its role needs cloudwatch:PutMetricData for {namespace}",
            idle=True,
        )
    if now - latest > LATE:
        return _wrong(f"{text}: CloudTrail takes 15 minutes; see to the lines above", idle=True)
    return _ok(text)


def check_alarms(deployed: Deployed, clients: Clients) -> Iterator[Check]:
    """
    Check the alarms on the tracker and on what it publishes.

    An alarm on the tracker that fires, or one on a metric that never comes, is wrong. An alarm on
    calls that fires is not the tracker's fault, and one that notifies nobody may be meant so:
    these are warnings.
    """
    configuration = _configuration(deployed.function, clients)
    namespace = _namespace(configuration)
    every, covered = _alarms(clients)
    ours = [each for each in every if _is_ours(each, deployed, namespace)]
    firing = [each for each in ours if each["StateValue"] == "ALARM"]
    on_calls = [each for each in firing if _metrics_of_calls(each, namespace)]
    on_tracker = [each for each in firing if each not in on_calls]
    silent = [
        each
        for each in ours
        if not (each.get("ActionsEnabled", True) and each.get("AlarmActions"))
        and not re.search(rf"""[("':]{re.escape(each["AlarmName"])}["')]""", covered)
    ]
    found: list[Finding] = []
    if on_tracker:
        found.append(_wrong(f"firing: {_named(on_tracker)}: see the reason in CloudWatch"))
    found += _unfed(ours, deployed, configuration)
    if on_calls:
        text = f"firing, as calls are above the threshold: {_named(on_calls)}"
        found.append(Finding("warning", text))
    if silent:
        found.append(
            Finding(
                "warning",
                f"nobody is told by {_named(silent)}: give the stack AlarmEmail or AlarmTopicArn, "
                "and your own alarms --notify",
            )
        )
    if unconfirmed := _unconfirmed(deployed, clients):
        found.append(Finding("warning", unconfirmed))
    text = f"{len(ours)} alarms, none firing; each notifies somebody" if ours else "there are none"
    for each in found or [_ok(text)]:
        yield Check("alarms", each.state, each.text)


def _unfed(
    alarms: Sequence[Mapping[str, Any]], deployed: Deployed, configuration: Mapping[str, Any]
) -> Iterator[Finding]:
    """Find the alarms on metrics in the tracker's namespaces that no deployed set publishes."""
    try:
        choice = stacks.choice_of(configuration)
    except SettingsError as e:
        yield _wrong(f"{deployed.function} cannot run: {e}")
        return
    missing: dict[Metric, list[Mapping[str, Any]]] = {}
    for alarm in alarms:
        for metric in _metrics_of_calls(alarm, choice.namespace):
            if not publishes(choice, metric.namespace, metric.name, dict(metric.dimensions)):
                missing.setdefault(metric, []).append(alarm)
    for metric, some in missing.items():
        yield _wrong(
            f"never firing: {_named(some)}: {metric.name} in {metric.namespace} is not published; "
            f"{_mended(metric, choice, deployed.stack)}"
        )


def _mended(metric: Metric, choice: MetricSelection, stack: Stack) -> str:
    """Say what to do so that *metric* is published."""
    wanted = metric.namespace, metric.name, dict(metric.dimensions)
    if publishes(replace(choice, include="", exclude=""), *wanted):
        return "change IncludeRules or ExcludeRules, or delete it"
    for name in SETS:
        if publishes(replace(choice, metrics=(name,), include="", exclude=""), *wanted):
            return f"add the metric set {name}: {stacks.command_adding(name, stack)}"
    return "no metric set has it: delete it"


def alone(deployed: Deployed, clients: Clients, now: int) -> Finding:
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
        return _wrong(
            f"also publishing to {namespace}: {', '.join(sorted(others))}: calls count twice; "
            "delete its stack or subscription filter, or give it another namespace"
        )
    return _ok(f"no other tracker publishes to {namespace}")


def _ok(text: str) -> Finding:
    return Finding("ok", text)


def _wrong(text: str, *, idle: bool = False) -> Finding:
    return Finding("wrong", text, idle)


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
    return stacks.configuration(name, clients.functions)


def _alarms(clients: Clients) -> tuple[list[dict[str, Any]], str]:
    """List all alarms on metrics, and the rules of the composite alarms that notify somebody."""
    alarms: list[dict[str, Any]] = []
    rules: list[str] = []
    for page in pages(
        clients.cloudwatch,
        "cloudwatch:DescribeAlarms",
        "describe_alarms",
        AlarmTypes=["CompositeAlarm", "MetricAlarm"],
    ):
        alarms += page.get("MetricAlarms", [])
        rules += [
            each["AlarmRule"]
            for each in page.get("CompositeAlarms", [])
            if each.get("ActionsEnabled", True) and each.get("AlarmActions")
        ]
    return alarms, "\n".join(rules)


def _unconfirmed(deployed: Deployed, clients: Clients) -> str:
    """Say what to do if the e-mail address of the stack's alarms has not confirmed; else empty."""
    subscription = deployed.resources.get(SUBSCRIPTION)
    if not subscription:
        return ""
    try:
        with asking("sns:GetSubscriptionAttributes"):
            found = clients.sns.get_subscription_attributes(SubscriptionArn=subscription)
    except RefusedError as e:
        return f"whether the address of AlarmEmail has confirmed is not known: {e}"
    if found["Attributes"].get("PendingConfirmation") == "true":
        return (
            "nobody is told by e-mail: the address of AlarmEmail has not confirmed; open the "
            "message that SNS sent to it"
        )
    return ""


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


def _namespace(configuration: Mapping[str, Any]) -> str:
    """Where a tracker with this configuration publishes. The predecessor knows one place only."""
    return stacks.variables(configuration).get(f"{PREFIX}NAMESPACE") or API.namespace


def _published(configuration: dict[str, Any]) -> tuple[str, bool]:
    """
    Where to look for what is published, and whether each call is, not only one that went wrong.

    Without the set `API` that is where the others are.
    """
    names = parse_names(stacks.variables(configuration).get(f"{PREFIX}METRICS", API.name))
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
        or any(name.startswith(PREFIX) for name in stacks.variables(configuration))
        or (fed and configuration.get("Handler") == "app.handler")
    )


def _is_ours(alarm: dict[str, Any], deployed: Deployed, namespace: str) -> bool:
    """Whether *alarm* is the stack's, or watches the function or what it publishes."""
    dimensions = [each["Value"] for each in alarm.get("Dimensions", [])]
    parts = alarm.get("Metrics", [])
    queries = [each.get("Expression", "") for each in parts]
    stats = [each["MetricStat"]["Metric"] for each in parts if "MetricStat" in each]
    watched = [each.get("Namespace") or "" for each in (alarm, *stats)]
    return (
        alarm["AlarmName"] in deployed.alarms
        or any(each == namespace or each.startswith(f"{namespace}/") for each in watched)
        or ("AWS/Lambda" in watched and deployed.function in dimensions)
        or any(f'"{namespace}{end}' in each for each in queries for end in '"/')
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


def _log(configuration: dict[str, Any]) -> str:
    """The log group that the function writes to."""
    chosen = configuration.get("LoggingConfig", {}).get("LogGroup")
    return str(chosen or f"/aws/lambda/{configuration['FunctionName']}")


def _ago(seconds: float) -> str:
    return f"{_span(seconds)} ago"


def _span(seconds: float) -> str:
    minutes = max(0, round(seconds / 60))
    if minutes < 120:  # noqa: PLR2004 - two hours
        return f"{minutes} minutes"
    return f"{minutes // 60:,} hours"
