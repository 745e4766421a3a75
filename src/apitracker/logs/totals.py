"""Readings are put together: each event counts once, and every record is accounted for."""

from array import array
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from apitracker.core.model import Rejected
from apitracker.core.tally import WIDTHS, Row
from apitracker.logs.sources import LeftOut
from apitracker.logs.workers import NO_EVENT, OUTSIDE, Question, Reading, Unread


class Balance(Struct):
    """
    What became of every log and record: received = counted + duplicates + skipped + rejected.

    *known* logs are, byte for byte, ones that were counted before: their records are not received
    again. *known_unread* logs could not be read before and have not changed. *outside* says how
    many of the counted were not selected. *rejected* and *unread* name the place and the reason of
    each. *left_out* are folders of other services than CloudTrail. *first* and *last* are the
    seconds of the first and the last call, selected or not, where the question has seconds.
    """

    logs: int = 0
    known: int = 0
    known_unread: int = 0
    received: int = 0
    counted: int = 0
    duplicates: int = 0
    outside: int = 0
    skipped: Counter[str] = msgspec.field(default_factory=Counter)
    rejected: list[tuple[str, Rejected]] = msgspec.field(default_factory=list)
    unread: list[Unread] = msgspec.field(default_factory=list)
    left_out: list[LeftOut] = msgspec.field(default_factory=list)
    first: int | None = None
    last: int | None = None

    def add(self, reading: Reading, *, duplicates: int = 0) -> None:
        """Take in a log of which *duplicates* more repeat events of other logs."""
        self.logs += 1
        self.received += reading.received
        self.duplicates += reading.duplicates + duplicates
        self.counted += len(reading.index) - duplicates
        self.skipped.update(reading.skipped)
        self.rejected.extend((reading.found.name, rejected) for rejected in reading.rejected)
        self._span(reading.first, reading.last)

    def update(self, other: "Balance") -> None:
        """Take in what *other* has taken in."""
        self.logs += other.logs
        self.known += other.known
        self.known_unread += other.known_unread
        self.received += other.received
        self.counted += other.counted
        self.duplicates += other.duplicates
        self.outside += other.outside
        self.skipped.update(other.skipped)
        self.rejected.extend(other.rejected)
        self.unread.extend(other.unread)
        self.left_out.extend(other.left_out)
        self._span(other.first, other.last)

    def _span(self, first: int | None, last: int | None) -> None:
        self.first = min((t for t in (self.first, first) if t is not None), default=None)
        self.last = max((t for t in (self.last, last) if t is not None), default=None)

    @property
    def holds(self) -> bool:
        """Whether every record is in one place. It always should be; users can see that it is."""
        rest = self.duplicates + self.skipped.total() + len(self.rejected)
        return self.received == self.counted + rest


def total(
    readings: Iterable[Reading | Unread], question: Question, balance: Balance
) -> Counter[Row]:
    """
    Count what *readings* hold by the question's fields; *balance* takes in each of them.

    A log that is the same as an earlier one is not counted again, nor is an event that stood in
    an earlier log, unless the question keeps duplicates.
    """
    logs: set[str] = set()
    events: set[int] = set()
    numbers: dict[Row, int] = {}
    totals: dict[tuple[int, int], int] = {}
    for reading in readings:
        if isinstance(reading, Unread):
            balance.unread.append(reading)
        elif reading.id in logs and not question.keep_duplicates:
            balance.known += 1
        else:
            logs.add(reading.id)
            counts, duplicates = _fresh(reading, events)
            _add(totals, _renumbered(reading, counts, numbers))
            balance.add(reading, duplicates=duplicates)
    balance.outside = totals.pop((0, OUTSIDE), 0)
    return _spell_out(totals, list(numbers), question)


def _renumbered(
    reading: Reading, counts: "array[int]", numbers: dict[Row, int]
) -> dict[tuple[int, int], int]:
    """Give the counts of *reading* by time and series, series as they are in *numbers*."""
    known = [numbers.setdefault(row, len(numbers)) for row in reading.table]
    known.append(OUTSIDE)  # so that known[OUTSIDE] is OUTSIDE
    pairs = zip(reading.times, map(known.__getitem__, reading.series), strict=True)
    return dict(zip(pairs, counts, strict=True))


def _add(totals: dict[tuple[int, int], int], counts: dict[tuple[int, int], int]) -> None:
    """Add *counts* to *totals*. Most keys are new, and no Python code runs for those."""
    for key in totals.keys() & counts.keys():
        counts[key] += totals[key]
    totals.update(counts)


def _fresh(reading: Reading, events: set[int]) -> "tuple[array[int], int]":
    """Give the counts of *reading* without what is in *events*, and take its events in."""
    counts = reading.counts
    duplicates = 0
    if not events.isdisjoint(reading.events):
        counts = reading.counts[:]
        for row, event in zip(reading.index, reading.events, strict=True):
            if event in events:
                counts[row] -= 1
                duplicates += 1
    events.update(reading.events)
    events.discard(NO_EVENT)
    return counts, duplicates


def _spell_out(
    totals: dict[tuple[int, int], int], table: list[Row], question: Question
) -> Counter[Row]:
    """Turn times and series' numbers into rows of the fields as they were asked for."""
    plain = {field: [row[at] for row in table] for at, field in enumerate(question.plain)}
    found = {key: n for key, n in totals.items() if n}
    times = [time for time, _ in found]
    numbers = [number for _, number in found]
    columns: list[Iterable[Any]] = []
    for field in question.by:
        if width := WIDTHS.get(field):
            columns.append([time - time % width for time in times])
        else:
            columns.append(map(plain[field].__getitem__, numbers))
    if not columns:
        return Counter({(): sum(found.values())} if found else {})
    return Counter(dict(zip(zip(*columns, strict=True), found.values(), strict=True)))
