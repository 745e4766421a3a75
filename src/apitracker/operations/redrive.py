"""
Events that Lambda has given up are published after all, by the tracker's own code and ledger.

Lambda keeps each whole, in a record of its invocation, in a bucket of the stack:
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
"""

import os
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from apitracker.aws import Client, asking, connection, pages
from apitracker.core.metric_sets import count_by_set
from apitracker.core.model import Log
from apitracker.core.own_calls import Own
from apitracker.core.recognition import in_words
from apitracker.errors import ApiTrackerError, LogError, ServiceError
from apitracker.operations import deployment as stacks
from apitracker.settings import load
from apitracker.tracker import ledger
from apitracker.tracker.envelopes import open_event
from apitracker.tracker.retries import Clock
from apitracker.tracker.signing import CLOUDWATCH, DYNAMODB
from apitracker.tracker.tracking import (
    IN_DOUBT,
    Tracker,
    assemble,
    count_log,
    track,
)

SECONDS: Final = 60.0  # for one event, its retries included; as the function has by default
MARGIN: Final = 10.0  # seconds kept for looking up what is known of an event


class Kept(Struct, frozen=True):
    """Where failed events are, and a tracker like the one that failed on them."""

    bucket: str
    tracker: Tracker


class Redriven(Struct, frozen=True):
    """
    What became of an event, by its *key* in the bucket.

    One that is *done* is deleted, and all others stay; *refused* calls are too old to be taken.
    """

    key: str
    done: bool
    text: str
    refused: int = 0


class _Invocation(Struct):
    """What is used of Lambda's record."""

    requestPayload: Any


def look_up(stack: str, cloudformation: Client, functions: Client, clock: Clock) -> Kept:
    """
    Find where the failed events of *stack* are, and make a tracker by its function's settings.

    `ServiceError` if there is no such stack, or it keeps none.
    """
    found = stacks.require(stack, cloudformation)
    function, bucket = found.resource(stacks.FUNCTION), found.resource(stacks.FAILED_EVENTS)
    if not (function and bucket):
        raise ServiceError(
            f"{stack} keeps no failed events: is it the tracker's stack, of this version? "
            "Deploy it again"
        )
    configuration = stacks.configuration(function, functions)
    settings, _ = load(stacks.variables(configuration))
    function_arn = settings.own_function or configuration["FunctionArn"]
    settings = replace(settings, own_function=function_arn)
    tracker = assemble(settings, connection(CLOUDWATCH), connection(DYNAMODB), clock)
    return Kept(bucket, tracker)


def redrive(
    kept: Kept, s3: Client, *, dry_run: bool, tell: Callable[[str, str], None]
) -> Iterator[Redriven]:
    """
    Publish what is missing of each event, delete it, and say so; one after the other, as they come.

    What cannot be published stays. With *dry_run* nothing is changed. *tell* is told a key, and
    what may count twice of it or is done without the ledger, before it is done: it may be stopped
    anywhere and run again, as the ledger knows what was published. `ServiceError` if the bucket
    cannot be read.
    """
    for page in pages(s3, "s3:ListBucket", "list_objects_v2", Bucket=kept.bucket):
        for found in page.get("Contents", []):
            key = found["Key"]
            try:
                if dry_run:
                    yield _preview(key, _event(kept, key, s3), kept.tracker)
                    continue
                redriven = _publish(key, _event(kept, key, s3), kept.tracker, tell)
                with asking("s3:DeleteObject"):
                    s3.delete_object(Bucket=kept.bucket, Key=key)
            except ApiTrackerError as e:
                yield Redriven(key, done=False, text=str(e))
            else:
                yield redriven


def _event(kept: Kept, key: str, s3: Client) -> Any:  # noqa: ANN401 - whatever Lambda was given
    """Get the event out of Lambda's record of it. `LogError` if it is no such record."""
    with asking("s3:GetObject"):
        body = s3.get_object(Bucket=kept.bucket, Key=key)["Body"].read()
    try:
        return msgspec.json.decode(body, type=_Invocation).requestPayload
    except (msgspec.DecodeError, RecursionError) as e:
        raise LogError(key, f"is not a record of an invocation: {in_words(e)}") from e


def _publish(
    key: str,
    event: Any,  # noqa: ANN401 - as above
    tracker: Tracker,
    tell: Callable[[str, str], None],
) -> Redriven:
    def notify(message: str, /, **facts: object) -> None:
        doubt = f"batch {facts.get('batch')} may count twice"
        tell(key, doubt if message == IN_DOUBT else message)

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


def _open(event: Any, tracker: Tracker) -> Log | None:  # noqa: ANN401 - as above
    """Return the log in *event*, None for a control message. `LogError` if there is none."""
    logs = open_event(event, max_bytes=tracker.settings.max_log_bytes)
    return logs[0] if logs else None


def _preview(key: str, event: Any, tracker: Tracker) -> Redriven:  # noqa: ANN401 - as above
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
