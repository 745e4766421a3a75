"""
Counts become metric data: what CloudWatch is sent, in pages that it takes.

Limits are those of PutMetricData in botocore 1.44.5's CloudWatch model, and of its API reference:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
"""

import hashlib
import operator
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Final

import msgspec
from msgspec import Struct

from apitracker.core.metric_sets import ABSENT, Choice, MetricSet, project, sift
from apitracker.core.tally import Row

PAGE_DATUMS: Final = 1_000  # in one request
PAGE_BYTES: Final = 1_000_000  # of one request; 1 MB is read as the smaller one
OLDEST: Final = 14 * 86_400  # seconds before now
NEWEST: Final = 2 * 3_600  # seconds after now
NAME_LENGTH: Final = 255  # of a MetricName
VALUE_LENGTH: Final = 1_024  # of a dimension's value
REMEMBERED: Final = 1_024  # characters of a metric's name and values; AWS's own have some fifty


class Dimension(Struct, frozen=True, rename="pascal"):
    """A name and a value that, with others, tell metrics of one name apart."""

    name: str
    value: str


class Datum(Struct, frozen=True, rename="pascal"):
    """
    One metric in one minute.

    *timestamp* is the minute's start, in seconds since 1970. There were ``counts[i]`` seconds
    with ``values[i]`` calls each, so the statistics of the minute are the same as of one value
    for each second: Sum is the calls, Maximum the calls of the busiest second, SampleCount the
    seconds that had calls. A minute has 60 seconds, so there are never 150 values.
    """

    metric_name: str
    dimensions: tuple[Dimension, ...]
    timestamp: int
    values: list[int]
    counts: list[int]

    @property
    def calls(self) -> int:
        """How many calls it stands for."""
        return sum(map(operator.mul, self.values, self.counts))


class Page(Struct, frozen=True):
    """
    The data of one PutMetricData request, and its *body* in AWS JSON 1.0.

    *id* is the metric set's name and the page's number in it: ``api.0``.
    """

    id: str
    namespace: str
    datums: tuple[Datum, ...]
    body: bytes

    @property
    def calls(self) -> int:
        """How many calls it stands for."""
        return sum(datum.calls for datum in self.datums)


class Plan(Struct, frozen=True):
    """What is to be sent, a page a request, and how many calls are *excluded* by a rule."""

    pages: list[Page]
    excluded: int = 0


def plan(counts: Mapping[Row, int], choice: Choice) -> Plan:
    """
    Plan how *counts* by the fields of *choice* are published.

    The same counts give the same pages, whatever the time and the order.
    """
    kept = sift(counts, choice.fields, choice.rules)
    pages = [
        page
        for metrics in choice.sets
        for page in paginate(project(kept, choice.fields, metrics), metrics)
    ]
    return Plan(pages, sum(counts.values()) - sum(kept.values()))


def paginate(counts: Mapping[Row, int], metrics: MetricSet) -> list[Page]:
    """Cut *counts* by the fields of *metrics* into pages; the same counts give the same pages."""
    pages = _pages(_datums(counts, metrics), metrics.namespace)
    return [
        Page(f"{metrics.name}.{number}", metrics.namespace, datums, body)
        for number, (datums, body) in enumerate(pages)
    ]


def timely(datums: Iterable[Datum], now: float) -> tuple[list[Datum], list[Datum]]:
    """
    Part what CloudWatch takes at *now*, in seconds since 1970, from what it refuses.

    It refuses a whole request for one datum older than two weeks or over two hours ahead.
    """
    taken: list[Datum] = []
    refused: list[Datum] = []
    for datum in datums:
        fits = now - OLDEST <= datum.timestamp <= now + NEWEST
        (taken if fits else refused).append(datum)
    return taken, refused


def request(namespace: str, datums: Sequence[Datum]) -> bytes:
    """Write the body of a PutMetricData request in AWS JSON 1.0."""
    return _encode({"Namespace": namespace, "MetricData": datums})


def valid(text: str, length: int) -> str:
    """
    Make *text* a name or value that CloudWatch takes: ASCII, no control character, not blank.

    What is taken as it is stays as it is, and nothing is `ABSENT`. In anything else the bad
    characters become ``_`` and a hash of the whole is put behind, so that two different texts
    do not become one.
    """
    if not text:
        return ABSENT
    if len(text) <= length and _TAKEN.fullmatch(text) and not _HASHED.search(text):
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    plain = _BAD.sub("_", text[:length].strip())
    return f"{plain[: length - _DIGITS - 1]}~{digest}"


_DIGITS: Final = 12
_TAKEN: Final = re.compile(r"(?!:)[ -~]*[!-~][ -~]*")
_HASHED: Final = re.compile(r"~[0-9a-f]{12}\Z")  # a name that only looks as if it were made here
_BAD: Final = re.compile(r"[^ -~]|\A:")
_encode = msgspec.json.Encoder().encode


def _datums(counts: Mapping[Row, int], metrics: MetricSet) -> Iterator[Datum]:
    """Give a datum for each metric and minute, in the order of name, dimensions and minute."""
    minutes: dict[Row, list[int]] = {}
    for row, n in counts.items():
        second = row[-1]
        minutes.setdefault((*row[:-1], second - second % 60), []).append(n)
    for series in sorted(minutes):
        yield _datum(series, minutes[series], metrics)


def _datum(series: Row, seconds: list[int], metrics: MetricSet) -> Datum:
    # Names without end are made each time, so that what is remembered stays small.
    names = _names if sum(map(len, series[:-1])) <= REMEMBERED else _names.__wrapped__
    name, dimensions = names(series[:-1], metrics.dimensions)
    tally: dict[int, int] = {}  # a Counter takes longer than the few values that there are
    for calls in sorted(seconds):
        tally[calls] = tally.get(calls, 0) + 1
    return Datum(name, dimensions, series[-1], list(tally), list(tally.values()))


@lru_cache(maxsize=4_096)
def _names(series: Row, dimensions: tuple[str, ...]) -> tuple[str, tuple[Dimension, ...]]:
    """Make the name and the dimensions of a metric, as CloudWatch takes them."""
    name, *values = series
    pairs = zip(dimensions, values, strict=True)
    return valid(name, NAME_LENGTH), tuple(Dimension(d, valid(v, VALUE_LENGTH)) for d, v in pairs)


def _pages(datums: Iterable[Datum], namespace: str) -> Iterator[tuple[tuple[Datum, ...], bytes]]:
    """Cut *datums* into what PutMetricData takes, and write the requests."""
    rest = iter(datums)
    while some := tuple(islice(rest, PAGE_DATUMS)):
        yield from _halved(some, namespace)


def _halved(datums: tuple[Datum, ...], namespace: str) -> Iterator[tuple[tuple[Datum, ...], bytes]]:
    """Make one page of *datums*, or more where names are so long that one would be too large."""
    body = request(namespace, datums)
    if len(body) <= PAGE_BYTES:
        yield datums, body
    else:
        middle = len(datums) // 2
        yield from _halved(datums[:middle], namespace)
        yield from _halved(datums[middle:], namespace)
