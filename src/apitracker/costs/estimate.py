"""
Monthly cost of a tracker, by item and as text.

`volume` has the quantities, and `make_bill` prices them. The assumptions about the function and the
ledger are here; docs/costs.md explains each.
"""

from collections.abc import Callable, Iterable, Iterator
from decimal import ROUND_HALF_UP, Decimal
from math import ceil
from typing import Final

import msgspec
from msgspec import Struct

from apitracker.core.counts import Counts
from apitracker.core.metric_sets import API, MetricSelection
from apitracker.core.times import write
from apitracker.costs.expected_distinct import Range
from apitracker.costs.prices import Prices
from apitracker.costs.volume import DAY, HOUR, HOURS_A_MONTH, MINUTE, Span, Volume, measure
from apitracker.tracker.budget import HASH_BYTES
from apitracker.tracker.emf import METRIC_UNITS

EVENT_BYTES: Final = 26  # that CloudWatch Logs adds to each event

# Lambda: 256 MB have 0.145 of a processor (1,769 MB have one), so that the 8.6 ms a thousand events
# of benchmarks/handler.py become 59; how long AWS takes for an answer was not measured.
MEMORY_GB: Final = Decimal("0.25")
THOUSAND_MS: Final = 60
REQUEST_MS: Final = 20
COLD_MS: Final = 1_000
COLD_STARTS: Final = HOURS_A_MONTH  # one an hour
LINE_BYTES: Final = 2_500  # of an invocation: our line and three of Lambda's

WRITE_BYTES, READ_BYTES = 1_024, 4_096  # of a unit of DynamoDB

OWN_METRICS: Final = len(METRIC_UNITS)
# The stack: tests/test_estimate.py compares.
ALARM_METRICS: Final = 15
DASHBOARDS: Final = 1

# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutMetricFilter.html
FILTERS: Final = 100  # metric filters of a log group
PAIRS: Final = 1_000  # of dimensions and their values an hour: AWS may disable the filter

CENT: Final = Decimal("0.01")


class BillItem(Struct, frozen=True, rename="camel"):
    """
    An item of the bill: a quantity, the *dollars* likely to be charged for it, and those *at_most*.

    Metrics are likely to be charged by the hour, and at most for the whole month.
    """

    name: str
    price: str
    quantity: Range
    dollars: Decimal
    at_most: Decimal


class Alternative(Struct, frozen=True, rename="camel"):
    """Another way to the same answers, with its *dollars* as in `BillItem`, and *notes* on it."""

    name: str
    dollars: Decimal
    at_most: Decimal
    notes: list[str]


class Bill(Struct, frozen=True, rename="camel"):
    """
    The dollars of a month: of the tracker, and of a trail of its own beside another.

    *metrics_by_hour* is the part of the likely dollars that is for metrics, and *metrics_by_month*
    the cost of the same metrics if each had data in every hour. *free* is the part of the tracker's
    dollars that free tiers pay for, in an account without other use of the same services.
    """

    tracker: list[BillItem]
    trail: list[BillItem]
    metrics_by_hour: Decimal
    metrics_by_month: Decimal
    free: Decimal
    alternatives: list[Alternative]


class Estimate(Struct, frozen=True):
    """
    The volume of a month and its bill at *prices*.

    *warnings* are to be read before the figures, which they make doubtful; *notes* explain them.
    """

    warnings: list[str]
    sample: Span
    volume: Volume
    bill: Bill
    prices: Prices
    notes: list[str]


def estimate_month(
    counts: Counts,
    metrics: MetricSelection,
    prices: Prices,
    *,
    budget: int,
    record_bytes: int,
) -> Estimate:
    """
    Estimate the costs of publishing *metrics* for a month, from *counts* of a `make_query`.

    There is at least one call. *budget* is that of each metric set, *record_bytes* the length of a
    record.
    """
    span, volume = measure(counts, metrics, budget=budget, record_bytes=record_bytes)
    costs = make_bill(volume, prices)
    notes = list(_notes(volume, costs, budget))
    return Estimate(list(_warnings(span)), span, volume, costs, prices, notes)


