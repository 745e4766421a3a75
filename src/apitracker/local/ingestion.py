"""Readings go into the store, a batch at a time."""

import time
from collections.abc import Iterable, Iterator
from typing import Final

from apitracker.core.model import Key
from apitracker.local.readings import Question, Reading, Unread
from apitracker.local.sources import Found
from apitracker.local.store import Store
from apitracker.local.totals import Balance

BATCH_EVENTS: Final = 250_000  # enough that opening the store costs little beside reading them
BATCH_SECONDS: Final = 2.0  # what was read is seen by others after this long


def question(max_bytes: int) -> Question:
    """Ask of each log what the store keeps of it."""
    return Question(Key._fields, max_bytes)


def unknown(founds: Iterable[Found], store: Store, balance: Balance) -> Iterator[Found]:
    """Leave out what was ingested before and has not changed since; *balance* takes it in."""
    known = store.known()
    for found in founds:
        if found.etag and (found.name, found.etag) in known:
            balance.known += 1
        else:
            yield found


def ingest(readings: Iterable[Reading | Unread], store: Store, balance: Balance) -> None:
    """
    Add *readings* to *store*; *balance* takes them in.

    Each batch is added whole or not at all, so whatever ends this, a second run completes it.
    """
    batch: list[Reading | Unread] = []
    events = 0
    begun = time.monotonic()
    for reading in readings:
        batch.append(reading)
        events += len(reading.index) if isinstance(reading, Reading) else 0
        if events >= BATCH_EVENTS or time.monotonic() - begun > BATCH_SECONDS:
            store.add(batch, balance)
            batch, events, begun = [], 0, time.monotonic()
    store.add(batch, balance)
    store.compact()
