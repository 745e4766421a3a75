"""Batches reach CloudWatch, played here over HTTP, once each; or the error says which did not."""

import gzip
import json
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import runtime
from tests.payloads import MINUTE, NOW, FakeClock
from tests.runtime import CloudWatch, Fault

from apitracker.core.counts import Counts
from apitracker.core.datums import Datum
from apitracker.core.fields import rows
from apitracker.core.metric_sets import API, MetricSelection
from apitracker.core.model import Call
from apitracker.errors import ServiceError
from apitracker.tracker.put_metric_data import (
    OUT_OF_TIME,
    Batch,
    Published,
    Refusal,
    plan,
    publish,
)
from apitracker.tracker.signing import CLOUDWATCH, Connection, Credentials, Response

KEYS = Credentials("123456789012", "secret", "token")


def cut(calls: list[Call]) -> list[Batch]:
    """The batches of *calls*."""
    return plan(Counts(API.fields, Counter(rows(calls, API.fields))), MetricSelection()).batches


def batches(n: int = 3, second: int = MINUTE, calls: int = 1) -> list[Batch]:
    """Batches of *n* metrics with *calls* each."""
    return cut([Call(second, f"N{at:04}", "s3", "eu") for at in range(n) for _ in range(calls)])


def send(
    some: list[Batch], cloudwatch: CloudWatch, clock: FakeClock, seconds: float = 5
) -> Published:
    """Publish *some* batches, within *seconds*."""
    url, deadline = cloudwatch.url, clock.time + seconds
    with Connection(CLOUDWATCH, "us-east-1", url, credentials=lambda: KEYS, now=clock.now) as c:
        return publish(some, c, clock, deadline=deadline)


class TestTaken:
    """What CloudWatch takes."""

    def test_example(self, cloudwatch: CloudWatch, clock: FakeClock) -> None:
        """What was planned arrives, value for value, and is said to have arrived."""
        published = send(batches(2, calls=3), cloudwatch, clock)
        assert published == Published(requests=1, datums=2, calls=6)
        assert cloudwatch.values() == {
            ("API-COUNT", "N0000", "eu", "s3", "1789999980"): {3: 1},
            ("API-COUNT", "N0001", "eu", "s3", "1789999980"): {3: 1},
        }
        assert clock.waits == []

    def test_nothing(self, cloudwatch: CloudWatch, clock: FakeClock) -> None:
        """Without batches nothing is sent."""
        assert send([], cloudwatch, clock) == Published()
        assert cloudwatch.requests == 0

    def test_batches_go_over_one_connection_compressed(
        self, cloudwatch: CloudWatch, clock: FakeClock
    ) -> None:
        """2,001 data are three requests over one connection; the long ones are gzip."""
        published = send(batches(2001), cloudwatch, clock)
        assert (published.requests, published.datums) == (3, 2001)
        assert len(cloudwatch.peers) == 1
        assert [len(batch["MetricData"]) for batch in cloudwatch.batches] == [1000, 1000, 1]
        (sent, whole), _, (short, short_whole) = cloudwatch.sizes
        assert sent * 10 < whole
        assert short == short_whole < 1_024
        assert Counter(cloudwatch.names()) == Counter(f"N{at:04}" for at in range(2001))


