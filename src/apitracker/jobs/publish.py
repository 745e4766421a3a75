"""Counts of log files are published at once: batches that can be gone on with after a failure."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec import Struct

from apitracker.core.datums import Datum, split_by_age
from apitracker.errors import ServiceError, UsageError
from apitracker.tracker.put_metric_data import (
    Batch,
    Published,
    UnpublishedError,
    fingerprint,
    publish,
)
from apitracker.tracker.retries import Clock, Poster

BATCH_SECONDS: Final = 120.0  # of patience with one batch, its retries included


class InterruptedRunError(ServiceError):
    """Not all batches could be published; the message says which, and how to go on."""


class Outlook(Struct, frozen=True):
    """What would become of batches now: *late* is what CloudWatch would refuse for its time."""

    batches: int
    datums: int
    calls: int
    late: list[Datum]


def outlook(batches: Iterable[Batch], now: float) -> Outlook:
    """Say what would be sent at *now*, in seconds since 1970."""
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
    Say how many of *batches* were published before, by what an `InterruptedRunError` run told.

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
    """Read the ``FINGERPRINT:BATCHES`` of an `InterruptedRunError`. `UsageError` if it is none."""
    found = re.fullmatch(r"([0-9a-f]{12}):(\d{1,9})", resume)
    if not found:
        raise UsageError(f"{resume}: give what the stopped run printed, as 0123456789ab:17")
    return found[1], int(found[2])


def send(
    batches: Sequence[Batch],
    poster: Poster,
    clock: Clock,
    *,
    begin: int = 0,
    progress: Callable[[int], None] = lambda _: None,
) -> Published:
    """
    Publish *batches* from number *begin* on, one after the other; *progress* is told how many.

    `InterruptedRunError` if one could not be sent within `BATCH_SECONDS`.
    """
    published = Published()
    for number, batch in enumerate(batches[begin:], begin):
        try:
            one = publish([batch], poster, clock, deadline=clock.now() + BATCH_SECONDS)
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
    """Say what is not known of batch *number*, or nothing."""
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
