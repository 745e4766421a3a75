"""The monthly cost of a tracker: worked by hand, laws, and beside a tracker that publishes."""

import gzip
import json
import re
import subprocess
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.commands import APITRACKER
from tests.payloads import DATA, MINUTE, NOW, Context, FakeClock, Json, event, record
from tests.runtime import CloudWatch

from apitracker.core.counting import PartialCount
from apitracker.core.counts import Counts
from apitracker.core.fields import Row, Value
from apitracker.core.metric_sets import SETS, MetricSelection
from apitracker.core.selection import ALL, Selection
from apitracker.costs.estimate import (
    ALARM_METRICS,
    DASHBOARDS,
    LINE_BYTES,
    OWN_METRICS,
    Estimate,
    estimate_month,
    format_estimate,
    sum_dollars,
)
from apitracker.costs.expected_distinct import Range, expected_distinct
from apitracker.costs.prices import PRICES_FILE, load_prices
from apitracker.costs.volume import (
    DAY,
    HOUR,
    MONTH,
    RECORD_BYTES,
    Scale,
    make_query,
    measure,
)
from apitracker.errors import UsageError
from apitracker.jobs.estimate import estimate_costs, estimate_query
from apitracker.logs.sources import Found, find
from apitracker.logs.workers import read, read_all
from apitracker.settings import Settings
from apitracker.synthetic import trail as sample
from apitracker.tracker.envelopes import open_event
from apitracker.tracker.handler import handle
from apitracker.tracker.put_metric_data import plan
from apitracker.tracker.signing import Connection
from apitracker.tracker.tracking import Tracker, assemble, track

ROOT = Path(__file__).parents[1]
NOON = 1_790_078_400  # 2026-09-22T12:00:00Z, an hour's start
PRICES = load_prices()
MAX = 100_000_000
API_ONLY = MetricSelection()
EVERY = MetricSelection(metrics=tuple(SETS))


def counted(
    calls: dict[tuple[str, int], int], metrics: MetricSelection = API_ONLY, **more: str
) -> Counts:
    """Count *calls*, by eventName and seconds after noon, by the fields of the query."""
    by = make_query(metrics, ALL, MAX).by
    fields: dict[str, Value] = {
        "awsRegion": "us-east-1",
        "eventSource": "ec2.amazonaws.com",
        "recipientAccountId": "111122223333",
        "caller": "arn:aws:iam::111122223333:role/r",
        "outcome": "ok",
        "eventCategory": "Management",
        **more,
    }
    rows = Counter[Row]()
    for (name, second), n in calls.items():
        row: dict[str, Value] = {**fields, "eventName": name, "second": NOON + second}
        rows[tuple(row[field] for field in by)] += n
    return Counts(by, rows)


def estimated(
    calls: dict[tuple[str, int], int],
    metrics: MetricSelection = API_ONLY,
    budget: int = 5_000,
    **more: str,
) -> Estimate:
    """Estimate the costs of *calls*, in records of a thousand bytes."""
    counts = counted(calls, metrics, **more)
    return estimate_month(counts, metrics, PRICES, budget=budget, record_bytes=1_000)


# --- by hand ------------------------------------------------------------------------------------

TEN_DAYS: dict[tuple[str, int], int] = {
    **{("DescribeInstances", hour * HOUR): 100_000 for hour in range(240)},
    ("RunInstances", 5 * HOUR): 1,
    ("RunInstances", 5 * HOUR + 1): 1,
    ("StopInstances", 7 * HOUR + 1_800): 1,
    ("StopInstances", 8 * HOUR + 1_800): 1,
    ("DescribeInstances", 10 * DAY - 1): 1,
}
"""Ten days, so that a month has three times as much. docs/costs.md works it out."""