class TestRetries:
    """What passes is tried again."""

    @pytest.mark.parametrize("spelling", ["query", "json"])
    @pytest.mark.parametrize(
        ("answer", "doubtful"),
        [
            (runtime.THROTTLED, 0),
            (runtime.FAILED, 1),
            (runtime.UNAVAILABLE, 1),
            (Fault("RequestTimeoutException", "RequestTimeout", 400), 1),
            (runtime.WEB_PAGE, 1),
            (runtime.RESET, 1),
            (Fault("TooManyRequestsException", "TooManyRequestsException", 429), 0),
            (Fault("RequestLimitExceeded", "RequestLimitExceeded", 503), 0),
        ],
        ids=str,
    )
    def test_each_batch_arrives_once(
        self,
        answer: runtime.Answer,
        doubtful: int,
        spelling: str,
        cloudwatch: CloudWatch,
        clock: FakeClock,
    ) -> None:
        """A batch that is turned away twice arrives at the third time, and no other batch again."""
        cloudwatch.spelling = spelling
        cloudwatch.answers = [runtime.OK, answer, answer]
        planned = batches(2001)
        published = send(planned, cloudwatch, clock)
        assert published == Published(3, 2001, 2001, retries=2, in_doubt=planned[1:2] * doubtful)
        assert sorted(cloudwatch.names()) == [f"N{at:04}" for at in range(2001)]
        assert clock.waits == [0.05, 0.1]

    @pytest.mark.parametrize("answer", [runtime.LOST, runtime.LATE])
    def test_in_doubt(
        self, answer: runtime.Answer, cloudwatch: CloudWatch, clock: FakeClock
    ) -> None:
        """A batch taken without an answer is sent again, counts twice there, and is in doubt."""
        cloudwatch.answers = [answer]
        planned = batches(3)
        published = send(planned, cloudwatch, clock, seconds=0.5)
        assert published == Published(1, 3, 3, retries=1, in_doubt=planned)
        assert cloudwatch.calls() == 6

    @pytest.mark.parametrize(
        ("chance", "waits"),
        [
            (1.0, [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]),
            (0.5, [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.5, 2.5]),
            (0.0, [0.0] * 8),
        ],
    )
    def test_waits_grow_and_have_full_jitter(
        self, chance: float, waits: list[float], cloudwatch: CloudWatch, clock: FakeClock
    ) -> None:
        """A wait is any part of a bound that doubles from 0.1 s up to 5 s."""
        clock.chance = chance
        cloudwatch.answers = [runtime.THROTTLED] * 8
        assert send(batches(), cloudwatch, clock, seconds=60).retries == 8
        assert clock.waits == pytest.approx(waits)

    @pytest.mark.parametrize("answer", [runtime.THROTTLED, runtime.UNAVAILABLE, runtime.RESET])
    @pytest.mark.parametrize("seconds", [0.25, 3.0, 11.0])
    def test_never_past_the_deadline(
        self,
        answer: runtime.Answer,
        seconds: float,
        cloudwatch: CloudWatch,
        clock: FakeClock,
    ) -> None:
        """When the next wait would pass the deadline, it is given up, before it is slept."""
        clock.chance = 1.0
        cloudwatch.always = answer
        with pytest.raises(ServiceError, match="0 of 1 batches were published, then"):
            send(batches(), cloudwatch, clock, seconds)
        assert clock.time < NOW + seconds
        assert cloudwatch.requests == len(clock.waits) + 1
        assert clock.time + min(5.0, 0.1 * 2 ** len(clock.waits)) >= NOW + seconds

    def test_a_deadline_that_has_passed(self, cloudwatch: CloudWatch, clock: FakeClock) -> None:
        """Nothing is sent any more."""
        with pytest.raises(ServiceError, match=r"0 of 1 batches .* the deadline has passed"):
            send(batches(), cloudwatch, clock, seconds=-1)
        assert (cloudwatch.requests, clock.waits) == (0, [])

    def test_what_was_published_before_is_said(
        self, cloudwatch: CloudWatch, clock: FakeClock
    ) -> None:
        """An error says how many batches went before it, and why this one did not."""
        cloudwatch.answers = [runtime.OK, runtime.OK]
        cloudwatch.always = runtime.THROTTLED
        reason = "2 of 3 batches were published, then AWS answered PutMetricData with Throttling: "
        with pytest.raises(ServiceError, match=reason):
            send(batches(2001), cloudwatch, clock, seconds=1)

    def test_nobody_listens(self, clock: FakeClock) -> None:
        """Where no connection is made nothing is in doubt; it is tried until the deadline."""
        with CloudWatch(clock.now).running() as gone:
            pass
        with pytest.raises(ServiceError, match="was not sent"):
            send(batches(), gone, clock, seconds=1)
        assert clock.waits

    def test_what_was_never_sent_is_not_in_doubt(self) -> None:
        """A server that comes up during the wait gets the batch, and nothing of it is in doubt."""
        with ExitStack() as stack:

            class Waking(FakeClock):
                """A clock that starts the server in the first sleep."""

                def sleep(self, seconds: float) -> None:
                    """Let time go on."""
                    super().sleep(seconds)
                    if len(self.waits) == 1:
                        stack.enter_context(CloudWatch(self.now, gone.server_port).running())

            clock = Waking()
            with CloudWatch(clock.now).running() as gone:
                pass
            assert send(batches(), gone, clock) == Published(1, 3, 3, retries=1)


