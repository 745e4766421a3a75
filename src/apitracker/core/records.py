"""
A log's records become calls. One path for files, objects and payload messages.

A log is read in parts of a few hundred records, because what is decoded and counted while it is
still in the processor's cache costs half: see benchmarks/RESULTS.md.
"""

import contextlib
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias, TypeVar, cast

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, ValidationError

from apitracker.core.compression import inflate
from apitracker.core.model import Call, Decoded, Log, Rejected
from apitracker.errors import LogError

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)
MAX_BYTES: Final = 512 * 1024 * 1024  # of one log when inflated: CloudTrail cuts at 50 MB of gzip

# What CloudTrail calls records that are no API call: eventCategory, or eventType in old ones.
# https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-aggregated-events.html
# https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-insights.html
KINDS: Final = {
    "Aggregated": "aggregated",
    "AwsAggregatedEvent": "aggregated",
    "Insight": "insight",
    "AwsCloudTrailInsight": "insight",
}

# CloudTrail writes a bool; some exporters and a few services write text.
READ_ONLY: Final[dict[bool | str, str]] = {
    True: "true",
    False: "false",
    "true": "true",
    "false": "false",
    "True": "true",
    "False": "false",
}


class Issuer(Struct, frozen=True, gc=False):
    """userIdentity.sessionContext.sessionIssuer: the role behind a session."""

    arn: str = ""


class SessionContext(Struct, frozen=True, gc=False):
    """userIdentity.sessionContext."""

    sessionIssuer: Issuer = Issuer()


class UserIdentity(Struct, frozen=True, gc=False):
    """Who called, in as many words as it takes to name a role or a user."""

    type: str = ""
    principalId: str = ""
    arn: str = ""
    accountId: str = ""
    sessionContext: SessionContext = SessionContext()
    invokedBy: str = ""


class Addendum(Struct, frozen=True, gc=False):
    """What CloudTrail adds to a record that comes late or comes again."""

    originalEventID: str = ""


class Record(Struct, frozen=True, gc=False):
    """A record as CloudTrail writes it: the needed fields, in the order in which they come."""

    eventVersion: str = ""
    userIdentity: UserIdentity = UserIdentity()
    eventTime: str = ""
    eventSource: str = ""
    eventName: str = ""
    awsRegion: str = ""
    errorCode: str = ""
    responseElements: Raw = Raw(b"")
    eventID: str = ""
    readOnly: bool | str = ""
    eventType: str = ""
    recipientAccountId: str = ""
    addendum: Addendum | None = None
    eventCategory: str = ""


class Document(Struct, gc=False):
    """A log file as CloudTrail writes it."""

    Records: list[Record] | UnsetType = UNSET


class LookupEvent(Struct, gc=False):
    """One event of LookupEvents' output: the record is inside, as text."""

    CloudTrailEvent: str = ""


Element: TypeAlias = Record | Rejected | str
"""What stands in a log: a record; what is none, and why; or a kind of record to be skipped."""

T = TypeVar("T", bound=Struct)

_decode_document = msgspec.json.Decoder(Document | list[Record]).decode
_decode_record = msgspec.json.Decoder(Record).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError)


def decode(log: Log, *, max_bytes: int = MAX_BYTES) -> Decoded:
    """
    Read *log* whole: every record comes back in exactly one place.

    gzip or plain; ``{"Records": […]}``, a list, JSON lines, one record alone, the output of
    LookupEvents, or several of these one behind the other. A record repeats another when both
    have the same eventID. A field that is absent, null or of another type counts as absent.
    `LogError` if the log is no CloudTrail log, is cut off, nested too deep, or longer than
    *max_bytes* when inflated: then nothing of it may be counted.
    """
    whole = Decoded([], [], Counter(), [])
    for part in parts(log, max_bytes=max_bytes):
        whole.calls.extend(part.calls)
        whole.duplicates.extend(part.duplicates)
        whole.skipped.update(part.skipped)
        whole.rejected.extend(part.rejected)
    return whole


def parts(log: Log, *, max_bytes: int = MAX_BYTES) -> Iterator[Decoded]:
    """
    Read *log* as `decode` does, a part at a time, in a part's memory.

    Count nothing before the last part has come: `LogError` may come instead of it.
    """
    seen: set[str] = set()
    received = 0
    try:
        for records in _read(log, max_bytes):
            part = _sort(records, seen, received)
            received += len(records)
            yield part
    except RecursionError as e:
        raise LogError(log.name, "is nested too deep to be a CloudTrail log") from e


# --- from records to calls ----------------------------------------------------------------------


REMEMBERED: Final = 100_000  # texts in each of the two memories: more than the seconds of a day


IN_MINUTE: Final = {f"{second:02}Z": second for second in range(60)}


