"""Reconciling, without AWS. The command against a local AWS is in aws/test_reconcile_command.py."""

from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.payloads import FakeClock

from apitracker.core.counts import Counts
from apitracker.core.datums import Datum, Dimension
from apitracker.core.metric_sets import OVERFLOW, MetricSelection
from apitracker.jobs import reconcile
from apitracker.jobs.reconcile import (
    DifferenceKind,
    PublishedCalls,
    SentBefore,
    SumsQuery,
    compare,
    make_top_ups,
)
from apitracker.operations.cloudwatch import Metric, metrics_per_request
from apitracker.operations.top_ups import MetricMinute, TopUpRecord
from apitracker.tracker.put_metric_data import OUT_OF_TIME, plan
from apitracker.tracker.signing import Response

NOW = 1_700_000_000.0
MINUTE = 1_699_920_000  # a day before, to the minute
DAY = 86_400
GET = MetricMinute(MINUTE, "Get", "r", "s")
PUT = MetricMinute(MINUTE, "Put", "r", "s")
LIST = MetricMinute(MINUTE, "List", "r2", "s")
REST = MetricMinute(MINUTE, OVERFLOW, "r", "s")
ALL_OVERFLOW = MetricMinute(MINUTE, OVERFLOW, OVERFLOW, OVERFLOW)


def datum(key: MetricMinute, *seconds: int) -> Datum:
    """A minute with so many calls in each of its *seconds* that had any."""
    minute, name, region, source = key
    tally = Counter(seconds)
    dimensions = (Dimension("awsRegion", region), Dimension("eventSource", source))
    return Datum(name, dimensions, minute, list(tally), list(tally.values()))


def happened(counts: Mapping[MetricMinute, int]) -> dict[MetricMinute, Datum]:
    """As many calls, all in one second of each minute."""
    return {key: datum(key, calls) for key, calls in counts.items()}


Said = list[tuple[MetricMinute, DifferenceKind, int]]


def differences(
    counts: Mapping[MetricMinute, int],
    published: Mapping[MetricMinute, int],
    overflow: Mapping[MetricMinute, int] | None = None,
    sent: Mapping[MetricMinute, int] | None = None,
) -> tuple[int, Said]:
    """The equal calls, and each difference by minute, kind and calls."""
    shown = PublishedCalls(published, overflow or {})
    found = compare(happened(counts), shown, sent or {})
    return found.equal, [(each.minute, each.kind, each.calls) for each in found.differences]


# --- compared -----------------------------------------------------------------------------------


def test_comparing() -> None:
    """What is published is equal, missing or too many, each metric and minute by itself."""
    later = GET._replace(minute=MINUTE + 60)

    assert differences({GET: 5, PUT: 2, later: 1}, {GET: 3, PUT: 2, later: 4, LIST: 7}) == (
        3 + 2 + 1,
        [
            (GET, DifferenceKind.MISSING, 2),
            (LIST, DifferenceKind.TOO_MANY, 7),
            (later, DifferenceKind.TOO_MANY, 3),
        ],
    )
    assert differences({GET: 5}, {GET: 5}) == (5, [])
    assert differences({}, {}) == (0, [])


def test_rows() -> None:
    """A row says what happened, what was published, and how much more that is."""
    found = compare(happened({GET: 5, PUT: 1}), PublishedCalls({GET: 3, PUT: 4}, {}), {})

    assert [each.row for each in found.differences] == [
        ((*GET, "missing", 5, 3), -2),
        ((*PUT, "too many", 1, 4), 3),
    ]
    assert (
        *("minute", "eventName", "awsRegion", "eventSource"),
        *("what", "happened", "published"),
    ) == reconcile.DIFFERENCE_FIELDS


