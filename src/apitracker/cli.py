"""The command line: parse, call, print. Data goes to stdout, words and progress to stderr."""

import gc
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource
from click.shell_completion import get_completion_class
from msgspec.structs import replace

from apitracker.core.metric_sets import API, OUTCOMES, parse_names
from apitracker.core.metrics import Datum, Plan
from apitracker.core.selection import Selection, parse_where
from apitracker.core.tally import FIELDS, Row, parse_fields, require_fields
from apitracker.core.times import parse, write
from apitracker.errors import (
    ApiTrackerError,
    ServeError,
    ServiceError,
    SourceError,
    StoreError,
    UsageError,
    WorkerError,
)
from apitracker.local import sources, tables
from apitracker.local.readings import Question, Reading, Unread, read_all
from apitracker.local.sources import Found
from apitracker.local.totals import Balance, total
from apitracker.settings import Settings, load

if TYPE_CHECKING:
    from apitracker.account.notes import Key
    from apitracker.account.publish import Published
    from apitracker.account.reconcile import Memory

NAMED: Final = 100  # rejected records that are named one by one
INCOMPLETE, WRONG, FAILED, STOPPED = 1, 2, 3, 130  # exit codes; 0 is that all was counted


class _Commands(click.Group):
    """Commands in the order in which people need them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(self.commands)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Each command has examples: apitracker count --help",
)
@click.version_option(package_name="apitracker", message="apitracker %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """
    Which AWS APIs are called, how often, by whom, and which are throttled or denied.

    \b
    With no account and no settings:
      apitracker sample trail                  make a synthetic trail to play with
      apitracker count trail                   count the calls in log files
      apitracker ingest trail                  keep the counts in usage.duckdb
      apitracker top                           the busiest APIs of all time
      apitracker throttles                     who is throttled, and who is behind it
      apitracker denials                       who is denied what
      apitracker estimate trail                what a tracker of it costs a month
    """
    settings, unknown = load(os.environ)
    for name in unknown:
        _say(f"{name}: no such setting; it does nothing")
    ctx.obj = settings


# --- what options mean --------------------------------------------------------------------------


class _Fields(click.ParamType["tuple[str, ...]"]):
    """``eventSource,eventName``: fields from the closed list."""

    name = "FIELD,…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        fields = parse_fields(value)
        try:
            require_fields(fields)
        except UsageError as e:
            self.fail(str(e), param, ctx)
        return fields

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        del ctx, param
        head, comma, last = incomplete.rpartition(",")
        return [
            click.shell_completion.CompletionItem(head + comma + field)
            for field in FIELDS
            if field.startswith(last)
        ]


class _Time(click.ParamType[int]):
    """A point in time, or an age."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return value if isinstance(value, int) else parse(value, now=datetime.now(UTC))
        except UsageError as e:
            self.fail(str(e), param, ctx)


Command = Callable[..., None]

BY: Final = ("eventSource", "eventName")


_format_option = click.option(
    "--format",
    "form",
    type=click.Choice(tables.FORMATS),
    default="table",
    show_default=True,
    help="How to write the rows.",
)


def _selecting(command: Command) -> Command:
    """Add the options that say which calls, by what, and in which form."""
    return click.option(
        "--by",
        type=_Fields(),
        default=",".join(BY),
        show_default=True,
        help="Count by these fields, in this order.",
    )(_filtering(command))


def _filtering(command: Command) -> Command:
    """Add the options that say which calls, and in which form."""
    output = click.option(
        "-o",
        "--output",
        type=click.File("w", encoding="utf-8", lazy=True),
        default="-",
        help="Write to this file.",
    )
    return _choosing(_format_option(output(command)))


def _choosing(command: Command) -> Command:
    """Add the options that say which calls."""
    for option in reversed(
        (
            click.option(
                "--since", type=_Time(), help="From this eventTime on: 2026-10-01T12:30Z, 2h, 7d."
            ),
            click.option("--until", type=_Time(), help="Before this eventTime."),
            click.option(
                "--where",
                "where",
                multiple=True,
                metavar="FIELD=GLOB",
                help="Only calls whose FIELD matches: eventName=Describe*, errorCode=?*. Several"
                " globs of one field are alternatives; several fields must all match.",
            ),
        )
    ):
        command = option(command)
    return command


def _store_option(command: Command) -> Command:
    return click.option(
        "--store",
        "path",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The embedded store.  [default: usage.duckdb, or APITRACKER_STORE]",
    )(command)


