"""
Billed volume: the metrics, requests, payloads and bytes of a month, from a sample of its calls.

AWS does not document all of it, and records do not show all of it. The assumptions are here, and
docs/costs.md explains each.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from math import ceil
from typing import Final

from msgspec import Struct

from apitracker.core.balance import Balance
from apitracker.core.compression import inflate
from apitracker.core.counting import PartialCount, Query
from apitracker.core.counts import Counts
from apitracker.core.cutting import HEAD
from apitracker.core.fields import WIDTHS
from apitracker.core.metric_sets import (
    API,
    MetricSelection,
    MetricSet,
    Series,
    SeriesCounts,
    apply_rules,
    by_series,
    series_of,
    tell_counted,
)
from apitracker.core.overflow import overflow_budget, overflow_series, overflow_set
from apitracker.core.selection import Selection
from apitracker.costs.expected_distinct import Range, expected_distinct
from apitracker.errors import LogError, ServiceError, SourceError
from apitracker.logs import sources
from apitracker.logs.workers import ReadLog

MINUTE, HOUR, DAY = WIDTHS["minute"], WIDTHS["hour"], WIDTHS["day"]  # in seconds
MONTH: Final = 30 * DAY  # seconds, as in AWS's own examples
HOURS_A_MONTH: Final = MONTH // HOUR
BESIDE: Final = ("recipientAccountId", "eventCategory")  # the fields of metrics
MANAGEMENT: Final = ("Management", "")  # an old record does not say, and is of a management event

# Neither is documented: how records come to a log group, and how they are cut into payloads.
PAYLOAD_SECONDS: Final = MINUTE  # of one account and region in one payload
PAYLOAD_CALLS: Final = 1_000
FILE_SECONDS: Final = 300  # CloudTrail's: "about every 5 minutes" to S3
RECORD_BYTES: Final = 1_300  # where none could be weighed: real records have 1,274
WEIGHED: Final = 16  # one log in so many is read again, for the length of its records
PREDECESSOR_DATUMS: Final = 20  # in one of its requests


class Span(Struct, frozen=True, rename="camel"):
    """
    The sample: *calls* between *first* and *last*, in seconds since 1970, taken for *seconds*.

    *left_out* are calls from more than a month before the last one.
    """

    calls: int
    first: int
    last: int
    left_out: int

    @property
    def seconds(self) -> int:
        """The length of the sample, an hour at least."""
        return max(self.last + 1 - self.first, HOUR)

    def month(self, number: float) -> int:
        """Scale *number* in the sample up to a month, at the same pace."""
        return ceil(number * MONTH / self.seconds)


class SetVolume(Struct, frozen=True, rename="camel"):
    """
    A metric set in a month: its *metrics* within the budget, and its *requests*.

    *sought* is the number of metrics without a budget. *calls* are those that it counts.
    *metric_hours* are the hours in which a metric has data, added up over all metrics, and
    *sought_hours* the same without a budget; *busiest_hour* is how many metrics had data in one
    hour of the sample.
    """

    name: str
    calls: int
    metrics: Range
    sought: Range
    metric_hours: int
    sought_hours: int
    busiest_hour: int
    requests: int


class Volume(Struct, frozen=True, rename="camel"):
    """The volume of a month. The fields of the *predecessor* are those of version 0.1.1."""

    calls: int
    management: int
    record_bytes: int
    payloads: int
    claims: int
    files: int
    digests: int
    sets: list[SetVolume]
    predecessor_metrics: Range
    predecessor_hours: int
    predecessor_requests: int

    @property
    def requests(self) -> int:
        """PutMetricData requests of all sets."""
        return sum(each.requests for each in self.sets)


def make_query(metrics: MetricSelection, selection: Selection, max_bytes: int) -> Query:
    """Return the query for the counts that `measure` takes for *metrics*."""
    by = tuple(dict.fromkeys((*metrics.fields, *BESIDE)))
    return Query(by, selection, max_bytes)


class Scale:
    """A scale for records: weighs some of the logs that pass by, and has the bytes of a record."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._logs = self._bytes = self._records = 0

    def weigh(self, stream: Iterable[ReadLog | Balance]) -> Iterator[ReadLog | Balance]:
        """Pass *stream* on, and read one log in `WEIGHED` again."""
        for each in stream:
            if isinstance(each, ReadLog) and isinstance(each.result, PartialCount):
                balance = each.result.balance
                if balance.counted and each.found.size >= 0:
                    if self._logs % WEIGHED == 0:
                        self._weigh(each.found.name, balance)
                    self._logs += 1
            yield each

    def _weigh(self, name: str, balance: Balance) -> None:
        try:
            log = sources.fetch_log(name, max_bytes=self._max_bytes)
            if not isinstance(log.body, bytes):
                return
            text = inflate(log.body, name, max_bytes=self._max_bytes)
            first = next(text, b"")
            size = len(first) + sum(map(len, text))
        except (LogError, SourceError, ServiceError):
            return  # it was read a moment ago; another log will do
        # Only a log that holds nothing but calls, as CloudTrail writes it, tells their length.
        if first.startswith(HEAD) and not balance.skipped and not balance.rejected:
            self._bytes += size
            self._records += balance.received

    @property
    def record_bytes(self) -> int:
        """The bytes of a record; `RECORD_BYTES` where nothing could be weighed."""
        return round(self._bytes / self._records) if self._records else RECORD_BYTES


