"""The ledger, on a local DynamoDB: a log that is delivered again is published once."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests import runtime
from tests.payloads import MINUTE, NOW, FakeClock, Json, event, record
from tests.runtime import CloudWatch

from apitracker.core.metric_sets import MetricSelection, Series
from apitracker.errors import ServiceError
from apitracker.settings import Settings
from apitracker.tracker import ledger
from apitracker.tracker.envelopes import open_event
from apitracker.tracker.ledger import Decision, HeldError, Ledger, admit, admitted, claim, progress
from apitracker.tracker.put_metric_data import UnpublishedError
from apitracker.tracker.retries import Clock
from apitracker.tracker.signing import (
    CLOUDWATCH,
    DYNAMODB,
    Connection,
    Credentials,
    Response,
    TransportError,
)
from apitracker.tracker.tracking import Tracked, Tracker, assemble, track

KEYS = Credentials("123456789012", "secret", "token")
DECISION = Decision(1_790_000_000, MetricSelection())
LOG = "0" * 64
PARTS = frozenset({"api.0", "api.1/0"})


@pytest.fixture
def dynamodb(account: str) -> Iterator[Connection]:
    """The local DynamoDB."""
    with Connection(DYNAMODB, "us-east-1", account, credentials=lambda: KEYS) as made:
        yield made


@dataclass
class Faulty:
    """The connection *real*, but for the *faults* of its next requests; None is no fault."""

    real: Connection
    faults: list[Callable[[Callable[[], Response]], Response] | None] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)

    def post(
        self, operation: str, body: bytes, *, deadline: float, gzipped: bool = False
    ) -> Response:
        """Send *body*, or not."""
        del deadline  # of the test's own clock

        def send() -> Response:
            later = self.real._now() + 10  # noqa: SLF001 - the real clock
            return self.real.post(operation, body, deadline=later, gzipped=gzipped)

        self.sent.append(operation)
        fault = self.faults.pop(0) if self.faults else None
        return fault(send) if fault else send()


def lost(send: Callable[[], Response]) -> Response:
    """It is done, and nobody hears of it."""
    send()
    raise TransportError("was sent, but its answer did not come", in_doubt=True)


def unsent(_: Callable[[], Response]) -> Response:
    """It does not leave."""
    raise TransportError("was not sent", in_doubt=False)


def throttled(_: Callable[[], Response]) -> Response:
    """There is too much to do."""
    return Response(400, b"{}", "ProvisionedThroughputExceededException", "slow down")


def down(_: Callable[[], Response]) -> Response:
    """There is no service at all."""
    return Response(500, b"{}", "InternalServerError", "sorry")


def web_page(_: Callable[[], Response]) -> Response:
    """Something else answers, and says that all is well."""
    return Response(200, b"<html>Sign in to the network</html>")


def other_json(_: Callable[[], Response]) -> Response:
    """Something else answers in JSON."""
    return Response(200, b'{"Attributes":[],"Item":"none"}')


def other_item(_: Callable[[], Response]) -> Response:
    """The item is of somebody else."""
    return Response(200, b'{"Attributes":{"claimant":{"S":"a"}}}')


@pytest.fixture
def faulty(dynamodb: Connection) -> Faulty:
    """A DynamoDB that can be made to fail."""
    return Faulty(dynamodb)


@pytest.fixture
def book(table: str, faulty: Faulty, clock: FakeClock) -> Ledger:
    """A ledger that goes by the test's clock."""
    return Ledger(table, faulty, clock)


def claimed(book: Ledger, who: str = "a", seconds: float = 60, **decided: Json) -> ledger.Claim:
    """Claim the log for *who*, for so many *seconds*."""
    now = book.clock.now()
    decision = replace(DECISION, **decided)
    return claim(book, LOG, decision, claimant=who, until=now + seconds, deadline=now + 10)


