"""A log's records become calls. One path for files, objects and payload messages."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Final, cast

import msgspec

from apitracker.core.compression import MAX_BYTES, inflate
from apitracker.core.documents import (
    NOBODY,
    NOTHING,
    UNREADABLE,
    Element,
    Record,
    Short,
    UserIdentity,
    View,
    mend,
    read_elements,
    read_message,
)
from apitracker.core.fields import WIDTHS
from apitracker.core.model import Call, Decoded, Log, Rejected
from apitracker.core.own_calls import CALLS, Own, is_own
from apitracker.core.recognition import recognise
from apitracker.core.selection import matcher
from apitracker.core.times import EPOCH, SECOND
from apitracker.errors import LogError

# Records that are not API calls, by eventCategory, or by eventType in old ones.
# https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-aggregated-events.html
# https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-insights.html
KINDS: Final = {
    "Aggregated": "aggregated",
    "AwsAggregatedEvent": "aggregated",
    "Insight": "insight",
    "AwsCloudTrailInsight": "insight",
}

# Notices to functions and queues have the form of records, and name their source like aws:s3 or
# minio:s3. An eventSource of CloudTrail is a host name, which has no colon.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
NOTICE: Final = ":"

# The services that sign people in, by the first label of eventSource: signin for the console, for
# Identity Center's users and WorkSpaces' smart cards, sso for Identity Center's portal.
# https://docs.aws.amazon.com/singlesignon/latest/userguide/understanding-sign-in-events.html
# https://docs.aws.amazon.com/workspaces/latest/adminguide/signin-events.html
SIGN_IN_SERVICES: Final = frozenset({"signin", "sso", "workspaces"})

# A throttle that AWS caused itself has this errorCode of EC2 and these words in its errorMessage.
# The words are those of the page that names the metric; we have seen no record of such a throttle.
# https://docs.aws.amazon.com/ec2/latest/devguide/monitor.html
LIMIT: Final = "RequestLimitExceeded"
AWS_CAUSED: Final = re.compile("AWS operational issue|AwsTriggered" + LIMIT, re.IGNORECASE)

SHARED: Final = "shared"  # a kind of skipped record: the caller's account has one too
OWN: Final = "own"  # a kind of skipped record: tracking itself caused the call
OWN_NAMES: Final = frozenset(name for _, name in CALLS)
_name = attrgetter("eventName")

# CloudTrail writes a bool; some exporters and a few services write text.
READ_ONLY: Final[dict[bool | str, str]] = {
    True: "true",
    False: "false",
    "true": "true",
    "false": "false",
    "True": "true",
    "False": "false",
}


SHORT: Final = frozenset({*WIDTHS, *Short.__struct_fields__} - {"eventTime", "addendum"})
"""The fields of calls that a short record has."""


def parts(
    log: Log,
    *,
    max_bytes: int = MAX_BYTES,
    fields: Iterable[str] | None = None,
    recorded: Sequence[str] = (),
    own: Own | None = None,
) -> Iterator[Decoded]:
    """
    Read *log* a part at a time, in the memory of a part. Every record is in exactly one place.

    gzip or plain; ``{"Records": […]}``, a list, JSON lines, one record alone, the output of
    LookupEvents, or several of these one behind the other. A record repeats another when both
    have the same eventID. A field that is absent, null or of another type counts as absent.

    With *fields*, other fields of the calls may be empty, but for the eventID. With *recorded*,
    globs of account ids, a record of a call by one of these accounts that another account received
    is skipped as `SHARED`: the call counts in its caller's account. Calls that tracking by *own*
    caused are skipped as `OWN`.
    Count nothing before the last part: instead of it there may be a `LogError`, if the log is not a
    CloudTrail log, is cut off, nested too deep, or longer than *max_bytes* when inflated.
    """
    seen: set[str] = set()
    received = rejected = 0
    short = fields is not None and SHORT.issuperset(fields)
    messages = log.body if isinstance(log.body, list) else None
    whole = recorded or (own and messages is None)
    kind = View if whole else Short if short else Record
    is_recorded = matcher("callerAccountId", recorded)
    try:
        for elements in read_elements(log, max_bytes=max_bytes, kind=kind):
            records = elements
            if own and _may_be_own(elements):
                texts = messages and messages[received : received + len(elements)]
                records = list(_without_own(elements, texts, own))
            if recorded:
                records = [SHARED if _is_other(each, is_recorded) else each for each in records]
            part = _sort(records, seen, received)
            received += len(records)
            rejected += len(part.rejected)
            yield part
    except RecursionError as e:
        raise LogError(log.name, "is nested too deep to be a CloudTrail log") from e
    if received and rejected == received and isinstance(log.body, bytes):
        # It may be a list of something else than records.
        thing = recognise(next(inflate(log.body, log.name, max_bytes=max_bytes)))
        if thing:
            raise LogError(log.name, f"is {thing}")


REMEMBERED_TEXTS: Final = 100_000  # in each of the two caches: more than the seconds of a day


IN_MINUTE: Final = {f"{second:02}Z": second for second in range(60)}
"""The seconds of a minute, as the end of an eventTime."""


class _Seconds(dict[str, int | None]):
    """eventTime -> seconds since 1970, or None if it is not a time; remembers the times."""

    FORM = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)?", re.ASCII)

    def __init__(self) -> None:
        super().__init__()
        self._minutes: dict[str, int] = {}

    def __missing__(self, text: str) -> int | None:
        # 2023-07-10T11:42: and 07Z
        minute, second = self._minutes.get(text[:17]), IN_MINUTE.get(text[17:])
        if minute is None or second is None:
            found = self._parse(text)
            if found is None or second is None:
                return found
            minute = self._minutes[text[:17]] = found - second
        if len(self) >= REMEMBERED_TEXTS:
            self.clear()
            self._minutes.clear()
        self[text] = minute + second
        return minute + second

    def _parse(self, text: str) -> int | None:
        if not self.FORM.fullmatch(text):
            return None
        try:
            time = datetime.fromisoformat(text)
            # CloudTrail's times are UTC; exporters sometimes drop the Z.
            return (time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC) - EPOCH) // SECOND
        except (ValueError, OverflowError):  # February 30th; the year 0 in UTC
            return None


class _Callers(dict[str, str]):
    """
    An ARN or principalId -> the same without its session; remembers those of usual length.

    An account's id names nobody, as all in the account may have it: it gives the empty string.
    """

    def __missing__(self, text: str) -> str:
        if text.startswith("arn:"):
            # arn:aws:sts::111122223333:assumed-role/role/session
            head, kind, path = text.partition(":assumed-role/")
            caller = head + kind + path.partition("/")[0]
        else:
            # AROA…:session and 111122223333:name, but not accounts.google.com:audience:subject, nor
            # the hash of a SAML provider, which ends with "=" and has its user's name behind it.
            head = text.partition(":")[0]
            caller = head if head.isalnum() and head.isupper() else text
            if head.isdigit():
                caller = ""
        if len(self) >= REMEMBERED_TEXTS:
            self.clear()
        if len(text) <= 2048:  # noqa: PLR2004 - an ARN's greatest length
            self[text] = caller
        return caller


_SECONDS = _Seconds()
_CALLERS = _Callers()


def _sort(records: list[Element], seen: set[str], received: int) -> Decoded:
    """Put each record in its place. This loop is the hot path: a microsecond in it is a third."""
    calls: list[Call] = []
    duplicates: list[Call] = []
    skipped: Counter[str] = Counter()
    rejected: list[Rejected] = []
    place = received
    for record in records:
        place += 1
        if isinstance(record, str):
            skipped[record] += 1
            continue
        if isinstance(record, Rejected):
            rejected.append(Rejected(f"record {place}", record.reason))
            continue
        if record.eventCategory != "Management":
            kind = KINDS.get(record.eventCategory) or KINDS.get(record.eventType)
            if kind:
                skipped[kind] += 1
                continue
        second = _SECONDS[record.eventTime]
        is_event = record.eventType != "AwsApiCall"  # as few records are
        if second is None or (is_event and NOTICE in record.eventSource):
            rejected.append(Rejected(f"record {place}", _fault(record)))
            continue
        error = record.errorCode
        identity = record.userIdentity
        issuer = identity.sessionContext.sessionIssuer
        # An updated record has an eventID of its own, and names the one that it repeats.
        event = (record.addendum and record.addendum.originalEventID) or record.eventID
        call = Call(
            second,
            record.eventName,
            record.eventSource,
            record.awsRegion,
            record.recipientAccountId,
            identity.accountId,
            issuer.arn or ("" if identity is NOBODY else _caller_without_role(identity)),
            error,
            READ_ONLY.get(record.readOnly, ""),
            record.eventCategory,
            is_event and not error and _sign_in_failed(record),
            _throttle_cause(record) if error and error.endswith(LIMIT) else "",
            record.eventType,
            record.eventVersion,
            event,
        )
        if not event:
            calls.append(call)
        elif event in seen:
            duplicates.append(call)
        else:
            seen.add(event)
            calls.append(call)
    return Decoded(calls, duplicates, skipped, rejected)


def _fault(record: Record | Short) -> str:
    """Return the reason why *record* is not a call."""
    if NOTICE in record.eventSource:
        return f"is a notice of {record.eventSource[:40]}, not a call"
    text = record.eventTime[:40]
    return f"eventTime {text!r} is not a time" if text else "no eventTime"


def _may_be_own(elements: list[Element]) -> bool:
    """Return whether any of *elements* has the name of an own call; most logs have none."""
    try:
        return not OWN_NAMES.isdisjoint(map(_name, elements))
    except AttributeError:  # not all are records
        return True


def _without_own(
    elements: list[Element], messages: list[str] | None, own: Own
) -> Iterator[Element]:
    """
    Return *elements*, with `OWN` in place of records of calls that tracking by *own* caused.

    Where there are *messages*, one for each element, the elements may lack the fields that show it:
    few messages name the tracker, and those are read once more.
    """
    for at, element in enumerate(elements):
        if (
            not isinstance(element, str | Rejected)
            and (element.eventSource, element.eventName) in CALLS
            and (messages is None or own.named_in(messages[at]))
        ):
            record = element if messages is None else read_message(messages[at])
            yield OWN if isinstance(record, View) and _is_own(record, own) else element
        else:
            yield element


def _is_own(record: View, own: Own) -> bool:
    call = (record.eventSource, record.eventName)
    details = (record.resources, record.requestParameters)
    return is_own(call, _caller(record.userIdentity), details, own)


def _is_other(record: Element, is_recorded: Callable[[str], bool]) -> bool:
    """
    Return whether *record* is another account's view of a call of an account that *is_recorded*.

    One action can be recorded for its caller and for the owner of the resource. The records have
    the same sharedEventID, an eventID each, and tell whose they are by recipientAccountId.
    https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
    """
    if not isinstance(record, View) or not record.sharedEventID:
        return False
    caller, recipient = record.userIdentity.accountId, record.recipientAccountId
    # A calling service is in no account, and its call may be recorded nowhere else.
    return bool(caller and recipient and caller != recipient and is_recorded(caller))


def _caller(identity: UserIdentity) -> str:
    """Name the role behind a session, else the user, the service or the person."""
    return identity.sessionContext.sessionIssuer.arn or _caller_without_role(identity)


def _caller_without_role(identity: UserIdentity) -> str:
    """Name a caller that is not a role's session: the user, else the service, else the person."""
    return (
        (identity.arn and _CALLERS[identity.arn])
        or identity.invokedBy
        or (identity.principalId and _CALLERS[identity.principalId])
        or _person(identity)
    )