def test_overflow() -> None:
    """Calls beyond the budget are found in the overflow of their region, service and minute."""
    assert differences({GET: 5}, {}, {REST: 5}) == (0, [(GET, DifferenceKind.IN_OVERFLOW, 5)])
    assert differences({GET: 5}, {GET: 1}, {REST: 3}) == (
        1,
        [(GET, DifferenceKind.IN_OVERFLOW, 3), (GET, DifferenceKind.MISSING, 1)],
    )
    assert differences({GET: 5, LIST: 1}, {LIST: 1}, {REST: 7}) == (
        1,
        [(GET, DifferenceKind.IN_OVERFLOW, 5), (REST, DifferenceKind.TOO_MANY, 2)],
    )
    # Neither another region, nor another minute, has them.
    later = REST._replace(minute=MINUTE + 60)
    assert differences({LIST: 1}, {}, {REST: 1, later: 1})[1] == [
        (LIST, DifferenceKind.MISSING, 1),
        (REST, DifferenceKind.TOO_MANY, 1),
        (later, DifferenceKind.TOO_MANY, 1),
    ]


def test_overflow_of_all_services() -> None:
    """Beyond the budget of overflow, all regions and services are counted as one."""
    assert differences({GET: 5, LIST: 2}, {}, {REST: 4, ALL_OVERFLOW: 3}) == (
        0,
        [(GET, DifferenceKind.IN_OVERFLOW, 5), (LIST, DifferenceKind.IN_OVERFLOW, 2)],
    )


def test_overflow_is_of_metrics_that_cloudwatch_does_not_have() -> None:
    """A metric that was admitted at another time lacks calls; one that never was does not."""
    earlier = GET._replace(minute=MINUTE - 60)

    assert differences({earlier: 1, GET: 5, PUT: 5}, {earlier: 1}, {REST: 5}) == (
        1,
        [(GET, DifferenceKind.MISSING, 5), (PUT, DifferenceKind.IN_OVERFLOW, 5)],
    )


def test_an_api_that_is_named_like_the_overflow() -> None:
    """An eventName is whatever a log says; the overflow is in a namespace of its own."""
    assert differences({REST: 2, GET: 3}, {REST: 2}, {REST: 3}) == (
        2,
        [(GET, DifferenceKind.IN_OVERFLOW, 3)],
    )


def test_what_was_sent() -> None:
    """What CloudWatch does not show yet is not missing, and what came since is."""
    assert differences({GET: 5}, {GET: 2}, sent={GET: 5}) == (2, [(GET, DifferenceKind.SENT, 3)])
    assert differences({GET: 5}, {GET: 5}, sent={GET: 5}) == (5, [])
    assert differences({GET: 6}, {GET: 2}, sent={GET: 5}) == (
        2,
        [(GET, DifferenceKind.MISSING, 1), (GET, DifferenceKind.SENT, 3)],
    )
    assert differences({GET: 5}, {GET: 2}, {REST: 1}, {GET: 4}) == (
        2,
        [(GET, DifferenceKind.IN_OVERFLOW, 1), (GET, DifferenceKind.SENT, 2)],
    )
    # Fewer files than the last time: there is no more to come than they show.
    assert differences({GET: 3}, {GET: 2}, sent={GET: 5}) == (2, [(GET, DifferenceKind.SENT, 1)])
    assert differences({GET: 1}, {GET: 2}, sent={GET: 5}) == (
        1,
        [(GET, DifferenceKind.TOO_MANY, 1)],
    )


@pytest.mark.parametrize(("age", "coming"), [(72 * 3_600 - 1, {GET: 5}), (72 * 3_600, {})])
def test_what_was_sent_has_to_show_in_two_days(age: int, coming: dict[MetricMinute, int]) -> None:
    """What CloudWatch does not show after three days was not sent, or is lost."""
    before = SentBefore(found={GET: TopUpRecord(total=5, at=int(NOW) - age)})

    assert before.not_visible(NOW) == coming


