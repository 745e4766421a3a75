"""The command line: parse, call, print. Data goes to stdout, words and progress to stderr."""

import gc
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

import click
from click.shell_completion import get_completion_class

from apitracker.core.selection import Selection, parse_where
from apitracker.core.tally import FIELDS, Row, require_fields
from apitracker.core.times import parse
from apitracker.errors import (
    ApiTrackerError,
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
      apitracker top --where outcome=denied --by caller,eventName
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
        fields = tuple(dict.fromkeys(field.strip() for field in value.split(",") if field.strip()))
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


def _selecting(command: Command) -> Command:
    """Add the options that say which calls, by what, and in which form."""
    for option in reversed(
        (
            click.option(
                "--by",
                type=_Fields(),
                default=",".join(BY),
                show_default=True,
                help="Count by these fields, in this order.",
            ),
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
            click.option(
                "--format",
                "form",
                type=click.Choice(tables.FORMATS),
                default="table",
                show_default=True,
                help="How to write the rows.",
            ),
            click.option(
                "-o",
                "--output",
                type=click.File("w", encoding="utf-8", lazy=True),
                default="-",
                help="Write to this file.",
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


_sources = click.argument("source", nargs=-1, required=True)


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
        _report(balance, raising=False)
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
    Show the N busiest APIs in the store, or whatever else most calls fall to.

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
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
@click.option("--events", default=20_000, show_default=True, help="How many calls.")
@click.option("--days", default=3, show_default=True, help="Over how many days.")
@click.option("--seed", default=1, show_default=True, help="Another seed is another trail.")
@click.option("--broken", default=0, show_default=True, help="How many malformed records.")
def sample(folder: Path, events: int, days: int, seed: int, broken: int) -> None:
    """
    Write a synthetic trail that looks real, in CloudTrail's S3 layout.

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
    if not sys.stderr.isatty():
        yield from read_all(founds, question, processes=settings.workers)
        return
    known = list(founds)
    readings = read_all(known, question, processes=settings.workers)
    with click.progressbar(readings, len(known), "Reading", file=sys.stderr) as bar:
        yield from bar


def _print(
    rows: Iterable[tuple[Row, int]], by: tuple[str, ...], form: str, output: IO[str]
) -> None:
    for line in tables.lines(rows, by, form):
        output.write(line + "\n")


def _report(balance: Balance, *, selected: bool = False, raising: bool = True) -> None:
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
    if raising:
        _report_exit(balance)


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
        e.show()
        code = WRONG
    except (click.Abort, KeyboardInterrupt):
        _say("stopped")
        code = STOPPED
    except (StoreError, ServiceError, WorkerError) as e:
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
