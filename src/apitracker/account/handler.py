"""
The Lambda: a subscription event in, metric data out.

One log line says what became of it all. What must not be lost fails the invocation, so that
Lambda delivers the event again.
"""

import gc
import json
import os
import random
import time
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from apitracker.account.publish import Clock, Poster, Published, publish
from apitracker.account.signing import CLOUDWATCH, Connection, credentials, endpoint
from apitracker.core.envelopes import subscription
from apitracker.core.metrics import API, MetricSet, Plan, Rules, plan
from apitracker.core.model import Log, Rejected
from apitracker.core.records import parts
from apitracker.core.selection import parse_where
from apitracker.core.tally import Row, rows
from apitracker.errors import SettingsError, UsageError
from apitracker.settings import Settings, load

MARGIN_SECONDS = 2.0  # kept of the invocation's time, to say what became of it
NAMED = 10  # rejected records and refused data that are named in the log line


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


class Tracker(Struct, frozen=True):
    """All that tracking needs from outside, handed over once."""

    settings: Settings
    metrics: MetricSet
    rules: Rules
    poster: Poster
    clock: Clock


class Counts(Struct):
    """What a log holds, and how often; the records balance."""

    received: int = 0
    counted: int = 0
    duplicates: int = 0
    skipped: Counter[str] = msgspec.field(default_factory=Counter)
    rejected: list[Rejected] = msgspec.field(default_factory=list)
    latest: int | None = None
    rows: Counter[Row] = msgspec.field(default_factory=Counter)


def track(event: Mapping[str, Any], tracker: Tracker, *, deadline: float) -> dict[str, Any] | None:
    """
    Publish what *event* holds, by *deadline*, and say what became of it.

    None for a control message. `LogError` for an event that is no log, `ServiceError` for what
    could not be published: Lambda then delivers it again.
    """
    log = subscription(event, max_bytes=tracker.settings.max_log_bytes)
    if log is None:
        return None
    fields = (*tracker.metrics.fields, *tracker.rules.fields)
    counts = read(log, fields)
    planned = plan(counts.rows, fields, tracker.metrics, tracker.rules)
    sent = publish(
        planned.pages, tracker.metrics.namespace, tracker.poster, tracker.clock, deadline=deadline
    )
    return summary(log, counts, planned, sent, tracker.clock.now())


def read(log: Log, fields: tuple[str, ...]) -> Counts:
    """Decode *log* and count its calls by *fields*, each eventID once."""
    counts = Counts()
    for part in parts(log, fields=fields):
        counts.received += part.received
        counts.counted += len(part.calls)
        counts.duplicates += len(part.duplicates)
        counts.skipped.update(part.skipped)
        counts.rejected += part.rejected
        counts.rows.update(rows(part.calls, fields))
    second = fields.index("second")
    counts.latest = max((row[second] for row in counts.rows), default=None)
    return counts


def summary(log: Log, counts: Counts, planned: Plan, sent: Published, now: float) -> dict[str, Any]:
    """Say in one flat object what became of *log*; *lag* is how many seconds ago its latest was."""
    return {
        "log": log.id,
        "name": log.name,
        "received": counts.received,
        "counted": counts.counted,
        "duplicates": counts.duplicates,
        "skipped": counts.skipped.total(),
        "rejected": len(counts.rejected),
        "excluded": planned.excluded,
        "pages": len(planned.pages),
        "requests": sent.requests,
        "datums": sent.datums,
        "calls": sent.calls,
        "refused": sum(refusal.datum.calls for refusal in sent.refused),
        "retries": sent.retries,
        "inDoubt": sent.in_doubt,
        "lag": None if counts.latest is None else round(now - counts.latest, 3),
        "rejectedRecords": [[r.place, r.reason] for r in counts.rejected[:NAMED]],
        "refusedData": [
            [r.datum.metric_name, r.datum.timestamp, r.reason] for r in sent.refused[:NAMED]
        ],
    }


def make_tracker(environ: Mapping[str, str]) -> Tracker:
    """Build the tracker that *environ* describes. `SettingsError` names what is wrong in it."""
    settings, unknown = load(environ)
    for name in unknown:
        _log({"level": "WARNING", "message": f"{name}: no such setting; it does nothing"})
    rules = []
    for name in ("include", "exclude"):
        try:
            rules.append(parse_where(getattr(settings, name).split()))
        except UsageError as e:
            raise SettingsError(f"APITRACKER_{name.upper()}: {e}") from e
    region = environ.get("AWS_REGION", "")
    return Tracker(
        settings,
        msgspec.structs.replace(API, namespace=settings.namespace),
        Rules(*rules),
        Connection(
            CLOUDWATCH,
            region,
            endpoint(CLOUDWATCH, region, environ),
            credentials=partial(credentials, environ),
        ),
        SystemClock(),
    )


def _log(line: dict[str, Any]) -> None:
    """Write one line of ASCII JSON: nothing of a record can break out of it."""
    print(json.dumps(line), flush=True)  # noqa: T201 - Lambda's log is stdout


# What is decoded has no cycles, and the collector would look through all of it for some.
gc.set_threshold(100_000, 50, 50)
_TRACKER = make_tracker(os.environ) if "AWS_LAMBDA_FUNCTION_NAME" in os.environ else None


def handler(event: Mapping[str, Any], context: Context) -> None:
    """Handle one invocation. An error makes Lambda try again, and after that keep the event."""
    tracker = _TRACKER or make_tracker(os.environ)
    left = context.get_remaining_time_in_millis() / 1_000 - MARGIN_SECONDS
    done = track(event, tracker, deadline=tracker.clock.now() + left)
    if done is None:
        _log({"level": "INFO", "message": "control message", "requestId": context.aws_request_id})
    else:
        _log({"level": "INFO", "message": "tracked", "requestId": context.aws_request_id, **done})
