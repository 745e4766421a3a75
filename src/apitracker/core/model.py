"""The values that flow: a Log is decoded into Calls; a Key has the fields that the store keeps."""

import hashlib
from collections import Counter
from typing import NamedTuple

from msgspec import Struct


class Log(Struct, frozen=True):
    """
    One delivered piece: a log file, an S3 object, a subscription payload.

    The unit of work, of identity, of retry and of accounting. *id* is the SHA-256 of the delivered
    bytes, in hex; *name* is the place where it was found, and stands in every error about it.
    *body* is the bytes of a file or an object, or the messages of a payload, a record each.
    """

    id: str
    name: str
    body: bytes | list[str]

    @classmethod
    def of(cls, name: str, body: bytes) -> "Log":
        """Make the log of a file or an object: its id is the SHA-256 of the raw bytes."""
        return cls(hashlib.sha256(body).hexdigest(), name, body)


class Call(Struct, frozen=True, gc=False):
    """
    One record of API calls, as far as it is counted. An absent field is the empty string.

    *second* is eventTime in seconds since 1970 UTC. *readOnly* is ``true``, ``false`` or empty.
    *caller* is the role or user, never the session. *failed_without_code* marks a call that failed
    without an errorCode: a sign-in. *throttle_cause* is the cause that the errorMessage of a
    throttled call gives: ``aws`` if a request that AWS made caused it, else empty. *eventID* tells
    a record from its duplicates. *calls* is the number of calls that the record stands for.
    """

    second: int
    eventName: str = ""
    eventSource: str = ""
    awsRegion: str = ""
    recipientAccountId: str = ""
    callerAccountId: str = ""
    caller: str = ""
    errorCode: str = ""
    readOnly: str = ""
    eventCategory: str = ""
    failed_without_code: bool = False
    throttle_cause: str = ""
    eventType: str = ""
    eventVersion: str = ""
    eventID: str = ""
    calls: int = 1


class Key(NamedTuple):
    """The fields of a Call that the store tells apart."""

    second: int
    eventName: str = ""
    eventSource: str = ""
    awsRegion: str = ""
    recipientAccountId: str = ""
    callerAccountId: str = ""
    caller: str = ""
    errorCode: str = ""
    readOnly: str = ""
    eventCategory: str = ""
    failed_without_code: bool = False
    throttle_cause: str = ""


class Rejected(Struct, frozen=True):
    """A record that cannot be counted: its *place* in the log, and the *reason*."""

    place: str
    reason: str


class Decoded(Struct, frozen=True):
    """
    Every record of a log, each in exactly one place.

    *calls* are counted; *duplicates* have the eventID of an earlier record of the log; *skipped*
    has the number of records of each kind that is not a call; *rejected* are the rest.
    """

    calls: list[Call]
    duplicates: list[Call]
    skipped: Counter[str]
    rejected: list[Rejected]

    @property
    def received(self) -> int:
        """The number of records."""
        return len(self.calls) + len(self.duplicates) + self.skipped.total() + len(self.rejected)
