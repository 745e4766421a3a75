"""What commands print, and the exit codes by which they end."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

import click

from apitracker.core.tally import Row
from apitracker.errors import UsageError
from apitracker.local import tables
from apitracker.local.totals import Balance

NAMED: Final = 100  # rejected records that are named one by one
SERVICES_NAMED: Final = 10  # that files were left out of

INCOMPLETE, WRONG, FAILED, STOPPED = 1, 2, 3, 130  # exit codes; 0 is that all was counted


def say(text: str) -> None:
    """Say something on stderr, in a line."""
    click.echo(tables.printable(text), err=True)


def print_rows(
    rows: Sequence[tuple[Row, int]], by: tuple[str, ...], form: str, output: IO[str]
) -> None:
    """Write *rows* by the fields *by* in a form of `tables.FORMATS`."""
    output.writelines(f"{line}\n" for line in tables.lines(rows, by, form))


def choose_format(form: str | None, output: IO[str]) -> str:
    """
    Return the form that rows are written in: *form*, if it was given, else by *output*'s ending.

    `UsageError` if the two contradict.
    """
    ending = Path(output.name).suffix.lower().removeprefix(".")
    by_ending = ending if ending in tables.FORMATS else ""
    if form and by_ending and form != by_ending:
        raise UsageError(f"{output.name}: --format {form} does not write {ending}: leave one out")
    return form or by_ending or "table"


def keep_apart(output: IO[str], *inputs: str | Path) -> None:
    """`UsageError` if *output*, which is emptied when it is opened, is one of *inputs*."""
    for each in inputs:
        if Path(output.name).exists() and Path(each).exists() and Path(each).samefile(output.name):
            raise UsageError(f"{output.name}: is read: give another file to -o")


def print_json(value: object) -> None:
    """Print *value* as JSON that can be read."""
    click.echo(json.dumps(value, indent=2))


def report_balance(balance: Balance, *, selected: bool = False) -> None:
    """Say what became of every log and record, and what was not counted."""
    for unread in balance.unread:
        say(f"{unread.found.name}: {unread.fault}")
    for name, rejected in balance.rejected[:NAMED]:
        say(f"{name}: {rejected.place}: {rejected.reason}")
    if len(balance.rejected) > NAMED:
        say(f"and {len(balance.rejected) - NAMED:,} more records that could not be counted")
    _say_left_out(balance)
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
    say(f"{logs}; {balance.received:,} records: {', '.join(parts)}")


def _say_left_out(balance: Balance) -> None:
    """Say, once, what was not read because another service than CloudTrail wrote it."""
    files: Counter[str] = Counter()
    folders: Counter[str] = Counter()
    for each in balance.left_out:
        counts, n = (folders, 1) if each.files < 0 else (files, each.files)
        counts[each.service] += n
    for what, counts in (("files", files), ("folders", folders)):
        if counts:
            most = [f"{n:,} of {service}" for service, n in counts.most_common(SERVICES_NAMED)]
            rest = counts.total() - sum(n for _, n in counts.most_common(SERVICES_NAMED))
            most += [f"{rest:,} of others"] if rest else []
            say(
                f"left out: {counts.total():,} {what} of other services ({', '.join(most)}); "
                "they are read when their folder is named"
            )


def exit_by(balance: Balance) -> None:
    """End the command if something of *balance* could not be counted."""
    if balance.unread or balance.rejected:
        raise SystemExit(INCOMPLETE)