@dataclass
class Marks:
    """What remembers batches, and cannot any more from the mark number *fails* on."""

    said: list[str]
    fails: int
    done: frozenset[str] = frozenset()
    taken_over: bool = False

    def mark(self, part: str, *, last: bool, deadline: float) -> None:
        """Say it, or fail."""
        del deadline
        if self.fails == 0:
            raise ServiceError("no ledger")
        self.fails -= 1
        self.said.append(f"mark {part}{' as the last' if last else ''}")


class Said:
    """A CloudWatch that takes all, says so, and dies after as many requests as it is told."""

    def __init__(self, said: list[str], dies: int = 99) -> None:
        self.said = said
        self.left = dies

    def post(
        self, operation: str, body: bytes, *, deadline: float, gzipped: bool = False
    ) -> Response:
        """Take it."""
        del operation, deadline
        text = gzip.decompress(body) if gzipped else body
        names = [datum["MetricName"] for datum in json.loads(text)["MetricData"]]
        self.said.append(f"send {names[0]}")
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
        return Response(200, b"")


class TestMarks:
    """What is said of batches that are not remembered, and when."""

    def test_doubt_comes_before_the_send(self, clock: FakeClock) -> None:
        """Once a mark has failed, a batch is in doubt before it is sent: nothing may come after."""
        said: list[str] = []
        poster, marks = Said(said, dies=3), Marks(said, fails=0)

        with pytest.raises(KeyboardInterrupt):
            publish(
                batches(3001),
                poster,
                clock,
                deadline=NOW + 9,
                marks=marks,
                hold=False,
                doubt=lambda batch: said.append(f"doubt {batch.id}"),
            )

        assert said == [
            "send N0000",
            "doubt api.0",
            "doubt api.1",
            "send N1000",
            "doubt api.2",
            "send N2000",
        ]

    def test_the_rest_of_a_log(self, clock: FakeClock) -> None:
        """Of a log that is partly published the last batch of the rest finishes it."""
        said: list[str] = []
        marks = Marks(said, fails=9, done=frozenset({"api.0"}))

        publish(batches(2001), Said(said), clock, deadline=NOW + 9, marks=marks)

        assert said == ["send N1000", "mark api.1", "send N2000", "mark api.2 as the last"]