class TestClaims:
    """Who may publish a log."""

    def test_the_first_decides(self, book: Ledger) -> None:
        """What was decided first is what all who come later are given."""
        mine = MetricSelection("Mine", ("api", "callers"), "eventName=A", "eventName=B")
        first = claimed(book, "a", selection=mine, overflow={"api": (b"\x01\x80", b"")})
        first.give_back(deadline=book.clock.now() + 9)
        second = claimed(book, "b", selection=MetricSelection("Other"))

        assert first.decision == second.decision
        assert second.decision.selection == mine
        assert second.decision.overflow == {"api": (b"\x01\x80", b"")}
        assert (second.done, second.taken_over, second.finished) == (frozenset(), False, False)

    def test_one_at_a_time(self, book: Ledger, clock: FakeClock) -> None:
        """While one has it no other has; from its deadline on another may take it over."""
        claimed(book, "a", seconds=60)
        clock.sleep(59.9)
        with pytest.raises(HeldError, match="another execution is publishing this log"):
            claimed(book, "b")
        clock.sleep(0.1)

        assert claimed(book, "b").taken_over

    def test_marks_stay(self, book: Ledger, clock: FakeClock) -> None:
        """What one has marked, the next knows."""
        first = claimed(book)
        first.mark("api.0", last=False, deadline=clock.now() + 9)
        first.mark("api.1/0", last=False, deadline=clock.now() + 9)
        assert progress(book, LOG, deadline=clock.now() + 9) == (False, PARTS)
        first.give_back(deadline=clock.now() + 9)

        second = claimed(book, "b")

        assert (second.done, second.taken_over) == (PARTS, False)

    def test_finished(self, book: Ledger, clock: FakeClock) -> None:
        """A log that is finished is nobody's, from that moment on and for good."""
        first = claimed(book)
        first.mark("api.0", last=True, deadline=clock.now() + 9)

        assert claimed(book, "b").finished
        clock.sleep(86_400)
        assert claimed(book, "c").finished
        assert progress(book, LOG, deadline=clock.now() + 9) == (True, frozenset({"api.0"}))

    @pytest.mark.parametrize("fault", [lost, unsent, throttled, down])
    def test_an_answer_that_is_lost(
        self, fault: Callable[..., Response], book: Ledger, faulty: Faulty, clock: FakeClock
    ) -> None:
        """Whoever claims again as nothing was heard finds that claim, and what was before."""
        claimed(book, "a", seconds=1)
        clock.sleep(2)
        faulty.faults = [fault]

        again = claimed(book, "b")

        assert (again.claimant, again.taken_over, len(faulty.sent)) == ("b", True, 3)

    def test_what_was_taken_over_is_not_given_back(self, book: Ledger, clock: FakeClock) -> None:
        """One who comes too late does not let a third one in."""
        late = claimed(book, "a", seconds=1)
        clock.sleep(2)
        claimed(book, "b")
        late.give_back(deadline=clock.now() + 9)

        with pytest.raises(HeldError):
            claimed(book, "c")

    def test_nobody_answers(self, book: Ledger, faulty: Faulty) -> None:
        """A ledger that does not answer in time is an error that says so."""
        faulty.faults = [down] * 99
        with pytest.raises(ServiceError, match="InternalServerError: sorry"):
            claimed(book)

    def test_no_table(self, book: Ledger) -> None:
        """A table that is not there is an error at once, and is named."""
        with pytest.raises(ServiceError, match="UpdateItem of the table gone"):
            claimed(replace(book, table="gone"))

    def test_another_decision(self, book: Ledger, clock: FakeClock) -> None:
        """A decision that is replaced is the one that later claims are given."""
        first = claimed(book, version=1)
        first.decide(replace(DECISION, decided=1_790_000_007, fingerprint="f"), deadline=NOW + 9)
        clock.sleep(60)
        second = claimed(book, "b")

        assert first.decision == second.decision
        assert (second.decision.fingerprint, second.decision.version) == ("f", 2)
        with pytest.raises(HeldError, match="another execution is publishing this log"):
            first.decide(DECISION, deadline=clock.now() + 9)

    @pytest.mark.parametrize("fault", [web_page, other_json])
    @pytest.mark.parametrize("asked", ["claim", "look up", "admitted", "admit"])
    def test_no_answer_of_a_ledger(
        self, asked: str, fault: Callable[..., Response], book: Ledger, faulty: Faulty
    ) -> None:
        """A success that has not the form of one is an error that names what was asked."""
        faulty.faults = [fault]
        by = book.clock.now() + 9
        ask: dict[str, Callable[[], object]] = {
            "claim": lambda: claimed(book),
            "look up": lambda: progress(book, LOG, deadline=by),
            "admitted": lambda: admitted(book, "m", deadline=by),
            "admit": lambda: admit(book, "m", ["YQ=="], room=1, deadline=by),
        }
        operation = "UpdateItem" if asked in {"claim", "admit"} else "GetItem"
        with pytest.raises(ServiceError, match=f"AWS answered {operation} with 200 and an unknown"):
            ask[asked]()

    def test_an_admission_that_is_not_kept(self, book: Ledger, faulty: Faulty) -> None:
        """A success without what was written is an error: it would be asked again for ever."""
        faulty.faults = [lambda _: Response(200, b"{}")]
        with pytest.raises(ServiceError, match=r"the item m of the table .* lacks the metrics"):
            admit(book, "m", ["YQ=="], room=1, deadline=book.clock.now() + 9)

    def test_an_item_of_others(self, book: Ledger, faulty: Faulty) -> None:
        """An item without what a claim writes is an error that says what to do."""
        faulty.faults = [other_item]
        with pytest.raises(ServiceError, match=f"{LOG}: its item in the table .* delete it, or"):
            claimed(book)

    def test_a_decision_of_another_form(self, book: Ledger, client: Callable[[str], Any]) -> None:
        """What another version has decided in a form of its own is another version's."""
        item = {"id": LOG, "decision": '{"decided":"yesterday"}', "deadline": None, "claimant": "a"}
        client("dynamodb").put_item(
            TableName=book.table,
            Item={k: {"S": v} if v else {"N": "0"} for k, v in item.items()},
        )
        with pytest.raises(HeldError, match="another version of apitracker"):
            claimed(book, "b")

    def test_items_expire(self, book: Ledger, client: Callable[[str], Any]) -> None:
        """An item may go 15 days after the decision: CloudWatch takes nothing of it by then."""
        claimed(book)
        [item] = client("dynamodb").scan(TableName=book.table)["Items"]
        assert item["expires"] == {"N": str(1_790_000_000 + 15 * 86_400)}


