"""One log, from its records to CloudWatch, without a ledger."""

import csv
import random
import time
from collections import Counter
from contextlib import suppress

import pytest
from msgspec.structs import replace
from tests import runtime
from tests.payloads import DATA, MINUTE, NOW, FakeClock, Json, event, real, record
from tests.runtime import CloudWatch

from apitracker.core.model import Log
from apitracker.errors import ApiTrackerError, LogError, SettingsError
from apitracker.settings import Settings
from apitracker.tracker.envelopes import open_event
from apitracker.tracker.put_metric_data import UnpublishedError
from apitracker.tracker.signing import Connection
from apitracker.tracker.tracking import Tracked, Tracker, assemble, track

OWN = "arn:aws:iam::111122223333:role/tracker"


@pytest.fixture
def tracker(poster: Connection, clock: FakeClock) -> Tracker:
    """A tracker that publishes to the test's CloudWatch, and has no ledger."""
    return assemble(Settings(), poster, poster, clock)


def set_to(tracker: Tracker, **settings: Json) -> Tracker:
    """The same tracker with other settings."""
    changed = replace(tracker.settings, **settings)
    return assemble(changed, tracker.poster, tracker.poster, tracker.clock)


def unheard(message: str, /, **facts: object) -> None:
    """Drop it."""


def done(records: list[Json], tracker: Tracker, seconds: float = 60) -> Tracked:
    """Track *records* as one payload, within *seconds*."""
    notes: list[Json] = []

    def notify(message: str, /, **facts: object) -> None:
        notes.append((message, facts))

    [log] = open_event(event(records))
    until = tracker.clock.now() + seconds
    tracked = track(log, tracker, claimant="test", until=until, notify=notify)
    assert notes == []
    return tracked


def test_every_record_is_in_one_place(tracker: Tracker, cloudwatch: CloudWatch) -> None:
    """What is counted is published, and it is said what became of the rest."""
    records = [
        record(1),
        record(2, MINUTE + 1),
        record(2, MINUTE + 1),
        record(3, eventName="PutObject", readOnly=False),
        record(4, int(NOW) - 15 * 86_400),
        {"eventCategory": "Insight", "eventID": "i-1"},
        "no JSON",
        record(5, eventTime="yesterday"),
    ]

    tracked = done(records, tracker)

    balance, published = tracked.counted.balance, tracked.published
    assert (balance.received, balance.counted, balance.duplicates) == (8, 4, 1)
    assert balance.skipped.total() == 1
    assert [(r.place, r.reason) for _, r in balance.rejections] == [
        ("record 7", "is not a record: its JSON is wrong at byte 4"),
        ("record 8", "eventTime 'yesterday' is not a time"),
    ]
    assert (tracked.batches, published.requests, published.datums, published.calls) == (1, 1, 2, 3)
    assert (tracked.excluded, tracked.overflow, tracked.before) == (0, 0, False)
    assert [(r.datum.metric_name, r.datum.timestamp, r.reason) for r in published.refused] == [
        ("GetObject", 1_788_703_980, "older than two weeks, or more than two hours ahead")
    ]
    assert cloudwatch.values() == {
        ("API-COUNT", "GetObject", "eu-west-1", "s3.amazonaws.com", str(MINUTE)): {1: 2},
        ("API-COUNT", "PutObject", "eu-west-1", "s3.amazonaws.com", str(MINUTE)): {1: 1},
    }


def test_a_call_that_two_accounts_see(tracker: Tracker, cloudwatch: CloudWatch) -> None:
    """It counts once, in the caller's account, where that account is said to be recorded."""
    identity = {"type": "AWSAccount", "accountId": "111122223333"}
    views = [
        record(n, userIdentity=identity, recipientAccountId=account, sharedEventID="s")
        for n, account in enumerate(("444455556666", "111122223333"))
    ]
    once = set_to(tracker, recorded="1111* 4444*", namespace="Once", metrics="account")

    every = done(views, tracker).counted.balance
    counts = done(views, once).counted.balance

    assert (every.received, every.counted, every.skipped.total()) == (2, 2, 0)
    assert (counts.received, counts.counted, counts.skipped) == (2, 1, {"shared": 1})
    assert cloudwatch.values() == {
        ("API-COUNT", "GetObject", "eu-west-1", "s3.amazonaws.com", str(MINUTE)): {2: 1},
        ("Once/Usage", "Calls", "eu-west-1", "111122223333", str(MINUTE)): {1: 1},
    }


