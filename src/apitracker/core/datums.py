"""
Datums, as CloudWatch takes them: the calls of one metric in one minute.

Limits are those of PutMetricData in botocore 1.44.5's CloudWatch model, and of its API reference:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
"""

import hashlib
import operator
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final

from msgspec import Struct

from apitracker.core.metric_sets import ABSENT, MetricSet, Series, SeriesCounts

OLDEST: Final = 14 * 86_400  # seconds before now
NEWEST: Final = 2 * 3_600  # seconds after now
NAME_LENGTH: Final = 255  # characters of a MetricName
VALUE_LENGTH: Final = 1_024  # characters of a dimension's value
REMEMBERED: Final = 1_024  # characters of a series that is remembered; AWS's own have some fifty


class Dimension(Struct, frozen=True, rename="pascal"):
    """A name and a value that tell metrics of the same name apart."""

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


def make_datums(counts: SeriesCounts, metrics: MetricSet) -> Iterator[Datum]:
    """
    Make a datum for each series and minute of *counts*, sorted by name, dimensions and minute.

    The same counts make the same datums at any time and in any order.
    """
    minutes: dict[tuple[Series, int], list[int]] = {}
    for (series, second), calls in counts.items():
        minutes.setdefault((series, second - second % 60), []).append(calls)
    for series, minute in sorted(minutes):
        yield _datum(series, minute, minutes[series, minute], metrics)


def split_by_age(datums: Iterable[Datum], now: float) -> tuple[list[Datum], list[Datum]]:
    """
    Split *datums* into those that CloudWatch takes at *now*, seconds since 1970, and the others.

    It refuses a whole request for one datum older than two weeks or over two hours ahead.
    """
    taken: list[Datum] = []
    refused: list[Datum] = []
    for datum in datums:
        fits = now - OLDEST <= datum.timestamp <= now + NEWEST
        (taken if fits else refused).append(datum)
    return taken, refused


def valid(text: str, length: int) -> str:
    """
    Return *text* as a name or value that CloudWatch takes: ASCII, no control character, not blank.

    A valid text is returned as it is, and an empty one is `ABSENT`. In any other the bad
    characters become ``_`` and a hash of the whole is appended, so that two different texts do
    not become one.
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


def _datum(series: Series, minute: int, seconds: Sequence[int], metrics: MetricSet) -> Datum:
    # Long names are made each time, so that the remembered ones stay small.
    length = len(series.name) + sum(map(len, series.values))
    names = _names if length <= REMEMBERED else _names.__wrapped__
    name, dimensions = names(series, metrics.dimensions)
    tally: dict[int, int] = {}  # a Counter takes longer than the few values that there are
    for calls in sorted(seconds):
        tally[calls] = tally.get(calls, 0) + 1
    return Datum(name, dimensions, minute, list(tally), list(tally.values()))


@lru_cache(maxsize=4_096)
def _names(series: Series, dimensions: tuple[str, ...]) -> tuple[str, tuple[Dimension, ...]]:
    """Return the name and the dimensions of a metric, as CloudWatch takes them."""
    pairs = zip(dimensions, series.values, strict=True)
    values = tuple(Dimension(d, valid(value, VALUE_LENGTH)) for d, value in pairs)
    return valid(series.name, NAME_LENGTH), values
