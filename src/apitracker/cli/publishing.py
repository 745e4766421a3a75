"""Commands that are about what is published: estimate, publish, reconcile, redrive."""

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
from apitracker.cli.output import INCOMPLETE, NAMED_RECORDS, exit_by, report_balance, say, say_none
from apitracker.core import tables
from apitracker.core.balance import Balance
from apitracker.core.counting import Query, merge
from apitracker.core.datums import Datum
from apitracker.core.metric_sets import API, parse_names
from apitracker.core.selection import Selection, parse_selection
from apitracker.core.times import write
from apitracker.errors import UsageError
from apitracker.logs.workers import results
from apitracker.settings import Settings

if TYPE_CHECKING:
    from apitracker.jobs.reconcile import Memory
    from apitracker.operations.top_ups import Key
    from apitracker.tracker.put_metric_data import Plan, Published


@click.command()
@sources_argument
@metrics_option
@selection_options
@click.option(
    "--prices",
    "table",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Other prices than list prices of us-east-1: a JSON file.",
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
    Estimate what a tracker costs a month.

    From log files of the account that it is for; a week of them is a good sample. For each item:
    how much of it a month takes, and dollars. A sample shows not all metrics that a month has, so
    their number is a range. Metric sets, rules and budget are those of the settings.

    \b
    Examples:
      apitracker estimate trail
      apitracker estimate trail --metrics api,outcomes,callers
      apitracker estimate s3://bucket/AWSLogs/111122223333/CloudTrail --since 7d --format json
      APITRACKER_EXCLUDE=readOnly=true apitracker estimate trail

    Exit code 0: done; 1: something could not be counted, and is named; 2: wrong usage;
    3: AWS failed.
    """
    from apitracker.costs import estimate
    from apitracker.costs.prices import load as load_prices
    from apitracker.costs.volume import Scale, make_query
    from apitracker.tracker.tracking import select_metrics

    prices = load_prices(table)
    chosen = select_metrics(settings if metrics is None else replace(settings, metrics=metrics))
    selection = parse_selection(since, until, where)
    query = make_query(chosen, selection, settings.max_log_bytes)
    scale = Scale(settings.max_log_bytes)
    stream = scale.weigh(read_sources(source, query, settings))
    counts, balance = merge(results(stream), query)
    if counts.rows:
        found = estimate.estimate(
            counts,
            chosen,
            prices,
            budget=settings.budget,
            record_bytes=scale.record_bytes,
        )
        for line in estimate.lines(found, form):
            click.echo(tables.printable(line) if form == "table" else line)
    else:
        say_none("no calls were selected", balance, selection)
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
@click.option("--dry-run", is_flag=True, help="Say what would be published, and publish nothing.")
@click.option(
    "--resume",
    metavar="FINGERPRINT:BATCHES",
    help="Go on after a run that stopped, with what it printed.",
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
    before it. What is older than two weeks is refused by CloudWatch; it is counted and named.
    Namespace and rules are those of APITRACKER_NAMESPACE, _INCLUDE and _EXCLUDE.

    \b
    Examples:
      apitracker publish trail --since 14d --until 2026-10-01T12:30Z --dry-run
      apitracker publish trail --since 14d --until 2026-10-01T12:30Z
      apitracker publish s3://bucket/AWSLogs/111122223333/CloudTrail --since 7d --until 6d

    Exit code 0: all was published; 1: something could not be, and is named; 2: wrong usage;
    3: AWS failed, and what was published until then is said.
    """
    from apitracker import aws as clients
    from apitracker.jobs import publish as backfill
    from apitracker.tracker.put_metric_data import OUT_OF_TIME
    from apitracker.tracker.retries import SystemClock
    from apitracker.tracker.signing import CLOUDWATCH

    # Without credentials it fails here, before anything is read.
    poster = None if dry_run else clients.connection(CLOUDWATCH)
    if resume:
        backfill.parse_resume(resume)
    given = settings if metrics is None else replace(settings, metrics=metrics)
    planned, balance = _plan(given, source, since, until)
    begin = backfill.batches_done(resume, planned.batches) if resume else 0
    clock = SystemClock()
    outlook = backfill.outlook(planned.batches[begin:], clock.now())
    _say_late(outlook.late)
    where = " and ".join(sorted({batch.namespace for batch in planned.batches[begin:]}))
    sent = f"{outlook.batches:,} requests, {outlook.datums:,} datums, {outlook.calls:,} calls"
    if len(parse_names(given.metrics)) > 1:
        sent += ", each once for every metric set that counts it"
    if poster is None:
        click.echo(f"would publish to {where or settings.namespace}: {sent}")
    elif outlook.batches:
        published = backfill.send(
            planned.batches,
            poster,
            clock,
            begin=begin,
            progress=_progress(len(planned.batches)),
        )
        for refusal in published.refused[:NAMED_RECORDS]:
            if refusal.reason != OUT_OF_TIME:
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
    exit_by(balance, Selection(since, until))


@click.command()
@sources_argument
@click.option("--since", type=Time(), help="From this eventTime on, in whole minutes.")
@click.option("--until", type=Time(), help="Before this eventTime, in whole minutes.")
@click.option(
    "--publish", "publishing", is_flag=True, help="Publish what is missing, and only that."
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
    Compare log files with what CloudWatch has.

    For each metric and minute: how many calls happened, by the files of the trail, and how many
    were published, by CloudWatch's sums. What differs is printed. Missing are events that
    CloudTrail does not send to CloudWatch Logs, such as those over 256 KB, and what passed by
    while the subscription filter was disabled; too many is what came in two payloads. Calls beyond
    the budget of metrics are found in __other__, where they were counted.

    SOURCE has to be all that the tracker sees, and APITRACKER_NAMESPACE, _INCLUDE and _EXCLUDE
    have to be the tracker's. Compared is the metric set api, from the first to the last minute in
    the files, 15 days back at most. At the edges the files may hold parts of minutes only, and
    CloudTrail delivers late. AWS wants a cent for a thousand metrics; how many it takes is said
    first.

    --publish sends what is missing and older than six hours, as until then the tracker itself may
    publish it; run apitracker redrive first. CloudWatch takes up to two days to show old calls.
    For so long the ledger of the stack remembers what was sent, so that running it again sends
    nothing twice. It may be stopped at any point.

    \b
    Examples:
      apitracker reconcile s3://bucket/AWSLogs/111122223333/CloudTrail --since 3d
      apitracker reconcile trail --since 2026-10-01 --until 2026-10-02 --format csv
      apitracker reconcile s3://bucket/AWSLogs/111122223333/CloudTrail --since 3d --publish

    Exit code 0: nothing is missing or too many, or what was missing is published; 1: there are
    differences, or something could not be counted; 2: wrong usage; 3: AWS failed.
    """
    from apitracker import aws as clients
    from apitracker.jobs import reconcile
    from apitracker.tracker.retries import SystemClock
    from apitracker.tracker.signing import CLOUDWATCH

    if API.name not in parse_names(settings.metrics):
        raise UsageError("the metric set api is compared, which APITRACKER_METRICS leaves out")
    cloudwatch = clients.client("cloudwatch")
    poster = clients.connection(CLOUDWATCH) if publishing else None
    clock = SystemClock()
    since = None if since is None else -(-since // 60) * 60
    until = None if until is None else until // 60 * 60
    planned, balance = _plan(replace(settings, metrics=API.name), source, since, until)
    happened, left_out = reconcile.comparable(planned.batches, clock.now())
    if left_out:
        say(f"{left_out:,} calls are not compared: CloudWatch has the minutes of 15 days")
    if not happened:
        say("there is nothing to compare")
        exit_by(balance, Selection(since, until))
        return
    asking = reconcile.asking(happened, settings.namespace, cloudwatch)
    say(
        f"{write('minute', asking.start)} to {write('minute', asking.end)}: "
        f"{len(asking.metrics):,} metrics in {asking.requests:,} requests of GetMetricData, "
        f"${asking.dollars:,.5f}"
    )
    sums = reconcile.ask(asking, settings.namespace, cloudwatch)
    memory = _recall(stack, settings, reconcile.short(happened, sums), publishing=publishing)
    compared = reconcile.compare(happened, sums, memory.coming(clock.now()))
    rows = [each.row for each in compared.differences]
    lines = tables.lines(rows, reconcile.FIELDS, form or "table", "difference")
    sys.stdout.writelines(f"{line}\n" for line in lines)
    found = {what: compared.calls(what) for what in reconcile.WHATS}
    parts = [f"{compared.equal:,} equal", *(f"{calls:,} {what}" for what, calls in found.items())]
    say(f"calls: {'; '.join(parts)}")
    ups, fresh = reconcile.top_ups(compared, happened, clock.now())
    if fresh:
        say(f"{fresh:,} missing calls are less than six hours old: the tracker may publish them")
    missing = found[reconcile.MISSING]
    if poster and ups:
        if not memory.kept:
            say("nothing remembers what is sent: do not publish again before CloudWatch shows it")
        missing -= _send(reconcile.send(ups, settings.namespace, poster, clock, memory))
    elif ups:
        say(f"--publish would send {missing - fresh:,} calls of {len(ups):,} minutes")
    if missing or found[reconcile.TOO_MANY]:
        raise SystemExit(INCOMPLETE)
    exit_by(balance, Selection(since, until))


@click.command()
@stack_option
@click.option("--dry-run", is_flag=True, help="Say what would be published, and change nothing.")
def redrive(stack: str, *, dry_run: bool) -> None:
    """
    Publish the events that the tracker failed on.

    What Lambda has given up is kept in a bucket of the stack. It is published by the code, the
    settings and the ledger of the deployed tracker: what was published before is not published
    again. What is done is deleted; what is not stays, and is named.

    It may be stopped at any point and run again.

    \b
    Examples:
      apitracker redrive --dry-run
      apitracker redrive --stack my-tracker

    Exit code 0: all is published; 1: something is not, and is named; 2: wrong usage;
    3: AWS could not be asked.
    """
    from apitracker import aws as clients
    from apitracker.operations.redrive import look_up
    from apitracker.operations.redrive import redrive as publish_kept
    from apitracker.tracker.retries import SystemClock

    kept = look_up(stack, clients.client("cloudformation"), clients.client("lambda"), SystemClock())
    done = left = refused = 0
    s3 = clients.client("s3")
    for each in publish_kept(kept, s3, dry_run=dry_run, tell=_tell):
        done += each.done
        left += not each.done
        refused += each.refused
        word = "kept" if not each.done else "would publish" if dry_run else "published"
        click.echo(tables.printable(f"{word}  {each.key}  {each.text}"))
    if dry_run:
        say(f"{done:,} events would be published, {left:,} cannot be; nothing was changed")
    else:
        say(f"{done:,} events are published and deleted, {left:,} are kept in {kept.bucket}")
    if refused:
        say(f"{refused:,} calls are older than two weeks: CloudWatch does not take them any more")
    if left or refused:
        raise SystemExit(INCOMPLETE)


def _plan(
    settings: Settings, source: tuple[str, ...], since: int | None, until: int | None
) -> "tuple[Plan, Balance]":
    """Count *source*, and plan how that is published by the settings."""
    from apitracker.core.own_calls import Own
    from apitracker.core.records import OWN
    from apitracker.tracker.put_metric_data import plan
    from apitracker.tracker.tracking import select_metrics

    metrics = select_metrics(settings)
    selection = parse_selection(since, until, ())
    query = Query(metrics.fields, selection, settings.max_log_bytes, own=Own.of(settings))
    counts, balance = merge(results(read_sources(source, query, settings)), query)
    planned = plan(counts, metrics)
    report_balance(balance, selected=selection.timed, selection=selection)
    if own := balance.skipped[OWN]:
        say(f"{own:,} calls are not published: the tracker made them in order to track")
    if planned.excluded:
        say(f"{planned.excluded:,} calls are not published, by APITRACKER_INCLUDE and _EXCLUDE")
    return planned, balance


def _recall(
    stack: str, settings: Settings, short: "Sequence[Key]", *, publishing: bool
) -> "Memory":
    """Find out what was sent before of the minutes that are *short*."""
    from apitracker import aws as clients
    from apitracker.jobs.reconcile import Memory, recall

    given = click.get_current_context().get_parameter_source("stack")
    try:
        if short:
            required = given is ParameterSource.COMMANDLINE
            return recall(stack, settings.namespace, short, required=required)
    except clients.RefusedError as e:
        if publishing:
            raise
        say(f"what was sent before is not known: {e}")
    return Memory()


def _send(sending: "Iterator[Published]") -> int:
    """Publish batch by batch, say what became of it, and give how many calls were taken."""
    from apitracker.tracker.put_metric_data import OUT_OF_TIME

    calls = doubtful = 0
    late = []
    try:
        for published in sending:
            calls += published.calls
            doubtful += sum(batch.calls for batch in published.in_doubt)
            for refusal in published.refused:
                if refusal.reason == OUT_OF_TIME:
                    late.append(refusal.datum)
                else:
                    say(f"{refusal.datum.metric_name}: not published: {refusal.reason}")
    finally:
        _say_late(late)
        about = f"; {doubtful:,} of them may count twice" if doubtful else ""
        say(f"published {calls:,} calls{about}")
    return calls


def _tell(key: str, text: str) -> None:
    """Say at once what must be known of an event even if nothing else comes after it."""
    click.echo(tables.printable(f"in doubt  {key}  {text}"))


def _say_late(late: Sequence[Datum]) -> None:
    """Say what CloudWatch would refuse for its time."""
    if late:
        calls = sum(datum.calls for datum in late)
        first, last = min(d.timestamp for d in late), max(d.timestamp for d in late)
        say(
            f"{calls:,} calls of {write('minute', first)} to {write('minute', last)} are not"
            " published: CloudWatch takes two weeks back and two hours ahead"
        )


def _progress(batches: int) -> Callable[[int], None]:
    """Make what says, now and then, how many of *batches* are published."""

    def progress(done: int) -> None:
        if done % 20 == 0 and done < batches:
            say(f"{done:,} of {batches:,} requests")

    return progress