def test_an_empty_payload(tracker: Tracker, cloudwatch: CloudWatch) -> None:
    """Nothing to publish is no request."""
    assert done([], tracker).batches == 0
    assert cloudwatch.requests == 0


def test_rules(tracker: Tracker, cloudwatch: CloudWatch) -> None:
    """What rules leave out is not published, and is counted."""
    ruled = set_to(tracker, include="eventSource=s3.*", exclude="readOnly=true")
    records = [
        record(1),
        record(2, readOnly=False, eventName="PutObject"),
        record(3, readOnly=False, eventSource="ec2.amazonaws.com"),
    ]

    tracked = done(records, ruled)

    assert (tracked.counted.balance.counted, tracked.excluded, tracked.published.calls) == (3, 2, 1)
    assert cloudwatch.names() == ["PutObject"]


class TestOwnCalls:
    """What the tracker itself calls, which a trail of data events logs."""

    def test_they_are_not_counted(self, tracker: Tracker, cloudwatch: CloudWatch) -> None:
        """Calls of its role to its table and to CloudWatch are left out; all others count."""
        ours = {"sessionContext": {"sessionIssuer": {"arn": OWN}}}
        theirs = {"type": "AWSAccount", "accountId": OWN}  # names it, and is another
        records = [
            record(1, eventName="UpdateItem", eventSource="dynamodb.amazonaws.com"),
            record(
                2,
                eventName="UpdateItem",
                eventSource="dynamodb.amazonaws.com",
                userIdentity=ours,
            ),
            record(
                3,
                eventName="PutMetricData",
                eventSource="monitoring.amazonaws.com",
                userIdentity=ours,
            ),
            record(
                4,
                eventName="UpdateItem",
                eventSource="dynamodb.amazonaws.com",
                userIdentity=theirs,
            ),
            record(5, eventName="UpdateItem", eventSource="s3.amazonaws.com", userIdentity=ours),
        ]

        tracked = done(records, set_to(tracker, own_role=OWN))

        assert (tracked.counted.balance.counted, tracked.published.calls) == (3, 3)
        assert (tracked.excluded, tracked.counted.balance.skipped) == (0, {"own": 2})
        assert cloudwatch.calls() == 3

    def test_they_end(self, tracker: Tracker, cloudwatch: CloudWatch) -> None:
        """A payload of nothing else makes no request, and so no further payload."""
        own = record(
            1,
            eventName="UpdateItem",
            eventSource="dynamodb.amazonaws.com",
            userIdentity={"arn": f"{OWN}/s", "sessionContext": {"sessionIssuer": {"arn": OWN}}},
        )

        assert done([own], set_to(tracker, own_role=OWN)).batches == 0
        assert cloudwatch.requests == 0

    def test_rules_by_caller(self, tracker: Tracker, cloudwatch: CloudWatch) -> None:
        """Rules that look at the caller go on doing so beside it."""
        ours = {"sessionContext": {"sessionIssuer": {"arn": OWN}}}
        records = [
            record(1, eventName="GetItem", eventSource="dynamodb.amazonaws.com", userIdentity=ours),
            record(2, eventName="GetItem", eventSource="dynamodb.amazonaws.com"),
            record(3),
        ]

        tracked = done(records, set_to(tracker, own_role=OWN, include="caller=*Alice"))

        assert (tracked.excluded, tracked.counted.balance.skipped) == (0, {"own": 1})
        assert cloudwatch.calls() == 2


