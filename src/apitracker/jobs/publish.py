"""Counts of log files are published at once: pages that can be gone on with after a failure."""

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec import Struct

from apitracker.core.metrics import Datum, Page, timely
from apitracker.errors import ServiceError, UsageError
from apitracker.tracker.put_metric_data import Published, UnpublishedError, publish
from apitracker.tracker.retries import Clock, Poster

PAGE_SECONDS: Final = 120.0  # of patience with one page, its retries included


class InterruptedRunError(ServiceError):
    """Not all pages could be published; the message says which, and how to go on."""


class Outlook(Struct, frozen=True):
    """What would become of pages now: *late* is what CloudWatch would refuse for its time."""

    pages: int
    datums: int
    calls: int
    late: list[Datum]


def outlook(pages: Iterable[Page], now: float) -> Outlook:
    """Say what would be sent at *now*, in seconds since 1970."""
    sent, datums, calls = 0, 0, 0
    late: list[Datum] = []
    for page in pages:
        taken, refused = timely(page.datums, now)
        sent += bool(taken)
        datums += len(taken)
        calls += sum(datum.calls for datum in taken)
        late += refused
    return Outlook(sent, datums, calls, late)


def mark(pages: Iterable[Page]) -> str:
    """Name *pages* by what is in them: the same logs, options and rules give the same name."""
    digest = hashlib.sha256()
    for page in pages:
        digest.update(hashlib.sha256(page.body).digest())
    return digest.hexdigest()[:12]


def done(resume: str, pages: Sequence[Page]) -> int:
    """
    Say how many of *pages* were published before, by what an `InterruptedRunError` run told.

    `UsageError` if that run had other pages: publishing some of them again would count them twice.
    """
    begun, number = parse_resume(resume)
    if begun != mark(pages) or number > len(pages):
        raise UsageError(
            f"{resume}: the logs, --since, --until or the rules are not those of the run that "
            "stopped, so its pages are not known any more; give the same, --until above all"
        )
    return number


def parse_resume(resume: str) -> tuple[str, int]:
    """Read ``MARK:PAGES``, as an `InterruptedRunError` run told. `UsageError` if it is none."""
    found = re.fullmatch(r"([0-9a-f]{12}):(\d{1,9})", resume)
    if not found:
        raise UsageError(f"{resume}: give what the stopped run printed, as 0123456789ab:17")
    return found[1], int(found[2])


def send(
    pages: Sequence[Page],
    poster: Poster,
    clock: Clock,
    *,
    begin: int = 0,
    progress: Callable[[int], None] = lambda _: None,
) -> Published:
    """
    Publish *pages* from number *begin* on, one after the other; *progress* is told how many.

    `InterruptedRunError` if one could not be sent within `PAGE_SECONDS`.
    """
    published = Published()
    for number, page in enumerate(pages[begin:], begin):
        try:
            one = publish([page], poster, clock, deadline=clock.now() + PAGE_SECONDS)
        except UnpublishedError as e:
            raise InterruptedRunError(
                f"{_stopped(number, len(pages), published)}{_doubt(number + 1, e)}; "
                f"{e.__cause__ or e}; go on with the same command and "
                f"--resume {mark(pages)}:{number}"
            ) from e
        _add(published, one)
        progress(number + 1)
    return published


def _doubt(number: int, fault: UnpublishedError) -> str:
    """Say what is not known of page *number*, or nothing."""
    if fault.published.requests:
        return f", and a part of page {number:,}, which will count twice"
    if fault.in_doubt or fault.published.in_doubt:
        return f", and perhaps page {number:,}, which would then count twice"
    return ""


def _stopped(number: int, pages: int, published: Published) -> str:
    return (
        f"pages 1 to {number:,} of {pages:,} are published "
        f"({published.datums:,} datums and {published.calls:,} calls by this run)"
        if number
        else f"none of {pages:,} pages is published"
    )


def _add(published: Published, one: Published) -> None:
    published.requests += one.requests
    published.datums += one.datums
    published.calls += one.calls
    published.retries += one.retries
    published.in_doubt += one.in_doubt
    published.refused += one.refused
