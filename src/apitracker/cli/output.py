"""Rows, messages and exit codes of commands."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import click

from apitracker.core import tables
from apitracker.core.balance import Balance
from apitracker.core.origins import SYNTHETIC
from apitracker.core.selection import ALL, Selection
from apitracker.core.times import write
from apitracker.errors import UsageError

if TYPE_CHECKING:
    from apitracker.store.connections import Connection

LISTED_RECORDS: Final = 100  # rejected or refused records that are listed one by one
LISTED_LOGS: Final = 20  # unreadable logs that are listed one by one
LISTED_SERVICES: Final = 10  # services that left-out files are listed by

INCOMPLETE, WRONG, FAILED, STOPPED = 1, 2, 3, 130  # exit codes; 0: all was counted


def say(text: str) -> None:
    """Print *text* on stderr, as one line."""
    click.echo(tables.printable(text), err=True)


def print_rows(
    rows: Iterable[tuple[tables.Cells, int]], by: tuple[str, ...], form: str, output: IO[str]
) -> None:
    """Write *rows* of the fields *by* to *output*, in a format of `tables.FORMATS`."""
    output.writelines(f"{line}\n" for line in tables.lines(list(rows), by, form))


def choose_format(form: str | None, output: IO[str]) -> str:
    """
    Return the format of the rows: *form* if it was given, else by the ending of *output*.

    `UsageError` if the two contradict each other.
    """
    ending = Path(output.name).suffix.lower().removeprefix(".")
    by_ending = ending if ending in tables.FORMATS else ""
    if form and by_ending and form != by_ending:
        raise UsageError(f"{output.name}: --format {form} does not write {ending}: leave one out")
    return form or by_ending or "table"


def require_other_file(output: IO[str], *inputs: str | Path) -> None:
    """Raise `UsageError` if *output* is one of *inputs*: it is emptied when it is opened."""
    for each in inputs:
        if Path(output.name).exists() and Path(each).exists() and Path(each).samefile(output.name):
            raise UsageError(f"{output.name}: is an input: name another file with -o")


def print_json(value: object) -> None:
    """Print *value* as indented JSON."""
    click.echo(json.dumps(value, indent=2))


def describe_span(first: int, last: int) -> str:
    """Word the time from the second *first* to the second *last*."""
    return f"from {write('second', first)} to {write('second', last)}"


def describe_coverage(db: "Connection", path: Path, selection: Selection, *, empty: bool) -> str:
    """
    Word the time that the store at *path* covers, if *selection* may reach beyond it; else nothing.

    For an *empty* answer it is always worded: there may be calls that are not in the store.
    """
    if not empty and selection.since is None and selection.until is None:
        return ""
    from apitracker.store.queries import summarize

    found = summarize(db)
    beside = f"; {found.unread:,} logs could not be read, and are not in it" if found.unread else ""
    if found.first is None or found.last is None:
        return f"{path} has no calls{beside}"
    if not empty and selection.is_within(found.first, found.last):
        return ""
    calls = "calls of a synthetic trail" if found.origin == SYNTHETIC else "calls"
    return f"{path} has {calls} {describe_span(found.first, found.last)}{beside}"


def say_none(text: str, balance: Balance, selection: Selection) -> None:
    """Print the all-clear *text*, unless no log of the selected time was read."""
    if not balance.logs or misses(balance, selection):
        return  # the lines about the logs say why
    if balance.unread or balance.rejected:
        text += ", as far as the logs could be read"
    first, last = balance.first, balance.last
    if first is not None and last is not None and not selection.is_within(first, last):
        text += f"; the logs have calls {describe_span(first, last)}"
    say(text)


def misses(balance: Balance, selection: Selection) -> bool:
    """Tell whether the logs have calls, but none in the time of *selection*."""
    if balance.first is None or balance.last is None:
        return False
    return selection.is_outside(balance.first, balance.last)


def report_balance(balance: Balance, *, selected: bool = False, selection: Selection = ALL) -> None:
    """Print the balance of logs and records, and name each one that was not counted."""
    for unread in balance.unread[:LISTED_LOGS]:
        say(f"{unread.name}: {unread.fault}")
    if len(balance.unread) > LISTED_LOGS:
        say(f"and {len(balance.unread) - LISTED_LOGS:,} more logs that could not be read")
    for name, rejected in balance.rejections[:LISTED_RECORDS]:
        say(f"{name}: {rejected.place}: {rejected.reason}")
    if balance.rejected > LISTED_RECORDS:
        say(f"and {balance.rejected - LISTED_RECORDS:,} more records that could not be counted")
    _say_left_out(balance)
    skipped = ", ".join(f"{n:,} {kind}" for kind, n in sorted(balance.skipped.items()))
    parts = [
        f"{balance.counted:,} counted"
        + (f" ({balance.not_selected:,} not selected)" if selected else ""),
        f"{balance.duplicates:,} duplicate",
        f"{balance.skipped.total():,} skipped" + (f" ({skipped})" if skipped else ""),
        f"{balance.rejected:,} rejected",
    ]
    logs = f"{balance.logs:,} logs"
    if balance.known:
        logs += f", {balance.known:,} more counted before"
    if balance.known_unread:
        logs += f", {balance.known_unread:,} known to be unreadable"
    if balance.unread:
        logs += f", {len(balance.unread):,} unreadable"
    say(f"{logs}; {balance.received:,} records: {', '.join(parts)}")
    if balance.first is not None and balance.last is not None and misses(balance, selection):
        say(
            "no call is in the requested time: the logs have calls"
            f" {describe_span(balance.first, balance.last)}"
        )


def _say_left_out(balance: Balance) -> None:
    """Print how many files and folders were not read, as other services wrote them."""
    files: Counter[str] = Counter()
    folders: Counter[str] = Counter()
    for each in balance.left_out:
        counts, n = (folders, 1) if each.files < 0 else (files, each.files)
        counts[each.service] += n
    for kind, counts in (("files", files), ("folders", folders)):
        if counts:
            named = counts.most_common(LISTED_SERVICES)
            parts = [f"{n:,} of {service}" for service, n in named]
            rest = counts.total() - sum(n for _, n in named)
            parts += [f"{rest:,} of others"] if rest else []
            say(
                f"left out: {counts.total():,} {kind} of other services ({', '.join(parts)}); "
                "name their folder to read them"
            )


def exit_by(balance: Balance, selection: Selection = ALL) -> None:
    """Exit with 1 if a log or record was not counted, or no call is in the requested time."""
    if balance.unread or balance.rejected or misses(balance, selection):
        raise SystemExit(INCOMPLETE)