class TestBudget:
    """More distinct metrics than a month may have."""

    def test_overflow(self, tracker: Tracker, cloudwatch: CloudWatch) -> None:
        """What is beyond the budget is counted by service, of which there may be a tenth."""
        records = [
            record(1, eventName="A"),
            record(2, eventName="B"),
            record(3, eventName="C"),
            record(4, eventName="D"),
            record(5, MINUTE + 1, eventName="D", eventSource="ec2.amazonaws.com"),
        ]

        tracked = done(records, set_to(tracker, budget=2))

        assert (tracked.overflow, tracked.batches, tracked.published.calls) == (3, 2, 5)
        where = ("eu-west-1", "s3.amazonaws.com", str(MINUTE))
        assert cloudwatch.values() == {
            ("API-COUNT", "A", *where): {1: 1},
            ("API-COUNT", "B", *where): {1: 1},
            ("API-COUNT/Usage", "__other__", "eu-west-1", "ec2.amazonaws.com", str(MINUTE)): {1: 1},
            ("API-COUNT/Usage", "__other__", "__other__", "__other__", str(MINUTE)): {2: 1},
        }

    def test_what_an_alarm_names(self, tracker: Tracker, cloudwatch: CloudWatch) -> None:
        """An API that an alarm names is admitted, by its metric or inside a query; no other is."""
        given = {"awsRegion": "eu-west-1", "eventSource": "s3.amazonaws.com"}
        pairs = [{"Name": name, "Value": value} for name, value in given.items()]
        metric = {"Namespace": "API-COUNT", "MetricName": "ByMetric", "Dimensions": pairs}
        query = 'SELECT SUM("ByQuery") FROM SCHEMA("API-COUNT", awsRegion, eventSource)'
        cloudwatch.alarms = [
            metric,
            {**metric, "MetricName": "Elsewhere", "Namespace": "Mine"},
            {**metric, "MetricName": "OtherRegion", "Dimensions": pairs[1:]},
            {"Metrics": [{"Id": "a", "Expression": query}]},
            {"Metrics": [{"Id": "a", "Expression": query.replace("API-COUNT", "Mine")}]},
            {"Metrics": [{"Id": "a", "MetricStat": {"Metric": {**metric, "MetricName": "Stat"}}}]},
        ]
        names = ["A", "ByMetric", "ByQuery", "Elsewhere", "OtherRegion", "SUM", "Stat", "T"]
        records = [record(at, eventName=name) for at, name in enumerate(names)]

        tracked = done(records, set_to(tracker, budget=1))

        # SUM is a word of the query too: it costs a metric, and hides nothing.
        assert cloudwatch.names() == ["A", "ByMetric", "ByQuery", "SUM", "Stat", "__other__"]
        assert tracked.overflow == 3

    def test_what_is_admitted_stays(self, tracker: Tracker) -> None:
        """A metric that was admitted goes on; the month after, there is room again."""
        small = set_to(tracker, budget=1)

        assert done([record(1, eventName="A")], small).overflow == 0
        assert done([record(2, eventName="B"), record(3, eventName="A")], small).overflow == 1
        tracker.clock.sleep(20 * 86_400)
        later = int(tracker.clock.now()) - 60
        assert done([record(4, later, eventName="B")], small).overflow == 0

    def test_ten_thousand_invented_names(self, tracker: Tracker, cloudwatch: CloudWatch) -> None:
        """They make as many metrics as there is room for; no call is lost, and none is hidden."""
        records = [record(at, eventName=f"N{at:05}") for at in range(10_000)]
        records.append(record(10_000, eventName="StopLogging"))

        tracked = done(records, set_to(tracker, budget=50, keep="eventName=Stop*"))

        assert (tracked.overflow, tracked.published.calls) == (9_950, 10_001)
        assert cloudwatch.calls() == 10_001
        assert len({*cloudwatch.names()}) == 50 + 1 + 1
        assert "StopLogging" in cloudwatch.names()


def test_a_log_that_cannot_be_read(tracker: Tracker) -> None:
    """It fails the invocation, so that Lambda keeps the event."""
    with pytest.raises(LogError):
        track(Log.of("bad", b"{"), tracker, claimant="c", until=NOW + 9, notify=unheard)


def test_what_is_not_published_fails(tracker: Tracker, cloudwatch: CloudWatch) -> None:
    """Where CloudWatch does not take it the invocation fails, and is tried again by Lambda."""
    cloudwatch.always = runtime.DENIED

    with pytest.raises(UnpublishedError, match="AccessDenied: not authorized"):
        done([record()], tracker)