def test_by_hand() -> None:
    """Each item of ten days is equal to that worked out by hand, to the cent."""
    found = estimated(TEN_DAYS)

    assert found.sample.calls == 24_000_005
    assert [
        (i.name, i.quantity.likely, str(i.dollars), i.quantity.high, str(i.at_most))
        for i in (*found.bill.tracker, *found.bill.trail)
    ] == [
        ("metrics of api", 3, "0.30", 9, "2.70"),
        ("metrics of the tracker itself", 12, "3.60", 12, "3.60"),
        ("PutMetricData requests", 72_012, "0.72", 72_012, "0.72"),
        ("Lambda invocations", 72_012, "0.01", 72_012, "0.01"),
        ("Lambda GB-seconds", 2_341, "0.03", 2_341, "0.03"),
        ("ledger writes", 144_027, "0.09", 144_033, "0.09"),
        ("ledger reads", 720, "0.00", 720, "0.00"),
        ("bytes of the function's log", 180_030_000, "0.09", 180_030_000, "0.09"),
        ("metrics that alarms watch", 15, "1.50", 15, "1.50"),
        ("dashboard", 1, "3.00", 1, "3.00"),
        ("failed events", 0, "0.00", 0, "0.00"),
        ("other copies of management events", 72_000_015, "1440.00", 72_000_015, "1440.00"),
        ("bytes of records to its log group", 73_872_015_390, "36.94", 73_872_015_390, "36.94"),
        ("files of logs and digests", 1_449, "0.01", 1_449, "0.01"),
    ]
    assert sum_dollars(found.bill.tracker) == (Decimal("9.34"), Decimal("11.74"))
    assert sum_dollars(found.bill.trail) == (Decimal("1476.95"), Decimal("1476.95"))
    assert [(a.name, str(a.dollars), str(a.at_most)) for a in found.bill.alternatives] == [
        ("metric filters", "0.30", "2.70"),
        ("Contributor Insights", "1.94", "1.94"),
        ("version 0.1.1", "1.02", "3.42"),
    ]
    assert (found.bill.metrics_by_hour, found.bill.metrics_by_month, found.bill.free) == (
        Decimal("3.90"),
        Decimal("4.50"),
        Decimal("7.86"),
    )


def test_the_likely_charge_is_read_first() -> None:
    """The likely charge, with metrics by the hour, stands before any table."""
    head, *_ = "\n".join(format_estimate(estimated(TEN_DAYS), "table")).split("\n\n")

    times = "2026-09-22T12:00:00Z to 2026-10-02T11:59:59Z"
    assert head.splitlines() == [
        "$9.34 a month is likely to be charged for the tracker, $11.74 at most",
        "a new trail for it, in an account that has one already: $1,476.95 more",
        f"24,000,005 calls, {times}: 72,000,015 in 30 days at that pace",
        "list prices of us-east-1, 2026-11-23, before taxes and free tiers",
    ]


def test_a_metric_is_charged_by_the_hour() -> None:
    """Of two metrics, one in each of 48 hours and one in two: 50 hours in two days, $0.31."""
    calls = {("A", hour * HOUR): 1 for hour in range(48)}
    calls |= {("B", 0): 1, ("B", 5 * HOUR): 1, ("A", 2 * DAY - 1): 1}

    [metrics, *_] = estimated(calls).bill.tracker

    # 50 hours x 15 = 750 of 720 in a month: 1.0417 x $0.30.
    assert (metrics.quantity.likely, str(metrics.dollars)) == (2, "0.31")
    # At most: of two 0 + 2 * sqrt(1) + 2 = 4 may be seen once, so all: 15 times as many.
    assert (metrics.quantity.high, str(metrics.at_most)) == (30, "9.00")


def test_no_metric_is_charged_for_more_than_all_hours() -> None:
    """Two minutes on both sides of an hour are two hours of data, taken for at most a month."""
    [metrics, *_] = estimated({("A", HOUR - 60): 1, ("A", HOUR + 59): 1}).bill.tracker

    assert (metrics.quantity.likely, str(metrics.dollars)) == (1, "0.30")


def test_tiers_by_hand() -> None:
    """Of 12,000 metrics the last 2,000 cost a third, and a set goes on where another ended."""
    metric = PRICES.prices["metric"]

    assert metric.cost(12_000) == Decimal(3_000 + 200)
    assert metric.cost(4_000, after=8_000) == Decimal(600 + 200)
    assert metric.cost(1_000_010) == Decimal(3_000 + 24_000 + 37_500) + Decimal("0.20")


def test_tiers_go_on_from_set_to_set() -> None:
    """Of two sets of 8,000 metrics, and the tracker's own, 10,000 are in the first tier."""
    calls = {(f"Api{n}", n): 1 for n in range(7_999)} | {("Last", MONTH - 1): 1}

    found = estimated(calls, MetricSelection(metrics=("api", "outcomes")), 25_000, outcome="failed")

    assert [(str(i.dollars), str(i.at_most)) for i in found.bill.tracker[:3]] == [
        ("3.33", "2400.00"),  # 8,000 hours
        ("3.33", "1200.00"),  # 2,000 at $0.30, 6,000 at $0.10
        ("3.60", "1.20"),
    ]


