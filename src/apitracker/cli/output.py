"""What commands print, and the exit codes by which they end."""

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

NAMED: Final = 100  # rejected records that are named one by one
NAMED_LOGS: Final = 20  # logs that could not be read that are named one by one
SERVICES_NAMED: Final = 10  # that files were left out of

INCOMPLETE, WRONG, FAILED, STOPPED = 1, 2, 3, 130  # exit codes; 0 is that all was counted


def say(text: str) -> None:
    """Say something on stderr, in a line."""
    click.echo(tables.printable(text), err=True)


def print_rows(
    rows: Iterable[tuple[tables.Cells, int]], by: tuple[str, ...], form: str, output: IO[str]
) -> None:
    """Write *rows* by the fields *by* in a form of `tables.FORMATS`."""
    output.writelines(f"{line}\n" for line in tables.lines(list(rows), by, form))


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


def span(first: int, last: int) -> str:
    """Write the time from one second to another."""
    return f"from {write('second', first)} to {write('second', last)}"


def coverage(db: "Connection", path: Path, selection: Selection, *, empty: bool) -> str:
    """
    Word which times the store at *path* covers, if the answer may be about others; else nothing.

    An *empty* answer always may: there may be calls that are not in the store.
    """
    if not empty and selection.since is None and selection.until is None:
        return ""
    from apitracker.store.queries import summarize

    found = summarize(db)
    if found.first is None or found.last is None:
        return f"{path} has no calls"
    if not empty and selection.is_within(found.first, found.last):
        return ""
    calls = "calls of a synthetic trail" if found.origin == SYNTHETIC else "calls"
    return f"{path} has {calls} {span(found.first, found.last)}"


def say_none(text: str, balance: Balance, selection: Selection) -> None:
    """Say that no call in the logs is as *text* has it, which takes logs of the time asked for."""
    if not balance.logs or _misses(balance, selection):
        return  # what is said of the logs says it all
    if balance.unread or balance.rejected:
        text += ", as far as the logs could be read"
    first, last = balance.first, balance.last
    if first is not None and last is not None and not selection.is_within(first, last):
        text += f"; the logs have calls {span(first, last)}"
    say(text)


def _misses(balance: Balance, selection: Selection) -> bool:
    """Tell whether the logs have calls, but none of the time asked for."""
    if balance.first is None or balance.last is None:
        return False
    return selection.is_outside(balance.first, balance.last)


def report_balance(balance: Balance, *, selected: bool = False, selection: Selection = ALL) -> None:
    """Say what became of every log and record, and what was not counted."""
    for unread in balance.unread[:NAMED_LOGS]:
        say(f"{unread.name}: {unread.fault}")
    if len(balance.unread) > NAMED_LOGS:
        say(f"and {len(balance.unread) - NAMED_LOGS:,} more logs that could not be read")
    for name, rejected in balance.rejections[:NAMED]:
        say(f"{name}: {rejected.place}: {rejected.reason}")
    if balance.rejected > NAMED:
        say(f"and {balance.rejected - NAMED:,} more records that could not be counted")
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
    if balance.first is not None and balance.last is not None and _misses(balance, selection):
        say(
            "no call is of the time asked for: the logs have calls"
            f" {span(balance.first, balance.last)}"
        )


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


def exit_by(balance: Balance, selection: Selection = ALL) -> None:
    """End the command if something could not be counted, or nothing is of the time asked for."""
    if balance.unread or balance.rejected or _misses(balance, selection):
        raise SystemExit(INCOMPLETE)