def measure(
    counts: Counts, metrics: MetricSelection, *, budget: int, record_bytes: int
) -> tuple[Span, Volume]:
    """
    Return the span of *counts*, of a `make_query`, and the volume of a month; at least one call.

    Of a sample that is longer than a month the end is taken. *budget* is that of each metric set.
    """
    last = max(counts.times("second"))
    kept = counts.only([second > last - MONTH for second in counts.times("second")])
    span = Span(kept.calls, min(kept.times("second")), last, counts.calls - kept.calls)
    published = apply_rules(kept, metrics.rules)
    payloads = {where: ceil(n / PAYLOAD_CALLS) for where, n in _windows(kept).items()}
    counted = [tell_counted(published, each) for each in metrics.sets]
    claimed = published.only([any(rows) for rows in zip(*counted, strict=True)])
    management = kept.only([each in MANAGEMENT for each in kept.texts("eventCategory")])
    files = _windows(management, FILE_SECONDS)
    predecessor = by_series(kept, API)
    predecessor_metrics = _sought(predecessor, span)
    volume = Volume(
        calls=span.month(kept.calls),
        management=span.month(management.calls),
        record_bytes=record_bytes,
        payloads=span.month(sum(payloads.values())),
        claims=span.month(_holding(payloads, _windows(claimed))),
        files=span.month(len(files)),
        digests=len({(account, region) for _, account, region in files}) * HOURS_A_MONTH,
        sets=[
            _set_volume(each, published.only(rows), payloads, span=span, budget=budget)
            for each, rows in zip(metrics.sets, counted, strict=True)
        ],
        predecessor_metrics=predecessor_metrics,
        predecessor_hours=_hours(_hours_with_data(predecessor), span, predecessor_metrics.likely),
        predecessor_requests=span.month(_predecessor_requests(kept, payloads)),
    )
    return span, volume


DeliveryWindow = tuple[int, str, str]
"""A part of time, an account and a region: the records that CloudTrail delivers together."""