def test_files_by_hand() -> None:
    """A log file is five minutes of an account and region, a digest an hour of each."""
    calls = {("A", 0): 1, ("A", 299): 1, ("A", 300): 1, ("A", DAY - 1): 1}

    found = estimated(calls)

    assert (found.volume.files, found.volume.digests) == (3 * 30, 720)


def test_sets_by_hand() -> None:
    """A set costs its own metrics and requests; one that nothing went wrong for costs nothing."""
    busy = {("A", minute * 60): 1 for minute in range(24 * 60)} | {("B", DAY - 1): 1}
    metrics = MetricSelection(metrics=("api", "outcomes", "callers"))

    ok, throttled = estimated(busy, metrics), estimated(busy, metrics, outcome="throttled")

    assert [(each.metrics.low, each.requests) for each in ok.volume.sets] == [
        (2, 43_200),
        (0, 0),
        (1, 43_200),
    ]
    assert [(each.metrics.low, each.requests) for each in throttled.volume.sets] == [
        (2, 43_200),
        (2, 43_200),
        (1, 43_200),
    ]
    assert ok.volume.claims == ok.volume.payloads == 43_200


def test_only_what_is_published_is_claimed() -> None:
    """A log in which nothing is to be published invokes the function, and is not claimed."""
    calls = {("A", 0): 1, ("A", 70): 1, ("B", 70): 1, ("B", DAY - 1): 1}

    volume = estimated(calls, MetricSelection(exclude="eventName=B")).volume

    assert (volume.calls, volume.payloads, volume.claims) == (120, 90, 60)
    assert [(each.calls, each.metrics.low, each.requests) for each in volume.sets] == [(60, 1, 60)]


def test_data_events_are_no_copies() -> None:
    """A trail of its own has no data events; the tracker counts those of another trail."""
    found = estimated({("A", 0): 1, ("A", DAY - 1): 1}, eventCategory="Data")

    assert (found.volume.calls, found.volume.management, found.volume.files) == (60, 0, 0)
    assert sum_dollars(found.bill.trail) == (Decimal(0), Decimal(0))


def test_the_last_month_of_a_long_sample() -> None:
    """Calls more than 30 days older than the last one are left out, with a warning."""
    found = estimated({("Old", 0): 7, ("A", DAY): 1, ("A", 31 * DAY - 1): 2})

    assert (found.sample.calls, found.sample.left_out, found.volume.calls) == (3, 7, 3)
    assert found.volume.sets[0].metrics == Range(1, 1, 1)
    assert [each for each in found.warnings if "7 calls from more than 30 days before" in each]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "only 1 second, taken for an hour, and"),
        (42, "only 42 seconds, taken for an hour, and"),
        (61, "only 2 minutes, taken for an hour, and"),
        (9_000, "only 2.5 hours, and"),
    ],
)
def test_a_short_sample_is_warned_of(seconds: int, words: str) -> None:
    """A sample of less than a day says so before any number, in JSON too."""
    found = estimated({("A", 0): 1, ("A", seconds - 1): 1})

    first, *_ = format_estimate(found, "table")
    assert words in first
    assert json.loads("\n".join(format_estimate(found, "json")))["warnings"] == [first]


def test_a_sample_of_minutes_counts_as_an_hour() -> None:
    """Less than an hour is taken for one; a sample of days has no warning."""
    assert estimated({("A", 0): 1, ("A", 60): 1}).volume.calls == 2 * 720
    assert estimated(TEN_DAYS).warnings == []


def test_the_unit_of_a_short_sample() -> None:
    """In less than a day it counts in how many minutes a metric was seen."""
    calls = {(f"Api{n}", 60 * m): 1 for n in range(300) for m in (1, 2, 3)}

    # None was seen in one minute only; by chance four of 300 may have been: 300 * 720**(4 / 300).
    assert estimated(calls).volume.sets[0].metrics == Range(300, 300, 328)


def test_the_unit_of_a_day() -> None:
    """A sample of a day, but for its edges, counts in how many hours: a burst is seen once."""
    bursts = {(f"Api{n}", n * 800 + second): 1 for n in range(100) for second in range(0, 300, 61)}
    ends = {("A", 30): 1, ("A", DAY - 30): 1}

    [of_set] = estimated(bursts | ends).volume.sets

    assert of_set.sought.low == 101
    assert of_set.sought.likely > 1_000


