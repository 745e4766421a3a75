"""Publish: the counts of logs go to CloudWatch in batches; a run that stops can be resumed."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec import Struct

from apitracker.core.balance import Balance
from apitracker.core.counting import Query, merge
from apitracker.core.datums import Datum, split_by_age
from apitracker.core.own_calls import Own
from apitracker.core.selection import Selection
from apitracker.errors import ServiceError, UsageError
from apitracker.logs.workers import ReadLog, results
from apitracker.settings import Settings
from apitracker.tracker.put_metric_data import (
    Batch,
    Published,
    UnpublishedError,
    fingerprint,
    plan,
    publish,
)
from apitracker.tracker.retries import Clock, Poster
from apitracker.tracker.tracking import select_metrics

SECONDS_PER_BATCH: Final = 120.0  # of patience with one batch, its retries included


class InterruptedRunError(ServiceError):
    """Not all batches could be published; the message says which, and how to go on."""


class CountedBatches(Struct, frozen=True):
    """
    The calls of logs, cut into batches.

    *excluded* are counted calls that a rule keeps from being published. *balance* accounts for
    every record.
    """

    batches: list[Batch]
    excluded: int
    balance: Balance


class Outlook(Struct, frozen=True):
    """The share of batches that CloudWatch would take now; *late* datums are out of its time."""

    batches: int
    datums: int
    calls: int
    late: list[Datum]


def publish_query(selection: Selection, settings: Settings) -> Query:
    """
    Return the query that logs are read for before `count_batches`.

    Calls that the tracker made in order to track are skipped.
    """
    return Query(
        select_metrics(settings).fields,
        selection,
        settings.max_log_bytes,
        recorded=tuple(settings.recorded.split()),
        own=Own.of(settings),
    )


def count_batches(
    stream: Iterable[ReadLog | Balance], selection: Selection, settings: Settings
) -> CountedBatches:
    """
    Count the logs of *stream*, and cut their calls into batches as *settings* say.

    The logs were read for the `publish_query` of *selection*. The same logs, selection and settings
    give the same batches.
    """
    counts, balance = merge(results(stream), publish_query(selection, settings))
    planned = plan(counts, select_metrics(settings))
    return CountedBatches(planned.batches, planned.excluded, balance)


def look_ahead(batches: Iterable[Batch], now: float) -> Outlook:
    """Return the outlook of sending *batches* at *now*, in seconds since 1970."""
    sent, datums, calls = 0, 0, 0
    late: list[Datum] = []
    for batch in batches:
        taken, refused = split_by_age(batch.datums, now)
        sent += bool(taken)
        datums += len(taken)
        calls += sum(datum.calls for datum in taken)
        late += refused
    return Outlook(sent, datums, calls, late)


def batches_done(resume: str, batches: Sequence[Batch]) -> int:
    """
    Return how many of *batches* an earlier run published, by the *resume* text that it printed.

    `UsageError` if that run had other batches: to publish some of them again counts them twice.
    """
    begun, number = parse_resume(resume)
    if begun != fingerprint(batches) or number > len(batches):
        raise UsageError(
            f"{resume}: the logs, --since, --until or the rules are not those of the run that "
            "stopped, so its batches are not known any more; give the same, --until above all"
        )
    return number


def parse_resume(resume: str) -> tuple[str, int]:
    """Read the ``FINGERPRINT:BATCHES`` of an `InterruptedRunError`. `UsageError` for other text."""
    found = re.fullmatch(r"([0-9a-f]{12}):(\d{1,9})", resume)
    if not found:
        raise UsageError(f"{resume}: give what the stopped run printed, as 0123456789ab:17")
    return found[1], int(found[2])


def send_batches(
    batches: Sequence[Batch],
    poster: Poster,
    clock: Clock,
    *,
    begin: int = 0,
    progress: Callable[[int], None] = lambda _: None,
) -> Published:
    """
    Publish *batches* from number *begin* on, one by one; *progress* is called with their number.

    `InterruptedRunError` if one could not be sent within `SECONDS_PER_BATCH`.
    """
    published = Published()
    for number, batch in enumerate(batches[begin:], begin):
        try:
            one = publish([batch], poster, clock, deadline=clock.now() + SECONDS_PER_BATCH)
        except UnpublishedError as e:
            raise InterruptedRunError(
                f"{_stopped(number, len(batches), published)}{_doubt(number + 1, e)}; "
                f"{e.__cause__ or e}; go on with the same command and "
                f"--resume {fingerprint(batches)}:{number}"
            ) from e
        _add(published, one)
        progress(number + 1)
    return published


def _doubt(number: int, fault: UnpublishedError) -> str:
    """Return the doubt about batch *number* in words, or nothing."""
    if fault.published.requests:
        return f", and a part of batch {number:,}, which will count twice"
    if fault.in_doubt or fault.published.in_doubt:
        return f", and perhaps batch {number:,}, which would then count twice"
    return ""


def _stopped(number: int, batches: int, published: Published) -> str:
    return (
        f"batches 1 to {number:,} of {batches:,} are published "
        f"({published.datums:,} datums and {published.calls:,} calls by this run)"
        if number
        else f"none of {batches:,} batches is published"
    )


def _add(published: Published, one: Published) -> None:
    published.requests += one.requests
    published.datums += one.datums
    published.calls += one.calls
    published.retries += one.retries
    published.in_doubt += one.in_doubt
    published.refused += one.refused
