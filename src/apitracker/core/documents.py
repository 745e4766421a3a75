"""
Text becomes records: the forms in which CloudTrail's records are written down.

A long log is read a few hundred records at a time, as `core.cutting` cuts it.
"""

import contextlib
import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final, TypeAlias, TypeVar, cast

import msgspec
from msgspec import Raw, Struct, ValidationError

from apitracker.core.compression import inflate
from apitracker.core.cutting import cut_records, join_records
from apitracker.core.model import Log, Rejected
from apitracker.core.recognition import in_words, recognise
from apitracker.errors import LogError

Fields = TypeVar("Fields", bound=Struct)

NOTHING: Final = Raw(b"")  # the value of an absent field


class Issuer(Struct, frozen=True, gc=False):
    """userIdentity.sessionContext.sessionIssuer: the role behind a session."""

    arn: str = ""


class SessionContext(Struct, frozen=True, gc=False):
    """userIdentity.sessionContext."""

    sessionIssuer: Issuer = Issuer()


class UserIdentity(Struct, frozen=True, gc=False):
    """
    The caller: the fields that name a role, a user or a person.

    Fields that few callers are named by are decoded only for those.
    """

    type: str = ""
    principalId: str = ""
    arn: str = ""
    accountId: str = ""
    userName: Raw = NOTHING
    sessionContext: SessionContext = SessionContext()
    invokedBy: str = ""
    onBehalfOf: Raw = NOTHING


NOBODY: Final = UserIdentity()


class Addendum(Struct, frozen=True, gc=False):
    """The mark that CloudTrail puts on a record that it delivers late or again."""

    originalEventID: str = ""


class Record(Struct, frozen=True, gc=False):
    """A record as CloudTrail writes it: the needed fields, in the order in which they come."""

    eventVersion: str = ""
    userIdentity: UserIdentity = NOBODY
    eventTime: str = ""
    eventSource: str = ""
    eventName: str = ""
    awsRegion: str = ""
    errorCode: str = ""
    errorMessage: Raw = NOTHING
    responseElements: Raw = NOTHING
    eventID: str = ""
    readOnly: bool | str = ""
    eventType: str = ""
    recipientAccountId: str = ""
    addendum: Addendum | None = None
    serviceEventDetails: Raw = NOTHING
    eventCategory: str = ""


class Short(Struct, frozen=True, gc=False):
    """A record without its caller and outcome: the API, the time and the region decode faster."""

    eventTime: str = ""
    eventSource: str = ""
    eventName: str = ""
    awsRegion: str = ""
    eventID: str = ""
    eventType: str = ""
    addendum: Addendum | None = None
    eventCategory: str = ""

    eventVersion: ClassVar[str] = ""
    userIdentity: ClassVar[UserIdentity] = NOBODY
    errorCode: ClassVar[str] = ""
    errorMessage: ClassVar[Raw] = NOTHING
    responseElements: ClassVar[Raw] = NOTHING
    serviceEventDetails: ClassVar[Raw] = NOTHING
    readOnly: ClassVar[bool | str] = ""
    recipientAccountId: ClassVar[str] = ""


class View(Record, frozen=True, gc=False):
    """A record with the called resources, and whether another account has a record of the call."""

    requestParameters: Raw = Raw(b"")
    resources: Raw = Raw(b"")
    sharedEventID: str = ""


class RepeatedError(LogError):
    """An object has several lists of records: JSON readers would see the last of them only."""


