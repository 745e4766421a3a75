"""
Recognise files that are not CloudTrail logs, by content, and reword the messages of parsers.

Used only for logs that cannot be read: a wrong guess costs a message, not a count.
"""

import re
from typing import Final, NamedTuple

import msgspec

HEAD_BYTES: Final = 64 * 1024  # of a text: enough to recognise it


class _Form(NamedTuple):
    """A form of text: its beginning, and its name with the remedy."""

    beginning: re.Pattern[bytes]
    thing: str


_CELL: Final = r"""(?:[A-Za-z@_][^,;:{}"\n]{0,60}|"[A-Za-z@_][^,;:{}"\n]{0,60}")"""
_FORMS: Final = tuple(
    _Form(re.compile(beginning.encode("latin-1"), re.DOTALL), thing)
    for beginning, thing in (
        (r"PK\x03\x04", "a zip archive; unpack it first"),
        (r"PK\x05\x06", "an empty zip archive; leave it out"),
        (r".{257}ustar", "a tar archive; unpack it first"),
        (r"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it first"),
        (r"\x1f\x8b", "gzip in gzip; decompress it once first, with gunzip"),
        (r"\x28\xb5\x2f\xfd", "compressed with zstd; decompress it first, with zstd -d"),
        (r"\xfd7zXZ\0", "compressed with xz; decompress it first, with unxz"),
        (r"BZh[1-9]", "compressed with bzip2; decompress it first, with bunzip2"),
        (r"\x04\x22\x4d\x18", "compressed with lz4; decompress it first, with lz4 -d"),
        (r"\xff\x06\0\0sNaPpY", "compressed with Snappy; decompress it first"),
        (r"PAR1", "a Parquet file; name the trail's own files"),
        (r"ORC", "an ORC file; name the trail's own files"),
        (r"Obj\x01", "an Avro file; name the trail's own files"),
        (r".{8}DUCK", "a DuckDB database, as apitracker's own store is; leave it out"),
        (r"SQLite format 3\0", "an SQLite database; leave it out"),
        (r"%PDF-", "a PDF; leave it out"),
        (
            r"\xff\xfe|\xfe\xff|\0[\s{\[]|[\s{\[]\0",
            "text in UTF-16, as PowerShell writes it; convert it to UTF-8 first, with iconv",
        ),
        (r'\s*(?:\[\s*)?"\s*\{\s*\\"', "records as JSON texts; unwrap them first, with jq -r '.[]'"),
        (r"\s*<", "XML or HTML, perhaps an error instead of the log; fetch it again"),
        (r"H4sI[A-Za-z0-9+/=\s]*\Z", "gzip in base64; decode it first, with base64 -d"),
        (
            r"\s*[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][^{\n]*\{",
            "log text with JSON behind a time; cut off what is before each {",
        ),
        (rf"{_CELL}(?:,{_CELL})+\r?\n[^\n]*,", "CSV; fetch the same as JSON"),
    )
)
_TEXT: Final = _Form(re.compile(rb"\s*[^\s{\[\"]\S*\s+\S"), "text, not JSON; leave it out")


class _Envelope(NamedTuple):
    """A form of JSON: the keys that identify it, and its name with the remedy."""

    keys: frozenset[str]
    thing: str


_UNWRAP: Final = "take the records out of it first, with jq"
_ENVELOPES: Final = tuple(
    _Envelope(frozenset(keys.split()), thing)
    for keys, thing in (
        ("detail-type detail", f"an event of EventBridge; {_UNWRAP} '.. | .detail? // empty'"),
        ("awslogs", "an event of a CloudWatch Logs subscription; name the trail's own files"),
        (
            "messageType logEvents",
            f"a payload of a CloudWatch Logs subscription; {_UNWRAP} -r '.logEvents[].message'",
        ),
        ("kinesis", "an event of Kinesis; name the trail's own files"),
        ("recordId data", "an event of Firehose; name the trail's own files"),
        ("receiptHandle body", "an event of SQS, which holds notices; name the trail's own files"),
        ("ReceiptHandle Body", "messages of SQS, which hold notices; name the trail's own files"),
        ("Sns", "an event of SNS, which holds notices; name the trail's own files"),
        ("Type Message", "a notification of SNS; name the file that it tells of"),
        ("Service Event Bucket", "a test notice of S3; leave it out"),
        (
            "CloudTrailEvent",
            f"events of LookupEvents alone; {_UNWRAP} -r '.. | .CloudTrailEvent? // empty'",
        ),
        ("timestamp message", f"log events of CloudWatch Logs; {_UNWRAP} -r '.events[].message'"),
        ("@message", f"results of Logs Insights; {_UNWRAP} -c '.[][\"@message\"]'"),
        ("field value", "results of Logs Insights; read the trail's own files"),
        ("metadata class_uid", "OCSF, as Security Lake writes it; name the trail's own files"),
        ("metadata api actor", "OCSF, as Security Lake writes it; name the trail's own files"),
        ("configurationItems", "a file of AWS Config; leave it out"),
        ("webaclId action", "a log of WAF; leave it out"),
        ("query_name account_id", "a log of Route 53's resolver; leave it out"),
        ("schemaVersion accountId service", "findings of GuardDuty; leave them out"),
    )
)


