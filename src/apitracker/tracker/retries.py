"""Requests are sent until they are answered for good, but never past a deadline."""

import random
import time
from collections.abc import Callable
from itertools import count
from typing import Final, Protocol, TypeVar

import msgspec

from apitracker.errors import ServiceError
from apitracker.tracker.signing import Response, TransportError

ATTEMPT_SECONDS: Final = 10.0  # for one attempt, so that a dead connection does not take them all
FIRST_WAIT: Final = 0.1  # seconds; it doubles with each attempt
LONGEST_WAIT: Final = 5.0
TOO_MANY: Final = 429  # HTTP's own number

# Codes of the query protocol, which CloudWatch is asked to use, and of AWS JSON.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CommonErrors.html
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html

# AWS turned the request away and did nothing; the same one later may pass.
TURNED_AWAY: Final = frozenset(
    {
        "LimitExceeded",
        "LimitExceededException",
        "LimitExceededFault",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionConflictException",
    }
)

# AWS failed, as with any status from 500 on. It does not say that it did nothing, of
# ServiceUnavailable neither: "a temporary failure of the server".
FAILED: Final = frozenset(
    {
        "InternalFailure",
        "InternalServerError",
        "InternalServiceError",
        "InternalServiceFault",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
    }
)


AnswerT = TypeVar("AnswerT")


class Poster(Protocol):
    """A connection to send requests by: a `signing.Connection`."""

    def post(
        self, operation: str, body: bytes, *, deadline: float, gzipped: bool = False
    ) -> Response:
        """Send *body* once, by *deadline*. `TransportError` if no whole answer comes."""


class Clock(Protocol):
    """The time, and random numbers."""

    def now(self) -> float:
        """Seconds since 1970 UTC."""

    def sleep(self, seconds: float) -> None:
        """Wait."""

    def random(self) -> float:
        """Return a number from 0 to 1."""


class SystemClock:
    """The machine's own time and random numbers."""

    now = staticmethod(time.time)
    sleep = staticmethod(time.sleep)
    random = staticmethod(random.random)


def send(  # noqa: PLR0913 - a request, its deadline and a callback
    poster: Poster,
    operation: str,
    body: bytes,
    clock: Clock,
    *,
    deadline: float,
    gzipped: bool = False,
    again: Callable[[ServiceError], None] = lambda _: None,
) -> Response:
    """
    Send *body* until AWS answers for good: it is done, or refused for its content.

    Waits between attempts have full jitter; *again* is called with the fault before each further
    attempt. At *deadline*, in seconds since 1970, the last fault is raised: a `ServiceError`, whose
    *in_doubt* says whether the request may have been processed.
    """
    for attempt in count():
        by = min(deadline, clock.now() + ATTEMPT_SECONDS)
        try:
            response = poster.post(operation, body, deadline=by, gzipped=gzipped)
        except TransportError as e:
            fault: ServiceError = e
        else:
            turned_away = response.code in TURNED_AWAY or response.status == TOO_MANY
            failed = response.code in FAILED or response.status in range(500, 600)
            if not (turned_away or failed):
                return response
            fault = refusal(operation, response, in_doubt=not turned_away)
        wait = clock.random() * min(LONGEST_WAIT, FIRST_WAIT * 2.0**attempt)
        if clock.now() + wait >= deadline:
            raise fault
        clock.sleep(wait)
        again(fault)
    raise AssertionError  # count() has no end


def refusal(operation: str, response: Response, *, in_doubt: bool = False) -> ServiceError:
    """Return the error for the *response* of AWS to *operation*."""
    return ServiceError(
        f"AWS answered {operation} with {response.code}: {response.message}", in_doubt=in_doubt
    )


def decode(operation: str, response: Response, kind: type[AnswerT]) -> AnswerT:
    """Read the JSON of a *response* to *operation*. `ServiceError` if it is not of that *kind*."""
    try:
        return msgspec.json.decode(response.body, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as e:
        raise ServiceError(
            f"AWS answered {operation} with {response.status} and an unknown body: {e}; "
            "is there a proxy in between, or another service at the endpoint?"
        ) from e
