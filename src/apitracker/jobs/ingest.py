"""Readings go into the store, a batch at a time."""

import time
from collections.abc import Iterable, Iterator
from typing import Final

from apitracker.core.model import Key
from apitracker.logs.sources import Found
from apitracker.logs.totals import Balance
from apitracker.logs.workers import Question, Reading, Unread
from apitracker.store.database import Store

BATCH_EVENTS: Final = 250_000  # enough that opening the store costs little beside reading them
BATCH_SECONDS: Final = 2.0  # what was read is seen by others after this long


def question(max_bytes: int) -> Question:
    """Ask of each log what the store keeps of it."""
    return Question(Key._fields, max_bytes)


def unknown(founds: Iterable[Found], store: Store, balance: Balance) -> Iterator[Found]:
    """
    Leave out logs that were ingested before and have not changed; *balance* takes them in.

    So are those that could not be read, as long as it is of no use to try again.
    """
    known = store.known()
    for found in founds:
        place = (found.path, found.etag)
        if found.etag and place in known.read:
            balance.known += 1
        elif found.etag and place in known.unread:
            balance.known_unread += 1
        else:
            yield found


def ingest(
    readings: Iterable[Reading | Unread], store: Store, balance: Balance, *, mix: bool = False
) -> None:
    """
    Add *readings* to *store*; *balance* takes them in.

    Each batch is added whole or not at all, so whatever ends this, a second run completes it. A
    store that is not there is made when the first log has been read. *mix* is that of `Store.add`.
    """
    batch: list[Reading | Unread] = []
    events = 0
    is_wanted = store.path.exists()
    begun = time.monotonic()
    for reading in readings:
        batch.append(reading)
        if isinstance(reading, Reading):
            events += len(reading.index)
            is_wanted = True
        full = events >= BATCH_EVENTS or time.monotonic() - begun > BATCH_SECONDS
        if full and is_wanted:
            store.add(batch, balance, mix=mix)
            batch, events, begun = [], 0, time.monotonic()
    if is_wanted:
        if batch:
            store.add(batch, balance, mix=mix)
        store.compact()
    else:
        balance.unread += (each for each in batch if isinstance(each, Unread))
