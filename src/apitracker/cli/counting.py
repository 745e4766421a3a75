"""Commands that count, on a laptop: count, ingest, top, throttles, denials, sample."""

from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import click

from apitracker.cli.inputs import read_logs, read_sources
from apitracker.cli.options import (
    Time,
    filtering,
    selecting,
    sources_argument,
    sources_if_any,
    store_option,
)
from apitracker.cli.output import (
    choose_format,
    coverage,
    exit_by,
    keep_apart,
    print_rows,
    report_balance,
    say,
    say_none,
)
from apitracker.core.balance import Balance, add_up
from apitracker.core.counting import Query, merge
from apitracker.core.fields import require_fields
from apitracker.core.selection import parse_selection
from apitracker.core.times import write as write_time
from apitracker.errors import UsageError
from apitracker.logs.sources import find_all
from apitracker.logs.workers import results
from apitracker.settings import Settings

_all_incidents = click.option(
    "--all", "everything", is_flag=True, help="All APIs and callers, not the worst ten, in a table."
)


@click.command()
@sources_argument
@selecting
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
    form: str | None,
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
      apitracker count trail --by hour --since 2d --where 'eventSource=s3.*'
      aws cloudtrail lookup-events | apitracker count -
      apitracker count s3://bucket/AWSLogs/111122223333/CloudTrail --since 7d

    \b
    Fields:
      second minute hour day (of eventTime, UTC) eventName eventSource awsRegion
      recipientAccountId callerAccountId caller errorCode outcome (ok, throttled, denied, failed)
      readOnly eventCategory eventType eventVersion

    Exit code 0: all was counted; 1: something could not be, or nothing is of the time asked for,
    which is said; 2: wrong usage; 3: AWS failed.
    """
    form = choose_format(form, output)
    keep_apart(output, *source)
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
    help="Forget which events from before TIME were counted, which makes the store smaller. Their"
    " counts stay. 45d is safe: CloudTrail delivers late for 30 days at most.",
)
@click.option(
    "--mix",
    is_flag=True,
    help="Add a synthetic trail (apitracker sample) to a store of real calls, or the reverse.",
)
@click.pass_obj
def ingest(
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

    A log that cannot be read is named once, and tried again when the file or apitracker changes.
    One that could not be reached, for permissions say, is tried and named each time. A synthetic
    trail and real calls do not come into one store.

    \b
    Examples:
      apitracker ingest trail --store sample.duckdb
      apitracker ingest s3://bucket/AWSLogs/111122223333/CloudTrail --store prod.duckdb
      apitracker ingest trail --forget 45d

    Exit code 0: all was counted; 1: something could not be, and is named; 2: wrong usage;
    3: the store or AWS failed.
    """
    from apitracker.jobs.ingest import ingest, ingest_query, skip_known
    from apitracker.store.database import Store

    store = Store(path or settings.store)
    stream = skip_known(find_all(source), store)
    balances: list[Balance] = []
    try:
        read = read_logs(stream, ingest_query(settings.max_log_bytes), settings)
        # Kept as they come: what was added is reported after Ctrl-C too.
        balances.extend(ingest(read, store, mix=mix))
    finally:
        whole = add_up(balances)
        report_balance(whole)
    if forget is not None:
        store.forget_events(forget)
    exit_by(whole)


@click.command()
@click.argument("n", type=click.IntRange(min=1), default=10)
@click.option("--all", "everything", is_flag=True, help="All rows.")
@selecting
@store_option
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
    form: str | None,
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
    from apitracker.store.database import Store
    from apitracker.store.queries import Ranking, rank

    form = choose_format(form, output)
    selection = parse_selection(since, until, where)
    path = path or settings.store
    keep_apart(output, path)
    require_fields((*by, *selection.where), kept=True)  # before the file is looked at
    with Store(path).reading(required=True) as db:
        counts = rank(db, Ranking(by, selection), None if everything else n)
        covered = coverage(db, path, selection, empty=not counts.rows)
    print_rows(counts.rows.items(), by, form, output)
    if not counts.rows:
        say("no calls were selected")
    if covered:
        say(covered)