class _Seconds(dict[str, int | None]):
    """eventTime -> seconds since 1970, or None where it is no time; remembers the times."""

    FORM = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)?", re.ASCII)

    def __init__(self) -> None:
        super().__init__()
        self._minutes: dict[str, int] = {}

    def __missing__(self, text: str) -> int | None:
        minute, second = self._minutes.get(text[:17]), IN_MINUTE.get(text[17:])
        if minute is None or second is None:
            found = self._parse(text)
            if found is None or second is None:
                return found
            minute = self._minutes[text[:17]] = found - second
        if len(self) >= REMEMBERED:
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
    """An ARN or principalId -> the same without its session; remembers those of usual length."""

    def __missing__(self, text: str) -> str:
        if text.startswith("arn:"):
            # arn:aws:sts::111122223333:assumed-role/role/session
            head, kind, path = text.partition(":assumed-role/")
            caller = head + kind + path.partition("/")[0]
        else:
            # AROA…:session and 111122223333:name, but not accounts.google.com:audience:subject
            head = text.partition(":")[0]
            caller = head if head.isupper() or head.isdigit() else text
        if len(self) >= REMEMBERED:
            self.clear()
        if len(text) <= 2048:  # noqa: PLR2004 - an ARN's greatest length
            self[text] = caller
        return caller


_SECONDS = _Seconds()
_CALLERS = _Callers()


def _sort(records: list[Element], seen: set[str], received: int) -> Decoded:
    """Put each record in its place. The loop is the hot path: a microsecond here is a third."""
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
        if second is None:
            text = record.eventTime[:40]
            fault = f"eventTime {text!r} is no time" if text else "no eventTime"
            rejected.append(Rejected(f"record {place}", fault))
            continue
        identity = record.userIdentity
        # An updated record has an eventID of its own, and names the one that it repeats.
        event = (record.addendum and record.addendum.originalEventID) or record.eventID
        call = Call(
            second,
            record.eventName,
            record.eventSource,
            record.awsRegion,
            record.recipientAccountId,
            identity.accountId,
            identity.sessionContext.sessionIssuer.arn
            or (identity.arn and _CALLERS[identity.arn])
            or identity.invokedBy
            or (identity.principalId and _CALLERS[identity.principalId])
            or identity.type,
            record.errorCode,
            READ_ONLY.get(record.readOnly, ""),
            record.eventCategory,
            record.eventType == "AwsConsoleSignIn" and _sign_in_failed(record),
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


def _sign_in_failed(record: Record) -> bool:
    """A console sign-in says how it went in responseElements, and has no errorCode."""
    try:
        response = msgspec.json.decode(record.responseElements)
    except _UNREADABLE:
        return False
    return isinstance(response, dict) and "Failure" in response.values()


# --- from text to records -----------------------------------------------------------------------

MESSAGES: Final = 250  # at a time: what is decoded and counted stays in the processor's cache
HEAD: Final = b'{"Records":['

# What only a record has at its top: enough to know one that stands alone.
RECORD_FIELDS: Final = frozenset(
    {"eventTime", "eventName", "eventSource", "eventID", "userIdentity"}
)

# Between two JSON documents one behind the other. Inside a document a comma stands between them,
# and inside a string no quote is unescaped.
BOUNDARY: Final = re.compile(rb'(?<=[\]}])\s*(?=(?:\[\s*)?\{\s*"\w+"\s*:)')

# Escapes, one after the other, so that the second half of "\\\\ud83d" is not taken for one; the
# group catches halves of surrogate pairs, which JSON allows, UTF-8 has no form for, and
# msgspec refuses.
LONE_SURROGATE: Final = re.compile(
    rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)|\\.", re.DOTALL
)


def _read(log: Log, max_bytes: int) -> Iterator[list[Element]]:
    """Give the log's elements: a few hundred at a time where the text can be cut, else at once."""
    if isinstance(log.body, list):
        for at in range(0, len(log.body), MESSAGES):
            messages = log.body[at : at + MESSAGES]
            elements: list[Element]
            try:
                elements = list(map(_decode_record, messages))
            except _UNREADABLE:
                elements = [_message(message) for message in messages]
            yield elements
        return
    bodies = _cut(inflate(log.body, log.name, max_bytes=max_bytes))
    for body in bodies:
        try:
            document = _decode_document(body)
        except _UNREADABLE:
            document = Document()
        records = document.Records if isinstance(document, Document) else document
        if records is not UNSET:
            yield cast("list[Element]", records)
            continue
        # An element is odd, or the cut went through a list inside a record, or this is another
        # form of log. Only the first can be put right without the rest of the text.
        try:
            elements = _elements(body, log.name)
        except (msgspec.DecodeError, LogError):
            elements = _documents(_join([body, *bodies]), log.name)
        yield elements