_metrics_option = click.option(
    "--metrics",
    metavar="SET,…",
    help="The metric sets: api, service, account, outcomes, callers, throttled-callers.  [default:"
    " api, or APITRACKER_METRICS]",
)
_stack_option = click.option(
    "--stack", default="cloudwatch-api-tracker", show_default=True, help="The name of its stack."
)
_sources = click.argument("source", nargs=-1, required=True)
_sources_if_any = click.argument("source", nargs=-1)
_all_incidents = click.option(
    "--all", "everything", is_flag=True, help="All APIs and callers, not the worst ten, in a table."
)


def _selection(since: int | None, until: int | None, where: tuple[str, ...]) -> Selection:
    return Selection(since, until, parse_where(where))


# --- the commands -------------------------------------------------------------------------------


@cli.command()
@_sources
@_selecting
@click.option("--keep-duplicates", is_flag=True, help="Count records that repeat an eventID too.")
@click.pass_obj
def count(  # noqa: PLR0913 - options of a command
    settings: Settings,
    *,
    source: tuple[str, ...],
    by: tuple[str, ...],
    since: int | None,
    until: int | None,
    where: tuple[str, ...],
    form: str,
    output: IO[str],
    keep_duplicates: bool,
) -> None:
    """
    Count the calls in log files, and keep nothing.

    SOURCE is a file, a folder, a glob, - for standard input, or s3://bucket/prefix. Logs are
    recognised by their content: CloudTrail's files, plain or gzip, JSON lines, the output of
    aws cloudtrail lookup-events. The rows are sorted by their fields.

    \b
    Examples:
      apitracker count trail
      apitracker count trail --by minute,eventName,awsRegion,eventSource --format csv -o counts.csv
      apitracker count trail --by caller,eventName --where outcome=throttled
      apitracker count trail --by hour --since 2d --where eventSource=s3.*
      aws cloudtrail lookup-events | apitracker count -
      apitracker count s3://bucket/AWSLogs/111122223333/CloudTrail --since 7d

    \b
    Fields:
      second minute hour day (of eventTime, UTC) eventName eventSource awsRegion
      recipientAccountId callerAccountId caller errorCode outcome (ok, throttled, denied, failed)
      readOnly eventCategory eventType eventVersion

    Exit code 0: all was counted; 1: something could not be, and is named; 2: wrong usage;
    3: AWS failed.
    """
    selection = _selection(since, until, where)
    question = Question(by, settings.max_log_bytes, selection, keep_duplicates)
    balance = Balance()
    founds = _find(source, balance, since, until)
    rows = total(_read(founds, question, settings), question, balance)
    _print(sorted(rows.items()), by, form, output)
    _report(balance, selected=bool(selection.timed or selection.plain))
    _report_exit(balance)


@cli.command()
@_sources
@_store_option
@click.option(
    "--forget",
    type=_Time(),
    metavar="TIME",
    help="Forget which events from before TIME were counted, which makes the store smaller. Their"
    " counts stay. 45d is safe: CloudTrail delivers late for 30 days at most.",
)
@click.pass_obj
def ingest(
    settings: Settings, *, source: tuple[str, ...], path: Path | None, forget: int | None
) -> None:
    """
    Keep the counts of log files in the embedded store.

    The same log twice changes nothing, nor does the same event in another log: run it again
    whenever there may be new logs. Stop it whenever you like: the next run completes it.

    \b
    Examples:
      apitracker ingest trail
      apitracker ingest s3://bucket/AWSLogs/111122223333/CloudTrail --store prod.duckdb
      apitracker ingest trail --forget 45d

    Exit code 0: all was counted; 1: something could not be, and is named; 2: wrong usage;
    3: the store or AWS failed.
    """
    from apitracker.local import ingestion
    from apitracker.local.store import Store

    store = Store(path or settings.store)
    balance = Balance()
    founds = ingestion.unknown(_find(source, balance, None, None), store, balance)
    question = ingestion.question(settings.max_log_bytes)
    try:
        ingestion.ingest(_read(founds, question, settings), store, balance)
    finally:
        _report(balance)
    if forget is not None:
        store.forget_events(forget)
    _report_exit(balance)