def _windows(counts: Counts, seconds: int = PAYLOAD_SECONDS) -> Counter[DeliveryWindow]:
    """Count the calls of each part of time, account and region."""
    found: Counter[DeliveryWindow] = Counter()
    accounts, regions = counts.texts("recipientAccountId"), counts.texts("awsRegion")
    columns = zip(counts.times("second"), accounts, regions, counts.numbers, strict=True)
    for second, account, region, calls in columns:
        found[second // seconds, account, region] += calls
    return found


def _holding(payloads: Mapping[DeliveryWindow, int], calls: Mapping[DeliveryWindow, int]) -> int:
    """Return the number of *payloads* that hold some of *calls*, at most."""
    return sum(min(payloads[where], n) for where, n in calls.items())


def _set_volume(
    metrics: MetricSet,
    mine: Counts,
    payloads: Mapping[DeliveryWindow, int],
    *,
    span: Span,
    budget: int,
) -> SetVolume:
    counts = by_series(mine, metrics)
    hours = _hours_with_data(counts)
    sought = _sought(counts, span)
    overflow = _overflow(counts, budget)
    bounded = _bounded(sought, {series for series, _ in counts}, overflow, metrics, budget)
    # A payload has a batch of each set: no more metrics than calls. Overflow of the set
    # api is in another namespace, and so in a batch of its own.
    parts = [mine]
    if overflow and overflow_set(metrics) != metrics:
        over = [each in overflow for each in series_of(mine, metrics)]
        parts = [mine.only([not each for each in over]), mine.only(over)]
    return SetVolume(
        metrics.name,
        calls=span.month(mine.calls),
        metrics=bounded,
        sought=sought,
        metric_hours=_hours(hours, span, bounded.likely),
        sought_hours=_hours(hours, span, sought.likely),
        busiest_hour=max(Counter(hour for _, hour in hours).values(), default=0),
        requests=span.month(sum(_holding(payloads, _windows(some)) for some in parts)),
    )


def _hours_with_data(counts: SeriesCounts) -> set[tuple[Series, int]]:
    """Return each series of *counts* with each hour in which it has data."""
    return {(series, second // HOUR) for series, second in counts}


def _hours(hours: set[tuple[Series, int]], span: Span, metrics: int) -> int:
    """Return the *hours* of a month: at most all of them for each of so many *metrics*."""
    return min(span.month(len(hours)), metrics * HOURS_A_MONTH)


def _sought(counts: SeriesCounts, span: Span) -> Range:
    """Return the number of metrics of a month, from the *counts* of some of them."""
    unit = HOUR if ceil(span.seconds / HOUR) >= DAY // HOUR else MINUTE
    seen = Counter(series for series, _ in {(series, second // unit) for series, second in counts})
    return expected_distinct(seen.values(), ceil(span.seconds / unit), MONTH // unit)


def _overflow(counts: SeriesCounts, budget: int) -> set[Series]:
    """Return the series first seen after *budget* others."""
    in_time = sorted(counts, key=lambda key: key[1])  # by second, else in the order of the counts
    series = dict.fromkeys(series for series, _ in in_time)
    return set(islice(series, budget, None))


def _bounded(
    sought: Range, seen: set[Series], overflow: set[Series], metrics: MetricSet, budget: int
) -> Range:
    """
    Return the number of metrics that a *budget* leaves, those of the *overflow* included.

    A series that has not been *seen* may stand beside any that was.
    """
    most = overflow_budget(budget)

    def bounded(number: int, overflow: set[Series]) -> int:
        if number <= budget:
            return number
        standing = {overflow_series(series, metrics) for series in overflow}
        names = {series.name for series in standing} if len(standing) > most else ()
        return budget + min(len(standing), most) + len(names)

    high = bounded(sought.high, seen)
    known = bounded(sought.low, overflow)
    return Range(known, known if overflow else bounded(sought.likely, seen), high)


def _predecessor_requests(counts: Counts, payloads: Mapping[DeliveryWindow, int]) -> int:
    """Return the requests of version 0.1.1, with a datum for each metric and second."""
    datums = counts.by(("second", "recipientAccountId", "awsRegion", "eventName", "eventSource"))
    each = _windows(Counts(datums.fields, dict.fromkeys(datums.rows, 1)))
    return sum(max(payloads[where], ceil(n / PREDECESSOR_DATUMS)) for where, n in each.items())
