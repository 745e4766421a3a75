"""Count: the calls in logs, from the library as from the command line."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from os import PathLike, fspath
from typing import TypeAlias

from apitracker.core.balance import Balance, Unread
from apitracker.core.counting import Counted, PartialCount, Query, merge, read_log
from apitracker.core.fields import parse_fields, require_fields
from apitracker.core.model import Log
from apitracker.core.selection import parse_selection
from apitracker.core.times import parse, second_of
from apitracker.errors import LogError
from apitracker.logs.sources import find_all
from apitracker.logs.workers import read_all, results
from apitracker.settings import Settings

Source: TypeAlias = str | PathLike[str] | bytes | Log
"""A source as the command line takes it, a path, or a log in memory."""

Time: TypeAlias = str | int | datetime
"""A time as the command line takes it, in seconds since 1970 UTC, or a datetime (of UTC, if it has
no offset)."""


def count(  # noqa: PLR0913 - the options of the command
    sources: Source | Iterable[Source],
    *,
    by: str | Iterable[str] = ("eventSource", "eventName"),
    where: Mapping[str, str | Iterable[str]] | None = None,
    since: Time | None = None,
    until: Time | None = None,
    keep_duplicates: bool = False,
    settings: Settings | None = None,
) -> Counted:
    """
    Count the calls in logs, as the command ``apitracker count`` does.

    *sources* is one source or several: a file, a folder, a glob, ``s3://bucket/prefix``, or the
    bytes of a log. *by* names the fields to count by; *where* maps a field to a glob, or to several
    of which one has to match; *until* is not included. Logs are read on all cores;
    ``Settings(processes=1)`` reads them in this process.

    Return the counts and the balance of all records. A log or a source that cannot be read is named
    in the balance. `UsageError` for an unknown field, a bad time or a bad glob.

    >>> log = b'{"Records":[{"eventTime":"2026-10-01T12:00:00Z","eventName":"GetUser"}]}'
    >>> counts, balance = count(log, by=["hour", "eventName"])
    >>> counts.rows
    {(1790856000, 'GetUser'): 1}
    >>> balance.received, balance.counted
    (1, 1)
    """
    settings = settings or Settings()
    fields = parse_fields(by if isinstance(by, str) else ",".join(by))
    require_fields(fields)
    query = Query(
        fields,
        parse_selection(_seconds(since), _seconds(until), _where_texts(where or {})),
        settings.max_log_bytes,
        keep_duplicates,
        tuple(settings.recorded.split()),
    )
    given = [sources] if isinstance(sources, str | PathLike | bytes | Log) else sources
    return merge(_read_each(given, query, settings), query)


def _read_each(
    sources: Iterable[Source], query: Query, settings: Settings
) -> Iterator[PartialCount | Unread | Balance]:
    for source in sources:
        if isinstance(source, bytes | Log):
            yield _read_in_memory(source, query)
        else:
            selection = query.selection
            found = find_all([fspath(source)], since=selection.since, until=selection.until)
            yield from results(read_all(found, query, processes=settings.workers))


def _read_in_memory(source: bytes | Log, query: Query) -> PartialCount | Unread:
    log = source if isinstance(source, Log) else Log.of("bytes", source)
    try:
        return read_log(log, query)
    except LogError as e:
        return Unread(e.name, e.fault, e.lasting)


def _seconds(time: Time | None) -> int | None:
    if isinstance(time, str):
        return parse(time, now=datetime.now(UTC))
    return second_of(time) if isinstance(time, datetime) else time


def _where_texts(where: Mapping[str, str | Iterable[str]]) -> Iterator[str]:
    """Return *where* as the command line writes it: ``FIELD=GLOB`` texts."""
    for field, globs in where.items():
        yield from (f"{field}={glob}" for glob in ([globs] if isinstance(globs, str) else globs))