class TestRefused:
    """What CloudWatch does not take."""

    @pytest.mark.parametrize("spelling", ["query", "json"])
    @pytest.mark.parametrize(
        "fault",
        [
            runtime.INVALID,
            runtime.MISSING,
            runtime.COMBINATION,
            runtime.VALIDATION,
            Fault("SerializationException", "SerializationException"),
            Fault("InvalidFormatFault", "InvalidFormat"),
            runtime.TOO_LARGE,
            Fault("413", "413", 413),  # as of a proxy, which names no error
        ],
        ids=lambda fault: fault.name,
    )
    def test_a_bad_datum_stands_alone(
        self, fault: Fault, spelling: str, cloudwatch: CloudWatch, clock: FakeClock
    ) -> None:
        """One bad datum of 1,000 is set aside with the reason; the others arrive once each."""
        cloudwatch.spelling = spelling
        cloudwatch.bad = lambda datum: fault if datum["MetricName"] == "N0617" else None
        published = send(batches(1000), cloudwatch, clock)
        assert (published.datums, published.calls, published.retries) == (999, 999, 0)
        [refusal] = published.refused
        assert refusal.datum.metric_name == "N0617"
        name = fault.query if spelling == "query" else fault.name
        assert refusal.reason == f"{name}: as the test wants it"
        expected = [f"N{at:04}" for at in range(1000) if at != 617]
        assert cloudwatch.names() == expected
        assert cloudwatch.requests <= 21  # two for each halving of 1,000, and the first

    @settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(n=st.integers(0, 40), data=st.data())
    def test_balance(
        self, n: int, data: st.DataObject, cloudwatch: CloudWatch, clock: FakeClock
    ) -> None:
        """Whatever is refused or turned away: what is sent and what is refused were planned."""
        bad = data.draw(st.sets(st.sampled_from(range(n)))) if n else set()
        old = data.draw(st.sets(st.sampled_from(range(n)))) if n else set()
        passing: st.SearchStrategy[runtime.Answer] = st.sampled_from(
            [runtime.OK, runtime.THROTTLED, runtime.FAILED, runtime.RESET]
        )
        cloudwatch.answers = data.draw(st.lists(passing, max_size=6))
        cloudwatch.bad = lambda datum: (
            runtime.INVALID if int(datum["MetricName"][1:]) in bad else None
        )
        cloudwatch.batches, cloudwatch.taken = [], []
        clock.chance = 0.0
        seconds = {at: 1_600_000_000 if at in old else MINUTE for at in range(n)}
        calls = [Call(second, f"N{at:04}", "s3", "eu") for at, second in seconds.items()]
        planned = cut(calls)
        published = send(planned, cloudwatch, clock)
        refused = [refusal.datum.metric_name for refusal in published.refused]
        assert sorted(refused) == [f"N{at:04}" for at in sorted(bad | old)]
        assert cloudwatch.names() == [f"N{at:04}" for at in range(n) if at not in bad | old]
        assert published.datums == len(cloudwatch.taken) == cloudwatch.calls() == published.calls
        assert published.datums + len(refused) == n

    @pytest.mark.parametrize("spelling", ["query", "json"])
    @pytest.mark.parametrize(
        "fault",
        [
            runtime.DENIED,
            Fault("UnrecognizedClientException", "InvalidClientTokenId", 403),
            Fault("ExpiredTokenException", "ExpiredToken", 400),
            Fault("UnknownOperationException", "InvalidAction", 404),
        ],
        ids=lambda fault: fault.name,
    )
    def test_what_does_not_pass_stops_at_once(
        self, fault: Fault, spelling: str, cloudwatch: CloudWatch, clock: FakeClock
    ) -> None:
        """Where CloudWatch does not want to hear from us, one request is enough."""
        cloudwatch.spelling = spelling
        cloudwatch.always = fault
        name = fault.query if spelling == "query" else fault.name
        with pytest.raises(ServiceError, match=f"AWS answered PutMetricData with {name}: "):
            send(batches(2001), cloudwatch, clock)
        assert (cloudwatch.requests, clock.waits) == (1, [])

    def test_what_is_too_old_or_too_new_is_not_sent(
        self, cloudwatch: CloudWatch, clock: FakeClock
    ) -> None:
        """It comes back with the reason, and does not spoil the batch it was planned in."""
        old, new = int(NOW) - 14 * 86_400 - 60, int(NOW) + 7_260
        calls = [Call(s, "N", "s3", "eu") for s in (old, old, MINUTE, new)]
        planned = cut(calls)
        published = send(planned, cloudwatch, clock)
        assert published == Published(
            1, 1, 1, refused=[Refusal(d, OUT_OF_TIME) for d in (_of(planned, 0), _of(planned, 2))]
        )
        assert [datum["Timestamp"] for datum in cloudwatch.taken] == [MINUTE]
        assert cloudwatch.requests == 1

    def test_a_batch_of_old_data_is_not_sent(
        self, cloudwatch: CloudWatch, clock: FakeClock
    ) -> None:
        """Where nothing of a batch is left there is no request."""
        published = send(batches(1001, second=1_600_000_020), cloudwatch, clock)
        assert (published.requests, len(published.refused), cloudwatch.requests) == (0, 1001, 0)

    def test_time_goes_on_while_batches_wait(
        self, cloudwatch: CloudWatch, clock: FakeClock
    ) -> None:
        """What is too old only when its batch's turn has come is not sent either."""
        clock.chance = 1.0
        start = MINUTE
        clock.time = start + 14 * 86_400 - 0.05
        cloudwatch.answers = [runtime.THROTTLED, runtime.OK]
        some = batches(1, second=int(clock.time) - 60) + batches(1, second=start)
        published = send(some, cloudwatch, clock)
        assert (published.datums, len(published.refused)) == (1, 1)
        assert published.refused[0].reason == "older than two weeks, or more than two hours ahead"


def test_bodies_are_as_planned(cloudwatch: CloudWatch, clock: FakeClock) -> None:
    """What arrives is the planned batch, byte for byte where it is not compressed."""
    planned = batches(1)
    send(planned, cloudwatch, clock)
    assert cloudwatch.sizes == [(len(planned[0].body), len(planned[0].body))]
    assert cloudwatch.batches == [json.loads(planned[0].body)]


def _of(planned: list[Batch], at: int) -> Datum:
    return [datum for batch in planned for datum in batch.datums][at]
