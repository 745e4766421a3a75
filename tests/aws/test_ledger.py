"""The ledger, on a local DynamoDB: what is delivered again is published once."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from apitracker.core.metric_sets import MetricSelection
from apitracker.errors import ServiceError
from apitracker.settings import Settings
from apitracker.tracker import ledger
from apitracker.tracker.ledger import Decision, HeldError, Ledger, admit, admitted, claim, look_up
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

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests import runtime
from tests.payloads import MINUTE, NOW, FakeClock, Json, event, record
from tests.runtime import CloudWatch

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
        first = claimed(book, "a", choice=mine, others={"api": (b"\x01\x80", b"")})
        first.give_back(deadline=book.clock.now() + 9)
        second = claimed(book, "b", choice=MetricSelection("Other"))

        assert first.decision == second.decision
        assert second.decision.choice == mine
        assert second.decision.others == {"api": (b"\x01\x80", b"")}
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
        assert look_up(book, LOG, deadline=clock.now() + 9) == (False, PARTS)
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
        assert look_up(book, LOG, deadline=clock.now() + 9) == (True, frozenset({"api.0"}))

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

    def test_another_version(self, book: Ledger, clock: FakeClock) -> None:
        """Pages that another version would cut otherwise are not gone on with."""
        with pytest.raises(ServiceError):
            claimed(book, version=0)
        clock.sleep(60)
        with pytest.raises(ServiceError, match="another version of apitracker"):
            claimed(book, "b")

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
            "look up": lambda: look_up(book, LOG, deadline=by),
            "admitted": lambda: admitted(book, "m", deadline=by),
            "admit": lambda: admit(book, "m", ["YQ=="], room=1, deadline=by),
        }
        operation = "UpdateItem" if asked in {"claim", "admit"} else "GetItem"
        with pytest.raises(ServiceError, match=f"AWS answered {operation} with 200 and an unknown"):
            ask[asked]()

    def test_an_admission_that_is_not_kept(self, book: Ledger, faulty: Faulty) -> None:
        """A success without what was written is an error: it would be asked again for ever."""
        faulty.faults = [lambda _: Response(200, b"{}")]
        with pytest.raises(ServiceError, match=r"the item m of the table .* lacks what"):
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
            series = {(f"N{at}", "r", "s"), (f"M{at}", "r", "s")}
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


def tracker(book: Ledger, metrics: Faulty, clock: Clock, **given: Json) -> Tracker:
    """A tracker with that ledger."""
    made = assemble(Settings(ledger=book.table, **given), metrics, book.poster, clock)
    assert made.ledger == book
    return made


PAYLOAD = event([record(at, eventName=f"N{at:04}") for at in range(2001)])  # three pages


@dataclass
class Deliveries:
    """Delivers the payload, and keeps what was noted."""

    tracker: Tracker
    notes: list[tuple[str, Json]] = field(default_factory=list)
    claimants: Iterator[str] = field(default_factory=lambda: map(str, count()))

    def __call__(self, payload: Json = PAYLOAD, seconds: float = 60) -> Tracked:
        """Deliver it once more."""
        clock = self.tracker.clock

        def note(message: str, /, **facts: object) -> None:
            self.notes.append((message, facts))

        until = clock.now() + seconds
        tracked = track(
            payload, self.tracker, claimant=next(self.claimants), until=until, note=note
        )
        assert tracked
        return tracked

    @property
    def doubtful(self) -> list[str]:
        """The pages that were said to be in doubt."""
        return [facts["page"] for message, facts in self.notes if message == "in doubt"]


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

        assert (first.before, first.published.calls, first.pages) == (False, 2001, 3)
        assert (second.before, second.published.calls) == (True, 0)
        assert (second.counts.received, cloudwatch.requests, deliver.notes) == (2001, 3, [])

    def test_the_rest_is_sent(self, deliver: Deliveries, cloudwatch: CloudWatch) -> None:
        """After a failure only the pages that are not marked are sent; nothing is in doubt."""
        cloudwatch.answers = [runtime.OK, runtime.DENIED]
        with pytest.raises(UnpublishedError, match="1 of 3 pages were published, then AWS"):
            deliver()

        done = deliver()

        assert (done.published.requests, done.published.calls) == (2, 1001)
        assert (cloudwatch.calls(), deliver.notes) == (2001, [])

    def test_it_dies_before_the_mark(
        self, deliver: Deliveries, faulty: Faulty, cloudwatch: CloudWatch, clock: FakeClock
    ) -> None:
        """A page that was sent and not marked is sent again, alone, and said to be in doubt."""

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
        """The page is sent again at once, and in doubt."""
        cloudwatch.answers = [runtime.OK, runtime.LOST]

        done = deliver()

        assert [page.id for page in done.published.in_doubt] == deliver.doubtful == ["api.1"]
        assert cloudwatch.calls() == 3001

    def test_in_doubt_at_the_end(
        self, deliver: Deliveries, metrics: Faulty, cloudwatch: CloudWatch, clock: FakeClock
    ) -> None:
        """Where the time is over after a page without an answer, the next one says the doubt."""

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
        """No page is sent after one that could not be marked: never is more than one in doubt."""
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

    def test_a_page_in_halves(self, deliver: Deliveries, cloudwatch: CloudWatch) -> None:
        """What CloudWatch took of a page that it refused is not sent again."""
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
        chosen = replace(deliver.tracker.choice, exclude="eventSource=s3.*")
        deliver.tracker = replace(deliver.tracker, choice=chosen)
        payload = event([record(1), record(2), record(2)])

        first, second = deliver(payload), deliver(payload)

        assert (first.before, first.counts.counted, first.counts.excluded) == (False, 2, 2)
        assert (second.before, second.counts.received) == (True, 3)
        assert (cloudwatch.requests, deliver.notes) == (0, [])
        assert faulty.sent == ["UpdateItem"] * 3  # claim, finish; claim

    @pytest.mark.parametrize("fault", [down, unsent])
    def test_all_is_excluded_and_it_cannot_be_kept(
        self, fault: Callable[..., Response], deliver: Deliveries, faulty: Faulty
    ) -> None:
        """Nothing was to be sent, so nothing fails, and nothing is in doubt."""
        chosen = replace(deliver.tracker.choice, exclude="eventSource=s3.*")
        deliver.tracker = replace(deliver.tracker, choice=chosen)
        faulty.faults = [None, *[fault] * 99]

        assert deliver(event([record(1)])).counts.excluded == 1
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

        assert Deliveries(changed)(event([own])).counts.skipped == {"own": 1}
        assert faulty.sent == []


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

    def test_it_dies_after_a_page_without_a_mark(
        self, deliver: Deliveries, faulty: Faulty, metrics: Faulty, cloudwatch: CloudWatch
    ) -> None:
        """A page that will not be marked is in doubt before it is sent: the process may end."""

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
        """Where it is so chosen all is published, and each page without a mark is in doubt."""
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
    """Whatever fails, and however often a log comes: each page is there once, or said in doubt."""
    passing = st.sampled_from([None, None, None, lost, unsent, throttled, down])
    cloudwatch.taken, cloudwatch.pages, deliver.notes = [], [], []
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
    doubtful = {int(page.removeprefix("api.")) for page in deliver.doubtful}
    assert {int(name[1:]) // 1000 for name, n in counts.items() if n > 1} <= doubtful