def test_time_is_kept_to_say_so(tracker: Tracker, cloudwatch: CloudWatch) -> None:
    """It is given up two seconds before the end."""
    cloudwatch.always = runtime.THROTTLED

    with pytest.raises(UnpublishedError, match="Throttling"):
        done([record()], tracker, seconds=9)
    assert tracker.clock.now() < NOW + 7


def test_1000_events(tracker: Tracker, cloudwatch: CloudWatch) -> None:
    """1,000 events of 20 seconds are one request."""
    dice = random.Random(1)  # noqa: S311 - no secret
    records = [
        record(at, MINUTE + dice.randrange(20), eventName=f"N{dice.randrange(40)}")
        for at in range(1000)
    ]

    published = done(records, tracker).published

    assert (published.calls, published.requests, cloudwatch.calls()) == (1000, 1, 1000)
    expected: dict[str, Counter[int]] = {}
    seconds = Counter((r["eventName"], r["eventTime"]) for r in records)
    for (name, _), n in seconds.items():
        expected.setdefault(name, Counter())[n] += 1
    assert {where[1]: counts for where, counts in cloudwatch.values().items()} == expected


def test_a_payload_of_megabytes(tracker: Tracker, cloudwatch: CloudWatch) -> None:
    """A payload of 5.5 MB in base64, the most that Lambda takes, is counted to the last."""
    dice = random.Random(2)  # noqa: S311 - no secret
    records = [
        record(at, MINUTE + at % 300, userAgent=dice.randbytes(95).hex()) for at in range(30_000)
    ]

    tracked = done(records, tracker)

    assert (
        tracked.counted.balance.counted == tracked.published.calls == cloudwatch.calls() == 30_000
    )
    assert tracked.published.datums == 5


def test_real_records_are_the_golden_counts(
    tracker: Tracker, cloudwatch: CloudWatch, clock: FakeClock
) -> None:
    """Real records, each file moved in time as a whole, give the golden counts by minute."""
    records = real()
    with (DATA / "golden" / "by_minute.csv").open(newline="") as file:
        golden = list(csv.reader(file))[1:]
    minutes = sorted({minute for minute, *_ in golden})
    # Each minute that has calls is moved to one of its own within the last two weeks.
    begin = int(clock.time) // 60 * 60 - 13 * 86_400
    moved = {minute: begin + 60 * at for at, minute in enumerate(minutes)}
    expected: Counter[tuple[str, ...]] = Counter()
    for minute, name, region, source, n in golden:
        where = ("API-COUNT", name or "-", region or "-", source or "-")
        expected[(*where, str(moved[minute]))] += int(n)
    for number, found in enumerate(records):
        was = found["eventTime"]
        found["eventTime"] = time.strftime(
            f"%Y-%m-%dT%H:%M:{was[17:19]}Z", time.gmtime(moved[f"{was[:16]}Z"])
        )
        found["eventID"] = f"e-{number}"  # golden counts repeated ids
        (found.get("addendum") or {}).pop("originalEventID", None)

    for at in range(0, len(records), 1000):
        tracked = done(records[at : at + 1000], tracker)
        received = tracked.counted.balance.received
        assert tracked.published.calls == received == len(records[at : at + 1000])

    found_calls = {w: sum(v * n for v, n in c.items()) for w, c in cloudwatch.values().items()}
    assert found_calls == expected
    assert sum(expected.values()) == len(records) == 4777


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("include", "eventSource"),
        ("exclude", "user=Alice"),
        ("keep", "eventName"),
        ("keep", "errorCode=*"),
        ("metrics", "apis"),
        ("metrics", ""),
    ],
)
def test_bad_settings(name: str, value: str, tracker: Tracker) -> None:
    """A rule that cannot be read is an error that names its setting."""
    with pytest.raises(SettingsError, match=f"APITRACKER_{name.upper()}"):
        set_to(tracker, **{name: value})


def test_errors_are_ours(tracker: Tracker) -> None:
    """Random logs raise nothing but errors of our own tree."""
    dice = random.Random(3)  # noqa: S311 - no secret
    for _ in range(200):
        with suppress(ApiTrackerError):
            log = Log.of("random", dice.randbytes(dice.randrange(60)))
            track(log, tracker, claimant="c", until=NOW + 9, notify=unheard)