@click.command()
@sources_if_any
@_all_incidents
@filtering
@store_option
@click.pass_obj
def throttles(settings: Settings, /, **options: Any) -> None:
    """
    Show which APIs are throttled, and who is behind it.

    From log files if SOURCE is given, from the store otherwise. For each API, region and account:
    how many calls were throttled, the worst second and minute, and all callers of that API in the
    minutes in which it was throttled, most calls first. Who calls most uses up the quota, throttled
    or not. Calls that do not count toward EC2's limits, as by service-linked roles, and throttles
    that AWS caused itself are listed apart. --where says which throttled calls count: those of one
    caller, say; who is behind them is looked for among all.

    What the API lets through by default is said where AWS documents it. Yours may have been raised.

    \b
    Examples:
      apitracker throttles
      apitracker throttles --since 24h --where 'eventSource=ec2.*'
      apitracker throttles trail --where 'caller=*:role/deployer'
      apitracker throttles s3://bucket/AWSLogs/111122223333/CloudTrail --since 2h --format json

    Exit code 0: done; 1: something could not be counted, or nothing is of the time asked for, which
    is said; 2: wrong usage; 3: the store or AWS failed.
    """
    _print_incidents(settings, "throttled", **options)


@click.command()
@sources_if_any
@_all_incidents
@filtering
@store_option
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

    Exit code 0: done; 1: something could not be counted, or nothing is of the time asked for, which
    is said; 2: wrong usage; 3: the store or AWS failed.
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
    form: str | None,
    output: IO[str],
    path: Path | None,
) -> None:
    """Print the calls that ended with *outcome*, from log files or from the store."""
    from apitracker.store.incident_text import write_incidents

    if source and path:
        raise UsageError("give a SOURCE or --store, not both")
    form = choose_format(form, output)
    keep_apart(output, *(source or [path or settings.store]))
    selection = parse_selection(since, until, where)
    balance = Balance()
    covered = ""
    if source:
        from apitracker.jobs.incidents import find_incidents, incident_query

        stream = find_all(source, since=selection.since, until=selection.until)
        query = incident_query(selection, settings.max_log_bytes)
        read = read_logs(stream, query, settings)
        found, balance = find_incidents(read, outcome, selection)
    else:
        from apitracker.store.database import Store
        from apitracker.store.incidents import query_incidents

        require_fields(selection.where, kept=True)  # before the file is looked at
        path = path or settings.store
        with Store(path).reading(required=True) as db:
            found = query_incidents(db, outcome, None, selection)
            covered = coverage(db, path, selection, empty=not found)
    lines = write_incidents(found, outcome, form, everything=everything)
    output.writelines(f"{line}\n" for line in lines)
    none = f"no calls were {outcome}"
    if source:
        if not found:
            say_none(none, balance, selection)
        report_balance(balance, selected=selection.timed, selection=selection)
        exit_by(balance, selection)
    elif not found:
        say(none)
    if covered:
        say(covered)


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
@click.option("--events", default=20_000, show_default=True, help="How many calls.")
@click.option("--days", default=3, show_default=True, help="Over how many days.")
@click.option("--seed", default=1, show_default=True, help="Another seed is another trail.")
@click.option("--broken", default=0, show_default=True, help="How many malformed records.")
@click.option("--until", type=Time(), help="Where it ends.  [default: now]")
def sample(  # noqa: PLR0913 - options of a command
    *, folder: Path, events: int, days: int, seed: int, broken: int, until: int | None
) -> None:
    """
    Write a synthetic trail that looks real.

    It is laid out as CloudTrail does it in S3.

    Several accounts and regions, days and nights, a throttling incident with a culprit, a burst
    of denials, sign-ins, duplicates. All of it is invented. It ends now, so that --since 24h finds
    something in it; with the same --seed and --until the bytes are the same. From 800 calls on the
    incident is large enough to use up the quota.

    \b
    Examples:
      apitracker sample trail
      apitracker sample trail --until 2026-10-31
      apitracker sample trail --events 1000000 --days 30 --broken 5
    """
    from apitracker.synthetic.trail import write

    end = datetime.now(UTC) if until is None else datetime.fromtimestamp(until, UTC)
    written = write(folder, events=events, days=days, seed=seed, broken=broken, until=end)
    start = int(written.incident.start.timestamp())
    say(
        f"{folder}: wrote {written.logs - written.insight_logs:,} logs;"
        f" {written.records - written.skipped:,} records: {written.calls:,} calls,"
        f" {written.duplicates:,} duplicates, {written.rejected:,} malformed"
    )
    say(
        f"not counted when the folder is read: {written.skipped:,} insight records in"
        f" {written.insight_logs:,} logs, {written.digests:,} digests"
    )
    say(f"the throttling incident begins at {write_time('minute', start)}")