def test_what_can_be_compared() -> None:
    """Minutes are there for 15 days; nothing is asked that could be too old before the answer."""
    oldest = int(NOW) - 15 * DAY + 3_600
    times = [oldest - 60, oldest, int(NOW) + 7_200, int(NOW) + 7_261, 253_402_300_799]
    selection = MetricSelection()
    counts = Counts(selection.fields, {("Get", "r", "s", time): 2 for time in times})

    found, rest = reconcile.comparable_datums(plan(counts, selection).batches, NOW)

    minutes = [(oldest // 60 + 1) * 60, (int(NOW) + 7_200) // 60 * 60]
    assert oldest % 60
    assert rest == 8
    assert list(found) == [(minutes[1], "Get", "r", "s")]


# --- asked --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metrics", "minutes", "requests", "dollars"),
    [
        (1, 1, 1, "0.00001"),
        (500, 201, 1, "0.00500"),
        (501, 201, 2, "0.00501"),
        (500, 202, 2, "0.00500"),
        (5_000, 14 * 1_440, 1_000, "0.05000"),
        (4, 15 * 1_440, 1, "0.00004"),
    ],
)
def test_what_it_costs(metrics: int, minutes: int, requests: int, dollars: str) -> None:
    """Each metric is asked for once, as many in a request as its 100,800 values allow."""
    asked = [Metric("N", str(number), ()) for number in range(metrics)]

    query = SumsQuery(asked, MINUTE, MINUTE + 60 * minutes)

    assert (query.requests, f"{query.dollars:.5f}") == (requests, dollars)
    assert metrics_per_request(60, query.start, query.end) * minutes <= 100_800


# --- published ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("calls", "seconds"),
    [
        (1, {1: 1}),
        (2, {1: 2}),
        (3, {1: 3}),
        (4, {1: 2, 2: 1}),
        (6, {1: 2, 2: 2}),
        (10, {1: 2, 2: 2, 4: 1}),
        (14, {1: 2, 2: 2, 8: 1}),
    ],
)
def test_a_part_of_a_minute(calls: int, seconds: dict[int, int]) -> None:
    """The quietest seconds are sent first, so that no second is busier than it was."""
    whole = datum(GET, 9, 1, 2, 1, 2)

    part = reconcile.take_quietest(whole, calls)

    assert dict(zip(part.values, part.counts, strict=True)) == seconds
    assert (part.calls, reconcile.minute_of(part)) == (calls, GET)
    assert reconcile.take_quietest(whole, 15) is whole


def test_top_ups() -> None:
    """A minute that is missing as a whole is sent as it is, of another the rest."""
    files = {GET: datum(GET, 3, 1), PUT: datum(PUT, 4, 2), LIST: datum(LIST, 1)}
    found = compare(files, PublishedCalls({PUT: 3, LIST: 1}, {}), {PUT: 4})

    ups, fresh = make_top_ups(found, files, NOW)

    assert [up.datum for up in ups] == [datum(GET, 3, 1), datum(PUT, 2)]
    assert [(up.minute, up.total) for up in ups] == [(GET, 4), (PUT, 6)]
    assert fresh == 0


def test_the_tracker_is_waited_for() -> None:
    """What is not six hours old may still be on its way."""
    young, old = int(NOW) // 60 * 60 - 6 * 3_600 + 60, int(NOW) // 60 * 60 - 6 * 3_600
    counts = {GET._replace(minute=young): 2, GET._replace(minute=old): 3}

    ups, fresh = make_top_ups(
        compare(happened(counts), PublishedCalls({}, {}), {}), happened(counts), NOW
    )

    assert [up.datum.timestamp for up in ups] == [old]
    assert fresh == 2


# --- laws ---------------------------------------------------------------------------------------

KEYS = st.builds(
    MetricMinute,
    st.sampled_from([MINUTE, MINUTE + 60]),
    st.sampled_from(["Get", "Put"]),
    st.sampled_from(["r", "r2"]),
    st.just("s"),
)
SECONDS = st.lists(st.integers(1, 9), min_size=1, max_size=60)
FILES = st.dictionaries(KEYS, SECONDS).map(
    lambda found: {key: datum(key, *seconds) for key, seconds in found.items()}
)
CALLS = st.integers(1, 99)
OVERFLOW_MINUTES = st.sampled_from(
    [o._replace(minute=m) for m in (MINUTE, MINUTE + 60) for o in (REST, ALL_OVERFLOW)]
)
SUMS = st.builds(
    PublishedCalls, st.dictionaries(KEYS, CALLS), st.dictionaries(OVERFLOW_MINUTES, CALLS)
)


def send(sums: PublishedCalls, ups: Sequence[reconcile.TopUp]) -> PublishedCalls:
    """The sums when CloudWatch has taken *ups*."""
    new = Counter(sums.by_api)
    for up in ups:
        new[up.minute] += up.datum.calls
    return PublishedCalls(dict(new), sums.overflow)