class TestAdmission:
    """The metrics that a month admits."""

    def test_up_to_the_budget(self, book: Ledger, clock: FakeClock) -> None:
        """As many are admitted as there is room for; others come back as they were."""
        by = clock.now() + 9
        assert admitted(book, "m", deadline=by) == frozenset()
        assert admit(book, "m", ["YQ==", "Yg=="], room=1, deadline=by) == {"YQ==", "Yg=="}
        assert admit(book, "m", ["Yw=="], room=1, deadline=by) == {"YQ==", "Yg=="}
        assert admit(book, "m", ["Yw=="], room=2, deadline=by) == {"YQ==", "Yg==", "Yw=="}
        assert admitted(book, "m", deadline=by) == {"YQ==", "Yg==", "Yw=="}

    def test_it_is_remembered_for_longer_than_a_month(
        self, book: Ledger, client: Callable[[str], Any], clock: FakeClock
    ) -> None:
        """What a month has admitted may go after 40 days: no day of the month admits it anew."""
        admit(book, "m", ["YQ=="], room=1, deadline=clock.now() + 9)
        clock.sleep(30 * 86_400)
        admit(book, "m", ["Yg=="], room=1, deadline=clock.now() + 9)
        [item] = client("dynamodb").scan(TableName=book.table)["Items"]
        assert item["expires"] == {"N": str(1_790_000_000 + 40 * 86_400)}

    def test_many_at_once(self, book: Ledger, metrics: Faulty, clock: FakeClock) -> None:
        """Two processes share one budget, however they take turns."""
        one, two = (tracker(book, metrics, clock, budget=5) for _ in range(2))
        admitted_by = Counter[str]()
        for at in range(12):
            each = (one, two)[at % 2]
            series = {Series(f"N{at}", ("r", "s")), Series(f"M{at}", ("r", "s"))}
            beyond = each.budgets["api"][0].beyond(
                series, book, now=clock.now(), deadline=clock.now() + 9
            )
            admitted_by["admitted"] += len(series - beyond)
        assert admitted_by["admitted"] == 5


# --- a log is tracked with it -------------------------------------------------------------------


@pytest.fixture
def metrics(cloudwatch: CloudWatch) -> Iterator[Faulty]:
    """That CloudWatch, which can be made to fail on the way."""
    with Connection(CLOUDWATCH, "us-east-1", cloudwatch.url, credentials=lambda: KEYS) as made:
        yield Faulty(made)


def tracker(book: Ledger, cloudwatch: Faulty, clock: Clock, **given: Json) -> Tracker:
    """A tracker with that ledger."""
    made = assemble(Settings(ledger=book.table, **given), cloudwatch, book.poster, clock)
    assert made.ledger == book
    return made


PAYLOAD = event([record(at, eventName=f"N{at:04}") for at in range(2001)])  # three batches