@cli.command()
@click.argument("n", type=click.IntRange(min=1), default=10)
@click.option("--all", "everything", is_flag=True, help="All rows.")
@_selecting
@_store_option
@click.pass_obj
def top(  # noqa: PLR0913 - options of a command
    settings: Settings,
    *,
    n: int,
    everything: bool,
    by: tuple[str, ...],
    since: int | None,
    until: int | None,
    where: tuple[str, ...],
    form: str,
    output: IO[str],
    path: Path | None,
) -> None:
    """
    Show the busiest APIs in the store.

    N rows, 10 if it is not said: most calls first. With other fields, whatever most calls fall to.

    \b
    Examples:
      apitracker top
      apitracker top 20 --since 24h
      apitracker top --by caller --where eventName=DescribeInstances
      apitracker top --by eventName,caller --where outcome=throttled
      apitracker top --all --by minute,eventName,awsRegion,eventSource --format csv -o counts.csv

    The fields are those of apitracker count, without eventType and eventVersion.

    Exit code 0: done; 2: wrong usage; 3: the store failed.
    """
    from apitracker.local.store import Store

    selection = _selection(since, until, where)
    store = Store(path or settings.store)
    rows = store.top(by, limit=None if everything else n, selection=selection)
    _print(rows, by, form, output)
    if not rows:
        _say("no calls were selected")


@cli.command()
@_sources_if_any
@_all_incidents
@_filtering
@_store_option
@click.pass_obj
def throttles(settings: Settings, /, **options: Any) -> None:
    """
    Show which APIs are throttled, and who is behind it.

    From log files if SOURCE is given, from the store otherwise. For each API, region and account:
    how many calls were throttled, the worst second and minute, and all callers of that API in the
    minutes in which it was throttled, most calls first. Who calls most uses up the quota, throttled
    or not. --where says which throttled calls count: those of one caller, say; who is behind them
    is looked for among all.

    What the API lets through by default is said where AWS documents it. Yours may have been raised.

    \b
    Examples:
      apitracker throttles
      apitracker throttles --since 24h --where eventSource=ec2.*
      apitracker throttles trail --where 'caller=*:role/deployer'
      apitracker throttles s3://bucket/AWSLogs/111122223333/CloudTrail --since 2h --format json

    Exit code 0: done; 1: something could not be counted, and is named; 2: wrong usage;
    3: the store or AWS failed.
    """
    _print_incidents(settings, "throttled", **options)


@cli.command()
@_sources_if_any
@_all_incidents
@_filtering
@_store_option
@click.pass_obj
def denials(settings: Settings, /, **options: Any) -> None:
    """
    Show which APIs are denied, and to whom.

    From log files if SOURCE is given, from the store otherwise. For each API, region and account:
    how many calls were denied, the worst second and minute, and the callers that were denied, most
    denials first.

    \b
    Examples:
      apitracker denials
      apitracker denials --since 24h --where 'caller=*:role/deployer'
      apitracker denials trail --format csv -o denials.csv

    Exit code 0: done; 1: something could not be counted, and is named; 2: wrong usage;
    3: the store or AWS failed.
    """
    _print_incidents(settings, "denied", **options)


def _print_incidents(  # noqa: PLR0913 - options of a command
    settings: Settings,
    outcome: str,
    *,
    source: tuple[str, ...],
    everything: bool,
    since: int | None,
    until: int | None,
    where: tuple[str, ...],
    form: str,
    output: IO[str],
    path: Path | None,
) -> None:
    """Print the calls that ended with *outcome*, from log files or from the store."""
    from apitracker.local.throttles import around, incidents, lines, question

    if source and path:
        raise UsageError("give a SOURCE or --store, not both")
    selection = _selection(since, until, where)
    balance = Balance()
    if source:
        asked = question(selection, settings.max_log_bytes)
        founds = _find(source, balance, since, until)
        counts = total(_read(founds, asked, settings), asked, balance)
        found = incidents(around(counts, asked.by, selection, outcome), outcome)
    else:
        from apitracker.local import figures
        from apitracker.local.store import Store

        require_fields(selection.where, kept=True)  # before the file is looked at
        with Store(path or settings.store).reading(required=True) as db:
            found = figures.incidents(db, outcome, None, selection)
    output.writelines(f"{line}\n" for line in lines(found, form, everything=everything))
    if not found:
        _say(f"no calls were {outcome}")
    if source:
        _report(balance, selected=selection.timed)
        _report_exit(balance)


