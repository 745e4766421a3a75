"""
The Lambda function: a subscription event in, metric data out.

One log line gives the outcome, and is the tracker's own metrics. Where calls would be lost the
invocation fails, so that Lambda delivers the event again.
"""

import gc
import json
import os
import re
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, Protocol

from msgspec.structs import replace

from apitracker.errors import ApiTrackerError
from apitracker.settings import Settings, load
from apitracker.tracker.emf import embed, spread
from apitracker.tracker.envelopes import open_event
from apitracker.tracker.put_metric_data import Published, UnpublishedError
from apitracker.tracker.retries import SystemClock
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
NAMED_IN_LINE: Final = 10  # rejected records and refused datums that a log line names
LONGEST_TEXT: Final = 500  # characters of each of them
EMPTY: Final = ("Counted", "Skipped", "Rejected")


class Context(Protocol):
    """Lambda's description of an invocation, as far as it is used."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """How long the invocation may still take."""


def make_tracker(environ: Mapping[str, str]) -> Tracker:
    """Build the tracker that *environ* describes. `SettingsError` names a wrong setting."""
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
    """Complete *settings* by the function's memory and ARN from the *environ* of Lambda."""
    if memory := int(environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", 0)):
        # A longer log is refused by name. Without that Lambda kills the function, and no line of
        # its log says why.
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
    """Track the logs of *event* and log the outcome of each. A failure is raised again."""
    clock = tracker.clock
    begun = clock.now()
    left = min(LONGEST_SECONDS, context.get_remaining_time_in_millis() / 1_000)

    def write(level: str, message: str, metrics: Mapping[str, Any], **facts: object) -> None:
        embedded = embed(tracker.settings.namespace, _FUNCTION, metrics, now=clock.now())
        _log(level, message, requestId=context.aws_request_id, **facts, **embedded)

    def notify(message: str, /, **facts: object) -> None:
        write("WARNING", message, {"InDoubt": 1} if message == IN_DOUBT else {}, **facts)

    def duration() -> dict[str, float]:
        return {"Duration": round((clock.now() - begun) * 1_000, 3)}

    try:
        logs = open_event(event, max_bytes=tracker.settings.max_log_bytes)
        if not logs:
            write("INFO", "control message", {})
        for log in logs:
            # Lambda repeats an event under the same requestId: another attempt is another claimant.
            claimant = f"{context.aws_request_id}/{os.urandom(6).hex()}"
            done = track(log, tracker, claimant=claimant, until=begun + left, notify=notify)
            metrics = {
                **_balance(done),
                **_sent(done.published),
                "Other": done.overflow,
                "Lag": _lags(done, clock.now()),
                **duration(),
            }
            write("INFO", "tracked", metrics, **_facts(done), **_refused(done.published))
    except ApiTrackerError as e:
        sent = e.published if isinstance(e, UnpublishedError) else Published()
        fault = str(e)[:LONGEST_TEXT]
        write("ERROR", "failed", _sent(sent) | duration(), fault=fault, **_refused(sent))
        raise


def _facts(done: Tracked) -> dict[str, Any]:
    """Return the facts about a log that its log line gives beside the metrics."""
    rejections = done.counted.balance.rejections[:NAMED_IN_LINE]
    return {
        "log": done.log.id,
        "name": done.log.name[:LONGEST_TEXT],
        "excluded": done.excluded,
        "batches": done.batches,
        "requests": done.published.requests,
        "datums": done.published.datums,
        "before": done.before,
        "rejectedRecords": [[r.place, r.reason[:LONGEST_TEXT]] for _, r in rejections],
    }


def _balance(done: Tracked) -> dict[str, int]:
    """Return the balance of a log's records; all are duplicates if the log came before."""
    balance = done.counted.balance
    if done.before:
        received = balance.received
        return {"Received": received, "Duplicates": received} | dict.fromkeys(EMPTY, 0)
    return {
        "Received": balance.received,
        "Counted": balance.counted,
        "Duplicates": balance.duplicates,
        "Skipped": balance.skipped.total(),
        "Rejected": balance.rejected,
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
            for r in published.refused[:NAMED_IN_LINE]
        ]
    }


def _lags(done: Tracked, now: float) -> list[float]:
    """Return how many seconds ago calls were made, for percentiles."""
    if done.before:
        return []
    counts = done.counted.counts.by(("second",))
    seconds = zip(counts.times("second"), counts.numbers, strict=True)
    return spread({round(now - second, 3): calls for second, calls in seconds})


def _log(level: str, message: str, **facts: object) -> None:
    """Write one line of ASCII JSON: no value of a record can break out of it."""
    line = {"level": level, "message": message, **facts}
    print(json.dumps(line), flush=True)  # noqa: T201 - Lambda's log is stdout


# Decoded records have no cycles, and the collector would look through all of them for some.
gc.set_threshold(100_000, 50, 50)
_FUNCTION: Final = os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "")
_TRACKER = make_tracker(os.environ) if _FUNCTION else None


def handler(event: Mapping[str, Any], context: Context) -> None:
    """Handle one invocation. An error makes Lambda try again, and after that keep the event."""
    handle(event, context, _TRACKER or make_tracker(os.environ))