def make_bill(volume: Volume, prices: Prices) -> Bill:
    """Price *volume*."""
    tracker = _Lines(prices)
    for each in volume.sets:
        tracker.add(f"metrics of {each.name}", "metric", each.metrics, hours=each.metric_hours)
    tracker.add("metrics of the tracker itself", "metric", OWN_METRICS)
    tracker.add("PutMetricData requests", "putMetricData", volume.requests)
    tracker.add("Lambda invocations", "invocation", volume.payloads)
    tracker.add("Lambda GB-seconds", "gbSecond", _gb_seconds(volume))
    tracker.add("ledger writes", "write", _ledger_writes(volume))
    tracker.add("ledger reads", "read", _ledger_reads(volume))
    tracker.add("bytes of the function's log", "logs", volume.payloads * LINE_BYTES)
    tracker.add("metrics that alarms watch", "alarm", ALARM_METRICS)
    tracker.add("dashboard", "dashboard", DASHBOARDS)
    tracker.add("failed events", "put", 0)
    trail = _Lines(prices)
    trail.add("other copies of management events", "managementEvent", volume.management)
    size = volume.record_bytes + EVENT_BYTES
    trail.add("bytes of records to its log group", "logs", volume.management * size)
    trail.add("files of logs and digests", "put", volume.files + volume.digests)
    metrics = [item for item in tracker.items if item.price == "metric"]
    number = sum(item.quantity.likely for item in metrics)
    return Bill(
        tracker.items,
        trail.items,
        sum_dollars(metrics)[0],
        prices.prices["metric"].cost(number).quantize(CENT, ROUND_HALF_UP),
        tracker.free(),
        list(_alternatives(volume, prices)),
    )


class _Lines:
    """The lines of a bill: tiers go on from line to line."""

    def __init__(self, prices: Prices) -> None:
        self._prices = prices.prices
        self._likely: dict[str, Decimal] = {}
        self._high: dict[str, Decimal] = {}
        self.items: list[BillItem] = []

    def add(
        self, name: str, price: str, quantity: Range | int, *, hours: int | None = None
    ) -> None:
        """Add a line; of a thing that is charged by the hour, *hours* are the likely sum."""
        if isinstance(quantity, int):
            quantity = Range(quantity, quantity, quantity)
        likely = Decimal(quantity.likely) if hours is None else Decimal(hours) / HOURS_A_MONTH
        had, had_at_most = (each.get(price, Decimal(0)) for each in (self._likely, self._high))
        cost = self._prices[price].cost
        dollars = cost(likely, after=had)
        most = cost(quantity.high, after=had_at_most)
        self._likely[price] = had + likely
        self._high[price] = had_at_most + quantity.high
        cents = (each.quantize(CENT, ROUND_HALF_UP) for each in (dollars, most))
        self.items.append(BillItem(name, price, quantity, *cents))

    def free(self) -> Decimal:
        """Return the dollars that free tiers pay for."""
        each = ((self._prices[name], n) for name, n in self._likely.items())
        free = (price.cost(min(n, Decimal(price.free))) for price, n in each)
        return sum(free, Decimal(0)).quantize(CENT, ROUND_HALF_UP)


def sum_dollars(items: Iterable[BillItem | Alternative]) -> tuple[Decimal, Decimal]:
    """Add up the dollars of *items*: those likely to be charged, and those at most."""
    found = [(item.dollars, item.at_most) for item in items]
    return sum((a for a, _ in found), Decimal(0)), sum((b for _, b in found), Decimal(0))


def _gb_seconds(volume: Volume) -> int:
    calls = volume.calls * THOUSAND_MS / 1_000
    waiting = (volume.claims + 2 * volume.requests) * REQUEST_MS  # each batch is sent, and marked
    milliseconds = calls + waiting + _cold_starts(volume) * COLD_MS
    return ceil(Decimal(ceil(milliseconds)) * MEMORY_GB / 1_000)