@cli.command()
@_store_option
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Where to listen. Whoever can reach any other host sees all of the store.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    help="Where to listen; 0 is a free port.  [default: 8765, or a free one where that is taken]",
)
@click.option("--open", "browse", is_flag=True, help="Open the page in a browser.")
@click.pass_obj
def serve(
    settings: Settings, *, path: Path | None, host: str, port: int | None, browse: bool
) -> None:
    """
    Show the store as a local web page.

    Calls over time, headline figures, the busiest APIs, callers, services, accounts and regions,
    who is throttled and denied, what became of every record. Nothing leaves this machine. What
    apitracker ingest adds beside it shows up within seconds. Ctrl-C stops it.

    \b
    Examples:
      apitracker serve --open
      apitracker serve --store prod.duckdb --port 9000
      ssh -L 8765:127.0.0.1:8765 HOST          then open http://127.0.0.1:8765 here

    Exit code 0: stopped; 2: wrong usage; 3: the port is taken.
    """
    from apitracker.local.web import server

    listening = server.listen(host, port)
    if not server.is_local(host):
        _say(f"{host}: whoever can reach this host sees all of the store, without a password")
    if port is None and listening.getsockname()[1] != server.PORT:
        _say(f"port {server.PORT} is taken; this is another")
    _say(f"{server.address(host, listening)} shows {path or settings.store}; Ctrl-C stops it")
    server.serve(path or settings.store, host, listening, browse=browse)


@cli.command()
@_choosing
@_store_option
@click.option(
    "-o",
    "--output",
    type=click.File("w", encoding="utf-8", lazy=True),
    required=True,
    help="Write to this file; - is standard output.",
)
@click.pass_obj
def report(  # noqa: PLR0913 - options of a command
    settings: Settings,
    *,
    since: int | None,
    until: int | None,
    where: tuple[str, ...],
    path: Path | None,
    output: IO[str],
) -> None:
    """
    Write what apitracker serve shows as one HTML file.

    The file has all in it, and loads nothing: it opens without a network, and can be sent around.
    Names of callers, accounts and APIs are in it.

    \b
    Examples:
      apitracker report -o usage.html
      apitracker report --since 7d -o week.html
      apitracker report --where recipientAccountId=111122223333 -o account.html

    Exit code 0: done; 2: wrong usage; 3: the store failed.
    """
    from apitracker.local import report
    from apitracker.local.web.views import ask

    parse_where(where)
    times = [("since", since), ("until", until)]
    selection = [(name, write("second", time)) for name, time in times if time is not None]
    selection += [("where", text) for text in where]
    output.write(report.write(report.gather(partial(ask, path or settings.store), selection)))


@cli.command()
@_sources
@_metrics_option
@_choosing
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
    from apitracker.account.tracking import choose
    from apitracker.local import estimate, usage
    from apitracker.local.prices import load as load_prices

    prices = load_prices(table)
    choice = choose(settings if metrics is None else replace(settings, metrics=metrics))
    selection = _selection(since, until, where)
    question = usage.question(choice, selection, settings.max_log_bytes)
    balance = Balance()
    scale = usage.Scale(settings.max_log_bytes)
    readings = _read(_find(source, balance, since, until), question, settings)
    counts = total(scale.weigh(readings), question, balance)
    if counts:
        found = estimate.estimate(
            counts,
            question.by,
            choice,
            prices,
            budget=settings.budget,
            record_bytes=scale.record_bytes,
        )
        for line in estimate.lines(found, form):
            click.echo(tables.printable(line) if form == "table" else line)
    else:
        _say("no calls were selected")
    _report(balance, selected=selection.timed)
    _report_exit(balance)


@cli.command()
@_sources
@_metrics_option
@click.option(
    "--since", type=_Time(), help="From this eventTime on: 14d is all that CloudWatch takes."
)
@click.option(
    "--until",
    type=_Time(),
    help="Before this eventTime: when a deployed tracker began, as its calls would count twice.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be published, and publish nothing.")
