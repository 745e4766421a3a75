"""
The Lambda: a subscription event in, metric data out.

One log line says what became of it all, and is the tracker's own metrics. What must not be lost
fails the invocation, so that Lambda delivers the event again.
"""

import gc
import json
import os
import random
import re
import time
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, Protocol

from msgspec.structs import replace

from apitracker.core.metric_sets import API
from apitracker.errors import ApiTrackerError
from apitracker.settings import Settings, load
from apitracker.tracker.emf import embed, spread
from apitracker.tracker.put_metric_data import Published, UnpublishedError
from apitracker.tracker.signing import (
    CLOUDWATCH,
    DYNAMODB,
    Connection,
    Service,
    credentials,
    endpoint,
)
from apitracker.tracker.tracking import IN_DOUBT, Tracked, Tracker, assemble, track

# Lambda waits a minute before it repeats an event that failed. By then a claim has to be over.
# https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
LONGEST_SECONDS: Final = 60.0
# The interpreter and this package take 25 MiB; the rest is for Lambda's runtime client and the
# copies that it makes of an event. Text takes 1.1 times its bytes (both measured), but up to four
# times where a message has characters beyond ASCII, or a payload is not as CloudWatch Logs writes
# it and has to be held and mended whole.
OCCUPIED: Final = 64 * 1024 * 1024
BYTES_PER_BYTE: Final = 4
ROLE: Final = re.compile(r"arn:([^:]+):iam::(\d+):role/")
NAMED: Final = 10  # rejected records and refused data that are named in a log line
LONGEST_TEXT: Final = 500  # of what is named there
EMPTY: Final = ("Counted", "Skipped", "Rejected")


class Context(Protocol):
    """What Lambda says of an invocation, as far as it is used."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """How long the invocation may still take."""


class SystemClock:
    """The real one."""

    now = staticmethod(time.time)
    sleep = staticmethod(time.sleep)
    random = staticmethod(random.random)


def make_tracker(environ: Mapping[str, str]) -> Tracker:
    """Build the tracker that *environ* describes. `SettingsError` names what is wrong in it."""
    settings, unknown = load(environ)
    settings = _fit(settings, environ)
    for name in unknown:
        _log("WARNING", f"{name}: no such setting; it does nothing")
    if not settings.ledger:
        _log("WARNING", "there is no ledger: what is delivered again counts again")
    region = environ.get("AWS_REGION", "")

    def connect(service: Service) -> Connection:
        url = endpoint(service, region, environ)
        return Connection(service, region, url, credentials=partial(credentials, environ))

    return assemble(settings, connect(CLOUDWATCH), connect(DYNAMODB), SystemClock())


def _fit(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """Complete *settings* by what Lambda says in *environ* of the function: memory and ARN."""
    if memory := int(environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", 0)):
        # What is longer is refused by name. Without that Lambda kills the function, and no line
        # of the log says why.
        most = (memory * 1024 * 1024 - OCCUPIED) // BYTES_PER_BYTE
        settings = replace(settings, max_log_bytes=min(settings.max_log_bytes, most))
    name = environ.get("AWS_LAMBDA_FUNCTION_NAME")
    role = ROLE.match(settings.own_role)
    if name and role and not settings.own_function:
        # A template cannot tell a function its own ARN. Its role is in the same account.
        partition, account = role.groups()
        arn = f"arn:{partition}:lambda:{environ['AWS_REGION']}:{account}:function:{name}"
        settings = replace(settings, own_function=arn)
    return settings


def handle(event: Mapping[str, Any], context: Context, tracker: Tracker) -> None:
    """Track *event* and write down what becomes of it. What fails is raised again."""
    clock = tracker.clock
    begun = clock.now()
    left = min(LONGEST_SECONDS, context.get_remaining_time_in_millis() / 1_000)

    def log(level: str, message: str, metrics: Mapping[str, Any], **facts: object) -> None:
        embedded = embed(tracker.settings.namespace, _FUNCTION, metrics, now=clock.now())
        _log(level, message, requestId=context.aws_request_id, **facts, **embedded)

    def note(message: str, /, **facts: object) -> None:
        log("WARNING", message, {"InDoubt": 1} if message == IN_DOUBT else {}, **facts)

    def duration() -> dict[str, float]:
        return {"Duration": round((clock.now() - begun) * 1_000, 3)}

    try:
        # Lambda repeats an event under the same requestId: another attempt is another claimant.
        claimant = f"{context.aws_request_id}/{os.urandom(6).hex()}"
        done = track(event, tracker, claimant=claimant, until=begun + left, note=note)
    except ApiTrackerError as e:
        sent = e.published if isinstance(e, UnpublishedError) else Published()
        fault = str(e)[:LONGEST_TEXT]
        log("ERROR", "failed", _sent(sent) | duration(), fault=fault, **_refused(sent))
        raise
    if done is None:
        log("INFO", "control message", {})
        return
    metrics = {
        **_balance(done),
        **_sent(done.published),
        "Other": done.others,
        "Lag": _lags(done, clock.now()),
        **duration(),
    }
    log(
        "INFO",
        "tracked",
        metrics,
        log=done.log.id,
        name=done.log.name[:LONGEST_TEXT],
        excluded=done.counts.excluded,
        pages=done.pages,
        requests=done.published.requests,
        datums=done.published.datums,
        before=done.before,
        rejectedRecords=[[r.place, r.reason[:LONGEST_TEXT]] for r in done.counts.rejected[:NAMED]],
        **_refused(done.published),
    )


def _balance(done: Tracked) -> dict[str, int]:
    """Say where the records of a log are, each once; they are duplicates if it came before."""
    counts = done.counts
    if done.before:
        received = counts.received
        return {"Received": received, "Duplicates": received} | dict.fromkeys(EMPTY, 0)
    return {
        "Received": counts.received,
        "Counted": counts.counted,
        "Duplicates": counts.duplicates,
        "Skipped": counts.skipped.total(),
        "Rejected": len(counts.rejected),
    }


def _sent(published: Published) -> dict[str, int]:
    return {
        "Published": published.calls,
        "Refused": sum(refusal.datum.calls for refusal in published.refused),
        "PublishRetries": published.retries,
    }


def _refused(published: Published) -> dict[str, Any]:
    return {
        "refusedData": [
            [r.datum.metric_name, r.datum.timestamp, r.reason[:LONGEST_TEXT]]
            for r in published.refused[:NAMED]
        ]
    }


def _lags(done: Tracked, now: float) -> list[float]:
    """Say how many seconds ago calls were made, for percentiles."""
    if done.before:
        return []
    at = API.fields.index("second")
    seconds: Counter[int] = Counter()
    for row, calls in done.counts.rows.items():
        seconds[row[at]] += calls
    return spread({round(now - second, 3): calls for second, calls in seconds.items()})


def _log(level: str, message: str, **facts: object) -> None:
    """Write one line of ASCII JSON: nothing of a record can break out of it."""
    line = {"level": level, "message": message, **facts}
    print(json.dumps(line), flush=True)  # noqa: T201 - Lambda's log is stdout


# What is decoded has no cycles, and the collector would look through all of it for some.
gc.set_threshold(100_000, 50, 50)
_FUNCTION: Final = os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "")
_TRACKER = make_tracker(os.environ) if _FUNCTION else None


def handler(event: Mapping[str, Any], context: Context) -> None:
    """Handle one invocation. An error makes Lambda try again, and after that keep the event."""
    handle(event, context, _TRACKER or make_tracker(os.environ))