def _cold_starts(volume: Volume) -> int:
    return min(COLD_STARTS, volume.payloads)


def _ledger_writes(volume: Volume) -> Range:
    """Count a claim for each log, a mark for each batch, and the admission of each metric."""
    marks = volume.claims + volume.requests
    return _of_metrics(
        volume,
        lambda numbers: marks + sum(n * ceil(n * HASH_BYTES / 2 / WRITE_BYTES) for n in numbers),
    )


def _ledger_reads(volume: Volume) -> Range:
    """Count a read of the admitted metrics at each cold start."""
    times = _cold_starts(volume)
    return _of_metrics(
        volume, lambda numbers: times * sum(ceil(n * HASH_BYTES / READ_BYTES) for n in numbers)
    )


def _of_metrics(volume: Volume, units: Callable[[list[int]], int]) -> Range:
    """Return the *units* that the metrics of all sets take: at least, likely and at most."""
    return Range(
        units([each.metrics.low for each in volume.sets]),
        units([each.metrics.likely for each in volume.sets]),
        units([each.metrics.high for each in volume.sets]),
    )


def _alternatives(volume: Volume, prices: Prices) -> Iterator[Alternative]:
    """Price other ways to the same answers, as far as they go."""
    filters, insights, predecessor = _Lines(prices), _Lines(prices), _Lines(prices)
    for each in volume.sets:
        filters.add(each.name, "metric", each.sought, hours=each.sought_hours)
        insights.add(each.name, "insightRule", 1)
        insights.add(each.name, "insightEvent", each.calls)
    needed = sum(each.sought.likely for each in volume.sets)
    busiest = max(each.busiest_hour for each in volume.sets)
    fixed = f"a metric each: {needed:,} filters, and a log group has {FILTERS} at most"
    free = (
        f"by dimensions: {busiest:,} metrics in the busiest hour; a filter that finds {PAIRS:,}"
        " values may be disabled"
    )
    yield Alternative("metric filters", *sum_dollars(filters.items), [fixed, free])
    ranks = "a rule for each set, which ranks callers or APIs and makes no metrics of them"
    yield Alternative("Contributor Insights", *sum_dollars(insights.items), [ranks])
    if any(each.name == API.name for each in volume.sets):
        hours = volume.predecessor_hours
        predecessor.add(API.name, "metric", volume.predecessor_metrics, hours=hours)
        predecessor.add(API.name, "putMetricData", volume.predecessor_requests)
        sent = f"the set api, by {volume.predecessor_requests:,} requests; without function and log"
        unbounded = "there is no budget of metrics, and a log that is delivered again counts again"
        yield Alternative("version 0.1.1", *sum_dollars(predecessor.items), [sent, unbounded])


def _warnings(span: Span) -> Iterator[str]:
    if span.seconds < DAY:
        yield (
            f"The sample has only {_length(span)}, and the figures take the month for more of the"
            " same: use a day at least, and better a week."
        )
    if span.left_out:
        yield (
            f"{span.left_out:,} calls from more than 30 days before the last one are left out:"
            " --until chooses others."
        )


def _length(span: Span) -> str:
    """Write the length of a short sample."""
    seconds = span.last + 1 - span.first
    if seconds < MINUTE:
        return f"{seconds} {'second' if seconds == 1 else 'seconds'}, taken for an hour"
    if seconds < HOUR:
        minutes = ceil(seconds / MINUTE)
        return f"{minutes} {'minute' if minutes == 1 else 'minutes'}, taken for an hour"
    return f"{seconds / HOUR:.1f} hours"