@click.option(
    "--resume", metavar="MARK:PAGES", help="Go on after a run that stopped, with what it printed."
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
    from apitracker.account import backfill, clients
    from apitracker.account.handler import SystemClock
    from apitracker.account.publish import OUT_OF_TIME
    from apitracker.account.signing import CLOUDWATCH

    # Without credentials it fails here, before anything is read.
    poster = None if dry_run else clients.connection(CLOUDWATCH)
    given = settings if metrics is None else replace(settings, metrics=metrics)
    planned, balance = _plan(given, source, since, until)
    begin = backfill.done(resume, planned.pages) if resume else 0
    clock = SystemClock()
    outlook = backfill.outlook(planned.pages[begin:], clock.now())
    _say_late(outlook.late)
    sent = f"{outlook.pages:,} requests, {outlook.datums:,} datums, {outlook.calls:,} calls"
    if poster is None:
        click.echo(f"would publish to {settings.namespace}: {sent}")
    elif outlook.pages:
        published = backfill.send(
            planned.pages,
            poster,
            clock,
            begin=begin,
            progress=_progress(len(planned.pages)),
        )
        for refusal in published.refused[:NAMED]:
            if refusal.reason != OUT_OF_TIME:
                _say(f"{refusal.datum.metric_name}: not published: {refusal.reason}")
        _say(
            f"published to {settings.namespace}: {published.requests:,} requests, "
            f"{published.datums:,} datums, {published.calls:,} calls"
            + (f"; {len(published.in_doubt):,} may count twice" if published.in_doubt else "")
        )
        if published.refused:
            raise SystemExit(INCOMPLETE)
    else:
        _say("there is nothing to publish")
    if outlook.late:
        raise SystemExit(INCOMPLETE)
    _report_exit(balance)


@cli.command()
@_sources
@click.option("--since", type=_Time(), help="From this eventTime on, in whole minutes.")
@click.option("--until", type=_Time(), help="Before this eventTime, in whole minutes.")
@click.option(
    "--publish", "publishing", is_flag=True, help="Publish what is missing, and only that."
)
@_stack_option
@_format_option
@click.pass_obj
def reconcile(  # noqa: PLR0913 - options of a command
    settings: Settings,
    *,
    source: tuple[str, ...],
    since: int | None,
    until: int | None,
    publishing: bool,
    stack: str,
    form: str,
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
    from apitracker.account import clients, reconcile
    from apitracker.account.handler import SystemClock
    from apitracker.account.signing import CLOUDWATCH

    if API.name not in parse_names(settings.metrics):
        raise UsageError("the metric set api is compared, which APITRACKER_METRICS leaves out")
    cloudwatch = clients.client("cloudwatch")
    poster = clients.connection(CLOUDWATCH) if publishing else None
    clock = SystemClock()
    since = None if since is None else -(-since // 60) * 60
    until = None if until is None else until // 60 * 60
    planned, balance = _plan(replace(settings, metrics=API.name), source, since, until)
    happened, left_out = reconcile.comparable(planned.pages, clock.now())
    if left_out:
        _say(f"{left_out:,} calls are not compared: CloudWatch has the minutes of 15 days")
    if not happened:
        _say("there is nothing to compare")
        _report_exit(balance)
        return
    asking = reconcile.asking(happened, settings.namespace, cloudwatch)
    _say(
        f"{write('minute', asking.start)} to {write('minute', asking.end)}: "
        f"{len(asking.metrics):,} metrics in {asking.requests:,} requests of GetMetricData, "
        f"${asking.dollars:,.5f}"
    )
    sums = reconcile.ask(asking, settings.namespace, cloudwatch)
    memory = _recall(stack, settings, reconcile.short(happened, sums), publishing=publishing)
    compared = reconcile.compare(happened, sums, memory.coming(clock.now()))
    rows = [each.row for each in compared.differences]
    lines = tables.lines(rows, reconcile.FIELDS, form, "difference")
    sys.stdout.writelines(f"{line}\n" for line in lines)
    found = {what: compared.calls(what) for what in reconcile.WHATS}
    parts = [f"{compared.equal:,} equal", *(f"{calls:,} {what}" for what, calls in found.items())]
    _say(f"calls: {'; '.join(parts)}")
    ups, fresh = reconcile.top_ups(compared, happened, clock.now())
    if fresh:
        _say(f"{fresh:,} missing calls are less than six hours old: the tracker may publish them")
    missing = found[reconcile.MISSING]
    if poster and ups:
        if not memory.kept:
            _say("nothing remembers what is sent: do not publish again before CloudWatch shows it")
        missing -= _send(reconcile.send(ups, settings.namespace, poster, clock, memory))
    elif ups:
        _say(f"--publish would send {missing - fresh:,} calls of {len(ups):,} minutes")
    if missing or found[reconcile.TOO_MANY]:
        raise SystemExit(INCOMPLETE)
    _report_exit(balance)


@cli.command()
@click.argument("api", metavar="SERVICE:API")
@click.option(
    "--above", type=click.IntRange(min=0), required=True, help="Ring at more calls than this."
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
    "--notify", multiple=True, metavar="ARN", help="Tell this SNS topic, or whatever has an ARN."
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
    dry_run: bool,
) -> None:
    """
    Make or update an alarm on the calls of one API.

    SERVICE is a name as the AWS CLI has it, or an eventSource in full. The alarm lives in the
    region of the AWS settings, where the tracker publishes; --region says where the calls are
    made. The calls of IAM are all recorded in us-east-1.

    The alarm is named by API, region and outcome: the same again with another threshold, time or
    --notify replaces it. One period above the threshold is enough; the alarm looks 15 minutes
    further back than a period, as CloudTrail delivers late, and rings for as long.

    \b
    Examples:
      apitracker alarm ec2:RunInstances --above 100 --per 5m --notify arn:aws:sns:…:topic
      apitracker alarm iam:CreateUser --above 0 --region us-east-1
      apitracker alarm s3:DeleteBucket --above 10 --per 1h --any-region
      apitracker alarm ec2:DescribeInstances --outcome throttled --above 50
      apitracker alarm signin.amazonaws.com:ConsoleLogin --above 50 --dry-run

    What --dry-run prints is also the input of aws cloudwatch put-metric-alarm --cli-input-json.

    Exit code 0: done; 2: wrong usage; 3: AWS failed.
    """
    from apitracker.account import alarms, clients

    if region and any_region:
        raise click.UsageError("give --region or --any-region, not both")
    event_source, event_name = alarms.parse_api(api)
    length = alarms.parse_period(per)
    if not (region or any_region):
        region = clients.client("cloudwatch").meta.region_name
        if event_source in alarms.ELSEWHERE and region != "us-east-1":
            _say(f"calls of {event_source} are recorded in us-east-1: give --region us-east-1")
    wanted = alarms.Alarm(
        event_source=event_source,
        event_name=event_name,
        above=above,
        per=length,
        region=None if any_region else region,
        namespace=settings.namespace,
        outcome=outcome or "",
        notify=notify,
    )
    requested = alarms.request(wanted)
    if dry_run:
        _print_json(requested)
        return
    alarms.put(requested, clients.client("cloudwatch"))
    _say(f"{requested['AlarmName']}: {requested['AlarmDescription']}")
    if outcome and "outcomes" not in parse_names(settings.metrics):
        _say(
            f"it watches {wanted.metrics.namespace}: see that the tracker is deployed with outcomes"
            " among its MetricSets (APITRACKER_METRICS), or there is nothing to ring at"
        )
    if not notify:
        _say("nobody is told when it rings: give --notify ARN")


@cli.command()
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

    Which they are is asked of CloudWatch, each metric in APITRACKER_NAMESPACE once: AWS wants a
    cent for a thousand metrics. A dashboard of this name is replaced.

    \b
    Examples:
      apitracker dashboard
      apitracker dashboard --top 50 --name top-apis
      apitracker dashboard --dry-run > dashboard.json

    Exit code 0: done; 2: wrong usage; 3: AWS failed.
    """
    from apitracker.account import clients, dashboards

    dashboards.require_name(name)
    cloudwatch = clients.client("cloudwatch")
    now = int(datetime.now(UTC).timestamp())
    rows = dashboards.busiest(cloudwatch, settings.namespace, now=now)[:top]
    built = dashboards.body(rows, settings.namespace, cloudwatch.meta.region_name)
    if not rows:
        _say(f"there are no metrics in {settings.namespace} yet: is the tracker deployed here?")
    if dry_run:
        _print_json(built)
        return
    for said in dashboards.put(name, built, cloudwatch):
        _say(f"{name}: {said}")
    _say(f"{name}: a dashboard of {len(rows):,} APIs")


@cli.command()
@_stack_option
def verify(stack: str) -> None:
    """
    Check that a deployed tracker works.

    It is looked at from the trail to the alarms.

    Each line is ok, or says what to do.

    \b
    Examples:
      apitracker verify
      apitracker verify --stack my-tracker
      AWS_REGION=eu-west-1 apitracker verify

    Exit code 0: all is ok; 1: something is wrong; 2: wrong usage; 3: AWS could not be asked.
    """
    from apitracker.account import clients, verify

    asked = verify.Clients(
        cloudformation=clients.client("cloudformation"),
        cloudtrail=clients.client("cloudtrail"),
        logs=clients.client("logs"),
        functions=clients.client("lambda"),
        cloudwatch=clients.client("cloudwatch"),
        s3=clients.client("s3"),
    )
    wrong = False
    for check in verify.verify(stack, asked, now=int(datetime.now(UTC).timestamp())):
        wrong |= not check.ok
        word = "ok" if check.ok else "wrong"
        click.echo(tables.printable(f"{word:<5}  {check.name:<8}  {check.text}"))
    if wrong:
        raise SystemExit(INCOMPLETE)


@cli.command()
@_stack_option
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
    from apitracker.account import clients
    from apitracker.account.handler import SystemClock
    from apitracker.account.redrive import look_up
    from apitracker.account.redrive import redrive as publish_kept

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
        _say(f"{done:,} events would be published, {left:,} cannot be; nothing was changed")
    else:
        _say(f"{done:,} events are published and deleted, {left:,} are kept in {kept.bucket}")
    if refused:
        _say(f"{refused:,} calls are older than two weeks: CloudWatch does not take them any more")
    if left or refused:
        raise SystemExit(INCOMPLETE)


@cli.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
@click.option("--events", default=20_000, show_default=True, help="How many calls.")
@click.option("--days", default=3, show_default=True, help="Over how many days.")
@click.option("--seed", default=1, show_default=True, help="Another seed is another trail.")
@click.option("--broken", default=0, show_default=True, help="How many malformed records.")
def sample(folder: Path, events: int, days: int, seed: int, broken: int) -> None:
    """
    Write a synthetic trail that looks real.

    It is laid out as CloudTrail does it in S3.

    Several accounts and regions, days and nights, a throttling incident with a culprit, a burst
    of denials, sign-ins, duplicates. All of it is invented; the same seed gives the same bytes.

    \b
    Examples:
      apitracker sample trail
      apitracker sample trail --events 1000000 --days 30 --broken 5
    """
    from apitracker.local.sample import write

    written = write(folder, events=events, days=days, seed=seed, broken=broken)
    _say(f"{folder}: wrote {written.logs:,} logs with {written.records:,} records")


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """
    Print the completion script of a shell.

    \b
    Examples:
      apitracker completion bash >> ~/.bashrc
      apitracker completion zsh >> ~/.zshrc
      apitracker completion fish > ~/.config/fish/completions/apitracker.fish
    """
    script = get_completion_class(shell)
    if script:
        click.echo(script(cli, {}, "apitracker", "_APITRACKER_COMPLETE").source())


# --- reading, printing, reporting ---------------------------------------------------------------


def _plan(
    settings: Settings, source: tuple[str, ...], since: int | None, until: int | None
) -> tuple[Plan, Balance]:
    """Count *source*, and plan how that is published by the settings."""
    from apitracker.account.backfill import leave_out
    from apitracker.account.tracking import choose
    from apitracker.core.metrics import plan

    choice = choose(settings)
    by = (*choice.fields, "caller") if settings.own_role else choice.fields
    selection = _selection(since, until, ())
    question = Question(by, settings.max_log_bytes, selection)
    balance = Balance()
    founds = _find(source, balance, since, until)
    counts: Mapping[Row, int] = total(_read(founds, question, settings), question, balance)
    found = sum(counts.values())
    if settings.own_role:
        counts = leave_out(counts, choice.fields, settings.own_role)
    planned = plan(counts, choice)
    _report(balance, selected=selection.timed)
    if own := found - sum(counts.values()):
        _say(f"{own:,} calls are not published: the tracker made them in order to track")
    if planned.excluded:
        _say(f"{planned.excluded:,} calls are not published, by APITRACKER_INCLUDE and _EXCLUDE")
    return planned, balance


def _recall(
    stack: str, settings: Settings, short: "Sequence[Key]", *, publishing: bool
) -> "Memory":
    """Find out what was sent before of the minutes that are *short*."""
    from apitracker.account import clients
    from apitracker.account.reconcile import Memory, recall

    given = click.get_current_context().get_parameter_source("stack")
    try:
        if short:
            required = given is ParameterSource.COMMANDLINE
            return recall(stack, settings.namespace, short, required=required)
    except clients.RefusedError as e:
        if publishing:
            raise
        _say(f"what was sent before is not known: {e}")
    return Memory()


def _send(sending: "Iterator[Published]") -> int:
    """Publish page by page, say what became of it, and give how many calls were taken."""
    from apitracker.account.publish import OUT_OF_TIME

    calls = doubtful = 0
    late = []
    try:
        for published in sending:
            calls += published.calls
            doubtful += sum(page.calls for page in published.in_doubt)
            for refusal in published.refused:
                if refusal.reason == OUT_OF_TIME:
                    late.append(refusal.datum)
                else:
                    _say(f"{refusal.datum.metric_name}: not published: {refusal.reason}")
    finally:
        _say_late(late)
        about = f"; {doubtful:,} of them may count twice" if doubtful else ""
        _say(f"published {calls:,} calls{about}")
    return calls


def _tell(key: str, text: str) -> None:
    """Say at once what must be known of an event even if nothing else comes after it."""
    click.echo(tables.printable(f"in doubt  {key}  {text}"))


def _say_late(late: Sequence[Datum]) -> None:
    """Say what CloudWatch would refuse for its time."""
    if late:
        calls = sum(datum.calls for datum in late)
        first, last = min(d.timestamp for d in late), max(d.timestamp for d in late)
        _say(
            f"{calls:,} calls of {write('minute', first)} to {write('minute', last)} are not"
            " published: CloudWatch takes two weeks back and two hours ahead"
        )


def _progress(pages: int) -> Callable[[int], None]:
    """Make what says, now and then, how many of *pages* are published."""

    def progress(done: int) -> None:
        if done % 20 == 0 and done < pages:
            _say(f"{done:,} of {pages:,} requests")

    return progress


def _print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2))


def _find(
    source: tuple[str, ...], balance: Balance, since: int | None, until: int | None
) -> Iterator[Found]:
    """Find the logs of all sources; one that is missing is named, and the rest is found."""
    for name in source:
        try:
            yield from sources.find(name, since=since, until=until)
        except SourceError as e:
            balance.unread.append(Unread(Found(name, 0), str(e).removeprefix(f"{name}: ")))


def _read(
    founds: Iterable[Found], question: Question, settings: Settings
) -> Iterator[Reading | Unread]:
    """Read logs on all cores, with a progress bar where somebody is looking."""
    question = replace(question, recorded=tuple(settings.recorded.split()))
    if not sys.stderr.isatty():
        yield from read_all(founds, question, processes=settings.workers)
        return
    known = list(founds)
    readings = read_all(known, question, processes=settings.workers)
    with click.progressbar(readings, len(known), "Reading", file=sys.stderr) as bar:
        yield from bar


def _print(
    rows: Sequence[tuple[Row, int]], by: tuple[str, ...], form: str, output: IO[str]
) -> None:
    output.writelines(f"{line}\n" for line in tables.lines(rows, by, form))


def _report(balance: Balance, *, selected: bool = False) -> None:
    """Say what became of every log and record, and what was not counted."""
    for unread in balance.unread:
        _say(f"{unread.found.name}: {unread.fault}")
    for name, rejected in balance.rejected[:NAMED]:
        _say(f"{name}: {rejected.place}: {rejected.reason}")
    if len(balance.rejected) > NAMED:
        _say(f"and {len(balance.rejected) - NAMED:,} more records that could not be counted")
    skipped = ", ".join(f"{n:,} {kind}" for kind, n in sorted(balance.skipped.items()))
    parts = [
        f"{balance.counted:,} counted"
        + (f" ({balance.outside:,} not selected)" if selected else ""),
        f"{balance.duplicates:,} duplicate",
        f"{balance.skipped.total():,} skipped" + (f" ({skipped})" if skipped else ""),
        f"{len(balance.rejected):,} rejected",
    ]
    logs = f"{balance.logs:,} logs"
    if balance.known:
        logs += f", {balance.known:,} more counted before"
    if balance.unread:
        logs += f", {len(balance.unread):,} unreadable"
    _say(f"{logs}; {balance.received:,} records: {', '.join(parts)}")


def _report_exit(balance: Balance) -> None:
    if balance.unread or balance.rejected:
        raise SystemExit(INCOMPLETE)


def _say(text: str) -> None:
    click.echo(tables.printable(text), err=True)


def main() -> None:
    """Run the command line; every error of ours is one line on stderr and an exit code."""
    # What is decoded has no cycles, and the collector would look through all of it for some.
    gc.set_threshold(100_000, 50, 50)
    try:
        code = cli.main(standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as e:
        shown = io.StringIO()
        e.show(shown)
        for line in shown.getvalue().rstrip("\n").split("\n"):
            _say(line)
        code = WRONG
    except (click.Abort, KeyboardInterrupt):
        _say("stopped")
        code = STOPPED
    except (StoreError, ServeError, ServiceError, WorkerError) as e:
        _say(f"apitracker: {e}")
        code = FAILED
    except ApiTrackerError as e:
        _say(f"apitracker: {e}")
        code = WRONG
    except BrokenPipeError:
        # Whoever reads has read enough. Python would say so again when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as e:
        _say(f"apitracker: what was counted could not be written: {e}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = FAILED
    sys.exit(code)
