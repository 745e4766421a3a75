"""
What reconciling has sent, and CloudWatch may not show yet: items in the tracker's ledger.

CloudWatch shows old data hours or days after it has taken them. Who compares again before that
finds the same calls missing, and would publish them twice.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from apitracker.aws import Client, RefusedError, asking
from apitracker.errors import ServiceError
from apitracker.tracker.ledger import KEPT, HeldError

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
MOST: Final = 100  # items that are read, or written all or none, in one request
PREFIX: Final = "reconciled:"  # of the items' ids, beside those of logs
CANCELED: Final = "TransactionCanceledException"

Key: TypeAlias = tuple[int, str, str, str]
"""One metric in one minute: its start in seconds since 1970, eventName, awsRegion, eventSource."""


class Note(Struct, frozen=True):
    """
    That at *at*, in seconds since 1970, calls were sent.

    *total* is how many calls of the minute CloudWatch has once it shows them.
    """

    total: int
    at: int


class Notes(Struct, frozen=True):
    """The table of the notes, and the *namespace* of the metrics that they are about."""

    table: str
    dynamodb: Client
    namespace: str


def look_up(notes: Notes, keys: Sequence[Key]) -> dict[Key, Note]:
    """Give the notes there are on *keys*. `ServiceError` if the table cannot be asked."""
    by_id = {_id(notes, key): key for key in keys}
    ids = list(by_id)
    found: dict[Key, Note] = {}
    for some in (ids[at : at + MOST] for at in range(0, len(ids), MOST)):
        for item in _items(notes, some):
            note = Note(int(item["total"]["N"]), int(item["at"]["N"]))
            found[by_id[item["id"]["S"]]] = note
    return found


def write(notes: Notes, new: Mapping[Key, Note], before: Mapping[Key, Note]) -> None:
    """
    Write all of *new*, at most `MOST`, or none; *before* are the notes that were looked up.

    `HeldError` if another run has written one of them since, `ServiceError` if the table cannot
    be written.
    """
    written = [_put(notes, key, note, unless=before.get(key)) for key, note in new.items()]
    try:
        with asking("dynamodb:PutItem"):  # which is what a transaction has to be allowed
            notes.dynamodb.transact_write_items(TransactItems=written)
    except RefusedError as e:
        if e.code != CANCELED:
            raise
        raise HeldError(
            "another run publishes calls of the same minutes: let it end, then run this again"
        ) from e


def withdraw(notes: Notes, keys: Iterable[Key], before: Mapping[Key, Note]) -> None:
    """Take the notes on *keys* back, at most `MOST`: what was noted *before* is so again."""
    written = []
    for key in keys:
        if note := before.get(key):
            written.append({"Put": {"TableName": notes.table, "Item": _item(notes, key, note)}})
        else:
            which = {"id": {"S": _id(notes, key)}}
            written.append({"Delete": {"TableName": notes.table, "Key": which}})
    if written:
        with asking("dynamodb:DeleteItem"):
            notes.dynamodb.transact_write_items(TransactItems=written)


def _id(notes: Notes, key: Key) -> str:
    digest = hashlib.sha256(msgspec.json.encode((notes.namespace, *key)))
    return PREFIX + digest.hexdigest()


def _item(notes: Notes, key: Key, note: Note) -> dict[str, Any]:
    return {
        "id": {"S": _id(notes, key)},
        "total": {"N": str(note.total)},
        "at": {"N": str(note.at)},
        "expires": {"N": str(note.at + KEPT)},
    }


def _put(notes: Notes, key: Key, note: Note, *, unless: Note | None) -> dict[str, Any]:
    """Write *note* where nothing, or *unless*, stands."""
    put: dict[str, Any] = {"TableName": notes.table, "Item": _item(notes, key, note)}
    if unless is None:
        return {"Put": put | {"ConditionExpression": "attribute_not_exists(id)"}}
    condition = {
        "ConditionExpression": "#total = :total AND #at = :at",
        "ExpressionAttributeNames": {"#total": "total", "#at": "at"},
        "ExpressionAttributeValues": {
            ":total": {"N": str(unless.total)},
            ":at": {"N": str(unless.at)},
        },
    }
    return {"Put": put | condition}


def _items(notes: Notes, ids: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Get the items of *ids*; DynamoDB may leave some for a further request."""
    keys = [{"id": {"S": each}} for each in ids]
    wanted = {notes.table: {"Keys": keys, "ConsistentRead": True}}
    while wanted:
        with asking("dynamodb:BatchGetItem"):
            answer = notes.dynamodb.batch_get_item(RequestItems=wanted)
        if "Responses" not in answer:  # botocore takes a web page for an empty answer
            raise ServiceError(
                "dynamodb:BatchGetItem was answered without Responses: "
                "is there a proxy in between, or another service at the endpoint?"
            )
        yield from answer["Responses"].get(notes.table, ())
        wanted = answer.get("UnprocessedKeys") or {}
