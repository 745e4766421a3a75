"""
Redrive: publish the events that Lambda has given up, with the tracker's own code and ledger.

Lambda keeps each whole, in a record of its invocation, in a bucket of the stack:
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
"""

import os
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from apitracker.aws import Client, paginate, translate_errors
from apitracker.core.metric_sets import count_by_set
from apitracker.core.model import Log
from apitracker.core.own_calls import Own
from apitracker.core.recognition import in_words
from apitracker.errors import ApiTrackerError, LogError, ServiceError
from apitracker.operations.connections import connect
from apitracker.operations.deployment import Deployment
from apitracker.tracker import ledger
from apitracker.tracker.envelopes import open_event
from apitracker.tracker.retries import Clock
from apitracker.tracker.signing import CLOUDWATCH, DYNAMODB
from apitracker.tracker.tracking import (
    Tracker,
    assemble,
    count_log,
    track,
)

SECONDS: Final = 60.0  # for one event, its retries included; as the function has by default
MARGIN: Final = 10.0  # seconds kept for looking up an event in the ledger


class FailedEvents(Struct, frozen=True):
    """The bucket of failed events, and a tracker like the one that failed on them."""

    bucket: str
    tracker: Tracker


class Redriven(Struct, frozen=True):
    """
    The outcome of an event, by its *key* in the bucket.

    One that is *done* is deleted, and all others stay; *refused* calls are too old to be taken.
    """

    key: str
    done: bool
    text: str
    refused: int = 0


class _Invocation(Struct):
    """The part of Lambda's record that is used."""

    requestPayload: Any


def open_failed_events(deployment: Deployment, clock: Clock) -> FailedEvents:
    """
    Open the failed events of *deployment*, with a tracker by its function's settings.

    `ServiceError` if it keeps none.
    """
    if not (deployment.function and deployment.failed_events):
        raise ServiceError(
            f"{deployment.name} keeps no failed events: is it the tracker's stack, of this "
            "version? Deploy it again"
        )
    settings = deployment.settings
    function_arn = settings.own_function or deployment.configuration["FunctionArn"]
    settings = replace(settings, own_function=function_arn)
    tracker = assemble(settings, connect(CLOUDWATCH), connect(DYNAMODB), clock)
    return FailedEvents(deployment.failed_events, tracker)


def publish_failed(
    failed: FailedEvents, s3: Client, *, dry_run: bool, tell: Callable[[str, str], None]
) -> Iterator[Redriven]:
    """
    Publish the missing calls of each event, delete it, and return its outcome, one by one.

    An event that cannot be published stays. With *dry_run* nothing is changed. *tell* is called
    with a key and a text before a batch may count twice or is published without the ledger. It may
    be stopped anywhere and run again, as the ledger knows the published batches. `ServiceError` if
    the bucket cannot be read.
    """
    for answer in paginate(s3, "s3:ListBucket", "list_objects_v2", Bucket=failed.bucket):
        for found in answer.get("Contents", []):
            key = found["Key"]
            try:
                if dry_run:
                    yield _preview(key, _event(failed, key, s3), failed.tracker)
                    continue
                redriven = _publish(key, _event(failed, key, s3), failed.tracker, tell)
                with translate_errors("s3:DeleteObject"):
                    s3.delete_object(Bucket=failed.bucket, Key=key)
            except ApiTrackerError as e:
                yield Redriven(key, done=False, text=str(e))
            else:
                yield redriven


def _event(failed: FailedEvents, key: str, s3: Client) -> Any:  # noqa: ANN401 - any JSON
    """Read the event in Lambda's record. `LogError` if the object is not such a record."""
    with translate_errors("s3:GetObject"):
        body = s3.get_object(Bucket=failed.bucket, Key=key)["Body"].read()
    try:
        return msgspec.json.decode(body, type=_Invocation).requestPayload
    except (msgspec.DecodeError, RecursionError) as e:
        raise LogError(key, f"is not a record of an invocation: {in_words(e)}") from e


def _publish(
    key: str,
    event: Any,  # noqa: ANN401 - any JSON
    tracker: Tracker,
    tell: Callable[[str, str], None],
) -> Redriven:
    def notify(message: str, /, **facts: object) -> None:
        batch = facts.get("batch")
        tell(key, f"batch {batch} may count twice" if batch else message)

    claimant = f"redrive/{os.urandom(6).hex()}"
    until = tracker.clock.now() + SECONDS
    log = _open(event, tracker)
    if log is None:
        return Redriven(key, done=True, text="a control message")
    done = track(log, tracker, claimant=claimant, until=until, notify=notify)
    if done.before:
        return Redriven(key, done=True, text="was published before")
    sent = done.published
    text = f"{sent.calls:,} calls in {sent.requests:,} requests"
    return Redriven(key, True, text, sum(refusal.datum.calls for refusal in sent.refused))


def _open(event: Any, tracker: Tracker) -> Log | None:  # noqa: ANN401 - any JSON
    """Return the log in *event*, None for a control message. `LogError` if there is none."""
    logs = open_event(event, max_bytes=tracker.settings.max_log_bytes)
    return logs[0] if logs else None


def _preview(key: str, event: Any, tracker: Tracker) -> Redriven:  # noqa: ANN401 - any JSON
    log = _open(event, tracker)
    if log is None:
        return Redriven(key, done=True, text="a control message")
    counted = count_log(log, tracker.selection, Own.of(tracker.settings))
    _, excluded = count_by_set(counted.counts, tracker.selection)
    text = f"{counted.counts.calls - excluded:,} calls"
    if tracker.ledger:
        deadline = tracker.clock.now() + MARGIN
        finished, marked = ledger.progress(tracker.ledger, log.id, deadline=deadline)
        if finished:
            text = "was published before"
        elif marked:
            text += f", without those of {len(marked):,} batches that were published before"
    return Redriven(key, done=True, text=text)