def test_what_is_beyond_the_budget() -> None:
    """Overflow of the budget is in as few metrics as it has services."""
    calls = {(f"Api{n}", n): 1 for n in range(5_500)} | {("Api0", MONTH - 1): 1}
    rows: dict[Row, int] = {}
    for (name, second), n in calls.items():
        number = int(name[3:])
        service = f"s{number % 500}" if number < 5_000 else "last"
        some = counted({(name, second): n}, eventSource=service)
        rows |= some.rows

    counts = Counts(some.fields, rows)
    found = estimate_month(counts, API_ONLY, PRICES, budget=5_000, record_bytes=1_000)

    assert found.volume.sets[0].sought == Range(5_500, 5_500, 5_500)
    assert found.volume.sets[0].metrics == Range(5_001, 5_001, 5_501)
    assert any("the budget of 5,000 metrics is reached" in note for note in found.notes)


def test_others_take_requests_where_they_are() -> None:
    """A payload takes another request for its calls beyond the budget, if it has any."""
    busy = {(f"Api{n}", minute * 60 + n): 1 for n in range(10) for minute in range(24 * 60)}
    ends = {("Api0", DAY - 1): 1}

    alone = estimated(busy | ends, budget=10).volume
    more = estimated(busy | ends | {("Late", 7_000): 1}, budget=10)

    assert alone.requests == 43_200
    assert more.volume.requests == 43_230
    assert any("api: the budget of 10 metrics is reached" in note for note in more.notes)


def test_the_predecessor_has_no_rules() -> None:
    """Version 0.1.1 publishes the calls that rules leave out here."""
    calls = {("A", 0): 9, ("B", 60): 1, ("B", DAY - 1): 1}

    found = estimated(calls, MetricSelection(exclude="eventName=A"))
    [old] = [each for each in found.bill.alternatives if each.name == "version 0.1.1"]

    assert found.volume.sets[0].sought.low == 1
    assert found.volume.predecessor_metrics.low == 2
    assert found.volume.predecessor_requests == 90
    assert old.at_most >= Decimal("0.60")


# --- how many metrics ---------------------------------------------------------------------------


def test_saturation_by_hand() -> None:
    """Of ten hours: four metrics seen once, two twice, one always."""
    found = expected_distinct([1, 1, 1, 1, 2, 2, 10], 10, 20)

    # Chao2 takes 9/10 * 4 * 3 / (2 * 3) = 1.8 for unseen; ten hours more show
    # 1.8 * (1 - (1 - 4 / (4 + 18))**10) = 1.56 of them. At most: 4 + 2 * sqrt(5) + 2 = 10.5 may be
    # seen once of 7, so that twice the time has twice as many.
    assert found == Range(7, 9, 14)


def test_saturation_in_the_end() -> None:
    """After long there is all that Chao2 takes for unseen: 9/10 * 100 * 99 / (2 * 41) = 108.7."""
    found = expected_distinct([1] * 100 + [2] * 40 + [9] * 50, 10, 10_000)

    assert (found.low, found.likely) == (190, 299)


def test_nothing_is_left_to_see() -> None:
    """In a whole month nothing is unseen, and of nothing there is nothing."""
    assert expected_distinct([1, 1, 5], 720, 720) == Range(3, 3, 3)
    assert expected_distinct([], 10, 720) == Range(0, 0, 0)


@pytest.mark.parametrize("days", [1, 3, 10])
@pytest.mark.parametrize("spread", [0.5, 1.5, 3.0])
@pytest.mark.parametrize("size", [100, 1_000, 5_000])
def test_the_range_contains_the_truth(size: int, spread: float, days: int) -> None:
    """Of invented accounts, whose calls are rare or frequent by chance, the month is in it."""
    numpy = pytest.importorskip("numpy")
    dice = numpy.random.default_rng([size, days, round(10 * spread)])
    often = numpy.minimum(1, numpy.exp(dice.normal(-4, spread, size)))  # in a share of all hours
    sampled = dice.binomial(24 * days, often)
    rest = dice.binomial(720 - 24 * days, often)

    found = expected_distinct([int(n) for n in sampled if n], 24 * days, 720)

    assert found.low <= int(((sampled + rest) > 0).sum()) <= found.high
    assert found.low <= found.likely <= found.high <= found.low * 30


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(40, 100), st.integers(40, 2_000))
def test_ranges_are_in_order(units: list[int], sampled: int, whole: int) -> None:
    """At least, likely and at most come in this order, and none is beyond proportion."""
    found = expected_distinct(units, sampled, whole)

    assert len(units) == found.low <= found.likely <= found.high
    assert found.high <= max(1.0, whole / sampled) * len(units) + 1


