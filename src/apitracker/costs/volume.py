"""
What a sample of calls comes to in a month: metrics, requests, payloads, bytes.

What AWS does not say, and what cannot be known from records, is assumed here; docs/costs.md has
each of it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import ceil
from operator import itemgetter
from typing import Final

from msgspec import Struct

from apitracker.core.compression import inflate
from apitracker.core.documents import HEAD
from apitracker.core.metric_sets import (
    ABSENT,
    API,
    Choice,
    MetricSet,
    Series,
    budget_of_others,
    other,
    others,
    project,
    sift,
)
from apitracker.core.selection import Selection
from apitracker.core.tally import WIDTHS, Row
from apitracker.costs.expected_distinct import Range, kinds
from apitracker.errors import LogError, ServiceError, SourceError
from apitracker.logs import sources
from apitracker.logs.workers import Question, Reading, Unread

MINUTE, HOUR, DAY = WIDTHS["minute"], WIDTHS["hour"], WIDTHS["day"]  # in seconds
MONTH: Final = 30 * DAY  # seconds, as AWS's own examples have it
HOURS: Final = MONTH // HOUR
BESIDE: Final = ("recipientAccountId", "eventCategory")  # of calls, beside what metrics take
MANAGEMENT: Final = ("Management", "")  # old records do not say, and are of management events

# Neither is documented: how records come to a log group, and how they are cut into payloads.
PAYLOAD_SECONDS: Final = MINUTE  # of one account and region in one payload
PAYLOAD_CALLS: Final = 1_000
FILE_SECONDS: Final = 300  # CloudTrail's: "about every 5 minutes" to S3
RECORD_BYTES: Final = 1_300  # where it cannot be seen: real records have 1,274
WEIGHED: Final = 16  # one log in so many is read again, to see how long records are
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
        """How long it is; what is shorter than an hour is taken for one."""
        return max(self.last + 1 - self.first, HOUR)

    def month(self, number: float) -> int:
        """Say how many in a month *number* in the sample come to, at the same pace."""
        return ceil(number * MONTH / self.seconds)


class SetUsage(Struct, frozen=True, rename="camel"):
    """
    A metric set in a month: its *metrics*, as far as the budget goes, and its *requests*.

    *sought* is how many metrics there would be without a budget. *calls* are those that it counts.
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


class Usage(Struct, frozen=True, rename="camel"):
    """What a month comes to. Those of the *predecessor* are of version 0.1.1."""

    calls: int
    management: int
    record_bytes: int
    payloads: int
    claims: int
    files: int
    digests: int
    sets: list[SetUsage]
    predecessor_metrics: Range
    predecessor_hours: int
    predecessor_requests: int

    @property
    def requests(self) -> int:
        """PutMetricData requests of all sets."""
        return sum(each.requests for each in self.sets)


def question(choice: Choice, selection: Selection, max_bytes: int) -> Question:
    """Ask of each log what it takes to estimate what *choice* costs."""
    by = tuple(dict.fromkeys((*choice.fields, *BESIDE)))
    return Question(by, max_bytes, selection)


class Scale:
    """Weighs records as they pass by: how many bytes do they have?"""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._logs = self._bytes = self._records = 0

    def weigh(self, readings: Iterable[Reading | Unread]) -> Iterator[Reading | Unread]:
        """Give *readings* on, and read one log in `WEIGHED` again."""
        for reading in readings:
            if isinstance(reading, Reading) and reading.index and reading.found.size >= 0:
                if self._logs % WEIGHED == 0:
                    self._weigh(reading)
                self._logs += 1
            yield reading

    def _weigh(self, reading: Reading) -> None:
        name = reading.found.name
        try:
            log = sources.read(name, max_bytes=self._max_bytes)
            if not isinstance(log.body, bytes):
                return
            text = inflate(log.body, name, max_bytes=self._max_bytes)
            first = next(text, b"")
            size = len(first) + sum(map(len, text))
        except (LogError, SourceError, ServiceError):
            return  # it was there a moment ago; another log will do
        # Other forms have more in them than records, and so have logs with what is no call.
        if first.startswith(HEAD) and not reading.skipped and not reading.rejected:
            self._bytes += size
            self._records += reading.received

    @property
    def record_bytes(self) -> int:
        """The bytes of a record; `RECORD_BYTES` where nothing could be weighed."""
        return round(self._bytes / self._records) if self._records else RECORD_BYTES


def measure(
    counts: Mapping[Row, int], by: Sequence[str], choice: Choice, *, budget: int, record_bytes: int
) -> tuple[Span, Usage]:
    """
    Say what *counts* by the fields of `question` come to in a month; there is at least one call.

    Of a sample that is longer than a month the end is taken. *budget* is that of each metric set.
    """
    at = by.index("second")
    last = max(row[at] for row in counts)
    kept = {row: n for row, n in counts.items() if row[at] > last - MONTH}
    calls = sum(kept.values())
    span = Span(calls, min(row[at] for row in kept), last, sum(counts.values()) - calls)
    published = sift(kept, by, choice.rules)
    payloads = {where: ceil(n / PAYLOAD_CALLS) for where, n in _windows(kept, by).items()}
    claimed = {
        row: n
        for row, n in published.items()
        if any(_counts(each, row, by) for each in choice.sets)
    }
    category = by.index("eventCategory")
    management = {row: n for row, n in kept.items() if row[category] in MANAGEMENT}
    files = _windows(management, by, FILE_SECONDS)
    predecessor = project(kept, by, API)
    predecessor_metrics = _sought(predecessor, span)
    usage = Usage(
        calls=span.month(calls),
        management=span.month(sum(management.values())),
        record_bytes=record_bytes,
        payloads=span.month(sum(payloads.values())),
        claims=span.month(_holding(payloads, _windows(claimed, by))),
        files=span.month(len(files)),
        digests=len({where[1:] for where in files}) * HOURS,
        sets=[
            _set_usage(each, published, by, payloads, span=span, budget=budget)
            for each in choice.sets
        ],
        predecessor_metrics=predecessor_metrics,
        predecessor_hours=_hours(_hours_with_data(predecessor), span, predecessor_metrics.likely),
        predecessor_requests=span.month(_predecessor_requests(kept, by, payloads)),
    )
    return span, usage


