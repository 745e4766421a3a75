"""The real records as CloudWatch Logs would deliver them: payloads of a subscription filter."""

import base64
import gzip
import json
import random
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tests.real import Event, counted, golden, moved, of_day, records

from apitracker.tracker.envelopes import open_event

DAYS = 12  # over which records are spread, so that a payload has many minutes
LARGE = (2_100, 1_150)  # records in payloads of more than one batch
SMALL = (60, 200)  # in others, from and to


class Payload(NamedTuple):
    """A payload of a subscription filter: an *event* with the *messages* of a *log*."""

    log: str
    event: bytes
    messages: list[Event]


def spread(chance: random.Random) -> list[Event]:
    """Move all real records into the last days."""
    now = int(time.time())
    found = [moved(each, now, days=chance.randrange(DAYS)) for each in records()]
    assert of_day(counted(found)) == golden()
    return found


def pack(chance: random.Random, events: Sequence[Event]) -> Iterator[Payload]:
    """Shuffle *events* into payloads. None has an eventID twice: that is counted once there."""
    left = list(events)
    chance.shuffle(left)
    sizes = iter(LARGE)
    number = 0
    while left:
        size = next(sizes, chance.randint(*SMALL))
        some: dict[str, Event] = {}
        rest: list[Event] = []
        for event in left:
            key = json.loads(event.message).get("eventID") or event.message
            if key in some or len(some) == size:
                rest.append(event)
            else:
                some[key] = event
        left = rest
        yield wrap(number, list(some.values()))
        number += 1


def wrap(number: int, events: list[Event]) -> Payload:
    """Wrap *events* as CloudWatch Logs does, as its *number*th payload."""
    message = {
        "messageType": "DATA_MESSAGE",
        "owner": "123456789012",
        "logGroup": "CloudTrail/DefaultLogGroup",
        "logStream": "123456789012_CloudTrail_us-east-1",
        "subscriptionFilters": ["CloudTrail"],
        "logEvents": [
            {
                "id": f"{number:028}{place:028}",
                "timestamp": event.timestamp,
                "message": event.message,
            }
            for place, event in enumerate(events)
        ],
    }
    data = base64.b64encode(gzip.compress(json.dumps(message).encode(), 1)).decode()
    event = {"awslogs": {"data": data}}
    [log] = open_event(event)
    return Payload(log.id, json.dumps(event).encode(), events)
