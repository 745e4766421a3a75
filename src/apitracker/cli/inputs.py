"""The logs that commands read."""

import sys
from collections.abc import Iterable, Iterator

import click
from msgspec.structs import replace

from apitracker.core.selection import ALL, Selection
from apitracker.errors import SourceError
from apitracker.logs import sources
from apitracker.logs.sources import Found
from apitracker.logs.totals import Balance
from apitracker.logs.workers import Question, Reading, Unread, read_all
from apitracker.settings import Settings


def read_sources(
    source: tuple[str, ...], question: Question, settings: Settings, balance: Balance
) -> Iterator[Reading | Unread]:
    """Read the logs of all sources that may hold what is asked for."""
    return read_logs(find_logs(source, balance, question.selection), question, settings)


def find_logs(
    source: tuple[str, ...], balance: Balance, selection: Selection = ALL
) -> Iterator[Found]:
    """Find the logs of all sources; one that is missing is named, and the rest is found."""
    for name in source:
        try:
            found = sources.find(name, since=selection.since, until=selection.until)
            balance.left_out += yield from found
        except SourceError as e:
            balance.unread.append(Unread(Found(name, 0), str(e).removeprefix(f"{name}: ")))


def read_logs(
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
