"""The exporter to CloudWatch by PutMetricData: it cuts batches of datums, and sends each once."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Final, Protocol

import msgspec
from isal import igzip
from msgspec import Struct, field

from apitracker.core.counts import Counts
from apitracker.core.datums import Datum, make_datums, split_by_age
from apitracker.core.metric_sets import MetricSelection, MetricSet, SeriesCounts, count_by_set
from apitracker.errors import ServiceError
from apitracker.tracker import retries
from apitracker.tracker.retries import Clock, Poster
from apitracker.tracker.signing import Response

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
BATCH_DATUMS: Final = 1_000
BATCH_BYTES: Final = 1_000_000  # 1 MB is read as the smaller one
GZIP_FROM: Final = 1_024  # bytes: a smaller body fits into one network packet anyway

# A request that CloudWatch refuses for its content.
INVALID: Final = frozenset(
    {
        "InvalidFormat",
        "InvalidFormatFault",
        "InvalidParameterCombination",
        "InvalidParameterCombinationException",
        "InvalidParameterValue",
        "InvalidParameterValueException",
        "MissingParameter",
        "MissingRequiredParameter",
        "MissingRequiredParameterException",
        "RequestEntityTooLarge",
        "RequestEntityTooLargeException",
        "SerializationException",
        "ValidationError",
        "ValidationException",
    }
)
TOO_LARGE: Final = 413
PATIENCE: Final = 3.0  # seconds with a ledger that batches do not wait for
OUT_OF_TIME: Final = "older than two weeks, or more than two hours ahead"


class Batch(Struct, frozen=True):
    """
    The datums of one PutMetricData request, and its *body* in AWS JSON 1.0.

    *id* is the metric set's name and the batch's number in it: ``api.0``.
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
    """The batches to send, and how many calls are *excluded* by a rule."""

    batches: list[Batch]
    excluded: int = 0


def plan(counts: Counts, selection: MetricSelection) -> Plan:
    """
    Plan how *counts* by the fields of *selection* are published.

    The same counts give the same batches at any time and in any order.
    """
    shares, excluded = count_by_set(counts, selection)
    batches = [batch for metrics, share in shares for batch in cut_batches(share, metrics)]
    return Plan(batches, excluded)


def cut_batches(counts: SeriesCounts, metrics: MetricSet) -> list[Batch]:
    """Cut *counts* of *metrics* into batches; the same counts give the same batches."""
    bodies = _cut(make_datums(counts, metrics), metrics.namespace)
    return [
        Batch(f"{metrics.name}.{number}", metrics.namespace, datums, body)
        for number, (datums, body) in enumerate(bodies)
    ]


def fingerprint(batches: Iterable[Batch]) -> str:
    """Name *batches* by their content: the same logs, options and rules give the same name."""
    digest = hashlib.sha256()
    for batch in batches:
        digest.update(hashlib.sha256(batch.body).digest())
    return digest.hexdigest()[:12]


def request(namespace: str, datums: Sequence[Datum]) -> bytes:
    """Return the body of a PutMetricData request in AWS JSON 1.0."""
    return _encode({"Namespace": namespace, "MetricData": datums})


_encode = msgspec.json.Encoder().encode


def _cut(datums: Iterable[Datum], namespace: str) -> Iterator[tuple[tuple[Datum, ...], bytes]]:
    """Cut *datums* into the shares that PutMetricData takes, each with its request."""
    rest = iter(datums)
    while some := tuple(islice(rest, BATCH_DATUMS)):
        yield from _halved(some, namespace)


def _halved(datums: tuple[Datum, ...], namespace: str) -> Iterator[tuple[tuple[Datum, ...], bytes]]:
    """Return one share of *datums*, or more where names are so long that it would be too large."""
    body = request(namespace, datums)
    if len(body) <= BATCH_BYTES:
        yield datums, body
    else:
        middle = len(datums) // 2
        yield from _halved(datums[:middle], namespace)
        yield from _halved(datums[middle:], namespace)


class Marks(Protocol):
    """Memory of the batches that are published: a `ledger.Claim`."""

    @property
    def done(self) -> AbstractSet[str]:
        """The ids of batches, and of parts of batches, that were published before."""

    @property
    def taken_over(self) -> bool:
        """Whether the first batch that is not done may have been published."""

    def mark(self, part: str, *, last: bool, deadline: float) -> None:
        """Remember that *part* is published; `ServiceError` if that is not possible."""


class Refusal(Struct, frozen=True):
    """A datum that CloudWatch does not take, and the reason."""

    datum: Datum
    reason: str

    @property
    def is_late(self) -> bool:
        """Whether its time is the reason: another datum of the metric would be taken."""
        return self.reason == OUT_OF_TIME


class Published(Struct):
    """
    The outcome of batches: the requests that CloudWatch took, and their datums and calls.

    *retries* are requests sent again. *in_doubt* are the batches that CloudWatch may have taken
    more than once. *refused* datums were set aside, and count nowhere.
    """

    requests: int = 0
    datums: int = 0
    calls: int = 0
    retries: int = 0
    in_doubt: list[Batch] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


