"""
Counts become metric data: what CloudWatch is sent, in pages that it takes.

Limits are those of PutMetricData in botocore 1.44.5's CloudWatch model, and of its API reference:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
"""

import hashlib
import operator
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Final

import msgspec
from msgspec import Struct

from apitracker.core.selection import Selection, predicate
from apitracker.core.tally import Row

PAGE_DATUMS: Final = 1_000  # in one request
PAGE_BYTES: Final = 1_000_000  # of one request; 1 MB is read as the smaller one
OLDEST: Final = 14 * 86_400  # seconds before now
NEWEST: Final = 2 * 3_600  # seconds after now
NAME_LENGTH: Final = 255  # of a MetricName
VALUE_LENGTH: Final = 1_024  # of a dimension's value
USAGE: Final = "/Usage"  # behind a namespace: where counts are that are not by API
ABSENT: Final = "-"  # what the predecessor publishes for a missing value


class MetricSet(Struct, frozen=True):
    """One way to publish calls: a metric named by a field, with dimensions named by fields."""

    name: str
    namespace: str
    metric: str
    dimensions: tuple[str, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """What calls are told apart by, as `tally.group` takes it."""
        return (self.metric, *self.dimensions, "second")


API: Final = MetricSet("api", "API-COUNT", "eventName", ("awsRegion", "eventSource"))
OTHERS: Final = "__other__"  # what is counted together, beyond the budget of metrics


def api(namespace: str) -> MetricSet:
    """Give the set `API` in *namespace*."""
    return msgspec.structs.replace(API, namespace=namespace)


def others(namespace: str) -> MetricSet:
    """
    Give the set of the calls whose metrics are beyond the budget of `api`.

    It is in another namespace, so that whoever adds up *namespace* by name finds names of APIs.
    """
    return msgspec.structs.replace(API, name="other", namespace=f"{namespace}{USAGE}")


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


class Rules(Struct, frozen=True):
    """
    Which calls are published: those that *include* matches, but not those that *exclude* does.

    Both map fields to globs, as `Selection.where` does. An empty *include* matches all. Of
    *exclude* each field stands alone: one that matches is enough.
    """

    include: dict[str, tuple[str, ...]] = {}
    exclude: dict[str, tuple[str, ...]] = {}

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that have to be known, beside the second."""
        rules = (Selection(where=self.include), Selection(where=self.exclude))
        return tuple(dict.fromkeys(field for rule in rules for field in rule.plain))


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


def plan(
    counts: Mapping[Row, int], fields: Sequence[str], metrics: MetricSet, rules: Rules
) -> Plan:
    """
    Plan how *counts* by *fields* are published as *metrics*.

    *fields* begin with those of *metrics*; those of *rules* follow. The same counts give the same
    pages, whatever the time and the order.
    """
    kept, excluded = choose(counts, fields, metrics, rules)
    return Plan(paginate(kept, metrics), excluded)


def choose(
    counts: Mapping[Row, int], fields: Sequence[str], metrics: MetricSet, rules: Rules
) -> tuple[Mapping[Row, int], int]:
    """
    Give the counts by the fields of *metrics* that *rules* let through, and how many calls do not.

    *counts* and *fields* are as for `plan`.
    """
    kept, excluded = counts, 0
    if rules.include or rules.exclude:
        kept, excluded = _kept(counts, fields, rules)
    width = len(metrics.fields)
    if len(fields) > width or any("" in row for row in kept):
        # What is not published does not tell rows apart, nor do an absent name and ABSENT itself.
        merged: Counter[Row] = Counter()
        for row, n in kept.items():
            merged[tuple([ABSENT if value == "" else value for value in row[:width]])] += n
        kept = merged
    return kept, excluded


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


def _kept(
    counts: Mapping[Row, int], fields: Sequence[str], rules: Rules
) -> tuple[dict[Row, int], int]:
    """Give the counts that the rules let through, and how many calls they do not."""
    second = fields.index("second")
    included = predicate(Selection(where=rules.include), fields)
    excluded = [predicate(Selection(where={f: g}), fields) for f, g in rules.exclude.items()]
    kept = {
        row: n
        for row, n in counts.items()
        if included(row[second], row) and not any(test(row[second], row) for test in excluded)
    }
    return kept, sum(counts.values()) - sum(kept.values())


def _datums(counts: Mapping[Row, int], metrics: MetricSet) -> Iterator[Datum]:
    """Give a datum for each metric and minute, in the order of name, dimensions and minute."""
    minutes: dict[Row, list[int]] = {}
    for row, n in counts.items():
        second = row[-1]
        minutes.setdefault((*row[:-1], second - second % 60), []).append(n)
    for series in sorted(minutes):
        yield _datum(series, minutes[series], metrics)


def _datum(series: Row, seconds: list[int], metrics: MetricSet) -> Datum:
    name, dimensions = _names(series[:-1], metrics.dimensions)
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
