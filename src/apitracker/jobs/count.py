"""Count: the calls in logs, from the library as from the command line."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from os import PathLike, fspath
from typing import TypeAlias

from apitracker.core.balance import Balance, Unread
from apitracker.core.counting import Counted, PartialCount, Query, merge, read_log
from apitracker.core.fields import require_fields
from apitracker.core.model import Log
from apitracker.core.selection import parse_selection
from apitracker.core.times import parse
from apitracker.errors import LogError
from apitracker.logs.sources import find_all
from apitracker.logs.workers import read_all, results
from apitracker.settings import Settings

Source: TypeAlias = str | PathLike[str] | bytes | Log
"""What `count` reads: a source of the command line, a path, or a log in memory."""


def count(  # noqa: PLR0913 - the options of the command
    sources: Source | Iterable[Source],
    *,
    by: Sequence[str] = ("eventSource", "eventName"),
    where: Mapping[str, str | Sequence[str]] | None = None,
    since: str | int | datetime | None = None,
    until: str | int | datetime | None = None,
    keep_duplicates: bool = False,
    settings: Settings | None = None,
) -> Counted:
    """
    Count the calls in logs, as the command ``apitracker count`` does.

    *sources* is one source or several: a file, a folder, a glob or ``s3://bucket/prefix``, or the
    bytes of a log. *by* are the fields to count by, *where* maps a field to one glob or to
    alternatives, *since* and *until* are times as the command takes them, seconds since 1970 or
    datetimes. Return the counts and the balance of all records; a log that cannot be read is named
    in the balance. `UsageError` for an unknown field, time or glob.

    >>> log = b'{"Records":[{"eventTime":"2026-10-01T12:00:00Z","eventName":"GetUser"}]}'
    >>> counts, balance = count(log, by=["hour", "eventName"])
    >>> counts.rows
    {(1790856000, 'GetUser'): 1}
    >>> balance.received, balance.counted
    (1, 1)
    """
    settings = settings or Settings()
    require_fields(by)
    selection = parse_selection(_second(since), _second(until), _globs(where or {}))
    recorded = tuple(settings.recorded.split())
    query = Query(tuple(by), selection, settings.max_log_bytes, keep_duplicates, recorded)
    given = [sources] if isinstance(sources, str | PathLike | bytes | Log) else list(sources)
    return merge(_read(given, query, settings), query)


def _read(
    sources: Iterable[Source], query: Query, settings: Settings
) -> Iterator[PartialCount | Unread | Balance]:
    for source in sources:
        if isinstance(source, bytes | Log):
            log = source if isinstance(source, Log) else Log.of("bytes", source)
            try:
                yield read_log(log, query)
            except LogError as e:
                yield Unread(e.name, e.fault, e.lasting)
            continue
        selection = query.selection
        found = find_all([fspath(source)], since=selection.since, until=selection.until)
        yield from results(read_all(found, query, processes=settings.workers))


def _second(time: str | int | datetime | None) -> int | None:
    if isinstance(time, str):
        return parse(time, now=datetime.now(UTC))
    return int(time.timestamp()) if isinstance(time, datetime) else time


def _globs(where: Mapping[str, str | Sequence[str]]) -> Iterator[str]:
    for field, globs in where.items():
        yield from (f"{field}={glob}" for glob in ([globs] if isinstance(globs, str) else globs))
