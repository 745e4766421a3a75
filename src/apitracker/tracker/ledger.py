"""
The ledger of published batches: a DynamoDB table, one item a log.

CloudWatch adds up all that it is sent, and every service that delivers logs delivers some of them
twice. So a log is claimed before any of its batches is sent, and each batch is marked when
CloudWatch has taken it. docs/decisions/ledger.md gives the reasons and the costs.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from apitracker.core.metric_sets import MetricSelection
from apitracker.errors import ServiceError
from apitracker.tracker import retries
from apitracker.tracker.retries import Clock, Poster
from apitracker.tracker.signing import Response

# CloudWatch refuses what is older than two weeks or over two hours ahead, so that no call a log
# held when it was first claimed can be published twice after that, claimed or not.
KEPT: Final = 15 * 86_400  # seconds from the decision on; DynamoDB deletes the item after that
MONTH_KEPT: Final = 40 * 86_400  # seconds, of the metrics that a month has admitted

VERSION: Final = 2
"""
The version of the code that makes a decision and cuts batches. It names who began a log.

Raise it when the same records give other batches: a test holds it to the batches of fixed records.
Version 1 kept no fingerprint.
"""

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateItem.html
REFUSED: Final = "ConditionalCheckFailedException"

OTHER_FORM: Final = (
    "another version of apitracker began to publish this log, and its decision cannot be read: "
    "run that version's apitracker redrive"
)

TAKEN: Final = "another execution is publishing this log, for a minute at most: try again then"

Item = dict[str, dict[str, Any]]
"""Attributes as DynamoDB takes them: ``{"finished": {"BOOL": true}}``."""


class _Text(Struct, frozen=True):
    S: str


class _Number(Struct, frozen=True):
    N: str


class _Texts(Struct, frozen=True):
    SS: frozenset[str] = frozenset()


class _Binaries(Struct, frozen=True):
    BS: frozenset[str] = frozenset()


class _Found(Struct, frozen=True):
    """An item as DynamoDB gives it; an attribute that is absent is None or empty."""

    claimant: _Text | None = None
    previous: _Number | None = None
    decision: _Text | None = None
    finished: Any = None
    done: _Texts = _Texts()
    admitted: _Binaries = _Binaries()


class _Answer(Struct, frozen=True):
    """An answer of DynamoDB: with attributes to an update, with an item to a read or a refusal."""

    Attributes: _Found | None = None
    Item: _Found | None = None


FINISH: Final = "SET finished = :yes, deadline = :none"
FINISHED: Final[Item] = {":yes": {"BOOL": True}, ":none": {"N": "0"}}


class HeldError(ServiceError):
    """A log that cannot be published now: another execution has it, or began other batches."""


class Decision(Struct, frozen=True):
    """
    The decision made when a log was first claimed; every retry keeps to it.

    *decided* is the time, in seconds since 1970; *selection* is the metrics to publish, by the
    settings of that moment. *overflow* holds, for each metric set, the series beyond the budget,
    and the overflow series beyond theirs: a bit for each, in sorted order. *fingerprint* is of the
    batches, and of the series that the bits stand for; it is empty in version 1.
    """

    decided: int
    selection: MetricSelection = field(name="choice")
    overflow: dict[str, tuple[bytes, bytes]] = field(default_factory=dict, name="others")
    fingerprint: str = ""
    version: int = VERSION


class Ledger(Struct, frozen=True):
    """The table, and the connection and the clock to use it with."""

    table: str
    poster: Poster
    clock: Clock


class Claim(Struct):
    """
    The right to publish a log, until its deadline.

    *done* are the batches, and parts of batches, that are published. *taken_over* says that the
    claim before this one was neither finished nor given back: the first batch that is not marked
    may have been published. A *finished* log was published whole, and nothing is claimed any more.
    """

    ledger: Ledger
    log: str
    claimant: str
    decision: Decision
    done: frozenset[str] = frozenset()
    taken_over: bool = False
    finished: bool = False

    @property
    def begun(self) -> bool:
        """Whether a batch of the log is published, or may be."""
        return bool(self.done) or self.taken_over

    def decide(self, decision: Decision, *, deadline: float) -> None:
        """
        Replace the decision that later claims of the log keep to.

        `ServiceError` if that cannot be written by *deadline*, or another has the claim by now.
        """
        response = _update(
            self.ledger,
            self.log,
            "SET decision = :decision, expires = :expires",
            {**_decided(decision), ":me": {"S": self.claimant}},
            condition="claimant = :me",
            deadline=deadline,
        )
        if not response.ok:
            raise HeldError(f"{self.log}: {TAKEN}")
        self.decision = decision

    def mark(self, part: str, *, last: bool, deadline: float) -> None:
        """
        Mark *part* as published and, with the *last* one, the log as finished.

        `ServiceError` if that cannot be written by *deadline*.
        """
        values: Item = {":part": {"SS": [part]}}
        update = "ADD done :part"
        if last:
            update += f" {FINISH}"
            values |= FINISHED
        _update(self.ledger, self.log, update, values, deadline=deadline)

    def finish(self, *, deadline: float) -> None:
        """Mark a log without batches as finished. `ServiceError` as with `mark`."""
        _update(self.ledger, self.log, FINISH, FINISHED, deadline=deadline)

    def give_back(self, *, deadline: float) -> None:
        """Let another execution claim the log now. `ServiceError` if that cannot be written."""
        # Only our own claim: it may have been taken over.
        _update(
            self.ledger,
            self.log,
            "SET deadline = :none",
            {":none": {"N": "0"}, ":me": {"S": self.claimant}},
            condition="claimant = :me",
            deadline=deadline,
        )


def claim(  # noqa: PLR0913 - the parts of a claim
    ledger: Ledger, log: str, decision: Decision, *, claimant: str, until: float, deadline: float
) -> Claim:
    """
    Claim *log* for *claimant* until *until*, in seconds since 1970, unless it is finished.

    The claim has the decision of the first execution that claimed the log, which may differ from
    *decision*. `HeldError` if another's claim lasts, or the decision cannot be read;
    `ServiceError` if the ledger cannot be asked by *deadline*.
    """
    response = _update(
        ledger,
        log,
        "SET claimant = :me, previous = if_not_exists(deadline, :none), deadline = :until,"
        " decision = if_not_exists(decision, :decision),"
        " expires = if_not_exists(expires, :expires)",
        {
            ":me": {"S": claimant},
            ":none": {"N": "0"},
            ":until": {"N": f"{until:.3f}"},
            ":now": {"N": f"{ledger.clock.now():.3f}"},
            **_decided(decision),
        },
        condition="attribute_not_exists(id) OR deadline <= :now AND attribute_not_exists(finished)",
        deadline=deadline,
    )
    item = _item("UpdateItem", response)
    if not (item.decision and item.previous):
        raise ServiceError(
            f"{log}: its item in the table {ledger.table} is not one of the tracker's: "
            "delete it, or give the tracker a table of its own"
        )
    finished = item.finished is not None
    if not finished and item.claimant != _Text(claimant):
        # Our own is found when the answer to our first attempt was lost.
        raise HeldError(f"{log}: {TAKEN}")
    return Claim(
        ledger,
        log,
        claimant,
        _decision(log, item.decision.S),
        item.done.SS,
        item.previous != _Number("0"),
        finished,
    )


def progress(ledger: Ledger, log: str, *, deadline: float) -> tuple[bool, frozenset[str]]:
    """
    Return whether *log* is finished, and the marks of its batches; nothing is changed.

    `ServiceError` as with `claim`.
    """
    item = _get(ledger, log, deadline=deadline)
    return item.finished is not None, item.done.SS


def admitted(ledger: Ledger, month: str, *, deadline: float) -> frozenset[str]:
    """Return the metrics admitted to *month*, as `admit` wrote them. `ServiceError` as `claim`."""
    return _get(ledger, month, deadline=deadline).admitted.BS


def admit(
    ledger: Ledger, month: str, metrics: Collection[str], *, room: int, deadline: float
) -> frozenset[str]:
    """
    Admit *metrics* to *month* if it has admitted no more than *room* before.

    Metrics are hashes in base64. Returns all that are admitted then. `ServiceError` as `claim`.
    """
    response = _update(
        ledger,
        month,
        "ADD admitted :metrics SET expires = if_not_exists(expires, :expires)",
        {
            ":metrics": {"BS": sorted(metrics)},
            ":room": {"N": str(room)},
            ":expires": {"N": str(int(ledger.clock.now()) + MONTH_KEPT)},
        },
        condition="attribute_not_exists(admitted) OR size(admitted) <= :room",
        deadline=deadline,
    )
    found = _item("UpdateItem", response).admitted.BS
    if response.ok and not found.issuperset(metrics):
        # A caller that goes on while there is room would ask for ever.
        raise ServiceError(
            f"AWS answered UpdateItem with {response.status}, and the item {month} of the table "
            f"{ledger.table} lacks the metrics written to it: is there another service at the "
            "endpoint?"
        )
    return found


def _decision(log: str, text: str) -> Decision:
    """Read a decision. `HeldError` if another version has written it in another form."""
    try:
        return msgspec.json.decode(text, type=Decision)
    except msgspec.DecodeError as e:
        raise HeldError(f"{log}: {OTHER_FORM}") from e


def _decided(decision: Decision) -> Item:
    """Return *decision* and the time until which it is kept, as values of an update."""
    return {
        ":decision": {"S": msgspec.json.encode(decision).decode()},
        ":expires": {"N": str(decision.decided + KEPT)},
    }


def _get(ledger: Ledger, key: str, *, deadline: float) -> _Found:
    body = {"TableName": ledger.table, "Key": {"id": {"S": key}}, "ConsistentRead": True}
    return _item("GetItem", _post(ledger, "GetItem", body, deadline=deadline))


def _update(  # noqa: PLR0913 - the parts of an update
    ledger: Ledger,
    key: str,
    update: str,
    values: Item,
    *,
    deadline: float,
    condition: str = "",
) -> Response:
    """
    Update an item.

    With a *condition* the response includes the whole item, whether or not the condition held.
    """
    body: dict[str, Any] = {
        "TableName": ledger.table,
        "Key": {"id": {"S": key}},
        "UpdateExpression": update,
        "ExpressionAttributeValues": values,
    }
    if condition:
        body["ConditionExpression"] = condition
        body["ReturnValues"] = "ALL_NEW"
        body["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    return _post(ledger, "UpdateItem", body, deadline=deadline)


def _post(ledger: Ledger, operation: str, body: Mapping[str, Any], *, deadline: float) -> Response:
    response = retries.send(
        ledger.poster, operation, msgspec.json.encode(body), ledger.clock, deadline=deadline
    )
    if not response.ok and response.code != REFUSED:
        raise retries.refusal(f"{operation} of the table {ledger.table}", response)
    return response


def _item(operation: str, response: Response) -> _Found:
    """Return the item in an answer, wherever it stands. `ServiceError` if the form is unknown."""
    answer = retries.decode(operation, response, _Answer)
    return answer.Attributes or answer.Item or _Found()
