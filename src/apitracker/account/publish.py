"""Pages are sent to CloudWatch: with patience, but never past a deadline."""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Final, Protocol

from isal import igzip
from msgspec import Struct, field

from apitracker.account.signing import Response, TransportError
from apitracker.core.metrics import Datum, Page, request, timely
from apitracker.errors import ServiceError

GZIP_FROM: Final = 1_024  # bytes: a smaller body fits into one network packet anyway
ATTEMPT_SECONDS: Final = 10.0  # for one attempt, so that one dead connection does not eat them all
FIRST_WAIT: Final = 0.1  # seconds; it doubles with each attempt
LONGEST_WAIT: Final = 5.0

# A request that CloudWatch throttles or fails to serve; the same one later may pass. Codes of the
# query protocol, which CloudWatch is asked to use, and of AWS JSON.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CommonErrors.html
PASSING: Final = frozenset(
    {
        "InternalFailure",
        "InternalServiceError",
        "InternalServiceFault",
        "LimitExceeded",
        "LimitExceededException",
        "LimitExceededFault",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)

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
OUT_OF_TIME: Final = "older than two weeks, or more than two hours ahead"


class Poster(Protocol):
    """What sends a request: a `signing.Connection`."""

    def post(
        self, operation: str, body: bytes, *, deadline: float, gzipped: bool = False
    ) -> Response:
        """Send *body* once, by *deadline*. `TransportError` if no whole answer comes."""


class Clock(Protocol):
    """Time and chance, handed in."""

    def now(self) -> float:
        """Seconds since 1970 UTC."""

    def sleep(self, seconds: float) -> None:
        """Wait."""

    def random(self) -> float:
        """Give a number from 0 to 1."""


class Refusal(Struct, frozen=True):
    """A datum that CloudWatch does not take, and why."""

    datum: Datum
    reason: str


class Published(Struct):
    """
    What became of pages: the requests that were taken, and the datums and calls in them.

    *retries* are requests sent again; of those, CloudWatch may have taken *in_doubt* before, and
    so count their calls twice. *refused* was set aside, and counts nowhere.
    """

    requests: int = 0
    datums: int = 0
    calls: int = 0
    retries: int = 0
    in_doubt: int = 0
    refused: list[Refusal] = field(default_factory=list)


def publish(
    pages: Sequence[Page], namespace: str, poster: Poster, clock: Clock, *, deadline: float
) -> Published:
    """
    Send *pages*, each datum once, and say what became of them.

    What CloudWatch would refuse for its time is not sent; a page that it refuses is halved until
    the bad datum stands alone. Both come back. `ServiceError` if the rest could not be sent by
    *deadline*, in seconds since 1970, or if CloudWatch does not want to hear from us at all.
    """
    published = Published()

    def send(body: bytes) -> Response:
        return _send(body, poster, clock, published, deadline=deadline)

    for number, page in enumerate(pages):
        datums, late = timely(page.datums, clock.now())
        published.refused += [Refusal(datum, OUT_OF_TIME) for datum in late]
        body = request(namespace, datums) if late else page.body
        try:
            _deliver(datums, body, namespace, send, published)
        except ServiceError as e:
            raise ServiceError(
                f"{number:,} of {len(pages):,} pages were published, then {e}"
            ) from e
    return published


def _deliver(
    datums: Sequence[Datum],
    body: bytes,
    namespace: str,
    send: Callable[[bytes], Response],
    published: Published,
) -> None:
    """Send *datums*, which are *body*, or halves of them until what is refused stands alone."""
    if not datums:
        return
    response = send(body)
    if response.status < 300:  # noqa: PLR2004 - HTTP's own bound of success
        published.requests += 1
        published.datums += len(datums)
        published.calls += sum(datum.calls for datum in datums)
    elif len(datums) == 1:
        published.refused.append(Refusal(datums[0], f"{response.code}: {response.message}"))
    else:
        middle = len(datums) // 2
        for half in (datums[:middle], datums[middle:]):
            _deliver(half, request(namespace, half), namespace, send, published)


def _send(
    body: bytes, poster: Poster, clock: Clock, published: Published, *, deadline: float
) -> Response:
    """Send *body* until it is taken, or refused for what is in it; waits have full jitter."""
    gzipped = len(body) >= GZIP_FROM
    sent = igzip.compress(body, 1) if gzipped else body
    for attempt in count():
        by = min(deadline, clock.now() + ATTEMPT_SECONDS)
        fault: ServiceError
        try:
            response = poster.post("PutMetricData", sent, deadline=by, gzipped=gzipped)
        except TransportError as e:
            published.in_doubt += e.in_doubt
            fault = e
        else:
            if response.status < 300 or _is_invalid(response):  # noqa: PLR2004 - as above
                return response
            fault = ServiceError(f"CloudWatch answered {response.code}: {response.message}")
            passing = response.status in {429, *range(500, 600)} or response.code in PASSING
            if not passing:
                raise fault
        wait = clock.random() * min(LONGEST_WAIT, FIRST_WAIT * 2.0**attempt)
        if clock.now() + wait >= deadline:
            raise fault
        clock.sleep(wait)
        published.retries += 1
    raise AssertionError  # count() has no end


def _is_invalid(response: Response) -> bool:
    return response.code in INVALID or response.status == TOO_LARGE