def _person(identity: UserIdentity) -> str:
    """
    Name a caller that has neither an ARN nor a principal of its own.

    The users of Identity Center, WorkSpaces and directories may have their account as principal.
    """
    return (
        _text(_members(identity.onBehalfOf).get("userId"))
        or _text(identity.userName)
        or (identity.accountId and f"{identity.type} {identity.accountId}".lstrip())
        or identity.principalId.partition(":")[0]
        or identity.type
    )


def _sign_in_failed(record: Record | Short) -> bool:
    """
    Return whether *record*, without an errorCode, is a failed sign-in.

    It says Failure or Success in responseElements or serviceEventDetails, under whatever key.
    One that says neither has failed if it has an errorMessage.
    """
    if record.eventType != "AwsConsoleSignIn":
        service = record.eventSource.partition(".")[0]  # the same in every AWS partition
        if service not in SIGN_IN_SERVICES:
            return False
    said = [*_members(record.responseElements).values()]
    said += _members(record.serviceEventDetails).values()
    if "Failure" in said:
        return True
    return "Success" not in said and _text(record.errorMessage) != ""


def _throttle_cause(record: Record | Short) -> str:
    """Return the cause in the errorMessage of a throttled call: "aws", or "" for none."""
    return "aws" if AWS_CAUSED.search(_text(record.errorMessage)) else ""


def _members(raw: msgspec.Raw) -> dict[str, object]:
    """Decode an object; anything else has no members."""
    value = _value(raw)
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _text(value: object) -> str:
    """Return *value*, decoded if need be, if it is a text, else the empty string."""
    if isinstance(value, msgspec.Raw):
        value = _value(value)
    return value if isinstance(value, str) else ""


def _value(raw: msgspec.Raw) -> object:
    if raw is NOTHING:
        return None
    try:
        return msgspec.json.decode(mend(bytes(raw)))
    except UNREADABLE:
        return None
