"""Commands about counts of calls, from log files and from the store: count, ingest, top."""

from pathlib import Path
from typing import IO

import click

from apitracker.cli.inputs import read_logs, read_sources
from apitracker.cli.options import (
    Time,
    by_option,
    output_options,
    selection_options,
    sources_argument,
    store_option,
)
from apitracker.cli.output import (
    choose_format,
    describe_coverage,
    exit_by,
    print_rows,
    report_balance,
    require_other_file,
    say,
)
from apitracker.core.balance import Balance, add_up
from apitracker.core.counting import Query, merge
from apitracker.core.fields import require_fields
from apitracker.core.selection import parse_selection
from apitracker.logs.sources import find_all
from apitracker.logs.workers import results
from apitracker.settings import Settings


@click.command()
@sources_argument
@by_option
@selection_options
@output_options
@click.option("--keep-duplicates", is_flag=True, help="Also count records that repeat an eventID.")
@click.pass_obj
def count_command(  # noqa: PLR0913 - options of a command
    settings: Settings,
    *,
    source: tuple[str, ...],
    by: tuple[str, ...],
    since: int | None,
    until: int | None,
    where: tuple[str, ...],
    form: str | None,
    output: IO[str],
    keep_duplicates: bool,
) -> None:
    """
    Count the calls in log files, and keep nothing.

    SOURCE is a file, a folder, a glob, - for standard input, or s3://bucket/prefix. Logs are
    recognised by their content: CloudTrail's files, plain or gzip, JSON lines, the output of
    aws cloudtrail lookup-events. Rows are sorted by their fields.

    \b
    Examples:
      apitracker count trail
      apitracker count trail --by minute,eventName,awsRegion,eventSource --format csv -o counts.csv
      apitracker count trail --by caller,eventName --where outcome=throttled
      apitracker count trail --by hour --since 2d --where 'eventSource=s3.*'
      aws cloudtrail lookup-events | apitracker count -
      apitracker count s3://bucket/AWSLogs/111122223333/CloudTrail --since 7d

    \b
    Fields:
      second minute hour day (of eventTime, UTC) eventName eventSource awsRegion
      recipientAccountId callerAccountId caller errorCode outcome (ok, throttled, denied, failed)
      readOnly eventCategory eventType eventVersion

    Exit code 0: all was counted; 1: a log or record could not be counted, or no log has calls in
    the requested time; 2: wrong usage; 3: AWS failed.
    """
    form = choose_format(form, output)
    require_other_file(output, *source)
    selection = parse_selection(since, until, where)
    query = Query(by, selection, settings.max_log_bytes, keep_duplicates)
    counts, balance = merge(results(read_sources(source, query, settings)), query)
    print_rows(counts.ranked(), by, form, output)
    selected = bool(selection.timed or selection.plain)
    report_balance(balance, selected=selected, selection=selection)
    exit_by(balance, selection)


@click.command()
@sources_argument
@store_option
@click.option(
    "--forget",
    type=Time(),
    metavar="TIME",
    help="Make the store smaller: forget which events from before TIME were counted. Their counts"
    " stay. 45d is safe: CloudTrail delivers at most 30 days late.",
)
@click.option(
    "--mix",
    is_flag=True,
    help="Allow a synthetic trail (apitracker sample) and real calls in one store.",
)
@click.pass_obj
def ingest_command(
    settings: Settings,
    *,
    source: tuple[str, ...],
    path: Path | None,
    forget: int | None,
    mix: bool,
) -> None:
    """
    Keep the counts of log files in the embedded store.

    The same log twice changes nothing, nor does the same event in another log: run it again
    whenever there may be new logs. Stop it whenever you like: the next run completes it.

    A log that cannot be read is named once, and read again when the file or apitracker changes. A
    log that could not be reached, for example without permission, is named and read again each
    time. A synthetic trail and real calls belong in separate stores.

    \b
    Examples:
      apitracker ingest trail --store sample.duckdb
      apitracker ingest s3://bucket/AWSLogs/111122223333/CloudTrail --store prod.duckdb
      apitracker ingest trail --forget 45d

    Exit code 0: all was counted; 1: a log or record could not be counted; 2: wrong usage; 3: the
    store or AWS failed.
    """
    from apitracker.jobs.ingest import ingest, ingest_query, skip_known
    from apitracker.store.database import Store

    store = Store(path or settings.store)
    stream = skip_known(find_all(source), store)
    balances: list[Balance] = []
    try:
        read = read_logs(stream, ingest_query(settings.max_log_bytes), settings)
        # Kept as they come: after Ctrl-C the logs added so far are still reported.
        balances.extend(ingest(read, store, mix=mix))
    finally:
        balance = add_up(balances)
        report_balance(balance)
    if forget is not None:
        store.forget_events(forget)
    exit_by(balance)


@click.command()
@click.argument("n", type=click.IntRange(min=1), default=10)
@click.option("--all", "everything", is_flag=True, help="Show all rows.")
@by_option
@selection_options
@output_options
@store_option
@click.pass_obj
def top_command(  # noqa: PLR0913 - options of a command
    settings: Settings,
    *,
    n: int,
    everything: bool,
    by: tuple[str, ...],
    since: int | None,
    until: int | None,
    where: tuple[str, ...],
    form: str | None,
    output: IO[str],
    path: Path | None,
) -> None:
    """
    Show the busiest APIs in the store.

    Shows the N busiest (default 10), most calls first. --by chooses other fields than the API.

    \b
    Examples:
      apitracker top
      apitracker top 20 --since 24h
      apitracker top --by caller --where eventName=DescribeInstances
      apitracker top --by eventName,caller --where outcome=throttled
      apitracker top --all --by minute,eventName,awsRegion,eventSource --format csv -o counts.csv

    Fields are those of apitracker count, without eventType and eventVersion.

    Exit code 0: done; 2: wrong usage; 3: the store failed.
    """
    from apitracker.store.database import Store
    from apitracker.store.queries import Ranking, rank

    form = choose_format(form, output)
    selection = parse_selection(since, until, where)
    path = path or settings.store
    require_other_file(output, path)
    require_fields((*by, *selection.where), kept=True)  # before the file is looked at
    with Store(path).reading(required=True) as db:
        counts = rank(db, Ranking(by, selection), None if everything else n)
        coverage = describe_coverage(db, path, selection, empty=not counts.rows)
    print_rows(counts.rows.items(), by, form, output)
    if not counts.rows:
        say("no calls match")
    if coverage:
        say(coverage)