@dataclass
class Deliveries:
    """Delivers the payload, and keeps what was noted."""

    tracker: Tracker
    notes: list[tuple[str, Json]] = field(default_factory=list)
    claimants: Iterator[str] = field(default_factory=lambda: map(str, count()))

    def __call__(self, payload: Json = PAYLOAD, seconds: float = 60) -> Tracked:
        """Deliver it once more."""
        clock = self.tracker.clock

        def notify(message: str, /, **facts: object) -> None:
            self.notes.append((message, facts))

        [log] = open_event(payload)
        until = clock.now() + seconds
        return track(log, self.tracker, claimant=next(self.claimants), until=until, notify=notify)

    @property
    def doubtful(self) -> list[str]:
        """The batches that were said to be in doubt."""
        return [facts["batch"] for message, facts in self.notes if message == "in doubt"]


@pytest.fixture
def deliver(book: Ledger, metrics: Faulty, clock: FakeClock) -> Deliveries:
    """Deliver to a tracker that holds back when the ledger is down."""
    return Deliveries(tracker(book, metrics, clock))


def twice(cloudwatch: CloudWatch) -> set[str]:
    """The names that CloudWatch has more than once."""
    return {name for name, n in Counter(cloudwatch.names()).items() if n > 1}


class TestTracking:
    """A log is published once, whatever happens on the way."""

    def test_delivered_again(self, deliver: Deliveries, cloudwatch: CloudWatch) -> None:
        """The second delivery sends nothing, and says that all was published before."""
        first, second = deliver(), deliver()

        assert (first.before, first.published.calls, first.batches) == (False, 2001, 3)
        assert (second.before, second.published.calls) == (True, 0)
        assert (second.counted.balance.received, cloudwatch.requests, deliver.notes) == (
            2001,
            3,
            [],
        )

    def test_the_rest_is_sent(self, deliver: Deliveries, cloudwatch: CloudWatch) -> None:
        """After a failure only the batches that are not marked are sent; nothing is in doubt."""
        cloudwatch.answers = [runtime.OK, runtime.DENIED]
        with pytest.raises(UnpublishedError, match="1 of 3 batches were published, then AWS"):
            deliver()

        done = deliver()

        assert (done.published.requests, done.published.calls) == (2, 1001)
        assert (cloudwatch.calls(), deliver.notes) == (2001, [])

    def test_it_dies_before_the_mark(
        self, deliver: Deliveries, faulty: Faulty, cloudwatch: CloudWatch, clock: FakeClock
    ) -> None:
        """A batch that was sent and not marked is sent again, alone, and said to be in doubt."""

        def die(_: Callable[[], Response]) -> Response:
            raise KeyboardInterrupt

        faulty.faults = [None, None, None, die]  # what is admitted, twice; claim; mark of api.0
        with pytest.raises(KeyboardInterrupt):
            deliver()
        with pytest.raises(HeldError):
            deliver()
        clock.sleep(60)

        deliver()

        assert deliver.doubtful == ["api.0"]
        assert twice(cloudwatch) == {f"N{at:04}" for at in range(1000)}
        assert cloudwatch.calls() == 3001

    def test_an_answer_of_cloudwatch_is_lost(
        self, deliver: Deliveries, cloudwatch: CloudWatch
    ) -> None:
        """The batch is sent again at once, and in doubt."""
        cloudwatch.answers = [runtime.OK, runtime.LOST]

        done = deliver()

        assert [batch.id for batch in done.published.in_doubt] == deliver.doubtful == ["api.1"]
        assert cloudwatch.calls() == 3001

    def test_in_doubt_at_the_end(
        self, deliver: Deliveries, metrics: Faulty, cloudwatch: CloudWatch, clock: FakeClock
    ) -> None:
        """Where the time is over after a batch without an answer, the next one says the doubt."""

        def late(send: Callable[[], Response]) -> Response:
            clock.sleep(58)
            return lost(send)

        metrics.faults = [late]
        with pytest.raises(UnpublishedError):
            deliver()
        assert deliver.notes == []
        clock.sleep(2)

        deliver()

        assert deliver.doubtful == ["api.0"]
        assert cloudwatch.calls() == 3001

    def test_a_mark_that_cannot_be_written(
        self, deliver: Deliveries, faulty: Faulty, cloudwatch: CloudWatch, clock: FakeClock
    ) -> None:
        """No batch is sent after one that could not be marked: never is more than one in doubt."""
        faulty.faults = [None, None, None, *[down] * 99]
        with pytest.raises(UnpublishedError):
            deliver()
        assert (cloudwatch.requests, deliver.notes) == (1, [])
        faulty.faults = []
        clock.sleep(60)

        deliver()

        assert deliver.doubtful == ["api.0"]
        assert cloudwatch.calls() == 3001

    def test_the_last_mark_cannot_be_written(
        self, deliver: Deliveries, faulty: Faulty, cloudwatch: CloudWatch
    ) -> None:
        """All is published: to fail would count it twice for certain. It is in doubt."""
        faulty.faults = [None, None, None, None, None, *[down] * 99]

        done = deliver()

        assert (done.published.calls, deliver.doubtful) == (2001, ["api.2"])
        assert cloudwatch.calls() == 2001

    def test_a_batch_in_halves(self, deliver: Deliveries, cloudwatch: CloudWatch) -> None:
        """What CloudWatch took of a batch that it refused is not sent again."""
        payload = event([record(at, eventName=f"N{at}") for at in range(4)])
        cloudwatch.bad = lambda datum: runtime.INVALID if datum["MetricName"] == "N3" else None
        cloudwatch.answers = [runtime.INVALID, runtime.OK, runtime.DENIED]
        with pytest.raises(UnpublishedError):
            deliver(payload)

        done = deliver(payload)

        assert [refusal.datum.metric_name for refusal in done.published.refused] == ["N3"]
        assert cloudwatch.names() == ["N0", "N1", "N2"]
        assert deliver(payload).before

    def test_settings_change_meanwhile(
        self, deliver: Deliveries, book: Ledger, metrics: Faulty, cloudwatch: CloudWatch
    ) -> None:
        """A retry keeps to the namespace, the rules and the budget of the first try."""
        records = [record(at, eventName=name, readOnly=at > 1) for at, name in enumerate("ABCD")]
        first = Deliveries(
            tracker(book, metrics, deliver.tracker.clock, budget=1, include="readOnly=true")
        )
        cloudwatch.answers = [runtime.DENIED]
        with pytest.raises(UnpublishedError):
            first(event(records))

        changed = tracker(book, metrics, deliver.tracker.clock, namespace="New", budget=9)
        Deliveries(changed)(event(records))

        where = ("eu-west-1", "s3.amazonaws.com", str(MINUTE))
        assert cloudwatch.values() == {
            ("API-COUNT", "C", *where): {1: 1},
            ("API-COUNT/Usage", "__other__", *where): {1: 1},
        }

    def test_all_is_excluded(
        self, deliver: Deliveries, faulty: Faulty, cloudwatch: CloudWatch
    ) -> None:
        """A log of which a rule excludes all calls is finished, so that they count once."""
        chosen = replace(deliver.tracker.selection, exclude="eventSource=s3.*")
        deliver.tracker = replace(deliver.tracker, selection=chosen)
        payload = event([record(1), record(2), record(2)])

        first, second = deliver(payload), deliver(payload)

        assert (first.before, first.counted.balance.counted, first.excluded) == (False, 2, 2)
        assert (second.before, second.counted.balance.received) == (True, 3)
        assert (cloudwatch.requests, deliver.notes) == (0, [])
        assert faulty.sent == ["UpdateItem"] * 3  # claim, finish; claim

    @pytest.mark.parametrize("fault", [down, unsent])
    def test_all_is_excluded_and_it_cannot_be_kept(
        self, fault: Callable[..., Response], deliver: Deliveries, faulty: Faulty
    ) -> None:
        """Nothing was to be sent, so nothing fails, and nothing is in doubt."""
        chosen = replace(deliver.tracker.selection, exclude="eventSource=s3.*")
        deliver.tracker = replace(deliver.tracker, selection=chosen)
        faulty.faults = [None, *[fault] * 99]

        assert deliver(event([record(1)])).excluded == 1
        assert deliver.notes == []

    def test_all_is_excluded_meanwhile(
        self, deliver: Deliveries, cloudwatch: CloudWatch, book: Ledger, metrics: Faulty
    ) -> None:
        """What was begun is finished, though the settings of now would exclude all of it."""
        cloudwatch.answers = [runtime.OK, runtime.DENIED]
        with pytest.raises(UnpublishedError):
            deliver()

        changed = tracker(book, metrics, deliver.tracker.clock, exclude="eventSource=s3.*")
        done = Deliveries(changed)()

        assert (done.published.calls, cloudwatch.calls()) == (1001, 2001)

    def test_only_our_own_calls(self, deliver: Deliveries, faulty: Faulty) -> None:
        """A log that holds nothing else is not claimed: it would make more calls."""
        role = "arn:aws:iam::111122223333:role/tracker"
        own = record(
            eventName="UpdateItem",
            eventSource="dynamodb.amazonaws.com",
            userIdentity={"sessionContext": {"sessionIssuer": {"arn": role}}},
        )
        changed = replace(
            deliver.tracker, settings=replace(deliver.tracker.settings, own_role=role)
        )

        assert Deliveries(changed)(event([own])).counted.balance.skipped == {"own": 1}
        assert faulty.sent == []


