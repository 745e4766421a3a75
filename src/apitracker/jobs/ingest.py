"""Ingest logs: add their counts to the store, a batch of logs at a time."""

import time
from collections.abc import Iterable, Iterator
from typing import Final

from apitracker.core.balance import Balance
from apitracker.core.counting import PartialCount, Query
from apitracker.core.model import Key
from apitracker.logs.sources import Found
from apitracker.logs.workers import ReadLog
from apitracker.store.database import KnownPlace, Store

BATCH_EVENTS: Final = 250_000  # enough that opening the store costs little beside reading them
BATCH_SECONDS: Final = 2.0  # until others see the logs that were read


def ingest_query(max_bytes: int) -> Query:
    """Return the query for the counts that the store keeps."""
    return Query(Key._fields, max_bytes=max_bytes)


def skip_known(stream: Iterable[Found | Balance], store: Store) -> Iterator[Found | Balance]:
    """
    Return *stream* with a balance for each log that was ingested before and has not changed.

    A log that could not be read has one too, as long as it is of no use to try again.
    """
    known = store.known()
    for each in stream:
        place = KnownPlace(each.path, each.etag) if isinstance(each, Found) and each.etag else None
        if place in known.read:
            yield Balance(known=1)
        elif place in known.unread:
            yield Balance(known_unread=1)
        else:
            yield each


def ingest(
    stream: Iterable[ReadLog | Balance], store: Store, *, mix: bool = False
) -> Iterator[Balance]:
    """Add the logs of *stream* to *store* as `add_batches` does, and compact it after the last."""
    yield from add_batches(stream, store, mix=mix)
    store.compact()


def add_batches(
    stream: Iterable[ReadLog | Balance], store: Store, *, mix: bool
) -> Iterator[Balance]:
    """
    Add the logs of *stream* to *store*, and return their balances as they are added.

    Each batch is added whole or not at all: whenever this ends, a second run completes it. A store
    that is not there is made when the first log has been read. *mix* is that of `Store.add`.
    """
    batch: list[ReadLog] = []
    events = 0
    is_wanted = store.path.exists()
    begun = time.monotonic()
    for each in stream:
        if isinstance(each, Balance):
            yield each
            continue
        batch.append(each)
        if isinstance(each.result, PartialCount):
            events += each.result.balance.counted
            is_wanted = True
        full = events >= BATCH_EVENTS or time.monotonic() - begun > BATCH_SECONDS
        if full and is_wanted:
            yield store.add(batch, mix=mix)
            batch, events, begun = [], 0, time.monotonic()
    if not is_wanted:
        unread = (each.result for each in batch if not isinstance(each.result, PartialCount))
        yield Balance(unread=tuple(unread))
        return
    if batch:
        yield store.add(batch, mix=mix)
