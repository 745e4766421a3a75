"""An estimate of records, against the requests of a tracker to a local AWS for the same records."""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.payloads import Json, event, record

from apitracker.core.selection import ALL
from apitracker.costs.prices import load_prices
from apitracker.costs.volume import DAY, MONTH
from apitracker.jobs.estimate import estimate_costs, estimate_query
from apitracker.logs.sources import find
from apitracker.logs.workers import read_all
from apitracker.operations.cloudwatch import list_metrics
from apitracker.settings import Settings
from apitracker.tracker.envelopes import open_event
from apitracker.tracker.retries import SystemClock
from apitracker.tracker.signing import CLOUDWATCH, DYNAMODB, Connection, Credentials, Response
from apitracker.tracker.tracking import Tracker, assemble, track

KEYS = Credentials("123456789012", "secret", "token")
ROLE = "arn:aws:iam::111122223333:role/"


class Counting:
    """A connection that counts what is asked over it."""

    def __init__(self, real: Connection, asked: Counter[str]) -> None:
        self.real = real
        self.asked = asked

    def post(
        self, operation: str, body: bytes, *, deadline: float, gzipped: bool = False
    ) -> Response:
        """Ask, and count."""
        self.asked[operation] += 1
        return self.real.post(operation, body, deadline=deadline, gzipped=gzipped)


@pytest.fixture
def asked() -> Counter[str]:
    """How often each operation was asked for."""
    return Counter()


@pytest.fixture
def tracker(account: str, table: str, asked: Counter[str]) -> Iterator[Tracker]:
    """A tracker with three metric sets and a ledger."""
    given = Settings(namespace=table, ledger=table, metrics="api,outcomes,callers")
    with (
        Connection(CLOUDWATCH, "us-east-1", account, credentials=lambda: KEYS) as cloudwatch,
        Connection(DYNAMODB, "us-east-1", account, credentials=lambda: KEYS) as ledger,
    ):
        yield assemble(given, Counting(cloudwatch, asked), Counting(ledger, asked), SystemClock())


def records() -> list[Json]:
    """Records of a day: two accounts, two regions, some throttled, a minute with 2,300 calls."""
    begin = int(time.time()) // DAY * DAY - 2 * DAY
    seconds = [*range(0, DAY, 1_200), DAY - 1, *[7_260 + n % 60 for n in range(2_300)]]
    return [
        record(
            n,
            begin + second,
            eventName=f"Describe{n % 40}",
            awsRegion="eu-west-1" if n % 3 else "us-east-1",
            recipientAccountId=f"{n % 2:012}",
            userIdentity={"type": "IAMUser", "arn": f"{ROLE}{n % 7}"},
            **({"errorCode": "ThrottlingException"} if n % 10 == 0 else {}),
        )
        for n, second in enumerate(seconds)
    ]


def payloads(given: list[Json]) -> Iterator[list[Json]]:
    """Cut records as the estimate takes it: by minute, account and region, 1,000 at most."""
    windows = defaultdict(list)
    for each in given:
        where = each["eventTime"][:16], each["recipientAccountId"], each["awsRegion"]
        windows[where].append(each)
    for some in windows.values():
        yield from (some[at : at + 1_000] for at in range(0, len(some), 1_000))


def test_what_is_asked_is_what_was_estimated(
    tracker: Tracker, client: Callable[[str], Any], name: str, asked: Counter[str], tmp_path: Path
) -> None:
    """Metrics, requests and writes of a day are a thirtieth of the estimate from that day."""
    given = records()
    (tmp_path / "log.json").write_text(json.dumps({"Records": given}))
    query = estimate_query(ALL, tracker.settings)
    stream = read_all(find(str(tmp_path)), query, processes=1)
    found, _ = estimate_costs(stream, ALL, tracker.settings, load_prices())
    assert found
    invocations = 0

    for some in payloads(given):
        until = time.time() + 60
        # A log is known again by its group and ids.
        [log] = open_event(event(some, f"{name}-{invocations}"))
        done = track(log, tracker, claimant="t", until=until, notify=lambda *_, **__: None)
        assert not done.before
        invocations += 1

    volume = found.volume
    published = [
        metric
        for namespace in (name, f"{name}/Usage")
        for metric in list_metrics(client("cloudwatch"), namespace)
    ]
    days = MONTH // DAY
    admissions = asked["UpdateItem"] - invocations - asked["PutMetricData"]
    assert found.sample.seconds == DAY
    assert len(published) == sum(each.metrics.low for each in volume.sets)
    assert volume.payloads == volume.claims == invocations * days
    assert volume.requests == asked["PutMetricData"] * days
    assert 3 <= admissions <= len(published)
    assert asked["GetItem"] == 3
    [reads] = [item for item in found.bill.tracker if item.name == "ledger reads"]
    assert reads.quantity.low == asked["GetItem"] * min(volume.payloads, 720)
    [writes] = [item for item in found.bill.tracker if item.name == "ledger writes"]
    assert writes.quantity.low >= (invocations + asked["PutMetricData"]) * days + admissions