def _notes(volume: Volume, costs: Bill, budget: int) -> Iterator[str]:
    for each, item in zip(volume.sets, costs.tracker, strict=False):
        if each.sought.high > budget:
            yield (
                f"{each.name}: the budget of {budget:,} metrics {_reached(each.sought, budget)}. Of"
                f" {each.sought.low:,} to {each.sought.high:,} it leaves {each.metrics.high:,}, or"
                f" ${item.at_most:,}; the rest is in __other__."
            )
    seen = ", ".join(f"{each.sought.low:,} of {each.name}" for each in volume.sets)
    yield f"Metrics seen: {seen}. Likely is the number that Chao2 expects in 30 days."
    yield (
        "AWS charges a metric for the hours in which it has data, as far as is known: the likely"
        f" metrics come to ${costs.metrics_by_hour:,}, and for whole months to"
        f" ${costs.metrics_by_month:,}. At most is for whole months."
    )
    yield f"Free where nothing else in the account uses it up: ${costs.free:,} of the tracker."


def _reached(sought: Range, budget: int) -> str:
    """Word whether a month reaches the budget, as far as the sample can tell."""
    if sought.low > budget:
        return "is reached"
    return "is likely to be reached" if sought.likely > budget else "may be reached"


# --- as text ------------------------------------------------------------------------------------

NAME, NUMBER, MONEY = 40, 16, 11  # the widths of columns


def format_estimate(estimate: Estimate, form: str) -> Iterator[str]:
    """Write *estimate* as a ``table``, or as ``json`` with dollars as numbers."""
    if form == "json":
        yield _json(estimate)
        return
    sample, volume, costs, prices = estimate.sample, estimate.volume, estimate.bill, estimate.prices
    first, last = write("second", sample.first), write("second", sample.last)
    yield from estimate.warnings
    likely, most = sum_dollars(costs.tracker)
    yield f"${likely:,} a month is likely to be charged for the tracker, ${most:,} at most"
    likely, most = sum_dollars(costs.trail)
    yield f"a new trail for it, in an account that has one already: ${likely:,} more"
    yield f"{sample.calls:,} calls, {first} to {last}: {volume.calls:,} in 30 days at that pace"
    yield f"list prices of {prices.region}, {prices.date}, before taxes and free tiers"
    if prices.rest:
        yield f"but for {', '.join(prices.rest)}: those of us-east-1"
    for title, items in (("the tracker", costs.tracker), ("a trail beside another", costs.trail)):
        yield ""
        yield _row(title, "likely", "dollars", "at most", "dollars")
        for item in items:
            numbers = item.quantity.likely, item.dollars, item.quantity.high, item.at_most
            yield _row(item.name, *(f"{number:,}" for number in numbers))
        likely, most = sum_dollars(items)
        yield _row("total", "", f"{likely:,}", "", f"{most:,}")
    yield ""
    yield _row("the same answers by", "", "dollars", "", "at most")
    for each in costs.alternatives:
        yield _row(each.name, "", f"{each.dollars:,}", "", f"{each.at_most:,}")
        yield from (f"  {note}" for note in each.notes)
    yield ""
    yield from estimate.notes


def _row(name: str, likely: str, cost: str, high: str, most: str) -> str:
    return f"{name:<{NAME}}{likely:>{NUMBER}}{cost:>{MONEY}}{high:>{NUMBER}}{most:>{MONEY}}"


def _json(estimate: Estimate) -> str:
    sample = estimate.sample
    times = {"first": write("second", sample.first), "last": write("second", sample.last)}
    names = ("tracker", "trail")
    totals = {name: sum_dollars(getattr(estimate.bill, name)) for name in names}
    whole = {
        "warnings": estimate.warnings,
        "dollarsAMonth": {
            name: {"likely": likely, "atMost": most} for name, (likely, most) in totals.items()
        },
        "sample": {"calls": sample.calls, **times, "leftOut": sample.left_out},
        "usage": estimate.volume,
        "bill": estimate.bill,
        "prices": estimate.prices,
        "notes": estimate.notes,
    }
    encoded = msgspec.json.Encoder(decimal_format="number").encode(whole)
    return msgspec.json.format(encoded, indent=2).decode()