class Name:
    """A key of an object. No two are equal, so a repeated key keeps each of its values."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


Element: TypeAlias = Record | Short | Rejected | str
"""An element of a log: a record, an element that is not a record, or a kind to be skipped."""


Records: TypeAlias = list[Record] | list[Short] | list[View]

_decode_view = msgspec.json.Decoder(View).decode  # rare and odd elements are decoded as views
_RECORD: Final[dict[type[Record | Short], Callable[[str], Record | Short]]] = {
    Record: msgspec.json.Decoder(Record).decode,
    Short: msgspec.json.Decoder(Short).decode,
    View: _decode_view,
}
_RECORDS: Final[dict[type[Record | Short], Callable[[bytes | memoryview], Records]]] = {
    Record: msgspec.json.Decoder(list[Record]).decode,
    Short: msgspec.json.Decoder(list[Short]).decode,
    View: msgspec.json.Decoder(list[View]).decode,
}
_decode_members = msgspec.json.Decoder(dict[Name, Raw], dec_hook=lambda _, key: Name(key)).decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode
UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError)

MESSAGES: Final = 250  # at a time, so that they stay in the processor's cache
OPENING: Final = re.compile(rb'\s*\{\s*"Records"\s*:\s*')

LIST: Final = re.compile(rb"\s*\[")
LISTS: Final = ("Records", "Events")  # the keys of lists of records, ours and LookupEvents'
RECORD: Final = "CloudTrailEvent"  # the key of a record, as text, in an event of LookupEvents

# In a line that is a record, the key of a list of records beside its fields; characters of a key
# may be written as escapes.
LIST_BESIDE: Final = re.compile(rb'"(?:Records|Events)"|\\u')

# Fields that only a record has at its top: by them one that stands alone is recognised.
RECORD_FIELDS: Final = frozenset(
    {"eventTime", "eventName", "eventSource", "eventID", "userIdentity"}
)

# The place between two JSON documents, one behind the other. Inside a document there would be a
# comma, and inside a string no quote is unescaped.
BOUNDARY: Final = re.compile(rb'(?<=[\]}])\s*(?=(?:\[\s*)?\{\s*"[\w\\]+"\s*:)')

# Escapes, one after the other, so that the second half of "\\\\ud83d" is not taken for one; the
# group catches halves of surrogate pairs, which JSON allows, UTF-8 has no form for, and
# msgspec refuses.
LONE_SURROGATE: Final = re.compile(
    rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)|\\.", re.DOTALL
)


def read_elements(
    log: Log, *, max_bytes: int, kind: type[Record | Short] = Record
) -> Iterator[list[Element]]:
    """
    Return the elements of *log*, a few hundred at a time. Records have the fields of *kind*.

    `LogError` if it cannot be read whole, `RecursionError` if it is nested too deep.
    """
    if isinstance(log.body, list):
        for at in range(0, len(log.body), MESSAGES):
            messages = log.body[at : at + MESSAGES]
            elements: list[Element]
            try:
                elements = list(map(_RECORD[kind], messages))
            except UNREADABLE:
                elements = [read_message(message) for message in messages]
            yield elements
        return
    bodies = cut_records(inflate(log.body, log.name, max_bytes=max_bytes))
    for body in bodies:
        records: Records | None
        try:
            records = _RECORDS[kind](_list_in(body))
        except UNREADABLE:
            records = None
        if records is not None:
            del body  # a long log that could not be cut goes as its calls come
            records.reverse()  # off the end, as what is left does not move then
            while records:
                yield cast("list[Element]", records[: -MESSAGES - 1 : -1])  # the last, backwards
                del records[-MESSAGES:]
            continue
        # An element is odd, or the cut went through a list inside a record, or this is another
        # form of log. Only the first can be mended without the rest of the text.
        try:
            elements = _elements(body, log.name)
        except (msgspec.DecodeError, LogError):
            documents = _documents(join_records([body, *bodies]), log.name)
        else:
            yield elements
            continue
        del body  # so that the readers of the text can let go of it
        yield from documents


def _list_in(body: bytes) -> bytes | memoryview:
    """
    Return the list of a document that has nothing else, as CloudTrail writes it.

    If anything stands behind the list, were it another list of records, the result is not a list.
    """
    opening = OPENING.match(body)
    text = body.rstrip() if opening else body
    return memoryview(text)[opening.end() : -1] if opening and text.endswith(b"}") else text


def _documents(text: bytes, name: str) -> Iterator[list[Element]]:
    """Read one document, or several one behind the other, or JSON lines."""
    try:
        yield _elements(text, name)
    except msgspec.DecodeError as e:
        fault = e.with_traceback(None)  # which holds the text
    else:
        return
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and _is_json(lines[0]):
        if not text.endswith(b"\n") and not _is_json(lines[-1]):
            raise LogError(name, "is cut off: its last line is not JSON") from fault
        del text  # the lines hold it all
        yield from _lines(lines, name)
        return
    documents = BOUNDARY.split(text)
    if len(documents) > 1:
        for document in documents:
            yield from _documents(document, name)
        return
    if text.lstrip()[:1] not in (b"{", b"["):
        raise _not_a_log(text, name, "it is not JSON") from fault
    if thing := recognise(text):
        raise LogError(name, f"is {thing}") from fault
    raise LogError(name, f"is cut off or damaged: {in_words(fault)}; fetch it again") from fault


def _not_a_log(text: bytes, name: str, fault: str) -> LogError:
    """Return the error for a *text*, named *name*, that is something else or has a *fault*."""
    thing = recognise(text)
    return LogError(name, f"is {thing}" if thing else f"is not a CloudTrail log: {fault}")


def _lines(lines: list[bytes], name: str) -> Iterator[list[Element]]:
    """Read JSON lines. `LogError`, at the end, if none of them is a record."""
    known = False
    for at in range(0, len(lines), MESSAGES):
        found = [_line(line, name) for line in lines[at : at + MESSAGES]]
        known = known or not all(each and _all_rejected(each) for each in found)
        yield list(itertools.chain.from_iterable(found))
    if not known:
        raise _not_a_log(lines[0], name, f"none of its {len(lines):,} lines is a record")


def _line(line: bytes, name: str) -> list[Element]:
    """Read a line of JSON lines: a record as a rule, or a document; a bad one loses no other."""
    try:
        record = _decode_view(line)
        if record.eventTime and not LIST_BESIDE.search(line):
            return [record]
    except UNREADABLE:
        pass
    try:
        return _elements(line, name)
    except RepeatedError:
        raise
    except LogError as e:
        return [Rejected("", e.fault)]
    except UNREADABLE as e:
        return [Rejected("", f"is not JSON: {in_words(e)}")]


def _all_rejected(elements: list[Element]) -> bool:
    return all(isinstance(each, Rejected) for each in elements)


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(mend(text), type=Raw)
    except UNREADABLE:
        return False
    return True


def _elements(text: bytes, name: str) -> list[Element]:
    """Read one document of any form, element by element. `DecodeError` if it is not JSON."""
    text = mend(text)
    if LIST.match(text):
        return [_element(raw) for raw in _decode_list(text)]
    try:
        members = _read_members(text)
    except ValidationError as e:
        raise _not_a_log(text, name, "it is neither an object nor a list") from e
    top = dict(members)
    held = [key for key, _ in members if key in LISTS]  # with repetitions
    if RECORD_FIELDS & top.keys():
        held.append("the fields of a record")
    if len(held) > 1:
        first, second, *_ = held
        raise _repeated(name, f"{first} twice" if first == second else f"{first} and {second}")
    if "Records" in top:
        return [_element(raw) for raw in _list(top["Records"], "Records", name)]
    if "Events" in top:
        return [_lookup_event(raw, name) for raw in _list(top["Events"], "Events", name)]
    if "digestS3Object" in top:
        return ["digest"]
    if held:
        return [_element(Raw(text))]
    raise _not_a_log(text, name, "it is an object without Records")


def _read_members(text: bytes | Raw) -> list[tuple[str, Raw]]:
    """Decode the members of an object, those with a repeated key too."""
    return [(key.text, value) for key, value in _decode_members(text).items()]


def _repeated(name: str, held: str) -> RepeatedError:
    fault = f"is not a CloudTrail log: it has {held}, of which one would be lost"
    return RepeatedError(name, f"{fault}; write each into a file of its own")


def _list(raw: Raw, key: str, name: str) -> list[Raw]:
    try:
        return msgspec.json.decode(raw, type=list[Raw])
    except ValidationError as e:
        raise LogError(name, f"is not a CloudTrail log: its {key} is not a list") from e


def _lookup_event(raw: Raw, name: str) -> Element:
    """Read one event of LookupEvents' output: the record is inside, as text."""
    try:
        records = [value for key, value in _read_members(raw) if key == RECORD]
        if len(records) > 1:
            raise _repeated(name, f"{RECORD} twice in an event")
        return read_message(msgspec.json.decode(records[0], type=str) if records else "")
    except ValidationError as e:
        return Rejected("", f"is not an event of LookupEvents: {in_words(e)}")