def _cut(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """
    Cut one long ``{"Records":[…]}`` into lists of records and, at the end, a short one.

    A cut goes between two records that begin with the same key. Such a place may also be in
    another list of objects, inside a record or behind the records; then what is cut off is no
    JSON, and shows it.
    """
    first = next(pieces, b"")
    key = first[len(HEAD) : first.find(b":", len(HEAD)) + 1]
    if not first.startswith(HEAD) or not re.fullmatch(rb'\{"\w+":', key):
        yield b"".join([first, *pieces])
        return
    yield from cut(itertools.chain([first[len(HEAD) :]], pieces), HEAD, b"}," + key)


def cut(pieces: Iterator[bytes], head: bytes, mark: bytes) -> Iterator[bytes]:
    """
    Cut JSON text between objects in a list, where *mark* is; the list begins with *pieces*.

    Each cut gives a list; at the end comes what *head*, the text before the list, makes with the
    rest.
    """
    held: list[bytes] = []  # since the last cut
    for piece in pieces:
        at = piece.rfind(mark)
        if at < 0:
            held.append(piece)
        else:
            yield b"".join([b"[", *held, piece[: at + 1], b"]"])
            held = [piece[at + 2 :]]
    yield b"".join([head, *held])


def _join(bodies: list[bytes]) -> bytes:
    """Undo the cuts."""
    *lists, last = bodies
    if not lists:
        return last
    return HEAD + b",".join([*(body[1:-1] for body in lists), last[len(HEAD) :]])


def _documents(text: bytes, name: str) -> list[Element]:
    """Read one document, or several one behind the other, or JSON lines."""
    try:
        return _elements(text, name)
    except msgspec.DecodeError as e:
        fault = e
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and _is_json(lines[0]):
        if not text.endswith(b"\n") and not _is_json(lines[-1]):
            raise LogError(name, "is cut off: its last line is no JSON") from fault
        return [element for line in lines for element in _line(line, name)]
    documents = BOUNDARY.split(text)
    if len(documents) > 1:
        return [element for document in documents for element in _documents(document, name)]
    if text.lstrip()[:1] not in (b"{", b"["):
        raise LogError(name, "is no CloudTrail log: it is not JSON") from fault
    raise LogError(name, f"is cut off or damaged: {fault}; fetch it again") from fault


def _line(line: bytes, name: str) -> list[Element]:
    """Read a line of JSON lines: a record as a rule, or a document; a bad one loses no other."""
    try:
        record = _decode_record(line)
        if record.eventTime:
            return [record]
    except _UNREADABLE:
        pass
    try:
        return _elements(line, name)
    except LogError as e:
        return [Rejected("", e.fault)]
    except _UNREADABLE as e:
        return [Rejected("", f"is no JSON: {e}")]


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(mend(text), type=Raw)
    except _UNREADABLE:
        return False
    return True


def _elements(text: bytes, name: str) -> list[Element]:
    """Read one document of any form, element by element. `DecodeError` if it is no JSON."""
    text = mend(text)
    try:
        top = msgspec.json.decode(text, type=dict[str, Raw] | list[Raw])
    except ValidationError as e:
        raise LogError(name, "is no CloudTrail log: neither an object nor a list") from e
    if isinstance(top, list):
        return [_element(raw) for raw in top]
    if "Records" in top:
        return [_element(raw) for raw in _list(top["Records"], "Records", name)]
    if "Events" in top:
        return [_lookup_event(raw) for raw in _list(top["Events"], "Events", name)]
    if "digestS3Object" in top:
        return ["digest"]
    if RECORD_FIELDS & top.keys():
        return [_element(Raw(text))]
    raise LogError(name, "is no CloudTrail log: an object without Records")


def _list(raw: Raw, key: str, name: str) -> list[Raw]:
    try:
        return msgspec.json.decode(raw, type=list[Raw])
    except ValidationError as e:
        raise LogError(name, f"is no CloudTrail log: its {key} is no list") from e


def _lookup_event(raw: Raw) -> Element:
    try:
        return _message(msgspec.json.decode(raw, type=LookupEvent).CloudTrailEvent)
    except ValidationError as e:
        return Rejected("", f"is no event of LookupEvents: {e}")


def _message(text: str) -> Element:
    """Read a record that was delivered on its own."""
    try:
        return _decode_record(text)
    except _UNREADABLE:
        return _element(Raw(mend(text.encode("utf-8", "surrogatepass"))))


def _element(raw: Raw) -> Element:
    try:
        return _decode_record(raw)
    except _UNREADABLE:
        pass
    try:
        return _fit(raw, Record)
    except _UNREADABLE as e:
        return Rejected("", f"is no record: {e}")


def _fit(raw: Raw, kind: type[T]) -> T:
    """Decode an object whose fields may have any type: one that does not fit counts as absent."""
    given = msgspec.json.decode(raw, type=dict[str, Raw])
    fitting: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if field.name not in given:
            continue
        with contextlib.suppress(*_UNREADABLE):
            fitting[field.name] = msgspec.json.decode(given[field.name], type=field.type)
            continue
        if isinstance(field.type, type) and issubclass(field.type, Struct):
            with contextlib.suppress(*_UNREADABLE):
                fitting[field.name] = _fit(given[field.name], field.type)
    return kind(**fitting)


def mend(text: bytes) -> bytes:
    """Replace what is no character, invalid UTF-8 and lone surrogates, by U+FFFD."""
    if not text.isascii():
        text = text.decode("utf-8", "replace").encode()
    if b"\\ud" in text or b"\\uD" in text:
        text = LONE_SURROGATE.sub(lambda m: b"\\ufffd" if m[1] else m[0], text)
    return text
