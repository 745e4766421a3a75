"""Commands about publishing the calls in log files: estimate, publish, reconcile."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource
from msgspec.structs import replace

from apitracker.cli.inputs import read_sources
from apitracker.cli.options import (
    Time,
    format_option,
    metrics_option,
    selection_options,
    sources_argument,
    stack_option,
)
from apitracker.cli.output import INCOMPLETE, LISTED_RECORDS, exit_by, report_balance, say, say_none
from apitracker.core import tables
from apitracker.core.balance import Balance
from apitracker.core.datums import Datum
from apitracker.core.metric_sets import parse_names
from apitracker.core.selection import Selection, parse_selection
from apitracker.core.times import write
from apitracker.settings import Settings

if TYPE_CHECKING:
    from apitracker.jobs.reconcile import SumsQuery
    from apitracker.tracker.put_metric_data import Batch, Published


@click.command()
@sources_argument
@metrics_option
@selection_options
@click.option(
    "--prices",
    "table",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A JSON file of prices, instead of list prices of us-east-1.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to write it.",
)
@click.pass_obj
def estimate(  # noqa: PLR0913 - options of a command
    settings: Settings,
    *,
    source: tuple[str, ...],
    metrics: str | None,
    since: int | None,
    until: int | None,
    where: tuple[str, ...],
    table: Path | None,
    form: str,
) -> None:
    """
    Estimate the monthly cost of a tracker.

    Give log files of the account that it is for; a week of them is a good sample. Each item has the
    quantity of a month, and the dollars. A sample does not show all metrics of a month, so their
    number is a range. Metric sets, rules and budget are those of the settings.

    \b
    Examples:
      apitracker estimate trail
      apitracker estimate trail --metrics api,outcomes,callers
      apitracker estimate s3://bucket/AWSLogs/111122223333/CloudTrail --since 7d --format json
      APITRACKER_EXCLUDE=readOnly=true apitracker estimate trail

    Exit code 0: done; 1: something could not be counted, and is named; 2: wrong usage;
    3: AWS failed.
    """
    from apitracker.costs.estimate import format_estimate
    from apitracker.costs.prices import load_prices
    from apitracker.jobs.estimate import estimate_costs, estimate_query

    prices = load_prices(table)
    selection = parse_selection(since, until, where)
    given = settings if metrics is None else replace(settings, metrics=metrics)
    stream = read_sources(source, estimate_query(selection, given), given)
    found, balance = estimate_costs(stream, selection, given, prices)
    if found:
        for line in format_estimate(found, form):
            click.echo(tables.printable(line) if form == "table" else line)
    else:
        say_none("no calls match", balance, selection)
    report_balance(balance, selected=selection.timed, selection=selection)
    exit_by(balance, selection)


@click.command()
@sources_argument
@metrics_option
@click.option(
    "--since", type=Time(), help="From this eventTime on: 14d is all that CloudWatch takes."
)
@click.option(
    "--until",
    type=Time(),
    help="Before this eventTime: when a deployed tracker began, as its calls would count twice.",
)
@click.option(
    "--dry-run", is_flag=True, help="Say how much would be published, and publish nothing."
)
@click.option(
    "--resume",
    metavar="FINGERPRINT:BATCHES",
    help="Go on after a run that stopped, with the text that it printed.",
)
@click.pass_obj
def publish(  # noqa: PLR0913 - options of a command
    settings: Settings,
    *,
    source: tuple[str, ...],
    metrics: str | None,
    since: int | None,
    until: int | None,
    dry_run: bool,
    resume: str | None,
) -> None:
    """
    Publish the counts of log files to CloudWatch.

    The code is that of the deployed tracker.

    CloudWatch adds up: publishing a time twice counts it twice, and so does publishing a time
    that a deployed tracker has covered. Give --until, the time when it was deployed, to stop
    before it. CloudWatch does not take calls older than two weeks; they are counted and named.
    Namespace and rules are those of APITRACKER_NAMESPACE, _INCLUDE and _EXCLUDE.

    \b
    Examples:
      apitracker publish trail --since 14d --until 2026-10-01T12:30Z --dry-run
      apitracker publish trail --since 14d --until 2026-10-01T12:30Z
      apitracker publish s3://bucket/AWSLogs/111122223333/CloudTrail --since 7d --until 6d

    Exit code 0: all was published; 1: something could not be, and is named; 2: wrong usage;
    3: AWS failed; the batches published until then are named.
    """
    from apitracker.jobs.publish import batches_done, look_ahead, parse_resume, send_batches
    from apitracker.operations.connections import connect
    from apitracker.tracker.retries import SystemClock
    from apitracker.tracker.signing import CLOUDWATCH

    # Without credentials it fails here, before anything is read.
    poster = None if dry_run else connect(CLOUDWATCH)
    if resume:
        parse_resume(resume)
    given = settings if metrics is None else replace(settings, metrics=metrics)
    selection = parse_selection(since, until, ())
    batches, balance = _count_batches(source, given, selection)
    begin = batches_done(resume, batches) if resume else 0
    clock = SystemClock()
    outlook = look_ahead(batches[begin:], clock.now())
    _say_late(outlook.late)
    where = " and ".join(sorted({batch.namespace for batch in batches[begin:]}))
    sent = f"{outlook.batches:,} requests, {outlook.datums:,} datums, {outlook.calls:,} calls"
    if len(parse_names(given.metrics)) > 1:
        sent += ", each once for every metric set that counts it"
    if poster is None:
        click.echo(f"would publish to {where or settings.namespace}: {sent}")
    elif outlook.batches:
        progress = _progress(len(batches))
        published = send_batches(batches, poster, clock, begin=begin, progress=progress)
        for refusal in published.refused[:LISTED_RECORDS]:
            if not refusal.is_late:
                say(f"{refusal.datum.metric_name}: not published: {refusal.reason}")
        say(
            f"published to {where}: {published.requests:,} requests, "
            f"{published.datums:,} datums, {published.calls:,} calls"
            + (f"; {len(published.in_doubt):,} may count twice" if published.in_doubt else "")
        )
        if published.refused:
            raise SystemExit(INCOMPLETE)
    else:
        say("there is nothing to publish")
    if outlook.late:
        raise SystemExit(INCOMPLETE)
    exit_by(balance, selection)


@click.command()
@sources_argument
@click.option("--since", type=Time(), help="From this eventTime on, in whole minutes.")
@click.option("--until", type=Time(), help="Before this eventTime, in whole minutes.")
@click.option(
    "--publish", "publishing", is_flag=True, help="Publish the missing calls, and only those."
)
@stack_option
@format_option
@click.pass_obj
def reconcile(  # noqa: PLR0913 - options of a command
    settings: Settings,
    *,
    source: tuple[str, ...],
    since: int | None,
    until: int | None,
    publishing: bool,
    stack: str,
    form: str | None,
) -> None:
    """
    Compare log files with the sums in CloudWatch.

    For each metric and minute: how many calls happened, by the files of the trail, and how many
    were published, by CloudWatch's sums. The differences are printed. Missing are events that
    CloudTrail does not send to CloudWatch Logs, such as those over 256 KB, and events that passed
    by while the subscription filter was disabled; too many are events that came in two payloads.
    Calls beyond the budget of metrics are found in __other__, where they were counted.

    SOURCE has to be all that the tracker sees, and APITRACKER_NAMESPACE, _INCLUDE and _EXCLUDE
    have to be the tracker's. Compared is the metric set api, from the first to the last minute in
    the files, 15 days back at most. At the edges the files may hold parts of minutes only, and
    CloudTrail delivers late. AWS charges a cent for a thousand metrics; their number is said first.

    --publish sends the missing calls that are older than six hours, as until then the tracker
    itself may publish them; run apitracker redrive first. CloudWatch takes up to two days to show
    old calls. For so long the tracker's ledger remembers the calls that were sent, so that running
    it again sends nothing twice. It may be stopped at any point.

    \b
    Examples:
      apitracker reconcile s3://bucket/AWSLogs/111122223333/CloudTrail --since 3d
      apitracker reconcile trail --since 2026-10-01 --until 2026-10-02 --format csv
      apitracker reconcile s3://bucket/AWSLogs/111122223333/CloudTrail --since 3d --publish

    Exit code 0: no calls are missing or too many, or the missing ones are published; 1: there are
    differences, or something could not be counted; 2: wrong usage; 3: AWS failed.
    """
    from apitracker import aws
    from apitracker.jobs.reconcile import (
        DIFFERENCE_FIELDS,
        DifferenceKind,
        comparable_datums,
        comparable_settings,
        reconcile_calls,
        send_top_ups,
        whole_minutes,
    )
    from apitracker.operations.connections import connect
    from apitracker.tracker.retries import SystemClock
    from apitracker.tracker.signing import CLOUDWATCH

    given = comparable_settings(settings)
    # Without credentials it fails here, before anything is read.
    poster = connect(CLOUDWATCH) if publishing else None
    clock = SystemClock()
    selection = whole_minutes(since, until)
    batches, balance = _count_batches(source, given, selection)
    happened, left_out = comparable_datums(batches, clock.now())
    if left_out:
        say(f"{left_out:,} calls are not compared: CloudWatch has the minutes of 15 days")
    if not happened:
        say("there is nothing to compare")
        exit_by(balance, selection)
        return
    typed = click.get_current_context().get_parameter_source("stack")
    found = reconcile_calls(
        happened,
        settings.namespace,
        stack,
        aws.client,
        clock,
        is_named=typed is ParameterSource.COMMANDLINE,
        publishing=publishing,
        announce=_say_price,
    )
    if found.unknown:
        say(f"what was sent before is not known: {found.unknown}")
    rows = [each.row for each in found.comparison.differences]
    lines = tables.lines(rows, DIFFERENCE_FIELDS, form or "table", "difference")
    sys.stdout.writelines(f"{line}\n" for line in lines)
    calls = {kind: found.comparison.calls(kind) for kind in DifferenceKind}
    parts = [f"{found.comparison.equal:,} equal"]
    parts += [f"{number:,} {kind.value}" for kind, number in calls.items()]
    say(f"calls: {'; '.join(parts)}")
    if found.fresh:
        say(
            f"{found.fresh:,} missing calls are less than six hours old: the tracker may publish"
            " them"
        )
    missing = calls[DifferenceKind.MISSING]
    if poster and found.top_ups:
        before = found.sent_before
        if not before.records:
            say("nothing remembers what is sent: do not publish again before CloudWatch shows it")
        sending = send_top_ups(found.top_ups, settings.namespace, poster, clock, before)
        missing -= _send(sending)
    elif found.top_ups:
        say(
            f"--publish would send {missing - found.fresh:,} calls of"
            f" {len(found.top_ups):,} minutes"
        )
    if missing or calls[DifferenceKind.TOO_MANY]:
        raise SystemExit(INCOMPLETE)
    exit_by(balance, selection)


def _count_batches(
    source: tuple[str, ...], settings: Settings, selection: Selection
) -> "tuple[list[Batch], Balance]":
    """Count *source*, report the balance, and return the batches to publish."""
    from apitracker.core.records import OWN
    from apitracker.jobs.publish import count_batches, publish_query

    stream = read_sources(source, publish_query(selection, settings), settings)
    counted = count_batches(stream, selection, settings)
    balance = counted.balance
    report_balance(balance, selected=selection.timed, selection=selection)
    if own := balance.skipped[OWN]:
        say(f"{own:,} calls are not published: the tracker made them in order to track")
    if counted.excluded:
        say(f"{counted.excluded:,} calls are not published, by APITRACKER_INCLUDE and _EXCLUDE")
    return counted.batches, balance


def _say_price(query: "SumsQuery") -> None:
    """Say which metrics are requested from CloudWatch, and for how much money."""
    say(
        f"{write('minute', query.start)} to {write('minute', query.end)}: "
        f"{len(query.metrics):,} metrics in {query.requests:,} requests of GetMetricData, "
        f"${query.dollars:,.5f}"
    )


def _send(sending: "Iterator[Published]") -> int:
    """Publish batch by batch, report the outcome, and return how many calls were taken."""
    calls = doubtful = 0
    late = []
    try:
        for published in sending:
            calls += published.calls
            doubtful += sum(batch.calls for batch in published.in_doubt)
            for refusal in published.refused:
                if refusal.is_late:
                    late.append(refusal.datum)
                else:
                    say(f"{refusal.datum.metric_name}: not published: {refusal.reason}")
    finally:
        _say_late(late)
        about = f"; {doubtful:,} of them may count twice" if doubtful else ""
        say(f"published {calls:,} calls{about}")
    return calls


def _say_late(late: Sequence[Datum]) -> None:
    """Report the datums that CloudWatch would refuse for their time."""
    if late:
        calls = sum(datum.calls for datum in late)
        first, last = min(d.timestamp for d in late), max(d.timestamp for d in late)
        say(
            f"{calls:,} calls of {write('minute', first)} to {write('minute', last)} are not"
            " published: CloudWatch takes two weeks back and two hours ahead"
        )


def _progress(batches: int) -> Callable[[int], None]:
    """Make the callback that says, now and then, how many of *batches* are published."""

    def progress(done: int) -> None:
        if done % 20 == 0 and done < batches:
            say(f"{done:,} of {batches:,} requests")

    return progress
