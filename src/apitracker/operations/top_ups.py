"""
Records of top-ups, in the tracker's ledger: calls sent by reconcile, perhaps not visible yet.

CloudWatch shows old data hours or days after it has taken them. A comparison before that finds the
same calls missing, and would publish them twice.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from apitracker.aws import Client, RefusedError, translate_errors
from apitracker.errors import ServiceError
from apitracker.tracker.ledger import KEPT, HeldError

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
TOP_UPS_AT_ONCE: Final = 100  # items that are read, or written all or none, in one request
ID_PREFIX: Final = "reconciled:"  # of the items' ids, beside those of logs
CANCELED: Final = "TransactionCanceledException"


class MetricMinute(NamedTuple):
    """A metric of the set `API` in one minute; *minute* is its start, in seconds since 1970."""

    minute: int
    event_name: str
    aws_region: str
    event_source: str


class TopUpRecord(Struct, frozen=True):
    """
    The record that calls of a minute were sent at *at*, in seconds since 1970.

    CloudWatch has *total* calls of the minute once it shows them.
    """

    total: int
    at: int


class TopUpRecords(Struct, frozen=True):
    """The records in *table*, of metrics in *namespace*."""

    table: str
    dynamodb: Client
    namespace: str


def read_top_ups(
    records: TopUpRecords, minutes: Sequence[MetricMinute]
) -> dict[MetricMinute, TopUpRecord]:
    """Return the records of *minutes*. `ServiceError` if the table cannot be read."""
    by_id = {_id(records, minute): minute for minute in minutes}
    ids = list(by_id)
    found: dict[MetricMinute, TopUpRecord] = {}
    for some in (ids[at : at + TOP_UPS_AT_ONCE] for at in range(0, len(ids), TOP_UPS_AT_ONCE)):
        for item in _items(records, some):
            record = TopUpRecord(int(item["total"]["N"]), int(item["at"]["N"]))
            found[by_id[item["id"]["S"]]] = record
    return found


def write_top_ups(
    records: TopUpRecords,
    new: Mapping[MetricMinute, TopUpRecord],
    before: Mapping[MetricMinute, TopUpRecord],
) -> None:
    """
    Write all of *new*, at most `TOP_UPS_AT_ONCE`, or none; *before* are the records as read.

    `HeldError` if another run has written one of them since, `ServiceError` if the table cannot
    be written.
    """
    written = [
        _put(records, minute, record, unless=before.get(minute)) for minute, record in new.items()
    ]
    try:
        with translate_errors("dynamodb:PutItem"):  # the permission that a transaction needs
            records.dynamodb.transact_write_items(TransactItems=written)
    except RefusedError as e:
        if e.code != CANCELED:
            raise
        raise HeldError(
            "another run publishes calls of the same minutes: let it end, then run this again"
        ) from e


def withdraw_top_ups(
    records: TopUpRecords,
    minutes: Iterable[MetricMinute],
    before: Mapping[MetricMinute, TopUpRecord],
) -> None:
    """Take the records of *minutes* back, at most `TOP_UPS_AT_ONCE`, and restore those *before*."""
    written = []
    for minute in minutes:
        if record := before.get(minute):
            item = _item(records, minute, record)
            written.append({"Put": {"TableName": records.table, "Item": item}})
        else:
            key = {"id": {"S": _id(records, minute)}}
            written.append({"Delete": {"TableName": records.table, "Key": key}})
    if written:
        with translate_errors("dynamodb:DeleteItem"):
            records.dynamodb.transact_write_items(TransactItems=written)


def _id(records: TopUpRecords, minute: MetricMinute) -> str:
    digest = hashlib.sha256(msgspec.json.encode((records.namespace, *minute)))
    return ID_PREFIX + digest.hexdigest()


def _item(records: TopUpRecords, minute: MetricMinute, record: TopUpRecord) -> dict[str, Any]:
    return {
        "id": {"S": _id(records, minute)},
        "total": {"N": str(record.total)},
        "at": {"N": str(record.at)},
        "expires": {"N": str(record.at + KEPT)},
    }


def _put(
    records: TopUpRecords, minute: MetricMinute, record: TopUpRecord, *, unless: TopUpRecord | None
) -> dict[str, Any]:
    """Return a write of *record* on condition that nothing, or *unless*, stands there."""
    put: dict[str, Any] = {"TableName": records.table, "Item": _item(records, minute, record)}
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


def _items(records: TopUpRecords, ids: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Read the items of *ids*; DynamoDB may leave some for a further request."""
    keys = [{"id": {"S": each}} for each in ids]
    wanted = {records.table: {"Keys": keys, "ConsistentRead": True}}
    while wanted:
        with translate_errors("dynamodb:BatchGetItem"):
            answer = records.dynamodb.batch_get_item(RequestItems=wanted)
        if "Responses" not in answer:  # botocore takes a web page for an empty answer
            raise ServiceError(
                "dynamodb:BatchGetItem was answered without Responses: "
                "is there a proxy in between, or another service at the endpoint?"
            )
        yield from answer["Responses"].get(records.table, ())
        wanted = answer.get("UnprocessedKeys") or {}