def read_message(text: str) -> Element:
    """Read a record that was delivered on its own, with all the fields of a `View`."""
    try:
        return _decode_view(text)
    except UNREADABLE:
        return _element(Raw(mend(text.encode("utf-8", "surrogatepass"))))


def _element(raw: Raw) -> Element:
    try:
        return _decode_view(raw)
    except UNREADABLE:
        pass
    try:
        return _fit(raw, View)
    except UNREADABLE as e:
        return Rejected("", f"is not a record: {in_words(e)}")


def _fit(raw: Raw, kind: type[Fields]) -> Fields:
    """Decode an object whose fields may have any type: one that does not fit counts as absent."""
    given = msgspec.json.decode(raw, type=dict[str, Raw])
    fitting: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if field.name not in given:
            continue
        with contextlib.suppress(*UNREADABLE):
            fitting[field.name] = msgspec.json.decode(given[field.name], type=field.type)
            continue
        if field.name == "eventTime":
            with contextlib.suppress(*UNREADABLE):  # a rejection shows the number
                number = msgspec.json.decode(given[field.name], type=int | float)
                fitting[field.name] = str(number)
        if isinstance(field.type, type) and issubclass(field.type, Struct):
            with contextlib.suppress(*UNREADABLE):
                fitting[field.name] = _fit(given[field.name], field.type)
    return kind(**fitting)


def mend(text: bytes) -> bytes:
    """Replace invalid UTF-8 and lone surrogates by U+FFFD, as neither are characters."""
    if not text.isascii():
        text = text.decode("utf-8", "replace").encode()
    if b"\\ud" in text or b"\\uD" in text:
        text = LONE_SURROGATE.sub(lambda m: b"\\ufffd" if m[1] else m[0], text)
    return text