Window = tuple[int, str, str]
"""A part of time, an account and a region."""


def _windows(
    counts: Mapping[Row, int], by: Sequence[str], seconds: int = PAYLOAD_SECONDS
) -> Counter[Window]:
    """Count the calls of each part of time, account and region."""
    pick = itemgetter(*map(by.index, ("second", "recipientAccountId", "awsRegion")))
    found: Counter[Window] = Counter()
    for row, n in counts.items():
        second, account, region = pick(row)
        found[second // seconds, account, region] += n
    return found


def _counts(metrics: MetricSet, row: Row, by: Sequence[str]) -> bool:
    """Whether *metrics* count the calls of *row*."""
    return not metrics.names or row[by.index(metrics.metric)] in metrics.names


def _holding(payloads: Mapping[Window, int], calls: Mapping[Window, int]) -> int:
    """Say how many *payloads* hold some of *calls*, at most."""
    return sum(min(payloads[where], n) for where, n in calls.items())


def _set_usage(  # noqa: PLR0913 - what a sample is
    metrics: MetricSet,
    published: Mapping[Row, int],
    by: Sequence[str],
    payloads: Mapping[Window, int],
    *,
    span: Span,
    budget: int,
) -> SetUsage:
    counts = project(published, by, metrics)
    hours = _hours_with_data(counts)
    sought = _sought(counts, span)
    beyond = _beyond(counts, budget)
    bounded = _bounded(sought, {row[:-1] for row in counts}, beyond, metrics, budget)
    mine = {row: n for row, n in published.items() if _counts(metrics, row, by)}
    # A payload has a page of each set: no more metrics than calls. What is beyond the budget of
    # the set api is in another namespace, and so in a page of its own.
    parts = [mine]
    if beyond and others(metrics) != metrics:
        pick = itemgetter(*map(by.index, (metrics.metric, *metrics.dimensions)))
        apart = {
            row: n for row, n in mine.items() if tuple(v or ABSENT for v in pick(row)) in beyond
        }
        parts = [{row: n for row, n in mine.items() if row not in apart}, apart]
    return SetUsage(
        metrics.name,
        calls=span.month(sum(mine.values())),
        metrics=bounded,
        sought=sought,
        metric_hours=_hours(hours, span, bounded.likely),
        sought_hours=_hours(hours, span, sought.likely),
        busiest_hour=max(Counter(hour for _, hour in hours).values(), default=0),
        requests=span.month(sum(_holding(payloads, _windows(some, by)) for some in parts)),
    )


def _hours_with_data(counts: Mapping[Row, int]) -> set[tuple[Row, int]]:
    """Return each series of *counts*, by series and second, with each hour in which it has data."""
    return {(row[:-1], row[-1] // HOUR) for row in counts}


def _hours(hours: set[tuple[Row, int]], span: Span, metrics: int) -> int:
    """Return the *hours* of a month: at most all of them for each of so many *metrics*."""
    return min(span.month(len(hours)), metrics * HOURS)


def _sought(counts: Mapping[Row, int], span: Span) -> Range:
    """Say how many metrics a month has of which *counts*, by series and second, has some."""
    unit = HOUR if ceil(span.seconds / HOUR) >= DAY // HOUR else MINUTE
    seen = Counter(series for series, _ in {(row[:-1], row[-1] // unit) for row in counts})
    return kinds(seen.values(), ceil(span.seconds / unit), MONTH // unit)


def _beyond(counts: Mapping[Row, int], budget: int) -> set[Series]:
    """Give the series that come when as many others as the *budget* has are there before them."""
    series = dict.fromkeys(row[:-1] for row in sorted(counts, key=itemgetter(-1)))
    return set(islice(series, budget, None))


def _bounded(
    sought: Range, seen: set[Series], beyond: set[Series], metrics: MetricSet, budget: int
) -> Range:
    """
    Say how many metrics a *budget* leaves, with those that stand for what is *beyond* it.

    What has not been *seen* may stand beside anything that was.
    """
    most = budget_of_others(budget)

    def bounded(number: int, beyond: set[Series]) -> int:
        if number <= budget:
            return number
        standing = {other(series, metrics) for series in beyond}
        further = {series[0] for series in standing} if len(standing) > most else ()
        return budget + min(len(standing), most) + len(further)

    high = bounded(sought.high, seen)
    known = bounded(sought.low, beyond)
    return Range(known, known if beyond else bounded(sought.likely, seen), high)


def _predecessor_requests(
    counts: Mapping[Row, int], by: Sequence[str], payloads: Mapping[Window, int]
) -> int:
    """Say how many requests version 0.1.1 makes, of a datum for each metric and second."""
    pick = itemgetter(*map(by.index, ("eventName", "eventSource")))
    second, account, region = map(by.index, ("second", "recipientAccountId", "awsRegion"))
    datums = {(row[second], row[account], row[region], *pick(row)) for row in counts}
    each = Counter((d[0] // PAYLOAD_SECONDS, d[1], d[2]) for d in datums)
    return sum(max(payloads[where], ceil(n / PREDECESSOR_DATUMS)) for where, n in each.items())
