"""Reading of logs by commands, with a progress bar on a terminal."""

import sys
from collections.abc import Iterable, Iterator

import click
from msgspec.structs import replace

from apitracker.core.balance import Balance
from apitracker.core.counting import Query
from apitracker.logs.sources import Found, find_all
from apitracker.logs.workers import ReadLog, read_all
from apitracker.settings import Settings


def read_sources(
    sources: tuple[str, ...], query: Query, settings: Settings
) -> Iterator[ReadLog | Balance]:
    """Find and read the logs of all *sources* that may hold calls that *query* selects."""
    selection = query.selection
    found = find_all(sources, since=selection.since, until=selection.until)
    return read_logs(found, query, settings)


def read_logs(
    stream: Iterable[Found | Balance], query: Query, settings: Settings
) -> Iterator[ReadLog | Balance]:
    """Read the logs of *stream* on all cores; balances in it pass through."""
    query = replace(query, recorded=tuple(settings.recorded.split()))
    if not sys.stderr.isatty():
        yield from read_all(stream, query, processes=settings.workers)
        return
    known = list(stream)
    read = read_all(known, query, processes=settings.workers)
    with click.progressbar(read, len(known), "Reading", file=sys.stderr) as bar:
        yield from bar
