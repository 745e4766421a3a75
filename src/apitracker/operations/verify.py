"""Verify a deployed tracker: check each step of the way of a record, and say the remedy."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from msgspec import Struct

from apitracker.aws import RefusedError, paginate, translate_errors
from apitracker.core.metric_sets import API, SETS, USAGE, parse_names
from apitracker.operations.alarm_checks import check_alarms
from apitracker.operations.cloudwatch import Metric, get_sums, list_metrics
from apitracker.operations.deployment import (
    FUNCTION,
    GROUP_TAG,
    Deployment,
    MakeClient,
    NotDeployedError,
    find,
    namespace_of,
    variables,
)
from apitracker.operations.steps import State, StepResult, found_ok, found_wrong
from apitracker.settings import PREFIX

HOURS_BACK: Final = 3  # looked back, for invocations, their errors, and metrics
STALE: Final = 2 * 3_600  # seconds: CloudWatch Logs may be an hour late with its last record's time
LATE_METRICS: Final = 30 * 60  # seconds: CloudTrail delivers within 15 minutes as a rule
FIRST_RECORDS: Final = 30 * 60  # seconds from a deployment, in which nothing may have come yet
SAMPLE: Final = 500  # metrics that are asked for their latest datum; one request

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


class Check(Struct, frozen=True):
    """The result of checking one thing, by its *name*."""

    name: str
    state: State
    text: str


def verify(name: str, client: MakeClient, *, now: int) -> Iterator[Check]:
    """
    Check the tracker *name* step by step, from the trail to the alarms.

    *now* is in seconds since 1970. A step that may not be looked at is wrong. Steps that nothing
    came through wait, in one check, if a cause is found already or the deployment is too young.
    `ServiceError` if AWS cannot be asked at all.
    """
    try:
        deployment = find(name, client)
    except NotDeployedError as e:
        yield Check("stack", "wrong", str(e))
        return
    except RefusedError as e:
        yield _unseen("stack", e)
        return
    yield check_stack(deployment)
    if not (deployment.function and deployment.log_group):
        return
    yield from _check_flow(deployment, client, now)
    try:
        for found in check_alarms(deployment, client):
            yield Check("alarms", found.state, found.text)
    except RefusedError as e:
        yield _unseen("alarms", e)
    try:
        others = check_alone(deployment, client, now)
        yield Check("trackers", others.state, others.text)
    except RefusedError as e:
        yield _unseen("trackers", e)


def _check_flow(deployment: Deployment, client: MakeClient, now: int) -> Iterator[Check]:
    """Check the steps that records and their calls go through, in order."""
    flow: dict[str, Callable[[], StepResult]] = {
        "trail": partial(check_trail, deployment, client, now),
        "filter": partial(check_filter, deployment, client),
        "records": partial(check_records, deployment, client, now),
        "function": partial(check_function, deployment, client, now),
        "failures": partial(check_failures, deployment, client),
        "metrics": partial(check_metrics, deployment, client, now),
    }
    age = now - deployment.changed
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
        reason = _reason(deployment.name, causes, age)
        yield Check("traffic", "waiting", f"{', '.join(waiting)}: {reason}")


def _unseen(name: str, error: RefusedError) -> Check:
    return Check(name, "wrong", f"cannot tell: {error}")


def _reason(name: str, causes: Sequence[str], age: int) -> str:
    """Return the reason why nothing comes through."""
    if causes:
        return f"nothing comes before this is mended: {', '.join(causes)}"
    return (
        f"{name} was deployed {_span(age)} ago; the first records take up to 15 minutes: run "
        "verify again after that"
    )


def check_stack(deployment: Deployment) -> Check:
    """Check that the stack is whole, or that the function says which log group feeds it."""
    name, status = deployment.name, deployment.status
    if not status:
        if deployment.log_group:
            return Check("stack", "ok", f"{name} is a function without a stack")
        arn = deployment.configuration["FunctionArn"]
        return Check(
            "stack",
            "wrong",
            f"{name} is a function without a stack and has no tag {GROUP_TAG}: name its log group, "
            f"with aws lambda tag-resource --resource {arn} --tags {GROUP_TAG}=…",
        )
    if status in UNDER_WAY:
        return Check("stack", "waiting", f"{name} is {status}: {AGAIN}")
    if not (deployment.function and deployment.log_group):
        missing = FUNCTION if deployment.log_group else "log group of a trail"
        return Check("stack", "wrong", f"{name} has no {missing}: is it the tracker's stack?")
    if status in DONE:
        return Check("stack", "ok", f"{name} is {status}")
    return Check("stack", "wrong", f"{name} is {status}: see its events, and deploy again")


def check_trail(deployment: Deployment, client: MakeClient, now: int) -> StepResult:
    """Check that a trail delivers to the log group, and that it is logging."""
    found = _trail(deployment, client)
    if not found:
        return found_wrong(
            f"no trail delivers to {deployment.log_group}: give one this log group, with aws "
            "cloudtrail update-trail --cloud-watch-logs-log-group-arn … "
            "--cloud-watch-logs-role-arn …"
        )
    with translate_errors("cloudtrail:GetTrailStatus"):
        status = client("cloudtrail").get_trail_status(Name=found)
    if not status["IsLogging"]:
        return found_wrong(f"{found} is not logging: aws cloudtrail start-logging --name {found}")
    if error := status.get("LatestCloudWatchLogsDeliveryError"):
        return found_wrong(
            f"{found} cannot deliver to CloudWatch Logs: {error}: its role needs "
            f"logs:CreateLogStream and logs:PutLogEvents on {deployment.log_group}"
        )
    if at := status.get("LatestCloudWatchLogsDeliveryTime"):
        return found_ok(f"{found} is logging; it delivered {_ago(now - at.timestamp())}")
    return found_ok(f"{found} is logging")


def check_filter(deployment: Deployment, client: MakeClient) -> StepResult:
    """Check that the log group has a subscription filter to our function."""
    filters = _filters(deployment, client)
    ours = [each for each in filters if _is_named(each["destinationArn"], deployment.function)]
    if not ours:
        others = f"; it has {len(filters)} others" if filters else ""
        return found_wrong(
            f"{deployment.log_group} has no subscription filter to {deployment.function}{others}: "
            f"deploy the stack again, or make one with an empty pattern"
        )
    if pattern := ours[0].get("filterPattern"):
        return found_ok(
            f"{deployment.log_group} sends {deployment.function} what matches {pattern}"
        )
    return found_ok(f"{deployment.log_group} sends all records to {deployment.function}")


def check_records(deployment: Deployment, client: MakeClient, now: int) -> StepResult:
    """Check that the log group gets records."""
    with translate_errors("logs:DescribeLogStreams"):
        streams = client("logs").describe_log_streams(
            logGroupName=deployment.log_group, orderBy="LastEventTime", descending=True
        )["logStreams"]
    latest = max((each.get("lastIngestionTime", 0) for each in streams), default=0) / 1_000
    if not latest:
        return found_wrong(
            f"{deployment.log_group} has never received a record: see to the trail",
            idle=True,
        )
    text = f"{deployment.log_group} received records {_ago(now - latest)}"
    if now - latest > STALE:
        return found_wrong(f"{text}: see to the trail", idle=True)
    return found_ok(text)


def check_function(deployment: Deployment, client: MakeClient, now: int) -> StepResult:
    """Check that the function is well, and was invoked without errors."""
    name = deployment.function
    configuration = deployment.configuration
    if configuration.get("State") == "Failed" or configuration.get("LastUpdateStatus") == "Failed":
        why = configuration.get("StateReason") or configuration.get("LastUpdateStatusReason", "")
        return found_wrong(f"{name} cannot run: {why}: deploy the stack again")
    calls, errors = (
        _total(client, now, Metric("AWS/Lambda", which, (("FunctionName", name),)))
        for which in ("Invocations", "Errors")
    )
    if errors:
        return found_wrong(
            f"{errors:,} of {calls:,} invocations of {name} failed in {HOURS_BACK} hours: "
            f"aws logs tail {_log(configuration)} --since {HOURS_BACK}h"
        )
    if not calls:
        return found_wrong(
            f"{name} was not invoked in {HOURS_BACK} hours: see to the filter, and to the "
            "permission of logs.amazonaws.com to invoke it (deploy the stack again)",
            idle=True,
        )
    return found_ok(f"{name} was invoked {calls:,} times in {HOURS_BACK} hours, without errors")


def check_failures(deployment: Deployment, client: MakeClient) -> StepResult:
    """Check that no failed event waits to be published."""
    bucket = deployment.failed_events
    if not bucket:
        return found_wrong(
            f"{deployment.name} keeps no failed events: deploy it again, of this version"
        )
    with translate_errors("s3:ListBucket"):
        found = client("s3").list_objects_v2(Bucket=bucket, MaxKeys=SAMPLE)
    if waiting := found["KeyCount"]:
        more = " or more" if found["IsTruncated"] else ""
        return found_wrong(
            f"{waiting:,}{more} failed events wait in {bucket}, for 30 days: mend what the log of "
            f"{deployment.function} says, then apitracker redrive --stack {deployment.name}"
        )
    return found_ok(f"no failed events wait in {bucket}")


def check_metrics(deployment: Deployment, client: MakeClient, now: int) -> StepResult:
    """Check that metrics arrive, and how late."""
    namespace, steady = _namespace_of_calls(deployment.configuration)
    listed = list_metrics(client("cloudwatch"), namespace, RecentlyActive=f"PT{HOURS_BACK}H")
    some = [metric for metric, _ in zip(listed, range(SAMPLE), strict=False)]
    begin = now - HOURS_BACK * 3_600
    found = get_sums(client("cloudwatch"), some, period=60, start=begin, end=now + LATE_METRICS)
    latest = max((time for values in found.values() for time in values), default=None)
    text = f"no metrics in {namespace} for {HOURS_BACK} hours"
    if latest is not None:
        text = f"the latest call in {namespace} was made {_ago(now - latest)}"
    if not steady:
        return found_ok(f"{text}: only calls that went wrong are published")
    if latest is None:
        return found_wrong(
            f"{text}: see to the function; its role needs cloudwatch:PutMetricData for {namespace}",
            idle=True,
        )
    if now - latest > LATE_METRICS:
        return found_wrong(
            f"{text}: CloudTrail takes 15 minutes; see to the lines above", idle=True
        )
    return found_ok(text)


def check_alone(deployment: Deployment, client: MakeClient, now: int) -> StepResult:
    """Check that no other tracker publishes to our namespace: each call would count twice."""
    fed = [
        each["destinationArn"]
        for each in _filters(deployment, client)
        if not _is_named(each["destinationArn"], deployment.function)
    ]
    namespace = deployment.namespace
    others: list[str] = []
    for answer in paginate(client("lambda"), "lambda:ListFunctions", "list_functions"):
        for each in answer["Functions"]:
            name = each["FunctionName"]
            on_our_group = any(_is_named(arn, name) for arn in fed)
            if (
                name != deployment.function
                and _tracks(each, fed=on_our_group)
                and namespace_of(each) == namespace
                and (on_our_group or _runs(name, client, now))
            ):
                others.append(name)
    if others:
        return found_wrong(
            f"also publishing to {namespace}: {', '.join(sorted(others))}: calls count twice; "
            "delete its stack or subscription filter, or give it another namespace"
        )
    return found_ok(f"no other tracker publishes to {namespace}")


def _trail(deployment: Deployment, client: MakeClient) -> str:
    """Return the stack's own trail, or else one that delivers to the log group, or ""."""
    if deployment.trail:
        return deployment.trail
    with translate_errors("cloudtrail:DescribeTrails"):
        trails = client("cloudtrail").describe_trails(includeShadowTrails=True)["trailList"]
    for each in trails:
        if f":log-group:{deployment.log_group}:" in each.get("CloudWatchLogsLogGroupArn", "") + ":":
            return str(each["TrailARN"])
    return ""