def total(files: Mapping[MetricMinute, Datum]) -> int:
    """All calls."""
    return sum(each.calls for each in files.values())


@given(FILES, SUMS, st.dictionaries(KEYS, CALLS))
def test_nothing_is_left_out(
    files: dict[MetricMinute, Datum], sums: PublishedCalls, sent: dict[MetricMinute, int]
) -> None:
    """Each call that happened, and each that was published, is in one place."""
    found = compare(files, sums, sent)

    parts = (
        found.calls(what)
        for what in (DifferenceKind.MISSING, DifferenceKind.SENT, DifferenceKind.IN_OVERFLOW)
    )
    assert total(files) == found.equal + sum(parts)
    shown = sum(sums.by_api.values()) + sum(sums.overflow.values())
    assert shown == found.equal + found.calls(DifferenceKind.TOO_MANY) + found.calls(
        DifferenceKind.IN_OVERFLOW
    )


@given(FILES, SUMS)
def test_publishing_the_difference(files: dict[MetricMinute, Datum], sums: PublishedCalls) -> None:
    """After it nothing is missing, what was too much is as it was, and no peak is invented."""
    before = compare(files, sums, {})
    ups, _ = make_top_ups(before, files, NOW)
    after = compare(files, send(sums, ups), {})

    assert after.calls(DifferenceKind.MISSING) == 0
    assert after.calls(DifferenceKind.IN_OVERFLOW) == before.calls(DifferenceKind.IN_OVERFLOW)
    assert after.calls(DifferenceKind.TOO_MANY) == before.calls(DifferenceKind.TOO_MANY)
    assert make_top_ups(after, files, NOW) == ([], 0)
    for up in ups:
        whole = files[up.minute]
        assert max(up.datum.values) <= max(whole.values)
        assert sum(up.datum.counts) <= sum(whole.counts)


@given(FILES, FILES, SUMS)
def test_publishing_before_it_shows(
    files: dict[MetricMinute, Datum], more: dict[MetricMinute, Datum], sums: PublishedCalls
) -> None:
    """What was sent is not sent again, not even when files have come since with more calls."""
    ups, _ = make_top_ups(compare(files, sums, {}), files, NOW)
    memory = {up.minute: up.total for up in ups}

    again = compare(files, sums, memory)
    assert again.calls(DifferenceKind.MISSING) == 0
    assert again.calls(DifferenceKind.SENT) == sum(up.datum.calls for up in ups)

    for key, other in more.items():
        seconds = [
            v
            for each in (files.get(key, other), other)
            for v, n in zip(each.values, each.counts, strict=True)
            for _ in range(n)
        ]
        files[key] = datum(key, *seconds)
    further, _ = make_top_ups(compare(files, sums, memory), files, NOW)
    final = compare(files, send(send(sums, ups), further), {})

    assert final.calls(DifferenceKind.MISSING) == 0
    assert final.calls(DifferenceKind.TOO_MANY) <= compare(files, sums, {}).calls(
        DifferenceKind.TOO_MANY
    )


# --- sent ---------------------------------------------------------------------------------------


class Poster:
    """What takes all it is sent."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.posted = 0

    def post(
        self, operation: str, body: bytes, *, deadline: float, gzipped: bool = False
    ) -> Response:
        """Take it, or not."""
        del operation, body, deadline, gzipped
        self.posted += 1
        return Response(self.status, b"{}", "AccessDenied", "No.")


def test_sending_in_batches() -> None:
    """A batch is as much as can be recorded at once; a datum that is too old comes back."""
    minutes = [MINUTE - 60 * n for n in range(149)] + [int(NOW) // 60 * 60 - 14 * DAY - 60]
    files = happened({GET._replace(minute=minute): 2 for minute in minutes})
    ups, _ = make_top_ups(compare(files, PublishedCalls({}, {}), {}), files, NOW)
    poster = Poster()

    done = list(reconcile.send_top_ups(ups, "N", poster, FakeClock(NOW), SentBefore()))

    assert poster.posted == 2
    assert [each.calls for each in done] == [198, 100]
    assert [(r.datum.timestamp, r.reason) for each in done for r in each.refused] == [
        (minutes[-1], OUT_OF_TIME)
    ]