def recognise(text: bytes) -> str:
    """
    Return the name of the form of *text*, the beginning of a file, and the remedy.

    Empty if it may be a damaged CloudTrail log or is not known. The result is worded to follow
    "is".
    """
    head = text[:HEAD_BYTES]
    for form in _FORMS:
        if form.beginning.match(head):
            return form.thing
    if head.lstrip()[:1] in (b"{", b"["):
        return _envelope(head)
    return _TEXT.thing if _TEXT.beginning.match(head) and _is_text(head) else ""


def _envelope(head: bytes) -> str:
    keys = _outer_keys(head)
    if "Events" in keys:  # LookupEvents' own document, which is read
        return ""
    return next((each.thing for each in _ENVELOPES if each.keys <= keys), "")


_TOKEN: Final = re.compile(rb'"((?:[^"\\]|\\.)*)(?:"(\s*:)?|\\?\Z)|[{}\[\]]', re.DOTALL)
_OUTER: Final = frozenset({b"{", b"[{", b"{[{", b"{[[{"})
_MOST_NESTED: Final = 100  # brackets: no form above is nested deeper


def _outer_keys(head: bytes) -> set[str]:
    """Return the keys of the outermost object, and those of the objects in its lists."""
    keys = set()
    within = b""  # the brackets that are open
    for token in _TOKEN.finditer(head):
        bracket = token[0]
        if bracket in (b"{", b"["):
            within += bracket
        elif bracket in (b"}", b"]"):
            within = within[:-1]
        elif token[2] and within in _OUTER:
            keys.add(token[1].decode("utf-8", "replace"))
        if len(within) > _MOST_NESTED:
            break
    return keys


def _is_text(head: bytes) -> bool:
    """Return whether *head* is printable but for line ends and tabs, whole or not at its end."""
    text = head.decode("utf-8", "replace").rstrip("\ufffd")
    return all(c.isprintable() or c in "\r\n\t\f" for c in text)


# --- messages of parsers ------------------------------------------------------------------------

_AT_BYTE: Final = re.compile(r"\(byte (\d+)\)")
_MISMATCH: Final = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_FIELD: Final = re.compile(r"Object (missing required|contains unknown) field `([^`]*)`")
_PATH: Final = re.compile(r" - at `\$\.?([^`]*)`")
_KINDS: Final = {
    "object": "an object",
    "array": "a list",
    "str": "a text",
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
}


def in_words(error: Exception) -> str:
    """Word the reason why JSON cannot be read as a clause: "its JSON has no end"."""
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, UnicodeError):
        return "it is not in UTF-8"
    said = str(error)
    if isinstance(error, msgspec.ValidationError):
        return _misfit(error, said)
    if "truncated" in said:
        return "its JSON has no end"
    at = _AT_BYTE.search(said)
    place = f" at byte {int(at[1]):,}" if at else ""
    wrong = "has a comma before a closing bracket" if "trailing comma" in said else "is wrong"
    return f"its JSON {wrong}{place}"


def _misfit(error: msgspec.ValidationError, said: str) -> str:
    """Word which value has the wrong type."""
    path = _PATH.search(said)
    where = path[1] if path and path[1] else "it"
    if mismatch := _MISMATCH.search(said):
        wanted, given = (_kind(each) for each in mismatch.groups())
        return f"{where} is {given} where {wanted} should be"
    if field := _FIELD.search(said):
        return f"{field[2]} is {'missing' if field[1].startswith('missing') else 'not known'}"
    # Messages of our own types are kept as they are.
    ours = _PATH.sub("", said) if isinstance(error.__cause__, ValueError) else "a wrong value"
    return f"{where}: {ours}"


def _kind(types: str) -> str:
    """Name the types that a parser writes as ``array | null``."""
    return " or ".join(dict.fromkeys(_KINDS.get(each, each) for each in types.split(" | ")))