# --- laws ---------------------------------------------------------------------------------------

NAMES = st.sampled_from(["A", "B", "C", "", "é", "Describe"])
CALLS = st.dictionaries(
    st.tuples(NAMES, st.integers(1, 2 * DAY - 2)), st.integers(1, 2_500), max_size=30
)
ENDS = {("A", 0): 1, ("A", 2 * DAY - 1): 1}


@settings(max_examples=60, deadline=None)
@given(CALLS, CALLS, st.sampled_from(["ok", "throttled", "denied"]))
def test_more_calls_never_take_less(
    calls: dict[tuple[str, int], int], more: dict[tuple[str, int], int], outcome: str
) -> None:
    """
    More calls in the same time never are fewer metrics, requests, invocations, bytes or dollars.

    The likely and the highest number may shrink: a larger sample leaves less to guess.
    """
    some, all_ = Counter({**calls, **ENDS}), Counter({**calls, **ENDS})
    all_.update(more)

    less = estimated(dict(some), EVERY, outcome=outcome)
    larger = estimated(dict(all_), EVERY, outcome=outcome)

    for name in ("calls", "management", "payloads", "claims", "files", "predecessor_requests"):
        assert getattr(less.volume, name) <= getattr(larger.volume, name), name
    for one, two in zip(less.volume.sets, larger.volume.sets, strict=True):
        assert one.metrics.low <= two.metrics.low
        assert one.requests <= two.requests
    for a, b in zip(less.bill.tracker, larger.bill.tracker, strict=True):
        if a.price != "metric" and not a.name.startswith("ledger"):
            assert a.dollars <= b.dollars, a.name


@settings(max_examples=60, deadline=None)
@given(CALLS, st.sampled_from(["ok", "throttled"]))
def test_metrics_are_those_that_are_published(
    calls: dict[tuple[str, int], int], outcome: str
) -> None:
    """The metrics seen of each set are those that the deployed tracker would publish."""
    counts = counted({**calls, **ENDS}, EVERY, outcome=outcome)
    _, volume = measure(counts, EVERY, budget=5_000, record_bytes=1)

    published: dict[str, set[object]] = {each.name: set() for each in EVERY.sets}
    for batch in plan(counts.by(EVERY.fields), EVERY).batches:
        name = batch.id.rpartition(".")[0]
        published[name] |= {(datum.metric_name, datum.dimensions) for datum in batch.datums}

    assert {each.name: each.metrics.low for each in volume.sets} == {
        name: len(metrics) for name, metrics in published.items()
    }


