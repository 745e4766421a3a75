"""Envelopes: the events in which AWS delivers logs are opened."""

import hashlib
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
import pybase64
from msgspec import Struct

from apitracker.core.compression import MAX_BYTES, inflate
from apitracker.core.cutting import cut_list
from apitracker.core.documents import UNREADABLE, mend
from apitracker.core.model import Log
from apitracker.core.recognition import in_words
from apitracker.errors import LogError


class LogEvent(Struct, gc=False):
    """A message that CloudWatch Logs delivers; its id is the same when it is delivered again."""

    id: str
    message: str


class Payload(Struct, gc=False):
    """The payload that a subscription filter delivers."""

    messageType: str
    logGroup: str = ""
    logStream: str = ""
    logEvents: list[LogEvent] = []


EVENTS: Final = b'"logEvents":['
MARK: Final = b'},{"id":'
_decode = msgspec.json.Decoder(Payload | list[LogEvent]).decode


def open_event(event: Mapping[str, Any], *, max_bytes: int = MAX_BYTES) -> list[Log]:
    """
    Return the logs in *event*, a CloudWatch Logs subscription event as Lambda receives it: one.

    A log's id is made of the log group and the ids of its messages, so that it is the same when it
    is delivered again. There is no log in a control message, by which CloudWatch Logs tries the
    destination. `LogError` for anything else.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html
    """
    try:
        body = pybase64.b64decode(event["awslogs"]["data"], validate=True)
    except (KeyError, TypeError, ValueError) as e:
        fault = "it has no awslogs.data in base64"
        raise LogError("event", f"is not a CloudWatch Logs subscription event: {fault}") from e
    text = inflate(body, "event", max_bytes=max_bytes)
    try:
        payload = _stream(text)
    except UNREADABLE:
        payload = _payload(b"".join(inflate(body, "event", max_bytes=max_bytes)))
    if payload.messageType == "CONTROL_MESSAGE":
        return []
    if payload.messageType != "DATA_MESSAGE":
        raise LogError("event", f"is of an unknown messageType: {payload.messageType[:40]!r}")
    ids = sorted(event.id for event in payload.logEvents)
    digest = hashlib.sha256("\n".join([payload.logGroup, *ids]).encode("utf-8", "surrogatepass"))
    name = f"{payload.logGroup}:{payload.logStream}"
    return [Log(digest.hexdigest(), name, [event.message for event in payload.logEvents])]


def _stream(text: Iterator[bytes]) -> Payload:
    """
    Read a payload in the memory of its messages: the text is decoded as it is inflated.

    The text is cut where one event ends and the next begins. That cannot be inside a message, where
    quotes are escaped.
    """
    head, opening, rest = next(text, b"").partition(EVENTS)
    *lists, last = map(_decode, cut_list(itertools.chain([rest], text), head + opening, MARK))
    if not isinstance(last, Payload):
        raise msgspec.DecodeError("a list is not a payload")
    last.logEvents = [*itertools.chain.from_iterable(lists), *last.logEvents]
    return last


def _payload(text: bytes) -> Payload:
    """Read a payload of any form at once, and mend it if need be."""
    try:
        payload = _decode(mend(text))
    except UNREADABLE as e:
        raise LogError("event", f"is not a payload of a subscription: {in_words(e)}") from e
    if not isinstance(payload, Payload):
        raise LogError("event", "is not a payload of a subscription, but a list")
    return payload