class UnpublishedError(ServiceError):
    """Not all batches could be published; *published* is the outcome of the others."""

    def __init__(self, message: str, published: Published, *, in_doubt: bool) -> None:
        super().__init__(message, in_doubt=in_doubt)
        self.published = published


def publish(  # noqa: PLR0913 - batches, connection, deadline, marks and callback
    batches: Sequence[Batch],
    poster: Poster,
    clock: Clock,
    *,
    deadline: float,
    marks: Marks | None = None,
    hold: bool = True,
    doubt: Callable[[Batch], None] = lambda _: None,
) -> Published:
    """
    Send those of *batches* that *marks* does not know, each datum once, and mark them.

    A datum that CloudWatch would refuse for its time is not sent; a batch that it refuses is
    halved until the bad datum stands alone. Both come back as refused. *doubt* is called with a
    batch before it is sent a second time, if the first may have counted. With *hold*, a batch that
    cannot be marked keeps the next from being sent; without, no later batch is marked either, and
    *doubt* is called before each is sent: the process may end before it could be called afterwards.

    `UnpublishedError` if not all could be sent and marked by *deadline*, in seconds since 1970;
    *in_doubt* says whether the batch that it ended with may have counted.
    """
    sending = _Sending(poster, clock, deadline, marks, hold, doubt)
    left = [batch for batch in batches if not (marks and batch.id in marks.done)]
    for number, batch in enumerate(left, 1):
        if (number == 1 and marks and marks.taken_over) or sending.unmarked:
            sending.doubted(batch)
        try:
            sending.deliver(batch, batch.id, batch.datums)
            sending.mark(batch, batch.id, last=number == len(left))
        except ServiceError as e:
            count = len(batches) - len(left) + number - 1
            raise UnpublishedError(
                f"{count:,} of {len(batches):,} batches were published, then {e}",
                sending.published,
                in_doubt=e.in_doubt,
            ) from e
    return sending.published


class _Sending(Struct):
    """One run of `publish`: its arguments, and its outcome so far."""

    poster: Poster
    clock: Clock
    deadline: float
    marks: Marks | None
    hold: bool
    tell: Callable[[Batch], None]
    published: Published = field(default_factory=Published)
    unmarked: bool = False

    def deliver(self, batch: Batch, part: str, datums: Sequence[Datum]) -> None:
        """Send *datums*, a part of *batch*, or halves of them until a bad datum stands alone."""
        done = self.marks.done if self.marks else frozenset()
        # A part that was published in halves was refused as a whole, and would be again.
        halved = any(each.startswith(f"{part}/") for each in done)
        if not halved and self._sent(batch, datums):
            return
        middle = len(datums) // 2
        for half, some in enumerate((datums[:middle], datums[middle:])):
            name = f"{part}/{half}"
            if name not in done:
                self.deliver(batch, name, some)
                self.mark(batch, name, last=False)

    def _sent(self, batch: Batch, datums: Sequence[Datum]) -> bool:
        """Send *datums* in one request. Return False if some are bad, and it is not known which."""
        taken, late = split_by_age(datums, self.clock.now())
        if taken:
            whole = len(taken) == len(batch.datums)
            response = self._post(batch, batch.body if whole else request(batch.namespace, taken))
            if response.ok:
                self.published.requests += 1
                self.published.datums += len(taken)
                self.published.calls += sum(datum.calls for datum in taken)
            elif not (response.code in INVALID or response.status == TOO_LARGE):
                raise retries.refusal("PutMetricData", response)
            elif len(taken) > 1:
                return False
            else:
                reason = f"{response.code}: {response.message}"
                self.published.refused.append(Refusal(taken[0], reason))
        self.published.refused += [Refusal(datum, OUT_OF_TIME) for datum in late]
        return True

    def _post(self, batch: Batch, body: bytes) -> Response:
        gzipped = len(body) >= GZIP_FROM

        def again(fault: ServiceError) -> None:
            self.published.retries += 1
            if fault.in_doubt:
                self.doubted(batch)

        return retries.send(
            self.poster,
            "PutMetricData",
            igzip.compress(body, 1) if gzipped else body,
            self.clock,
            deadline=self.deadline,
            gzipped=gzipped,
            again=again,
        )

    def doubted(self, batch: Batch) -> None:
        """Report that CloudWatch may have *batch* more than once; once is enough."""
        if batch not in self.published.in_doubt:
            self.published.in_doubt.append(batch)
            self.tell(batch)

    def mark(self, batch: Batch, part: str, *, last: bool) -> None:
        """Mark *part* of *batch* as published, or report that it is not marked."""
        if not self.marks:
            return
        by = self.deadline if self.hold else min(self.deadline, self.clock.now() + PATIENCE)
        try:
            if not self.unmarked:
                self.marks.mark(part, last=last, deadline=by)
                return
        except ServiceError as e:
            if self.hold and not last:
                raise ServiceError(str(e), in_doubt=True) from e
            self.unmarked = True
        # It counts once, unless the log is delivered again.
        self.doubted(batch)