@given(st.sampled_from(sorted(PRICES.prices)), st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_price_adds_up(name: str, one: int, two: int) -> None:
    """The second of two quantities costs their sum less the first; more never costs less."""
    price = PRICES.prices[name]

    assert price.cost(one) + price.cost(two, after=one) == price.cost(one + two)
    assert price.cost(one) <= price.cost(one + two)


# --- prices -------------------------------------------------------------------------------------


def test_every_price_has_a_source() -> None:
    """Each price says where it was read, and the table when."""
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", PRICES.date)
    assert all(p.source.startswith("https://aws.amazon.com/") for p in PRICES.prices.values())


def test_the_page_says_the_same_prices() -> None:
    """The page has the same prices of a metric and an alarm as the table."""
    script = (PRICES_FILE.parents[1] / "page/static/usage.js").read_text()
    said = dict(re.findall(r"const (\w+)_DOLLARS = ([0-9.]+);", script))

    assert {name: Decimal(text) for name, text in said.items()} == {
        "METRIC": PRICES.prices["metric"].tiers[0][1],
        "ALARM": PRICES.prices["alarm"].tiers[0][1],
    }


def test_prices_of_ones_own(tmp_path: Path) -> None:
    """A file's prices go before the package's; the others stay."""
    table = json.loads(PRICES_FILE.read_bytes())
    metric = {**table["prices"]["metric"], "tiers": [[None, 0.5]]}
    path = tmp_path / "prices.json"
    path.write_text(
        json.dumps({"region": "eu-x-1", "date": "2026-12-01", "prices": {"metric": metric}})
    )

    prices = load_prices(path)

    assert (prices.region, prices.date) == ("eu-x-1", "2026-12-01")
    assert prices.prices["metric"].cost(20_000) == 10_000
    assert prices.prices["alarm"] == PRICES.prices["alarm"]
    assert prices.rest[:2] == ("putMetricData", "alarm")
    said = list(format_estimate(replace(estimated(TEN_DAYS), prices=prices), "table"))[3:5]
    assert said[0] == "list prices of eu-x-1, 2026-12-01, before taxes and free tiers"
    assert said[1].startswith("but for putMetricData, alarm, ")
    assert said[1].endswith(": those of us-east-1")


PRICE = {"unit": "x", "per": 1, "tiers": [[None, "1"]], "source": "https://aws.amazon.com/"}


@pytest.mark.parametrize(
    ("prices", "fault"),
    [
        ({"metrics": PRICE}, "metrics: no such price; choose from metric, "),
        ({"metric": {**PRICE, "per": 0}}, "per must be at least 1"),
        ({"metric": {**PRICE, "free": -1}}, "free at least 0"),
        ({"metric": {**PRICE, "tiers": []}}, "tiers must rise"),
        ({"metric": {**PRICE, "tiers": [[9, "1"]]}}, "tiers must rise"),
        ({"metric": {**PRICE, "tiers": [[9, "1"], [9, "1"], [None, "1"]]}}, "tiers must rise"),
        ({"metric": {**PRICE, "tiers": [[0, "1"], [None, "1"]]}}, "tiers must rise"),
        ({"metric": {**PRICE, "tiers": [[None, "-1"]]}}, "a price must be from 0"),
        ({"metric": {**PRICE, "tiers": [[None, "NaN"]]}}, "is not a table of prices"),
        ({"metric": {**PRICE, "tiers": [[None, "Infinity"]]}}, "a price must be from 0"),
        ({"metric": {**PRICE, "tier": 1}}, "tier is not known"),
        ({"metric": 0.3}, "prices[...] is a number where an object should be"),
    ],
)
def test_bad_prices(prices: Json, fault: str, tmp_path: Path) -> None:
    """A bad price is an error with the name of the file, and the fault."""
    path = tmp_path / "prices.json"
    path.write_text(json.dumps({"region": "r", "date": "d", "prices": prices}))

    with pytest.raises(UsageError, match=re.escape(fault)) as caught:
        load_prices(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_no_prices(tmp_path: Path) -> None:
    """A file that is not there, or is not JSON, is wrong usage."""
    (tmp_path / "bad").write_bytes(b"\xff{")

    with pytest.raises(UsageError, match="cannot be read: No such file"):
        load_prices(tmp_path / "none")
    with pytest.raises(UsageError, match="is not a table of prices"):
        load_prices(tmp_path / "bad")


# --- the stack, the function, the budget --------------------------------------------------------


def test_what_the_stack_makes() -> None:
    """The tracker's own metrics, the metrics that alarms watch, and dashboards, are the stack's."""
    resources = re.split(r"(?m)^  (?=\w+:$)", (ROOT / "sam.yaml").read_text())
    alarms = [
        text
        for text in resources
        if "Type: AWS::CloudWatch::Alarm" in text and "Condition: HasAlarms" in text
    ]
    dashboards = [text for text in resources if "Type: AWS::CloudWatch::Dashboard" in text]

    assert OWN_METRICS == 12
    assert sum(len(re.findall(r"\bMetricName:", text)) for text in alarms) == ALARM_METRICS
    assert len(dashboards) == DASHBOARDS


@pytest.fixture
def tracker(poster: Connection, clock: FakeClock) -> Tracker:
    """A tracker that publishes callers, and has no ledger."""
    return assemble(Settings(metrics="callers"), poster, poster, clock)


def test_a_budget_that_is_reached(cloudwatch: CloudWatch, tracker: Tracker, tmp_path: Path) -> None:
    """
    Of 12,000 callers in an hour as many are published as the estimate leaves within the budget.

    A payload is a minute, as in the estimate.
    """
    begin = int(NOW) // HOUR * HOUR - HOUR
    records = [
        record(n, begin + n * HOUR // 12_000, userIdentity={"type": "IAMUser", "arn": f"arn:{n}"})
        for n in range(12_000)
    ]
    (tmp_path / "log.json").write_text(json.dumps({"Records": records}))
    for minute in range(60):
        some = records[minute * 200 : minute * 200 + 200]
        until = tracker.clock.now() + 60
        [log] = open_event(event(some))
        track(log, tracker, claimant="t", until=until, notify=lambda *_, **__: None)

    found = of_folder(tmp_path, metrics="callers")
    [of_set] = found.volume.sets
    published = {
        (d["MetricName"], *(x["Value"] for x in d["Dimensions"])) for d in cloudwatch.taken
    }

    assert ("Calls", "eu-west-1", "__other__") in published
    assert (of_set.sought.low, of_set.metrics) == (12_000, Range(5_001, 5_001, 5_001))
    assert len(published) == 5_001
    assert cloudwatch.calls() == 12_000
    assert of_set.requests == cloudwatch.requests * MONTH // HOUR
    [note] = [note for note in found.notes if "budget" in note]
    assert "callers: the budget of 5,000 metrics is reached. Of 12,000 to " in note
    assert "it leaves 5,001, or $1,500.30;" in note


def test_what_a_line_of_the_function_takes(
    cloudwatch: CloudWatch, tracker: Tracker, capsys: pytest.CaptureFixture[str]
) -> None:
    """The function's line, with three that Lambda writes, is about as long as is assumed."""
    del cloudwatch
    handle(event([record(n, MINUTE + n % 60) for n in range(100)]), Context(), tracker)
    line = capsys.readouterr().out

    assert line.count("\n") == 1
    assert LINE_BYTES / 2 < len(line) + 4 * 26 + 300 < LINE_BYTES


# --- from log files -----------------------------------------------------------------------------


def of_folder(folder: Path, metrics: str = "api") -> Estimate:
    """Estimate the costs of a folder of logs, as the command does."""
    given = Settings(metrics=metrics)
    stream = read_all(find(str(folder)), estimate_query(ALL, given), processes=1)
    found, _ = estimate_costs(stream, ALL, given, PRICES)
    assert found
    return found


def test_no_calls_have_no_estimate(tmp_path: Path) -> None:
    """Without a call there is a balance, and no estimate."""
    (tmp_path / "log.json").write_text(json.dumps({"Records": [record(1, NOON)]}))
    selection = Selection(since=NOON + 1)
    stream = read_all(find(str(tmp_path)), estimate_query(selection, Settings()), processes=1)

    found, balance = estimate_costs(stream, selection, Settings(), PRICES)

    assert found is None
    assert (balance.counted, balance.not_selected) == (1, 1)


def test_records_are_weighed(tmp_path: Path) -> None:
    """Bytes are those of records in logs; without a log that can be weighed, a usual length."""
    records = [record(n, NOON + n) for n in range(1_000)]
    text = json.dumps({"Records": records}, separators=(",", ":"))
    (tmp_path / "log.json").write_text(text)

    assert of_folder(tmp_path).volume.record_bytes == round(len(text) / 1_000)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"Records": [record(1, NOON)]}, indent=2),
        json.dumps({"Events": [{"CloudTrailEvent": json.dumps(record(1, NOON))}]}),
        json.dumps(
            {"Records": [record(1, NOON), {**record(2), "eventCategory": "Insight", "a": "b" * 9}]},
            separators=(",", ":"),
        ),
    ],
    ids=["indented", "of LookupEvents", "with an insight"],
)
def test_what_is_not_weighed(tmp_path: Path, text: str) -> None:
    """A log with more in it than records of calls says nothing of their length."""
    (tmp_path / "log.json").write_text(text)

    found = of_folder(tmp_path)

    assert (found.sample.calls, found.volume.record_bytes) == (1, RECORD_BYTES)


