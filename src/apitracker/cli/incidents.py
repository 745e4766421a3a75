"""Commands about throttled and denied calls: throttles, denials."""

from pathlib import Path
from typing import IO, Any

import click

from apitracker.cli.inputs import read_logs
from apitracker.cli.options import (
    optional_sources,
    output_options,
    selection_options,
    store_option,
)
from apitracker.cli.output import (
    INCOMPLETE,
    choose_format,
    describe_coverage,
    exit_by,
    misses,
    report_balance,
    require_other_file,
    say,
    say_none,
)
from apitracker.core.balance import Balance
from apitracker.core.fields import require_fields
from apitracker.core.selection import Selection, matcher, parse_selection
from apitracker.errors import UsageError
from apitracker.logs.sources import find_all
from apitracker.settings import Settings

_all_option = click.option(
    "--all", "everything", is_flag=True, help="In a table, show all APIs and callers, not ten."
)


@click.command()
@optional_sources
@_all_option
@selection_options
@output_options
@store_option
@click.pass_obj
def throttles_command(settings: Settings, /, **options: Any) -> None:
    """
    Show which APIs are throttled, and who is behind it.

    Reads log files if you give a SOURCE, otherwise the store. For each API, region and account:
    how many calls were throttled, the worst second and minute, and all callers of that API in the
    minutes with throttled calls, most calls first. The caller with most calls uses up the quota,
    even if few of its own calls are throttled. Listed separately: calls that do not count toward
    EC2's limits, such as those of service-linked roles, and throttles that AWS caused itself.
    --where selects throttled calls, for example those of one caller; all callers of the same API
    in the same minutes are still listed.

    The default quota is shown where AWS documents it. Yours may have been raised.

    \b
    Examples:
      apitracker throttles
      apitracker throttles --since 24h --where 'eventSource=ec2.*'
      apitracker throttles trail --where 'caller=*:role/deployer'
      apitracker throttles s3://bucket/AWSLogs/111122223333/CloudTrail --since 2h --format json

    Exit code 0: done; 1: a log or record could not be counted, or no log has calls in the requested
    time; 2: wrong usage; 3: the store or AWS failed.
    """
    _print_incidents(settings, "throttled", **options)


@click.command()
@optional_sources
@_all_option
@selection_options
@output_options
@store_option
@click.pass_obj
def denials_command(settings: Settings, /, **options: Any) -> None:
    """
    Show which APIs are denied, and to whom.

    Reads log files if you give a SOURCE, otherwise the store. For each API, region and account:
    how many calls were denied, the worst second and minute, and the callers that were denied, most
    denied calls first.

    \b
    Examples:
      apitracker denials
      apitracker denials --since 24h --where 'caller=*:role/deployer'
      apitracker denials trail --format csv -o denials.csv

    Exit code 0: done; 1: a log or record could not be counted, or no log has calls in the requested
    time; 2: wrong usage; 3: the store or AWS failed.
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
    """Print the incidents of calls that ended with *outcome*, from log files or from the store."""
    from apitracker.store.incident_text import write_incidents

    if source and path:
        raise UsageError("give a SOURCE or --store, not both")
    form = choose_format(form, output)
    require_other_file(output, *(source or [path or settings.store]))
    selection = parse_selection(since, until, where)
    outcomes = selection.where.get("outcome")
    if outcomes and not matcher("outcome", outcomes)(outcome):
        raise UsageError(f"outcome: only calls that were {outcome} are shown: leave --where out")
    balance = Balance()
    coverage = ""
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
            coverage = describe_coverage(db, path, selection, empty=not found)
    lines = write_incidents(found, outcome, form, everything=everything)
    output.writelines(f"{line}\n" for line in lines)
    none = f"no calls were {outcome}"
    if source:
        if not found:
            _say_none(none, balance, selection)
        report_balance(balance, selected=selection.timed, selection=selection)
        if balance.not_selected == balance.counted:
            raise SystemExit(INCOMPLETE)
        exit_by(balance, selection)
    elif not found:
        say(none)
    if coverage:
        say(coverage)


def _say_none(none: str, balance: Balance, selection: Selection) -> None:
    """Print the all-clear *none*, unless no call of the selected time was read."""
    if balance.logs and not balance.counted:
        say("no calls were read")
    elif 0 < balance.counted == balance.not_selected and not misses(balance, selection):
        say("no call is in the requested time")
    else:
        say_none(none, balance, selection)
