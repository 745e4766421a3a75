"""Commands about a deployed tracker and its metrics: alarm, dashboard, verify, redrive."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from apitracker.cli.options import stack_option
from apitracker.cli.output import INCOMPLETE, print_json, say
from apitracker.core import tables
from apitracker.core.metric_sets import OUTCOMES
from apitracker.errors import ServiceError, UsageError
from apitracker.settings import Settings

if TYPE_CHECKING:
    from apitracker.operations.alarms import Alarm, Seen


@click.command()
@click.argument("api", metavar="SERVICE:API")
@click.option(
    "--above", type=click.IntRange(min=0), required=True, help="Fire at more calls than this."
)
@click.option(
    "--per",
    default="5m",
    show_default=True,
    metavar="TIME",
    help="Within this time, in whole minutes: 1m, 5m, 1h.",
)
@click.option(
    "--region", help="Calls in this region.  [default: the region that the AWS settings name]"
)
@click.option("--any-region", is_flag=True, help="Calls in all regions together.")
@click.option(
    "--outcome",
    type=click.Choice(list(OUTCOMES)),
    help="Only calls that ended so. The tracker has to publish the metric set outcomes.",
)
@click.option(
    "--notify",
    multiple=True,
    metavar="ARN",
    help="Notify this SNS topic, or another action that has an ARN.",
)
@stack_option
@click.option(
    "--force",
    is_flag=True,
    help="Make the alarm although its API, its region or its metric seems not to exist.",
)
@click.option("--dry-run", is_flag=True, help="Print the alarm as JSON, and make nothing.")
@click.pass_obj
def alarm(  # noqa: PLR0913 - options of a command
    settings: Settings,
    *,
    api: str,
    above: int,
    per: str,
    region: str | None,
    any_region: bool,
    outcome: str | None,
    notify: tuple[str, ...],
    stack: str,
    force: bool,
    dry_run: bool,
) -> None:
    """
    Make or update an alarm on the calls of one API.

    SERVICE is a name of the AWS CLI, or an eventSource in full. The alarm lives in the region of
    the AWS settings, where the tracker publishes; --region is the region of the calls. All calls
    of IAM and CloudFront are recorded in us-east-1.

    The alarm is named by API, region and outcome: the same again with another threshold, time or
    --notify replaces it. One period above the threshold is enough; the alarm looks 15 minutes
    further back than a period, as CloudTrail delivers late, and fires for as long.

    An alarm that could never fire is refused: on a name that is nearly that of an API, or on a
    metric that the deployed tracker, --stack, does not publish. The names are those of botocore and
    of the metrics of the last two weeks. Lambda and CloudFront date their names: the alarm on
    UpdateFunctionCode adds up UpdateFunctionCode20150331v2 and the same with other dates, if they
    have metrics.

    \b
    Examples:
      apitracker alarm ec2:RunInstances --above 100 --per 5m --notify arn:aws:sns:…:topic
      apitracker alarm iam:CreateUser --above 0 --region us-east-1
      apitracker alarm s3:DeleteBucket --above 10 --per 1h --any-region
      apitracker alarm ec2:DescribeInstances --outcome throttled --above 50
      apitracker alarm signin.amazonaws.com:ConsoleLogin --above 50 --dry-run

    The output of --dry-run is also the input of aws cloudwatch put-metric-alarm --cli-input-json.
    It looks at AWS where it can, and works without.

    Exit code 0: done; 2: wrong usage, or an alarm that could never fire; 3: AWS failed.
    """
    from apitracker import aws
    from apitracker.operations import alarms, api_names

    if strange := [text for text in notify if not text.startswith("arn:")]:
        raise click.UsageError(f"--notify: {strange[0]!r} is not an ARN: write arn:aws:sns:…")
    if region and any_region:
        raise click.UsageError("give --region or --any-region, not both")
    event_source, event_name = api_names.parse_api(api)
    wanted = alarms.Alarm(
        event_source=event_source,
        event_name=event_name,
        above=above,
        per=alarms.parse_period(per),
        region=None if any_region else _region_of_calls(region, event_source, force=force),
        namespace=settings.namespace,
        outcome=outcome or "",
        notify=notify,
    )
    try:
        seen = alarms.look_at_tracker(event_source, settings.namespace, stack, aws.client)
    except ServiceError as e:
        if not dry_run:
            raise
        _warn(f"AWS was not asked which names and metric sets are published: {e}")
        seen = alarms.Seen()
    wanted = _certain(wanted, seen, force=force)
    requested = alarms.alarm_request(wanted)
    if dry_run:
        print_json(requested)
        return
    alarms.put_alarm(requested, aws.client("cloudwatch"))
    say(f"{requested['AlarmName']}: {requested['AlarmDescription']}")
    if not notify:
        say("it notifies nobody when it fires: give --notify ARN")


def _region_of_calls(region: str | None, event_source: str, *, force: bool) -> str:
    """Return *region*, or else the one of the AWS settings. `UsageError` if it cannot be one."""
    from apitracker import aws
    from apitracker.operations import api_names

    if region:
        _warn(api_names.parse_region(region, force=force))
    else:
        region = aws.region()
    if not region:
        raise click.UsageError("no region is named: give --region or --any-region")
    if other := api_names.region_of(event_source, region):
        fault = f"the calls of {event_source} are recorded in {other}: give --region {other}"
        if not force:
            raise UsageError(f"{fault}; --force takes {region} all the same")
        _warn(fault)
    return region


def _certain(wanted: "Alarm", seen: "Seen", *, force: bool) -> "Alarm":
    """
    Return *wanted* with the names under which its API is recorded, and warn of doubts.

    `UsageError` if it could never fire, unless *force*.
    """
    from apitracker.operations import alarms, api_names

    if seen.unlisted:
        _warn(f"the metrics that are published could not be looked at: {seen.unlisted}")
    source, name = wanted.event_source, wanted.event_name
    resolved = api_names.resolve(source, name, seen.names, force=force)
    _warn(resolved.doubt)
    wanted = replace(wanted, names=resolved.names)
    if seen.undeployed and (wanted.outcome or not {*resolved.names} & seen.names):
        metrics = wanted.metrics.name
        _warn(f"whether the metric set {metrics} is published is not known: {seen.undeployed}")
    if fault := alarms.unfed(wanted, seen):
        if not force:
            raise UsageError(f"{fault}; --force makes the alarm all the same")
        _warn(fault)
    return wanted


def _warn(text: str) -> None:
    """Report the doubt *text*, if there is one."""
    if text:
        say(f"warning: {text}")


@click.command()
@click.option(
    "--top",
    default=20,
    show_default=True,
    type=click.IntRange(1, 400),
    help="How many APIs.",
)
@click.option("--name", default="apitracker-busiest", show_default=True, help="Its name.")
@click.option("--dry-run", is_flag=True, help="Print the dashboard as JSON, and make nothing.")
@click.pass_obj
def dashboard(settings: Settings, *, top: int, name: str, dry_run: bool) -> None:
    """
    Make a dashboard of the busiest APIs of the last week.

    CloudWatch is asked for each metric in APITRACKER_NAMESPACE once: AWS charges a cent for a
    thousand metrics. A dashboard of this name is replaced.

    \b
    Examples:
      apitracker dashboard
      apitracker dashboard --top 50 --name top-apis
      apitracker dashboard --dry-run > dashboard.json

    Exit code 0: done; 2: wrong usage; 3: AWS failed.
    """
    from apitracker import aws
    from apitracker.operations import dashboards

    dashboards.require_name(name)
    cloudwatch = aws.client("cloudwatch")
    now = int(datetime.now(UTC).timestamp())
    rows = dashboards.busiest(cloudwatch, settings.namespace, now=now)[:top]
    built = dashboards.dashboard_body(rows, settings.namespace, cloudwatch.meta.region_name)
    if not rows:
        say(f"there are no metrics in {settings.namespace} yet: is the tracker deployed here?")
    if dry_run:
        print_json(built)
        return
    for said in dashboards.put_dashboard(name, built, cloudwatch):
        say(f"{name}: {said}")
    say(f"{name}: a dashboard of {len(rows):,} APIs")


@click.command()
@stack_option
def verify(stack: str) -> None:
    """
    Check a deployed tracker end to end, from trail to alarms.

    Each line is ok, or says what to do. A step that waits is not wrong: after a deployment the
    first records take up to 15 minutes. A warning is of an alarm that notifies nobody, or one on
    calls that fires.

    \b
    Examples:
      apitracker verify
      apitracker verify --stack my-tracker
      AWS_REGION=eu-west-1 apitracker verify

    Exit code 0: nothing is wrong; 1: something is wrong; 2: wrong usage; 3: AWS could not be asked.
    """
    from apitracker import aws
    from apitracker.operations import verify as checks

    wrong = False
    for check in checks.verify(stack, aws.client, now=int(datetime.now(UTC).timestamp())):
        wrong |= check.state == "wrong"
        click.echo(tables.printable(f"{check.state:<7}  {check.name:<8}  {check.text}"))
    if wrong:
        raise SystemExit(INCOMPLETE)


@click.command()
@stack_option
@click.option("--dry-run", is_flag=True, help="Say what would be published, and change nothing.")
def redrive(stack: str, *, dry_run: bool) -> None:
    """
    Publish the events that the tracker failed on.

    Events that Lambda has given up are kept in a bucket of the tracker. They are published with the
    code, the settings and the ledger of the deployed tracker: calls that were published before are
    not published again. An event that is published is deleted; any other stays, and is named.

    It may be stopped at any point and run again.

    \b
    Examples:
      apitracker redrive --dry-run
      apitracker redrive --stack my-tracker

    Exit code 0: all are published; 1: some are not, and are named; 2: wrong usage;
    3: AWS could not be asked.
    """
    from apitracker import aws
    from apitracker.operations.deployment import find
    from apitracker.operations.redrive import open_failed_events, publish_failed
    from apitracker.tracker.retries import SystemClock

    failed = open_failed_events(find(stack, aws.client), SystemClock())
    done = left = refused = 0
    for each in publish_failed(failed, aws.client("s3"), dry_run=dry_run, tell=_tell):
        done += each.done
        left += not each.done
        refused += each.refused
        word = "kept" if not each.done else "would publish" if dry_run else "published"
        click.echo(tables.printable(f"{word}  {each.key}  {each.text}"))
    if dry_run:
        say(f"{done:,} events would be published, {left:,} cannot be; nothing was changed")
    else:
        say(f"{done:,} events are published and deleted, {left:,} are kept in {failed.bucket}")
    if refused:
        say(f"{refused:,} calls are older than two weeks: CloudWatch does not take them any more")
    if left or refused:
        raise SystemExit(INCOMPLETE)


def _tell(key: str, text: str) -> None:
    """Report at once an event that may count twice, even if nothing else comes after it."""
    click.echo(tables.printable(f"in doubt  {key}  {text}"))