def test_standard_input_is_not_weighed(tmp_path: Path) -> None:
    """Standard input cannot be read again, and so is not weighed."""
    path = tmp_path / "log.json"
    path.write_text(json.dumps({"Records": [record(1, NOON)]}, separators=(",", ":")))
    log = read(Found(str(path), 1), make_query(MetricSelection(), ALL, MAX))
    assert isinstance(log.result, PartialCount)

    for size, weighed in ((-1, RECORD_BYTES), (1, path.stat().st_size)):
        scale = Scale(MAX)
        assert list(scale.weigh([log._replace(found=Found(str(path), size))]))
        assert scale.record_bytes == weighed


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not here")
def test_real_records() -> None:
    """An hour of real records: calls and metrics are those that the standard library counts."""
    folder = DATA / "s3" / "invictus_open"
    seen = [
        tuple(each.get(name) or "-" for name in ("eventName", "awsRegion", "eventSource"))
        for path in folder.rglob("*.json.gz")
        for each in json.loads(gzip.decompress(path.read_bytes()))["Records"]
    ]

    found = of_folder(folder)

    assert (found.sample.calls, found.sample.left_out) == (len(seen), 0)
    assert found.volume.sets[0].metrics.low == len(set(seen))
    assert found.volume.calls == len(seen) * 720