class TestOtherBatches:
    """Another version of the code would cut other batches of a log that was begun."""

    PAYLOAD = event(
        [record(at, eventName=f"N{at:04}", errorCode="AccessDenied") for at in range(2001)]
    )

    @pytest.fixture
    def release(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
        """A release that takes the error code of ten records for another outcome."""
        numbers = count()

        def classify(code: str, source: str, *, failed_without_code: bool) -> str:
            del code, source, failed_without_code
            return "throttled" if next(numbers) % 2001 < 10 else "denied"

        return lambda: monkeypatch.setattr("apitracker.core.fields.classify", classify)

    @pytest.fixture(params=[5_000, 3])
    def outcomes(
        self, request: pytest.FixtureRequest, book: Ledger, metrics: Faulty, clock: FakeClock
    ) -> Deliveries:
        """Deliver to a tracker of outcomes, whose overflow bits stand for series in order too."""
        return Deliveries(
            tracker(book, metrics, clock, metrics="api,outcomes", budget=request.param)
        )

    def test_it_is_held(
        self,
        outcomes: Deliveries,
        release: Callable[[], None],
        cloudwatch: CloudWatch,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Nothing more is sent, and the error says why, and the way on: the first version."""
        cloudwatch.answers = [runtime.OK, runtime.DENIED]
        with pytest.raises(UnpublishedError):
            outcomes(self.PAYLOAD)
        sent = cloudwatch.requests
        release()

        for _ in range(2):  # and the claim is given back
            with pytest.raises(
                HeldError,
                match=r"^[0-9a-f]{64}: its batches are not those that were begun \(fingerprint "
                r"[0-9a-f]{12}, was [0-9a-f]{12}; ledger version 2, was 2\)\. Nothing more was sent"
                r", .* Published before: 1 batches\. Run apitracker redrive of the version that "
                r"began it, or delete the log's item from the table t-[0-9a-f]{12} and redrive: ",
            ) as held:
                outcomes(self.PAYLOAD)
            assert len(str(held.value)) < 500
        assert (cloudwatch.requests, outcomes.notes) == (sent, [])
        monkeypatch.undo()
        outcomes(self.PAYLOAD)

        assert (cloudwatch.calls(), outcomes.notes) == (4002, [])

    def test_a_batch_that_may_be_there_counts_as_begun(
        self,
        outcomes: Deliveries,
        release: Callable[[], None],
        cloudwatch: CloudWatch,
        clock: FakeClock,
    ) -> None:
        """A log whose first batch may have been taken is held, and the doubt is not forgotten."""
        cloudwatch.always = runtime.LOST
        with pytest.raises(UnpublishedError):
            outcomes(self.PAYLOAD, seconds=2.3)
        clock.sleep(60)
        cloudwatch.always = runtime.OK
        release()

        with pytest.raises(HeldError, match="Published before: perhaps the first batch"):
            outcomes(self.PAYLOAD)
        with pytest.raises(HeldError, match="another execution is publishing this log"):
            outcomes(self.PAYLOAD)

    def test_what_was_not_begun_is_cut_anew(
        self, outcomes: Deliveries, release: Callable[[], None], cloudwatch: CloudWatch
    ) -> None:
        """A log of which no batch was sent is published as it is now, and retries keep to that."""
        cloudwatch.answers = [runtime.DENIED]
        with pytest.raises(UnpublishedError):
            outcomes(self.PAYLOAD)
        release()
        cloudwatch.answers = [runtime.OK, runtime.DENIED]
        with pytest.raises(UnpublishedError):
            outcomes(self.PAYLOAD)

        outcomes(self.PAYLOAD)

        assert (cloudwatch.calls(), outcomes.notes) == (4002, [])
        throttled = sum(
            value * times
            for (_, name, *_), counts in cloudwatch.values().items()
            for value, times in counts.items()
            if name == "Throttled"
        )
        assert throttled == 10

    def test_settings_and_release_change_before_it_is_begun(
        self,
        outcomes: Deliveries,
        release: Callable[[], None],
        cloudwatch: CloudWatch,
        book: Ledger,
        metrics: Faulty,
    ) -> None:
        """A log that is cut anew is published by the settings of now, and so is its line."""
        cloudwatch.answers = [runtime.DENIED]
        with pytest.raises(UnpublishedError):
            outcomes(self.PAYLOAD)
        release()
        clock = outcomes.tracker.clock
        ruled = tracker(book, metrics, clock, exclude="eventName=N000*", namespace="New")

        done = Deliveries(ruled)(self.PAYLOAD)

        assert (done.excluded, done.published.calls, done.overflow) == (10, 1991, 0)
        assert {namespace for namespace, *_ in cloudwatch.values()} == {"New"}

    def test_it_holds_without_a_ledger_down_too(
        self, outcomes: Deliveries, release: Callable[[], None], cloudwatch: CloudWatch
    ) -> None:
        """To publish while the ledger is down is not to publish other batches."""
        cloudwatch.answers = [runtime.OK, runtime.DENIED]
        with pytest.raises(UnpublishedError):
            outcomes(self.PAYLOAD)
        chosen = replace(outcomes.tracker.settings, ledger_down="publish")
        outcomes.tracker = replace(outcomes.tracker, settings=chosen)
        release()

        with pytest.raises(HeldError, match="its batches are not those that were begun"):
            outcomes(self.PAYLOAD)


class TestVersion1:
    """A claim of the version before, which kept no fingerprint, in flight during an update."""

    DECISION = (
        '{"decided":1790000000,"choice":{"namespace":"API-COUNT","metrics":["api"],"include":"",'
        '"exclude":"","recorded":""},"others":{},"version":1}'
    )

    @pytest.fixture
    def begun(self, book: Ledger, client: Callable[[str], Any]) -> Callable[..., None]:
        """Write the item of a log as version 1 left it."""
        [log] = open_event(PAYLOAD)

        def write(*done: str, deadline: str = "0", **more: Json) -> None:
            client("dynamodb").put_item(
                TableName=book.table,
                Item={
                    "id": {"S": log.id},
                    "claimant": {"S": "r/1"},
                    "previous": {"N": "0"},
                    "deadline": {"N": deadline},
                    "decision": {"S": self.DECISION},
                    "expires": {"N": "1791296000"},
                    **({"done": {"SS": list(done)}} if done else {}),
                    **more,
                },
            )

        return write

    def test_nothing_was_sent(
        self,
        begun: Callable[..., None],
        deliver: Deliveries,
        cloudwatch: CloudWatch,
        client: Callable[[str], Any],
    ) -> None:
        """It is published as ours, and a retry knows its batches."""
        begun()
        cloudwatch.answers = [runtime.OK, runtime.DENIED]
        with pytest.raises(UnpublishedError):
            deliver()
        deliver()

        assert (cloudwatch.calls(), deliver.notes) == (2001, [])
        items = client("dynamodb").scan(TableName=deliver.tracker.settings.ledger)["Items"]
        [decision] = [item["decision"]["S"] for item in items if "decision" in item]
        assert '"fingerprint":"310d4bec8fdd","version":2' in decision

    @pytest.mark.parametrize(
        ("done", "deadline"),
        [(["api.0"], "0"), (["api.0"], "1789999999.000"), ([], "1789999999.000")],
    )
    def test_some_was_sent(
        self,
        done: list[str],
        deadline: str,
        begun: Callable[..., None],
        deliver: Deliveries,
        cloudwatch: CloudWatch,
    ) -> None:
        """The rest is published, and each batch of it is in doubt once, before it is sent."""
        begun(*done, deadline=deadline)
        cloudwatch.answers = [runtime.OK, runtime.DENIED]
        with pytest.raises(UnpublishedError):
            deliver()
        deliver()

        assert cloudwatch.calls() == 2001 - 1000 * len(done)
        left = [batch for batch in ("api.0", "api.1", "api.2") if batch not in done]
        assert deliver.doubtful == left
        [(message, facts), *_] = deliver.notes
        assert message == (
            "an earlier version of apitracker began to publish this log and did not record its "
            "batches: where ours differ, calls count twice or are missing"
        )
        assert facts["done"] == done
        assert len(deliver.notes) == 1 + len(left)

    def test_it_was_finished(
        self, begun: Callable[..., None], deliver: Deliveries, cloudwatch: CloudWatch
    ) -> None:
        """It stays so."""
        begun("api.0", "api.1", "api.2", finished={"BOOL": True})

        assert deliver().before
        assert (cloudwatch.requests, deliver.notes) == (0, [])


class TestLedgerDown:
    """The ledger cannot be reached."""

    @pytest.mark.parametrize("fault", [down, unsent, throttled])
    def test_hold(
        self,
        fault: Callable[..., Response],
        deliver: Deliveries,
        faulty: Faulty,
        cloudwatch: CloudWatch,
    ) -> None:
        """By default nothing is published, and the invocation fails."""
        faulty.faults = [fault] * 999
        with pytest.raises(ServiceError):
            deliver()
        assert (cloudwatch.requests, deliver.notes) == (0, [])

    def test_it_dies_after_a_batch_without_a_mark(
        self, deliver: Deliveries, faulty: Faulty, metrics: Faulty, cloudwatch: CloudWatch
    ) -> None:
        """A batch that will not be marked is in doubt before it is sent: the process may end."""

        def die(send: Callable[[], Response]) -> Response:
            send()
            raise KeyboardInterrupt

        chosen = replace(deliver.tracker.settings, ledger_down="publish")
        deliver.tracker = replace(deliver.tracker, settings=chosen)
        faulty.faults = [None, None, None, *[down] * 999]  # admitted, twice; claim; mark of api.0
        metrics.faults = [None, die]
        with pytest.raises(KeyboardInterrupt):
            deliver()
        assert deliver.doubtful == ["api.0", "api.1"]
        faulty.faults = []
        deliver.tracker.clock.sleep(60)

        deliver()

        assert twice(cloudwatch) == {f"N{at:04}" for at in range(2000)}
        assert {*deliver.doubtful} == {"api.0", "api.1"}

    @pytest.mark.parametrize("fault", [web_page, other_json])
    def test_publish_without_an_answer(
        self,
        fault: Callable[..., Response],
        deliver: Deliveries,
        faulty: Faulty,
        cloudwatch: CloudWatch,
    ) -> None:
        """An answer that is none is the same as no ledger."""
        chosen = replace(deliver.tracker.settings, ledger_down="publish")
        deliver.tracker = replace(deliver.tracker, settings=chosen)
        faulty.faults = [fault]

        assert deliver().published.calls == cloudwatch.calls() == 2001
        assert deliver.doubtful == ["api.0", "api.1", "api.2"]

    @pytest.mark.parametrize("faults", [0, 1, 2, 3, 4])
    def test_publish(
        self, faults: int, deliver: Deliveries, faulty: Faulty, cloudwatch: CloudWatch
    ) -> None:
        """Where it is so chosen all is published, and each batch without a mark is in doubt."""
        chosen = replace(deliver.tracker.settings, ledger_down="publish")
        deliver.tracker = replace(deliver.tracker, settings=chosen)
        faulty.faults = [*[None] * faults, *[down] * 999]

        done = deliver()

        assert done.published.calls == cloudwatch.calls() == 2001
        unmarked = (
            ["api.0", "api.1", "api.2"][max(0, faults - 3) :] if faults < 4 else ["api.1", "api.2"]
        )
        assert deliver.doubtful == unmarked
        assert deliver.tracker.clock.now() < NOW + 10  # it has not waited for the ledger


@settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_faults(
    data: st.DataObject,
    deliver: Deliveries,
    faulty: Faulty,
    metrics: Faulty,
    cloudwatch: CloudWatch,
) -> None:
    """Whatever fails, and however often a log comes: each batch is there once, or said in doubt."""
    passing = st.sampled_from([None, None, None, lost, unsent, throttled, down])
    cloudwatch.taken, cloudwatch.batches, deliver.notes = [], [], []
    group = f"group {len(faulty.sent)}"  # another log each time
    payload = event([record(at, eventName=f"N{at:04}") for at in range(2001)], group)
    for _ in range(3):
        faulty.faults = data.draw(st.lists(passing, max_size=8))
        metrics.faults = data.draw(st.lists(passing, max_size=6))
        try:
            deliver(payload, seconds=data.draw(st.sampled_from([3.0, 2.3, 60.0])))
        except ServiceError:
            deliver.tracker.clock.sleep(60)
    faulty.faults, metrics.faults = [], []
    deliver.tracker.clock.sleep(60)  # a claim whose last mark failed ends by itself
    deliver(payload)

    counts = Counter(cloudwatch.names())
    assert len(counts) == 2001
    doubtful = {int(batch.removeprefix("api.")) for batch in deliver.doubtful}
    assert {int(name[1:]) // 1000 for name, n in counts.items() if n > 1} <= doubtful
