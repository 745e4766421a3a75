"""Pages are sent to CloudWatch, each datum once, and it is said what became of them."""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, Protocol

from isal import igzip
from msgspec import Struct, field

from apitracker.core.metrics import Datum, Page, request, timely
from apitracker.errors import ServiceError
from apitracker.tracker import retries
from apitracker.tracker.retries import Clock, Poster
from apitracker.tracker.signing import Response

GZIP_FROM: Final = 1_024  # bytes: a smaller body fits into one network packet anyway

# A request that CloudWatch refuses for what is in it.
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
PATIENCE: Final = 3.0  # seconds with a ledger that pages do not wait for
OUT_OF_TIME: Final = "older than two weeks, or more than two hours ahead"


class Marks(Protocol):
    """What remembers the pages that are published: a `ledger.Claim`."""

    @property
    def done(self) -> AbstractSet[str]:
        """The ids of pages, and of parts of pages, that were published before."""

    @property
    def taken_over(self) -> bool:
        """Whether the first page that is not done may have been published."""

    def mark(self, part: str, *, last: bool, deadline: float) -> None:
        """Remember that *part* is published; `ServiceError` if that is not possible."""


class Refusal(Struct, frozen=True):
    """A datum that CloudWatch does not take, and why."""

    datum: Datum
    reason: str


class Published(Struct):
    """
    What became of pages: the requests that were taken, and the datums and calls in them.

    *retries* are requests sent again. *in_doubt* are the pages that CloudWatch may have taken
    more than once. *refused* was set aside, and counts nowhere.
    """

    requests: int = 0
    datums: int = 0
    calls: int = 0
    retries: int = 0
    in_doubt: list[Page] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


class UnpublishedError(ServiceError):
    """Not all pages could be published; *published* says what became of the others."""

    def __init__(self, message: str, published: Published, *, in_doubt: bool) -> None:
        super().__init__(message, in_doubt=in_doubt)
        self.published = published


def publish(  # noqa: PLR0913 - what is sent, how, by when, and whom to tell
    pages: Sequence[Page],
    poster: Poster,
    clock: Clock,
    *,
    deadline: float,
    marks: Marks | None = None,
    hold: bool = True,
    doubt: Callable[[Page], None] = lambda _: None,
) -> Published:
    """
    Send those of *pages* that *marks* does not know, each datum once, and mark them.

    What CloudWatch would refuse for its time is not sent; a page that it refuses is halved until
    the bad datum stands alone. Both come back. *doubt* is told of a page before it is sent a
    second time, if the first may have counted. With *hold*, a page that cannot be marked keeps
    the next from being sent; without, each later page is not marked either, and *doubt* is told
    of it before it is sent: the process may end before it could be told afterwards.

    `UnpublishedError` if not all could be sent and marked by *deadline*, in seconds since 1970;
    *in_doubt* says whether the page that it ended with may have counted.
    """
    sending = _Sending(poster, clock, deadline, marks, hold, doubt)
    left = [page for page in pages if not (marks and page.id in marks.done)]
    for number, page in enumerate(left, 1):
        if (number == 1 and marks and marks.taken_over) or sending.unmarked:
            sending.doubted(page)
        try:
            sending.deliver(page, page.id, page.datums)
            sending.mark(page, page.id, last=number == len(left))
        except ServiceError as e:
            count = len(pages) - len(left) + number - 1
            raise UnpublishedError(
                f"{count:,} of {len(pages):,} pages were published, then {e}",
                sending.published,
                in_doubt=e.in_doubt,
            ) from e
    return sending.published


class _Sending(Struct):
    """One run of `publish`, by its arguments, and what has become of it so far."""

    poster: Poster
    clock: Clock
    deadline: float
    marks: Marks | None
    hold: bool
    tell: Callable[[Page], None]
    published: Published = field(default_factory=Published)
    unmarked: bool = False

    def deliver(self, page: Page, part: str, datums: Sequence[Datum]) -> None:
        """Send *datums*, a part of *page*, or halves of them until what is bad stands alone."""
        done = self.marks.done if self.marks else frozenset()
        # What was published in halves was refused as a whole, and would be again.
        halved = any(each.startswith(f"{part}/") for each in done)
        if not halved and self._sent(page, datums):
            return
        middle = len(datums) // 2
        for half, some in enumerate((datums[:middle], datums[middle:])):
            name = f"{part}/{half}"
            if name not in done:
                self.deliver(page, name, some)
                self.mark(page, name, last=False)

    def _sent(self, page: Page, datums: Sequence[Datum]) -> bool:
        """Send *datums* in one request. False if some are bad, and it is not known which."""
        taken, late = timely(datums, self.clock.now())
        if taken:
            whole = len(taken) == len(page.datums)
            response = self._post(page, page.body if whole else request(page.namespace, taken))
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

    def _post(self, page: Page, body: bytes) -> Response:
        gzipped = len(body) >= GZIP_FROM

        def again(fault: ServiceError) -> None:
            self.published.retries += 1
            if fault.in_doubt:
                self.doubted(page)

        return retries.send(
            self.poster,
            "PutMetricData",
            igzip.compress(body, 1) if gzipped else body,
            self.clock,
            deadline=self.deadline,
            gzipped=gzipped,
            again=again,
        )

    def doubted(self, page: Page) -> None:
        """Say that CloudWatch may have *page* more than once; once is enough."""
        if page not in self.published.in_doubt:
            self.published.in_doubt.append(page)
            self.tell(page)

    def mark(self, page: Page, part: str, *, last: bool) -> None:
        """Remember that *part* of *page* is published, or say that it is not remembered."""
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
        self.doubted(page)