def run(*args: object, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run the command."""
    return subprocess.run(
        [APITRACKER, "estimate", *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", **environ},
    )


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic trail."""
    folder = tmp_path_factory.mktemp("estimate") / "trail"
    sample.write_trail(folder, events=2_000)
    return folder


def test_the_table_is_aligned(trail: Path) -> None:
    """Every row of figures ends in the same column, and totals are the sums of the rows."""
    done = run(trail, "--metrics", "api,callers")

    rows = [line for line in done.stdout.splitlines() if re.search(r"\d\.\d\d$", line)]
    head, tracker, *_ = done.stdout.split("\n\n")
    first = tracker.splitlines()
    cents = [round(100 * float(line.split()[-3].replace(",", ""))) for line in first[1:-1]]
    assert done.returncode == 0
    assert {len(line) for line in rows} == {94}
    assert sum(cents) == round(100 * float(first[-1].split()[1].replace(",", "")))
    assert head.startswith(f"${first[-1].split()[1]} a month is likely to be charged")
    assert "records: 2,000 counted" in done.stderr


def test_json_is_the_same_estimate(trail: Path) -> None:
    """JSON has the figures of the table, dollars as numbers, and the prices they come from."""
    done = run(trail, "--format", "json")
    found = json.loads(done.stdout)

    assert done.returncode == 0
    assert found["sample"]["calls"] == 2_000
    dollars = [line["dollars"] for line in found["bill"]["tracker"]]
    assert found["dollarsAMonth"]["tracker"]["likely"] == pytest.approx(sum(dollars))
    assert found["bill"]["tracker"][1]["dollars"] == 3.6
    assert found["prices"]["prices"]["metric"]["tiers"][0] == [10_000, 0.3]
    counts = subprocess.run(
        [APITRACKER, "count", trail, "--by", "eventName,awsRegion,eventSource", "--format", "csv"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found["usage"]["sets"][0]["metrics"]["low"] == len(counts.stdout.splitlines()) - 1


def test_options(trail: Path, tmp_path: Path) -> None:
    """Settings, times and prices are those given; impossible ones are wrong usage."""
    path = tmp_path / "prices.json"
    table = json.loads(PRICES_FILE.read_bytes())
    table["region"] = "moon-1"
    path.write_text(json.dumps(table))

    assert "moon-1" in run(trail, "--prices", path).stdout
    assert "the budget of 10 metrics is reached" in run(trail, APITRACKER_BUDGET="10").stdout
    one = json.loads(run(trail, "--where", "eventName=AssumeRole", "--format", "json").stdout)
    assert one["sample"]["calls"] < 2_000
    assert one["usage"]["sets"][0]["metrics"]["low"] <= 3  # of three regions
    assert run(trail, "--since", "2030-01-01").stdout == ""
    assert "no log there may hold calls of that time" in run(trail, "--since", "2030-01-01").stderr
    assert "no calls match\n" in run(trail, "--where", "eventName=Nothing").stderr
    wrong = [["--metrics", "apis"], ["--prices", str(tmp_path)], ["--format", "csv"]]
    assert [run(trail, *args).returncode for args in wrong] == [2, 2, 2]
    assert run(tmp_path / "none").returncode == 1


def test_nothing_of_a_record_is_shown(tmp_path: Path) -> None:
    """An estimate has nothing but figures, even of hostile records."""
    hostile = "\x1b[2J<script>"
    records = [record(n, NOON + n, eventName=hostile, awsRegion=hostile) for n in range(3)]
    (tmp_path / "log.json").write_text(json.dumps({"Records": records}))

    shown = [
        run(tmp_path, "--metrics", "api,callers", "--format", form) for form in ("table", "json")
    ]

    assert [done.returncode for done in shown] == [0, 0]
    assert all("script" not in done.stdout and "\x1b" not in done.stdout for done in shown)
    assert list(format_estimate(of_folder(tmp_path), "table"))