def _filters(deployment: Deployment, client: MakeClient) -> list[dict[str, Any]]:
    answers = paginate(
        client("logs"),
        "logs:DescribeSubscriptionFilters",
        "describe_subscription_filters",
        logGroupName=deployment.log_group,
    )
    return [each for answer in answers for each in answer["subscriptionFilters"]]


def _total(client: MakeClient, now: int, metric: Metric) -> int:
    """Add up *metric* over the last hours, this minute included."""
    begin = now - HOURS_BACK * 3_600
    found = get_sums(client("cloudwatch"), [metric], period=300, start=begin, end=now + 60)
    return round(sum(found[metric].values()))


def _runs(name: str, client: MakeClient, now: int) -> bool:
    invocations = Metric("AWS/Lambda", "Invocations", (("FunctionName", name),))
    return _total(client, now, invocations) > 0


def _is_named(arn: str, function: str) -> bool:
    """Return whether *arn* is of *function*, or of a version or an alias of it."""
    return f":function:{function}:" in f"{arn}:"


def _namespace_of_calls(configuration: Mapping[str, Any]) -> tuple[str, bool]:
    """
    Return the namespace to look for metrics in, and whether each call makes one there.

    The other sets are beside the set `API`, and some have calls that went wrong only.
    """
    names = parse_names(variables(configuration).get(f"{PREFIX}METRICS", API.name))
    namespace = namespace_of(configuration)
    if API.name in names:
        return namespace, True
    return namespace + USAGE, any(not SETS[name].names for name in names if name in SETS)


def _tracks(configuration: Mapping[str, Any], *, fed: bool) -> bool:
    """
    Return whether a function looks like a tracker: ours, or the predecessor.

    The predecessor's name holds its logical id where a stack made it; one that was made by hand
    is known by its handler, if our log group feeds it.
    """
    return (
        FUNCTION in configuration["FunctionName"]
        or any(name.startswith(PREFIX) for name in variables(configuration))
        or (fed and configuration.get("Handler") == "app.handler")
    )


def _log(configuration: Mapping[str, Any]) -> str:
    """Return the log group that the function writes to."""
    chosen = configuration.get("LoggingConfig", {}).get("LogGroup")
    return str(chosen or f"/aws/lambda/{configuration['FunctionName']}")


def _ago(seconds: float) -> str:
    return f"{_span(seconds)} ago"


def _span(seconds: float) -> str:
    minutes = max(0, round(seconds / 60))
    if minutes < 120:  # noqa: PLR2004 - two hours
        return f"{minutes} minutes"
    return f"{minutes // 60:,} hours"
